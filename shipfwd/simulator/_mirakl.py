"""Mirakl's seller API as a stand-in; an operator's own file beside it says what that operator has switched on.

Sources: Mirakl's OpenAPI description for sellers (the codes OR23, ST01 … are its names of calls), the paging of
github.com/mirakl/sdk-php-shop, issues #25 of magento2-seller-connector and #56 of sdk-php-shop, #89 of
stripe-mirakl-connector, read 2026-11. Kept because it bites:
- OR23 overwrites the order's one number; OR24 is 400 unless the order is in SHIPPING (#56);
- ST01 is 201 and ST23, ST24 are 200 when everything in them failed; all are 404 where multi-shipment is off;
- pages have 10 rows unless more are asked for, 100 at most; more than 100 ids are 400 (#89);
- fields without a value are null.
The states in which OR23 is taken, the words of most refusals and the limit of OR11 are ours.
"""

from __future__ import annotations

import uuid
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

LATER = ("SHIPPED", "TO_COLLECT", "RECEIVED", "CLOSED")
TAKES_TRACKING = ("SHIPPING", *LATER)
PLACE = {
    "city": "Warszawa",
    "country": "Polska",
    "country_iso_code": "POL",
    "lastname": "Kowalska",
    "street_1": "Prosta 1",
}


class Operator(Stand):
    """add_order: status=SHIPPING."""

    first_status = "SHIPPING"
    number_field = "tracking_number"
    plausible = r"[A-Za-z0-9_-]+"

    api_key = "SECRET-mirakl-key"
    shop_id = 2042
    # code → label; the operator's own list (SH21)
    listed: dict[str, str] = {"UPS": "UPS", "DHL": "DHL", "DPD": "DPD", "FED": "Fed Ex", "TNT": "TNT"}
    other_carriers = True  # PC01: not disable_seller_alternative_carrier
    multi_shipment = False
    number_before_status = False  # "Tracking details are mandatory for this shipping method" (#25)

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": self.base_url}, {"api_key": self.api_key}

    def line(self, order_id: str, place: int) -> Line:
        return Line(f"{order_id}-{place}", quantity=2 if place == 1 else 1, sku=f"SKU-{place}")

    def put(self, id: str, number: str, code: str = "DPD") -> None:
        """The order comes to show a number, by whomever."""
        self.orders[id].rows[:] = [
            {"carrier_code": code, "carrier_name": self.listed.get(code), "tracking_number": number}
        ]

    # ---- the vendor's words -----------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        return refusal(404, "Not Found")

    def unauthorised(self, request: Request) -> Answer:
        return Answer.json({"code": 401, "message": "Unauthorized, you are not allowed to perform this action"}, 401)

    def too_many(self, request: Request) -> Answer:
        return refusal(429, "Too Many Requests")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return refusal(404, f"Order with identifier '{id}' not found")

    def not_json(self, request: Request) -> Answer:
        return refusal(400, "Malformed JSON")

    # ---- the shop and the platform ----------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        if request.header("authorization") != self.api_key:  # the bare key, no "Bearer"
            raise Stop(self.unauthorised(request))
        if request.query.get("shop_id", str(self.shop_id)) != str(self.shop_id):
            raise Stop(refusal(403, "This user has no access to the shop"))

    @route("GET", "/api/account")
    def account(self, request: Request) -> Answer:
        return Answer.json({"shop_id": self.shop_id, "shop_name": "Sim shop", "shop_state": "OPEN"})

    @route("GET", "/api/version")
    def version(self, request: Request) -> Answer:
        return Answer.json({"version": "3.500.sim"})

    @route("GET", "/api/platform/configuration")
    def configuration(self, request: Request) -> Answer:
        shipment = {"multi_shipment": self.multi_shipment, "multi_part_item_shipment": self.multi_shipment}
        features = {"disable_seller_alternative_carrier": not self.other_carriers, "shipment": shipment}
        return Answer.json({"features": features, "platform_name": self.title, "timezone": "Europe/Warsaw"})

    @route("GET", "/api/shipping/carriers")
    def carriers(self, request: Request) -> Answer:
        rows = sorted(self.listed.items(), key=lambda row: row[1])
        keys = ("code", "label", "standard_code", "tracking_url")
        return Answer.json({"carriers": [dict(zip(keys, (*row, row[0], None), strict=True)) for row in rows]})

    # ---- orders -----------------------------------------------------------------------------------------

    @route("GET", "/api/orders")
    def list_orders(self, request: Request) -> Answer:
        query = request.query
        wanted = query["order_ids"].split(",") if query.get("order_ids") else None
        if wanted and len(wanted) > 100:
            return refusal(400, "The limit of 100 is exceeded for the parameter : order_ids")
        size, begin = min(100, int(query.get("max", "10"))), int(query.get("offset", "0"))
        for id in wanted or ():
            self.find(id)
        orders = [order for id, order in self.orders.items() if wanted is None or id in wanted]
        page = [self._shown(order) for order in orders[begin : begin + size]]
        return Answer.json({"orders": page, "total_count": len(orders)})

    @route("PUT", "/api/orders/{id}/tracking")
    def track(self, request: Request, id: str) -> Answer:
        order, sent = self.known(id, request), self.document(request)
        if order.status not in TAKES_TRACKING:
            return refusal(400, f"The order {id} is in status {order.status}")
        order.rows[:] = [self._tracking(sent, "carrier_url")]
        return Answer.empty(204)

    @route("PUT", "/api/orders/{id}/ship")
    def ship(self, request: Request, id: str) -> Answer:
        order = self.known(id, request)
        if order.status != "SHIPPING":
            return refusal(400, f"The order {id} is not in the SHIPPING status, it is {order.status}")
        if self.number_before_status and not order.rows:
            return refusal(400, "Tracking details are mandatory for this shipping method")
        self._sent(order)
        return Answer.empty(204)

    # ---- several shipments ------------------------------------------------------------------------------

    @route("POST", "/api/shipments")
    def create_shipments(self, request: Request) -> Answer:
        made, errors = [], []
        for one in self._batch(request):
            order = self.find(str(one.get("order_id")))
            said = self._wrong(order, one) if order else f"No order with id '{one.get('order_id')}'."
            if said or order is None:
                errors.append({"order_id": one.get("order_id"), "message": said})
                continue
            row = self._tracking(one.get("tracking") or {}, "tracking_url")
            parts = [{key: part[key] for key in ("order_line_id", "quantity")} for part in one["shipment_lines"]]
            row |= {"id": str(uuid.uuid4()), "lines": parts, "status": "SHIPPING", "at": self.stamp()}
            order.rows.append(row)
            if one.get("shipped"):
                self._ship_row(order, row)
            made.append(self._shipment(order, row))
        return Answer.json({"shipment_errors": errors, "shipment_success": made}, 201)

    @route("GET", "/api/shipments")
    def list_shipments(self, request: Request) -> Answer:
        if not self.multi_shipment:
            return self.no_route(request)
        wanted = [value for name, value in request.params if name == "order_id"]
        size, begin = min(100, int(request.query.get("limit", "10"))), 0
        if token := request.query.get("page_token"):  # remembers the rest of the query
            if not all(part.isdigit() for part in f"{token}|".split("|")[:2]):
                return Answer.json({"status": 400, "message": "Invalid page_token"}, 400)
            begin, size, *wanted = (int(part) if part.isdigit() else part for part in token.split("|"))  # type: ignore
        rows = [(o, row) for o in self.orders.values() if not wanted or o.id in wanted for row in o.rows if "id" in row]
        page = [self._shipment(order, row) for order, row in rows[begin : begin + size]]
        end = begin + size
        following = "|".join([str(end), str(size), *wanted]) if end < len(rows) else None
        return Answer.json({"data": page, "next_page_token": following, "previous_page_token": None})

    @route("POST", "/api/shipments/tracking")
    def track_shipments(self, request: Request) -> Answer:
        def change(order: Order, row: dict[str, Any], one: dict[str, Any]) -> str:
            row.update(self._tracking(one.get("tracking") or {}, "tracking_url"))
            return ""

        return self._each(request, change)

    @route("PUT", "/api/shipments/ship")
    def ship_shipments(self, request: Request) -> Answer:
        def change(order: Order, row: dict[str, Any], one: dict[str, Any]) -> str:
            if row["status"] != "SHIPPING":
                return f"The shipment status must be 'SHIPPING' but it is '{row['status']}'."
            self._ship_row(order, row)
            return ""

        return self._each(request, change)

    # ---- what stands behind them ------------------------------------------------------------------------

    def _batch(self, request: Request) -> list[dict[str, Any]]:
        if not self.multi_shipment:
            raise Stop(self.no_route(request))
        batch = self.document(request).get("shipments")
        if not isinstance(batch, list) or not 1 <= len(batch) <= 1000:
            raise Stop(refusal(400, "Between 1 and 1000 shipments must be given"))
        return batch

    def _each(self, request: Request, change: Any) -> Answer:
        done, errors = [], []
        every = {row["id"]: (order, row) for order in self.orders.values() for row in order.rows if "id" in row}
        for one in self._batch(request):
            id = str(one.get("id"))
            said = change(*every[id], one) if id in every else f"No shipment with id '{id}'."
            if said:
                errors.append({"id": id, "message": said})
            else:
                done.append({"id": id})
        return Answer.json({"shipment_success": done, "shipment_errors": errors})

    def _wrong(self, order: Order, one: dict[str, Any]) -> str:
        """What ST01 has against a shipment; "" for nothing."""
        if order.status != "SHIPPING":
            return f"The order status must be 'SHIPPING' but it is '{order.status}'."
        for part in one.get("shipment_lines") or [{}]:
            line = next((line for line in order.lines if line.id == part.get("order_line_id")), None)
            if line is None or not 1 <= int(part.get("quantity", 0)) <= self._left(order, line):
                return "Shipment quantity is invalid."
        return ""

    def _left(self, order: Order, line: Line) -> int:
        parts = [part for row in order.rows for part in row.get("lines", ()) if part["order_line_id"] == line.id]
        return line.quantity - sum(part["quantity"] for part in parts)

    def _tracking(self, sent: dict[str, Any], url: str) -> dict[str, Any]:
        """Carrier and number as they are kept. Raises Stop for a carrier that is not taken."""
        code, name = sent.get("carrier_code"), sent.get("carrier_name")
        if code and code not in self.listed:
            raise Stop(refusal(400, f"The carrier with code '{code}' does not exist", "carrier_code"))
        if not code and (not name or not self.other_carriers):
            raise Stop(refusal(400, "The carrier must be one of the operator's", "carrier_name"))
        link = None if code else sent.get(url)
        names = {"carrier_code": code, "carrier_name": self.listed.get(code or "", name), "tracking_url": link}
        return {**names, "tracking_number": sent.get("tracking_number")}

    def _ship_row(self, order: Order, row: dict[str, Any]) -> None:
        row["status"] = "SHIPPED"
        shipped = all(one.get("status") == "SHIPPED" for one in order.rows)
        if shipped and not any(self._left(order, line) for line in order.lines):
            self._sent(order)

    def _sent(self, order: Order) -> None:
        order.status = "SHIPPED"
        self.mail(order, "Your order was shipped")

    def _shipment(self, order: Order, row: dict[str, Any]) -> dict[str, Any]:
        tracking = {key: row[key] for key in ("carrier_code", "carrier_name", "tracking_number", "tracking_url")}
        return {
            "id": row["id"],
            "order_id": order.id,
            "status": row["status"],
            "status_customer_debit": "NO_DEBIT",
            "created_date": row["at"],
            "last_updated_date": None,
            "invoice_reference": None,
            "payment_details": None,
            "shipped_date": row["at"] if row["status"] == "SHIPPED" else None,
            "shipment_lines": [{**part, "package_reference": None} for part in row["lines"]],
            "tracking": {**tracking, "carrier_standard_code": row["carrier_code"], "validity_status": "UNVERIFIED"},
        }

    def _shown(self, order: Order) -> dict[str, Any]:
        """An order as OR11 tells it: the fields that it always has, the number, and many a null."""
        row = order.rows[0] if order.rows and "id" not in order.rows[0] else {}
        money = {"price": 123.45, "shipping_price": 9.99, "total_price": 133.44, "total_commission": 12.3}
        return {
            "order_id": order.id,
            "commercial_id": order.id.rpartition("-")[0] or order.id,
            "order_state": order.status,
            "can_cancel": False,
            "can_shop_ship": order.status == "SHIPPING",
            "created_date": self.stamp(),
            "last_updated_date": self.stamp(),
            "currency_iso_code": "PLN",
            "customer": {"customer_id": "C-1", "firstname": "Anna", "lastname": "Kowalska", "billing_address": PLACE,
                         "shipping_address": PLACE},
            "fulfillment": {"center": {"code": "DEFAULT"}},
            "shipping_carrier_code": row.get("carrier_code"),
            "shipping_carrier_standard_code": row.get("carrier_code"),
            "shipping_company": row.get("carrier_name"),
            "shipping_tracking": row.get("tracking_number"),
            "shipping_tracking_url": row.get("tracking_url"),
            "order_lines": [self._line(order, line, place) for place, line in enumerate(order.lines, 1)],
            **money,
        }  # fmt: skip

    def _line(self, order: Order, line: Line, place: int) -> dict[str, Any]:
        return {
            "order_line_id": line.id,
            "order_line_index": place,
            "order_line_state": order.status,
            "offer_sku": line.sku,
            "product_title": f"Thing {place}",
            "quantity": line.quantity,
            "shipped_date": self.stamp() if order.status in LATER else None,
            "cancelations": [],
            "refunds": [],
        }


def refusal(status: int, message: str, field: str = "") -> Answer:
    if field:
        return Answer.json({"errors": [{"field": field, "message": message}]}, status)
    return Answer.json({"message": message, "status": status}, status)
