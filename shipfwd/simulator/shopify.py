"""Shopify's GraphQL Admin API, as far as orders and fulfilments need it.

Sources: the vendor's schema 2026-10 and pages of shopify.dev (read 2026-11), error words as quoted in public
repositories. Kept because it bites:
- nearly everything is 200: `errors`, `userErrors` (no codes), THROTTLED with the balance of points;
- fulfilment orders that the app has no right for are left out in silence; without any right of that kind,
  the list is empty; a token keeps the rights of the day it was made;
- a search finds names that hold the word (#1001, #1001-A, EN-1001), and may be late (`index_seconds`);
- one fulfilmentCreate takes one order and one location; with quantities left over, the same again is a second
  fulfilment with the same number; tracking is replaced as a whole; several mutations run one after another;
- tokens of an app live for 24 hours; the tokens of older apps stay.
Ours, because no source has them: the words for two locations and for a fulfilment that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from shipfwd.simulator import _graphql as graphql
from shipfwd.simulator._graphql import Field, Refused
from shipfwd.simulator._shopify import (
    ACTIONS,
    INPUTS,
    SCHEMA,
    denied,
    error,
    in_pages,
    objects,
    refused,
    shown,
    tracks_of,
    words_of,
)
from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, TokenDesk, route

KINDS = ("assigned", "merchant_managed", "third_party")
RIGHTS = ("read_orders", "read_merchant_managed_fulfillment_orders", "write_merchant_managed_fulfillment_orders")
VERSIONS = ("2025-10", "2026-01", "2026-04", "2026-07", "2026-10")


class Shopify(Stand):
    """add_order: an order's name (#1001), lines, locations=1 (the lines are dealt out), kind="merchant_managed"."""

    name = "shopify"
    title = "Shopify"
    number_field = "number"
    plausible = r"#[\w-]{1,30}"

    domain = "sim-shop.myshopify.com"
    access_token = "shpat_SECRET_sim"  # noqa: S105
    client_id = "sim-shopify"
    client_secret = "shpss_SECRET_sim"  # noqa: S105
    rights: tuple[str, ...] = RIGHTS  # of the access token, and of the app's tokens from now on
    installed, same_organisation, frozen = True, True, False
    index_seconds = 0.0  # how long a new order is not found by its name
    maximum, restore_rate = 2000.0, 100.0  # points

    def set_up(self) -> None:
        self.desk = TokenDesk("shopify", self.now, access_seconds=86399)
        self._count = 1000
        self._things: dict[str, tuple[Order, dict[str, Any]]] = {}  # gid → the order, and the part or fulfilment
        self._index: dict[str, dict[str, None]] = {}  # word → names of the orders that hold it
        self._points, self._at = self.maximum, self.now()

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": self.base_url}, {"access_token": self.access_token}

    def app_credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """Those of an app of the Dev Dashboard."""
        return {"base_url": self.base_url, "client_id": self.client_id}, {"client_secret": self.client_secret}

    def seed(self) -> dict[str, str]:
        """#1001 and #1002 ready, #1003 at two locations, #1004 cancelled, #1005 held, #1006 without a number."""
        words = ("ready", "ready, two lines", "two locations", "cancelled", "held for payment", "fulfilled by hand")
        for place in range(1, 7):
            self.add_order(f"#{1000 + place}", lines=1 if place in (1, 4) else 2, locations=2 if place == 3 else 1)
        self.orders["#1004"].more["cancelled"] = self.stamp()
        self.hold("#1005", "AWAITING_PAYMENT")
        self.fulfil("#1006")
        return {f"#{1000 + place}": text for place, text in enumerate(words, 1)}

    # ---- for tests --------------------------------------------------------------------------------------

    def add_order(self, id: str, **more: Any) -> Order:
        locations, kind = more.pop("locations", 1), more.pop("kind", "merchant_managed")
        order = super().add_order(id, **{"cancelled": None, "paid": "PAID", **more})
        order.more.update(gid=self._gid("Order"), at=self.now(), fulfilments=[], parts=[])
        self._things[order.more["gid"]] = order, order.more
        for word in words_of(id):
            self._index.setdefault(word, {})[id] = None
        for place in range(locations):
            lines = order.lines[place::locations]
            self._wait(order, kind, f"gid://shopify/Location/{place + 1}", [(one, one.quantity) for one in lines])
        return order

    def line(self, order_id: str, place: int) -> Line:
        return Line(self._gid("LineItem").rpartition("/")[2], sku=f"SKU-{place}")

    def numbers_of(self, order: Order) -> list[str]:
        live = [one for one in order.more["fulfilments"] if one["status"] != "CANCELLED"]
        return [track["number"] for one in live for track in one["tracks"]]

    def fulfil(self, name: str, number: str = "", company: str = "") -> dict[str, Any]:
        """Somebody else fulfils everything that is left, with or without a number; the fulfilment."""
        order = self.orders[name]
        parts = [(part, {row["gid"]: row["left"] for row in part["rows"]}) for part in order.more["parts"]]
        return self._fulfil(order, parts, tracks_of({"number": number, "company": company}))

    def cancel(self, gid: str) -> None:
        """Somebody cancels a fulfilment: its lines wait again, in new parts."""
        order, made = self._things[gid]
        made["status"] = "CANCELLED"
        for part, counts in made["parts"]:
            lines = [(row["line"], counts[row["gid"]]) for row in part["rows"] if counts.get(row["gid"])]
            self._wait(order, part["kind"], part["location"], lines)

    def hold(self, name: str, *reasons: str) -> None:
        """The order's open parts are held back, or released where no reason is given."""
        for part in self.orders[name].more["parts"]:
            if part["status"] in ("OPEN", "ON_HOLD"):
                part.update(status="ON_HOLD" if reasons else "OPEN", holds=list(reasons))

    # ---- the vendor's words -----------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        return Answer.json({"errors": "Not Found"}, 404)

    def unauthorised(self, request: Request) -> Answer:
        return Answer.json(
            {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}, 401
        )

    def too_many(self, request: Request) -> Answer:
        return Answer.json(self._throttled(0.0), 429)

    def not_json(self, request: Request) -> Answer:
        return Answer.json({"errors": {"query": "Required parameter missing or invalid"}}, 400)

    def _throttled(self, asked: float) -> dict[str, Any]:
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return {"errors": [error], "extensions": self._cost(asked, None)}

    # ---- tokens -----------------------------------------------------------------------------------------

    @route("POST", "/admin/oauth/access_token", open=True)
    def token(self, request: Request) -> Answer:
        asked = {**request.form} if request.form else self.document(request)
        if (asked.get("client_id"), asked.get("client_secret")) != (self.client_id, self.client_secret):
            return Answer.json({"error": "invalid_client", "error_description": "Client authentication failed"}, 400)
        if asked.get("grant_type") != "client_credentials":
            return Answer.json({"error": "unsupported_grant_type"}, 400)
        if not self.installed:
            return Answer.html("Oauth error app_not_installed: The app is not installed on this shop.", 400)
        if not self.same_organisation:
            words = "Oauth error shop_not_permitted: Client credentials cannot be performed on this shop."
            return Answer.html(words, 400)
        issued = self.desk.application(",".join(self.rights))
        return Answer.json({key: issued[key] for key in ("access_token", "scope", "expires_in")})

    def guard(self, request: Request) -> None:
        token = request.header("x-shopify-access-token")
        grant = self.desk.grant(token)
        if token != self.access_token and grant is None:
            raise Stop(self.unauthorised(request))
        if self.frozen:
            raise Stop(Answer.json({"errors": "Unavailable Shop"}, 402))
        self._granted = set(grant.scope.split(",")) if grant else set(self.rights)

    def _may(self, *rights: str) -> bool:
        """Writing includes reading."""
        return any({right, right.replace("read_", "write_", 1)} & self._granted for right in rights)

    # ---- the API ----------------------------------------------------------------------------------------

    @route("POST", "/admin/api/{version}/graphql.json")
    def graphql(self, request: Request, version: str) -> Answer:
        if version not in VERSIONS:
            return self.no_route(request)
        sent = self.document(request)
        try:
            operation = graphql.parse(str(sent.get("query") or ""))
            root = "Mutation" if operation.kind == "mutation" else "QueryRoot"
            graphql.check(operation, SCHEMA, root)
            variables = operation.values(sent.get("variables") or {})
            asked = self._price(operation.fields, root, variables)
            if asked > 1000:
                words = f"Query cost is {asked:g}, which exceeds the single query max cost limit (1000)."
                raise Refused(words, "MAX_COST_EXCEEDED", cost=asked, maxCost=1000)
        except Refused as refusal:
            return Answer.json({"errors": [error(refusal)]})
        self._points = min(self.maximum, self._points + (self.now() - self._at) * self.restore_rate)
        self._at = self.now()
        if asked > self._points:
            return Answer.json(self._throttled(asked))
        source = self._mutations() if root == "Mutation" else self._queries()
        data: dict[str, Any] = {}
        errors: list[dict[str, Any]] = []
        for field in operation.fields:
            try:
                data |= graphql.run((field,), source, variables)
            except Refused as refusal:
                data[field.key] = None
                errors.append({**error(refusal), "path": [field.key]})
        paid = min(asked, 10.0 * (root == "Mutation") + objects(data))
        self._points -= paid
        answer = {"data": data, **({"errors": errors} if errors else {}), "extensions": self._cost(asked, paid)}
        return Answer.json(answer, headers={"X-Shopify-API-Version": version})

    def _price(self, fields: tuple[Field, ...], kind: str, variables: Mapping[str, Any]) -> float:
        """An object is 1, a list of pages 2 and what it can hold, a mutation 10."""
        price = 0.0
        for field in fields:
            if below := SCHEMA[kind][field.name]:
                inner = self._price(field.fields, below, variables)
                if below.endswith("Connection"):
                    price += 2 + inner * int(graphql.filled(field.arguments.get("first", 0), variables) or 0)
                else:
                    price += inner + (10 if kind == "Mutation" else 0 if kind.endswith("Payload") else 1)
        return price

    def _cost(self, asked: float, paid: float | None) -> dict[str, Any]:
        balance = {
            "maximumAvailable": self.maximum,
            "currentlyAvailable": self._points,
            "restoreRate": self.restore_rate,
        }
        return {"cost": {"requestedQueryCost": asked, "actualQueryCost": paid, "throttleStatus": balance}}

    # ---- reading ----------------------------------------------------------------------------------------

    def _queries(self) -> dict[str, Any]:
        return {
            "orders": self._search,
            "order": lambda id: self._order(self._by_gid(id)),
            "fulfillmentOrder": lambda id: self._waiting(part) if (part := self._thing(id, self._visible)) else None,
            "shop": {"name": "Stand-in", "myshopifyDomain": self.domain},
            "currentAppInstallation": {
                "id": "gid://shopify/AppInstallation/1",
                "accessScopes": [{"handle": right, "description": right} for right in sorted(self._granted)],
            },
        }

    def _search(self, first: int, query: str = "", after: str = "", **_: Any) -> dict[str, Any]:
        if not self._may("read_orders"):
            raise denied("orders", "`read_orders` access scope.")
        found = {}
        for quoted, bare in re.findall(r'\bname:(?:"((?:[^"\\]|\\.)*)"|(\S+))', query):
            wanted = words_of(re.sub(r"\\(.)", r"\1", quoted or bare))
            self.find("#" + "-".join(wanted))
            for name in self._index.get(wanted[0], ()) if wanted else ():
                there, order = words_of(name), self.orders[name]
                held = any(there[at : at + len(wanted)] == wanted for at in range(len(there)))
                if held and self.now() - order.more["at"] >= self.index_seconds:
                    found[name] = self._order(order)
        return in_pages(list(found.values()), first, after)

    def _by_gid(self, gid: str) -> Order | None:
        if not self._may("read_orders"):
            raise denied("order", "`read_orders` access scope.")
        return self._things[gid][0] if gid in self._things else None

    def _thing(self, gid: str, among: Callable[[Order], list[dict[str, Any]]]) -> dict[str, Any] | None:
        order, thing = self._things.get(gid, (None, None))
        return thing if order is not None and thing in among(order) else None

    def _visible(self, order: Order) -> list[dict[str, Any]]:
        return [part for part in order.more["parts"] if self._may(f"read_{part['kind']}_fulfillment_orders")]

    def _order(self, order: Order | None) -> dict[str, Any] | None:
        if order is None:
            return None
        parts, more = order.more["parts"], order.more
        live = any(one["status"] == "SUCCESS" for one in more["fulfilments"])
        state, states = "PARTIALLY_FULFILLED" if live else "UNFULFILLED", {part["status"] for part in parts}
        if not live and states in ({"ON_HOLD"}, {"SCHEDULED"}):
            (state,) = states
        elif states <= {"CLOSED"}:
            state = "FULFILLED" if parts else "FULFILLMENT_NOT_REQUIRED"
        return {
            "id": more["gid"],
            "name": order.id,
            "cancelledAt": more["cancelled"],
            "displayFinancialStatus": more["paid"],
            "displayFulfillmentStatus": state,
            "fulfillments": lambda first=None, **_: [shown(one) for one in more["fulfilments"]][:first],
            "fulfillmentOrders": lambda first, after="", **_: in_pages(
                [self._waiting(part) for part in self._visible(order)], first, after
            ),
        }

    def _waiting(self, part: dict[str, Any]) -> dict[str, Any]:
        rows = [
            {
                "id": row["gid"],
                "totalQuantity": row["total"],
                "remainingQuantity": row["left"],
                "sku": row["line"].sku,
                "lineItem": {
                    "id": f"gid://shopify/LineItem/{row['line'].id}",
                    "sku": row["line"].sku,
                    "quantity": row["total"],
                },
            }
            for row in part["rows"]
        ]
        place = {"id": part["location"], "name": part["location"]} if part["location"] else None
        return {
            "id": part["gid"],
            "status": part["status"],
            "requestStatus": "UNSUBMITTED",
            "fulfillAt": self.stamp(),
            "supportedActions": [{"action": action, "externalUrl": None} for action in ACTIONS.get(part["status"], [])],
            "fulfillmentHolds": [{"id": part["gid"], "reason": reason, "reasonNotes": ""} for reason in part["holds"]],
            "assignedLocation": {"location": place, "name": "Warehouse"},
            "lineItems": lambda first, after="", **_: in_pages(rows, first, after),
        }

    # ---- writing ----------------------------------------------------------------------------------------

    def _mutations(self) -> dict[str, Any]:
        return {
            "fulfillmentCreate": self._create,
            "fulfillmentTrackingInfoUpdate": self._update,
            "fulfillmentCancel": self._cancel,
        }

    def _writes(self, field: str, **inputs: Any) -> None:
        if not self._may(*(f"write_{kind}_fulfillment_orders" for kind in KINDS)):
            raise denied(field, "`write_merchant_managed_fulfillment_orders` access scope.")
        for name, value in inputs.items():
            if strange := set(value) - INPUTS[name]:
                words = f"Variable ${name} was provided invalid value for {sorted(strange)[0]} (Field is not defined)"
                raise Refused(words, "INVALID_VARIABLE")

    def _create(self, fulfillment: dict[str, Any], message: str = "") -> dict[str, Any]:
        tracking = fulfillment.get("trackingInfo") or {}
        self._writes("fulfillmentCreate", fulfillment=fulfillment, trackingInfoInput=tracking)
        chosen: list[tuple[dict[str, Any], dict[str, int]]] = []
        owners, places = [], set()
        for asked in fulfillment["lineItemsByFulfillmentOrder"]:
            gid = asked["fulfillmentOrderId"]
            if (part := self._thing(gid, self._visible)) is None:
                return refused("Fulfillment order does not exist.")
            if part["status"] not in ("OPEN", "IN_PROGRESS"):
                number = gid.rpartition("/")[2]
                return refused(f"Fulfillment order {number} has an unfulfillable status= {part['status'].lower()}.")
            rows = {row["gid"]: row for row in part["rows"]}
            named = asked.get("fulfillmentOrderLineItems")
            wanted = {one["id"]: one["quantity"] for one in named or ()} or {
                id: row["left"] for id, row in rows.items()
            }
            if any(count <= 0 for count in wanted.values() if named):
                return refused("Quantity must be greater than 0")
            if any(id not in rows or count > rows[id]["left"] for id, count in wanted.items()):
                return refused("Invalid fulfillment order line item quantity requested.")
            chosen.append((part, wanted))
            owners.append(self._things[gid][0])
            places.add(part["location"])
        if len({one.id for one in owners}) > 1:
            return refused("All fulfillment orders must belong to the same order.")
        if len(places) > 1:
            return refused("All fulfillment orders must be assigned to the same location.")
        made = self._fulfil(owners[0], chosen, tracks_of(tracking))
        if fulfillment.get("notifyCustomer"):
            self.mail(owners[0], "A shipment from your order is on the way")
        return {"fulfillment": shown(made), "userErrors": []}

    def _update(
        self, fulfillmentId: str, trackingInfoInput: dict[str, Any], notifyCustomer: bool = False  # noqa: N803
    ) -> dict[str, Any]:  # fmt: skip
        self._writes("fulfillmentTrackingInfoUpdate", trackingInfoInput=trackingInfoInput)
        if (made := self._thing(fulfillmentId, lambda order: order.more["fulfilments"])) is None or made[
            "status"
        ] == "CANCELLED":
            return refused("Fulfillment does not exist or is cancelled.", "fulfillmentId")
        made["tracks"] = tracks_of(trackingInfoInput)
        if notifyCustomer:
            self.mail(self._things[fulfillmentId][0], "The shipping of your order has changed")
        return {"fulfillment": shown(made), "userErrors": []}

    def _cancel(self, id: str) -> dict[str, Any]:
        self._writes("fulfillmentCancel")
        if (made := self._thing(id, lambda order: order.more["fulfilments"])) is None or made["status"] == "CANCELLED":
            return refused("Fulfillment does not exist or is cancelled.", "id")
        self.cancel(id)
        return {"fulfillment": shown(made), "userErrors": []}

    def _fulfil(
        self, order: Order, chosen: list[tuple[dict[str, Any], dict[str, int]]], tracks: list[Any]
    ) -> dict[str, Any]:
        for part, counts in chosen:
            for row in part["rows"]:
                row["left"] -= counts.get(row["gid"], 0)
            part["status"] = "IN_PROGRESS" if any(row["left"] for row in part["rows"]) else "CLOSED"
        made: dict[str, Any] = {
            "gid": self._gid("Fulfillment"), "status": "SUCCESS", "tracks": tracks, "parts": chosen, "at": self.stamp(),
        }  # fmt: skip
        order.more["fulfilments"].append(made)
        self._things[made["gid"]] = order, made
        return made

    def _wait(self, order: Order, kind: str, location: str | None, lines: list[tuple[Line, int]]) -> None:
        """A part of an order waits at a location."""
        rows = [{"gid": self._gid("FulfillmentOrderLineItem"), "line": one, "total": n, "left": n} for one, n in lines]
        gid = self._gid("FulfillmentOrder")
        part = {"gid": gid, "kind": kind, "status": "OPEN", "location": location, "holds": [], "rows": rows}
        order.more["parts"].append(part)
        self._things[gid] = order, part

    def _gid(self, kind: str) -> str:
        self._count += 1
        return f"gid://shopify/{kind}/{self._count}"
