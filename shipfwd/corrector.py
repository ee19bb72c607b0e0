"""Replacing a number that was forwarded: in its place, beside it, or by hand at the platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shipfwd.errors import (
    AnswerLost,
    CarrierNotAccepted,
    ConfigError,
    Interrupted,
    NotOurs,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    PlatformError,
    Rejected,
    ShipfwdError,
    StoreFailed,
    TryLater,
    UsageError,
)
from shipfwd.files import ran_out
from shipfwd.http import Talk, WouldSend
from shipfwd.models import INSTEAD, LOST, Attempt, Claimed, Exchange, Receipt, Seen, Settlement, normalise, tracking_key
from shipfwd.runs import Run
from shipfwd.unseen import remembered, written
from shipfwd.verdicts import ROUNDED, Desk, a_bug, arriving


def correct(run: Run, desk: Desk, shipment_id: int, number: str) -> None:
    """Bring `number` to the order of a forwarded shipment. The old one stays in the journal.

    Raises UsageError when the number is another shipment's, or the same.
    """
    new = normalise(number)
    groups, left = run.store.claim_by_hand(run.id, [shipment_id], again=True, peek=run.dry)
    if shipment_id in left:
        raise UsageError(f"shipment {shipment_id}: {left[shipment_id]}; try again in a minute")
    ((claims,),) = groups.values()
    (one,) = claims
    left_at: list[datetime] = []
    talk = Talk(desk.channel)

    def leave(exchange: Exchange) -> None:
        left_at.append(run.clock())
        run.store.leave(run.id, [Attempt(one.id, "correct", "left", number, exchange)])

    talk.intent = leave
    try:
        if one.before != "forwarded":
            raise UsageError(f"shipment {shipment_id} is not forwarded any more; see: shipfwd show {shipment_id}")
        if tracking_key(new) == one.parcel.key:
            raise UsageError(f"{new} is the number that shipment {shipment_id} has already")
        if run.store.taken(desk.integration.id, one.order_id, tracking_key(new)):
            raise UsageError(f"{new} is another shipment of order {one.order_id}; drop that one first")
        how, receipt, words = _replace(run, desk, one, new, talk)
        if not run.dry:
            lines = [
                Attempt(one.id, "correct", LOST if exchange and exchange.lost else "replaced", how, exchange)
                for exchange in (*talk.exchanges,) or (None,)
            ]
            done = Settlement(
                one.id,
                "forwarded",
                words,
                confirmed=receipt.confirmed,
                remote_id=receipt.remote_id,
                number=number,
            )
            run.store.settle(run.id, desk.integration.id, [done], lines)
            left_at.clear()
            run.tally.touched.add(one.id)
    except WouldSend as would:
        run.rehearse(one.id, f"would replace {one.parcel.tracking_number} by {new}", would.request)
    except Exception as error:
        if isinstance(error, StoreFailed) or ran_out(error):
            raise
        if left_at and _may_stand(error, talk.exchanges):
            run.tally.codes.add(_doubt(run, desk, one, new, error, left_at[-1], talk.exchanges))
            left_at.clear()
        elif isinstance(error, (ConfigError, PlatformError)):
            left_at.clear()
            said = _refused(desk, one, error)
            run.tally.codes.add(error.exit_code)
            run.tally.told.append(said)
            if not run.dry:
                run.store.leave(run.id, [Attempt(one.id, "correct", "not replaced", said)])
        else:
            raise
    finally:
        if not run.dry and not left_at:  # else: what left and is not recorded is in doubt once this run is gone
            run.store.release(run.id, [one])


def _refused(desk: Desk, one: Claimed, error: Exception) -> str:
    if isinstance(error, ConfigError):
        return f"{desk.integration.name}: {error}; nothing was replaced"
    then = "; the old number may still stand there, run the same command again" if isinstance(error, TryLater) else ""
    return f"shipment {one.id}: {error}{then}"


def _may_stand(error: Exception, exchanges: Sequence[Exchange]) -> bool:
    """May the new number stand there, though the correction ended with this error?"""
    if isinstance(error, (OutcomeUnknown, AnswerLost, NotUnderstood)):
        return True
    if not isinstance(error, (PlatformError, ConfigError, Interrupted)):
        return True  # a bug
    done = exchanges if isinstance(error, Interrupted) else exchanges[:-1]  # the last is the one that was refused
    return any(one.write and one.status is not None and one.status < 300 and not one.note for one in done)


def _doubt(
    run: Run, desk: Desk, one: Claimed, new: str, error: Exception, left_at: datetime, exchanges: Sequence[Exchange]
) -> int:
    """The shipment shows doubt until a later run has looked which number stands there (`looked_up`)."""
    since = left_at + ROUNDED
    until = since + timedelta(seconds=desk.doubt_seconds)
    what = str(error) if isinstance(error, ShipfwdError) else a_bug(error)
    reason = f"whether {new} replaced {one.parcel.tracking_number} is looked up: {what}"
    lost = Settlement(one.id, "pending", reason, "Correction", until, since)
    lines = [Attempt(one.id, "correct", "no answer", "", exchange) for exchange in exchanges]
    lines.append(Attempt(one.id, "correct", "in doubt", reason))
    run.store.settle(run.id, desk.integration.id, [lost], lines)
    run.tally.touched.add(one.id)
    run.tally.told.append(f"shipment {one.id}: {reason}; by the first run after {desk.doubt_seconds:.0f} seconds")
    return 4 if isinstance(error, ShipfwdError) else 70


def _replace(run: Run, desk: Desk, one: Claimed, new: str, talk: Talk) -> tuple[str, Receipt, str]:
    """Do it; how it was done, what the platform said, what is to be said of the old number ("": it is replaced).

    Raises PlatformError when it cannot be done.
    """
    platform = desk.platform.over(talk)
    old = one.parcel.tracking_number
    if platform.correct is None:
        where = platform.where.format(order=one.order_id)
        raise Rejected(
            f"{platform.title} cannot replace or add a number through its API; change {old} to {new} by hand"
            + (f" at {where}" if where else f" in the order's page at {platform.title}")
        )
    parcel = replace(one.parcel, tracking_number=new, tracking_url=one.parcel.tracking_url.replace(old, new))
    platform.check_number(parcel)
    platform.preflight(parcel)
    if found := arriving(desk, run.store, one.order_id, one, run.clock()):
        what = f"a write for shipment {found[0]} of its order was lost and may still arrive"
        raise TryLater(f"{what}; nothing was replaced, wait for it")
    if run.store.lost(one.id, run.clock() - timedelta(seconds=desk.doubt_seconds), own=True):
        what = f"{old} was sent twice, since an answer was lost, and the first may still arrive and replace {new}"
        raise TryLater(f"{what}; nothing was replaced, try again in {desk.doubt_seconds:.0f} seconds")
    looks = platform.read_back or platform.needs_look([parcel])
    seen = platform.look([one.order_id]).get(one.order_id) if looks else Seen()
    if seen is None:
        raise OrderNotFound(f"{platform.title} knows no order '{one.order_id}' any more; nothing was replaced")
    seen = remembered(platform, seen, written(platform, run.store, desk.integration, one.order_id))
    if isinstance(seen.refusal, (NotOurs, Rejected, CarrierNotAccepted, NumberNotAccepted)):
        raise seen.refusal
    how, receipt = f"{old} → {new}", Receipt(one.id)
    if seen.has(new) and not (platform.correct == "replace" and seen.has(old)):
        how += ": it was there already"
    elif platform.correct == "replace":
        receipt = platform.replace(one.order_id, one.parcel, new, seen)
    else:
        (receipt,) = platform.forward(one.order_id, [parcel], seen)
        where = platform.where.format(order=one.order_id) or platform.title
        run.tally.talk.append(f"{new} was added; {old} cannot be removed through the API, see {where}")
        how += " (added beside it)"
    return how, receipt, INSTEAD.get(platform.correct, "") if seen.has(old) else ""
