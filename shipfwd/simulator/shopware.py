"""Shopware 6's Admin API, as far as tracking numbers need it.

Sources: the description of 6.7.10.1, the source of github.com/shopware/shopware (numbers: its issues), read 2026-11.
Kept because it bites:
- trackingCodes is replaced by what is sent; the answer is 204, with `_response` the row;
- a shipping discount is a second delivery with negative costs, and may come first; only some orders name their primary
  delivery (#14051);
- `ship` ignores tracking codes, mails unless sendMail is the boolean false, does nothing (200) to a delivery that is
  shipped already, and refuses others with 400; its 200 was seen without a change (`changes_nothing`, #1904);
- what was not asked for as an association is null; without `Accept: application/json` answers are JSON:API;
- order numbers are compared without case; two sales channels may give out the same one;
- an access key of an unknown kind is a 500; a token lives for 600 s; a missing right is a document in a document.
Not documented, and ours: that a cancelled order takes codes.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, TokenDesk, route

DELIVERY = "/api/order-delivery/{id:[0-9a-f]{32}}"
SHIP = "/api/_action/order_delivery/{id:[0-9a-f]{32}}/state/{transition}"
RIGHTS = ("order:read", "order_delivery:read", "order_transaction:read", "state_machine_state:read",
          "order_line_item:read", "order_delivery:update")  # fmt: skip
# transition → state it leads to, and the states that it starts from
MOVES = {
    "ship": ("shipped", ("open", "shipped_partially")),
    "ship_partially": ("shipped_partially", ("open",)),
    "cancel": ("cancelled", ("open", "shipped_partially", "shipped")),
    "retour": ("returned", ("shipped", "shipped_partially")),
    "retour_partially": ("returned_partially", ("shipped", "shipped_partially")),
    "reopen": ("open", ("cancelled", "shipped", "returned")),
}
READS = {"deliveries": "order_delivery:read", "transactions": "order_transaction:read",
         "stateMachineState": "state_machine_state:read", "lineItems": "order_line_item:read"}  # fmt: skip
MOST = 500


class Shopware(Stand):
    """add_order: status="open", delivery="open", payment="paid", codes=(), discount=False, primary=True, parts=1
    (real deliveries).
    """

    name = "shopware"
    title = "Shopware 6"
    first_status = "open"
    plausible = r"[A-Za-z0-9-]+"

    client_id = "SWIASIM0SIM0SIM0SIM0SIM0"
    client_secret = "SECRET-shopware-key"  # noqa: S105
    rights = RIGHTS
    stores_nothing = False  # a PATCH answers as always and keeps nothing
    always_empty = False  # a PATCH answers 204 whatever `_response` says
    changes_nothing = False  # a transition answers 200 and changes nothing
    tokens_in = 0  # seconds until the next token, as a 429 says

    def set_up(self) -> None:
        self.desk = TokenDesk("shopware", self.now, access_seconds=600)

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": self.base_url, "client_id": self.client_id}, {"client_secret": self.client_secret}

    def seed(self) -> dict[str, str]:
        """10001 to 10003 and 10005 ready, 10004 cancelled, 10006 has a number, 10007 is shipped, 10008 unclear."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready, with a shipping discount", {"discount": True, "primary": False}),
            ("ready", {}),
            ("cancelled", {"status": "cancelled"}),
            ("ready, an invoice that is not paid yet", {"payment": "open"}),
            ("has a number that a label program put there", {"codes": ["620000000000000000000006"]}),
            ("shipped by hand, without a number", {"delivery": "shipped"}),
            ("two deliveries, none of which is the primary one", {"parts": 2, "primary": False}),
            ("refunded", {"payment": "refunded"}),
        ]
        ids = {str(10000 + place): words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        return ids

    def add_order(self, id: str, **more: Any) -> Order:
        asked: dict[str, Any] = {"delivery": "open", "payment": "paid", "codes": ()}
        asked |= {"discount": False, "primary": True, "parts": 1}
        asked |= {name: more.pop(name) for name in list(more) if name in asked}
        order = super().add_order(id, **more)
        real = [delivery(f"{id}/{part}", asked["delivery"], 4.99) for part in range(asked["parts"])]
        real[0]["trackingCodes"] = list(asked["codes"])
        order.rows = [delivery(f"{id}/discount", asked["delivery"], -4.99), *real] if asked["discount"] else real
        order.more.update(
            uuid=hexed(id), primary=real[0]["id"] if asked["primary"] else None, payments=[asked["payment"]]
        )
        return order

    def numbers_of(self, order: Order) -> list[str]:
        return [str(code) for row in order.rows for code in row["trackingCodes"]]

    def delivery_state(self, id: str) -> str:
        """The state of an order's first real delivery."""
        real = next(row for row in self.orders[id].rows if row["shippingCosts"]["totalPrice"] >= 0)
        return str(real["stateMachineState"]["technicalName"])

    def line(self, order_id: str, place: int) -> Line:
        return Line(hexed(f"{order_id}/{place}"), sku=f"SKU-{place}")

    # ---- the vendor's words -----------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        return refusal(404, "0", "Not Found", f'No route found for "{request.method} {request.path}"')

    def unauthorised(self, request: Request) -> Answer:
        title = "The resource owner or authorization server denied the request."
        return refusal(401, "9", title, "Access token could not be verified")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        detail = f"The order_delivery resource with the following primary key was not found: id({id})"
        return refusal(404, "FRAMEWORK__RESOURCE_NOT_FOUND", "Not Found", detail)

    def not_json(self, request: Request) -> Answer:
        return refusal(400, "0", "Bad Request", "The JSON payload is malformed.")

    # ---- the token host ---------------------------------------------------------------------------------

    @route("POST", "/api/oauth/token", open=True)
    def token(self, request: Request) -> Answer:
        if self.tokens_in:
            words = f"Auth throttled for {self.tokens_in} seconds."
            return refusal(429, "FRAMEWORK__AUTH_THROTTLED", "Too Many Requests", words, seconds=self.tokens_in)
        asked = request.form or self.document(request)
        if asked.get("grant_type") != "client_credentials":
            title = "The authorization grant type is not supported by the authorization server."
            return refusal(400, "2", title, "Check that all required parameters have been provided")
        if str(asked.get("client_id", ""))[:4] not in ("SWIA", "SWUA"):
            return refusal(500, "0", "Internal Server Error", "Access key is invalid and could not be identified.")
        if (asked.get("client_id"), asked.get("client_secret")) != (self.client_id, self.client_secret):
            return refusal(401, "4", "Client authentication failed", None)
        given = self.desk.application()
        return Answer.json({"token_type": "Bearer", **{key: given[key] for key in ("expires_in", "access_token")}})

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        if self.desk.grant(self.bearer(request)) is None:
            raise Stop(self.unauthorised(request))

    def need(self, *rights: str) -> None:
        if missing := [right for right in rights if right not in self.rights]:
            detail = json.dumps({"message": "Missing privilege", "missingPrivileges": missing})
            raise Stop(refusal(403, "FRAMEWORK__MISSING_PRIVILEGE_ERROR", "Forbidden", detail))

    @route("POST", "/api/search/order")
    def search(self, request: Request) -> Answer:
        asked = self.document(request)
        limit, found = asked.get("limit", MOST), self._numbered(asked.get("filter") or [])
        self.need("order:read", *needed(asked.get("associations") or {}))
        if limit > MOST:
            words = f"The limit must be lower than or equal to MAX_LIMIT(={MOST}). Given: {limit}"
            return refusal(400, "FRAMEWORK__QUERY_LIMIT_EXCEEDED", "Bad Request", words)
        rows = [self._order(order, asked) for order in found[:limit]]
        if "application/json" not in request.header("accept"):
            rows = [{"id": row.pop("id"), "type": "order", "attributes": row} for row in rows]
            return Answer.json({"data": rows, "included": []}, kind="application/vnd.api+json")
        return Answer.json({"total": len(rows), "data": rows, "aggregations": []})

    @route("PATCH", DELIVERY)
    def change(self, request: Request, id: str) -> Answer:
        self.need("order_delivery:update")
        _, row = self._delivery(id)
        codes = self.document(request).get("trackingCodes", row["trackingCodes"])
        if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
            words = "This value should be of type array."
            return refusal(400, "FRAMEWORK__WRITE_CONSTRAINT_VIOLATION", "Constraint violation", words)
        if not self.stores_nothing:
            row["trackingCodes"] = list(codes)
        if "_response" not in request.query or self.always_empty:
            return Answer.empty(204, {"Location": f"{self.base_url}/api/order-delivery/{id}"})
        return Answer.json({"data": {**row, "apiAlias": "order_delivery"}})

    @route("GET", DELIVERY)
    def read(self, request: Request, id: str) -> Answer:
        self.need("order_delivery:read")
        return Answer.json({"data": {**self._delivery(id)[1], "apiAlias": "order_delivery"}})

    @route("POST", SHIP)
    def move(self, request: Request, id: str, transition: str) -> Answer:
        self.need("order_delivery:update")
        order, row = self._delivery(id)
        state = row["stateMachineState"]
        now = state["technicalName"]
        target, starts = MOVES.get(transition, ("", ()))
        if now != target:
            if now not in starts:
                possible = [name for name, (_, froms) in MOVES.items() if now in froms]
                words = f'Illegal transition "{transition}" from state "{hexed(now)}". Possible transitions are: '
                words += ", ".join(possible)
                return refusal(400, "SYSTEM__ILLEGAL_STATE_TRANSITION", "Bad Request", words, transition=transition)
            if not self.changes_nothing:
                state["technicalName"] = target
            if not request.body or self.document(request).get("sendMail", True) is not False:
                self.mail(order, f"Your delivery is {target}")
        name = state["technicalName"]
        return Answer.json({"id": hexed(name), "name": name.title(), "technicalName": name, "translated": {}})

    # ---- how --------------------------------------------------------------------------------------------

    def _numbered(self, filters: list[dict[str, Any]]) -> list[Order]:
        """The orders that pass all filters on orderNumber or id; no others are understood."""
        found = list(self.orders.values())
        for one in filters:
            value = one.get("value")
            if (one.get("field"), one.get("type")) == ("id", "equals"):
                found = [order for order in found if order.more["uuid"] == value]
                continue
            several = value if isinstance(value, list) else str(value).split("|")
            wanted = several if one.get("type") == "equalsAny" else [str(value)]
            if one.get("field") != "orderNumber" or one.get("type") not in ("equals", "equalsAny"):
                raise Stop(refusal(400, "FRAMEWORK__INVALID_FILTER_QUERY", "Bad Request", f"not understood: {one}"))
            if self.auto_orders:
                found += [order for number in wanted if number not in self.orders and (order := self.find(number))]
            folded = {str(number).casefold() for number in wanted}
            found = [order for order in found if order.number.casefold() in folded]
        return found

    def _order(self, order: Order, asked: dict[str, Any]) -> dict[str, Any]:
        loaded = asked.get("associations") or {}
        row: dict[str, Any] = {
            "id": order.more["uuid"],
            "orderNumber": order.number,
            "primaryOrderDeliveryId": order.more["primary"],
            "orderCustomer": {"email": "buyer@example.test"},
            "stateMachineState": {"technicalName": order.status} if "stateMachineState" in loaded else None,
            "deliveries": None,
            "transactions": None,
        }
        if "deliveries" in loaded:
            row["deliveries"] = [with_state(one, loaded["deliveries"]) for one in order.rows]
        if "transactions" in loaded:
            payments = [{"stateMachineState": {"technicalName": state}} for state in order.more["payments"]]
            row["transactions"] = [with_state(one, loaded["transactions"]) for one in payments]
        if "lineItems" in loaded:
            discount: dict[str, Any] = {
                "id": hexed(f"{order.id}/discounted"),
                "parentId": None,
                "quantity": 1,
                "good": False,
                "payload": [],
            }
            row["lineItems"] = [*map(thing, order.lines), discount]
        wanted = (asked.get("includes") or {}).get("order")
        return {key: value for key, value in row.items() if wanted is None or key in wanted} | {"apiAlias": "order"}

    def _delivery(self, id: str) -> tuple[Order, dict[str, Any]]:
        for order in self.orders.values():
            for row in order.rows:
                if row["id"] == id:
                    return order, row
        raise Stop(self.unknown_order(None, id))


def hexed(text: str) -> str:
    """A stable id of 32 hexadecimal digits."""
    return uuid.uuid5(uuid.NAMESPACE_OID, text).hex


def delivery(name: str, state: str, costs: float) -> dict[str, Any]:
    return {
        "id": hexed(name),
        "trackingCodes": [],
        "shippingCosts": {"unitPrice": costs, "totalPrice": costs, "quantity": 1},
        "stateMachineState": {"technicalName": state},
    }


def thing(line: Line) -> dict[str, Any]:
    payload = {"productNumber": line.sku} if line.sku else []
    return {"id": line.id, "parentId": None, "quantity": line.quantity, "good": True, "payload": payload}


def needed(associations: dict[str, Any]) -> list[str]:
    """The rights that reading these associations takes."""
    rights = []
    for name, below in associations.items():
        rights += [READS[name], *needed((below or {}).get("associations") or {})]
    return rights


def with_state(row: dict[str, Any], criteria: dict[str, Any]) -> dict[str, Any]:
    loaded = "stateMachineState" in ((criteria or {}).get("associations") or {})
    return {**row, "stateMachineState": dict(row["stateMachineState"]) if loaded else None}


def refusal(status: int, code: str, title: str, detail: str | None, **parameters: Any) -> Answer:
    error = {"status": str(status), "code": code, "title": title, "detail": detail, "meta": {"parameters": parameters}}
    return Answer.json({"errors": [error]}, status)
