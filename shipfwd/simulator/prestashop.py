"""PrestaShop's Webservice, as a shop of version 8.2.1 answered on 2026-11-23; `version` makes it older.

Kept because it bites: a PUT empties what it leaves out; the id in the body wins over the address; a number of more
than 64 characters is answered in full and stored cut; an unknown order gets a history line as a 500 without a word;
the same state again is one more line, and one more mail; an empty list is `[]` in JSON; several orders may share a
reference; reads compare without case.
From the core's source, read 2026-11: codes 22, 23 and 46, mails, the flags of order statuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree  # noqa: S405  (what comes in comes from this machine)
from xml.sax.saxutils import escape  # noqa: S406

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

FIELD = 64
NUMBER = r"[~:#,%&_=()\[\]. ?+\-@/a-zA-Z0-9]*"  # isTrackingNumber; empty clears
FLOATS = ("weight", "shipping_cost_tax_excl", "shipping_cost_tax_incl")
CARRIER_ROW = ("id_order", "id_carrier", "id_order_invoice", *FLOATS, "tracking_number", "date_add")
ORDER = ("id_carrier", "current_state", "reference", "shipping_number", "payment", "date_add")
HISTORY = ("id_employee", "id_order_state", "id_order", "date_add")
STATE = ("delivery", "shipped", "paid", "send_email", "deleted", "name")
FIELDS = {"orders": ORDER, "order_carriers": CARRIER_ROW, "order_histories": HISTORY, "order_states": STATE}
ENTITIES = {name: name[:-3] + "y" if name.endswith("ies") else name[:-1] for name in FIELDS}
# id → name, and the flags delivery, shipped, paid and send_email
STATES = {
    1: ("Awaiting check payment", "0001"), 2: ("Payment accepted", "0011"), 3: ("Processing in progress", "1011"),
    4: ("Shipped", "1111"), 5: ("Delivered", "1110"), 6: ("Canceled", "0001"), 7: ("Refunded", "0001"),
    8: ("Payment error", "0001"), 9: ("On backorder (paid)", "0011"), 10: ("Awaiting bank wire payment", "0001"),
    11: ("Remote payment accepted", "0011"), 12: ("On backorder (not paid)", "0001"),
    13: ("Awaiting Cash On Delivery validation", "0000"),
}  # fmt: skip
REALM = "Welcome to PrestaShop Webservice, please enter the authentication key as the login. No password required."
ALL = "GET HEAD POST PUT PATCH DELETE"
MARK = {"xmlns:xlink": "http://www.w3.org/1999/xlink"}


class PrestaShop(Stand):
    """add_order: the id is what the merchant says; number="XKBKNABJK" is the reference (the id unless given), status is
    the state's id, shop_id the order's own (the id where that is a number). `rows` are its order_carriers.

    version        (1, 7) knows no PATCH.   webservice   False: switched off.
    mail_breaks    the shop saves, fails to mail, and says that it failed.
    history        "": as it should be | before: breaks without a word, nothing done | after: done, then breaks.
    moved_to       the shop's own address, when this is not it.
    """

    name = "prestashop"
    title = "PrestaShop"
    first_status = "3"
    plausible = "[A-Za-z0-9_-]{1,40}"

    version = (8, 2)
    webservice = True
    mail_breaks = False
    history = ""
    moved_to = ""
    carrier_url = "https://tracking.example/@"  # without one the shop mails nothing
    # key → what it may, by resource
    keys: Mapping[str, Mapping[str, str]] = {
        "SECRETSIMKEYFULLRIGHTS0000000001": dict.fromkeys(FIELDS, ALL),
        "SECRETSIMKEYREADONLY000000000001": {"orders": "GET HEAD", "order_carriers": "GET HEAD"},
        "SECRETSIMKEYNOPATCH0000000000001": dict.fromkeys(FIELDS, "GET HEAD POST PUT"),
        "SECRETSIMKEYNORIGHTS000000000001": {},
    }

    def set_up(self) -> None:
        self._ids = 1000
        self._rows: dict[str, tuple[Order, dict[str, Any]]] = {}
        self._shop_ids: dict[str, Order] = {}
        self.histories: list[dict[str, Any]] = []
        self.states = {id: dict(zip(STATE, [*flags, "0", name], strict=True)) for id, (name, flags) in STATES.items()}

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": self.base_url}, {"api_key": next(iter(self.keys))}

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def add_order(self, id: str, *, rows: int = 1, shop_id: int = 0, **more: Any) -> Order:
        order = super().add_order(id, **more)
        order.more["id"] = shop_id or (int(id) if id.isdigit() else self.next_id())
        self._shop_ids[str(order.more["id"])] = order
        for _ in range(rows):
            self.add_row(order)
        return order

    def add_row(self, order: Order, number: str = "") -> dict[str, Any]:
        """One more order_carrier."""
        costs = {"weight": "0.500000", "shipping_cost_tax_excl": "7.000000", "shipping_cost_tax_incl": "8.400000"}
        whose = {"id": self.next_id(), "id_order": str(order.more["id"]), "id_carrier": "2", "id_order_invoice": "9"}
        row = {**whose, **costs, "tracking_number": number, "date_add": self._now()}
        order.rows.append(row)
        self._rows[str(row["id"])] = order, row
        return row

    def put(self, id: str, number: str) -> None:
        """A number comes to stand on the order, by whomever."""
        self.orders[id].rows[-1]["tracking_number"] = number

    def numbers_of(self, order: Order) -> list[str]:
        return [word for row in order.rows for word in row["tracking_number"].split(",") if word]

    def line(self, order_id: str, place: int) -> Line:
        return Line(str(place), sku=f"demo_{place}")

    def seed(self) -> dict[str, str]:
        """What the orders are for."""
        words = {
            "XKBKNABJK": "ready",
            "OHSATSERP": "ready, and split: the reference is shared by UOYEVOLI",
            "UOYEVOLI": "the other half of OHSATSERP",
            "FFATNOMMJ": "ready, with two carrier rows",
            "KHWLILZLL": "awaiting a bank wire",
            "JDKAAHSDO": "cancelled",
            "PAIKSZPTO": "delivered, with a number",
        }
        for id in ("XKBKNABJK", "OHSATSERP"):
            self.add_order(id)
        self.add_order("UOYEVOLI", number="OHSATSERP")
        self.add_order("FFATNOMMJ", rows=2)
        self.add_order("KHWLILZLL", status="10")
        self.add_order("JDKAAHSDO", status="6")
        self.add_order("PAIKSZPTO", status="5")
        self.put("PAIKSZPTO", "620000000000000000000005")
        return words

    def _now(self) -> str:
        return self.stamp("%Y-%m-%d %H:%M:%S")

    # ---- who asks ---------------------------------------------------------------------------------------

    def unauthorised(self, request: Request) -> Answer:
        return errors(request, 401, (20, "Authentification key is not active"), (21, NO_PERMISSION), realm=True)

    def too_many(self, request: Request) -> Answer:
        return Answer.html("Too Many Requests", 429)  # hosts say it, not PrestaShop

    def no_route(self, request: Request) -> Answer:
        return Answer.html("Page not found", 404)

    def guard(self, request: Request) -> None:
        """Raise Stop for what the Webservice refuses before it looks at the order."""
        if self.moved_to:
            where = f"{self.moved_to}/?url={request.path.removeprefix('/api/')}"
            raise Stop(Answer(302, b"", {"Location": where, "Content-Type": "text/html; charset=utf-8"}))
        if not self.webservice:
            message = "The PrestaShop webservice is disabled. Please activate it in the PrestaShop Back Office"
            raise Stop(errors(request, 503, (22, message)))
        rights = self._rights(request)
        resource = request.path.split("/")[2] if request.path.count("/") > 1 else ""
        if not resource:
            return
        if resource not in FIELDS:
            raise Stop(
                errors(request, 400, (27, f'Resource of type "{resource}" does not exists. Did you mean: "shops"?'))
            )
        if self.version < (8,) and request.method == "PATCH":
            raise Stop(errors(request, 405, (23, "Method PATCH is not valid")))
        if resource not in rights:
            message = f'Resource of type "{resource}" is not allowed with this authentication key'
            raise Stop(errors(request, 401, (26, message), realm=True))
        if request.method not in rights[resource].split():
            message = f"Method {request.method} is not allowed for the resource {resource} with this authentication key"
            raise Stop(errors(request, 405, (25, message)))

    def _rights(self, request: Request) -> Mapping[str, str]:
        if "authorization" not in request.headers and "ws_key" not in request.query:
            raise Stop(
                Answer.text("401 Unauthorized", 401, {"WWW-Authenticate": f'Basic realm="{REALM}"'}, "text/html")
            )
        key = request.query.get("ws_key") or self.basic(request)[0]
        if not key:
            raise Stop(errors(request, 401, (17, "Authentication key is empty"), realm=True))
        if len(key) != 32:
            raise Stop(errors(request, 401, (18, "Invalid authentication key format"), realm=True))
        if key not in self.keys:
            raise Stop(self.unauthorised(request))
        if not self.keys[key]:
            raise Stop(errors(request, 401, (21, NO_PERMISSION), realm=True))
        return self.keys[key]

    # ---- reading ----------------------------------------------------------------------------------------

    @route("GET", "/api{slash:/?}")
    def index(self, request: Request, slash: str) -> Answer:
        nodes = ""
        verbs = ALL if self.version >= (8,) else ALL.replace(" PATCH", "")
        for name, granted in self._rights(request).items():
            may = " ".join(f'{v.lower()}="{str(v in granted.split()).lower()}"' for v in verbs.split())
            link = f"{self.base_url}/api/{name}"
            schema = f'<schema xlink:href="{link}?schema=blank" type="blank"/>'
            nodes += f'<{name} xlink:href="{link}" {may}>\n{schema}\n</{name}>\n'
        return Answer.xml(document(f'<api shopName="Sim shop">\n{nodes}</api>\n'))

    @route("GET", "/api/{resource}")
    def search(self, request: Request, resource: str) -> Answer:
        shown = list(self._all(resource, request))
        for name, value in request.params:
            if (key := re.fullmatch(r"filter\[(\w+)\]", name)) and key[1] not in ("id", *FIELDS[resource]):
                return errors(request, 500, (32, f'This filter does not exist. Did you mean: "note"? ({key[1]})'), PHP)
            if key:
                shown = [one for one in shown if fits(str(one[key[1]]), value)]
        if limit := request.query.get("limit", ""):
            shown = shown[: int(limit.split(",")[-1])]
        fields = self._display(request, resource)
        rows = [{key: one[key] for key in ("id", *FIELDS[resource]) if key in fields} for one in shown]
        if resource == "orders" and request.query.get("display") == "full":
            rows = [{**row, "associations": self._rows_of(row["id"])} for row in rows]
        if wants_json(request):
            texts = [
                {key: value if key in ("id", "associations") else str(value) for key, value in row.items()}
                for row in rows
            ]
            return Answer.json({resource: texts} if texts else [])
        inner = "".join(entity(ENTITIES[resource], row) for row in rows)
        return Answer.xml(document(f"<{resource}>\n{inner}</{resource}>\n"))

    @route("GET", "/api/{resource}/{id}")
    def read(self, request: Request, resource: str, id: str) -> Answer:
        found = next((one for one in self._all(resource, request) if str(one["id"]) == id), None)
        return self._one(request, resource, found) if found else Answer.empty(404, {"Content-Type": ""})

    def _rows_of(self, id: Any) -> dict[str, Any]:
        rows = [
            {"id": line.id, "product_id": "1", "product_quantity": str(line.quantity), "product_reference": line.sku}
            for line in self._shop_ids[str(id)].lines
        ]
        return {"order_rows": rows}

    def _display(self, request: Request, resource: str) -> list[str]:
        asked = request.query.get("display", "[id]")
        if asked == "full":
            return ["id", *FIELDS[resource]]
        fields = asked.strip("[]").split(",")
        for field in fields:
            if field not in ("id", *FIELDS[resource]):
                message = f'Unable to display this field "{field}". However, these are available: id, '
                raise Stop(errors(request, 500, (35, message + ", ".join(FIELDS[resource])), PHP))
        return fields

    def _all(self, resource: str, request: Request) -> Iterable[dict[str, Any]]:
        """Every row of a resource; with `auto_orders` also those orders that are asked for."""
        if resource == "orders":
            for word in words(request.query.get("filter[reference]", "") or request.query.get("filter[id]", "")):
                if word not in self._shop_ids and not any(word == order.number for order in self.orders.values()):
                    self.find(word)
            return [self._order(order) for order in self.orders.values()]
        if resource == "order_carriers":
            return [row for order in self.orders.values() for row in order.rows]
        if resource == "order_states":
            return [{"id": id, **state} for id, state in self.states.items()]
        return self.histories

    def _order(self, order: Order) -> dict[str, Any]:
        shown = {"id_carrier": "2", "current_state": order.status, "reference": order.number, "payment": "Bank wire"}
        number = order.rows[0]["tracking_number"] if order.rows else ""
        return {"id": order.more["id"], **shown, "shipping_number": number, "date_add": "2026-11-23 10:00:00"}

    def _one(self, request: Request, resource: str, row: dict[str, Any], status: int = 200) -> Answer:
        """A single entity; JSON leaves out what PHP takes for empty."""
        if wants_json(request):
            return Answer.json({ENTITIES[resource]: {k: v for k, v in row.items() if v not in ("", "0", 0)}}, status)
        return Answer.xml(document(entity(ENTITIES[resource], row)), status)

    # ---- writing ----------------------------------------------------------------------------------------

    @route("PUT", "/api/order_carriers{rest:(/[0-9]+)?}")
    @route("PATCH", "/api/order_carriers{rest:(/[0-9]+)?}")
    def change_row(self, request: Request, rest: str) -> Answer:
        sent = self._entity(request, "order_carrier")
        if not sent.get("id"):
            return errors(request, 400, (90, "id is required when modifying a resource"))
        whole = request.method == "PUT"
        for name in ("id_order", "id_carrier") if whole else ():
            if not sent.get(name):
                return errors(request, 400, (41, f'parameter "{name}" required'))
        if sent["id"] not in self._rows:
            return errors(request, 404, (92, "Invalid ID"))
        order, row = self._rows[sent["id"]]
        if wrong := self._invalid(request, sent):
            return wrong
        empty = dict.fromkeys(CARRIER_ROW, "") | {"date_add": self._now()} if whole else row
        echo = {"id": sent["id"], **{name: sent.get(name, empty[name]) for name in CARRIER_ROW}}
        stored = {**echo, "id": row["id"], "tracking_number": echo["tracking_number"][:FIELD]}
        row.update(stored | {name: stored[name] or "0.000000" for name in FLOATS})
        row["id_order_invoice"] = row["id_order_invoice"] or "0"
        if request.query.get("sendemail") and self.carrier_url:
            if self.mail_breaks:
                return errors(request, 500, (46, "Unable to save resource"))
            self.mail(order, "Package in transit")
        return self._one(request, "order_carriers", echo)

    @route("POST", "/api/order_histories")
    def change_state(self, request: Request) -> Answer:
        sent = self._entity(request, "order_history")
        for name in ("id_order", "id_order_state"):
            if not sent.get(name):
                return errors(request, 400, (41, f'parameter "{name}" required'))
        order, state = self._shop_ids.get(sent["id_order"]), self.states.get(int(sent["id_order_state"]))
        if order is None or state is None or self.history == "before":
            return Answer.text("", 500, kind="text/html; charset=utf-8")
        order.status = sent["id_order_state"]
        whose = {"id_employee": "0", "id_order_state": sent["id_order_state"], "id_order": sent["id_order"]}
        row = {"id": self.next_id(), **whose, "date_add": self._now()}
        self.histories.append(row)
        if request.query.get("sendemail") and state["send_email"] == "1":
            self.mail(order, state["name"])
        if self.history == "after":
            return Answer.text("", 500, kind="text/html; charset=utf-8")
        return self._one(request, "order_histories", {**row, "id": str(row["id"])}, 201)

    def _invalid(self, request: Request, sent: Mapping[str, str]) -> Answer | None:
        wrong = [name for name in FLOATS if not re.fullmatch(r"-?[0-9.]*", sent.get(name, ""))]
        if not re.fullmatch(NUMBER, sent.get("tracking_number", "")):
            wrong.append("tracking_number")
        message = f'Validation error: "Property OrderCarrier->{"".join(wrong[:1])} is not valid"'
        return errors(request, 400, (85, escape(message))) if wrong else None

    def _entity(self, request: Request, name: str) -> dict[str, str]:
        """What a body says of an entity. Raises Stop for what is no XML, JSON for one."""
        body = request.body.decode("utf-8", "replace")
        try:
            node = ElementTree.fromstring(body).find(name)  # noqa: S314
        except ElementTree.ParseError:
            message = f"XML error : String could not be parsed as XML\nXML length : {len(body)}\nOriginal XML : {body}"
            raise Stop(errors(request, 500, PHP, (127, message))) from None
        return {part.tag: part.text or "" for part in node if part is not None} if node is not None else {}


NO_PERMISSION = "No permission for this authentication key"
PHP = (
    3,
    "[PHP Warning #2] SimpleXMLElement::__construct() (/shop/classes/webservice/WebserviceRequest.php, line 1544)",
)


def wants_json(request: Request) -> bool:
    return "JSON" in (request.query.get("output_format"), request.header("io-format"))


def words(filter: str) -> list[str]:
    """[a|b] as a and b."""
    return [word for word in filter.strip("[]").split("|") if word]


def fits(value: str, filter: str) -> bool:
    """Whether a filter takes a value: [a|b], [low,high]; the database compares without case."""
    if filter.startswith("[") and "," in filter:
        low, high = filter.strip("[]").split(",")
        return low <= value <= high
    return value.casefold() in [word.casefold() for word in words(filter)]


def document(inner: str) -> str:
    mark = " ".join(f'{name}="{value}"' for name, value in MARK.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<prestashop {mark}>\n{inner}</prestashop>\n'


def entity(name: str, row: Mapping[str, Any]) -> str:
    fields = "".join(f"\t<{key}><![CDATA[{value}]]></{key}>\n" for key, value in row.items())
    return f"<{name}>\n{fields}</{name}>\n"


def errors(request: Request, status: int, *rows: tuple[int, str], realm: bool = False) -> Answer:
    """An error document in the form that was asked for."""
    headers = {"WWW-Authenticate": f'Basic realm="{REALM}"'} if realm else {}
    if wants_json(request):
        return Answer.json({"errors": [{"code": code, "message": words} for code, words in rows]}, status, headers)
    one = "<error>\n<code><![CDATA[{}]]></code>\n<message><![CDATA[{}]]></message>\n</error>\n"
    inner = "".join(one.format(code, words) for code, words in rows)
    return Answer.xml(document(f"<errors>\n{inner}</errors>\n"), status, headers)
