"""Replacing a number that was forwarded: in its place, beside it, or by hand at the platform."""

from __future__ import annotations

from dataclasses import replace

from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    NotOurs,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    PlatformError,
    Rejected,
    TryLater,
    UsageError,
)
from shipfwd.http import Talk, WouldSend
from shipfwd.models import Attempt, Claimed, Receipt, Seen, normalise, tracking_key
from shipfwd.runs import Run
from shipfwd.unseen import remembered, written
from shipfwd.verdicts import Desk, arriving


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
    code = 0
    try:
        if tracking_key(new) == one.parcel.key:
            raise UsageError(f"{new} is the number that shipment {shipment_id} has already")
        if run.store.taken(desk.integration.id, one.order_id, tracking_key(new)):
            raise UsageError(f"{new} is another shipment of order {one.order_id}; drop that one first")
        lines, receipt = _replace(run, desk, one, new)
        if not run.dry:
            run.store.corrected(run.id, one, new, number, lines, receipt.confirmed, receipt.remote_id)
            run.tally.touched.add(one.id)
    except WouldSend as would:
        run.rehearse(one.id, f"would replace {one.parcel.tracking_number} by {new}", would.request)
    except ConfigError as error:
        run.tally.told.append(f"{desk.integration.name}: {error}; nothing was replaced")
        code = error.exit_code
    except OutcomeUnknown as error:
        pause = f"{desk.doubt_seconds:.0f} seconds"
        run.tally.told.append(
            f"shipment {one.id}: {error}; it may have arrived: wait {pause}, then run the same command again"
        )
        code = 4
    except TryLater as error:
        run.tally.told.append(
            f"shipment {one.id}: {error}; the old number may still stand there, run the same command again"
        )
        code = 4
    except PlatformError as error:
        run.tally.told.append(f"shipment {one.id}: {error}")
        code = 1
    finally:
        if not run.dry:
            run.store.release(run.id, [one])
    if code:
        run.tally.codes.add(code)
        if not run.dry:
            run.store.leave(run.id, [Attempt(one.id, "correct", "not replaced", run.tally.told[-1])])


def _replace(run: Run, desk: Desk, one: Claimed, new: str) -> tuple[list[Attempt], Receipt]:
    """Do it; the journal's lines and what the platform said. Raises PlatformError when it cannot be done."""
    talk = Talk(desk.channel)
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
    lines = [Attempt(one.id, "correct", "replaced", how, exchange) for exchange in (*talk.exchanges,) or (None,)]
    return lines, receipt
