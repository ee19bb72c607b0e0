"""The words of shipfwd as frozen dataclasses. Times are aware datetimes in UTC unless a name says otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shipfwd.errors import PlatformError

# Outer and inner white space, NBSP, and the zero-width characters that spreadsheets and web pages leave behind.
_INVISIBLE = re.compile("[\\s\u00a0\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff\u00ad]+")
_NOT_KEY = re.compile("[^A-Z0-9]")

STATES = (
    "waiting", "pending", "retrying", "sending", "forwarded", "failed", "blocked", "expired", "dropped",
)  # fmt: skip
STORED_STATES = ("pending", "sending", "forwarded", "failed", "blocked", "expired", "dropped")


def normalise(number: str) -> str:
    """A tracking number as it is sent: without white space, NBSP and zero-width characters, upper case."""
    return _INVISIBLE.sub("", number).upper()


def tracking_key(number: str) -> str:
    """A tracking number as it is compared: reduced to [A-Z0-9]."""
    if number.isalnum() and number.isascii() and number.isupper() | number.isdecimal():
        return number  # nearly all are so already, and an import has a million
    return _NOT_KEY.sub("", number.upper())


def fold(word: str) -> str:
    """A merchant's word (order status, carrier name) as it is compared: trimmed, inner space single, case-folded."""
    return " ".join(word.split()).casefold()


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds: 2026-11-23T08:30:00Z."""
    return moment.astimezone(UTC).isoformat()[:19] + "Z"


def parse_stamp(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@dataclass(frozen=True)
class Setting:
    """One setting of a platform. Names are public.

    default   None: required, unless `optional`.
    secret    given by `--secret KEY=REF`, never by `--set`.
    flag      true or false.
    choices   the only values allowed.
    login     asked for by `login` alone, so never missing at `add`.
    """

    name: str
    help: str
    default: str | None = None
    optional: bool = False
    secret: bool = False
    flag: bool = False
    url: bool = False
    choices: tuple[str, ...] = ()
    login: bool = False


@dataclass(frozen=True)
class Rate:
    """At most `calls` in `seconds`, `burst` of them at once, for the named operations (none named: every call).

    Several rates may hold for one call; it waits for all of them.
    """

    calls: float
    seconds: float = 1.0
    burst: int = 1
    operations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """A line of an order that lies in a parcel. `item_id` is the platform's line id; `sku` where only that is known."""

    item_id: str = ""
    sku: str = ""
    quantity: int | None = None

    def names(self, line: Line) -> bool:
        return bool(self.item_id and line.id == self.item_id or self.sku and line.sku == self.sku)


@dataclass(frozen=True)
class Parcel:
    """A shipment as an adapter sees it.

    carrier        our slug, or a word we do not know; "" when none was given.
    carrier_name   our name for that slug; "" for an unknown word.
    tracking_url   from the import, or from the carrier's template; "" when neither is known.
    items          empty: everything that is left on the order.
    in_doubt       a write of it was lost: it may be there already.
    """

    id: int
    tracking_number: str
    carrier: str
    carrier_name: str
    tracking_url: str
    created_at: datetime
    items: tuple[Item, ...] = ()
    remote_id: str = ""
    in_doubt: bool = False

    @property
    def key(self) -> str:
        return tracking_key(self.tracking_number)


@dataclass(frozen=True)
class Line:
    """A line of an order as the platform tells it; `left` is what can still be shipped."""

    id: str
    quantity: int = 1
    left: int = 1
    sku: str = ""


@dataclass(frozen=True)
class Seen:
    """What a look found on one order.

    numbers   tracking numbers there, as the platform shows them, oldest first.
    sent      the order counts as sent (or later) there.
    state     the platform's own word for the order's state, for `sent_from` and for messages.
    refusal   an error that says why nothing may be written here (cancelled, unpaid, foreign), or None.
    lines     the order's lines, when the platform needs them.
    partial   more numbers may be there than the platform shows: what is not among these may be there all the same.
    more      what the adapter wants to remember between `look` and `forward`; nobody else reads it.
    """

    numbers: tuple[str, ...] = ()
    sent: bool = False
    state: str = ""
    refusal: Exception | None = None
    lines: tuple[Line, ...] = ()
    partial: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def has(self, number: str) -> bool:
        wanted = tracking_key(number)
        return any(tracking_key(there) == wanted for there in self.numbers)


@dataclass(frozen=True)
class Receipt:
    """The platform accepted one parcel.

    confirmed   its answer carried the number; otherwise a later look has to prove it.
    refusal     an error where, of several parcels in one write, this one was left out.
    """

    parcel_id: int
    remote_id: str = ""
    confirmed: bool = True
    refusal: PlatformError | None = None


@dataclass(frozen=True)
class Request:
    """One HTTP request as an adapter asks for it; `body` is the bytes on the wire."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """One answer. `data` is the parsed JSON document, or None when the body is empty or not JSON."""

    status: int
    data: Any = None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer for the journal and the trace; every text is redacted already.

    lost        a write that may arrive yet and is sent again all the same, since a repeat is harmless.
    reference   what the platform's support finds this call by, where its answer names one.
    """

    at: datetime
    method: str
    url: str
    request: str
    status: int | None
    answer: str
    write: bool
    note: str = ""
    lost: bool = False
    reference: str = ""


@dataclass(frozen=True)
class Integration:
    """One account at one platform, as the merchant set it up.

    trigger           "created" or "status:NAME"; `trigger_key` is the folded NAME, "" for created.
    status_transfer   on | off | unavailable.
    secrets           references, never values.
    carrier_map       our slug → the platform's word, where the merchant said so.
    """

    id: int
    name: str
    platform: str
    trigger: str = "created"
    enabled: bool = True
    status_transfer: str = "unavailable"
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    carrier_map: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    created_at: datetime | None = None
    last_pass_at: datetime | None = None
    last_success_at: datetime | None = None

    @property
    def trigger_status(self) -> str:
        return self.trigger.partition(":")[2].strip()

    @property
    def trigger_key(self) -> str:
        return fold(self.trigger_status)


@dataclass(frozen=True)
class Claimed:
    """A shipment that this run holds.

    before           its state when it was taken: pending, or what a person's choice took it from.
    due              a run or a person made it due; a lost write is repeated only then.
    in_doubt_since   when a write left whose outcome nobody knows, or None.
    tries            how often it was taken, this time included.
    """

    parcel: Parcel
    order_id: str
    before: str
    due: bool
    in_doubt_since: datetime | None
    tries: int
    next_attempt_at: datetime | None = None
    by_hand: bool = False
    kind: str = ""

    @property
    def id(self) -> int:
        return self.parcel.id


@dataclass(frozen=True)
class Settlement:
    """What became of a claimed shipment.

    state             pending | forwarded | failed | blocked.
    kind              the error's class name, for filters; "" when there was none.
    status_sent       the platform marked the order as sent with this write.
    wants_sent        the order's status transfer is to follow.
    number            it has this one from now on, in the place of the one that it had.
    """

    shipment_id: int
    state: str
    reason: str = ""
    kind: str = ""
    next_attempt_at: datetime | None = None
    in_doubt_since: datetime | None = None
    confirmed: bool = False
    status_sent: bool = False
    wants_sent: bool = False
    remote_id: str = ""
    adopted: bool = False
    number: str = ""


LOST = "answer lost"  # the journal's word for Exchange.lost
INSTEAD = {"add": "stands beside {old}, which only a person can remove there"}  # Platform.correct → of the new number
STAY_BLOCKED = ("OneNumber", "NoRoom", "NotOurs")  # what no later run finds gone; only a person sends or drops it


@dataclass(frozen=True)
class Attempt:
    """A line of the journal. step: look, forward, status, verify, correct, person."""

    shipment_id: int
    step: str
    outcome: str
    detail: str = ""
    exchange: Exchange | None = None
