"""Files to rows: formats, encodings, headers, validation, rejects."""

from __future__ import annotations

import io
import json
import os
import stat
import tracemalloc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shipfwd import importer, readers
from shipfwd.errors import ConfigError, UsageError
from shipfwd.importer import FIELDS, Reject, Row, Source, make_row, read_created_at
from shipfwd.rejects import Rejects
from shipfwd.rows import whole

WARSAW = ZoneInfo("Europe/Warsaw")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
INPOST = "620022696408430119458408"


def open_source(tmp_path, data, name="in.csv", **options):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    options.setdefault("default_integration", "shop")
    return Source(path, zone=WARSAW, now=NOW, **options)


def read(tmp_path, data, name="in.csv", **options):
    """(source, rows, rejects)"""
    with open_source(tmp_path, data, name, **options) as source:
        items = [i if isinstance(i, Reject) else whole(i) for i in source]
    return source, [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Reject)]


def row(integrations=None, **values):
    values = {"order_id": "A-1", **values}
    return make_row(values, zone=WARSAW, now=NOW, default_integration="shop", integrations=integrations)


# ---- formats, delimiters, encodings ---------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", "\t", ",", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_told_apart(tmp_path, delimiter, newline):
    text = newline.join(
        delimiter.join(line) for line in (["order_id", "tracking_number", "carrier"], ["A-1", INPOST, "InPost"])
    )
    source, rows, rejects = read(tmp_path, text + newline)
    assert (source.delimiter, source.format) == (delimiter, "tsv" if delimiter == "\t" else "csv")
    assert [(r.line, r.order_id, r.tracking_number, r.carrier) for r in rows] == [(2, "A-1", INPOST, "inpost")]
    assert rejects == []


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1250", "cp1250"),
    ],
)
def test_encodings_are_told_apart(tmp_path, encoding, found):
    text = "Nr zamówienia;Nr przesyłki;Przewoźnik;Status\nŻÓŁW-1;1234567890;Łącznik;Wysłane\n"
    source, rows, rejects = read(tmp_path, text.encode(encoding))
    assert source.encoding == found
    assert [(r.order_id, r.carrier, r.order_status) for r in rows] == [("ŻÓŁW-1", "łącznik", "Wysłane")]
    assert rejects == []


def test_windows_letters_late_in_a_file_that_began_as_ascii_are_read(tmp_path):
    lines = [f"A-{n};1234567{n:06d};new" for n in range(5000)]
    text = "order_id;tracking_number;order_status\n" + "\n".join([*lines, "A-X;12345678;wysłane"]) + "\n"
    _, rows, rejects = read(tmp_path, text.encode("cp1250"))
    assert (len(rows), rejects, rows[-1].order_status) == (5001, [], "wysłane")


def test_broken_bytes_in_a_utf8_file_cost_only_their_row(tmp_path):
    head = b"order_id,order_status\n" + b"".join(f"A-{n},wysłane\n".encode() for n in range(9000))
    _, rows, rejects = read(tmp_path, head + b"B-1,wys\xb3ane\nB-2,nowe\n")
    assert (len(rows), [(r.line, "save the file as UTF-8" in r.reason) for r in rejects]) == (9001, [(9002, True)])


def test_standard_input_is_read_without_seeking():
    class Pipe(io.RawIOBase):
        def __init__(self, data):
            self.data = data

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(7, len(buffer), len(self.data))  # pipes give what they have
            buffer[:size], self.data = self.data[:size], self.data[size:]
            return size

    text = "order_id;tracking_number\n" + "".join(f"A-{n};12345678{n:05d}\n" for n in range(9000))
    source = Source("-", zone=WARSAW, now=NOW, default_integration="s", stdin=Pipe(text.encode()))
    assert len([item for item in source if not isinstance(item, Reject)]) == 9000
    assert source.name == "standard input"


RECORDS = [
    {"order_id": "A-1", "tracking_number": INPOST, "carrier": "InPost"},
    {"order_id": 17, "order_status": "sent", "x": None},
]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("in.json", json.dumps(RECORDS), "json"),
        ("in.json", json.dumps(RECORDS, indent=2), "json"),
        ("in.json", json.dumps({"shipments": RECORDS, "total": 2}), "json"),
        ("in.json", "\n".join(json.dumps(record) for record in RECORDS), "jsonl"),
        ("in.jsonl", "\n".join(json.dumps(record) for record in RECORDS) + "\n\n", "jsonl"),
        ("in.dat", "\n".join(json.dumps(record) for record in RECORDS), "jsonl"),
        ("in.json", "\n".join(json.dumps(record, indent=1) for record in RECORDS), "json"),
    ],
)
def test_json_in_its_usual_forms_is_read(tmp_path, name, text, found):
    source, rows, rejects = read(tmp_path, text, name)
    assert source.format == found
    assert [(r.line, r.order_id, r.tracking_number, r.order_status) for r in rows] == [
        (1, "A-1", INPOST, ""),
        (2, "17", "", "sent"),
    ]
    assert rejects == []


def test_json_numbers_keep_every_digit(tmp_path):
    _, rows, rejects = read(
        tmp_path,
        f'[{{"order_id": 1, "tracking_number": {INPOST}}}, {{"order_id": 2, "tracking_number": 6.2E+23}}]',
        "a.json",
    )
    assert [r.tracking_number for r in rows] == [INPOST]
    assert "digits are lost" in rejects[0].reason


@pytest.mark.parametrize("value", ["[1]", "{}", "true"])
def test_json_values_that_are_no_text_are_rejected(tmp_path, value):
    _, rows, rejects = read(
        tmp_path,
        f'[{{"order_id": "A", "tracking_number": {value}}}, 7, {{"order_id": "B", "order_status": "s"}}]',
        "a.json",
    )
    assert [r.order_id for r in rows] == ["B"]
    assert [(r.line, r.reason) for r in rejects] == [
        (1, "tracking_number is neither text nor a number"),
        (2, "not an object with fields"),
    ]


def test_a_key_that_comes_late_is_still_learned(tmp_path):
    lines = [json.dumps({"order_id": f"A-{n}", "order_status": "s"}) for n in range(150)]
    lines.append(json.dumps({"order_id": "B", "tracking_number": INPOST}))
    source, rows, _ = read(tmp_path, "\n".join(lines), "a.jsonl")
    assert rows[-1].tracking_number == INPOST
    assert source.columns["tracking_number"] == "tracking_number"


def test_a_bad_json_line_costs_only_itself(tmp_path):
    good = json.dumps(RECORDS[0])
    deep = '{"order_id": ' + "[" * 1500 + "]" * 1500 + "}"
    long = '{"order_id": "' + "x" * (readers.RECORD_MAX + 5) + '"}'
    _, rows, rejects = read(tmp_path, "\n".join([good, '{"order_id": ', deep, long, good]), "a.jsonl")
    assert [r.line for r in rows] == [1, 5]
    assert [(r.line, r.reason.split(":")[0][:14]) for r in rejects] == [
        (2, "not valid JSON"),
        (3, "not JSON that "),
        (4, "the line is lo"),
    ]


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ('{"order_id": ', "nothing after it was read"),
        ("", "ends before its closing ]"),
        ("[" * 1500, "nested too deeply"),
        ("] [1]", "behind the closing ]"),
        ('{"a": 1]', "not valid JSON"),
    ],
)
def test_broken_json_keeps_what_came_before_and_says_so(tmp_path, tail, says):
    _, rows, rejects = read(
        tmp_path, "[" + json.dumps(RECORDS[0]) + (tail if tail.startswith("]") else "," + tail), "a.json"
    )
    assert len(rows) == 1
    assert [r.line for r in rejects] == [2]
    assert says in rejects[0].reason


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.xlsx", b"PK\x03\x04rest", "save it as CSV"),
        ("a.xls", b"\xd0\xcf\x11\xe0rest", "save it as CSV"),
        ("a.csv.gz", b"\x1f\x8b\x08rest", "unpack"),
        ("a.xls", b"<html><table>", "HTML"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.json", b"order_id,x\n", "not JSON"),
        ("a.jsonl", b"order_id", "not JSON"),
        ("a.csv", b"\x00" * 50, "is this a CSV file"),
        ("a.csv", b"some text\n", "no column is known"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_next_step(tmp_path, name, data, says):
    with pytest.raises((UsageError, ConfigError), match=says):
        open_source(tmp_path, data, name)


def test_a_reader_for_another_format_can_be_added(tmp_path, monkeypatch):
    def sheet(raw, others):
        assert raw.read().startswith(b"PK")
        yield 1, ["Order ID", "Tracking number"]
        yield 2, ["A-1", INPOST]

    monkeypatch.setitem(importer.READERS, "xlsx", sheet)
    source, rows, _ = read(tmp_path, b"PK\x03\x04rest", "a.xlsx")
    assert (source.format, [r.tracking_number for r in rows]) == ("xlsx", [INPOST])


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b" \n\n", b"\xff\xfe"])
def test_an_empty_file_is_an_error_of_the_file(tmp_path, data):
    with pytest.raises(ConfigError, match="is empty"):
        open_source(tmp_path, data)


def test_a_missing_file_and_a_folder_are_errors_of_the_file(tmp_path):
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            Source(path, zone=WARSAW, now=NOW)


def test_an_unknown_format_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file format: xml"):
        open_source(tmp_path, "order_id", file_format="xml")


def test_a_header_alone_and_an_empty_array_have_no_rows(tmp_path):
    assert read(tmp_path, "order_id,tracking_number\n")[1:] == ([], [])
    assert read(tmp_path, "[]", "a.json")[1:] == ([], [])


def test_excels_own_first_line_names_the_delimiter(tmp_path):
    source, rows, _ = read(tmp_path, f"sep=;\norder_id;tracking_number\nA,1;{INPOST}\n")
    assert (source.delimiter, rows[0].order_id, rows[0].line) == (";", "A,1", 3)


# ---- csv at its edges -----------------------------------------------------------------------------------


def test_blank_rows_are_skipped_and_short_rows_are_filled(tmp_path):
    _, rows, rejects = read(tmp_path, f"order_id,tracking_number,order_status\n\nA-1,{INPOST}\n,,\n  ,,\nA-2,,sent,,\n")
    assert [(r.line, r.order_id) for r in rows] == [(3, "A-1"), (6, "A-2")]
    assert rejects == []


def test_a_row_with_more_cells_than_the_header_is_rejected(tmp_path):
    _, rows, rejects = read(tmp_path, f"order_id,tracking_number\nA-1,{INPOST},what\nA-2,{INPOST}\n")
    assert [r.order_id for r in rows] == ["A-2"]
    assert rejects == [Reject(2, "the row has 3 cells and the header 2", ["A-1", INPOST, "what"])]


def test_quoted_cells_may_hold_delimiters_and_line_ends(tmp_path):
    text = f'order_id,note,tracking_number\n"A-1","two\nlines, and ""quotes""",{INPOST}\nA-2,,{INPOST}\n'
    assert [(r.line, r.order_id) for r in read(tmp_path, text)[1]] == [(2, "A-1"), (4, "A-2")]


@pytest.mark.parametrize("bad", ['A-1,"5 inch,6200226964\n', 'A-1,"open\n' * 3])
def test_a_quote_that_never_closes_costs_only_its_row(tmp_path, bad):
    good = "".join(f"G-{n},note,12345678{n:05d}\n" for n in range(300))
    _, rows, rejects = read(tmp_path, "order_id,note,tracking_number\nF-1,,12345678\n" + bad + good)
    assert len(rows) == 301
    assert [r.line for r in rejects] == [3 + n for n in range(bad.count("\n"))]
    assert all("quote" in r.reason for r in rejects)


def test_a_cell_of_very_many_lines_is_taken_for_an_open_quote(tmp_path):
    text = 'order_id,tracking_number,note\nA-1,12345678,"' + "x\n" * (readers.LINES_MAX + 1) + f'"\nA-2,{INPOST},\n'
    _, rows, rejects = read(tmp_path, text)
    assert ([r.order_id for r in rows], rejects[0].line) == (["A-2"], 2)


def test_a_quote_left_open_on_the_last_line_is_no_value(tmp_path):
    _, rows, rejects = read(tmp_path, 'order_id,tracking_number\nA-1,12345678\nA-2,"1234567')
    assert [r.order_id for r in rows] == ["A-1"]
    assert [(r.line, r.raw) for r in rejects] == [(3, ["A-2", '"1234567'])]


def test_a_nul_byte_costs_only_its_row(tmp_path):
    _, rows, rejects = read(tmp_path, f"order_id,tracking_number,x\nA-1,{INPOST},\nA-2,{INPOST},a\0b\nA-3,{INPOST},\n")
    assert [r.order_id for r in rows] == ["A-1", "A-3"]
    assert [(r.line, r.reason) for r in rejects] == [(3, "the row holds a NUL byte")]


def test_huge_cells_and_rows_cost_only_their_row(tmp_path):
    text = f"order_id,tracking_number\nA-1,{'1' * 100_000}\nA-2,{INPOST}\nA-3,{'1' * 300_000}\nA-4,{INPOST}\n"
    _, rows, rejects = read(tmp_path, text)
    assert [(r.line, r.order_id) for r in rows] == [(3, "A-2"), (5, "A-4")]
    assert [(r.line, r.reason) for r in rejects] == [
        (2, "the tracking number has 100000 characters; at most 100 are taken"),
        (4, f"the row is longer than {readers.ROW_MAX} characters"),
    ]


def test_a_line_of_exactly_one_character_too_many_does_not_eat_the_next(tmp_path):
    line = "A-1," + "1" * (readers.ROW_MAX + 1 - 5) + "\n"
    assert len(line) == readers.ROW_MAX + 1
    _, rows, rejects = read(tmp_path, f"order_id,tracking_number\n{line}A-2,{INPOST}\n")
    assert ([r.order_id for r in rows], [r.line for r in rejects]) == (["A-2"], [2])


def test_an_enormous_number_of_columns_is_refused(tmp_path):
    with pytest.raises(UsageError, match="columns; at most"):
        open_source(tmp_path, "order_id,tracking_number" + ",x" * 3000 + "\n")
    with pytest.raises(ConfigError, match="is this a CSV file"):
        open_source(tmp_path, "order_id,tracking_number" + ",x" * 100_000 + "\n")
    assert len(read(tmp_path, "order_id,tracking_number\nA-1,1234567" + ",x" * 3000 + "\n")[2]) == 1


def test_titles_above_the_header_are_passed_over(tmp_path):
    text = (
        "TemplateType=OrderFulfillment\tVersion=2011.1102\tfor Amazon only\n"
        "Order ID\tShip Date\tCarrier Code\tCarrier Name\tTracking Number\n"
        "order-id\tship-date\tcarrier-code\tcarrier-name\ttracking-number\n"
        f"111-2223334-4445556\t2026-11-22\tOther\tInPost\t{INPOST}\n"
    )
    source, rows, rejects = read(tmp_path, text, "amazon.txt")
    assert source.format == "tsv"
    assert [(r.line, r.order_id, r.carrier, r.tracking_number) for r in rows] == [
        (4, "111-2223334-4445556", "inpost", INPOST)
    ]
    assert rejects == []


def test_memory_stays_constant(tmp_path):
    def peak(data, name):
        path = tmp_path / name
        path.write_text(data)
        with Source(path, zone=WARSAW, now=NOW, default_integration="s") as source:
            next(iter(source))
            tracemalloc.start()
            count = sum(1 for _ in source)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return count, found

    few, many = 2_000, 20_000
    shapes = {
        "a.csv": lambda n: "order_id,tracking_number\n" + "".join(f"A-{i},12345678{i:06d}\n" for i in range(n)),
        "a.json": lambda n: (
            "[" + ",".join(f'{{"order_id":"A-{i}","tracking_number":"12345678{i:06d}"}}' for i in range(n)) + "]"
        ),
    }
    for name, make in shapes.items():
        small, large = peak(make(few), name), peak(make(many), name)
        assert (small[0], large[0]) == (few - 1, many - 1)
        assert large[1] < small[1] + 400_000, name


# ---- columns --------------------------------------------------------------------------------------------

TEMPLATES = {
    "ours": (
        "integration,order_id,carrier,tracking_number,order_status,created_at,tracking_url,item_id,sku,quantity",
        dict(zip(FIELDS, FIELDS, strict=True)),
        [],
    ),
    "amazon": (
        "order-id\torder-item-id\tquantity\tship-date\tcarrier-code\tcarrier-name\ttracking-number\tship-method",
        {
            "order_id": "order-id",
            "item_id": "order-item-id",
            "quantity": "quantity",
            "created_at": "ship-date",
            "carrier": "carrier-code",
            "carrier_name": "carrier-name",
            "tracking_number": "tracking-number",
        },
        ["ship-method"],
    ),
    "ebay mip": (
        "Order ID,Line Item ID,Logistics Status,Shipping Carrier,Tracking Number",
        {
            "order_id": "Order ID",
            "item_id": "Line Item ID",
            "carrier": "Shipping Carrier",
            "tracking_number": "Tracking Number",
        },
        ["Logistics Status"],
    ),
    "ast": (
        "order_id,tracking_provider,tracking_number,date_shipped,status_shipped,sku,qty,shipping_note",
        {
            "order_id": "order_id",
            "carrier": "tracking_provider",
            "tracking_number": "tracking_number",
            "created_at": "date_shipped",
            "sku": "sku",
            "quantity": "qty",
        },
        ["status_shipped", "shipping_note"],
    ),
    "aftership": (
        "tracking_number,courier,order_id,title,order_path,email,customer_name,tracking_ship_date",
        {
            "order_id": "order_id",
            "carrier": "courier",
            "tracking_number": "tracking_number",
            "created_at": "tracking_ship_date",
        },
        ["title", "order_path", "email", "customer_name"],
    ),
    "acenda": (
        "external_order_id,warehouse_id,carrier,method,tracking_number,sku,quantity,cost",
        {
            "order_id": "external_order_id",
            "carrier": "carrier",
            "tracking_number": "tracking_number",
            "sku": "sku",
            "quantity": "quantity",
        },
        ["warehouse_id", "method", "cost"],
    ),
    "35up": (
        "shipment_id,order_id,item_id,item_sku,shipped_qty,shipped_at,shipping_provider,shipping_method,tracking_code,tracking_url",
        {
            "order_id": "order_id",
            "item_id": "item_id",
            "sku": "item_sku",
            "quantity": "shipped_qty",
            "created_at": "shipped_at",
            "carrier": "shipping_provider",
            "tracking_number": "tracking_code",
            "tracking_url": "tracking_url",
        },
        ["shipment_id", "shipping_method"],
    ),
    "ycloud": (
        "Order_ID,Shipping_Carrier,Tracking_Number,Tracking_Url",
        {
            "order_id": "Order_ID",
            "carrier": "Shipping_Carrier",
            "tracking_number": "Tracking_Number",
            "tracking_url": "Tracking_Url",
        },
        [],
    ),
    "maxpho": (
        "order_id;tracking_code;tracking_number;status",
        {
            "order_id": "order_id",
            "carrier": "tracking_code",
            "tracking_number": "tracking_number",
            "order_status": "status",
        },
        [],
    ),
    "coupa": (
        "Tracking Number,Carrier,Document Type,Document Number,Delete",
        {"order_id": "Document Number", "carrier": "Carrier", "tracking_number": "Tracking Number"},
        ["Document Type", "Delete"],
    ),
    "zynk": (
        "external_id,increment_id,track_number,title,carrier_code",
        {"order_id": "increment_id", "carrier": "carrier_code", "tracking_number": "track_number"},
        ["external_id", "title"],
    ),
    "polish": (
        "Numer zamówienia;Numer przesyłki;Przewoźnik;Status zamówienia;Data nadania;Ilość;Link do śledzenia;Symbol",
        {
            "order_id": "Numer zamówienia",
            "tracking_number": "Numer przesyłki",
            "carrier": "Przewoźnik",
            "order_status": "Status zamówienia",
            "created_at": "Data nadania",
            "quantity": "Ilość",
            "tracking_url": "Link do śledzenia",
            "sku": "Symbol",
        },
        [],
    ),
    "polish, short": (
        "NR ZAM.;Nr listu przewozowego;Kurier;Data wysyłki",
        {
            "order_id": "NR ZAM.",
            "tracking_number": "Nr listu przewozowego",
            "carrier": "Kurier",
            "created_at": "Data wysyłki",
        },
        [],
    ),
    "carrier export": (
        "List przewozowy;Referencja;Odbiorca",
        {"order_id": "Referencja", "tracking_number": "List przewozowy"},
        ["Odbiorca"],
    ),
    "most specific": (
        "order_number,order_id,status,order_status,tracking,carrier_name",
        {
            "order_id": "order_id",
            "order_status": "order_status",
            "tracking_number": "tracking",
            "carrier": "carrier_name",
        },
        ["order_number", "status"],
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_understood(tmp_path, name):
    header, columns, unused = TEMPLATES[name]
    source, _, _ = read(tmp_path, header + "\n")
    assert source.columns == columns
    assert source.unused == unused


def test_no_header_word_means_two_fields():
    words = [
        importer.carriers.letters(w) for groups in importer._HEADERS.values() for g in groups for w in g.split(",")
    ]
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize(
    ("code", "name", "slug"),
    [
        ("Other", "InPost", "inpost"),
        ("", "Orlen Paczka", "orlen"),
        ("DPD", "whatever", "dpd"),
        ("Other", "", "other"),
        ("Sonstige", "Szybka Paczka", "szybka-paczka"),
    ],
)
def test_the_carrier_name_counts_where_the_code_says_other(tmp_path, code, name, slug):
    _, rows, _ = read(tmp_path, f"order-id,carrier-code,carrier-name,tracking-number\nA-1,{code},{name},12345678\n")
    assert rows[0].carrier == slug


@pytest.mark.parametrize(
    ("header", "mapping", "says"),
    [
        (
            "foo,bar",
            {},
            "for the order id; say which it is with --map order_id=COLUMN .its columns: foo, bar",
        ),
        ("order_id,bar", {}, "--map tracking_number=COLUMN"),
        (
            "Nr zamówienia,Numer zamówienia,tracking",
            {},
            "both 'Nr zamówienia' .#1. and 'Numer zamówienia' .#2. could be",
        ),
        ("order_id,tracking,Status,status", {}, "--map 'order_status=#3'"),
        ("order_id,tracking", {"order_id": "ordr_id"}, "no such column; did you mean order_id"),
        ("order_id,tracking", {"carier": "tracking"}, "no such field; did you mean carrier"),
        ("order_id,tracking", {"tracking_number": "#7"}, "no such column"),
        ("order_id,tracking", {"tracking_number": ""}, "--map tracking_number=COLUMN"),
    ],
)
def test_columns_that_cannot_be_told_are_a_usage_error_with_the_next_step(tmp_path, header, mapping, says):
    with pytest.raises(UsageError, match=says):
        open_source(tmp_path, header + "\n", mapping=mapping)


@pytest.mark.parametrize(
    ("header", "mapping", "columns"),
    [
        ("Uwagi;Nr przesyłki", {"order_id": "uwagi"}, {"order_id": "Uwagi", "tracking_number": "Nr przesyłki"}),
        (
            "Uwagi;Nr przesyłki",
            {"order": "Uwagi", "tracking": "nr_przesylki"},
            {"order_id": "Uwagi", "tracking_number": "Nr przesyłki"},
        ),
        (
            "order_id;tracking;Status;status",
            {"order_status": "#4"},
            {"order_id": "order_id", "tracking_number": "tracking", "order_status": "status"},
        ),
        ("order_id;tracking;status", {"status": ""}, {"order_id": "order_id", "tracking_number": "tracking"}),
        (
            "a;b;carrier name",
            {"order_id": "a", "tracking_number": "b", "carrier": "a"},
            {"order_id": "a", "tracking_number": "b", "carrier": "a"},
        ),
    ],
)
def test_map_names_columns(tmp_path, header, mapping, columns):
    source, _, _ = read(tmp_path, header + "\n", mapping=mapping)
    assert source.columns == columns


def test_a_file_without_header_is_mapped_by_position(tmp_path):
    source, rows, rejects = read(
        tmp_path, f"A-1,{INPOST}\nA-2,12345678\n", mapping={"order_id": "#1", "tracking_number": "#2"}
    )
    assert [(r.line, r.order_id) for r in rows] == [(1, "A-1"), (2, "A-2")]
    assert (rejects, source.columns) == ([], {"order_id": "#1", "tracking_number": "#2"})


# ---- a row ----------------------------------------------------------------------------------------------


def test_a_full_row_is_read_field_by_field():
    full = row(
        integrations={"allegro": 7},
        integration=" allegro ",
        order_id=" A/1 ł ",
        carrier="Paczkomaty InPost",
        tracking_number=" 6200 2269 6408 4301 1945 8408 ",
        order_status=" Wysłane ",
        created_at="2026-11-23T09:30:00+01:00",
        tracking_url="https://t.example/1",
        item_id="L1",
        sku="S",
        quantity="2,00",
    )
    assert full == Row(
        integration_id=7,
        line=0,
        order_id="A/1 ł",
        tracking_key=INPOST,
        carrier="inpost",
        order_status="Wysłane",
        status_key="wysłane",
        created_at="2026-11-23T08:30:00Z",
        tracking_number=INPOST,
        tracking_original="6200 2269 6408 4301 1945 8408",
        tracking_url="https://t.example/1",
        item_id="L1",
        sku="S",
        quantity=2,
    )


def test_a_status_without_a_number_is_a_row():
    for number in ("", " ", "-", "\u2013"):
        told = row(order_status="Wysłane", tracking_number=number)
        assert (told.tracking_number, told.tracking_original, told.order_status) == ("", "", "Wysłane")
    assert told.created_at == ""


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"order_id": " ", "tracking_number": "12345678"}, "no order id"),
        ({}, "neither a tracking number nor an order status"),
        ({"order_id": "A\0B", "order_status": "s"}, "control character"),
        ({"order_id": "A\nB", "order_status": "s"}, "control character"),
        ({"order_id": "\ud800", "order_status": "s"}, "control character"),
        ({"order_id": "A\ufffd", "order_status": "s"}, "save the file as UTF-8"),
        ({"order_id": "A" * 201, "order_status": "s"}, "at most 200"),
        ({"order_status": "s" * 201}, "at most 200"),
        ({"tracking_number": "6.20022E+23"}, "format the column as text"),
        ({"tracking_number": "6,20022E+23", "carrier": "InPost"}, "digits are lost"),
        ({"tracking_number": "1234567890.0"}, "decimal"),
        ({"tracking_number": "359007730000000015", "carrier": "Poczta Polska"}, "leading zeros"),
        ({"tracking_number": "7268757Q", "carrier": "DPD"}, "leading zeros"),
        ({"tracking_number": "brak"}, "'brak' is not a tracking number"),
        ({"tracking_number": "InPost"}, "is not a tracking number"),
        ({"tracking_number": "N/A"}, "is not a tracking number"),
        ({"tracking_number": "***"}, "is not a tracking number"),
        ({"tracking_number": "12"}, "is not a tracking number"),
        ({"tracking_number": "1" * 101}, "at most 100"),
        ({"tracking_number": "1" * 100_000}, "at most 100"),
        ({"tracking_number": "1234\x005678"}, "strange character .U.0000"),
        ({"tracking_number": "\u0410B123456"}, "strange character .U.0410"),
        ({"tracking_number": "123456789, 123456788"}, "more than one tracking number"),
        ({"tracking_number": "123456789;123456788"}, "more than one tracking number"),
        ({"tracking_number": f"{INPOST} {INPOST[:-1]}7"}, "more than one tracking number"),
        ({"order_status": "s", "created_at": "soon"}, "'soon' is not a date"),
        ({"order_status": "s", "sku": "x", "quantity": "0"}, "not a whole number from 1"),
        ({"order_status": "s", "item_id": "x", "quantity": "1,5"}, "not a whole number from 1"),
    ],
)
def test_a_bad_row_is_refused_with_a_sentence(values, says):
    with pytest.raises(ValueError, match=says) as caught:
        row(**values)
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


def test_a_row_without_integration_is_refused():
    with pytest.raises(ValueError, match="no integration"):
        make_row({"order_id": "A", "order_status": "s"}, zone=WARSAW, now=NOW)


@pytest.mark.parametrize(
    ("number", "carrier", "sent"),
    [
        ('="620022696408430119458408"', "InPost", INPOST),
        ("'0000007268757q", "DPD", "0000007268757Q"),
        ("12-345-678", "DHL", "12345678"),
        ("12-345-678", "Nobody", "12-345-678"),
        ("\u200b1234\u00a05678\ufeff", "", "12345678"),
        ("24xi00743314*001001", "wedo", "24XI00743314*001001"),
    ],
)
def test_numbers_are_normalised_and_the_original_is_kept(number, carrier, sent):
    found = row(tracking_number=number, carrier=carrier)
    assert (found.tracking_number, found.tracking_original) == (sent, number.strip())


@pytest.mark.parametrize("order_id", ["#1001", "100/2026", "a:b?c=d&e", "=x", "../..", "<b>", "1 2"])
def test_order_ids_are_opaque(order_id):
    assert row(order_id=f" {order_id} ", order_status="s").order_id == order_id


def test_spreadsheet_wraps_are_taken_off_every_word():
    found = row(order_id='="00123"', order_status="s", sku="'0007")
    assert (found.order_id, found.sku) == ("00123", "0007")


def test_what_is_odd_but_possible_is_taken_with_a_warning():
    assert "this has 23 characters" in " ".join(row(tracking_number=INPOST[:-1], carrier="InPost").warnings)
    assert "spreadsheet" in " ".join(row(order_id="1.23457E+12", order_status="s").warnings)
    odd = row(tracking_number=INPOST, carrier="InPost", tracking_url="javascript:alert(1)")
    assert odd.tracking_url == ""
    assert "no web address" in odd.warnings[0]


def test_a_quantity_without_an_item_is_not_looked_at():
    assert row(order_status="s", quantity="0").quantity == 0


# ---- dates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-23T08:30:00Z", "2026-11-23T08:30:00"),
        ("2026-11-23T09:30:00+01:00", "2026-11-23T08:30:00"),
        ("2026-11-23 09:30:00+0100", "2026-11-23T08:30:00"),
        ("2026-11-23 09:30:00 +01:00", "2026-11-23T08:30:00"),
        ("2026-11-23 08:30:00 UTC", "2026-11-23T08:30:00"),
        ("2026-11-23T09:30:00.5+01:00", "2026-11-23T08:30:00.500000"),
        ("2026-11-23 09:30", "2026-11-23T08:30:00"),
        ("2026-07-01 09:30", "2026-07-01T07:30:00"),
        ("23.11.2026 9:30", "2026-11-23T08:30:00"),
        ("23.11.2026, 09:30:15", "2026-11-23T08:30:15"),
        ("20261123093000", "2026-11-23T08:30:00"),
        ("20261123T083000Z", "2026-11-23T08:30:00"),
        ("1795422600", "2026-11-23T08:30:00"),
        ("1795422600000", "2026-11-23T08:30:00"),
        ("1795422600.0", "2026-11-23T08:30:00"),
        ("2026-11-22", "2026-11-22T22:59:59"),
        ("20261122", "2026-11-22T22:59:59"),
        ("22.11.2026", "2026-11-22T22:59:59"),
        ("5.6.2026", "2026-06-05T21:59:59"),
        ("22-11-2026", "2026-11-22T22:59:59"),
        ("22/11/2026", "2026-11-22T22:59:59"),
        ("11-22-2026", "2026-11-22T22:59:59"),
        ("11/11/2026", "2026-11-11T22:59:59"),
        ("2026-1-5", "2026-01-05T22:59:59"),
        ("2026/11/22", "2026-11-22T22:59:59"),
        (" 2026-11-22 ", "2026-11-22T22:59:59"),
        # at most now: today, and up to 24 hours ahead
        ("2026-11-23", "2026-11-23T12:00:00"),
        ("2026-11-24", "2026-11-23T12:00:00"),
        ("2026-11-24T11:59:00Z", "2026-11-23T12:00:00"),
    ],
)
def test_ship_dates_are_read(text, utc):
    assert read_created_at(text, WARSAW, NOW) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("05-06-2026", "can be 2026-06-05 or 2026-05-06; write the year first"),
        ("5/6/2026 10:00", "can be"),
        ("2026-11-25", "24 hours ahead"),
        ("2026-11-24T12:00:01Z", "24 hours ahead"),
        ("1995-01-01", "before the year 2000"),
        ("46349", "not a date"),
        ("2026-13-01", "not a date"),
        ("31.02.2026", "not a date"),
        ("2026-11-23T25:00", "not a date"),
        ("23.11.26", "not a date"),
        ("2026-W48-1", "not a date"),
        ("yesterday", "not a date"),
        ("0001-01-01", "not a date"),
        ("9999-12-31T23:59:59-12:00", "not a date"),
        ("2026113", "not a date"),
    ],
)
def test_other_dates_are_refused(text, says):
    with pytest.raises(ValueError, match=says):
        read_created_at(text, WARSAW, NOW)


def test_the_result_is_never_after_now():
    for minutes in range(-3000, 1440, 37):
        moment = NOW + timedelta(minutes=minutes)
        assert read_created_at(moment.isoformat(), WARSAW, NOW) == min(moment, NOW)


# ---- rejects --------------------------------------------------------------------------------------------


def write_rejects(tmp_path, source_items, path="rejects.csv"):
    source, _, rejects = source_items
    with Rejects(tmp_path / path) as out:
        for reject in rejects:
            out.add(source, reject)
    return out


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_rejects_come_in_the_format_of_their_file_and_can_be_imported_again(tmp_path, delimiter):
    text = "Nr zamówienia,Nr przesyłki,note\nA-1,brak,x\nŻ-2,12345678,\n,12345678,y\n".replace(",", delimiter)
    out = write_rejects(tmp_path, read(tmp_path, text))
    written = (tmp_path / "rejects.csv").read_text()
    assert out.count == 2
    assert written.splitlines()[0] == "Nr zamówienia,Nr przesyłki,note,shipfwd_reason".replace(",", delimiter)
    again = read(tmp_path, written, "again.csv")
    assert (again[0].unused, [r.raw[:3] for r in again[2]]) == (["note"], [["A-1", "brak", "x"], ["", "12345678", "y"]])
    write_rejects(tmp_path, again)
    assert (tmp_path / "rejects.csv").read_text() == written
    mended = read(tmp_path, written.replace("brak", "87654321"), "mended.csv")
    assert [r.tracking_number for r in mended[1]] == ["87654321"]


@pytest.mark.parametrize("name", ["in.json", "in.jsonl"])
def test_json_rejects_stay_json(tmp_path, name):
    records = [
        {"order_id": "Ż", "tracking_number": "brak", "deep": {"a": [1]}},
        {"order_id": "B", "order_status": "s"},
        7,
    ]
    text = json.dumps(records) if name == "in.json" else "\n".join([*map(json.dumps, records), '{"broken'])
    write_rejects(tmp_path, read(tmp_path, text, name), "rejects.out")
    written = (tmp_path / "rejects.out").read_text()
    found = json.loads(written) if name == "in.json" else [json.loads(line) for line in written.splitlines()]
    assert found[0] == {**records[0], "shipfwd_reason": "'brak' is not a tracking number"}
    assert found[1] == {
        "shipfwd_raw": "7" if name == "in.json" else "7\n",
        "shipfwd_reason": "not an object with fields",
    }
    if name == "in.jsonl":
        assert found[2]["shipfwd_raw"] == '{"broken'


def test_the_rejects_file_comes_with_the_first_reject_and_is_private(tmp_path):
    items = read(tmp_path, "order_id,order_status\nA,s\n,s\n")
    path = tmp_path / "rejects.csv"
    old = os.umask(0)
    try:
        with Rejects(path) as out:
            assert not path.exists()
            out.add(items[0], items[2][0])
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    write_rejects(tmp_path, items)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_with_different_headers_get_rejects_of_their_own(tmp_path):
    one = read(tmp_path, "order_id,order_status\n,s\n", "1.csv")
    two = read(tmp_path, '{"order_id": "", "order_status": "s"}\n{}', "2.jsonl")
    three = read(tmp_path, "order_id,order_status\n,t\n", "3.csv")
    with Rejects(tmp_path / "r.csv") as out:
        for source, _, rejects in (one, two, three):
            for reject in rejects:
                out.add(source, reject)
    assert [path.name for path in out.paths] == ["r.csv", "r-2.csv"]
    assert (tmp_path / "r.csv").read_text().count("\n") == 3


def test_rejects_never_overwrite_the_file_they_come_from(tmp_path):
    items = read(tmp_path, "order_id,order_status\n,s\n")
    with pytest.raises(UsageError, match="is being imported"):
        write_rejects(tmp_path, items, "in.csv")
    with pytest.raises(ConfigError, match="cannot write"):
        write_rejects(tmp_path, items, "no/such/folder.csv")


def test_strange_bytes_survive_in_rejects(tmp_path):
    items = read(tmp_path, 'order_id,order_status\n"a\nb",\0s\n')
    write_rejects(tmp_path, items)
    items = read(tmp_path, '[{"order_id": "\\ud800", "order_status": "s"}]', "a.json")
    write_rejects(tmp_path, items, "r.json")
    assert json.loads((tmp_path / "r.json").read_text())[0]["order_id"] == "\ud800"
