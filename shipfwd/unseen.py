"""What no look shows: numbers where a platform shows none, and what was written since the look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shipfwd.errors import Rejected
from shipfwd.models import Claimed, Integration, Parcel, Seen, Settlement
from shipfwd.platforms.base import Platform
from shipfwd.store import Store


def written(platform: Platform, store: Store, integration: Integration, order: str) -> list[Claimed]:
    """Our parcels that are on the order, or may be. Nobody asks where the platform shows them."""
    return [] if platform.read_back else store.forwarded_of(integration.id, order, may_be=True)


def remembered(platform: Platform, seen: Seen, ours: Sequence[Claimed], besides: Sequence[Claimed] = ()) -> Seen:
    """What a look found, with those of ours that it cannot show."""
    if platform.read_back:
        return seen
    known = [one.parcel.tracking_number for one in ours if one.id not in {other.id for other in besides}]
    return replace(seen, numbers=(*seen.numbers, *known))


def added(platform: Platform, seen: Seen, parcels: Sequence[Parcel]) -> Seen:
    """What a look found, and these parcels, which are on the order since: their numbers, and less left to ship."""
    lines = seen.lines
    for parcel in parcels:
        try:
            gone = {line.id: count for line, count in platform.parts(parcel, lines, shared=True)}
        except Rejected:  # nothing that could be counted
            continue
        lines = tuple(replace(line, left=max(0, line.left - gone.get(line.id, 0))) for line in lines)
    return replace(seen, numbers=(*seen.numbers, *(parcel.tracking_number for parcel in parcels)), lines=lines)


def arrived(platform: Platform, one: Claimed, seen: Seen, ours: Sequence[Claimed]) -> bool | None:
    """Whether a lost write arrived; None: nobody can tell. What left with it is no witness against it."""
    since = one.in_doubt_since
    others = [other.parcel for other in ours if other.id != one.id and (since is None or other.in_doubt_since != since)]
    return platform.arrived(one.parcel, seen, others)


def blind(platform: Platform, one: Claimed, seen: Seen, ours: Sequence[Claimed]) -> bool:
    """Whether nobody will be able to tell what became of a write that was lost just now."""
    return not platform.read_back and arrived(platform, one, seen, ours) is None


def unreadable(platform: Platform, one: Claimed, since: datetime) -> Settlement:
    """A write whose answer was lost and that no look can find: only a person can."""
    where = platform.where.format(order=one.order_id) or platform.title
    reason = f"may have arrived; check at {where}, then: shipfwd settle {one.id} --arrived (or --not-arrived)"
    return Settlement(one.id, "failed", reason, "OutcomeUnknown", None, since)


def not_again(platform: Platform, seen: Seen) -> str:
    """Why a forwarded number is not sent again though a look did not find it; "" when it was truly absent."""
    if platform.read_back and not seen.partial:
        return ""
    shows = f"{', '.join(seen.numbers)} and may hold more" if platform.read_back else "no numbers"
    return f"{platform.title} shows {shows}; whether this one is there cannot be read"
