"""Magento's REST API, as a shop of version 2.4.7-p3 answered on 2026-11-23.

Kept because it bites: /ship wrapped in `entity`, like an empty body, ships the whole order without a number; a full
order refuses another shipment, while /shipment/track takes the same number as often as it is sent; too many of an item
are as many as are left; the shipment's id comes as text; with `fields` an empty list is null; a wrong token, none and
a missing right are answered alike; words have holes to be filled. Signatures are computed here, not by a library.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

V1 = "/rest{store:(?:/[a-z][a-z0-9_]*)?}/V1"
ID = "{id:[^/]+}"
GONE = "The entity that was requested doesn't exist. Verify the entity and try again."
INVALID = "Shipment Document Validation Error(s):\n"
FULL = "The order does not allow a shipment to be created."
NO_PRODUCTS = "You can't create a shipment without products."
NO_NUMBER = "Please enter a tracking number."
SEE_LOG = "Could not save a shipment, see error log for details"
NO_TRACK = "Could not save the shipment tracking."
TRACK = ("track_number", "title", "carrier_code", "extension_attributes")
WHOLE_TRACK = (*TRACK, "order_id", "parent_id", "weight", "qty", "description", "entity_id", "created_at", "updated_at")


class Magento(Stand):
    """add_order: the id is the increment id (or number=…); status is Magento's state; invoiced=True, entity_id.

    bearer_allowed  False: tokens alone are refused, as since 2.4.4 unless allowed.
    rights          what the integration may: the names of Magento's ACL.
    longest_page    rows that one page may have.
    ship_breaks     "": as it should be | before: nothing done | after: shipped; both "see error log".
    """

    name = "magento"
    title = "Magento"
    first_status = "processing"
    number_field = "track_number"
    plausible = "[A-Za-z0-9_-]{1,40}"

    bearer_allowed = True
    rights = frozenset({"Magento_Sales::actions_view", "Magento_Sales::shipment", "Magento_Sales::ship"})
    stores = ("all", "default", "pl")
    longest_page = 300
    ship_breaks = ""
    consumer_key, consumer_secret = "simconsumerkey000000000000000001", "SECRET-sim-consumer"
    access_token, token_secret = "SECRET-sim-token", "SECRET-sim-token-secret"

    def set_up(self) -> None:
        self._ids = 0
        self._nonces: set[str] = set()
        self._by_id: dict[int, Order] = {}
        self.shipments: list[dict[str, Any]] = []

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """The token; all four credentials where it is not allowed alone."""
        settings, secrets = {"base_url": self.base_url}, {"access_token": self.access_token}
        if self.bearer_allowed:
            return settings, secrets
        signing = {"consumer_secret": self.consumer_secret, "token_secret": self.token_secret}
        return settings | {"consumer_key": self.consumer_key}, secrets | signing

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def add_order(self, id: str, *, invoiced: bool = True, entity_id: int = 0, **more: Any) -> Order:
        order = super().add_order(id, **{"lines": 2, **more})
        order.more.update(entity_id=entity_id or self.next_id(), invoiced=invoiced)
        self._by_id[order.more["entity_id"]] = order
        return order

    def line(self, order_id: str, place: int) -> Line:
        return Line(str(self.next_id()), 2 if place == 1 else 1, f"SKU-{place}")

    def put(self, id: str, number: str) -> None:
        """Somebody ships all that is left of the order, with a number."""
        track = {"track_number": number, "title": "UPS", "carrier_code": "ups"}
        self._ship(self.orders[id], {line.id: left_of(line) for line in self.orders[id].lines}, [track])

    def seed(self) -> dict[str, str]:
        """What the orders are for."""
        for place in range(1, 4):
            self.add_order(f"00000000{place}")
        self.add_order("000000004", status="canceled")
        self.add_order("000000005", status="holded")
        self.add_order("000000006")
        self.put("000000006", "620000000000000000000006")
        self.add_order("000000007", status="new", invoiced=False)
        self.add_order("000000008")
        self.add_order("second-store-000000008", number="000000008")
        return {
            "000000001": "ready, two lines",
            "000000002": "ready",
            "000000003": "ready",
            "000000004": "cancelled",
            "000000005": "on hold",
            "000000006": "shipped, with a number",
            "000000007": "cash on delivery: not invoiced",
            "000000008": "ready; another store has an order of this number",
        }

    # ---- who asks ---------------------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        if not request.path.startswith("/rest"):
            return Answer.html("404 Not Found", 404)
        return said(404, "Request does not match any route.")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return said(404, GONE)

    def unauthorised(self, request: Request) -> Answer:
        return said(401, "The consumer isn't authorized to access %resources.", {"resources": self._needed(request)})

    def too_many(self, request: Request) -> Answer:
        return Answer.html("Too Many Requests", 429)

    def not_json(self, request: Request) -> Answer:
        return said(400, "Decoding error.")

    def _needed(self, request: Request) -> str:
        if "/shipment" in request.path:
            return "Magento_Sales::shipment"
        return "Magento_Sales::ship" if request.path.endswith("/ship") else "Magento_Sales::actions_view"

    def guard(self, request: Request) -> None:
        """Raise Stop for an unknown store, wrong credentials and a missing right."""
        store = request.path.split("/")[2]
        if store not in (*self.stores, "V1"):
            raise Stop(self.no_route(request))
        if request.header("authorization").lower().startswith("oauth "):
            self._signed(request)
        elif not self.bearer_allowed or self.bearer(request) != self.access_token:
            raise Stop(self.unauthorised(request))
        if self._needed(request) not in self.rights:
            raise Stop(self.unauthorised(request))

    def _signed(self, request: Request) -> None:
        """Raise Stop unless the signature is the one that the four credentials give (RFC 5849, HMAC-SHA256)."""
        given = {k: unquote(v) for k, v in re.findall(r'(\w+)="([^"]*)"', request.header("authorization"))}
        if given.get("oauth_signature_method") != "HMAC-SHA256":
            raise Stop(said(400, "Signature method %1 is not supported", [given.get("oauth_signature_method")]))
        pairs = [*request.params, *((k, v) for k, v in given.items() if k not in ("oauth_signature", "realm"))]
        joined = "&".join(f"{k}={v}" for k, v in sorted((encoded(k), encoded(v)) for k, v in pairs))
        url = f"http://{request.header('host')}{urlsplit(request.target).path}"
        text = "&".join(map(encoded, (request.method, url, joined)))
        key = f"{encoded(self.consumer_secret)}&{encoded(self.token_secret)}"
        wanted = base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()
        known = (given.get("oauth_consumer_key"), given.get("oauth_token")) == (self.consumer_key, self.access_token)
        if not known or not hmac.compare_digest(wanted, given.get("oauth_signature", "")):
            raise Stop(said(401, "The signature is invalid. Verify and try again."))
        if given.get("oauth_nonce", "") in self._nonces:
            raise Stop(said(401, "The nonce is already being used by the consumer with key %1.", [self.consumer_key]))
        self._nonces.add(given.get("oauth_nonce", ""))

    # ---- reading ----------------------------------------------------------------------------------------

    @route("GET", V1 + "/orders")
    def find_orders(self, request: Request, store: str) -> Answer:
        for word in wanted(request).get("increment_id", ()):
            if not any(word == order.number for order in self.orders.values()):
                self.find(word)
        return self._listed(request, [self._order(order) for order in self.orders.values()])

    @route("GET", V1 + "/shipments")
    def find_shipments(self, request: Request, store: str) -> Answer:
        return self._listed(request, [self._shipment(one) for one in self.shipments])

    @route("GET", V1 + "/orders/" + ID)
    def read_order(self, request: Request, store: str, id: str) -> Answer:
        return Answer.json(picked(self._order(self._known(id)), request))

    @route("GET", V1 + "/shipment/" + ID)
    def read_shipment(self, request: Request, store: str, id: str) -> Answer:
        found = [one for one in self.shipments if str(one["entity_id"]) == id]
        return Answer.json(picked(self._shipment(found[0]), request)) if found else said(404, GONE)

    def _known(self, id: str) -> Order:
        if not id.isdigit():
            message = f'The "{id}" value\'s type is invalid. The "int" type was expected. Verify and try again.'
            raise Stop(said(400, message))
        if int(id) not in self._by_id:
            raise Stop(said(404, GONE))
        return self._by_id[int(id)]

    def _order(self, order: Order) -> dict[str, Any]:
        items = [
            {
                "item_id": int(line.id),
                "sku": line.sku,
                "is_virtual": 0,
                "qty_canceled": line.quantity if order.status == "canceled" else 0,
                "qty_ordered": line.quantity,
                "qty_refunded": 0,
                "qty_shipped": line.more.get("shipped", 0),
                **({"parent_item_id": line.more["parent"]} if "parent" in line.more else {}),
            }
            for line in order.lines
        ]
        status = "pending" if order.status == "new" else order.status
        ids = {"entity_id": order.more["entity_id"], "increment_id": order.number, "store_id": 1}
        return {**ids, "state": order.status, "status": status, "grand_total": 35, "items": items}

    def _shipment(self, one: dict[str, Any]) -> dict[str, Any]:
        tracks = [row for row in self._by_id[one["order_id"]].rows if row["parent_id"] == one["entity_id"]]
        return {**one, "increment_id": f"{one['entity_id']:09}", "tracks": tracks}

    def _listed(self, request: Request, rows: Iterable[dict[str, Any]]) -> Answer:
        asked = {re.sub("_(.)", lambda m: m[1].upper(), k): v for k, v in request.query.items()}
        found = [row for row in rows if all(str(row.get(k)) in words for k, words in wanted(request).items())]
        if asked.get("searchCriteria[sortOrders][0][direction]", "").upper() == "DESC":
            found.reverse()
        size = min(int(asked.get("searchCriteria[pageSize]", self.longest_page)), self.longest_page)
        start = (int(asked.get("searchCriteria[currentPage]", 1)) - 1) * size
        page: list[dict[str, Any]] | None = found[start : start + size]
        if request.query.get("fields") and not page:
            page = None
        return Answer.json(picked({"items": page, "search_criteria": {}, "total_count": len(found)}, request))

    # ---- shipping ---------------------------------------------------------------------------------------

    @route("POST", V1 + "/order/" + ID + "/ship")
    def ship(self, request: Request, store: str, id: str) -> Answer:
        sent = self.document(request) if request.body else {}
        order, tracks = self._known(id), sent.get("tracks") or []
        if isinstance(tracks, dict):  # one object is read as a list of its values
            tracks = [{} for _ in tracks]
        for name in (name for track in tracks for name in track if name not in TRACK):
            return unsupported(name)
        lines, ready = {line.id: left_of(line) for line in order.lines}, order.status
        wrong = []
        if ready in ("holded", "canceled", "payment_review"):
            wrong.append(f"A shipment cannot be created when an order has a status of {ready}")
        elif not any(lines.values()):
            wrong.append(FULL)
        if items := sent.get("items"):
            asked = {str(one.get("order_item_id")): one.get("qty", 0) for one in items}
            lines = {id: min(left, asked.get(id, 0)) for id, left in lines.items()}
        if ready == "canceled" or not any(lines.values()):
            wrong.append(NO_PRODUCTS)
        wrong += [NO_NUMBER for track in tracks if not track.get("track_number")]
        if wrong:
            return said(400, INVALID + "\n".join(wrong))
        if self.ship_breaks == "before" or not all("carrier_code" in track for track in tracks):
            return said(400, SEE_LOG)
        shipment = self._ship(order, lines, tracks)
        if self.ship_breaks == "after":
            return said(400, SEE_LOG)
        if sent.get("notify"):
            self.mail(order, f"Your shipment #{shipment:09}")
        return Answer.json(str(shipment))

    def _ship(self, order: Order, lines: dict[str, int], tracks: Iterable[dict[str, Any]]) -> int:
        one = {"entity_id": self.next_id(), "order_id": order.more["entity_id"], "items": []}
        for line in order.lines:
            if lines.get(line.id):
                line.more["shipped"] = line.more.get("shipped", 0) + lines[line.id]
                one["items"].append({"order_item_id": int(line.id), "qty": lines[line.id]})
        self.shipments.append(one)
        for track in tracks:
            self._track(order, one["entity_id"], {"weight": None, "qty": None, "description": None, **track})
        order.status = "complete" if order.more["invoiced"] and not any(map(left_of, order.lines)) else "processing"
        return int(one["entity_id"])

    def _track(self, order: Order, shipment: int, sent: dict[str, Any]) -> dict[str, Any]:
        now = self.stamp("%Y-%m-%d %H:%M:%S")
        whose = {"order_id": order.more["entity_id"], "entity_id": self.next_id(), "parent_id": shipment}
        order.rows.append({**sent, **whose, "created_at": now, "updated_at": now})
        return order.rows[-1]

    @route("POST", V1 + "/shipment/track")
    def add_track(self, request: Request, store: str) -> Answer:
        sent = self.document(request)
        entity = sent.get("entity")
        if not isinstance(entity, dict):
            return said(400, '"%fieldName" is required. Enter and try again.', {"fieldName": "entity"})
        for name in (name for name in entity if name not in WHOLE_TRACK):
            return unsupported(name)
        owners = [one["order_id"] for one in self.shipments if one["entity_id"] == entity.get("parent_id")]
        if owners != [entity.get("order_id")] or not entity.get("track_number"):
            return said(400, NO_TRACK)
        return Answer.json(self._track(self._by_id[owners[0]], entity["parent_id"], entity))

    @route("DELETE", V1 + "/shipment/track/" + ID)
    def delete_track(self, request: Request, store: str, id: str) -> Answer:
        for order in self.orders.values():
            if any(str(row["entity_id"]) == id for row in order.rows):
                order.rows[:] = [row for row in order.rows if str(row["entity_id"]) != id]
                return Answer.json(True)
        return said(404, GONE)


def left_of(line: Line) -> int:
    return 0 if "parent" in line.more else line.quantity - int(line.more.get("shipped", 0))


def encoded(text: str) -> str:
    return quote(text, safe="")


def said(status: int, message: str, parameters: Any = None) -> Answer:
    return Answer.json({"message": message, **({"parameters": parameters} if parameters else {})}, status)


def unsupported(name: str) -> Answer:
    field = "".join(part.capitalize() for part in name.split("_"))
    return said(400, '"%fieldName" is not supported. Correct the field name and try again.', {"fieldName": field})


def wanted(request: Request) -> dict[str, list[str]]:
    """What a search asks for: field → the values that will do."""
    found: dict[str, dict[str, str]] = {}
    for name, value in request.params:
        if key := re.fullmatch(r"searchCriteria\[filter_?[gG]roups\]\[(\d+)\]\[filters\]\[(\d+)\]\[(\w+)\]", name):
            found.setdefault(key[1] + "." + key[2], {})[key[3].lower().replace("_", "")] = value
    several = [(one["field"], one.get("conditiontype") == "in", one.get("value", "")) for one in found.values()]
    return {field: value.split(",") if many else [value] for field, many, value in several}


def picked(data: Any, request: Request) -> Any:
    """Only what `fields` names: a,b[c,d[e]]."""
    words = re.findall(r"[^\[\],]+|[\[\]]", request.query.get("fields", ""))
    if not words:
        return data

    def tree() -> dict[str, Any]:
        names: dict[str, Any] = {}
        while words:
            word = words.pop(0)
            if word == "]":
                break
            names[word] = None
            if words and words[0] == "[":
                words.pop(0)
                names[word] = tree()
        return names

    def pick(value: Any, names: dict[str, Any] | None) -> Any:
        if names is None or not isinstance(value, list | dict):
            return value
        if isinstance(value, list):
            return [pick(one, names) for one in value]
        return {name: pick(value[name], below) for name, below in names.items() if name in value}

    return pick(data, tree())
