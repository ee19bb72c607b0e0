"""Stand: one platform's local stand-in. To add a platform, add one file here with one subclass.

    class Bazaar(Stand):
        name = "bazaar"                       # the file's name, the platform's name and the path prefix
        title = "Bazaar"
        number_field = "tracking"             # the key of a row in `Order.rows` that holds the number

        def guard(self, request):             # before every route that is not `open`
            if request.header("x-api-key") != "SECRET-bazaar":
                raise Stop(self.unauthorised(request))

        @route("GET", "/orders/{id}/shipments")
        def shipments(self, request, id):
            return Answer.json(self.known(id).rows)

        @route("POST", "/orders/{id}/shipments")
        def ship(self, request, id):
            order, sent = self.known(id), self.document(request)
            order.rows.append({"carrier": sent["carrier"], "tracking": sent["tracking"]})
            self.mail(order, "Your parcel is on its way")
            return Answer.json(order.rows[-1], 201)

        def credentials(self):
            return {"base_url": self.base_url}, {"api_key": "SECRET-bazaar"}

Write it from the vendor's documents and from observed answers, never from our adapter: it is there to
contradict the adapter. Handlers run one at a time per stand-in, so state needs no locks. Every secret that
a stand-in hands out holds the word SECRET, so that a search finds any that leaks.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import unquote

from shipfwd.simulator._http import Answer, Request
from shipfwd.simulator._oauth import Grant, TokenDesk

__all__ = ["Answer", "Grant", "Line", "Mail", "Order", "Request", "Stand", "Stop", "TokenDesk", "route"]

Handler = Callable[..., Answer]


class Stop(Exception):
    """Raised by a handler or guard: this is the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass
class Line:
    """A line of an order. `more`: whatever the platform shows besides."""

    id: str
    quantity: int = 1
    sku: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class Order:
    """An order at the platform.

    number   what the merchant calls it; the same as `id` unless given.
    rows     what carries tracking numbers there, in the platform's own shape, oldest first.
    more     whatever else the platform keeps on it.
    """

    id: str
    number: str
    status: str
    lines: list[Line]
    rows: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mail:
    """A mail to the buyer, with the numbers that stood on the order when it left."""

    order: str
    subject: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    open: bool
    handler: Handler


def route(method: str, path: str, open: bool = False) -> Callable[[Handler], Handler]:
    """Declare a handler: called as handler(self, request, **parts) → Answer; may raise Stop.

    path   "/orders/{id}/ship": {id} is one segment, percent-decoded; {id:[0-9]+} narrows it.
    open   answered without `guard` (token endpoints, public pages).
    """
    pieces = re.split(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})+))?\}", path)
    pattern = re.escape(pieces[0])
    for name, narrow, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        pattern += f"(?P<{name}>{narrow or '[^/]+'})" + re.escape(text)

    def declare(handler: Handler) -> Handler:
        routes = handler.__dict__.setdefault("routes", [])
        routes.insert(0, _Route(method, re.compile(pattern), open, handler))
        return handler

    return declare


class Stand:
    """A platform's stand-in. Declare, then write handlers; state lives in memory as long as the simulator."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    first_status: ClassVar[str] = "open"  # the state of an order that was just added
    number_field: ClassVar[str] = "number"
    plausible: ClassVar[str] = r"\S+"  # ids that exist with `auto_orders`: a full-match regex
    retry_after: int | None = None  # seconds that a 429 asks for; None: says nothing

    _routes: ClassVar[dict[str, list[_Route]]] = {}

    def __init_subclass__(cls) -> None:
        # In the order of declaration, base classes first. An override needs no decorator of its own.
        table: dict[str, list[_Route]] = {}
        for name in dict.fromkeys(name for kind in reversed(cls.__mro__) for name in vars(kind)):
            declared = (getattr(vars(kind).get(name), "routes", None) for kind in cls.__mro__)
            for known in next(filter(None, declared), ()):
                table.setdefault(known.method, []).append(replace(known, handler=getattr(cls, name)))
        cls._routes = table

    def __init__(
        self,
        prefix: str,
        base_url: str,
        now: Callable[[], float],
        auto_orders: bool = False,
    ) -> None:
        self.prefix, self.base_url, self.now, self.auto_orders = prefix, base_url, now, auto_orders
        self.orders: dict[str, Order] = {}
        self.mails: list[Mail] = []
        self.lock = threading.RLock()
        self.set_up()

    # ---- to implement -----------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Make what the stand-in needs besides orders (a TokenDesk, counters)."""

    def guard(self, request: Request) -> None:
        """Raise Stop for a request that may not come in: credentials, required headers."""

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """The settings and the secrets that an integration needs to talk to this stand-in."""
        return {"base_url": self.base_url}, {}

    def seed(self) -> dict[str, str]:
        """Add a few demo orders with fixed ids; returns what each is for: {id: words}."""
        return {}

    def no_route(self, request: Request) -> Answer:
        """What the vendor says to an unknown path or method."""
        return Answer.json({"error": "not found"}, 404)

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        """What the vendor says for an order that does not exist."""
        return Answer.json({"error": "order not found"}, 404)

    def unauthorised(self, request: Request) -> Answer:
        """What the vendor says to wrong credentials; also the fault "401"."""
        return Answer.json({"error": "unauthorized"}, 401)

    def too_many(self, request: Request) -> Answer:
        """What the vendor says above its limits; also the fault "429"."""
        return Answer.json({"error": "too many requests"}, 429)

    def not_json(self, request: Request) -> Answer:
        """What the vendor says to a body that is no JSON object."""
        return Answer.json({"error": "malformed body"}, 400)

    def finish(self, request: Request, answer: Answer) -> Answer:
        """Last touch on every answer of this stand-in (a trace id)."""
        return answer

    def line(self, order_id: str, place: int) -> Line:
        """The line at `place` (from 1) of an order that was added without lines of its own."""
        return Line(f"{order_id}-{place}", sku=f"SKU-{place}")

    # ---- for tests --------------------------------------------------------------------------------------

    def add_order(
        self,
        id: str,
        *,
        status: str = "",
        number: str = "",
        lines: int | Iterable[Line] = 1,
        **more: Any,
    ) -> Order:
        """Put an order there. `lines`: how many, or the lines themselves; `more` as the stand-in says."""
        made = [self.line(id, n + 1) for n in range(lines)] if isinstance(lines, int) else list(lines)
        order = Order(id, number or id, status or self.first_status, made, more=dict(more))
        with self.lock:
            self.orders[id] = order
        return order

    def numbers(self, id: str) -> list[str]:
        """The tracking numbers that stand on an order, oldest first, duplicates included; none: []."""
        with self.lock:
            return self.numbers_of(self.orders[id]) if id in self.orders else []

    def numbers_of(self, order: Order) -> list[str]:
        return [str(row[self.number_field]) for row in order.rows]

    def all_numbers(self) -> dict[str, list[str]]:
        with self.lock:
            return {id: self.numbers_of(order) for id, order in self.orders.items()}

    def doubles(self) -> dict[str, list[str]]:
        """Orders on which a number stands more than once, with those numbers."""
        found = {}
        for id, numbers in self.all_numbers().items():
            if twice := sorted({n for n in numbers if numbers.count(n) > 1}):
                found[id] = twice
        return found

    # ---- for handlers -----------------------------------------------------------------------------------

    def find(self, id: str) -> Order | None:
        """The order, or None. With `auto_orders` any plausible id exists."""
        order = self.orders.get(id)
        if order is None and self.auto_orders and re.fullmatch(self.plausible, id):
            order = self.add_order(id)
        return order

    def known(self, id: str, request: Request | None = None) -> Order:
        """The order; raises Stop with `unknown_order`."""
        if (order := self.find(id)) is None:
            raise Stop(self.unknown_order(request, id))
        return order

    def document(self, request: Request) -> dict[str, Any]:
        """The body as a JSON object; raises Stop with `not_json`."""
        try:
            data = request.json()
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise Stop(self.not_json(request))
        return data

    def mail(self, order: Order, subject: str) -> None:
        """The buyer gets a mail."""
        self.mails.append(Mail(order.id, subject, tuple(self.numbers_of(order))))

    def bearer(self, request: Request) -> str:
        """The bearer token of a request; "" when there is none."""
        kind, _, token = request.header("authorization").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    def basic(self, request: Request) -> tuple[str, str]:
        """User and password of Basic authorisation; empty when there is none."""
        kind, _, coded = request.header("authorization").partition(" ")
        if kind.lower() != "basic":
            return "", ""
        try:
            user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password

    def stamp(self, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
        """Now, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC).strftime(form)

    # ---- for the server and `shipfwd simulate` ----------------------------------------------------------

    def handle(self, request: Request) -> Answer:
        with self.lock:
            try:
                return self.finish(request, self._dispatch(request))
            except Stop as stop:
                return self.finish(request, stop.answer)

    def _dispatch(self, request: Request) -> Answer:
        for known in self._routes.get(request.method, ()):
            if found := known.pattern.fullmatch(request.path):
                if not known.open:
                    self.guard(request)
                return known.handler(self, request, **{k: unquote(v) for k, v in found.groupdict().items()})
        return self.no_route(request)

    def allowed(self, path: str) -> list[str]:
        """The methods that a path takes."""
        return [m for m, routes in self._routes.items() if any(r.pattern.fullmatch(path) for r in routes)]

    def describe(self) -> str:
        """One line: what this is, where, and which orders are there."""
        orders = ", ".join(self.orders) or ("any order id" if self.auto_orders else "no orders")
        return f"{self.title or self.name} at {self.base_url}: {orders}"

    def commands(self) -> Sequence[str]:
        """Shell lines that add an integration for this stand-in."""
        settings, secrets = self.credentials()
        given = {key: f"SIM_{self.prefix}_{key}".upper().replace("-", "_") for key in secrets}
        exports = [f"export {given[key]}={_quoted(value)}" for key, value in secrets.items()]
        options = [f"--set {key}={_quoted(value)}" for key, value in settings.items()]
        options += [f"--secret {key}=env:{name}" for key, name in given.items()]
        return [*exports, f"shipfwd integration add sim-{self.prefix} --platform {self.name} {' '.join(options)}"]

    def state(self) -> Mapping[str, Any]:
        """What stands there, for whoever watches from another process."""
        return {"orders": self.all_numbers(), "mails": len(self.mails)}


def _quoted(value: str) -> str:
    import shlex

    return shlex.quote(value)
