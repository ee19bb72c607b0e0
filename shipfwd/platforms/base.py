"""Platform: what an adapter declares, what it implements, and the helpers it gets.

An adapter is a translation table plus a few functions. It says what a platform means; time, network,
retries, pacing, secrets, SQL and words to people belong to the core. Read one adapter beside this file.
"""

from __future__ import annotations

import copy
import json as jsonlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol
from urllib.parse import quote, urlencode, urlsplit

from shipfwd import __version__ as VERSION  # noqa: N812, F401  (for User-Agents; adapters import only from here)
from shipfwd.errors import (
    AuthFailed,
    CarrierNotAccepted,
    ConfigError,
    NumberNotAccepted,
    Rejected,
)
from shipfwd.models import Parcel, Rate, Receipt, Reply, Request, Seen, Setting
from shipfwd.platforms._pieces import Pieces


class Wire(Protocol):
    """What http.py offers an adapter, through `Platform.call` alone."""

    def send(
        self,
        request: Request,
        *,
        write: bool,
        repeatable: bool,
        operation: str,
        expect: str,
        accept: tuple[int, ...],
        explain: Callable[[Reply], Exception | None],
        sign: Callable[[Request, datetime], Mapping[str, str]],
    ) -> Reply: ...


@dataclass(frozen=True)
class Token:
    """An OAuth login as the vault keeps it. Times are aware UTC.

    refresh            the refresh token that works now ("" where the platform has none).
    login_expires_at   when a person must log in again, as far as the platform says.
    """

    access: str
    expires_at: datetime
    refresh: str = ""
    obtained_at: datetime | None = None
    login_expires_at: datetime | None = None


class Tokens(Protocol):
    """The vault's drawer of one integration."""

    def current(self) -> Token | None:
        """The stored login; its `refresh` gives way to a `refresh_token` reference whose value changed."""

    def locked(self) -> AbstractContextManager[Token | None]:
        """Hold the cross-process lock and signals; yields what is stored now, read again inside the lock."""

    def save(self, token: Token) -> None:
        """Durable before it returns. Only inside `locked()`."""


class Cache(Protocol):
    """Small answers worth keeping between runs (a carrier list), per integration."""

    def get(self, key: str) -> Any: ...
    def put(self, key: str, value: Any, seconds: float) -> None: ...


@dataclass(frozen=True)
class Tools:
    """What the core hands to an adapter.

    values        settings by name, defaults filled in.
    secrets       resolved secrets by name; a missing optional one is absent.
    carrier_map   the merchant's own words for carriers on this integration: our slug → theirs.
    now           the clock, UTC.
    wait          sleep that ends early when the run is asked to stop.
    ask, tell     talk with the person at `login`; raise ConfigError where nobody is there.
    """

    values: Mapping[str, str]
    secrets: Mapping[str, str]
    wire: Wire
    tokens: Tokens
    cache: Cache
    carrier_map: Mapping[str, str]
    now: Callable[[], datetime]
    wait: Callable[[float], None]
    ask: Callable[[str], str]
    tell: Callable[[str], None]


class Platform(Pieces):
    """One kind of sales channel. Subclasses declare first, then implement; unknown words raise, nothing is guessed."""

    # What it is
    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]  # the API page this was written from
    read_on: ClassVar[str]  # and the date it was read
    settings: ClassVar[tuple[Setting, ...]] = ()
    where: ClassVar[str] = ""  # where a person looks at an order there; "{order}" is filled in

    # Carriers and numbers
    carriers: Mapping[str, str] = {}  # our slug → their word
    other_carrier: str | None = None  # their word for "not on our list"; used when `other_allowed`
    needs_carrier: ClassVar[bool] = True
    number_max: ClassVar[int] = 64
    number_pattern: ClassVar[str] = ""  # a full-match regex; "" = anything

    # How it may be called
    rates: ClassVar[tuple[Rate, ...]] = ()
    concurrency: ClassVar[int] = 8
    look_batch: int = 1
    verify_batch: ClassVar[int] = 0  # orders that one `seen_again` takes; 0 = as many as a look
    throttled_seconds: ClassVar[float] = 1.0  # first pause after a 429 without Retry-After
    host_key: ClassVar[str] = "client_id"  # settings or secrets that its limits are counted by, with spaces between

    # What a write means there
    parcels: str = "many"  # many | joined | items | one
    parcels_usual: ClassVar[str] = "one"  # what `platforms` lists where `parcels` hangs on the account
    together: bool = False  # several parcels of an order go in one write
    rewrites: ClassVar[bool] = False  # a write holds all numbers of its order: one that comes late erases later ones
    proof: str = "answer"  # answer: the reply carries the number | read: a later look proves it
    repeat: str = "doubles"  # doubles | harmless
    read_back: ClassVar[bool] = True  # `look` shows the numbers on an order
    doubt_seconds: ClassVar[int] = 60  # how long a lost write may still arrive
    proof_seconds: ClassVar[int] = 600  # how long an accepted write may stay invisible

    # Marking as sent: with-tracking | separate | None
    status_transfer: ClassVar[str | None] = None
    status_transfer_default: ClassVar[bool] = True
    knows_lines: ClassVar[bool] = True  # False: a part of an order cannot be told from all of it
    sent_from: frozenset[str] = frozenset()  # order states from which `mark_sent` may be called
    correct: str | None = None  # replace | add | None

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.values = tools.values
        self.secrets = tools.secrets
        self.tokens = tools.tokens
        self.cache = tools.cache
        self.now = tools.now
        self.wire = tools.wire

    def over(self, wire: Wire) -> Platform:
        """The same adapter, talking through another wire (one per order, so that each keeps its own record)."""
        other = copy.copy(self)
        other.wire = wire
        return other

    @classmethod
    def shaped(cls, settings: Mapping[str, str]) -> type[Platform]:
        """The class as these settings make it. Itself, unless what it declares stands in a file that they name.

        Raises ConfigError when that file cannot be used.
        """
        return cls

    # ---- to implement -----------------------------------------------------------------------------------

    def check(self) -> str:
        """Who we are there: an account id or name that stays the same for ever. Reads only."""
        raise NotImplementedError

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        """What stands on these orders (at most `look_batch`); an order that does not exist is left out."""
        raise NotImplementedError

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        """Put the parcels' numbers on the order: one parcel a call, or all of an order where `together`.

        One write; success is read from the answer. `seen` comes from a look of this run, or is empty
        where `needs_look` said no.
        """
        raise NotImplementedError

    def mark_sent(self, order: str, seen: Seen) -> None:
        """Mark the order as sent, where that is a call of its own. Called only from a state in `sent_from`."""
        raise NotImplementedError

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        """Put `number` in the place of the parcel's forwarded one, where `correct` says it can be done."""
        raise NotImplementedError

    # ---- hooks ------------------------------------------------------------------------------------------

    @classmethod
    def complete(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        """Raise UsageError for what is missing where one of several will do. Called when an account is set up."""

    def headers(self) -> Mapping[str, str]:
        """Headers of every call, authorisation among them."""
        return {}

    def sign(self, request: Request, now: datetime) -> Mapping[str, str]:
        """Headers that depend on the prepared bytes of this attempt (a signature); called for each attempt."""
        return {}

    def explain(self, reply: Reply) -> Exception | None:
        """The platform's own reading of a reply; None leaves it to the status. Asked for every reply."""
        return None

    def preflight(self, parcel: Parcel) -> None:
        """Raise CarrierNotAccepted, NumberNotAccepted or NotOurs for what can be known without asking.

        Called before any request; may use the cache and reads (a carrier list).
        """
        if self.needs_carrier:
            self.carrier_code(parcel)

    def bundle(self, parcel: Parcel) -> str:
        """Where `together`: parcels of an order with the same word go in one write. Raises nothing."""
        return ""

    def needs_look(self, parcels: Sequence[Parcel]) -> bool:
        """False only where a repeat is harmless and all that `forward` needs is known."""
        return True

    def arrived(self, parcel: Parcel, seen: Seen, others: Sequence[Parcel]) -> bool | None:
        """Where numbers cannot be read back: does the order's state tell that a lost write arrived? None: it cannot.

        others   parcels of ours that are on this order, or may be, by writes of their own.
        """
        return None

    def renew_access(self, stale: str) -> bool:
        """After a 401: True when a new access token was fetched and the call is worth repeating once."""
        return False

    def seen_again(self, written: Mapping[str, datetime]) -> Mapping[str, Seen]:
        """What stands on orders whose accepted numbers nobody saw yet (at most `verify_batch`); writes depend on none.

        written   order → when its oldest such number was accepted. An order that is left out stays unproven: its
                  number counts neither as there nor as missing.
        """
        return {order: Seen() for order in written} | dict(self.look(list(written)))

    def login(self) -> str:
        """Ask the person for consent and keep the tokens; returns the identity, as `check` does."""
        raise ConfigError(f"{self.title} needs no login; its credentials are secrets of the integration")

    # ---- helpers ----------------------------------------------------------------------------------------

    def flag(self, name: str) -> bool:
        return self.values.get(name, "").lower() == "true"

    def secret(self, name: str) -> str:
        """A secret that must be there now. Raises ConfigError naming the option that gives it."""
        try:
            return self.secrets[name]
        except KeyError:
            raise ConfigError(f"{self.title} needs the secret {name}; give it with --secret {name}=REF") from None

    @property
    def other_allowed(self) -> bool:
        return self.other_carrier is not None and self.values.get("other_carrier", "true").lower() == "true"

    def carrier_code(self, parcel: Parcel) -> str:
        """The platform's word for the parcel's carrier: the merchant's map, our table, or `other_carrier`."""
        if mapped := self.tools.carrier_map.get(parcel.carrier):
            return mapped
        if parcel.carrier in self.carriers:
            return self.carriers[parcel.carrier]
        if not parcel.carrier:
            raise CarrierNotAccepted(f"no carrier is given and {self.title} asks for one")
        if self.other_allowed and parcel.carrier_name:
            assert self.other_carrier is not None
            return self.other_carrier
        raise CarrierNotAccepted(f"{self.title} has no name for carrier '{parcel.carrier}'")

    def check_number(self, parcel: Parcel) -> None:
        """Raise NumberNotAccepted when the number breaks `number_max` or `number_pattern`. The engine calls it."""
        import re

        number = parcel.tracking_number
        if len(number) > self.number_max:
            raise NumberNotAccepted(f"{self.title} takes at most {self.number_max} characters, this has {len(number)}")
        if self.number_pattern and not re.fullmatch(self.number_pattern, number):
            raise NumberNotAccepted(f"{self.title} does not take a number with these characters")

    def url(self, path: str, *parts: str, base: str = "base_url") -> str:
        """The setting `base` plus `path`, whose {} take the parts percent-encoded.

        Raises Rejected for what no encoding keeps in its place: on the way, /orders/../x becomes /x.
        """
        for part in parts:
            if part in ("", ".", ".."):
                raise Rejected(
                    f"'{part}' is no order number: in an address of {self.title} it would mean another place"
                )
        return self.values[base].rstrip("/") + path.format(*(quote(part, safe="") for part in parts))

    def call(
        self,
        method: str,
        path: str,
        *parts: str,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        json: Any = None,
        form: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        base: str = "base_url",
        write: bool | None = None,
        repeatable: bool | None = None,
        operation: str = "",
        expect: str = "json",
        accept: tuple[int, ...] = (),
        auth: bool = True,
    ) -> Reply:
        """Send one request. Raises what errors.py names, nothing else.

        path, parts  "/orders/{}/shipments", "A-1": parts are percent-encoded.
        write        it changes something there (default: all but GET): passes the dry-run gate, is journalled before.
        repeatable   asking twice changes nothing (default: reads, and all where `repeat` is harmless).
        operation    which of `rates` counts it.
        expect       json: a document | empty: no body | maybe: either | text: any body.
        accept       statuses the caller reads itself.
        auth         False: without `headers()` and `sign()` (token requests).
        """
        writes = method != "GET" if write is None else write
        if json is not None:
            body = jsonlib.dumps(json, ensure_ascii=False, separators=(",", ":")).encode()
        elif form is not None:
            body = urlencode(form).encode()
        pairs = list(params.items()) if isinstance(params, Mapping) else list(params)
        query = "?" + urlencode(pairs, quote_via=quote) if pairs else ""
        kind = (
            "application/json" if json is not None else "application/x-www-form-urlencoded" if form is not None else ""
        )

        used = ""  # the access token of the last try; "" when it was fetched for that very call

        def once() -> Reply:
            nonlocal used
            merged: dict[str, str] = {"Accept": "application/json"}
            if kind:
                merged["Content-Type"] = kind
            if auth:
                before = self.tokens.current()
                merged.update(self.headers())
                used = before.access if before and before == self.tokens.current() else ""
            merged.update(headers or {})
            return self.wire.send(
                Request(method, self.url(path, *parts, base=base) + query, merged, body),
                write=writes,
                repeatable=(not writes or self.repeat == "harmless") if repeatable is None else repeatable,
                operation=operation,
                expect=expect,
                accept=accept,
                explain=self.explain,
                sign=self.sign if auth else lambda request, now: {},
            )

        try:
            return once()
        except AuthFailed:
            if not (auth and self.renew_access(used)):
                raise
            return once()  # a 401 means that it was not processed

    def get(self, path: str, *parts: str, **options: Any) -> Reply:
        return self.call("GET", path, *parts, **options)

    def post(self, path: str, *parts: str, **options: Any) -> Reply:
        return self.call("POST", path, *parts, **options)

    def put(self, path: str, *parts: str, **options: Any) -> Reply:
        return self.call("PUT", path, *parts, **options)

    def patch(self, path: str, *parts: str, **options: Any) -> Reply:
        return self.call("PATCH", path, *parts, **options)


def host(url: str) -> str:
    """The host of a URL with its port, for messages and for counting limits."""
    return urlsplit(url).netloc
