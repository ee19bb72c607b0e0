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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shipfwd.errors import Throttled
from shipfwd.files import private_dir, private_file
from shipfwd.models import Rate

TRIES = 3  # slots that a call may miss, on a machine that wakes it late, before it leaves all the same
PATIENCE = 20.0  # seconds a run waits for a clock that a 429 pushed; longer is left to a later run
SHARE = 0.97  # of a declared limit; measured: at 100 % a strict server answers some calls with 429
SLACK = 0.02  # seconds added between slow calls, where 3 % is less than the jitter of a busy machine
Key = str | Callable[[], str]  # asked when it is needed, where a secret may be part of it
_FILE = struct.Struct("<16sddq")  # boot id and what _Clock says


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


class _Clock(NamedTuple):
    """What the file holds. slot: the next free one; given: how many were given out."""

    slot: float = 0.0
    pushed: float = 0.0
    given: int = 0


@dataclass(frozen=True)
class Slot:
    """When a call may leave, and what the clock was like when it got that slot."""

    pace: Pace
    at: float
    clock: _Clock

    @property
    def late(self) -> float:
        """Seconds since then, where they are so many that the call would meet those after it; else 0."""
        behind = time.monotonic() - self.at
        return behind if behind > self.pace.late else 0.0

    def left(self) -> None:
        """The call left just now. If that is late, those who have no slot yet keep their distance from it.

        Either all that got a slot since are as late as this one, or this one takes another slot: whichever costs less.
        A clock that always jumped by the delay stood still for the one slow connection among many calls.
        """
        if late := self.late:
            floor, interval = self.clock.slot + late, self.pace.interval

            def behind(now: float, clock: _Clock) -> _Clock:
                shifted = floor + (clock.given - self.clock.given) * interval
                another = max(clock.slot, now) + interval
                if shifted > another:
                    return clock._replace(slot=another, given=clock.given + 1)
                return clock._replace(slot=max(clock.slot, shifted))

            self.pace.change(behind)


class Pace:
    """One rate's clock, shared through `path`."""

    def __init__(self, rate: Rate, path: Path) -> None:
        self.rate = rate
        interval = rate.seconds / rate.calls
        self.interval = interval / SHARE + (SLACK if interval > 0.2 else 0.0)
        self.tolerance = self.interval * (rate.burst - 1)
        self.late = rate.seconds * (1 - SHARE) / 2
        self.turn = threading.Lock()  # one thread of a process waits at a time, so that others get their turn soon
        self._path = path
        self._fd = -1
        self._boot = _boot_id()
        self._lock = threading.Lock()

    def _open(self) -> int:
        if self._fd < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def change(self, change: Callable[[float, _Clock], _Clock]) -> _Clock:
        """Run `change(now, clock)` under the file's lock; returns what it returned, stored.

        That lock is the open file's: threads share it, so they take turns by another.
        """
        with self._lock:
            fd = self._open()
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                clock = change(time.monotonic(), self._read(fd))
                os.pwrite(fd, _FILE.pack(self._boot, *clock), 0)
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        return clock

    def _read(self, fd: int) -> _Clock:
        """Zeros in a new file and in one of before the last start."""
        raw = os.pread(fd, _FILE.size, 0)
        boot, *clock = _FILE.unpack(raw) if len(raw) == _FILE.size else (b"",)
        return _Clock(*clock) if boot == self._boot else _Clock()

    def pushed(self) -> float:
        """Seconds until the clock that a 429 pushed comes round; 0 when nothing was pushed. A look, without a lock."""
        return max(0.0, self._read(self._open()).pushed - time.monotonic())

    def reserve(self) -> Slot:
        """Take the next slot. Raises Throttled, and takes none, when it is more than PATIENCE away."""
        at = 0.0

        def take(now: float, clock: _Clock) -> _Clock:
            nonlocal at
            begin = max(clock.slot, now)
            at = max(now, begin - self.tolerance)
            if at - now > PATIENCE:
                raise Throttled(f"its limit leaves no call for another {at - now:.0f} s", after=at - now)
            return clock._replace(slot=begin + self.interval, given=clock.given + 1)

        clock = self.change(take)
        return Slot(self, at, clock)

    def push(self, seconds: float) -> None:
        """Nobody calls for `seconds` from now."""
        self.change(lambda now, clock: clock._replace(pushed=max(clock.pushed, now + seconds)))

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

    def wait(self, operation: str, before: Callable[[], None]) -> Callable[[], None]:
        """Return when the call may leave, with what to call once it has left.

        before   runs last but for the wait for the slot itself.
        Raises Throttled when a pushed clock is more than PATIENCE away; `before` has not run then.
        """
        slots: list[Slot] = []
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
                        slot = pace.reserve()
                        if (pause := slot.at - time.monotonic()) > 0:
                            self._sleep(pause)
                        if not slot.late:
                            break
                    slots.append(slot)

        def left() -> None:
            for slot in slots:
                slot.left()

        return left

    def push(self, operation: str, seconds: float) -> None:
        for pace in self._matching(operation):
            pace.push(seconds)

    def close(self) -> None:
        for pace in self._made:
            pace.close()
