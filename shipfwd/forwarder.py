"""The engine: claim → look → write → settle → mark as sent. The only place that reacts to error classes.

One loop decides everything that is the same for all platforms; an adapter only translates.
"""

from __future__ import annotations

import re
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from shlex import quote
from typing import NamedTuple

from shipfwd import schedule, unseen
from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    Interrupted,
    NotOurs,
    NotReady,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    PlatformError,
    Refused,
    Rejected,
    ShipfwdError,
    StoreFailed,
    TryLater,
)
from shipfwd.files import ran_out
from shipfwd.http import Channel, Talk, WouldSend
from shipfwd.models import Attempt, Claimed, Exchange, Integration, Receipt, Seen, Settlement, tracking_key
from shipfwd.platforms.base import Platform
from shipfwd.runs import Run
from shipfwd.settings import named

EQUAL_ERRORS = 5  # in a row, naming no order: the integration rests for this run
NOT_READY = 3600.0  # seconds until an order that cannot be shipped yet is looked at again
NAMES_AN_ORDER = (
    "OrderNotFound", "CarrierNotAccepted", "NumberNotAccepted", "NotOurs", "NotReady", "InDoubt", "OneNumber",
    "NeedsItems",
)  # fmt: skip
ROUNDED = timedelta(microseconds=999_999)  # times are stored in whole seconds; a doubt must not end too early
UNREAD = "accepted, not read back yet"


class OneNumber(PlatformError):
    """The order shows a single number and has one of ours: this parcel can never be shown there."""


class NeedsItems(PlatformError):
    """A further parcel of an order, where the platform must know what lies in it."""


class Task(NamedTuple):
    """One order to work on.

    seen, problem   what a batch's look found or raised.   looked   there was one.   looks   its record.
    """

    group: list[Claimed]
    seen: Seen | None = None
    problem: Exception | None = None
    looked: bool = False
    looks: tuple[Exchange, ...] = ()


@dataclass(frozen=True)
class Desk:
    """One integration ready to work: its adapter, its connections, and what holds for it."""

    integration: Integration
    platform: Platform
    channel: Channel
    doubt_seconds: float
    concurrency: int
    random: Callable[[], float]

    @property
    def marks(self) -> bool:
        return self.integration.status_transfer == "on" and self.platform.status_transfer == "separate"


class Forwarder:
    """Works off one integration's share of a run.

    only_run   only what that run added (import, add).
    chosen     groups that a person chose, already claimed; then nothing else is claimed.
    """

    def __init__(
        self, run: Run, desk: Desk, only_run: int | None = None, chosen: list[list[Claimed]] | None = None
    ) -> None:
        self.run, self.desk, self.store = run, desk, run.store
        self.integration, self.platform = desk.integration, desk.platform
        self.only_run = only_run
        self.resting = ""
        self._queue: deque[Task] = deque()
        self._chosen = chosen
        self._exhausted = False
        self._feeding = False
        self._news = threading.Condition()
        self._last_error, self._equal = "", 0

    # ---- the loop ---------------------------------------------------------------------------------------

    def work(self) -> None:
        """Everything that is due, the first order alone, the rest in parallel; then orders to be marked as sent."""
        self._worker(once=True)
        if not self.halted:
            threads = [
                threading.Thread(target=self._worker, name=f"{self.integration.name}-{n}", daemon=True)
                for n in range(self.desk.concurrency - 1)
            ]
            if self._queue or not self._exhausted:
                for thread in threads:
                    thread.start()
            self._worker()
            for thread in threads:
                if thread.ident:
                    thread.join()
        left = [one for task in self._queue for one in task.group]
        if self._chosen:
            left += [one for group in self._chosen for one in group]
        if left and not self.run.dry:
            self.store.release(self.run.id, left, revive=bool(self.resting))
            self.run.tally.touched.update(one.id for one in left if self.resting)
        if self.desk.marks and self.only_run is None and self._chosen is None and not self.halted and not self.run.dry:
            self._mark_wanted()

    @property
    def halted(self) -> bool:
        return bool(self.resting) or self.run.stopping

    def _worker(self, once: bool = False) -> None:
        try:
            while (task := self._next()) is not None:
                self._safely(task)
                if once:
                    return
        except Interrupted:
            pass
        except ConfigError as error:
            self._rest(error)
            if isinstance(error, StoreFailed):  # not given back: what left unrecorded is in doubt once this run is gone
                self.run.stop(error.exit_code)
        except Exception as error:
            if known := ran_out(error):
                self._rest(known)
                self.run.stop(known.exit_code)
                return
            self._rest(ConfigError("a bug in shipfwd stopped it"))
            self._tell_bug("while looking for what is due", error)

    def _safely(self, task: Task) -> None:
        try:
            self._order(task)
        except Interrupted:
            self._give_back(task.group)
        except StoreFailed:
            raise
        except ConfigError as error:
            self._rest(error)
            self._give_back(task.group)
        except Exception as error:  # a bug: this order fails, the run goes on
            if ran_out(error):
                raise
            self._bug(task.group, error)

    def _next(self) -> Task | None:
        with self._news:
            while True:
                if self.halted:
                    return None
                if self._queue and (self._feeding or self._exhausted or len(self._queue) > self.desk.concurrency):
                    return self._queue.popleft()
                if not self._feeding and not self._exhausted:
                    self._feeding = True
                    break
                if not self._feeding:
                    return None
                self._news.wait(1.0)
        tasks: list[Task] = []
        try:
            tasks = self._feed()
        finally:
            with self._news:
                self._feeding = False
                self._exhausted = self._exhausted or not tasks
                self._queue.extend(tasks)
                self._news.notify_all()
        return self._next()

    def _feed(self) -> list[Task]:
        """The next orders, looked up in batches where the platform allows that."""
        size = max(self.platform.look_batch, self.desk.concurrency)
        if self._chosen is not None:
            groups, self._chosen = self._chosen[:size], self._chosen[size:]
            self._exhausted = not self._chosen
        elif self.run.dry:
            groups = self.store.claim(0, self.integration, 10**6, self.only_run, peek=True)
            self._exhausted = True
        else:
            groups = self.store.claim(self.run.id, self.integration, size, self.only_run)
        if self.platform.look_batch == 1 or len(groups) < 2:
            return [Task(group) for group in groups]
        tasks: list[Task] = []
        for start in range(0, len(groups), self.platform.look_batch):
            part = groups[start : start + self.platform.look_batch]
            orders = [group[0].order_id for group in part]
            talk = Talk(self.desk.channel)
            try:
                seen = self.platform.over(talk).look(orders)
                looks = tuple(replace(one, answer=f"(one answer for {len(part)} orders)") for one in talk.exchanges)
                tasks += [Task(group, seen.get(group[0].order_id), None, True, looks) for group in part]
            except TryLater as error:
                tasks += [Task(group, None, error, True, tuple(talk.exchanges)) for group in part]
            except (Interrupted, ConfigError) as error:
                if not self.run.dry:
                    self.store.release(self.run.id, [one for group in groups for one in group])
                if isinstance(error, ConfigError):
                    self._rest(error)
                return []
            except Exception:  # one bad order, or a bug, must not fail its neighbours: they are looked up one by one
                tasks += [Task(group) for group in part]
        return tasks

    # ---- one order --------------------------------------------------------------------------------------

    def _order(self, task: Task) -> None:
        group, seen, problem, looked, looks = task
        order = group[0].order_id
        talk = Talk(self.desk.channel)
        talk.exchanges += looks
        platform = self.platform.over(talk)
        todo: list[Claimed] = []
        unfit: dict[int, Exception] = {}  # what can be looked up and not be written
        for one in group:
            try:
                platform.check_number(one.parcel)
                platform.preflight(one.parcel)
            except (CarrierNotAccepted, NumberNotAccepted, NotOurs) as error:
                if one.in_doubt_since is None and one.before != "forwarded":
                    self._settle([(one, self._blocked(one, error))], "preflight", [])
                    continue
                unfit[one.id] = error
            except PlatformError as error:
                self._settle([(one, self._react(one, error, None))], "look", talk.exchanges)
                continue
            todo.append(one)
        if not todo:
            return
        # A person's --again writes only what is absent, and a lost answer is looked for, whatever a repeat would do.
        must = any(one.before == "forwarded" or one.in_doubt_since is not None for one in todo)
        if problem is None and not looked and (must or platform.needs_look([one.parcel for one in todo])):
            try:
                seen = platform.look([order]).get(order)
                looked = True
            except (PlatformError, Interrupted) as error:
                problem = error
        if isinstance(problem, Interrupted):
            raise problem
        if problem is None and looked and seen is None:
            problem = OrderNotFound(f"{platform.title} knows no order '{order}'; check the number and the integration")
        if problem is not None:
            self._settle([(one, self._react(one, problem, None)) for one in todo], "look", talk.exchanges)
            return
        self._write(order, todo, seen or Seen(), talk, platform, unfit)
        if self.desk.marks and not self.run.dry:
            for wanted, tries in self.store.wanted_sent(self.integration, 1, order):
                self._mark(wanted, tries, seen if looked else None, talk, platform)

    def _write(
        self, order: str, todo: list[Claimed], seen: Seen, talk: Talk, platform: Platform, unfit: dict[int, Exception]
    ) -> None:
        """Adopt what is there, hold back what must wait, send the rest."""
        before = unseen.written(platform, self.store, self.integration, order)
        seen = unseen.remembered(platform, seen, before, besides=todo)
        going: list[Claimed] = []
        looks = list(talk.exchanges)
        journalled: set[int] = set()  # whose looks stand in the journal already, before the write that followed them
        for one in todo:
            verdict = self._verdict(one, seen, order, before)
            if verdict is None and one.id in unfit:
                verdict = self._blocked(one, unfit[one.id])
            if verdict is None:
                going.append(one)
            else:
                self._settle([(one, verdict)], "look", looks, answered=True)
                seen = unseen.remembered(platform, seen, [one] if verdict.state == "forwarded" else [])
                journalled.add(one.id)
        bundles: dict[str, list[Claimed]] = {}
        for one in going:
            bundles.setdefault(platform.bundle(one.parcel) if platform.together else str(one.id), []).append(one)
        parts = list(bundles.values())
        stopped: TryLater | None = None
        together: datetime | None = None  # when the order's parcels are tried again
        for part in parts:
            if stopped is not None:
                self._settle([(one, self._after(one, stopped, together)) for one in part], "forward", [], answered=True)
                continue
            if (late := self._conflict(part[0], seen, order)) is not None:
                self._settle([(one, replace(late, shipment_id=one.id)) for one in part], "forward", [], answered=True)
                continue
            begun = len(talk.exchanges)
            left_at: list[datetime] = []
            talk.intent = self._intent(part, left_at, looks, journalled)
            try:
                receipts = platform.forward(order, [one.parcel for one in part], seen)
                outcomes = [(one, self._accepted(one, receipts)) for one in part]
                new = [one.parcel.tracking_number for one, outcome in outcomes if outcome.state == "forwarded"]
                seen = replace(seen, numbers=(*seen.numbers, *new))
            except WouldSend as would:
                self._rehearse(part, would)
                continue
            except PlatformError as error:
                when = left_at[-1] if left_at else None
                ours = unseen.written(platform, self.store, self.integration, order)
                blind = {one.id: unseen.blind(platform, one, seen, ours) for one in part}
                outcomes = [(one, self._react(one, error, when, True, blind[one.id])) for one in part]
                stopped = error if isinstance(error, TryLater) else None
                together = outcomes[0][1].next_attempt_at
            finally:
                talk.intent = None
            told = [] if journalled >= {one.id for one in part} else looks
            self._settle(outcomes, "forward", [*told, *talk.exchanges[begun:]])

    def _intent(
        self, part: Sequence[Claimed], left_at: list[datetime], looks: Sequence[Exchange], journalled: set[int]
    ) -> Callable[[Exchange], None] | None:
        """What is committed just before a write leaves: the looks that led to it, and that it left."""
        if self.run.dry:
            return None

        def leave(exchange: Exchange) -> None:
            left_at.append(self.run.clock())
            lines = _lines([one for one in part if one.id not in journalled], looks) + [
                Attempt(one.id, "forward", "left", exchange=exchange) for one in part
            ]
            self.store.leave(self.run.id, lines)
            journalled.update(one.id for one in part)

        return leave

    def _verdict(self, one: Claimed, seen: Seen, order: str, ours: Sequence[Claimed]) -> Settlement | None:
        """What the look alone decides; None: write it. `ours`: what the platform cannot show (unseen.py)."""
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

    def _conflict(self, one: Claimed, seen: Seen, order: str) -> Settlement | None:
        """A different number stands there, and the platform cannot hold both."""
        if not seen.numbers or self.platform.parcels in ("many", "joined"):
            return None
        if self.platform.parcels == "items" and one.parcel.items:
            return None
        there, ours = seen.numbers[-1], self.store.ours(self.integration.id, order)
        if any(tracking_key(number) not in ours for number in seen.numbers):
            error: Exception = Rejected(
                f"{self.platform.title} has another number there, {there}, that is not from here; "
                f"keep it and drop this one (shipfwd drop {one.id}), or change it there by hand"
            )
        elif self.platform.parcels == "one":
            error = OneNumber(f"{self.platform.title} shows one number, has {there}")
        else:
            error = NeedsItems(f"{there} is there for the whole order; a further parcel needs its --item")
        return self._react(one, error, None)

    # ---- outcomes ---------------------------------------------------------------------------------------

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
        if isinstance(error, OutcomeUnknown) and written:
            since = (left_at or now) + ROUNDED
            if blind and self.platform.repeat != "harmless":
                return unseen.unreadable(self.platform, one, since)
            until = since + timedelta(seconds=self.desk.doubt_seconds)
            return Settlement(one.id, "pending", f"in doubt: {reason}", kind, until, since)
        if isinstance(error, TryLater):
            if one.before == "forwarded" and not written:
                return Settlement(one.id, "forwarded", f"looked for again without success: {reason}", kind)
            after = (error.after or NOT_READY) if isinstance(error, NotReady) else error.after
            at = schedule.retry_at(one.tries, now, after, self.desk.random)
            return Settlement(one.id, "pending", reason, kind, at, doubt)
        blocking = (NotOurs, OneNumber, NeedsItems)
        if isinstance(error, blocking) or isinstance(error, (CarrierNotAccepted, NumberNotAccepted)) and not written:
            return self._blocked(one, error)
        return Settlement(one.id, "failed", reason, kind)

    def _after(self, one: Claimed, stopped: TryLater, at: datetime | None) -> Settlement:
        """A parcel that was not tried, since an older one of its order has to go first."""
        if at is None:
            at = schedule.retry_at(1, self.run.clock(), stopped.after, self.desk.random)
        reason = f"waits for an older parcel of its order: {stopped}"
        return Settlement(one.id, "pending", reason, type(stopped).__name__, at, one.in_doubt_since)

    def _settle(
        self,
        outcomes: Sequence[tuple[Claimed, Settlement]],
        step: str,
        exchanges: Sequence[Exchange],
        answered: bool = False,
    ) -> None:
        """Record outcomes. `answered`: the platform's answer was good, whatever follows from it for the shipment."""
        if self.run.dry:
            for one, outcome in outcomes:
                word = "is there already" if outcome.adopted else f"would be {outcome.state}: {outcome.reason}"
                self.run.tally.rehearsed.append((one.id, word, None))
            return
        lines = _lines([one for one, _ in outcomes], exchanges)
        for one, outcome in outcomes:
            word = "adopted" if outcome.adopted else _word(outcome)
            lines.append(Attempt(one.id, step, word, outcome.reason))
        order = outcomes[0][0].order_id
        held = self.store.settle(self.run.id, self.integration.id, [outcome for _, outcome in outcomes], lines, order)
        tally = self.run.tally
        for one, outcome in outcomes:
            if one.id not in held:  # settled before, by this run or by whoever took it over
                continue
            tally.touched.add(one.id)
            self.run.done += 1
            if outcome.adopted:
                tally.adopted.add(one.id)
            if outcome.state in ("failed", "blocked"):
                tally.codes.add(1)
            if outcome.next_attempt_at or outcome.state == "forwarded" and outcome.kind:
                tally.codes.add(4)
        self._count_equal(outcomes, answered)

    def _count_equal(self, outcomes: Sequence[tuple[Claimed, Settlement]], answered: bool) -> None:
        """Five equal errors in a row that name no order or carrier: the trouble is not the order's."""
        with self._news:
            for one, outcome in outcomes:
                if answered or not outcome.kind or outcome.kind in NAMES_AN_ORDER:
                    self._last_error, self._equal = "", 0
                    continue
                text = f"{outcome.kind} {outcome.reason}".replace(one.parcel.tracking_number, "")
                for own in (one.order_id, str(one.id)):
                    text = re.sub(rf"(?<![\w.:]){re.escape(own)}(?!\w)", "", text)
                self._equal = self._equal + 1 if text == self._last_error else 1
                self._last_error = text
            if self._equal >= EQUAL_ERRORS and not self.resting:
                self.resting = f"the same error {self._equal} times in a row"
                self.run.tally.talk.append(
                    f"{self.integration.name}: {self.resting}; the rest of its shipments wait for the next run"
                )

    # ---- trouble that is not one shipment's -------------------------------------------------------------

    def _rest(self, error: ConfigError) -> None:
        with self._news:
            if not self.resting:
                self.resting = str(error)
                self.run.tally.codes.add(error.exit_code)
                said = named(str(error), self.integration.name)
                self.run.tally.told.append(f"{self.integration.name}: {said}; its shipments stay pending")
                if not self.run.dry and self.only_run is None and not isinstance(error, StoreFailed):
                    self.run.tally.touched.update(self.store.due_ids(self.integration.id))
            self._news.notify_all()

    def _give_back(self, group: Sequence[Claimed]) -> None:
        """What was claimed and not begun is as it was; what a person chose waits for the mended integration."""
        if not self.run.dry:
            self.store.release(self.run.id, group, revive=bool(self.resting))
            self.run.tally.touched.update(one.id for one in group if self.resting)

    def _bug(self, group: Sequence[Claimed], error: Exception) -> None:
        self._tell_bug(f"at order {group[0].order_id}", error)
        failed = Settlement(
            0, "failed", f"a bug in shipfwd stopped it ({type(error).__name__}); please report it", "Bug"
        )
        self._settle([(one, replace(failed, shipment_id=one.id)) for one in group], "forward", [])

    def _tell_bug(self, where: str, error: Exception) -> None:
        self.run.tally.codes.add(70)
        text = "".join(traceback.format_exception(error))
        self.run.tally.told.append(
            f"bug in shipfwd {where} of {self.integration.name}; please report:\n"
            + self.desk.channel.network.redactor.redact(text)
        )

    def _rehearse(self, part: Sequence[Claimed], would: WouldSend) -> None:
        for one in part:
            self.run.tally.rehearsed.append((one.id, "would send", would.request))

    # ---- marking as sent --------------------------------------------------------------------------------

    def _mark_wanted(self) -> None:
        """Orders whose parcels are all there and that are still to be marked as sent, from this or an earlier run."""
        while not self.halted and (wanted := self.store.wanted_sent(self.integration, 50)):
            for order, tries in wanted:
                if self.halted:
                    return
                talk = Talk(self.desk.channel)
                try:
                    self._mark(order, tries, None, talk, self.platform.over(talk))
                except Interrupted:
                    return
                except ConfigError as error:
                    self._rest(error)

    def _mark(self, order: str, tries: int, seen: Seen | None, talk: Talk, platform: Platform) -> None:
        begun = len(talk.exchanges)
        state, reason, next_at = "done", "", None
        try:
            if seen is None:
                seen = platform.look([order]).get(order)
            if seen is None:
                raise OrderNotFound(f"{platform.title} knows no order '{order}' any more")
            if not seen.sent:
                if seen.state not in platform.sent_from:
                    raise Rejected(f"the order is in '{seen.state}' there, from which it is not marked")
                platform.mark_sent(order, seen)
        except TryLater as error:
            state, reason = "wanted", f"number is there; marking as sent failed: {error}"
            next_at = schedule.retry_at(tries + 1, self.run.clock(), error.after, self.desk.random)
            self.run.tally.codes.add(4)
        except ConfigError as error:
            state, reason = "wanted", f"number is there; marking as sent failed: {error}"
            next_at = schedule.retry_at(tries + 1, self.run.clock(), None, self.desk.random)
            self._rest(error)
        except (Refused, CarrierNotAccepted, NumberNotAccepted, NotOurs) as error:
            state, reason = "refused", f"number is there; marking as sent failed: {error}"
            self.run.tally.codes.add(1)
            self.run.tally.told.append(f"{self.integration.name}, order {order}: {reason}")
        except ShipfwdError:
            raise
        except Exception as error:  # a bug: the number stays there, the run goes on
            if ran_out(error):
                raise
            kind = type(error).__name__
            state, reason = "refused", f"number is there; marking as sent failed: a bug in shipfwd ({kind}); report it"
            self._tell_bug(f"at order {order}", error)
        lines = [
            Attempt(one.id, "status", {"done": "marked as sent"}.get(state, state), reason, exchange)
            for one in self.store.forwarded_of(self.integration.id, order)
            for exchange in (*talk.exchanges[begun:],) or (None,)
        ]
        self.store.settle_sent(self.run.id, self.integration.id, order, state, reason, next_at, lines)


def _lines(part: Sequence[Claimed], exchanges: Sequence[Exchange]) -> list[Attempt]:
    return [
        Attempt(
            one.id,
            "forward" if exchange.write else "look",
            "no answer" if exchange.status is None else exchange.note or "answered",
            exchange.note if exchange.status is None else "",
            exchange,
        )
        for one in part
        for exchange in exchanges
    ]


def _word(outcome: Settlement) -> str:
    if outcome.in_doubt_since and outcome.state == "pending":
        return "in doubt"
    return {"forwarded": "accepted", "pending": "again later"}.get(outcome.state, outcome.state)


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
    if isinstance(error, Refused) and "shipfwd" not in text and ";" not in text:
        return f"{text}; when that is mended: shipfwd forward {one.id}"
    return text
