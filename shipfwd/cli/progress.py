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
    from shipfwd.cli.app import App
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
    """

    def __init__(self, what: str, begun: float) -> None:
        self._what, self._begun = what, begun
        self._seen: deque[tuple[float, int, dict[object, int] | None, bool]] = deque(maxlen=WINDOW)

    def look(self, now: float, done: int, left: Mapping[object, int] | None, held: bool, deadline: float) -> str:
        """Take a look; the line. held: a platform's limit makes us wait. deadline: seconds until the run ends."""
        self._seen.append((now, done, None if left is None else dict(left), held))
        then, before, _, _ = self._seen[0] if len(self._seen) > 1 else (self._begun, 0, None, False)
        rate = (done - before) / max(0.001, now - then)
        parts = [f"{self._what}: {done:,} done"]
        if left is not None:
            parts.append(f"{sum(left.values()):,} left")
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
        if needed > deadline:
            return f"not all before the deadline in {spoken(deadline)}"
        return f"about {spoken(needed)}"


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
        return {one: count for one, count in counts.items() if one in ids and one not in run.resting}

    return left


@contextmanager
def progress(app: App, run: Run, what: str, left: Left | None = None) -> Iterator[None]:
    """Show the line while the block runs, once that takes longer than a moment."""
    if app.quiet or app.log is not None or not views.is_terminal(sys.stderr):
        yield
        return
    done, meter = threading.Event(), Meter(what, time.monotonic())
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
            line = meter.look(begun, run.done - first, there, run.held, run.seconds_left)
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
