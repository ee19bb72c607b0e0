"""One row of an import: what it holds and what is wrong with it. Files are importer.py's.

`import` and `add` build their rows here, so that both know one set of rules. Every refusal is a ValueError with
a sentence for the person who made the file.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import itemgetter
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from shipfwd import carriers, models

FIELDS = (
    "integration", "order_id", "carrier", "tracking_number", "order_status", "created_at", "tracking_url",
    "item_id", "sku", "quantity",
)  # fmt: skip
REASON = "shipfwd_reason"  # the column of a rejects file that says why; ignored when that file is imported

UNCALCULATED = "=…"  # a cell whose formula was never calculated, so that nobody knows what stands in it
NUMBER_MAX = 100  # characters of a tracking number
TEXT_MAX = 200  # of an order id and other words
URL_MAX = 1_000
_CACHE_MAX = 10_000

_OTHER_CARRIER = frozenset(("", "other", "othercarrier", "otro", "andere", "sonstige", "inny", "inne", "custom"))
_PLAIN_ID = re.compile(r"[0-9A-Za-z#/._-]{1,200}").fullmatch  # an order id with nothing to trim, unwrap or refuse
_EDGES = " \t\r\n\f\v\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\ufeff"
_WEB_ADDRESS = re.compile(r"https?://[^\s/]+(?:/\S*)?$", re.IGNORECASE)
_NO_NUMBER = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2212")


class Row(NamedTuple):
    """One good row, in the order in which the store takes it.

    integration_id     0 where nobody said which integrations there are.
    line               of the file: physical line where it starts (header = 1); JSON array: number of the record.
    tracking_key       as it is compared; "" when the row only tells a status, and so are the next two.
    carrier            our slug, or a word we do not know; "" when none is given.
    status_key         the status as it is compared.
    created_at         RFC 3339 in UTC; "" = the file has none.
    tracking_number    as it is sent; tracking_original as it stood in the file.
    quantity           0 = the file has none.
    warnings           what looks wrong but is taken as it is; only people are told.
    Why no dataclass: a frozen one takes five times as long to build, a second per million rows.
    """

    integration_id: int
    line: int
    order_id: str
    tracking_key: str
    carrier: str
    order_status: str
    status_key: str
    created_at: str
    tracking_number: str
    tracking_original: str
    tracking_url: str = ""
    item_id: str = ""
    sku: str = ""
    quantity: int = 0
    warnings: tuple[str, ...] = ()


# What most rows of a large file are: they say no more than a Row's first eight, and their number is written as it is
# compared. A bare tuple, because SQLite's module takes half again as long for any other kind.
Plain = tuple[int, int, str, str, str, str, str, str]


def whole(row: Row | Plain) -> Row:
    return row if isinstance(row, Row) else Row(*row, row[3], row[3])


@dataclass(frozen=True, slots=True)
class Reject:
    """One bad row. raw: its cells (CSV) or its text (JSON), for the rejects file."""

    line: int
    reason: str
    raw: list[str] | str


def sure_carrier(number: str, among: Collection[str]) -> str:
    """The one carrier of these whose number this surely is; "" when it is none's, or could be another's too."""
    guesses = carriers.detect(number, among)
    return guesses[0].carrier if len(guesses) == 1 and guesses[0].certainty == "sure" else ""


# ---- one row --------------------------------------------------------------------------------------------


def show(text: str, limit: int = 40) -> str:
    """Foreign text for a sentence: quoted, without control characters, not longer than a glance."""
    shown = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return f"'{shown[:limit]}…'" if len(shown) > limit else f"'{shown}'"


def _unwrap(text: str) -> str:
    """A cell without what spreadsheets are made to keep text with: ="620…" and '620…."""
    if text.startswith('="') and text.endswith('"') and len(text) > 2:
        return text[2:-1].strip()
    return text[1:].strip() if text.startswith("'") else text


def _calculated(text: str, what: str) -> None:
    if text == UNCALCULATED:
        mend = "open the file in a spreadsheet program, save it there, and import it again"
        raise ValueError(f"the {what} is a formula that was never calculated; {mend}")


def _text(value: str, what: str, limit: int = TEXT_MAX) -> str:
    """A cell trimmed and unwrapped. Raises ValueError for control characters, broken bytes and excess length."""
    value = value.strip()
    if value.isascii() and value.isprintable() and len(value) <= limit and not value.startswith(("=", "'")):
        return value
    _calculated(value, what)
    value = _unwrap(value.strip(_EDGES)).strip(_EDGES)
    if len(value) > limit:
        raise ValueError(f"the {what} has {len(value)} characters; at most {limit} are taken")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
        raise ValueError(f"the {what} {show(value)} holds a control character")
    if "\ufffd" in value:
        raise ValueError(f"the {what} {show(value)} holds bytes that are no letters; save the file as UTF-8")
    return value


def _number(original: str, slug: str) -> str:
    """A tracking number as it is sent, "" for a mere dash. Raises ValueError when it cannot be one."""
    if original.isalnum() and original.isascii() and not original.isalpha() and 4 <= len(original) <= NUMBER_MAX:
        number = original.upper()
    elif not (number := _unusual_number(original, slug)):
        return ""
    if harm := carriers.damage(number, slug):
        raise ValueError(f"{harm}; format the column as text and export the file again")
    return number


def _unusual_number(original: str, slug: str) -> str:
    """`_number` for what is not simply 4 to 100 letters and digits."""
    _calculated(original, "tracking number")
    text = _unwrap(original[: 2 * NUMBER_MAX])
    number = carriers.normalise(text, slug)
    if len(original) > 2 * NUMBER_MAX or len(number) > NUMBER_MAX:
        raise ValueError(f"the tracking number has {len(original)} characters; at most {NUMBER_MAX} are taken")
    if _NO_NUMBER.issuperset(number):
        return ""
    if strange := next((c for c in number if not (c.isascii() and c.isprintable())), ""):
        raise ValueError(f"the tracking number {show(text)} holds a strange character (U+{ord(strange):04X})")
    parts = [models.tracking_key(part) for part in re.split("[,;|\n]", text)]
    words = [models.tracking_key(word) for word in text.split()]
    several = sum(len(word) >= 10 for word in words) > 1 and carriers.warnings(number, slug) != []
    if sum(len(part) >= 4 for part in parts) > 1 or (several or not slug and sum(len(w) >= 10 for w in words) > 1):
        raise ValueError(f"{show(text)} is more than one tracking number; give each parcel a row of its own")
    key = models.tracking_key(number)
    if len(key) < 4 or key.isalpha():
        raise ValueError(f"{show(text)} is not a tracking number")
    return number


def _quantity(text: str) -> int:
    """A count from 1, also as a spreadsheet's "2,00"; 0 when empty."""
    if not (text := text.strip()):
        return 0
    found = re.fullmatch(r"(\d{1,7})(?:[.,]0+)?", text, re.ASCII)
    if not found or not int(found[1]):
        raise ValueError(f"the quantity {show(text)} is not a whole number from 1")
    return int(found[1])


_DATE = re.compile(r"(\d{4})([-./]?)(\d\d?)\2(\d\d?)|(\d\d?)([-./])(\d\d?)\6(\d{4})", re.ASCII)
_UNIX = re.compile(r"(\d{10})(?:\d{3}|\.\d+)?", re.ASCII)
_WRITE_LIKE = "write it like 2026-11-23T08:30:00+01:00 or 2026-11-23"


class _Ambiguous(ValueError):
    pass


def _day(text: str, found: re.Match[str]) -> date:
    """The day of a _DATE match. Raises _Ambiguous where day and month could be taken for each other."""
    year, separator, month, day, first, dot, second, last = found.groups()
    if year:
        if not separator and len(month + day) < 4:
            raise ValueError
        return date(int(year), int(month), int(day))
    one, two, year = int(first), int(second), int(last)
    if dot == "." or one > 12 or one == two:  # a dot is only written day first
        return date(year, two, one)
    if two > 12:
        return date(year, one, two)
    raise _Ambiguous(f"{show(text)} can be {date(year, two, one)} or {date(year, one, two)}; write the year first")


def _moment(text: str, zone: ZoneInfo) -> tuple[datetime, bool]:
    """(aware moment, False), or (midnight, True) for a text that is only a date. Raises ValueError."""
    if text[10:11] in ("T", " ") and text[4:5] == "-" == text[7:8]:
        try:  # by far the most frequent
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)), False
        except ValueError:
            pass
    if unix := _UNIX.fullmatch(text):
        return datetime.fromtimestamp(int(unix[1]), UTC), False
    found = _DATE.match(text)
    if not found:
        raise ValueError
    day = _day(text, found)
    clock = text[found.end() :].replace(" ", "").upper().lstrip("T,").replace("UTC", "Z").replace("GMT", "Z")
    if not clock:
        return datetime.combine(day, time.min, zone), True
    moment = datetime.fromisoformat(f"{day}T{'0' if clock[1:2] == ':' else ''}{clock}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)), False


def read_created_at(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The ship date in UTC: ISO 8601 with offset or naive (`zone`), a date (the end of that day), unix seconds.

    now   aware; what lies up to 24 hours ahead becomes `now`.
    Raises ValueError for what is no date, could be two dates, is before 2000, or lies further ahead.
    """
    text = text.strip()
    try:
        moment, whole_day = _moment(text, zone)
        start = end = moment.astimezone(UTC)
        if whole_day:
            end = datetime.combine(moment.date(), time(23, 59, 59), zone).astimezone(UTC)
    except _Ambiguous:
        raise
    except (ValueError, OverflowError):
        raise ValueError(f"{show(text)} is not a date; {_WRITE_LIKE}") from None
    if start.year < 2000:
        raise ValueError(f"{show(text)} is before the year 2000; is this the column of the ship date?")
    if end <= now:
        return end
    if start - now > timedelta(hours=24):
        raise ValueError(f"{show(text)} is more than 24 hours ahead; a ship date is expected")
    return now.astimezone(UTC)


_WORDS = ("integration", "carrier", "carrier_name", "order_status")
_MORE = ("tracking_url", "item_id", "sku")
_K = TypeVar("_K")
_V = TypeVar("_V")


class _Words(NamedTuple):
    """What a row says in words that come again and again: who sold it, who carries it, how it stands."""

    integration_id: int
    carrier: str
    status: str
    status_key: str
    usual: Callable[[str], object]  # `carriers.usual` of this carrier


class Checker:
    """Makes rows of cells; holds what is the same for all of them and remembers the words they repeat.

    integrations   name → id, those there are; None: any.
    """

    def __init__(
        self, zone: ZoneInfo, now: datetime, default_integration: str, integrations: Mapping[str, int] | None = None
    ) -> None:
        self.zone, self.now, self.default_integration = zone, now, default_integration
        self.integrations = integrations
        self._words: dict[tuple[str, ...], _Words] = {}
        self._plain: dict[tuple[str, ...], _Words] = {}  # by the cells of a row that says nothing else
        self._times: dict[str, str] = {"": ""}

    def _read_words(self, integration: str, carrier: str, carrier_name: str, status: str) -> _Words:
        name = _text(integration, "integration") or self.default_integration
        if not name:
            raise ValueError("no integration: neither a column nor -i names one")
        if self.integrations is not None and name not in self.integrations:
            near = difflib.get_close_matches(name, self.integrations, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "see: shipfwd integration list"
            raise ValueError(f"no integration is called {show(name)}; {hint}")
        named = _text(carrier, "carrier", NUMBER_MAX)
        if carrier_name and carriers.letters(named) in _OTHER_CARRIER:
            named = _text(carrier_name, "carrier name", NUMBER_MAX)
        slug, told = carriers.fold(named), _text(status, "order status")
        return _Words((self.integrations or {}).get(name, 0), slug, told, models.fold(told), carriers.usual(slug))

    def _created_at(self, text: str) -> str:
        moment = self._times.get(text)
        if moment is None:
            moment = "" if text.isspace() else models.stamp(read_created_at(text, self.zone, self.now))
            _remember(self._times, text, moment)
        return moment

    def row(
        self, line: int, integration: str, order_id: str, carrier: str, number: str, status: str, created_at: str,
        url: str, item_id: str, sku: str, quantity: str, carrier_name: str,
    ) -> Row:  # fmt: skip
        """A Row of raw cells. Raises ValueError with a sentence for the person who made the file."""
        order_id = _text(order_id, "order id")
        if not order_id:
            raise ValueError("no order id: the order column is empty here")
        cells = (integration, carrier, carrier_name, status)
        words = self._words.get(cells)
        if words is None:
            words = self._read_words(*cells)
            _remember(self._words, cells, words)
        said: list[str] = []
        original = number.strip()
        number = _number(original, words.carrier) if original else ""
        if number:
            said = carriers.warnings(number, words.carrier)
        elif not words.status:
            raise ValueError("neither a tracking number nor an order status")
        url = url and url.strip()
        if url and not (_WEB_ADDRESS.match(url) and url.isprintable() and len(url) <= URL_MAX):
            said.append(f"the tracking URL {show(url)} is no web address and was left out")
            url = ""
        item_id = _text(item_id, "item id") if item_id else ""
        sku = _text(sku, "SKU") if sku else ""
        if "E+" in order_id and re.fullmatch(r"\d[.,]?\d*E\+\d+", order_id):
            said.append(f"the order id {show(order_id)} looks like a number that a spreadsheet shortened")
        return Row(
            words.integration_id, line, order_id, models.tracking_key(number) if number else "", words.carrier,
            words.status, words.status_key, self._created_at(created_at), number, original if number else "",
            url, item_id, sku, _quantity(quantity) if item_id or sku else 0, tuple(said) if said else (),
        )  # fmt: skip

    def rows(
        self, records: Iterable[tuple[int, list[str]] | Reject], columns: Mapping[str, int], width: int
    ) -> Iterator[Row | Plain | Reject]:
        """Rows of a table's lines and cells. What `row` would find nothing odd in, one look at each cell tells."""
        # A cell "" is put behind every row, at -1, for the fields that have no column.
        pick = itemgetter(*(columns.get(field, -1) for field in (*FIELDS, "carrier_name")))
        own = itemgetter(*(columns.get(field, -1) for field in ("order_id", "tracking_number", "created_at")))
        worded = itemgetter(*(columns.get(field, -1) for field in _WORDS))
        more = [columns[field] for field in _MORE if field in columns]
        common = itemgetter(-1, *(columns[field] for field in (*_WORDS, *_MORE) if field in columns))
        plain, times = self._plain.get, self._times.get
        for record in records:
            if isinstance(record, Reject):
                yield record
                continue
            line, cells = record
            if len(cells) != width:
                if any(cells[width:]):
                    yield Reject(line, f"the row has {len(cells)} cells and the header {width}", cells)
                    continue
                cells = cells[:width] + [""] * (width - len(cells))
            cells.append("")
            try:
                said = common(cells)
                if words := plain(said):
                    order, number, moment = own(cells)
                    one, carrier, status, key, usual = words
                    if usual(number) and _PLAIN_ID(order):
                        moment = times(moment) or self._created_at(moment)
                        yield one, line, order, number, carrier, status, key, moment
                        continue
                yield self.row(line, *pick(cells))
                if not words and not any(cells[place] for place in more):
                    _remember(self._plain, said, self._words[worded(cells)])
            except ValueError as error:
                cells.pop()
                if any(cell.strip() for cell in cells):
                    yield Reject(line, str(error), cells)


def _remember(memo: dict[_K, _V], key: _K, value: _V) -> None:
    if len(memo) >= _CACHE_MAX:
        memo.clear()
    memo[key] = value


def make_row(
    values: Mapping[str, str], *, line: int = 0, zone: ZoneInfo, now: datetime, default_integration: str = "",
    integrations: Mapping[str, int] | None = None,
) -> Row:  # fmt: skip
    """A Row of values by field name (FIELDS), checked as an imported one is. Raises ValueError with a sentence."""
    cells = (values.get(field, "") for field in (*FIELDS, "carrier_name"))
    return Checker(zone, now, default_integration, integrations).row(line, *cells)
