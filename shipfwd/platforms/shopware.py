"""Shopware 6: one shop, by its Admin API; the number is a tracking code of the order's delivery.

Source: https://shopware.stoplight.io/docs/admin-api, the description of 6.7.10.1, and what github.com/shopware/shopware
does (ApiController, OrderActionController, StateMachineRegistry, AccessKeyHelper, AuthController; #N its issues); read
2026-11-23.
Quirks, each the reason for a line below:
- trackingCodes is replaced as a whole: old and new go together, all parcels of an order in one write.
- A shipping discount is a delivery too, with negative costs; since 6.7 an order names its primary delivery, but one
  that came through the API need not (#14051).
- A PATCH answers 204, with ?_response=detail the row as it is stored.
- `ship` ignores tracking codes, and mails unless sendMail is false, the boolean. Shipped already, it answers 200 and
  does nothing; from elsewhere 400. Its 200 was seen without a change (#1904), so the state in it is read.
- An access key that does not begin with SWIA or SWUA makes the token host fail with 500.
- An invoice is paid after the parcel came: an open payment stops nothing, only one that was refunded.
- Databases compare order numbers without case, and two sales channels may give out the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import ConfigError, NotUnderstood, OrderNotFound, Rejected, Throttled
from shipfwd.models import Line, Parcel, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._oauth import OAuth
from shipfwd.platforms.base import host

SEARCH, DELIVERY = "/api/search/order", "/api/order-delivery/{}"
MOVE = "/api/_action/order_delivery/{}/state/{}"
INCLUDES = {  # no buyer's data
    "order": ["id", "orderNumber", "primaryOrderDeliveryId", "stateMachineState", "deliveries", "transactions"],
    "order_delivery": ["id", "trackingCodes", "shippingCosts", "stateMachineState"],
    "order_transaction": ["stateMachineState"],
    "state_machine_state": ["technicalName"],
}
STATE: dict[str, Any] = {"associations": {"stateMachineState": {}}}
LOADED = {"stateMachineState": {}, "deliveries": STATE, "transactions": STATE}
ITEMS = {"order": ["id", "lineItems"], "order_line_item": ["id", "parentId", "quantity", "good", "payload"]}
OVER = ("cancelled", "returned")  # states of an order or a delivery
VOID = ("cancelled", "failed")  # payments that were tried and did not come about
LATER = ("shipped", "returned", "returned_partially")


class Shopware(OAuth):
    name = "shopware"
    title = "Shopware 6"
    source = "https://shopware.stoplight.io/docs/admin-api"
    read_on = "2026-11-23"
    where = "Administration > Orders > {order}"
    settings = (
        Setting("base_url", "the shop's address, without /api", url=True),
        Setting("client_id", "Access key ID, from Settings > System > Integrations"),
        Setting("notify_buyer", "let the shop mail the buyer when a delivery is marked as sent", default="false",
                flag=True),
        Setting("client_secret", "Secret access key, shown once beside it", secret=True),
    )  # fmt: skip
    needs_carrier = False  # the shipping method of the order decides the link
    concurrency = 4  # every call runs the whole shop
    host_key = "base_url"  # what refuses calls is the shop's own server
    look_batch = 25
    together = True
    rewrites = True  # the list of the delivery
    repeat = "harmless"
    status_transfer = "separate"
    sent_from = frozenset({"open", "shipped_partially"})
    correct = "replace"
    login_base = "base_url"
    login_path = "/api/oauth/token"
    grant = "client_credentials"
    json_tokens = True
    client_advice = "check client_id (Access key ID) and client_secret (Secret access key)"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.access_token()}"}

    def check(self) -> str:
        """The shop's address; that the integration may read orders shows at the first search."""
        self._search([], 1)
        return self.values["base_url"].partition("://")[2].lower().rstrip("/")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        wanted = {"type": "equalsAny", "field": "orderNumber", "value": list(orders)}
        rows = self._search([wanted], 2 * len(orders))
        found = {}
        for order in orders:
            same = [row for row in rows if self.text(row, "orderNumber") == order]
            if len(same) > 1:
                found[order] = Seen(refusal=Rejected(f"{len(same)} orders have the number {order} at the shop"))
            elif same:
                found[order] = self._seen(same[0])
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        there = self._write(seen, [*seen.numbers, *(parcel.tracking_number for parcel in parcels)])
        return [Receipt(parcel.id, confirmed=there.has(parcel.tracking_number)) for parcel in parcels]

    def mark_sent(self, order: str, seen: Seen) -> None:
        self._move(order, "ship", seen, LATER)

    def mark_partly(self, order: str, seen: Seen) -> str:
        if seen.state == "open":
            self._move(order, "ship_partially", seen, ("shipped_partially", *LATER))
        return "marked as shipped in part"

    def contents(self, order: str, seen: Seen) -> Sequence[Line]:
        wanted = {"type": "equals", "field": "id", "value": seen.more["order"]}
        rows = self._search([wanted], 1, {"lineItems": {}}, ITEMS)
        things = [one for one in self.rows(rows, 0, "lineItems") if one.get("good") and not one.get("parentId")]
        return tuple(self._line(one) for one in things)

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        kept = [code for code in seen.numbers if tracking_key(code) not in (parcel.key, tracking_key(number))]
        there = self._write(seen, [*kept, number])
        return Receipt(parcel.id, confirmed=there.has(number))

    def explain(self, reply: Reply) -> Exception | None:
        first = _first(reply)
        if reply.status == 429:
            wait = _parameters(first).get("seconds")
            return Throttled("the shop gives no token for now", after=wait) if isinstance(wait, int) else None
        if reply.status == 403 and first.get("code") == "FRAMEWORK__MISSING_PRIVILEGE_ERROR":
            return ConfigError(
                f"{host(reply.url)} does not let this integration do it (missing: {_missing(first)}); give its role "
                "the right to view and edit orders, see Settings > System > Integrations"
            )
        if reply.status == 404 and "/api/order-delivery/" in reply.url:
            return OrderNotFound("the delivery of this order is gone at the shop")
        return None

    # ---- reading ----------------------------------------------------------------------------------------

    def _search(self, filters: list[Any], limit: int, loaded: Any = LOADED, shown: Any = INCLUDES) -> list[Any]:
        asked = {"filter": filters, "limit": limit, "associations": loaded, "includes": shown}
        return self.rows(self.post(SEARCH, json=asked, write=False).data, "data")

    def _seen(self, row: Any) -> Seen:
        order, delivery = self._state(row), self._delivery(row)
        if delivery is None:
            unclear = "which of the order's deliveries takes the number is not certain; put it there by hand"
            return Seen(state=order, refusal=Rejected(unclear if row["deliveries"] else "the order has no delivery"))
        state = self._state(delivery)
        payments = [self._state(one) for one in self.rows(row, "transactions", absent=())]
        refunded = {one for one in payments if one not in VOID} == {"refunded"}
        over = f"order is {order}" if order in OVER else f"delivery is {state}" if state in OVER else ""
        over = over or ("order is refunded" if refunded else "")
        return Seen(
            numbers=self._codes(delivery),
            sent=state in LATER,
            state=state,
            refusal=Rejected(f"the {over} at the shop; nothing is sent for it") if over else None,
            more={"delivery": self.text(delivery, "id"), "order": self.text(row, "id")},
        )

    def _state(self, row: Any) -> str:
        return self.text(row, "stateMachineState", "technicalName")

    def _line(self, row: Any) -> Line:
        payload = row.get("payload")  # a list where it is empty, as PHP has it
        sku = self.text(payload, "productNumber", absent="") if isinstance(payload, dict) else ""
        return Line(self.text(row, "id"), self.count(row, "quantity"), sku=sku)

    def _codes(self, delivery: Any) -> tuple[str, ...]:
        """Its tracking codes. Strict, because what is misread here would be written back."""
        codes = self.field(delivery, "trackingCodes") or []
        if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
            raise NotUnderstood("Shopware shows tracking codes that are no list of words")
        return tuple(codes)

    def _delivery(self, row: Any) -> Any:
        """The primary delivery, or else the only one that is no discount; None when that is not certain."""
        self.field(row, "deliveries")
        deliveries, which = self.rows(row, "deliveries", absent=()), self.text(row, "primaryOrderDeliveryId", absent="")
        if primary := [one for one in deliveries if which and one.get("id") == which]:
            return primary[0]
        real = [one for one in deliveries if not self.text(one, "shippingCosts", "totalPrice").startswith("-")]
        return real[0] if len(real) == 1 else None

    # ---- writing ----------------------------------------------------------------------------------------

    def _write(self, seen: Seen, codes: Sequence[str]) -> Seen:
        """Make these the delivery's codes; what stands there then, as far as the answer says."""
        params = {"_response": "detail"}
        how: dict[str, Any] = {"params": params, "json": {"trackingCodes": list(codes)}, "accept": (204,)}
        reply = self.patch(DELIVERY, seen.more["delivery"], **how)
        if reply.status == 204:
            return Seen()
        return Seen(self._codes(self.field(reply.data, "data")))

    def _move(self, order: str, transition: str, seen: Seen, done: Sequence[str]) -> None:
        mail = self.flag("notify_buyer")
        how: dict[str, Any] = {"json": {"sendMail": mail}, "repeatable": not mail, "accept": (400,)}
        reply = self.post(MOVE, seen.more["delivery"], transition, **how)
        if reply.status == 400:  # somebody changed it meanwhile
            now = self.look([order]).get(order, Seen())
            if now.state in done:
                return
            raise Rejected(f"the shop does not ship a delivery that is '{now.state}': {_first(reply).get('detail')}")
        if (state := self.text(reply.data, "technicalName")) not in done:
            raise Rejected(f"the delivery stays '{state}' at the shop though the change was accepted")

    # ---- tokens -----------------------------------------------------------------------------------------

    def client(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        if not self.client_id.startswith(("SWIA", "SWUA")):
            raise ConfigError("client_id is the integration's Access key ID, which begins with SWIA")
        return {}, {"client_id": self.client_id, "client_secret": self.secret("client_secret")}


# ---- documents ------------------------------------------------------------------------------------------


def _first(reply: Reply) -> Mapping[str, Any]:
    """The first of a refusal's errors; empty when there is none."""
    errors = reply.data.get("errors") if isinstance(reply.data, dict) else None
    return errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}


def _parameters(error: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = error.get("meta")
    parameters = meta.get("parameters") if isinstance(meta, dict) else None
    return parameters if isinstance(parameters, dict) else {}


def _missing(error: Mapping[str, Any]) -> str:
    """The rights that are missing: a document within the document."""
    try:
        rights = json.loads(str(error.get("detail")))["missingPrivileges"]
        return ", ".join(map(str, rights.values() if isinstance(rights, dict) else rights))
    except (ValueError, KeyError, TypeError):
        return str(error.get("detail"))
