"""Declarative: a platform whose declarations, requests and outcomes stand in a TOML file (docs/http.md).

The class is shaped by the settings that name the file (`shaped`); what the file may say, and that it makes sense, is
_definition.py's. Nothing here decides what a stranger's API means:
- no status is a success unless the file says so, and each has a meaning;
- a redirect is never followed, whatever the file says;
- a state that the file does not list stops the order.
"""

from __future__ import annotations

import copy
import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from shipfwd.errors import (
    AuthFailed,
    CarrierNotAccepted,
    ConfigError,
    NotOurs,
    NotReady,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    Rejected,
    Throttled,
    TryLater,
    Unavailable,
)
from shipfwd.models import Parcel, Rate, Receipt, Reply, Request, Seen, Setting, stamp, tracking_key
from shipfwd.platforms._definition import (
    GOOD,
    NUMBER_MAX,
    Definition,
    Fill,
    Step,
    filled,
    header_values,
    load,
    pieces,
    texts,
    unfinished,
)
from shipfwd.platforms._oauth import OAuth
from shipfwd.platforms._replay import replayed
from shipfwd.platforms.base import Platform, host

MEANS: dict[str, tuple[type[Exception], str]] = {
    "not_found": (OrderNotFound, "{title} knows no such order ({said})"),
    "refused": (Rejected, "{title} refuses it: {said}"),
    "carrier": (CarrierNotAccepted, "{title} does not take the carrier: {said}"),
    "number": (NumberNotAccepted, "{title} does not take the number: {said}"),
    "not_ours": (NotOurs, "{title} handles this itself: {said}"),
    "not_ready": (NotReady, "{title} cannot take it yet: {said}"),
    "later": (Unavailable, "{title} cannot do it now: {said}"),
    "throttled": (Throttled, "{title} asks for fewer calls: {said}"),
    "auth": (AuthFailed, "{title} refuses the credentials ({said}); check the secrets that the definition names"),
    "config": (ConfigError, "{title}: {said}; check the definition"),
    "not_understood": (NotUnderstood, "{title} answered what its definition does not expect: {said}"),
}
ANY: Any = "by definition"


@dataclass(frozen=True)
class FileSetting(Setting):
    """The path of a file, kept absolute; a bare word is none."""

    path: bool = True


class Declarative(OAuth):
    settings: ClassVar[tuple[Setting, ...]] = (
        FileSetting("definition", "a TOML file that describes the marketplace; see docs/http.md"),
        Setting("base_url", "another address than the file's, such as a sandbox", optional=True, url=True),
    )
    parcels = read_back = status_transfer = correct = ANY
    knows_lines = False
    client_advice = "check the secrets that the definition names"
    grant = "client_credentials"
    shipped: ClassVar[str] = ""  # the definition that ships with shipfwd and holds where the settings name none
    definition: ClassVar[Definition]
    step: Step | None = None  # what is being asked; an answer means nothing without it

    @classmethod
    def shaped(cls, settings: Mapping[str, str]) -> type[Platform]:
        word = settings.get("definition") or cls.shipped
        return type(cls.__name__, (cls,), _declared(cls, load(word))) if word else cls

    @classmethod
    def settings_for(cls, settings: Mapping[str, str]) -> tuple[Setting, ...]:
        return cls.shaped(settings).settings

    def __init__(self, tools: Any) -> None:
        super().__init__(tools)
        self.steps, self.auth = self.definition.steps, self.definition.table["auth"]

    def check(self) -> str:
        """The file's examples first, without sending anything; then who we are, where the file says how to ask."""
        if self.definition.todo:
            raise ConfigError(unfinished(self.definition))
        if wrong := next(replayed(self.definition), None):
            raise ConfigError(f"{self.definition.file}: {wrong}")
        if "check" in self.steps:
            reply, _ = self._ask("check", self._secret)
            if path := self.steps["check"].table.get("identity"):
                return [*texts(reply.data, path, self.title), ""][0]
        return host(self.values["base_url"])

    def preflight(self, parcel: Parcel) -> None:
        if todo := self.definition.todo:
            open_ = f"{self.definition.file} says TODO in {len(todo)} places"
            raise ConfigError(f"{self.title} cannot be used yet: {open_}; integration check lists what to ask for")
        super().preflight(parcel)

    def needs_look(self, parcels: Sequence[Parcel]) -> bool:
        return bool(self.read_back)

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            if not self.read_back:
                found[order] = Seen()
                continue
            try:
                reply, _ = self._ask("readback", self._fill(order))
            except OrderNotFound:
                continue
            found[order] = self._seen(reply)
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        numbers = [*seen.numbers, parcel.tracking_number] if self.parcels == "joined" else [parcel.tracking_number]
        return [self._send(order, parcel, numbers)]

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        kept = [one for one in seen.numbers if tracking_key(one) != parcel.key] if self.parcels == "joined" else []
        url = parcel.tracking_url.replace(parcel.tracking_number, number)
        return self._send(order, replace(parcel, tracking_number=number, tracking_url=url), [*kept, number])

    def mark_sent(self, order: str, seen: Seen) -> None:
        harmless = self.steps["shipped"].table["repeat"] == "harmless"
        self._ask("shipped", self._fill(order), write=True, repeatable=harmless)

    # ---- credentials ------------------------------------------------------------------------------------

    def headers(self) -> Mapping[str, str]:
        try:
            return self._headers()
        except Rejected as error:  # of a secret, so it is nothing of this order
            raise ConfigError(f"{self.title}: {error}; {self.client_advice}") from None

    def _headers(self) -> Mapping[str, str]:
        sent = header_values(self.definition.get("headers", {}), self._secret)
        kind = self.auth["kind"]
        if kind == "basic":
            pair = f"{self._own('username')}:{self._own('password')}"
            sent["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif kind in ("bearer", "oauth2_client_credentials"):
            sent["Authorization"] = f"Bearer {self._own('token') if kind == 'bearer' else self.access_token()}"
        elif kind == "header":
            sent |= header_values({self.auth["name"]: self.auth["value"]}, self._secret)
        return sent

    def sign(self, request: Request, now: datetime) -> Mapping[str, str]:
        if self.auth["kind"] != "hmac":
            return {}
        seconds = now.timestamp()
        kinds = {"seconds": str(int(seconds)), "milliseconds": str(int(seconds * 1000)), "iso": stamp(now)}
        parts = {
            "method": request.method.encode(),
            "url": request.url.encode(),
            "path": urlsplit(request.url).path.encode(),
            "body": request.body,
            "timestamp": kinds[self.auth.get("timestamp", "seconds")].encode(),
        }
        text = b"".join(word.encode() if name == "text" else parts[name] for name, word in pieces(self.auth["message"]))
        digest = hmac.new(self._own("secret").encode(), text, self.auth["hash"]).digest()
        signature = digest.hex() if self.auth["encoding"] == "hex" else b64encode(digest).decode()
        stamped = (
            {self.auth["timestamp_header"]: parts["timestamp"].decode()} if "timestamp_header" in self.auth else {}
        )
        return {self.auth["signature_header"]: signature, **stamped}

    def client(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        client = {"client_id": self._own("client_id"), "client_secret": self._own("client_secret")}
        if self.auth.get("credentials_in") == "body":
            return {}, client
        return {"Authorization": f"Basic {b64encode(':'.join(client.values()).encode()).decode()}"}, {}

    def renew_access(self, stale: str) -> bool:
        return self.auth["kind"] == "oauth2_client_credentials" and super().renew_access(stale)

    def _own(self, name: str) -> str:
        return filled(self.auth[name], self._secret)

    def _secret(self, name: str) -> str:
        return self.secret(name.partition(".")[2])

    # ---- asking -----------------------------------------------------------------------------------------

    def call(self, method: str, path: str, *parts: str, params: Any = (), auth: bool = True, **options: Any) -> Reply:
        if not auth:  # the token host's answers are not the step's
            return super(Declarative, self._on(None)).call(method, path, *parts, params=params, auth=False, **options)
        if self.auth["kind"] == "query":
            params = {**dict(params), self.auth["name"]: self._own("value")}
        return super().call(method, path, *parts, params=params, **options)

    def explain(self, reply: Reply) -> Exception | None:
        """What the file says of an answer; None for a success, a redirect, and a 429, whose wait is read elsewhere."""
        if self.step is None or 300 <= reply.status < 400:
            return None
        rule = self.step.rule(reply.status, reply.data)
        if rule["then"] in GOOD or reply.status == 429 and rule["then"] == "throttled":
            return None
        page = rule["then"] == "not_understood" and reply.status < 300 and reply.data is None
        kind, words = MEANS["later" if page else rule["then"]]  # a page in place of a document: a write may be done
        error = kind(words.format(title=self.title, said=self.definition.said(rule, reply)))
        if isinstance(error, TryLater) and (wait := reply.headers.get("Retry-After", "")).isdecimal():
            error.after = float(wait)
        return error

    def _on(self, step: Step | None) -> Self:
        other = copy.copy(self)
        other.step = step
        return other

    def _ask(self, name: str, fill: Fill, write: bool = False, repeatable: bool = True) -> tuple[Reply, str]:
        """One request of the file and what its answer means: ok or already. Raises for everything else."""
        step = self.steps[name]
        asked = step.asked(fill)
        how: dict[str, Any] = {"write": write, "repeatable": repeatable, "expect": step.expect, "accept": step.odd}
        reply = self._on(step).call(asked.method, asked.path, *asked.parts, **asked.options, **how)
        if error := self._on(step).explain(reply):  # of a status that may be a success, and is none
            raise error
        return reply, step.rule(reply.status, reply.data)["then"]

    def _fill(self, order: str, parcel: Parcel | None = None, numbers: Sequence[str] = ()) -> Fill:
        at = parcel.created_at if parcel else self.now()
        words = {"order_id": order, "date": at.astimezone(UTC).date().isoformat(), "time": stamp(at)}
        if parcel:
            words["tracking"] = self.definition.get("joined_by", ", ").join(numbers)
            words["tracking_url"] = parcel.tracking_url
            words["carrier.name"] = parcel.carrier_name or parcel.carrier
            words["carrier.code"] = self.carrier_code(parcel) if self.needs_carrier else ""
        return lambda name: words[name] if name in words else self._secret(name)

    def _send(self, order: str, parcel: Parcel, numbers: Sequence[str]) -> Receipt:
        harmless, table = self.repeat == "harmless", self.steps["tracking"].table
        reply, then = self._ask("tracking", self._fill(order, parcel, numbers), write=True, repeatable=harmless)
        shown = False
        if then == "ok" and "shows" in table:
            there = [tracking_key(one) for one in texts(reply.data, table["shows"], self.title)]
            shown = parcel.key in there or parcel.key in "".join(there) and self.parcels == "joined"
            if not shown:
                raise NotUnderstood(f"{self.title} accepted the number and answered with another one")
        remote = texts(reply.data, table["id"], self.title) if then == "ok" and "id" in table else [""]
        return Receipt(parcel.id, remote_id=[*remote, ""][0], confirmed=shown)

    def _seen(self, reply: Reply) -> Seen:
        table = self.steps["readback"].table
        numbers = texts(reply.data, table["numbers"], self.title)
        if "split" in table:
            numbers = [part.strip() for one in numbers for part in one.split(table["split"]) if part.strip()]
        states, state = table.get("states", {}), ""
        refusal: Exception | None = None
        if "state" in table:
            state = [*texts(reply.data, table["state"], self.title), ""][0]
            meaning = next((meaning for meaning, words in states.items() if state in words), None)
            if meaning is None:
                refusal = NotUnderstood(
                    f"{self.title} shows the order as '{state}', which its definition does not list"
                )
            elif meaning == "cancelled":
                refusal = Rejected(f"the order is '{state}' at {self.title}; nothing is to be sent")
            elif meaning == "waiting":
                refusal = NotReady(f"the order is '{state}' at {self.title}; it is sent once that is over")
        return Seen(tuple(numbers), sent=state in states.get("sent", ()), state=state, refusal=refusal)


def _declared(cls: type[Declarative], definition: Definition) -> dict[str, Any]:
    """The class attributes that a file stands for."""
    table, get = definition.table, definition.get
    parts = {name: step.table for name, step in definition.steps.items()}
    tracking, readback = parts.get("tracking", {}), parts.get("readback")
    carriers = dict(get("carriers", {}))
    other = carriers.pop("*", None)
    token = urlsplit(get("auth", {}).get("token_url", "") if isinstance(get("auth"), dict) else "")
    secrets = get("secrets", {})
    settings = [
        replace(cls.settings[0], default=cls.shipped or None, optional=bool(cls.shipped)),
        replace(cls.settings[1], default=get("base_url")),
        *(
            [Setting("auth_url", "token host", default=f"{token.scheme}://{token.netloc}", url=True)]
            if token.netloc
            else []
        ),
        *(Setting(name, text, secret=True) for name, text in secrets.items()),
    ]
    where = "".join(
        word.replace("{", "{{").replace("}", "}}") if name == "text" else "{order}"
        for name, word in pieces(get("where", ""))
    )
    text = str(tracking)
    return {
        "definition": definition,
        "title": get("title"),
        "source": get("source"),
        "read_on": get("read_on"),
        "where": where,
        "settings": tuple(settings),
        "carriers": carriers,
        "other_carrier": other,
        "needs_carrier": "{carrier." in text,
        "number_max": get("number", {}).get("max", NUMBER_MAX),
        "number_pattern": get("number", {}).get("pattern", ""),
        "rates": tuple(Rate(one["calls"], one["seconds"], one.get("burst", 1)) for one in get("rates", [])),
        "concurrency": get("concurrency", 4),
        "host_key": " ".join(secrets) or "base_url",
        "doubt_seconds": get("doubt_seconds", 60),
        "parcels": get("parcels"),
        "correct": get("correct"),
        "repeat": tracking.get("repeat", "doubles"),
        "read_back": readback is not None,
        "proof": "read" if readback is not None and "shows" not in tracking else "answer",
        "status_transfer": "with-tracking"
        if tracking.get("marks_sent")
        else "separate"
        if "shipped" in table
        else None,
        "sent_from": frozenset((readback or {}).get("states", {}).get("open", [""])),
        "login_path": token.path,
        "scope": get("auth", {}).get("scope", "") if isinstance(get("auth"), dict) else "",
    }
