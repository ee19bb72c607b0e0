"""The engine: claim → look → write → settle → mark as sent. The only place that reacts to error classes.

One loop decides everything that is the same for all platforms; an adapter only translates.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from shipfwd import unseen
from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    Interrupted,
    NotOurs,
    NumberNotAccepted,
    OrderNotFound,
    PlatformError,
    StoreFailed,
    TryLater,
)
from shipfwd.files import as_many, ran_out
from shipfwd.http import Talk, WouldSend
from shipfwd.marking import Marking
from shipfwd.models import Attempt, Claimed, Exchange, Seen, Settlement, stamp
from shipfwd.platforms.base import Platform
from shipfwd.runs import Run
from shipfwd.store.foresight import Foresight
from shipfwd.verdicts import Desk, a_bug, journal_lines, word_of

EQUAL_ERRORS = 5  # in a row, naming no order: the integration rests for this run
NAMES_AN_ORDER = (
    "OrderNotFound", "CarrierNotAccepted", "NumberNotAccepted", "NotOurs", "NotReady", "InDoubt", "OneNumber",
    "NeedsItems", "NoRoom",
)  # fmt: skip


class Task(NamedTuple):
    """One order to work on.

    seen, problem   what a batch's look found or raised.   looked   there was one.   looks   its record.
    """

    group: list[Claimed]
    seen: Seen | None = None
    problem: Exception | None = None
    looked: bool = False
    looks: tuple[Exchange, ...] = ()


class Forwarder(Marking):
    """Works off one integration's share of a run.

    only_run   only what that run added (import, add).
    chosen     groups that a person chose, already claimed; then nothing else is claimed.
    foresight  a dry run's: what it would claim.
    """

    def __init__(
        self,
        run: Run,
        desk: Desk,
        only_run: int | None = None,
        chosen: list[list[Claimed]] | None = None,
        foresight: Foresight | None = None,
    ) -> None:
        super().__init__(run, desk, only_run)
        self._foresight = foresight
        self._queue: deque[Task] = deque()
        self._chosen = chosen
        self._exhausted = False
        self._feeding = False
        self._last_error, self._equal = "", 0
        self._turns: dict[str, datetime] = {}  # orders whose status step this run may take, and until when

    # ---- the loop ---------------------------------------------------------------------------------------

    def work(self) -> None:
        """Everything that is due, the first order alone, the rest in parallel; then orders to be marked as sent."""
        self._worker(once=True)
        if not self.halted:
            threads = [
                threading.Thread(target=self._worker, name=f"{self.integration.name}-{n}", daemon=True)
                for n in range(self.desk.concurrency - 1)
            ]
            started = as_many(threads) if self._queue or not self._exhausted else []
            self._worker()
            for thread in started:
                thread.join()
        left = [one for task in self._queue for one in task.group]
        if self._chosen:
            left += [one for group in self._chosen for one in group]
        if left and not self.run.dry:
            self.store.release(self.run.id, left, revive=bool(self.resting))
            self.run.tally.touched.update(one.id for one in left if self.resting)
        if self.halted or self.run.dry or self._chosen is not None:
            return
        if held := self.store.hold_back(self.integration, self.only_run):
            self.run.tally.touched.update(held)
            self.run.tally.codes.add(4)
        if self.desk.marks and self.only_run is None and self.integration.enabled:
            self._mark_wanted()

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
        elif self._foresight is not None:
            groups = self._foresight.next(size)
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
            self._settle([(one, self._not_looked(one, problem)) for one in todo], "look", talk.exchanges)
            return
        self._write(order, todo, seen or Seen(), talk, platform, unfit)
        if self.desk.marks and not self.run.dry:
            self._mark_in_turn(order, self._turns.pop(order, None), seen if looked else None, talk, platform)

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
            held = {one.id: verdict for one in part if (verdict := self._held(one, order)) is not None}
            if held:
                self._settle([(one, held[one.id]) for one in part if one.id in held], "look", looks, answered=True)
                part = [one for one in part if one.id not in held]
            if not part:
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
                new = [one.parcel for one, outcome in outcomes if outcome.state == "forwarded"]
                seen = unseen.added(platform, seen, new)
            except WouldSend as would:
                self._rehearse(part, would)
                continue
            except PlatformError as met:
                error = self._in_the_way(part[0], met, seen, order)
                when = left_at[-1] if left_at else None
                ours = unseen.written(platform, self.store, self.integration, order)
                blind = {one.id: unseen.blind(platform, one, seen, ours) for one in part}
                outcomes = [(one, self._react(one, error, when, True, blind[one.id])) for one in part]
                stopped = error if isinstance(error, TryLater) else None
                together = outcomes[0][1].next_attempt_at
            except Exception as error:
                if left_at and (doubt := self._broken_off(part, error, left_at[-1], talk.exchanges[begun:])):
                    self._settle(doubt, "forward", talk.exchanges[begun:])
                raise
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
            lines = journal_lines([one for one in part if one.id not in journalled], looks) + [
                Attempt(one.id, "forward", "left", exchange=exchange) for one in part
            ]
            self.store.leave(self.run.id, lines)
            journalled.update(one.id for one in part)

        return leave

    # ---- settling ---------------------------------------------------------------------------------------

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
                self.run.rehearse(one.id, word)
            self._count_equal(outcomes, answered)
            return
        lines = journal_lines([one for one, _ in outcomes], exchanges)
        for one, outcome in outcomes:
            word = "adopted" if outcome.adopted else word_of(outcome)
            lines.append(Attempt(one.id, step, word, outcome.reason))
        order = outcomes[0][0].order_id
        turn = self._turn() if any(outcome.wants_sent for _, outcome in outcomes) else None
        done = [outcome for _, outcome in outcomes]
        held, mine = self.store.settle(self.run.id, self.integration.id, done, lines, order, turn)
        if turn and mine:
            self._turns[order] = turn
        tally = self.run.tally
        for one, outcome in outcomes:
            if one.id not in held:  # settled before, by this run or by whoever took it over
                continue
            tally.touched.add(one.id)
            self.run.done += 1
            self._log(one, outcome)
            if outcome.adopted:
                tally.adopted.add(one.id)
            if outcome.state in ("failed", "blocked"):
                tally.codes.add(1)
            if outcome.next_attempt_at or outcome.state == "forwarded" and outcome.kind:
                tally.codes.add(4)
        self._count_equal(outcomes, answered)

    def _log(self, one: Claimed, outcome: Settlement) -> None:
        again = outcome.next_attempt_at
        state = "retrying" if outcome.state == "pending" and (again or outcome.in_doubt_since) else outcome.state
        word = "adopted" if outcome.adopted else word_of(outcome)
        more = {"class": outcome.kind, "next_attempt_at": stamp(again) if again else None}
        self.run.outcome(self.integration.name, one, state, word, outcome.reason, **more)

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
                self.run.resting.add(self.integration.id)
                self.run.tally.talk.append(
                    f"{self.integration.name}: {self.resting}; the rest of its shipments wait for the next run"
                )

    # ---- trouble that is not one shipment's -------------------------------------------------------------

    def _give_back(self, group: Sequence[Claimed]) -> None:
        """What was claimed and not begun is as it was; what a person chose waits for the mended integration."""
        if not self.run.dry:
            self.store.release(self.run.id, group, revive=bool(self.resting))
            self.run.tally.touched.update(one.id for one in group if self.resting)

    def _bug(self, group: Sequence[Claimed], error: Exception) -> None:
        self._tell_bug(f"at order {group[0].order_id}", error)
        failed = Settlement(0, "failed", a_bug(error), "Bug")
        self._settle([(one, replace(failed, shipment_id=one.id)) for one in group], "forward", [])

    def _rehearse(self, part: Sequence[Claimed], would: WouldSend) -> None:
        for one in part:
            self.run.rehearse(one.id, "would send", would.request)
