"""A run: its number, the kernel lock that proves it lives, its end, and what it has to tell."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shipfwd.errors import Interrupted, UsageError
from shipfwd.files import lives, locks_folder, private_dir, private_file
from shipfwd.models import STATES, Claimed
from shipfwd.signals import ENDING, hung_up_is_nothing
from shipfwd.store import Store

# Several codes at once: the first of these counts (DESIGN 4).
PRECEDENCE = (130, 70, 3, 1, 4)
SHOWN = 500  # lines of a dry run that are shown at a time
TICK = 0.25  # seconds until a waiting thread sees a signal


@dataclass
class Tally:
    """What a run did and has to tell. Filled from many threads, read at the end.

    touched    shipments whose outcome this run settled.
    codes      exit codes that something asked for.
    told       sentences for stderr that a person needs, also with -q.
    talk       sentences for stderr that -q leaves out.
    rehearsed  a dry run's lines that are still to be shown: (shipment id, sentence, request or None).
    expired    how many shipments' window ended.
    once_told  records what counts as told, once it was said.
    """

    touched: set[int] = field(default_factory=set)
    adopted: set[int] = field(default_factory=set)
    codes: set[int] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    talk: list[str] = field(default_factory=list)
    rehearsed: list[tuple[int, str, Any]] = field(default_factory=list)
    expired: int = 0
    once_told: list[Callable[[], None]] = field(default_factory=list)

    def all_told(self) -> None:
        """The words are out: from now on they count as told."""
        for record in self.once_told:
            record()
        self.once_told.clear()

    @property
    def exit_code(self) -> int:
        return next((code for code in PRECEDENCE if code in self.codes), 0)


class Run:
    """One forward, sweep, add, import or verify, from its first claim to its last settlement.

    deadline   seconds; what is in flight is finished, the rest is left to a later run (exit 4).
    log        where events go: (name, level, fields).
    """

    def __init__(
        self,
        store: Store,
        command: str,
        clock: Callable[[], datetime],
        dry: bool = False,
        deadline: float = 1200.0,
        log: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self.store, self.clock, self.dry, self._log = store, clock, dry, log
        self.tally = Tally()
        self.shown: dict[str, int] = {}  # the counts that were printed
        self.done = 0  # settled so far, for the progress line
        self.ahead: dict[int, int] = {}  # how many that a person chose are not claimed yet, by integration
        self.resting: set[int] = set()  # integrations that this run leaves alone
        self.looked: dict[int, int] = {}  # what `verify` has compared, of each integration that it is at
        self.stage = ""  # what an import does with a file that is read
        self.show: Callable[[list[tuple[int, str, Any]]], None] | None = None  # how a dry run's lines are shown
        self._waiting, self._count = 0, threading.Lock()
        self._stop = threading.Event()
        self._signal = 0
        self._began = time.monotonic()
        self._ends = self._began + deadline
        self._folder = locks_folder(store.path)
        self._command = command
        self.id = 0
        self._fd = -1

    def __enter__(self) -> Run:
        if not self.dry:
            self.id = self.store.begin_run(self._command)
            private_dir(self._folder)
            self._fd = private_file(self._folder / f"run-{self.id}")
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.log("run started", run=self.id, command=self._command, dry_run=self.dry, pid=os.getpid())
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        code = self.tally.exit_code
        if kind is not None:  # click's Abort: a person said no
            code = 130 if kind.__name__ in ("KeyboardInterrupt", "Abort") else getattr(kind, "exit_code", 70)
        try:
            self._record(kind)
        finally:
            self.log(
                "run ended",
                {0: "info", 4: "warning"}.get(code, "error"),
                run=self.id,
                command=self._command,
                exit_code=code,
                seconds=round(time.monotonic() - self._began, 1),
                counts=self.shown,
            )

    def _record(self, kind: type[BaseException] | None) -> None:
        if self._fd >= 0:
            try:
                if kind is None:
                    self.store.end_run(self.id, self.tally.exit_code, self.shown or self.counts())
                elif issubclass(kind, UsageError):
                    self.store.end_run(self.id, kind.exit_code, {})  # nothing was done
            finally:
                # The file goes first: whoever finds no file knows that the run is over.
                (self._folder / f"run-{self.id}").unlink(missing_ok=True)
                os.close(self._fd)
            self.store.checkpoint()

    def log(self, event: str, level: str = "info", /, **fields: Any) -> None:
        """An event for the log. One that cannot be written stops nothing: what was done is recorded all the same."""
        try:
            self._log(event, level, **fields)
        except (OSError, ValueError):
            pass

    def outcome(self, integration: str, one: Claimed, state: str, word: str, reason: str = "", **more: Any) -> None:
        """Log what became of a shipment. state: as `status` shows it; word: what happened, as in the journal."""
        level = {"failed": "error", "blocked": "error", "retrying": "warning"}.get(state, "info")
        self.log(
            "shipment", level, run=self.id, id=one.id, integration=integration, order_id=one.order_id,
            state=state, outcome=word, reason=reason, **more,
        )  # fmt: skip

    @property
    def interrupted(self) -> bool:
        """A signal came."""
        return bool(self._signal)

    @property
    def stopping(self) -> bool:
        if self._signal:
            self._stop.set()
        if not self._stop.is_set() and time.monotonic() >= self._ends:
            self.tally.codes.add(4)
            self.tally.talk.append("the deadline came; what is left is for the next run")
            self._stop.set()
        return self._stop.is_set()

    def rehearse(self, shipment_id: int, sentence: str, request: Any = None) -> None:
        """A line of a dry run: kept until there are some to be shown in the shipments' order; it may have millions."""
        with self._count:
            self.tally.rehearsed.append((shipment_id, sentence, request))
            if self.show is not None and len(self.tally.rehearsed) >= SHOWN:
                self.show(self.tally.rehearsed)
                self.tally.rehearsed = []

    @property
    def seconds_left(self) -> float:
        return self._ends - time.monotonic()

    @property
    def held(self) -> bool:
        """Somebody waits, because of a platform's limit or its trouble."""
        return self._waiting > 0

    def wait(self, seconds: float) -> None:
        """Sleep within the run. Raises Interrupted when it is to stop: the caller has sent nothing then."""
        end = time.monotonic() + seconds
        with self._count:
            self._waiting += 1
        try:
            while not self.stopping:
                if (left := end - time.monotonic()) <= 0:
                    return
                self._stop.wait(max(0.0, min(left, self.seconds_left, TICK)))
        finally:
            with self._count:
                self._waiting -= 1
        raise Interrupted("the run is ending")

    def stop(self, code: int = 0) -> None:
        if code:
            self.tally.codes.add(code)
        self._stop.set()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP end the run in order: what is in flight finishes; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: object) -> None:
            if self._signal:
                os._exit(130)  # what was sending is recognised by its lock and looked up by the next run
            # No lock is taken here: the thread that was interrupted may hold it. `stopping` and `wait` see it soon.
            self._signal = number
            self.tally.codes.add(130)

        ours = [one for one in ENDING if one != signal.SIGHUP or not hung_up_is_nothing()]
        before = {one: signal.signal(one, ask) for one in ours}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def take_back_dead(self) -> int:
        """Free what dead runs hold; how many shipments."""
        freed = 0
        for run_id in self.store.holding_runs():
            if run_id != self.id and not lives(self._folder, run_id):
                freed += self.store.take_back(run_id)
                (self._folder / f"run-{run_id}").unlink(missing_ok=True)
        return freed

    def counts(self) -> dict[str, int]:
        """How the shipments of this run stand: every state by name, and how many were adopted."""
        found = self.store.run_counts(sorted(self.tally.touched))
        found["expired"] = found.get("expired", 0) + self.tally.expired
        return {**{state: found.get(state, 0) for state in STATES}, "adopted": len(self.tally.adopted)}
