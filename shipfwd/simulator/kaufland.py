"""Kaufland's Seller API, as far as tracking numbers need it.

Sources: the description of version 2.27 and https://sellerapi.kaufland.com (rest-api, orders, order-files), read
2026-11-23. Kept because it bites:
- every request is signed over METHOD, whole URI, body and second, joined by line breaks;
- a number belongs to an order unit (one piece), is set once by /send, mails the buyer, and is shown by no call;
- /shipments adds another number to a sent unit, the same one as often as it is asked.
Not written anywhere, so our guess: that a second /send is 400 duplicate-action, that a cancelled unit is 403
action-not-allowed, how old a timestamp may be, and whether an open unit may be sent (`open_may_be_sent`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

READY, SENT = ("need_to_be_sent", "open"), ("sent", "sent_and_autopaid", "received", "returned", "returned_paid")
CARRIERS = {
    "Cargo International": True, "DHL": False, "DHL Freight": True, "DPD": False, "DPD Poland": False, "Fedex": False,
    "GLS": False, "Hermes": False, "InPost": False, "UPS": False, "Other": False, "Other Hauler": True,
}  # fmt: skip


class Kaufland(Stand):
    """add_order: status is that of its units; storefront="de", fulfillment="fulfilled_by_merchant", paid=True."""

    name = "kaufland"
    title = "Kaufland"
    first_status = "need_to_be_sent"
    plausible = "M[A-Z0-9]{6}"

    client_key = "SECRET-kaufland-client-7bffc16ba2"
    secret_key = "SECRET-kaufland-a7d0cb1da1ddbc86c96ee5fedd341b7d8ebfbb2f5c83cfe0"  # noqa: S105
    storefronts = ("de", "pl")
    seconds_off = 300  # between a request's timestamp and our clock
    open_may_be_sent = False

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": self.base_url}, {"client_key": self.client_key, "secret_key": self.secret_key}

    def seed(self) -> dict[str, str]:
        """MSIM001 to MSIM003 ready, MSIM004 cancelled, MSIM005 not paid, MSIM006 sent by somebody, MSIM007 FBK."""
        self.add_order("MSIM001")
        self.add_order("MSIM002", lines=3)
        self.add_order("MSIM003", storefront="pl")
        self.add_order("MSIM004", status="cancelled")
        self.add_order("MSIM005", status="open", paid=False)
        self.put("MSIM006", "00340434161094000006")
        self.add_order("MSIM007", fulfillment="fulfilled_by_kaufland")
        return {
            "MSIM001": "ready",
            "MSIM002": "ready, three units",
            "MSIM003": "ready, Polish storefront",
            "MSIM004": "cancelled",
            "MSIM005": "not paid yet",
            "MSIM006": "sent already, by somebody else",
            "MSIM007": "sent by Kaufland's own warehouse",
        }

    def add_order(self, id: str, **more: Any) -> Order:
        order = super().add_order(
            id, **{"storefront": "de", "fulfillment": "fulfilled_by_merchant", "paid": True, **more}
        )
        for line in order.lines:
            line.more.setdefault("status", order.status)
        order.more["at"] = self.stamp()
        return order

    def line(self, order_id: str, place: int) -> Line:
        return Line(str(314_560_000_000_000 + zlib.crc32(order_id.encode()) * 100 + place), sku=f"SKU-{place}")

    def put(self, id: str, number: str, carrier: str = "DHL") -> None:
        """The order was sent with this number, by whomever."""
        order = self.orders.get(id) or self.add_order(id)
        for unit in order.lines:
            unit.more["status"] = "sent"
            order.rows.append({"unit": unit.id, "number": number, "carrier": carrier})

    def numbers_of(self, order: Order) -> list[str]:
        """A number that lies in several units is one; the same one twice in a unit is two."""
        by_unit: dict[str, list[str]] = {}
        for row in order.rows:
            by_unit.setdefault(row["unit"], []).append(row["number"])
        numbers = dict.fromkeys(row["number"] for row in order.rows)
        return [n for n in numbers for _ in range(max(held.count(n) for held in by_unit.values()))]

    # ---- the vendor's words -----------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        return problem(404, "not-found", "Not found")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return problem(404, "not-found", "Order not found")

    def unauthorised(self, request: Request) -> Answer:
        return problem(401, "invalid-credentials", "The client key is not valid")

    def too_many(self, request: Request) -> Answer:
        return problem(429, "bad-request", "Too many requests")

    def not_json(self, request: Request) -> Answer:
        return problem(400, "bad-request", "The body is not valid JSON")

    def guard(self, request: Request) -> None:
        for name in ("Shop-Client-Key", "Shop-Timestamp", "Shop-Signature", "User-Agent", "Accept"):
            if not request.header(name):
                raise Stop(problem(401, "missing-or-invalid-request-header", f"{name} is missing"))
        if request.header("shop-client-key") != self.client_key:
            raise Stop(self.unauthorised(request))
        at = request.header("shop-timestamp")
        if not at.isdecimal() or abs(int(at) - self.now()) > self.seconds_off:
            raise Stop(problem(401, "missing-or-invalid-request-header", "Shop-Timestamp is out of range"))
        uri = self.base_url.removesuffix(f"/{self.prefix}") + request.target
        text = b"\n".join([request.method.encode(), uri.encode(), request.body, at.encode()])
        wanted = hmac.new(self.secret_key.encode(), text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, request.header("shop-signature")):
            raise Stop(problem(401, "corrupted-signature", "The signature does not match"))

    # ---- the API ----------------------------------------------------------------------------------------

    @route("GET", "/info/storefront")
    def storefront(self, request: Request) -> Answer:
        return Answer.json({"data": list(self.storefronts)})

    @route("GET", "/carriers")
    def carriers(self, request: Request) -> Answer:
        return Answer.json({"data": {"carriers": [{"name": n, "isHauler": h} for n, h in CARRIERS.items()]}})

    @route("GET", "/orders/{id}")
    def order(self, request: Request, id: str) -> Answer:
        order = self.known(id, request)
        address = dict.fromkeys(
            ("first_name", "last_name", "company_name", "street", "house_number", "postcode", "additional_field",
             "city", "phone", "country"), ""
        )  # fmt: skip
        return Answer.json(
            {
                "data": {
                    "id_order": order.id,
                    "ts_created_iso": order.more["at"],
                    "is_marketplace_deemed_supplier": False,
                    "storefront": order.more["storefront"],
                    "fulfillment_type": order.more["fulfillment"],
                    "order_units": [self._unit(order, line) for line in order.lines],
                    "billing_address": address,
                    "shipping_address": address,
                    "buyer": {"id_buyer": 21631426, "email": "buyer@example.test"},
                }
            }
        )

    @route("PATCH", "/order-units/{id:[0-9]+}/send")
    def send(self, request: Request, id: str) -> Answer:
        sent = self._body(request, {"tracking_numbers", "carrier_code"})
        order, unit = self._found(id)
        numbers = [one.strip() for one in sent["tracking_numbers"].split(",")]
        self._check(sent["carrier_code"], numbers, "tracking_numbers")
        status = unit.more["status"]
        if not order.more["paid"]:
            return problem(400, "order-units/missing-payment", "The payment of the order is missing")
        if status in SENT:
            return problem(400, "duplicate-action", "The order unit was marked as sent already")
        if status not in READY or status == "open" and not self.open_may_be_sent:
            return problem(403, "action-not-allowed", "The order unit can not be marked as sent")
        unit.more["status"] = "sent"
        order.rows += [{"unit": unit.id, "number": n, "carrier": sent["carrier_code"]} for n in numbers if n]
        self.mail(order, "Your item was sent")
        return Answer.empty()

    @route("POST", "/shipments")
    def add_shipment(self, request: Request) -> Answer:
        sent = self._body(request, {"id_order_unit", "shipment_information"})
        information = sent["shipment_information"]
        if not isinstance(information, dict) or set(information) != {"tracking_number", "carrier_code"}:
            return invalid("shipment_information", "This value is not valid.")
        order, unit = self._found(str(sent["id_order_unit"]))
        self._check(information["carrier_code"], [information["tracking_number"]], "tracking_number")
        if unit.more["status"] not in SENT:
            return problem(403, "action-not-allowed", "The order unit is not marked as sent")
        row = {"unit": unit.id, "number": information["tracking_number"], "carrier": information["carrier_code"]}
        order.rows.append(row)
        return Answer.empty()

    def _body(self, request: Request, fields: set[str]) -> dict[str, Any]:
        sent = self.document(request)
        if wrong := sorted(fields ^ set(sent)):
            raise Stop(invalid(wrong[0], "This field is missing or was not expected."))
        if "tracking_numbers" in fields and not all(isinstance(value, str) for value in sent.values()):
            raise Stop(invalid("tracking_numbers", "This value should be of type string."))
        return sent

    def _check(self, carrier: Any, numbers: list[Any], field: str) -> None:
        if carrier not in CARRIERS:
            raise Stop(invalid("carrier_code", "The value you selected is not a valid choice."))
        if not carrier.startswith("Other") and not all(isinstance(n, str) and re.fullmatch(r"\S+", n) for n in numbers):
            raise Stop(invalid(field, "This value is not valid."))

    def _found(self, unit_id: str) -> tuple[Order, Line]:
        for order in self.orders.values():
            for line in order.lines:
                if line.id == unit_id:
                    return order, line
        raise Stop(problem(404, "not-found", "Order unit not found"))

    def _unit(self, order: Order, line: Line) -> dict[str, Any]:
        at, storefront = order.more["at"], order.more["storefront"]
        product = {
            "id_product": 362524873, "storefront": storefront, "title": f"Item {line.sku}", "eans": ["4011905437873"],
            "id_category": 34401, "main_picture": "", "manufacturer": "", "url": "", "age_rating": 0, "is_valid": True,
            "dangerous_goods_li_shipping": "", "danger_label_9A": "",
        }  # fmt: skip
        return {
            "id_order_unit": int(line.id), "id_order": order.id, "ts_created_iso": at, "ts_updated_iso": self.stamp(),
            "is_marketplace_deemed_supplier": False, "status": line.more["status"], "price": 5900,
            "id_offer": line.sku, "revenue_gross": 5900, "revenue_net": 4958, "note": "", "unit_condition": "new",
            "storefront": storefront, "currency": "PLN" if storefront == "pl" else "EUR", "delivery_time_min": 3,
            "delivery_time_max": 6, "delivery_time_expires_iso": at, "order_received_timestamp_iso": None,
            "shipping_rate": 390, "cancel_reason": None, "product": product, "vat": 19, "tickets": [],
        }  # fmt: skip


def problem(status: int, type: str, message: str, *errors: dict[str, str]) -> Answer:
    return Answer.json({"type": f"/problems/{type}", "message": message, "errors": list(errors)}, status)


def invalid(field: str, message: str) -> Answer:
    return problem(400, "validation-error", "Validation failed", {"field": field, "message": message})
