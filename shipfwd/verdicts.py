"""What a look, an answer or an error makes of a shipment: the engine's judgement, the same for all platforms."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from shlex import quote

from shipfwd import connections, http, schedule, unseen
from shipfwd.errors import (
    AnswerLost,
    CarrierNotAccepted,
    ConfigError,
    Interrupted,
    NeedsItems,
    NoRoom,
    NotOurs,
    NotReady,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    PlatformError,
    Refused,
    Rejected,
    StoreFailed,
    TryLater,
)
from shipfwd.files import ran_out
from shipfwd.models import (
    INSTEAD,
    LOST,
    Attempt,
    Claimed,
    Exchange,
    Integration,
    Receipt,
    Seen,
    Settlement,
    normalise,
    tracking_key,
)
from shipfwd.platforms.base import Platform
from shipfwd.runs import Run
from shipfwd.settings import named
from shipfwd.store import Store

NOT_READY = 3600.0  # seconds until an order that cannot be shipped yet is looked at again
ROUNDED = timedelta(microseconds=999_999)  # times are stored in whole seconds; a doubt must not end too early
UNREAD = "accepted, not read back yet"


class OneNumber(PlatformError):
    """The order shows a single number and has one of ours: this parcel can never be shown there."""


@dataclass(frozen=True)
class Desk:
    """One integration ready to work: its adapter, its connections, and what holds for it."""

    integration: Integration
    platform: Platform
    channel: http.Channel
    doubt_seconds: float
    concurrency: int
    random: Callable[[], float]

    @property
    def marks(self) -> bool:
        return self.integration.status_transfer == "on" and self.platform.status_transfer == "separate"


class Verdicts:
    """One integration's share of a run, and what is decided about its shipments."""

    def __init__(self, run: Run, desk: Desk, only_run: int | None = None) -> None:
        self.run, self.desk, self.store = run, desk, run.store
        self.integration, self.platform = desk.integration, desk.platform
        self.only_run = only_run
        self.resting = ""
        self._news = threading.Condition()

    @property
    def halted(self) -> bool:
        return bool(self.resting) or self.run.stopping

    def _rest(self, error: ConfigError) -> None:
        with self._news:
            if not self.resting:
                self.resting = str(error)
                self.run.resting.add(self.integration.id)
                self.run.tally.codes.add(error.exit_code)
                said = named(str(error), self.integration.name)
                self.run.tally.told.append(f"{self.integration.name}: {said}; its shipments stay pending")
                if not self.run.dry and self.only_run is None and not isinstance(error, StoreFailed):
                    self.run.tally.touched.update(self.store.due_ids(self.integration.id))
            self._news.notify_all()

    def _tell_bug(self, where: str, error: Exception) -> None:
        self.run.tally.codes.add(70)
        text = "".join(traceback.format_exception(error))
        self.run.tally.told.append(
            f"bug in shipfwd {where} of {self.integration.name}; please report:\n"
            + self.desk.channel.network.redactor.redact(text)
        )

    # ---- what a look says ---------------------------------------------------------------------------------

    def _verdict(self, one: Claimed, seen: Seen, order: str, ours: Sequence[Claimed]) -> Settlement | None:
        """What the look alone decides; None: write it. `ours`: what the platform cannot show (unseen.py)."""
        if one.in_doubt_since is not None and (new := self.store.correction(one.id)):
            return self._corrected(one, one.in_doubt_since, new, seen)
        if seen.has(one.parcel.tracking_number):
            return self._done(one, adopted=True, confirmed=True)
        if one.in_doubt_since is not None:
            now = self.run.clock()
            since = one.in_doubt_since
            if since > now + ROUNDED:  # the clock was put back
                since = now + ROUNDED
            until = since + timedelta(seconds=self.desk.doubt_seconds)
            if (seen.partial or not self.platform.read_back) and self.platform.repeat != "harmless":
                there = unseen.arrived(self.platform, one, seen, ours)
                if there is not False:
                    return self._done(one, adopted=True) if there else unseen.unreadable(self.platform, one, since)
            live = one.due and (self.integration.enabled or one.by_hand)
            if now < until and not (live and self.platform.repeat == "harmless"):
                then = "sent again after the wait" if live else "looked for once more after the wait"
                reason = f"a write left and its answer was lost; not there yet, {then}"
                return Settlement(one.id, "pending", reason, "InDoubt", until, since)
            if not live:
                return Settlement(one.id, "pending")
        if one.before == "forwarded" and (reason := unseen.not_again(self.platform, seen)):
            return Settlement(one.id, "forwarded", reason)
        if isinstance(seen.refusal, Exception):
            return self._react(one, seen.refusal, None)
        return self._conflict(one, seen, order)

    def _corrected(self, one: Claimed, since: datetime, given: str, seen: Seen) -> Settlement:
        """Which number stands there after a correction whose answer was lost; nothing is written."""
        old, new, now = one.parcel.tracking_number, normalise(given), self.run.clock()
        here, there = seen.has(old), seen.has(new)
        until = min(since, now + ROUNDED) + timedelta(seconds=self.desk.doubt_seconds)
        if there and (not here or self.platform.correct == "add"):
            if not self.store.taken(self.integration.id, one.order_id, tracking_key(new)):
                words = INSTEAD.get(str(self.platform.correct), "") if here else ""
                return Settlement(one.id, "forwarded", words, confirmed=True, number=given)
            reason = f"{new} stands there in its place, which is a shipment of its own; drop this one"
            return Settlement(one.id, "failed", f"{reason}: shipfwd drop {one.id}", "Correction")
        if now < until:
            reason = f"whether {new} replaced {old} is not certain yet; looked up once more after the wait"
            return Settlement(one.id, "pending", reason, "Correction", until, since)
        again = f"shipfwd correct {one.id} {quote(new)}"
        if here:
            so = f"{new} stands beside it; to finish" if there else f"{new} did not arrive; to replace it"
            self.run.tally.codes.add(1)
            self.run.tally.told.append(f"{self.integration.name}: shipment {one.id}: {so}: {again}")
            return Settlement(one.id, "forwarded", f"{so}: {again}", confirmed=True)
        where = self.platform.where.format(order=one.order_id) or self.platform.title
        if seen.partial or not self.platform.read_back:
            reason = f"{new} may have replaced {old}; check at {where}, then: shipfwd settle {one.id} --arrived"
            return Settlement(one.id, "failed", f"{reason} (or --not-arrived)", "Correction", None, since)
        reason = f"neither {old} nor {new} stands there; look at {where}; to send {old}: shipfwd forward {one.id}"
        return Settlement(one.id, "failed", reason, "Correction")

    def _conflict(self, one: Claimed, seen: Seen, order: str) -> Settlement | None:
        """A different number stands there, and the platform cannot hold both."""
        if not seen.numbers or self.platform.parcels in ("many", "joined"):
            return None
        if self.platform.parcels == "items" and one.parcel.items:
            return None
        there = seen.numbers[-1]
        error: PlatformError = NeedsItems(f"{there} is there for the whole order; a further parcel needs its --item")
        if self.platform.parcels == "one":
            error = OneNumber(f"{self.platform.title} shows one number, has {there}")
        outcome = self._react(one, self._in_the_way(one, error, seen, order), None)
        if outcome.kind == "OneNumber" != one.kind:  # the first time: its order may have waited for these pieces
            return replace(outcome, wants_sent=self.desk.marks)
        return outcome

    def _in_the_way(self, one: Claimed, error: PlatformError, seen: Seen, order: str) -> PlatformError:
        """A number that leaves no room for another: one of ours blocks it, a foreign one fails it."""
        ours = self.store.ours(self.integration.id, order)
        foreign = [number for number in seen.numbers if tracking_key(number) not in ours]
        if not foreign or not isinstance(error, (OneNumber, NeedsItems)):
            return error
        return Rejected(
            f"{self.platform.title} has another number there, {foreign[-1]}, that is not from here; "
            f"keep it and drop this one (shipfwd drop {one.id}), or change it there by hand"
        )

    def _held(self, one: Claimed, order: str) -> Settlement | None:
        """Another parcel's write may still arrive, and would erase this number or be erased by it; None: write it."""
        if (found := arriving(self.desk, self.store, order, one, self.run.clock())) is None:
            return None
        other, until = found
        reason = f"a write for shipment {other} of its order was lost and may still arrive; sent after that"
        if one.before == "forwarded":
            return Settlement(one.id, "forwarded", f"looked for again, not there: {reason}", "InDoubt")
        return Settlement(one.id, "pending", reason, "InDoubt", until, one.in_doubt_since)

    # ---- what an answer says ------------------------------------------------------------------------------

    def _done(self, one: Claimed, adopted: bool = False, confirmed: bool = False, remote_id: str = "") -> Settlement:
        with_tracking = self.platform.status_transfer == "with-tracking"
        return Settlement(
            one.id,
            "forwarded",
            "" if confirmed else UNREAD,
            confirmed=confirmed,
            status_sent=with_tracking,
            wants_sent=self.desk.marks,
            remote_id=remote_id,
            adopted=adopted,
        )

    def _accepted(self, one: Claimed, receipts: Sequence[Receipt]) -> Settlement:
        receipt = next(receipt for receipt in receipts if receipt.parcel_id == one.id)
        if receipt.refusal is not None:
            return self._react(one, receipt.refusal, None, written=True)
        return self._done(one, confirmed=receipt.confirmed, remote_id=receipt.remote_id)

    def _blocked(self, one: Claimed, error: Exception) -> Settlement:
        return Settlement(one.id, "blocked", _advice(error, one, self.integration), type(error).__name__)

    def _react(
        self, one: Claimed, error: Exception, left_at: datetime | None, written: bool = False, blind: bool = False
    ) -> Settlement:
        """What an error makes of a shipment. `written`: it came from the write itself; `blind`: no look can find it."""
        now, kind, reason = self.run.clock(), type(error).__name__, _advice(error, one, self.integration)
        doubt = one.in_doubt_since
        if isinstance(error, (OutcomeUnknown, AnswerLost)) and written:
            since = _since(left_at or now, now)
            harmless = self.platform.repeat == "harmless" or isinstance(error, AnswerLost)
            if blind and not harmless:
                return unseen.unreadable(self.platform, one, since)
            until = since + timedelta(seconds=self.desk.doubt_seconds)
            if harmless:  # it is not waited for, but a server in trouble is left alone longer each time
                until = max(until, schedule.retry_at(one.tries, now, error.after, self.desk.random))
            return Settlement(one.id, "pending", f"in doubt: {reason}", kind, until, since)
        if isinstance(error, TryLater):
            if one.before == "forwarded" and not written:
                return Settlement(one.id, "forwarded", f"looked for again without success: {reason}", kind)
            after = (error.after or NOT_READY) if isinstance(error, NotReady) else error.after
            at = schedule.retry_at(one.tries, now, after, self.desk.random)
            return Settlement(one.id, "pending", reason, kind, at, doubt)
        if isinstance(error, NotUnderstood) and left_at is not None and self.platform.repeat != "harmless":
            there = f"{error}; the number may be there; that is looked up by: shipfwd forward {one.id}"
            return Settlement(one.id, "failed", there, kind, None, _since(left_at, now))
        blocking = (NotOurs, OneNumber, NeedsItems, NoRoom)
        if isinstance(error, blocking) or isinstance(error, (CarrierNotAccepted, NumberNotAccepted)) and not written:
            return self._blocked(one, error)
        return Settlement(one.id, "failed", reason, kind)

    def _not_looked(self, one: Claimed, problem: Exception) -> Settlement:
        """A look that failed tells nothing of a number: what may have arrived, or is there, stays so."""
        outcome = self._react(one, problem, None)
        if one.before == "forwarded" and outcome.state == "failed" and not isinstance(problem, OrderNotFound):
            self.run.tally.codes.add(1)
            self.run.tally.told.append(f"{self.integration.name}: shipment {one.id}: not looked for again: {problem}")
            return Settlement(one.id, "forwarded", f"looked for again without success: {problem}", outcome.kind)
        return replace(outcome, in_doubt_since=outcome.in_doubt_since or one.in_doubt_since)

    def _broken_off(
        self, part: Sequence[Claimed], error: Exception, left_at: datetime, exchanges: Sequence[Exchange]
    ) -> list[tuple[Claimed, Settlement]]:
        """In doubt: what a bug, a signal or a refused login ended after a write had left. Empty: nothing is there."""
        if isinstance(error, StoreFailed) or ran_out(error):
            return []  # cannot be recorded; in doubt by the journal once this run is gone
        if isinstance(error, (Interrupted, ConfigError)):
            done = exchanges if isinstance(error, Interrupted) else exchanges[:-1]  # the last was refused
            if not any(one.write and (one.status is None or one.status < 300 and not one.note) for one in done):
                return []
            lost = OutcomeUnknown(f"its writes broke off, a part of them was done: {error}")
            return [(one, self._react(one, lost, left_at, True, not self.platform.read_back)) for one in part]
        reason = f"{a_bug(error)}; the number may be there; that is looked up by: shipfwd forward"
        since = _since(left_at, self.run.clock())
        return [(one, Settlement(one.id, "failed", f"{reason} {one.id}", "Bug", None, since)) for one in part]

    def _after(self, one: Claimed, stopped: TryLater, at: datetime | None) -> Settlement:
        """A parcel that was not tried, since an older one of its order has to go first."""
        if at is None:
            at = schedule.retry_at(1, self.run.clock(), stopped.after, self.desk.random)
        reason = f"waits for an older parcel of its order: {stopped}"
        return Settlement(one.id, "pending", reason, type(stopped).__name__, at, one.in_doubt_since)


def _since(left_at: datetime, now: datetime) -> datetime:
    """Since when a write is in doubt. Left longer ago than a request lives, it did not: the clock jumped meanwhile."""
    lived = timedelta(seconds=connections.LIFE_SECONDS + connections.WATCH_SECONDS)
    return max(left_at, now - lived) + ROUNDED


def arriving(desk: Desk, store: Store, order: str, one: Claimed, now: datetime) -> tuple[int, datetime] | None:
    """The other parcel of the order whose lost write may still arrive and cannot stand beside this one's; until when.

    Where numbers share a field, or only one fits, a write replaces what stands there: whichever comes last would
    erase the other, and nobody would be told. What left in one write with `one` came or is lost with it. A write
    that was sent again at once counts, too: the second came, the first may come yet.
    """
    if desk.platform.parcels == "many" and not desk.platform.rewrites:
        return None
    found: tuple[int, datetime] | None = None
    after = now - timedelta(seconds=desk.doubt_seconds)
    for other, since in (*store.doubts(desk.integration.id, order), *store.lost(one.id, after)):
        until = min(since, now + ROUNDED) + timedelta(seconds=desk.doubt_seconds)
        if other != one.id and since != one.in_doubt_since and until > now and (found is None or until > found[1]):
            found = other, until
    return found


def a_bug(error: Exception) -> str:
    return f"a bug in shipfwd stopped it ({type(error).__name__}); please report it"


def _advice(error: Exception, one: Claimed, integration: Integration) -> str:
    """The error's sentence with the next step in it."""
    text = str(error) or type(error).__name__
    if isinstance(error, CarrierNotAccepted):
        if one.parcel.carrier:
            return (
                f"{text}; name it: shipfwd carriers map -i {quote(integration.name)} {quote(one.parcel.carrier)}=THEIRS"
            )
        known = f"{quote(one.order_id)} {quote(one.parcel.tracking_number)} -i {quote(integration.name)}"
        return f"{text}; give it: shipfwd add {known} --carrier CARRIER"
    if isinstance(error, NoRoom):
        return f"{text}; drop it (shipfwd drop {one.id}), or make room there, then: shipfwd forward {one.id}"
    if isinstance(error, Refused) and "shipfwd" not in text and ";" not in text:
        return f"{text}; when that is mended: shipfwd forward {one.id}"
    return text


def journal_lines(part: Sequence[Claimed], exchanges: Sequence[Exchange]) -> list[Attempt]:
    return [
        Attempt(
            one.id,
            "forward" if exchange.write else "look",
            LOST if exchange.lost else "no answer" if exchange.status is None else exchange.note or "answered",
            exchange.note if exchange.status is None else exchange.reference,
            exchange,
        )
        for one in part
        for exchange in exchanges
    ]


def word_of(outcome: Settlement) -> str:
    if outcome.in_doubt_since and outcome.state == "pending":
        return "in doubt"
    return {"forwarded": "accepted", "pending": "again later"}.get(outcome.state, outcome.state)
