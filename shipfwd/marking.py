"""Marking orders as sent, where that is a step of its own: recorded apart and retried apart."""

from __future__ import annotations

from shipfwd import schedule
from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    Interrupted,
    NotOurs,
    NumberNotAccepted,
    OrderNotFound,
    Refused,
    Rejected,
    ShipfwdError,
    TryLater,
)
from shipfwd.files import ran_out
from shipfwd.http import Talk
from shipfwd.models import Attempt, Seen
from shipfwd.platforms.base import Platform
from shipfwd.verdicts import Verdicts


class Marking(Verdicts):
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
        level = {"done": "info", "wanted": "warning"}.get(state, "error")
        self.run.log(
            "order", level, run=self.run.id, integration=self.integration.name, order_id=order,
            outcome={"done": "marked as sent"}.get(state, state), reason=reason,
        )  # fmt: skip
        self.store.settle_sent(self.run.id, self.integration.id, order, state, reason, next_at, lines)
