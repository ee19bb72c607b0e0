"""WooCommerce's core REST API as a stand-in; the tracking plugins and fulfillments are in files beside it."""

from __future__ import annotations

import re
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

ROOT = "/wp-json"
V3 = ROOT + "/wc/v3"
ORDER = V3 + "/orders/{id:[0-9]+}"
STATUSES = (
    "auto-draft", "pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed", "checkout-draft",
)  # fmt: skip
TRACKING_META = "_wc_shipment_tracking_items"


class Shop(Stand):
    """add_order: id is digits; number="1001" where it differs; status="processing"."""

    first_status = "processing"
    plausible = "[1-9][0-9]{0,17}"

    https = True  # loopback counts as https; False: Basic and query keys are ignored, as on plain http
    statuses = STATUSES
    namespaces: tuple[str, ...] = ("oembed/1.0", "wc/v3", "wc/v1", "wc/store", "wc/store/v1", "wc/v2", "wp/v2")
    # consumer key → (secret, what it may)
    keys = {
        "ck_SECRET_sim": ("cs_SECRET_sim", "read_write"),
        "ck_SECRET_read": ("cs_SECRET_read", "read"),
        "ck_SECRET_write": ("cs_SECRET_write", "write"),
    }

    def set_up(self) -> None:
        self._ids = 0

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        key = "ck_SECRET_sim"
        return {"base_url": self.base_url}, {"consumer_key": key, "consumer_secret": self.keys[key][0]}

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def add_order(self, id: str, **more: Any) -> Order:
        order = super().add_order(id, **{"lines": 2, **more})
        order.more.update(meta=[], notes=[], fulfillments=[], at=self.stamp("%Y-%m-%dT%H:%M:%S"), completed=None)
        return order

    def line(self, order_id: str, place: int) -> Line:
        return Line(str(self.next_id()), 2 if place == 1 else 1, f"SKU-{place}")

    def by_number(self, number: str) -> Order | None:
        return next((order for order in self.orders.values() if order.number == number), None)

    def numbers_of(self, order: Order) -> list[str]:
        """The plugin's rows, the fulfillments that are not deleted, and meta such as _tracking_number."""
        found = [str(row["tracking_number"]) for row in order.rows]
        for fulfillment in order.more["fulfillments"]:
            if not fulfillment["date_deleted"]:
                found += [str(m["value"]) for m in fulfillment["meta_data"] if m["key"] == "_tracking_number"]
        for meta in order.more["meta"]:
            if meta["key"].endswith("tracking_number"):
                found += re.split(r"[,;\s]+", str(meta["value"]).strip())
        return found

    # ---- the vendor's words -----------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        if request.path == "/" and "rest_route" in request.query:
            return error(401, "woocommerce_rest_cannot_view", "Sorry, you cannot view this resource.")
        if request.path == "/":
            return Answer.html("Sim shop")
        if not request.path.startswith(ROOT):
            return Answer.html("Page not found", 404)
        return error(404, "rest_no_route", "No route was found matching the URL and request method.")

    def unauthorised(self, request: Request) -> Answer:
        return error(401, "woocommerce_rest_authentication_error", "Consumer secret is invalid.")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return error(404, "woocommerce_rest_order_invalid_id", "Invalid order ID.")

    def too_many(self, request: Request) -> Answer:
        return Answer.html("Too Many Requests", 429)  # hosts and firewalls say it, not WooCommerce

    # ---- who asks ---------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        """Refuse what WordPress refuses before it looks at the route; strangers pass, see `permit`."""
        if request.method == "OPTIONS" or not (key := self._key(request)):
            return
        secret, rights = self.keys[key[0]]
        if key[1] != secret:
            raise Stop(self.unauthorised(request))
        verb = "read" if request.method in ("GET", "HEAD") else "write"
        if verb not in rights:
            message = f"The API key provided does not have {verb} permissions."
            raise Stop(error(401, "woocommerce_rest_authentication_error", message))

    def permit(self, request: Request, verb: str, message: str = "") -> None:
        """Raise Stop for a stranger: no key, or an unknown one."""
        if not self._key(request):
            said = message or f"Sorry, you are not allowed to {verb} this resource."
            raise Stop(error(401, f"woocommerce_rest_cannot_{verb}", said))

    def _key(self, request: Request) -> tuple[str, str] | None:
        """The known key that a request brings, and the secret with it; None for a stranger."""
        if not self.https:
            return None
        key, secret = request.query.get("consumer_key", ""), request.query.get("consumer_secret", "")
        if not key:
            key, secret = self.basic(request)
        return (key, secret) if key in self.keys else None

    def sent(self, request: Request) -> dict[str, Any]:
        """What the caller gave: the query, and the body's JSON object over it. Raises Stop for broken JSON."""
        given: dict[str, Any] = dict(request.query)
        if request.body and "json" in request.header("content-type"):
            try:
                data = request.json()
            except ValueError:
                more = {"json_error_code": 4, "json_error_message": "Syntax error"}
                raise Stop(error(400, "rest_invalid_json", "Invalid JSON body passed.", **more)) from None
            given.update(data if isinstance(data, dict) else {})
        else:
            given.update(request.form)
        return given

    # ---- routes -----------------------------------------------------------------------------------------

    def routes_here(self) -> dict[str, list[str]]:
        """The shop's routes as its index lists them, with their methods."""
        order = "/wc/v3/orders/(?P<id>[\\d]+)"
        return {
            "/": ["GET"],
            "/wc/v3": ["GET"],
            "/wc/v3/orders": ["GET", "POST"],
            order: ["GET", "POST", "PUT", "PATCH", "DELETE"],
            "/wc/v3/orders/(?P<order_id>[\\d]+)/notes": ["GET", "POST"],
        }

    def _listed(self, start: str = "/") -> dict[str, Any]:
        return {
            path: {"namespace": "/".join(path.split("/")[1:3]), "methods": methods}
            for path, methods in self.routes_here().items()
            if path.startswith(start)
        }

    @route("GET", ROOT + "{slash:/?}", open=True)
    def index(self, request: Request, slash: str) -> Answer:
        data = {
            "name": "Sim shop",
            "url": self.base_url,
            "home": self.base_url,
            "namespaces": list(self.namespaces),
            "authentication": {},
            "routes": self._listed(),
        }
        return Answer.json(fields(request, data))

    @route("GET", V3 + "{slash:/?}", open=True)
    def version(self, request: Request, slash: str) -> Answer:
        return Answer.json(fields(request, {"namespace": "wc/v3", "routes": self._listed("/wc/v3")}))

    @route("OPTIONS", V3 + "/orders{rest:(/[0-9]+)?}", open=True)
    def schema(self, request: Request, rest: str) -> Answer:
        status = {"type": "string", "enum": list(self.statuses), "context": ["view", "edit"]}
        properties = {"id": {"type": "integer"}, "status": status}
        schema = {"$schema": "http://json-schema.org/draft-04/schema#", "title": "shop_order", "type": "object"}
        return Answer.json({"namespace": "wc/v3", "schema": {**schema, "properties": properties}})

    @route("GET", V3 + "/orders")
    def search(self, request: Request) -> Answer:
        query = {key.replace("[]", ""): value for key, value in request.query.items()}
        per_page = query.get("per_page", "10")
        if not per_page.isdigit() or not 1 <= int(per_page) <= 100:
            message = "per_page must be between 1 (inclusive) and 100 (inclusive)"
            raise Stop(invalid("per_page", message, "rest_out_of_bounds"))
        self.permit(request, "view", "Sorry, you cannot list resources.")
        found = list(self.orders.values())
        if wanted := [
            v for k, value in request.params if re.fullmatch(r"include(\[\d*\])?", k) for v in value.split(",")
        ]:
            found = [order for id in dict.fromkeys(wanted) if (order := self.find(id.strip()))]
        if word := query.get("search"):
            found = [order for order in found if word in (order.number, order.id) or word in f"buyer{order.id}@"]
        if query.get("status", "any") != "any":
            found = [order for order in found if order.status in query["status"].split(",")]
        found.sort(key=lambda order: int(order.id), reverse=True)
        start = (int(query.get("page", "1")) - 1) * int(per_page)
        page = [fields(request, self.document_of(order)) for order in found[start : start + int(per_page)]]
        pages = -(-len(found) // int(per_page))
        return Answer.json(page, headers={"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(pages)})

    @route("GET", ORDER)
    def read(self, request: Request, id: str) -> Answer:
        self.permit(request, "view", "Sorry, you cannot view this resource.")
        if (order := self.find(id)) is None:
            return error(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
        return self._one(request, order)

    @route("PUT", ORDER)
    @route("POST", ORDER)
    @route("PATCH", ORDER)
    def change(self, request: Request, id: str) -> Answer:
        sent = self.sent(request)
        if "status" in sent and sent["status"] not in self.statuses:
            listed = ", ".join(self.statuses[:-1]) + ", and " + self.statuses[-1]
            return invalid("status", f"status is not one of {listed}.", "rest_not_in_enum")
        metas = sent.get("meta_data", [])
        if not isinstance(metas, list) or not all(isinstance(meta, dict) for meta in metas):
            return invalid("meta_data", "meta_data[0] is not of type object.", "rest_invalid_type")
        self.permit(request, "edit")
        if (order := self.find(id)) is None:
            return error(400, "woocommerce_rest_shop_order_invalid_id", "ID is invalid.")
        for meta in metas:
            self.set_meta(order, meta)
        if "status" in sent:
            self.set_status(order, sent["status"])
        return self._one(request, order)

    @route("POST", ORDER + "/notes")
    def note(self, request: Request, id: str) -> Answer:
        sent = self.sent(request)
        if "note" not in sent:
            return missing("note")
        self.permit(request, "create", "Sorry, you are not allowed to create resources.")
        order = self.known(id)
        note = self.add_note(order, str(sent["note"]), to_buyer=truth(sent.get("customer_note")))
        return Answer.json(note, 201, {"Location": f"{self.base_url}{request.path}/{note['id']}"})

    @route("GET", ORDER + "/notes")
    def notes(self, request: Request, id: str) -> Answer:
        self.permit(request, "view", "Sorry, you cannot list resources.")
        return Answer.json(self.known(id).more["notes"][::-1])

    # ---- what happens on an order -----------------------------------------------------------------------

    def set_status(self, order: Order, status: str) -> None:
        """Only a change is a change: setting the status it has mails nobody."""
        if order.status == status:
            return
        order.status = status
        if status == "completed":
            order.more["completed"] = self.stamp("%Y-%m-%dT%H:%M:%S")
            self.mail(order, "Your order is complete")

    def set_meta(self, order: Order, sent: dict[str, Any]) -> None:
        """With an id: that row. Without: the first row of the key; all others of it are deleted."""
        metas: list[dict[str, Any]] = order.more["meta"]
        same = [m for m in metas if (m["id"] == sent["id"] if sent.get("id") else m["key"] == sent.get("key"))]
        if sent.get("value") is None:
            order.more["meta"] = [m for m in metas if m not in same]
            return
        if not same and "key" in sent:
            metas.append({"id": self.next_id(), "key": sent["key"], "value": sent["value"]})
            return
        for row in same[:1]:
            row.update(key=sent.get("key", row["key"]), value=sent["value"])
        order.more["meta"] = [m for m in metas if m not in same[1:]]

    def add_note(self, order: Order, text: str, to_buyer: bool = False) -> dict[str, Any]:
        now = self.stamp("%Y-%m-%dT%H:%M:%S")
        note = {
            "id": self.next_id(),
            "author": "WooCommerce",
            "date_created": now,
            "date_created_gmt": now,
            "note": text,
            "customer_note": to_buyer,
        }
        order.more["notes"].append(note)
        if to_buyer:
            self.mail(order, "A note has been added to your order")
        return note

    def meta_of(self, order: Order) -> list[dict[str, Any]]:
        return list(order.more["meta"])

    def document_of(self, order: Order) -> dict[str, Any]:
        lines = [
            {
                "id": int(line.id),
                "name": f"Item {place}",
                "product_id": 10 + place,
                "variation_id": 0,
                "quantity": line.quantity,
                "total": "12.50",
                "meta_data": [],
                "sku": line.sku,
            }
            for place, line in enumerate(order.lines, 1)
        ]
        return {
            "id": int(order.id),
            "parent_id": 0,
            "status": order.status,
            "currency": "PLN",
            "version": "11.0.1",
            "date_created": order.more["at"],
            "date_created_gmt": order.more["at"],
            "total": "36.90",
            "customer_id": 0,
            "billing": {"first_name": "Sim", "last_name": "Buyer", "email": f"buyer{order.id}@example.test"},
            "shipping": {"first_name": "Sim", "last_name": "Buyer", "city": "Warszawa", "country": "PL"},
            "payment_method": "bacs",
            "number": order.number,
            "meta_data": self.meta_of(order),
            "line_items": lines,
            "date_completed": order.more["completed"],
            "date_completed_gmt": order.more["completed"],
        }

    def _one(self, request: Request, order: Order) -> Answer:
        url = f"{self.base_url}{V3}/orders"
        links = {"self": [{"href": f"{url}/{order.id}"}], "collection": [{"href": url}]}
        return Answer.json({**fields(request, self.document_of(order)), "_links": links})


def fields(request: Request, data: dict[str, Any]) -> dict[str, Any]:
    """Only what `_fields` asks for."""
    if not (wanted := request.query.get("_fields")):
        return data
    return {key: value for key, value in data.items() if key in wanted.split(",")}


def truth(value: Any) -> bool:
    """A boolean parameter as WordPress reads it."""
    return value in (True, 1, "1", "true")


def error(status: int, code: str | int, message: str, **more: Any) -> Answer:
    return Answer.json({"code": code, "message": message, "data": {"status": status, **more}}, status)


def invalid(name: str, message: str, code: str) -> Answer:
    details = {name: {"code": code, "message": message, "data": None}}
    return error(400, "rest_invalid_param", f"Invalid parameter(s): {name}", params={name: message}, details=details)


def missing(name: str) -> Answer:
    return error(400, "rest_missing_callback_param", f"Missing parameter(s): {name}", params=[name])
