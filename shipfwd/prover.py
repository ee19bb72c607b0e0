"""Looks that are not part of sending: is what was accepted there, is what was blocked free, does all still stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from shipfwd.errors import PlatformError, TryLater, brief
from shipfwd.http import Talk
from shipfwd.models import STAY_BLOCKED, Claimed, Seen, tracking_key
from shipfwd.runs import Run
from shipfwd.verdicts import Desk

T = TypeVar("T")


def examine_blocked(run: Run, desk: Desk) -> None:
    """Blocked shipments whose reason is gone (a carrier was mapped, items came) are pending again."""
    for page in run.store.blocked(desk.integration.id):
        if run.stopping:
            return
        try:
            free = [one.id for one in page if _free(desk, one)]
        except TryLater:
            return
        if free:
            run.store.unblock(free)


def _free(desk: Desk, one: Claimed) -> bool:
    if one.kind == "NeedsItems" and not one.parcel.items or one.kind in STAY_BLOCKED:
        return False
    try:
        desk.platform.check_number(one.parcel)
        desk.platform.preflight(one.parcel)
    except TryLater:
        raise
    except PlatformError:
        return False
    return True


def prove(run: Run, desk: Desk) -> None:
    """Look for accepted numbers that nobody saw there yet; found, they are confirmed; missing, see `_missing`."""
    if not desk.platform.read_back:
        return
    size = desk.platform.verify_batch or desk.platform.look_batch
    for page in run.store.unproven(desk.integration.id, 100):
        if run.stopping:
            return
        for part in _by_order(page, size):
            written: dict[str, datetime] = {}
            for one, forwarded_at in part:
                written[one.order_id] = min(forwarded_at, written.get(one.order_id, forwarded_at))
            try:
                seen = _seen_again(desk, written)
            except TryLater:
                return  # a later sweep looks
            for one, forwarded_at in part:
                there = seen.get(one.order_id)
                if there is None:
                    continue
                if there.has(one.parcel.tracking_number):
                    if run.store.prove(run.id, one):
                        run.outcome(desk.integration.name, one, "forwarded", "confirmed")
                elif not there.partial and (run.clock() - forwarded_at).total_seconds() >= desk.platform.proof_seconds:
                    _missing(run, desk, one)


def _by_order(page: Sequence[tuple[Claimed, T]], size: int) -> Iterator[list[tuple[Claimed, T]]]:
    """Parts of a page with at most `size` orders: all parcels of an order together, so that it is read once."""
    orders: dict[str, list[tuple[Claimed, T]]] = {}
    for one in page:
        orders.setdefault(one[0].order_id, []).append(one)
    groups = list(orders.values())
    for start in range(0, len(groups), size):
        yield [one for group in groups[start : start + size] for one in group]


def _seen_again(desk: Desk, written: Mapping[str, datetime]) -> dict[str, Seen]:
    """What stands on these orders; without one that cannot be understood. One bad order must not hide the others."""
    try:
        return dict(desk.platform.over(Talk(desk.channel)).seen_again(written))
    except TryLater:
        raise
    except PlatformError:
        if len(written) == 1:
            return {}
    return {order: there for one in written.items() for order, there in _seen_again(desk, dict([one])).items()}


def _missing(run: Run, desk: Desk, one: Claimed) -> None:
    """Accepted, and not there: once more where a repeat is harmless, otherwise a person must look."""
    harmless = desk.platform.repeat == "harmless" and not run.store.missed_before(one.id)
    where = desk.platform.where.format(order=one.order_id) or desk.platform.title
    reason = (
        "accepted but not there; sent once more"
        if harmless
        else f"accepted, but the order does not show it; look at {where}, then: shipfwd forward --again {one.id}"
    )
    state = "pending" if harmless else "failed"
    if not run.store.disprove(run.id, one, state, reason):
        return
    run.tally.touched.add(one.id)
    run.tally.codes.add(4 if harmless else 1)
    run.outcome(desk.integration.name, one, state, "missing", reason)


# ---- verify ----------------------------------------------------------------------------------------------------------


def verify(run: Run, desk: Desk, since: datetime | None) -> Iterator[dict[str, Any]]:
    """Compare forwarded shipments with what their orders show: confirmed, missing, different, extra, unreadable.

    Row by row, since there may be a million; oldest first.

    different   the order shows other numbers and not ours.   extra   a number there that is none of ours.
    """
    here, after = desk.integration.id, 0
    run.looked[here] = 0
    try:
        while not run.stopping and (page := run.store.forwarded_since(here, since, 100, after)):
            after = page[-1][0].id
            for part in _by_order(page, desk.platform.look_batch):
                yield from _compare(run, desk, part)
                run.done += len(part)
                run.looked[here] += len(part)
    finally:
        del run.looked[here]


def _compare(run: Run, desk: Desk, part: list[tuple[Claimed, bool]]) -> list[dict[str, Any]]:
    def row(verdict: str, order: str, one: Claimed | None, there: str = "") -> dict[str, Any]:
        return {
            "id": one.id if one else None,
            "integration": desk.integration.name,
            "order_id": order,
            "tracking_number": one.parcel.tracking_number if one else None,
            "verdict": verdict,
            "there": there,
        }

    if not desk.platform.read_back:
        run.tally.codes.add(4)
        return [row("unreadable", one.order_id, one, f"{desk.platform.title} does not show numbers") for one, _ in part]
    try:
        seen = desk.platform.over(Talk(desk.channel)).look(sorted({one.order_id for one, _ in part}))
    except PlatformError as error:
        orders = dict.fromkeys(one.order_id for one, _ in part)
        if len(orders) > 1 and not isinstance(error, TryLater):  # one of them is at fault
            return [line for o in orders for line in _compare(run, desk, [p for p in part if p[0].order_id == o])]
        run.tally.codes.add(4)
        return [row("unreadable", one.order_id, one, str(error)) for one, _ in part]
    found = []
    for one, confirmed in part:
        there = seen.get(one.order_id) or Seen()
        verdict = "different" if there.numbers else "missing"
        if there.has(one.parcel.tracking_number):
            verdict = "confirmed"
        elif there.partial and any(
            tracking_key(n) in run.store.ours(desk.integration.id, one.order_id) for n in there.numbers
        ):
            verdict = "unreadable"  # another of our parcels is shown in its place
        found.append(row(verdict, one.order_id, one, "" if verdict == "confirmed" else brief(", ".join(there.numbers))))
        if verdict != "confirmed":
            run.tally.codes.add(4 if verdict == "unreadable" else 1)
        elif verdict == "confirmed" and not confirmed:
            run.store.prove(run.id, one)
    for order in sorted({one.order_id for one, _ in part}):
        ours = run.store.ours(desk.integration.id, order)
        extra = [
            number for number in (seen[order].numbers if order in seen else ()) if tracking_key(number) not in ours
        ]
        if extra and any(seen[order].has(one.parcel.tracking_number) for one, _ in part if one.order_id == order):
            run.tally.codes.add(1)
            found += [row("extra", order, None, number) for number in extra]
    return found
