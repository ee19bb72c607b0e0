"""The line that counts while a run works: done, left, rate, and how long it still takes. Only on a terminal.

What is left is asked of the database, which other runs work off too, so the time left follows what really happens: a
burst that is over, a limit that a platform sets, somebody who helps. Where nobody can know, nothing is said.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shipfwd import views

if TYPE_CHECKING:
    from datetime import datetime

    from shipfwd.cli.app import App
    from shipfwd.importer import Source
    from shipfwd.models import Integration
    from shipfwd.runs import Run

TICK = 1.0  # seconds
WINDOW = 30  # ticks that the pace is taken from
SURE = 5  # ticks before anything is said about time
SPARE = 50  # a look at what is left may take one part in so many of a run's time
Left = Callable[[], Mapping[object, int]]


class Meter:
    """What the line says. Times are seconds of a clock that only goes forward.

    left   work that is left, by what is worked at apart (integrations); None where that is unknown.
    size   bytes of the file that is read: then `left` is what is left of them, while what is done are its rows.
    """

    def __init__(self, what: str, begun: float, size: int = 0) -> None:
        self._what, self._begun, self._size = what, begun, size
        self._seen: deque[tuple[float, int, dict[object, int] | None, bool]] = deque(maxlen=WINDOW)

    def look(
        self, now: float, done: int, left: Mapping[object, int] | None, held: bool, deadline: float, stage: str = ""
    ) -> str:
        """Take a look; the line.

        held      a platform's limit makes us wait.
        deadline  seconds until the run ends.
        stage     what is done with a file that is read.
        """
        self._seen.append((now, done, None if left is None else dict(left), held))
        then, before, _, _ = self._seen[0] if len(self._seen) > 1 else (self._begun, 0, None, False)
        rate = (done - before) / max(0.001, now - then)
        if stage:
            return f"{self._what}: {done:,} rows, all read, now {stage}"
        parts = [f"{self._what}: {done:,} done"]
        if left is not None:
            there = sum(left.values())
            if self._size and not there:  # what follows is not measured in bytes
                return f"{self._what}: {done:,} rows, all read, now going through them"
            parts.append(f"{100 - -(-100 * there // self._size)} % read" if self._size else f"{there:,} left")
            if time_left := self._time_left(now, left, deadline):
                parts.append(time_left)
        parts.append(f"{rate:,.1f} a second")
        if held and sum(one[3] for one in self._seen) * 2 > len(self._seen):
            parts.append("the platform sets the pace")
        return ", ".join(parts)

    def _time_left(self, now: float, left: Mapping[object, int], deadline: float) -> str:
        """The slowest one's, from how much of each was done lately; "" while one of them did not move."""
        then, _, before, _ = self._seen[0]
        if len(self._seen) < SURE or before is None:
            return ""
        needed = 0.0
        for one, count in left.items():
            fewer = before.get(one, 0) - count
            if count and fewer <= 0:
                return ""
            if count:
                needed = max(needed, count * (now - then) / fewer)
        if not needed:
            return ""
        if needed > deadline and not self._size:  # a file is always read to its end
            return f"not all before the deadline in {spoken(deadline)}"
        return f"about {spoken(needed)}" + (" to the end of the file" if self._size else "")


def spoken(seconds: float) -> str:
    """A duration as nobody would doubt it: 40 s, 7 min, 2 h 10 min."""
    if seconds <= 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60 // 10 * 10:02} min"


def due_left(run: Run, integrations: list[Integration], only_run: int | None = None, chosen: bool = False) -> Left:
    """What this run still has to send, of each integration that it works at. chosen: nothing but what it holds."""
    ids = {one.id for one in integrations}

    def left() -> Mapping[object, int]:
        counts = run.store.left(run.id, only_run, chosen)
        busy = [one for one in (*counts, *run.ahead) if one in ids and one not in run.resting]
        return {one: counts.get(one, 0) + run.ahead.get(one, 0) for one in busy}

    return left


def looks_left(run: Run, since: datetime | None) -> Left:
    """The shipments that `verify` has still to compare, of each integration that it is at."""
    totals: dict[int, int] = {}

    def left() -> Mapping[object, int]:
        looked = dict(run.looked)
        for one in looked.keys() - totals.keys():
            totals[one] = run.store.count_forwarded_since(one, since)
        return {one: max(0, totals[one] - count) for one, count in looked.items()}

    return left


def file_left(source: Source) -> Left | None:
    """The bytes of a file that are still to be read; None where nobody knows how many there are."""
    return (lambda: {source: max(0, source.size - source.taken)}) if source.size else None


@contextmanager
def progress(app: App, run: Run, what: str, left: Left | None = None, size: int = 0) -> Iterator[None]:
    """Show the line while the block runs, once that takes longer than a moment. size: see Meter."""
    if app.quiet or app.log is not None or not views.is_terminal(sys.stderr):
        yield
        return
    done, meter = threading.Event(), Meter(what, time.monotonic(), size)
    first = run.done

    def tick() -> None:
        pause = TICK
        while not done.wait(pause):
            begun = time.monotonic()
            try:
                there = left() if left else None
            except Exception:  # a line that only counts must not end a run; what is wrong will show elsewhere
                there = None
            pause = max(TICK, SPARE * (time.monotonic() - begun))
            line = meter.look(begun, run.done - first, there, run.held, run.seconds_left, run.stage)
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{line if len(line) <= width else line[: line[:width].rfind(',')]}")
            sys.stderr.flush()
        sys.stderr.write("\r\x1b[K")

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
