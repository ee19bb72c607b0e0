"""What lies in which parcel of an order, and what in none."""

from __future__ import annotations

from collections.abc import Sequence

from shipfwd.errors import Rejected
from shipfwd.models import Item, Line, Parcel, Seen
from shipfwd.platforms._fields import Fields


class Pieces(Fields):
    """The part of a Platform that counts."""

    def mark_partly(self, order: str, seen: Seen) -> str:
        """Say that a part of the order was sent, where the platform has a word for that; what it says then, or ""."""
        return ""

    def contents(self, order: str, seen: Seen) -> Sequence[Line]:
        """The order's lines, where `look` does not bring them; () where the platform tells none. Asked when an order
        is to be marked as sent and all that lies in its parcels is named.
        """
        return seen.lines

    def pieces_left(self, order: str, seen: Seen, parcels: Sequence[Parcel]) -> int:
        """How many pieces of the order are in none of its parcels. A parcel without items holds all the rest.

        Raises Rejected where an item is none of the order's.
        """
        if not all(parcel.items for parcel in parcels) or not (lines := self.contents(order, seen)):
            return 0
        left, strangers = unpacked(lines, [item for parcel in parcels for item in parcel.items])
        if strangers:
            unknown = f"item '{strangers[0].item_id or strangers[0].sku}' is not on this order at {self.title}"
            raise Rejected(f"{unknown}, so nobody knows whether all of it is in parcels; mark it there by hand")
        return left

    def parts(self, parcel: Parcel, lines: Sequence[Line], shared: bool = False) -> list[tuple[Line, int]]:
        """Which lines lie in this parcel and how many of each: its items, or all that is left. `shared`: a piece may
        lie in several parcels. Raises Rejected for what is not on the order or not left on it.
        """
        if not parcel.items:
            if rest := [(line, line.left) for line in lines if line.left > 0]:
                return rest
            raise Rejected(f"nothing is left to ship on this order at {self.title}")
        chosen: dict[str, tuple[Line, int]] = {}
        for item in parcel.items:
            word, found = item.item_id or item.sku, [line for line in lines if item.names(line)]
            if len(found) != 1:
                raise Rejected(f"item '{word}' is not one line of this order at {self.title}")
            _, before = chosen.get((line := found[0]).id, (line, 0))
            count = before + (item.quantity or max(line.left - before, 0) or (line.quantity if shared else 1))
            if count > line.left and not shared:
                raise Rejected(f"{self.title} has {line.left} of item '{word}' left to ship, not {count}")
            chosen[line.id] = (line, count)
        return list(chosen.values())


def unpacked(lines: Sequence[Line], items: Sequence[Item]) -> tuple[int, list[Item]]:
    """How many pieces of the lines are in none of the items, and the items that are no line."""
    left, strangers = {line.id: line.quantity for line in lines}, []
    for item in items:
        named = [line.id for line in lines if item.names(line)]
        if not named:
            strangers.append(item)
        count = item.quantity or sum(left[id] for id in named)
        for id in named:
            taken = min(count, left[id])
            left[id], count = left[id] - taken, count - taken
    return sum(left.values()), strangers
