"""BigCommerce's V2 Orders API, as far as tracking numbers need it.

Sources: orders.v2.oas2.yml, "Orders Overview", "API status codes" and "API rate limits" of the vendor, read 2026-11.
Kept because it bites:
- an empty list is 204 without a body; lists come in pages of 50;
- items name order_product_id, the line's id in this order, never the product's;
- a shipment goes to one address and has one number of at most 50 characters; each mails the buyer, as the store's
  settings say, and moves the order to Partially Shipped or Shipped; taking one away moves nothing back;
- without `Accept: application/json` V2 speaks XML;
- X-Rate-Limit-… on every answer; above the quota 429 with the milliseconds to wait, under load 429 without.
Not documented, and ours: the words of refusals, that more than is left is refused (`counts_pieces`), that an id which
only begins with a number is read as that number, that a cancelled order takes a shipment.
"""

from __future__ import annotations

import re
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

STORE = "/stores/{hash}/v2/orders"
ORDER = STORE + "/{id}"
SHIPMENT = ORDER + "/shipments/{shipment}"
STATUSES = (
    "Incomplete", "Pending", "Shipped", "Partially Shipped", "Refunded", "Cancelled", "Declined", "Awaiting Payment",
    "Awaiting Pickup", "Awaiting Shipment", "Completed", "Awaiting Fulfillment", "Manual Verification Required",
    "Disputed", "Partially Refunded",
)  # fmt: skip
PROVIDERS = (
    "", "auspost", "canadapost", "endicia", "usps", "fedex", "ups", "upsready", "upsonline", "shipperhq", "royalmail",
)  # fmt: skip
CHANGEABLE = (
    "order_address_id", "tracking_number", "tracking_link", "tracking_carrier", "shipping_provider", "shipping_method",
    "comments",
)  # fmt: skip
MOMENT = "%a, %d %b %Y %H:%M:%S +0000"
PAGE = 50


class BigCommerce(Stand):
    """add_order: status="11" (Awaiting Fulfillment) or another id of STATUSES; a line's `more`: address, type, shipped,
    refunded.
    """

    name = "bigcommerce"
    title = "BigCommerce"
    first_status = "11"
    number_field = "tracking_number"
    plausible = "[1-9][0-9]{0,9}"

    hash = "abc123"
    token = "SECRET-bigcommerce-token"  # noqa: S105
    may_modify = True
    mails_buyers = True  # the store's order notifications
    counts_pieces = True  # more than is left is refused
    locked = False
    quota, window = 150, 30  # calls in seconds
    overloaded = 0  # so many of the next calls are refused for the platform's own sake

    def set_up(self) -> None:
        self.begun, self.taken, self.made = 0.0, 0, 0

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": f"{self.base_url}/stores/{self.hash}"}, {"access_token": self.token}

    def seed(self) -> dict[str, str]:
        """101 to 103 ready, 104 cancelled, 105 unpaid, 106 has a number, 107 is shipped without, 108 to two places."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready, two lines", {"lines": 2}),
            ("ready", {}),
            ("cancelled", {"status": "5"}),
            ("not paid yet", {"status": "7"}),
            ("has a number that a label program put there", {}),
            ("shipped by hand, without a number", {}),
            ("two lines for two addresses", {"lines": [Line("1081"), Line("1082", more={"address": 2108})]}),
        ]
        ids = {str(100 + place): words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        self.put("106", "620000000000000000000106")
        self.put("107", "")
        return ids

    def line(self, order_id: str, place: int) -> Line:
        return Line(f"{order_id}{place}", sku=f"SKU-{place}")

    def numbers_of(self, order: Order) -> list[str]:
        return [number for number in super().numbers_of(order) if number]

    def put(self, id: str, number: str, items: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
        """A shipment comes to be, by whomever; all that is left of the order unless `items` (line → pieces) say."""
        order = self.orders[id]
        pieces = items or {line.id: left(line) for line in order.lines if left(line) > 0}
        self.made += 1
        row = {
            "id": self.made,
            "order_id": int(id),
            "customer_id": 11,
            "order_address_id": address(order, order.lines[0]),
            "date_created": self.stamp(MOMENT),
            "tracking_number": number,
            "merchant_shipping_cost": "0.0000",
            "shipping_method": "None",
            "comments": "",
            "shipping_provider": "",
            "tracking_carrier": "",
            "tracking_link": "",
            "items": [
                {"order_product_id": int(line), "product_id": 0, "quantity": count} for line, count in pieces.items()
            ],
            **more,
        }
        order.rows.append(row)
        for line in order.lines:
            line.more["shipped"] = line.more.get("shipped", 0) + pieces.get(line.id, 0)
        order.status = "3" if any(left(line) > 0 for line in order.lines) else "2"
        if self.mails_buyers:
            self.mail(order, "Your order has been shipped")
        return row

    # ---- the vendor's words -----------------------------------------------------------------------------

    def finish(self, request: Request, answer: Answer) -> Answer:
        if answer.status != 429 or "X-Rate-Limit-Time-Reset-Ms" in answer.headers:
            answer.headers.update(self._rates())
        return answer

    def no_route(self, request: Request) -> Answer:
        if self.allowed(request.path):
            return refusal(405, "This resource does not support this method.")
        return gateway(404, "The requested resource was not found")

    def unauthorised(self, request: Request) -> Answer:
        return gateway(401, "X-Auth-Token header is missing or not valid")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return refusal(404, "The requested resource was not found.")

    def too_many(self, request: Request) -> Answer:
        answer = gateway(429, "Too Many Requests")
        answer.headers.update(self._rates())
        return answer

    def not_json(self, request: Request) -> Answer:
        return refusal(400, "The document could not be read.")

    def _rates(self) -> dict[str, str]:
        rest = max(0.0, self.begun + self.window - self.now())
        return {
            "X-Rate-Limit-Requests-Left": str(max(0, self.quota - self.taken)),
            "X-Rate-Limit-Requests-Quota": str(self.quota),
            "X-Rate-Limit-Time-Window-Ms": str(self.window * 1000),
            "X-Rate-Limit-Time-Reset-Ms": str(int(rest * 1000)),
        }

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        if self.overloaded:
            self.overloaded -= 1
            raise Stop(gateway(429, "Too Many Requests"))
        if not request.path.startswith(f"/stores/{self.hash}/") or request.header("x-auth-token") != self.token:
            raise Stop(self.unauthorised(request))
        if self.now() >= self.begun + self.window:
            self.begun, self.taken = self.now(), 0
        if self.taken >= self.quota:
            raise Stop(self.too_many(request))
        self.taken += 1
        if self.locked:
            raise Stop(gateway(423, "Locked"))
        if "application/json" not in request.header("accept"):
            raise Stop(Answer.xml("<?xml version='1.0'?><orders/>"))
        if request.method != "GET" and not self.may_modify:
            raise Stop(gateway(403, "You don't have a required scope to access the endpoint"))
        if request.body and "application/json" not in request.header("content-type"):
            raise Stop(gateway(415, "Unsupported Media Type"))

    def find(self, id: str) -> Order | None:
        number = re.match("[0-9]+", id)
        return super().find(str(int(number[0]))) if number else None

    @route("GET", STORE)
    def all(self, request: Request, hash: str) -> Answer:
        return self._page(request, [self._form(order) for order in self.orders.values()])

    @route("GET", ORDER)
    def form(self, request: Request, hash: str, id: str) -> Answer:
        return Answer.json(self._form(self.known(id, request)))

    @route("GET", ORDER + "/products")
    def products(self, request: Request, hash: str, id: str) -> Answer:
        order = self.known(id, request)
        rows = [
            {
                "id": int(line.id),
                "order_id": int(order.id),
                "product_id": 77,
                "order_address_id": address(order, line),
                "name": f"Item {line.id}",
                "sku": line.sku,
                "type": line.more.get("type", "physical"),
                "quantity": line.quantity,
                "quantity_shipped": line.more.get("shipped", 0),
                "is_refunded": bool(line.more.get("refunded")),
                "quantity_refunded": line.more.get("refunded", 0),
            }
            for line in order.lines
        ]
        return self._page(request, rows)

    @route("GET", ORDER + "/shipments")
    def shipments(self, request: Request, hash: str, id: str) -> Answer:
        return self._page(request, self.known(id, request).rows)

    @route("POST", ORDER + "/shipments")
    def ship(self, request: Request, hash: str, id: str) -> Answer:
        order, sent = self.known(id, request), self.document(request)
        if missing := [name for name in ("order_address_id", "items") if not sent.get(name)]:
            raise Stop(refusal(400, f"The required field '{missing[0]}' was not supplied."))
        self._check(sent)
        lines = {int(line.id): line for line in order.lines}
        pieces: dict[str, int] = {}
        for item in sent["items"]:
            line, count = lines.get(item.get("order_product_id")), item.get("quantity")
            if line is None or not isinstance(count, int) or count < 1:
                raise Stop(refusal(400, "The field 'items' is invalid.", "order_product_id or quantity"))
            if address(order, line) != sent["order_address_id"]:
                raise Stop(refusal(400, "The field 'order_address_id' is invalid.", "not the line's address"))
            if self.counts_pieces and count > left(line):
                raise Stop(refusal(400, "The field 'items' is invalid.", "more than is left to ship"))
            pieces[line.id] = pieces.get(line.id, 0) + count
        given = {name: sent[name] for name in CHANGEABLE if name in sent and name != "tracking_number"}
        given.setdefault("shipping_provider", "custom")
        return Answer.json(self.put(order.id, sent.get("tracking_number") or "", pieces, **given), 201)

    @route("GET", SHIPMENT)
    def shipment(self, request: Request, hash: str, id: str, shipment: str) -> Answer:
        return Answer.json(self._row(request, id, shipment))

    @route("PUT", SHIPMENT)
    def change(self, request: Request, hash: str, id: str, shipment: str) -> Answer:
        row, sent = self._row(request, id, shipment), self.document(request)
        self._check(sent)
        row.update({name: sent[name] for name in CHANGEABLE if name in sent})
        return Answer.json(row)

    @route("DELETE", SHIPMENT)
    def take_away(self, request: Request, hash: str, id: str, shipment: str) -> Answer:
        row = self._row(request, id, shipment)
        self.known(id).rows.remove(row)
        return Answer.empty(204)

    # ---- how --------------------------------------------------------------------------------------------

    def _page(self, request: Request, rows: list[dict[str, Any]]) -> Answer:
        limit, page = int(request.query.get("limit", PAGE)), int(request.query.get("page", 1))
        shown = rows[(page - 1) * limit : page * limit]
        return Answer.json(shown) if shown else Answer.empty(204)

    def _form(self, order: Order) -> dict[str, Any]:
        return {
            "id": int(order.id),
            "customer_id": 11,
            "status_id": int(order.status),
            "status": STATUSES[int(order.status)],
            "payment_status": "",
            "is_deleted": bool(order.more.get("archived")),
            "billing_address": {"first_name": "Jane", "last_name": "Doe", "email": "janedoe@example.com"},
        }

    def _row(self, request: Request, id: str, shipment: str) -> dict[str, Any]:
        for row in self.known(id, request).rows:
            if str(row["id"]) == shipment:
                return row
        raise Stop(self.unknown_order(request, id))

    def _check(self, sent: dict[str, Any]) -> None:
        provider = str(sent.get("shipping_provider", ""))
        if len(str(sent.get("tracking_number") or "")) > 50:
            raise Stop(refusal(400, "The field 'tracking_number' is invalid.", "longer than 50 characters"))
        if len(str(sent.get("tracking_link") or "")) > 500:
            raise Stop(refusal(400, "The field 'tracking_link' is invalid.", "longer than 500 characters"))
        if provider not in PROVIDERS and not re.fullmatch(r"carrier_\d+", provider):
            raise Stop(refusal(400, "The field 'shipping_provider' is invalid."))
        if not re.fullmatch(r"[a-z0-9-]*", str(sent.get("tracking_carrier", ""))):
            raise Stop(refusal(400, "The field 'tracking_carrier' is invalid."))


def left(line: Line) -> int:
    return int(line.quantity - line.more.get("shipped", 0))


def address(order: Order, line: Line) -> int:
    """The id of the address that a line goes to; 0 for what is digital or fetched."""
    return int(line.more.get("address", 1000 + int(order.id)))


def refusal(status: int, message: str, reason: str = "") -> Answer:
    """In the words of V2."""
    error: dict[str, Any] = {"status": status, "message": message}
    return Answer.json([error | ({"details": {"invalid_reason": reason}} if reason else {})], status)


def gateway(status: int, title: str) -> Answer:
    """In the words of what stands before V2."""
    kind = "https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes"
    return Answer.json({"status": status, "title": title, "type": kind, "errors": {}}, status)
