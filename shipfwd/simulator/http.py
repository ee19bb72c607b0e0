"""Bazaar, the invented marketplace that shipfwd/platforms/example.toml describes.

A repeated POST puts the number there twice, unless `refuses_twice`; a cancelled order is 409; every success of the
status call is 204. The key is in X-Api-Key.
"""

from __future__ import annotations

from typing import Any

from shipfwd.simulator.base import Answer, Order, Request, Stand, Stop, route

STATES = ("new", "paid", "packing", "sent", "delivered", "cancelled", "refunded")
CARRIERS = ("DHL", "DPD", "INPOST", "OTHER")


class Bazaar(Stand):
    """add_order: status is one of STATES."""

    name = "http"
    title = "Bazaar (the declarative target's example)"
    first_status = "paid"

    api_key = "SECRET-bazaar-key"
    refuses_twice = False
    retry_after = 5

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"definition": "example", "base_url": self.base_url}, {"api_key": self.api_key}

    def seed(self) -> dict[str, str]:
        """B-1 to B-3 ready, B-4 cancelled, B-5 not ready, B-6 has a number, B/7 ready with an id that is no path."""
        for id in ("B-1", "B-2", "B-3", "B/7"):
            self.add_order(id)
        self.add_order("B-4", status="cancelled")
        self.add_order("B-5", status="new")
        self.put("B-6", "JD014600000000000006")
        return {
            "B-1": "ready",
            "B-2": "ready",
            "B-3": "ready",
            "B-4": "cancelled",
            "B-5": "not ready yet",
            "B-6": "has a number already",
            "B/7": "ready",
        }

    def put(self, id: str, number: str, carrier: str = "DHL") -> dict[str, Any]:
        """A number comes to stand on the order, by whomever; the row."""
        order = self.orders.get(id) or self.add_order(id)
        row = {"id": f"shp_{order.id}_{len(order.rows) + 1}", "number": number, "carrier": carrier}
        order.rows.append(row)
        return row

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return refusal(404, "not_found", "No such order")

    def unauthorised(self, request: Request) -> Answer:
        return refusal(401, "unauthorized", "Unknown API key")

    def guard(self, request: Request) -> None:
        if request.header("x-api-key") != self.api_key:
            raise Stop(self.unauthorised(request))

    @route("GET", "/me")
    def me(self, request: Request) -> Answer:
        return Answer.json({"seller": {"id": 4711, "name": "Sim Shop"}})

    @route("GET", "/orders/{id}")
    def order(self, request: Request, id: str) -> Answer:
        return self._shown(self.known(id, request))

    @route("POST", "/orders/{id}/shipments")
    def ship(self, request: Request, id: str) -> Answer:
        order, sent = self.known(id, request), self.document(request)
        if order.status in ("cancelled", "refunded"):
            return refusal(409, "order_cancelled", "The order is cancelled")
        if sent.get("carrier") not in CARRIERS or sent["carrier"] == "OTHER" and not sent.get("carrier_name"):
            return refusal(422, "invalid", "Unknown carrier", "carrier")
        number = sent.get("number")
        if not isinstance(number, str) or not number:
            return refusal(422, "invalid", "A number is needed", "number")
        if self.refuses_twice and number in self.numbers_of(order):
            return refusal(409, "duplicate_number", "This number is on the order")
        row = self.put(id, number, sent["carrier"])
        self.mail(order, "Your parcel is on its way")
        return Answer.json(row, 201)

    @route("PUT", "/orders/{id}/status")
    def status(self, request: Request, id: str) -> Answer:
        order, sent = self.known(id, request), self.document(request)
        if sent.get("status") not in STATES:
            return refusal(422, "invalid", "Unknown status", "status")
        order.status = sent["status"]
        return Answer.empty()

    def _shown(self, order: Order) -> Answer:
        shown: dict[str, Any] = {"id": order.id, "status": order.status}
        if order.rows:
            shown["shipments"] = order.rows
        return Answer.json(shown)


def refusal(status: int, code: str, message: str, field: str = "") -> Answer:
    return Answer.json({"error": {"code": code, "message": message} | ({"field": field} if field else {})}, status)
