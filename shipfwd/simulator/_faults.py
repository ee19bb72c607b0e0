"""What can go wrong on the way to a stand-in, drawn by rate or planned by a test."""

from __future__ import annotations

import random
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from shipfwd.errors import UsageError
from shipfwd.simulator._http import Answer

# Kind -> what happens. Any three-digit status is a kind, too.
KINDS = {
    "reset": "the connection is reset",
    "close": "the connection is closed without an answer",
    "silent": "no answer ever comes; the connection stays open",
    "html": "a maintenance page with status 200",
    "cut": "processed; the answer breaks off in the middle",
    "slow": "processed; the answer comes late",
}
# Before processing, unless "-after" is added: then the work is done and the answer is lost.
AFTER = "-after"
ALIASES = {"drop": "close-after", "timeout": "silent", "timeout-after": "silent-after"}


@dataclass(frozen=True)
class Fault:
    """`after`: the request is processed first. `answer`: said instead of the vendor's own."""

    kind: str
    after: bool = False
    answer: Answer | None = None

    def __str__(self) -> str:
        return self.kind + (AFTER if self.after and self.kind != "cut" else "")

    @property
    def status(self) -> int:
        """The status to answer with; 0 for kinds that are none."""
        return int(self.kind) if self.kind.isdigit() else 0


def parse_kind(text: str) -> Fault:
    """ "502", "drop", "html-after". Raises UsageError for an unknown word."""
    word = ALIASES.get(text, text)
    kind, after = word.removesuffix(AFTER), word.endswith(AFTER)
    if kind not in KINDS and not re.fullmatch("[1-5][0-9][0-9]", kind):
        known = ", ".join([*KINDS, "drop", "timeout"])
        raise UsageError(f"no fault is called '{text}'; there are {known}, any status such as 502, and KIND-after")
    return Fault(kind, after or kind == "cut")


def parse_spec(text: str) -> tuple[Fault, float]:
    """KIND or KIND:RATE, the rate between 0 and 1; without one, always. Raises UsageError."""
    kind, colon, rate = text.strip().partition(":")
    try:
        share = float(rate) if colon else 1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"a fault's rate is a number from 0 to 1, not '{rate}'")
    return parse_kind(kind), share


@dataclass
class _Plan:
    stand: str
    fault: Fault
    match: re.Pattern[str]
    skip: int
    times: int


class Faults:
    """Decides for each request whether something goes wrong. The same seed and order, the same faults."""

    def __init__(self, specs: Sequence[str] = (), seed: int = 0) -> None:
        self._rates = [parse_spec(spec) for spec in specs]
        if sum(rate for _, rate in self._rates) > 1:
            raise UsageError("the rates of all faults together are more than 1")
        self._random = random.Random(seed)  # noqa: S311  deterministic on purpose
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()

    def plan(self, stand: str, fault: Fault, times: int, match: str, skip: int) -> None:
        with self._lock:
            self._plans.append(_Plan(stand, fault, re.compile(match), skip, times))

    def clear(self) -> None:
        """Forget what was planned and the rates."""
        with self._lock:
            self._plans.clear()
            self._rates.clear()

    def pick(self, stand: str, label: str) -> Fault | None:
        if not self._plans and not self._rates:
            return None
        with self._lock:
            for plan in self._plans:
                if plan.stand == stand and plan.match.search(label):
                    if plan.skip:
                        plan.skip -= 1
                        continue
                    plan.times -= 1
                    if plan.times <= 0:
                        self._plans.remove(plan)
                    return plan.fault
            draw = self._random.random() if self._rates else 1.0
            for fault, rate in self._rates:
                if draw < rate:
                    return fault
                draw -= rate
        return None


class Limit:
    """At most `calls` in any `seconds`; refused calls are not counted. Real time, whatever the clock says."""

    def __init__(self, calls: int, seconds: float, match: str) -> None:
        self.calls, self.seconds, self.match = calls, seconds, re.compile(match)
        self._taken: list[float] = []  # arrivals, in order; calls are not looked at in theirs on a busy machine
        self._lock = threading.Lock()

    def refuses(self, label: str, waited: float = 0.0) -> bool:
        """Whether this call, which arrived `waited` seconds ago, is one too many in a time that it lies in."""
        if not self.match.search(label):
            return False
        with self._lock:
            now = time.monotonic()
            del self._taken[: bisect_left(self._taken, now - 60 - self.seconds)]
            at = bisect_left(self._taken, now - waited)
            self._taken.insert(at, now - waited)
            near = self._taken[max(0, at - self.calls) : at + self.calls + 1]
            too_many = any(last - first < self.seconds for first, last in zip(near, near[self.calls :], strict=False))
            if too_many:
                del self._taken[at]
            return too_many
