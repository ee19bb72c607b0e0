"""Files to rows: readers, header aliases, validation. No SQL, nothing printed, constant memory.

    with Source(path, zone=zone, now=now, default_integration="allegro-main") as source:
        for item in source:  # a Row, or a Reject that says what is wrong with its line

A bad row never stops the good ones; a file that cannot be understood as a whole raises UsageError or
ConfigError before the first row. `add` builds its row with `make_row`, so both commands know one set of rules.
Duplicates, and one number on many orders, are for the store to see.

Source: the column names of the vendors' own templates (Amazon, eBay MIP, AST, AfterShip, Acenda, 35up, YCloud,
Maxpho, Coupa, Zynk) and of Polish exports, collected 2026-11.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from shipfwd import carriers, readers, spreadsheet
from shipfwd.errors import ConfigError, UsageError
from shipfwd.rows import FIELDS, REASON, Checker, Plain, Reject, Row, make_row, read_created_at, show

__all__ = ["FIELDS", "FORMATS", "READERS", "Reject", "Row", "Source", "make_row", "read_created_at"]

FORMATS = ("csv", "tsv", "json", "jsonl")
COLUMNS_MAX = 2_000

# Readers of other tables, by format: each yields (line, cells), the header first.
Sheets = list[tuple[str, list[list[str]]]]  # of a workbook, those that were not read: title, first rows
READERS: dict[str, Callable[[BinaryIO, Sheets], Iterator[readers.Cells | Reject]]] = {"xlsx": spreadsheet.rows}

# What a field's column may be called, the most specific words first; see `carriers.letters` for how they compare.
_HEADERS: dict[str, tuple[str, ...]] = {
    "integration": ("integration", "integration name, integracja, nazwa integracji"),
    "order_id": (
        "order id, id order",
        "order number, order no, order nr, order num, numer zamowienia, nr zamowienia, nr zam, id zamowienia, "
        "zamowienie id, zamowienie nr, zamowienie numer, numer zam, order name, order reference, order ref",
        "external order id, increment id, purchase order number, order, zamowienie",
        "document number, numer dokumentu, nr dokumentu, reference, ref, referencja, referencje, reference number, "
        "numer referencyjny, nr referencyjny, customer reference, recipient reference, numer referencji",
    ),
    "carrier": (
        "carrier",
        "carrier code, carrier slug, courier, courier name, courier code, shipping carrier, shipping provider, "
        "tracking provider, tracking company, shipping company, delivery company, shipment provider, przewoznik, "
        "kurier, firma kurierska, nazwa kuriera, nazwa przewoznika, spedytor",
        "shipping method, ship method, sposob wysylki, metoda wysylki, sposob dostawy",
    ),
    "carrier_name": ("carrier name, carrier title",),
    "tracking_number": (
        "tracking number",
        "tracking no, tracking nr, tracking num, track number, tracking numbers, tracking id, numer przesylki, "
        "nr przesylki, numer listu, nr listu, numer listu przewozowego, nr listu przewozowego, list przewozowy, "
        "numer nadania, nr nadania, numer paczki, nr paczki, numer sledzenia, nr sledzenia, numer trackingowy, "
        "shipment number, parcel number, waybill, waybill number, awb, awb number, consignment number",
        "tracking, tracking code, kod sledzenia, sledzenie, consignment",
        "przesylka, paczka, parcel",
    ),
    "order_status": ("order status", "status zamowienia, stan zamowienia", "status"),
    "created_at": (  # no plain "date" or "created": that may be the order's, and the window would be over at once
        "created at",
        "ship date, date shipped, shipped at, shipped date, shipping date, shipment date, tracking ship date, "
        "data nadania, data wysylki, data wyslania",
    ),
    "tracking_url": (
        "tracking url",
        "tracking link, track url, track link, link do sledzenia, link sledzenia, adres sledzenia, url sledzenia",
    ),
    "item_id": (
        "item id",
        "order item id, line item id, order line id, order line item id, id pozycji, nr pozycji, numer pozycji",
    ),
    "sku": ("sku", "item sku, product sku, seller sku, merchant sku, offer sku, kod produktu, kod towaru, symbol"),
    "quantity": ("quantity", "qty, shipped qty, shipped quantity, quantity shipped, ilosc, liczba sztuk, sztuk, szt"),
}
_ALIASES = {
    carriers.letters(word): (field, rank)
    for field, groups in _HEADERS.items()
    for rank, words in enumerate(groups)
    for word in words.split(",")
}


# ---- columns --------------------------------------------------------------------------------------------


def _nearest(word: str, among: Iterable[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(word, list(among), 1, 0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _field(word: str) -> str:
    """The field that the left side of --map names: "order_id", or a word for it ("order", "tracking")."""
    field = _ALIASES.get(carriers.letters(word), ("", 0))[0]
    if word not in FIELDS and field not in FIELDS:
        raise UsageError(f"--map {word}=…: no such field{_nearest(word, FIELDS)} (fields: {', '.join(FIELDS)})")
    return word if word in FIELDS else field


def _locate(column: str, header: Sequence[str], field: str) -> int:
    """The index of the column that the right side of --map names: its name in any spelling, or #N from 1."""
    if column in header:
        return header.index(column)
    if re.fullmatch(r"#\d{1,4}", column, re.ASCII) and 1 <= int(column[1:]) <= len(header):
        return int(column[1:]) - 1
    key = carriers.letters(column)
    same = [index for index, name in enumerate(header) if key and carriers.letters(name) == key]
    if len(same) == 1:
        return same[0]
    raise UsageError(f"--map {field}={column}: the file has no such column{_nearest(column, header)} ({_list(header)})")


def _list(header: Sequence[str]) -> str:
    names = ", ".join(show(name)[1:-1] for name in header[:30] if name.strip())
    return f"its columns: {names or 'none'}{', …' if len(header) > 30 else ''}"


def find_columns(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Field → index of its column.

    mapping   what --map says: field → column name, "#3" for the third, "" for none.
    Raises UsageError when two columns fit a field equally well, and for a mapping that names nothing.
    """
    mapped = {_field(field): column for field, column in mapping.items()}
    columns = {field: _locate(column, header, field) for field, column in mapped.items() if column}
    keys = [carriers.letters(name) for name in header]
    fitting: dict[str, list[tuple[int, int]]] = {}
    for index, key in enumerate(keys):
        field, rank = _ALIASES.get(key, ("", 0))
        if field and field not in mapped and index not in columns.values():
            fitting.setdefault(field, []).append((rank, index))
    named = {*fitting, *mapped}
    if {"trackingcode", "trackingnumber"} <= set(keys) and not named & {"carrier", "carrier_name"}:
        fitting["carrier"] = [(0, keys.index("trackingcode"))]  # what Maxpho calls the carrier
    for field, found in fitting.items():
        found.sort()
        if len(found) > 1 and found[0][0] == found[1][0]:
            one, two = found[0][1], found[1][1]
            names = f"{show(header[one])} (#{one + 1}) and {show(header[two])} (#{two + 1})"
            raise UsageError(f"both {names} could be the {field}; choose with --map '{field}=#{one + 1}'")
        columns[field] = found[0][1]
    if "carrier_name" in columns and ("carrier" in mapped or "carrier" not in columns):
        index = columns.pop("carrier_name")  # alone it is the carrier; it is also second to what --map says
        if "carrier" not in mapped:
            columns["carrier"] = index
    return columns


def _known(cells: Sequence[str], mapping: Mapping[str, str]) -> set[str]:
    """The fields that a line's cells name, if it is a header."""
    wanted = {carriers.letters(column): field for field, column in mapping.items() if not column.startswith("#")}
    fields = (wanted.get(key) or _ALIASES.get(key, ("", 0))[0] for key in map(carriers.letters, cells) if key)
    return {field for field in fields if field}


def _is_enough(fields: Iterable[str]) -> bool:
    return "order_id" in fields and ("tracking_number" in fields or "order_status" in fields)


# ---- the file -------------------------------------------------------------------------------------------


class Source:
    """A file of shipments, or standard input for "-": iterate it once for its Row and Reject items.

    format     csv | tsv | json | jsonl | a key of READERS, as given or as found.
    encoding, delimiter   as found; delimiter "" for JSON.
    header     column names; for JSON the keys of the first records.
    columns    field → column name as found.
    unused     columns that mean nothing to us.
    size, taken   bytes of the file, and those read so far; size 0 where it says nothing of how much is left.
    Raises ConfigError for a file that cannot be read or is empty, UsageError for one whose format or columns
    are not understood, and for a wrong `mapping` (--map: field → column).
    """

    def __init__(
        self,
        path: str | Path,
        *,
        zone: ZoneInfo,
        now: datetime,
        default_integration: str = "",
        file_format: str = "",
        mapping: Mapping[str, str] | None = None,
        integrations: Mapping[str, int] | None = None,
        stdin: BinaryIO | None = None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = "standard input" if str(path) == "-" else str(path)
        self.path = None if str(path) == "-" else Path(path)
        self.header: list[str] = []
        self.columns: dict[str, str] = {}
        self.delimiter, self.size, self._ending = "", 0, ending
        self._sheets: Sheets = []
        self._mapping = {_field(field): column for field, column in (mapping or {}).items()}
        self._checker = Checker(zone, now, default_integration, integrations)
        try:
            self._file = readers.opened(self.path, ending) if self.path else (stdin or sys.stdin.buffer)
            try:
                self._open(file_format)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise ConfigError(f"cannot read {self.name}: {error.strerror or error}") from None

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Row | Plain | Reject]:
        return self._items

    def close(self) -> None:
        if self.path:
            self._file.close()

    @property
    def unread(self) -> list[str]:
        """Sheets that name their columns as a list of parcels does, and were not read; known at the end."""
        return [title for title, top in self._sheets if any(_is_enough(_known(row, self._mapping)) for row in top)]

    @property
    def taken(self) -> int:
        return self._bytes.taken

    @property
    def unused(self) -> list[str]:
        used = {*self.columns.values(), REASON}
        return [name for name in self.header if name.strip() and name not in used]

    def _open(self, file_format: str) -> None:
        head = b""
        while len(head) < readers.CHUNK and (more := self._file.read(readers.CHUNK - len(head))):
            head += more
        self.encoding, errors = readers.encoding(head, whole=len(head) < readers.CHUNK)
        sample = head.decode(self.encoding, "replace").lstrip("\ufeff")
        if not sample.strip():
            raise ConfigError(f"{self.name} is empty")
        self.format = self._format(file_format, head, sample)
        self._bytes = readers.Chain(head, self._file, self.name, self._ending)
        raw = io.BufferedReader(self._bytes, readers.CHUNK)
        self._items: Iterator[Row | Plain | Reject]
        if self.format in READERS:  # read to its end before its first row
            self._items = self._table(READERS[self.format](raw, self._sheets))
            return
        if self.path and self.path.is_file():
            self.size = self.path.stat().st_size
        text = io.TextIOWrapper(raw, encoding=self.encoding, errors=errors, newline="")
        if self.format in ("json", "jsonl"):
            read = readers.json_lines if self.format == "jsonl" else readers.json_values
            self._items = self._records(read(text))
            return
        lines = readers.Lines(text)
        if told := re.match(r"sep=([;,|\t])\r?\n", sample, re.IGNORECASE):  # Excel's own first line
            self.delimiter = told[1]
            lines.text.readline()
            lines.number = 1
        else:
            self.delimiter = "\t" if self.format == "tsv" else self._delimiter(sample)
        self.format = "tsv" if self.delimiter == "\t" else "csv"
        self._items = self._table(readers.csv_rows(lines, self.delimiter), lines)

    def _format(self, given: str, head: bytes, sample: str) -> str:
        if given and given not in (*FORMATS, *READERS):
            raise UsageError(f"no such file format: {given} (formats: {', '.join((*FORMATS, *READERS))})")
        body, suffix = sample.lstrip(), self.path.suffix.lower() if self.path else ""
        if head.startswith(b"PK\x03\x04") and "xlsx" in READERS:
            return "xlsx"
        if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise UsageError(f"{self.name} is a spreadsheet; save it as CSV UTF-8 and import that file")
        if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
            raise UsageError(f"{self.name} is compressed; unpack it first, or pipe the text into shipfwd import -")
        if body.startswith(("<", "%PDF")):
            raise UsageError(f"{self.name} is HTML, XML or PDF, whatever it is called; export it as CSV")
        if (given or suffix[1:]) in ("json", "jsonl", "ndjson") and body[0] not in "[{":
            raise UsageError(f"{self.name} is not JSON: it begins with {show(body, 10)}")
        if given:
            return given
        if body[0] not in "[{" or suffix in (".csv", ".tsv", ".txt"):
            return "tsv" if suffix == ".tsv" else "csv"
        first, _, rest = body.partition("\n")
        is_line = suffix in (".jsonl", ".ndjson") or (body[0] == "{" and rest.strip() and readers.is_json(first))
        return "jsonl" if is_line else "json"

    def _delimiter(self, sample: str) -> str:
        """The delimiter under which a line of the beginning names most fields, and then has most cells."""
        start = [line for line in sample.splitlines(keepends=True)[:20] if line.strip()]

        def score(delimiter: str) -> tuple[int, int]:
            rows = list(islice(csv.reader(start, delimiter=delimiter), 5))
            return max(len(_known(cells, self._mapping)) for cells in rows), len(rows[0])

        return max((";", "\t", ",", "|"), key=score)

    def _settle(self, header: list[str]) -> dict[str, int]:
        """Take this header. Raises UsageError when it names too little, or two columns for one field."""
        if len(header) > COLUMNS_MAX:
            raise UsageError(f"{self.name} has {len(header)} columns; at most {COLUMNS_MAX} are taken")
        try:
            columns = find_columns(header, self._mapping)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from None
        if not _is_enough(columns):
            number = "the tracking number or the order status", "tracking_number"
            what, field = number if "order_id" in columns else ("the order id", "order_id")
            say = f"say which it is with --map {field}=COLUMN"
            if sheets := self.unread:
                say = f"its sheet {sheets[0]} names one: save that sheet as a CSV UTF-8 file and import it"
            raise UsageError(f"{self.name}: no column is known for {what}; {say} ({_list(header)})")
        if "integration" not in columns and not self._checker.default_integration:
            there = f" (there are: {', '.join(islice(known, 10))})" if (known := self._checker.integrations) else ""
            raise UsageError(f"{self.name}: no column names the integration; say which it is with -i NAME{there}")
        self.header = header
        self.columns = {field: header[index] for field, index in columns.items()}
        return columns

    def _table(
        self, rows: Iterator[readers.Cells | Reject], lines: readers.Lines | None = None
    ) -> Iterator[Row | Plain | Reject]:
        """Find the header among the first rows (templates put titles above it), then hand out the rest."""
        top: readers.Cells | None = None
        rest: list[readers.Cells | Reject] = []
        for row in islice(rows, 5):
            if isinstance(row, Reject):
                if not top:
                    raise ConfigError(f"{self.name}, line {row.line}: {row.reason}; is this a CSV file?")
                rest.append(row)
            elif not top or _is_enough(_known(row[1], self._mapping)):
                # The last one counts: Amazon's template names its columns for people, then for machines.
                if any(cell.strip() for cell in row[1]):
                    top, rest = row, []
                    if lines:
                        lines.width = len(row[1])
            else:
                rest.append(row)
        if not top:
            raise ConfigError(f"{self.name} is empty")
        header = top[1]
        by_place = bool(self._mapping) and all(column.startswith("#") for column in self._mapping.values())
        if by_place and header[0] != "#1" and not _known(header, {}):  # no header at all
            header, rest = [f"#{number}" for number in range(1, len(header) + 1)], [top, *rest]
        return self._checker.rows(chain(rest, rows), self._settle(header), len(header))

    def _records(self, values: Iterator[readers.Value | Reject]) -> Iterator[Row | Plain | Reject]:
        """Columns are the keys of the first hundred records, since a key without a value is often left out."""
        first = list(islice(values, 100))
        keys = dict.fromkeys(k for v in first if not isinstance(v, Reject) and isinstance(v[1], dict) for k in v[1])
        if keys or not all(isinstance(value, Reject) for value in first):
            self._settle(list(keys)[:COLUMNS_MAX])
        return self._objects(chain(first, values), keys)

    def _objects(
        self, values: Iterable[readers.Value | Reject], keys: dict[str, None]
    ) -> Iterator[Row | Plain | Reject]:
        names = [self.columns.get(field) for field in (*FIELDS, "carrier_name")]
        for value in values:
            if isinstance(value, Reject):
                yield value
                continue
            line, record, text = value
            try:
                if not isinstance(record, dict):
                    raise ValueError("not an object with fields")
                if not record.keys() <= keys.keys() and len(keys) < COLUMNS_MAX:
                    keys.update(dict.fromkeys(record))
                    names = self._relearn(list(keys)) or names
                cells: list[Any] = [record.get(name) for name in names]
                for place, cell in enumerate(cells):
                    if cell is None:
                        cells[place] = ""
                    elif not isinstance(cell, str):
                        raise ValueError(f"{names[place]} is neither text nor a number")
                yield self._checker.row(line, *cells)
            except ValueError as error:
                yield Reject(line, str(error), text)

    def _relearn(self, header: list[str]) -> list[str | None] | None:
        """The names again, now that later records have more keys; None when that would make them ambiguous."""
        try:
            self._settle(header)
        except UsageError:
            return None
        return [self.columns.get(field) for field in (*FIELDS, "carrier_name")]
