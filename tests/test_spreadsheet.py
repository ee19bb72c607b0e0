"""XLSX files: what a person typed into a spreadsheet arrives as text, and what it has lost is said."""

from __future__ import annotations

import io
import sys
import zipfile
from datetime import datetime, time

import openpyxl
import pytest
from support import NOON

from shipfwd import importer, spreadsheet
from shipfwd.errors import UsageError
from shipfwd.importer import Source
from shipfwd.rejects import Rejects
from shipfwd.rows import Reject, whole
from shipfwd.schedule import zone

NUMBER = "620022696408430119458408"


def book(*sheets: list[list[object]]) -> bytes:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for n, rows in enumerate(sheets):
        sheet = made.create_sheet(f"Sheet {n}")
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


@pytest.fixture
def read(tmp_path):
    def run(data: bytes, name: str = "parcels.xlsx", **more):
        path = tmp_path / name
        path.write_bytes(data)
        with Source(path, zone=zone("Europe/Warsaw"), now=NOON, default_integration="shop", **more) as source:
            return source, [item if isinstance(item, Reject) else whole(item) for item in source]

    return run


def test_a_sheet_is_read_as_a_csv_file_is(read):
    source, (row,) = read(
        book([["Numer zamówienia", "Numer przesyłki", "Kurier", "SKU", "Ilość"], [1001, NUMBER, "InPost", 7.0, 2.0]])
    )
    assert source.format == "xlsx"
    assert (row.order_id, row.tracking_number, row.carrier, row.sku, row.quantity) == ("1001", NUMBER, "inpost", "7", 2)


@pytest.mark.parametrize("name", ["parcels.xlsx", "parcels.csv", "parcels"])
def test_its_kind_is_seen_whatever_it_is_called(read, name):
    source, rows = read(book([["order_id", "tracking_number"], ["A-1", NUMBER]]), name)
    assert (source.format, len(rows)) == ("xlsx", 1)


def test_titles_above_the_header_empty_rows_and_empty_sheets_do_not_matter(read):
    rows = [["Parcels of Monday"], [], ["order_id", None, "tracking_number"], [], ["A-1", None, NUMBER, None], []]
    _, (row,) = read(book([], rows))
    assert (row.line, row.order_id) == (5, "A-1")


@pytest.mark.parametrize(
    ("sheet", "named"),
    [
        ([["order_id", "tracking_number"], ["2", NUMBER]], ["Sheet 1"]),
        ([["What goes where"], [], ["Nr zamówienia", None, "Nr przesyłki"]], ["Sheet 1"]),
        ([["Instructions"], ["Fill in the order and its tracking number"]], []),
        ([], []),
    ],
)
def test_a_second_list_of_parcels_in_the_workbook_is_named(read, sheet, named):
    source, (row,) = read(book([["order_id", "tracking_number"], ["1", NUMBER]], sheet))
    assert row.order_id == "1"
    assert source.unread == named


def test_a_sheet_that_was_not_read_needs_a_person(shop):
    shop.add()
    data = book(*([["order_id", "tracking_number"], [order, NUMBER]] for order in ("1", "2")))
    said = shop.run("-q", "import", shop.file("a.xlsx", data), "-i", "shop", "--no-forward")
    assert said.code == 1
    assert said.err.endswith("a.xlsx: only its first sheet was read, not Sheet 1; save it as a file of its own\n")
    assert set(shop.states()) == {"1"}


@pytest.mark.parametrize("number", [620022696408430119458408.0, 6.20022696408430e23, 12345678901234567890.0])
def test_a_number_whose_digits_the_spreadsheet_lost_is_rejected(read, number):
    _, (reject,) = read(book([["order_id", "tracking_number"], ["A-1", number]]))
    assert isinstance(reject, Reject)
    assert "its digits are lost" in reject.reason


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""), ("text", "text"), (12, "12"), (12.0, "12"), (1.5, "1.5"), (True, "true"), (False, "false"),
        (datetime(2026, 11, 23), "2026-11-23"), (datetime(2026, 11, 23, 8, 30), "2026-11-23 08:30:00"),
        (time(8, 30), "08:30:00"), (123456789012345, "123456789012345"), (1e15, "1.00000E+15"),
        (620022696408430119458408, NUMBER),
    ],
)  # fmt: skip
def test_cells_become_what_they_would_be_in_a_csv_file(cell, text):
    assert spreadsheet.text(cell) == text


def test_a_date_counts_as_its_day_and_a_time_as_the_merchants(read):
    when = [datetime(2026, 11, 20), datetime(2026, 11, 20, 8, 30)]
    _, rows = read(
        book([["order_id", "tracking_number", "ship date"], *([f"A-{n}", NUMBER, at] for n, at in enumerate(when))])
    )
    assert [row.created_at for row in rows] == ["2026-11-20T22:59:59Z", "2026-11-20T07:30:00Z"]


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("xl/workbook.xml", b"0" * 2_000_000)
    return out.getvalue()


def other_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("content.xml", "<office/>")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04rest", "no XLSX file that can be read"),
        (other_zip(), "no XLSX file that can be read"),
        (book([["order_id", "tracking_number"]])[:-200], "no XLSX file that can be read"),
        (bomb(), "unpacks to more than"),
    ],
    ids=["rubbish", "another ZIP", "cut off", "bomb"],
)
def test_what_is_no_spreadsheet_is_refused_with_the_next_step(read, monkeypatch, data, words):
    monkeypatch.setattr(spreadsheet, "UNPACKED_MAX", 1_000_000)
    with pytest.raises(UsageError, match=words) as caught:
        read(data)
    assert "save it as CSV" in str(caught.value)


def test_without_openpyxl_it_says_what_to_do(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        UsageError, match=r"save it as CSV UTF-8 and import that file, or: pip install 'shipfwd\[xlsx\]'"
    ):
        read(book([["order_id", "tracking_number"]]))


def test_rejects_of_a_sheet_are_mended_as_csv(read, tmp_path):
    source, (good, bad) = read(book([["order_id", "tracking_number"], ["A-1", NUMBER], ["A-2", 6.2e23]]))
    assert good.order_id == "A-1"
    with Rejects(tmp_path / "rejects.csv") as rejects:
        rejects.add(source, bad)
    text = (tmp_path / "rejects.csv").read_text()
    assert text.splitlines()[0] == "order_id,tracking_number,shipfwd_reason"
    _, (mended,) = read(text.replace("6.20000E+23", NUMBER).encode(), "mended.csv")
    assert (mended.order_id, mended.tracking_number) == ("A-2", NUMBER)


def test_the_command_takes_it(shop):
    shop.add()
    file = shop.file("parcels.xlsx", book([["order_id", "tracking_number", "carrier"], ["101", NUMBER, "inpost"]]))
    assert shop.json("import", file, "-i", "shop")["forwarded"] == 1
    assert shop.json("import", file, "-i", "shop", "--file-format", "xlsx")["known"] == 1


def test_the_reader_hangs_on_the_importers_hook():
    assert importer.READERS["xlsx"] is spreadsheet.rows


# ---- what is not there, and what is too much -------------------------------------------------------------------

NAMES = ["order_id", "tracking_number", "carrier", "note"]


def test_a_formula_that_was_never_calculated_is_told_where_it_matters(read):
    """openpyxl, like other programs that write files, keeps no value beside a formula."""
    rows = [
        ["A-1", NUMBER, "dpd", "=1+1"],
        ["=B2", NUMBER, "dpd", ""],
        ["A-3", "=B2", "dpd", ""],
        ["=A2", "=B2", "=C2"],
    ]
    _, found = read(book([NAMES, *rows]))
    assert found[0].order_id == "A-1"
    assert [one.line for one in found[1:] if isinstance(one, Reject)] == [3, 4, 5]
    assert found[1].reason.startswith("the order id is a formula that was never calculated; open the file in a")
    assert found[2].reason.startswith("the tracking number is a formula that was never calculated")


def test_a_workbook_that_begins_with_instructions_names_the_sheet_to_save(read):
    with pytest.raises(UsageError, match="its sheet Sheet 1 names one: save that sheet as a CSV UTF-8 file and import"):
        read(book([["How to fill this in"]], [NAMES, ["A-1", NUMBER, "dpd"]]))


def rewritten(data: bytes, change) -> bytes:
    """The same workbook with another first sheet."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part) if name == "xl/worksheets/sheet1.xml" else part)
    return out.getvalue()


ROW = b"<sheetData>"
BOMBS = {
    "a cell of 20 MB": (ROW, ROW + b'<row><c t="inlineStr"><is><t>' + b"x" * 20_000_000 + b"</t></is></c></row>"),
    "an attribute of 20 MB": (ROW, ROW + b'<row a="' + b"x" * 20_000_000 + b'"></row>'),
    "1,000,000 cells in a row": (ROW, ROW + b"<row>" + b"<c><v>1</v></c>" * 1_000_000 + b"</row>"),
    "a row too far down": (b'<row r="2"', b'<row r="99999999999"'),
    "entities": (b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet'),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_sheet_that_is_a_bomb_is_refused_before_it_is_read(read, kind):
    data = rewritten(book([NAMES, ["A-1", NUMBER, "dpd"]]), lambda part: part.replace(*BOMBS[kind], 1))
    with pytest.raises(UsageError, match="no list of parcels .*save it as CSV UTF-8"):
        read(data)


@pytest.mark.parametrize(
    "change", [(b'ref="A1:D2"', b'ref="A1:XFD1048576"'), (b'r="C2"', b'r="XFD2"'), (b'<row r="2"', b'<row r="1048576"')]
)
def test_a_sheet_that_claims_to_be_huge_is_read(read, change):
    _, rows = read(rewritten(book([NAMES, ["A-1", NUMBER, "dpd"]]), lambda part: part.replace(*change)))
    assert len(rows) == 1


def test_parts_that_are_all_in_memory_are_bounded(read, monkeypatch):
    monkeypatch.setattr(spreadsheet, "OTHER_MAX", 10)
    with pytest.raises(UsageError, match="it unpacks to more than a list of parcels does"):
        read(book([NAMES]))
