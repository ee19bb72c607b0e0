"""Shipments: several of an order, for an operator of Mirakl that has switched that on. The rest is in _mirakl.py.

Quirks, each the reason for a line below:
- ST01 answers 201, ST23 and ST24 answer 200, when everything in them failed.
- ST01 again makes another shipment, or an error about the quantity: sent once.
- A page of ST11 has 10 rows unless more are asked for; a page token remembers the rest of the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shipfwd.errors import NotUnderstood, Rejected
from shipfwd.models import Parcel, Receipt, Reply, Seen, tracking_key
from shipfwd.platforms.base import Platform

DAY = 86400.0
SHIPMENTS, TRACKING, SHIP = (
    "/api/shipments",
    "/api/shipments/tracking",
    "/api/shipments/ship",
)  # ST01 and ST11, ST23, ST24


class Shipments(Platform):
    """What `look` remembers in `seen.more["shipments"]`: id → {"key": of its number, "open": not marked as sent}."""

    def query(self, pairs: Iterable[tuple[str, str]] = (), **more: str) -> list[tuple[str, str]]:
        """A call's parameters, and the shop where the key has several."""
        shop = self.values.get("shop_id")
        return [*pairs, *more.items(), *([("shop_id", shop)] if shop else [])]

    def shipments(self, orders: Iterable[str]) -> list[Any]:
        """All shipments of these orders (ST11)."""
        rows: list[Any] = []
        pairs = [("order_id", order) for order in orders] + [("limit", "100")]
        while True:
            page = self.get(SHIPMENTS, params=self.query(pairs)).data
            rows += self.rows(page, "data")
            if not (token := self.text(page, "next_page_token", absent="")):
                return rows
            pairs = [("page_token", token)]

    def create_shipment(self, order: str, parcel: Parcel, seen: Seen, tracking: Mapping[str, str]) -> Receipt:
        """ST01, not marked as sent yet: that is a step of its own."""
        parts = [{"order_line_id": line.id, "quantity": count} for line, count in self.parts(parcel, seen.lines)]
        sent = {"order_id": order, "shipment_lines": parts, "tracking": tracking, "shipped": False}
        how: dict[str, Any] = {"operation": "ST01", "repeatable": False, "accept": (404,)}
        reply = self.post(SHIPMENTS, params=self.query(), json={"shipments": [sent]}, **how)
        if reply.status == 404:
            self.cache.put("features", {**(self.cache.get("features") or {}), "multi": False}, DAY)
            raise Rejected(f"{self.title} takes one number an order now, no several shipments")
        self._all_done(reply)
        made = self.field(reply.data, "shipment_success", 0)
        id, number = self.text(made, "id"), self.text(made, "tracking", "tracking_number", absent="")
        seen.more["shipments"][id] = {"key": parcel.key, "open": True}  # for `mark_sent` in this run
        return Receipt(parcel.id, id, confirmed=tracking_key(number) == parcel.key)

    def track_shipment(self, id: str, tracking: Mapping[str, str]) -> None:
        """ST23: another number, or carrier, for a shipment."""
        sent = {"shipments": [{"id": id, "tracking": tracking}]}
        self._all_done(self.post(TRACKING, params=self.query(), json=sent, operation="ST23", repeatable=True))

    def send_shipments(self, order: str, ids: Sequence[str]) -> None:
        """ST24. An error may mean that an earlier call, whose answer was lost, did it."""
        if not ids:
            return
        sent = {"shipments": [{"id": id} for id in ids]}
        try:
            self._all_done(self.put(SHIP, params=self.query(), json=sent, operation="ST24", repeatable=True))
        except Rejected:
            now = self.look([order]).get(order, Seen(more={"shipments": {}})).more["shipments"]
            if any(now.get(id, {"open": True})["open"] for id in ids):
                raise

    def _all_done(self, reply: Reply) -> None:
        if not isinstance(reply.data, dict) or not {"shipment_errors", "shipment_success"} & set(reply.data):
            raise NotUnderstood(f"{self.title} answered without 'shipment_success'")
        if errors := self.rows(reply.data, "shipment_errors", absent=()):
            raise Rejected(f"{self.title} refuses the shipment: {self.field(errors, 0, 'message')}")


def errors_of(reply: Reply) -> list[dict[str, Any]]:
    """The rows of an error document; none where it is no such thing."""
    errors = reply.data.get("errors") if isinstance(reply.data, dict) else None
    return [row for row in errors if isinstance(row, dict)] if isinstance(errors, list) else []


def words(reply: Reply) -> str:
    """What an error document says, or the status."""
    data = reply.data if isinstance(reply.data, dict) else {}
    said = [row.get("message") for row in errors_of(reply)] or [data.get("message")]
    return str(said[0])[:200] if said[0] else f"answered {reply.status}"
