"""Marking orders as sent, where that is a step of its own: recorded apart and retried apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from shipfwd import schedule
from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    Interrupted,
    NotOurs,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    PiecesLeft,
    Refused,
    Rejected,
    ShipfwdError,
    TryLater,
)
from shipfwd.files import ran_out
from shipfwd.http import Talk
from shipfwd.models import Attempt, Exchange, Parcel, Seen
from shipfwd.platforms.base import Platform
from shipfwd.verdicts import ROUNDED, Verdicts

WORDS = {"done": "marked as sent", "": "not marked yet"}
SOON = 5.0  # seconds within which the write of a status step usually leaves


class TurnOver(TryLater):
    """It waited so long for its write to leave that another run has the turn now."""


class Marking(Verdicts):
    """The status step of an order is one run's at a time: two that mark at once mail the buyer twice.

    Whoever settles its last parcel, or finds it undone, has the turn for as long as its write may still arrive; so
    a killed run's is over by itself, and nobody repeats what may have left.
    """

    def _turn(self) -> datetime:
        doubt = self.desk.doubt_seconds
        return (self.run.clock() + timedelta(seconds=doubt + min(SOON, doubt)) + ROUNDED).replace(microsecond=0)

    def _mark_wanted(self) -> None:
        """Orders whose parcels are all there and that are still to be marked as sent, from this or an earlier run."""
        while not self.halted and (wanted := self.store.wanted_sent(self.integration, 50)):
            for order in wanted:
                if self.halted:
                    return
                talk = Talk(self.desk.channel)
                try:
                    self._mark_in_turn(order, None, None, talk, self.platform.over(talk))
                except Interrupted:
                    return
                except ConfigError as error:
                    self._rest(error)

    def _mark_in_turn(
        self, order: str, until: datetime | None, seen: Seen | None, talk: Talk, platform: Platform
    ) -> None:
        """Mark the order as sent if that is wanted and nobody else is at it. `until`: when the turn ends that we have.

        Raises Interrupted when nothing has left yet.
        """
        wanted, taken = self.store.status_step(self.integration, order)
        if not wanted:
            return
        tries: int | None = 0
        if until is None or taken != until:
            until = self._turn()
            tries = self.store.take_turn(self.integration, order, until)
        if tries is None:
            return
        talk.intent = self._leave_in_turn(order, until)
        try:
            self._mark(order, tries, seen, talk, platform)
        finally:
            talk.intent = None

    def _leave_in_turn(self, order: str, until: datetime) -> Callable[[Exchange], None]:
        def leave(exchange: Exchange) -> None:
            nonlocal until
            end = self._turn()
            if end - until > timedelta(seconds=min(SOON, self.desk.doubt_seconds)):  # it had to wait
                if self.store.take_turn(self.integration, order, end, mine=until) is None:
                    raise TurnOver
                until = end

        return leave

    def _mark(self, order: str, tries: int, seen: Seen | None, talk: Talk, platform: Platform) -> None:
        begun = len(talk.exchanges)
        state, reason, next_at = "done", "", None
        parcels: list[Parcel] = []
        try:
            if seen is None:
                seen = platform.look([order]).get(order)
            if seen is None:
                raise OrderNotFound(f"{platform.title} knows no order '{order}' any more")
            if not seen.sent:
                if seen.state not in platform.sent_from:
                    raise Rejected(f"the order is in '{seen.state}' there, from which it is not marked")
                if isinstance(seen.refusal, Exception):  # cancelled or refunded, though its parcel is not
                    raise seen.refusal
                parcels = [one.parcel for one in self.store.parcels_of(self.integration.id, order)]
                if left := platform.pieces_left(order, seen, parcels):
                    said = platform.mark_partly(order, seen) or "not marked as sent"
                    raise PiecesLeft(f"number is there; {left} more of the order are in no parcel yet, so it is {said}")
                platform.mark_sent(order, seen)
        except TurnOver:
            return
        except PiecesLeft as error:
            state, reason = "", str(error)
        except TryLater as error:
            state, reason = "wanted", f"number is there; marking as sent failed: {error}"
            next_at = schedule.retry_at(tries + 1, self.run.clock(), error.after, self.desk.random)
            if isinstance(error, OutcomeUnknown):
                next_at = max(next_at, self._turn())
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
            Attempt(one.id, "status", WORDS.get(state, state), reason, exchange)
            for one in self.store.forwarded_of(self.integration.id, order)
            for exchange in (*talk.exchanges[begun:],) or (None,)
        ]
        level = {"done": "info", "": "info", "wanted": "warning"}.get(state, "error")
        self.run.log(
            "order", level, run=self.run.id, integration=self.integration.name, order_id=order,
            outcome=WORDS.get(state, state), reason=reason,
        )  # fmt: skip
        self.store.settle_sent(self.run.id, self.integration.id, order, state, reason, next_at, lines, len(parcels))
