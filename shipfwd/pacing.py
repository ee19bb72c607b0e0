"""Pacing: declared rates held across threads, processes and integrations of one app.

GCRA (the next free slot is reserved, calls are spaced evenly) with its clock in a small flock'ed file.
Own code because the libraries measured overshoot across processes or cost more to import than a whole run.
Time is the machine's monotonic clock, so that a wall clock that jumps cannot stop or flood anybody.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from shipfwd.errors import Throttled
from shipfwd.files import private_dir, private_file
from shipfwd.models import Rate

TRIES = 3  # slots that a call may miss, on a machine that wakes it late, before it leaves all the same
PATIENCE = 20.0  # seconds a run waits for a clock that a 429 pushed; longer is left to a later run
SHARE = 0.97  # of a declared limit; measured: at 100 % a strict server answers some calls with 429
SLACK = 0.02  # seconds added between slow calls, where 3 % is less than the jitter of a busy machine
Key = str | Callable[[], str]  # asked when it is needed, where a secret may be part of it
_CLOCK = struct.Struct("<16sdd")  # boot id, next free slot, pushed until


def _boot_id() -> bytes:
    """Changes at each start of the machine, when the monotonic clock starts again; empty where unknown."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def fingerprint(secret: str, folder: Path) -> str:
    """Tells whether two secrets are the same; made with a salt that never leaves the clocks' folder."""
    path = private_dir(folder) / "pace-salt"
    while not path.exists():
        own = path.with_name(f"{path.name}-{os.getpid()}-{threading.get_ident()}")
        fd = private_file(own)
        os.write(fd, os.urandom(16))
        os.close(fd)
        try:
            os.link(own, path)  # whole, or not there
        except FileExistsError:
            pass
        own.unlink()
    return hashlib.blake2b(secret.encode(), key=path.read_bytes(), digest_size=16).hexdigest()


class Pace:
    """One rate's clock, shared through `path`."""

    def __init__(self, rate: Rate, path: Path) -> None:
        self.rate = rate
        interval = rate.seconds / rate.calls
        self.interval = interval / SHARE + (SLACK if interval > 0.2 else 0.0)
        self.tolerance = self.interval * (rate.burst - 1)
        self.late = rate.seconds * (1 - SHARE) / 2  # a call that much behind its slot would meet those after it
        self.turn = threading.Lock()  # one thread of a process waits at a time, so that others get their turn soon
        self._path = path
        self._fd = -1
        self._boot = _boot_id()

    def _open(self) -> int:
        if self._fd < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def _change(self, change: Callable[[float, float, float], tuple[float, float, float]]) -> float:
        """Run `change(now, slot, pushed) → (slot, pushed, answer)` under the file's lock; returns the answer."""
        fd = self._open()
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            slot, pushed = self._read(fd)
            slot, pushed, answer = change(time.monotonic(), slot, pushed)
            os.pwrite(fd, _CLOCK.pack(self._boot, slot, pushed), 0)
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
        return answer

    def _read(self, fd: int) -> tuple[float, float]:
        """The next free slot and until when it was pushed; zeros in a new file and one of before the last start."""
        raw = os.pread(fd, _CLOCK.size, 0)
        boot, slot, pushed = _CLOCK.unpack(raw) if len(raw) == _CLOCK.size else (b"", 0.0, 0.0)
        return (slot, pushed) if boot == self._boot else (0.0, 0.0)

    def pushed(self) -> float:
        """Seconds until the clock that a 429 pushed comes round; 0 when nothing was pushed. A look, without a lock."""
        return max(0.0, self._read(self._open())[1] - time.monotonic())

    def reserve(self) -> float:
        """Take the next slot; returns the seconds to wait for it. Takes none that is more than PATIENCE away."""

        def take(now: float, slot: float, pushed: float) -> tuple[float, float, float]:
            begin = max(slot, now)
            pause = max(0.0, begin - self.tolerance - now)
            return (slot if pause > PATIENCE else begin + self.interval), pushed, pause

        return self._change(take)

    def push(self, seconds: float) -> None:
        """Nobody calls for `seconds` from now."""
        self._change(lambda now, slot, pushed: (slot, max(pushed, now + seconds), 0.0))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Pacer:
    """All the rates of one app at one host.

    key      host and client id, or whatever else the platform counts by (Platform.host_key).
    folder   where the clocks lie.
    """

    def __init__(self, rates: tuple[Rate, ...], key: Key, folder: Path, sleep: Callable[[float], None]) -> None:
        self._rates, self._key, self._folder = rates, key, folder
        self._unlimited = not rates
        self._sleep = sleep
        self._lock = threading.Lock()
        self._made: list[Pace] = []

    @property
    def _paces(self) -> list[Pace]:
        if not self._made:
            with self._lock:
                if not self._made:
                    key, folder = self._key if isinstance(self._key, str) else self._key(), self._folder
                    # A platform without declared rates still has a clock, for what a 429 pushes.
                    self._made = [self._pace(rate, key, folder) for rate in self._rates] or [
                        self._pace(Rate(1e6), key, folder, unlimited=True)
                    ]
        return self._made

    @staticmethod
    def _pace(rate: Rate, key: str, folder: Path, unlimited: bool = False) -> Pace:
        mark = f"{key}|{rate.calls}|{rate.seconds}|{','.join(rate.operations)}|{unlimited}"
        return Pace(rate, folder / f"pace-{hashlib.sha256(mark.encode()).hexdigest()[:16]}")

    def _matching(self, operation: str) -> list[Pace]:
        return [pace for pace in self._paces if not pace.rate.operations or operation in pace.rate.operations]

    def wait(self, operation: str, before: Callable[[], None]) -> None:
        """Return when the call may leave. `before` runs last but for the wait for the slot itself.

        Raises Throttled when a pushed clock is more than PATIENCE away; `before` has not run then.
        """
        with ExitStack() as turns:
            matching = self._matching(operation)
            for pace in matching:
                if not self._unlimited:
                    turns.enter_context(pace.turn)
                if (pause := pace.pushed()) > PATIENCE:
                    raise Throttled(f"the platform asked for a pause of {pause:.0f} s", after=pause)
                if pause:
                    self._sleep(pause)
            before()
            if not self._unlimited:
                for pace in matching:
                    for _ in range(TRIES):
                        if (pause := pace.reserve()) > PATIENCE:
                            raise Throttled(f"its limit leaves no call for another {pause:.0f} s", after=pause)
                        slot = time.monotonic() + pause
                        if pause:
                            self._sleep(pause)
                        if time.monotonic() - slot <= pace.late:
                            break

    def push(self, operation: str, seconds: float) -> None:
        for pace in self._matching(operation):
            pace.push(seconds)

    def close(self) -> None:
        for pace in self._made:
            pace.close()
