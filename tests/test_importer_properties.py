"""What holds for any input: nothing but our own errors, nothing lost, nothing changed twice."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipfwd import carriers, models, readers
from shipfwd.errors import ShipfwdError
from shipfwd.importer import FIELDS, FORMATS, Reject, Row, Source, make_row, read_created_at
from shipfwd.rejects import Rejects
from shipfwd.rows import Checker, whole

WARSAW = ZoneInfo("Europe/Warsaw")
INPOST = "620022696408430119458408"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

calm = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def read(data: bytes, **options):
    source = Source("-", zone=WARSAW, now=NOW, default_integration="shop", stdin=io.BytesIO(data), **options)
    return source, [item if isinstance(item, Reject) else whole(item) for item in source]


def is_sound(item) -> bool:
    if isinstance(item, Reject):
        return item.line >= 1 and item.reason.isprintable() and len(item.reason) < 500
    return (
        bool(item.order_id)
        and bool(item.tracking_number or item.order_status)
        and all(isinstance(value, str) for value in item[2:13])
        and item.tracking_number.isascii()
        and len(item.tracking_number) <= 100
        and item.created_at <= models.stamp(NOW)
        and bool(json.dumps(item[2:13], ensure_ascii=False).encode())  # no half characters
    )


letters = st.text(st.characters(codec="utf-8"), max_size=60)
soup = st.lists(
    st.sampled_from(
        [
            *FIELDS,
            ",",
            ";",
            "\t",
            "\n",
            "\r\n",
            '"',
            "'",
            "=",
            "A-1",
            "620022696408430119458408",
            "\0",
            "-",
            "ż",
            "[",
            "]",
            "{",
            "}",
            ":",
            '"order_id"',
            '"tracking_number"',
            "1e5",
            "null",
            " ",
            "E+23",
            "2026-11-23",
            "#",
        ]
    ),
    max_size=60,
).map("".join)


@calm
@given(
    st.one_of(
        st.binary(max_size=300), soup.map(str.encode), soup.map(lambda s: s.encode("utf-16")), letters.map(str.encode)
    ),
    st.sampled_from(["", *FORMATS]),
)
def test_any_bytes_give_sound_items_or_one_of_our_errors(data, file_format):
    try:
        _, items = read(data, file_format=file_format)
    except ShipfwdError as error:
        said = str(error)
        items = []
    else:
        said = "fine"
    assert said.isprintable()
    assert all(is_sound(item) for item in items)


@calm
@given(st.one_of(st.binary(max_size=200), soup.map(str.encode)), st.sampled_from([b",", b";", b"\t"]))
def test_any_bytes_below_a_good_header_are_rows_or_rejects_that_can_be_written(tmp_path, data, delimiter):
    source, items = read(
        delimiter.join([b"order_id", b"tracking_number", b"order_status", b"created_at"]) + b"\n" + data
    )
    assert all(is_sound(item) for item in items)
    rejected = [item for item in items if isinstance(item, Reject)]
    with Rejects(tmp_path / "r.csv") as out:
        for reject in rejected:
            out.add(source, reject)
    if rejected:
        again, second = read((tmp_path / "r.csv").read_bytes())
        assert again.header == [*source.header, "shipfwd_reason"]
        assert second or "\0" in data.decode("latin-1") or not data.strip()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("620022696408430119458408"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FIELDS, "x"]) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@calm
@given(st.lists(st.dictionaries(st.sampled_from([*FIELDS, "x"]), json_values, max_size=6), max_size=5), st.booleans())
def test_any_json_gives_one_item_for_each_record(records, as_lines):
    records = [{"order_id": "first", "order_status": "s"}, *records]
    text = "\n".join(map(json.dumps, records)) + "\n" if as_lines else json.dumps(records)
    source, items = read(text.encode(), file_format="jsonl" if as_lines else "json")
    assert [item.line for item in items] == list(range(1, len(records) + 1))
    assert all(is_sound(item) for item in items)


word = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=["Cc", "Cs", "Zs", "Cf"]),
    min_size=1,
    max_size=12,
)
orders = st.lists(
    st.tuples(
        word.filter(lambda w: w[0] not in "'=\"#"),
        st.integers(10**9, 10**24).map(str),
        st.text("ąęłóśżź Az", max_size=9),
    ),
    min_size=1,
    max_size=6,
)


@calm
@given(
    orders,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_csv_writes_comes_back_whatever_delimiter_and_encoding(lines, delimiter, encoding, newline):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline)
    writer.writerows([("Nr zamówienia", "Numer przesyłki", "Status"), *lines])
    source, items = read(out.getvalue().encode(encoding))
    assert source.delimiter == delimiter
    for item, (order, number, status) in zip(items, lines, strict=True):
        if isinstance(item, Row):
            assert (item.order_id, item.tracking_number, item.order_status) == (order, number, status.strip())
        else:
            assert "spreadsheet" in item.reason or "leading zeros" in item.reason


@calm
@given(st.text(max_size=40), st.sampled_from([*list(carriers.NAMES)[:16], "raben", "nobody", ""]))
def test_normalising_twice_changes_nothing(text, slug):
    once = carriers.normalise(text, slug)
    assert carriers.normalise(once, slug) == once
    assert models.tracking_key(once) == models.tracking_key(carriers.normalise(text, ""))
    carriers.damage(once, slug)
    assert all(isinstance(guess.why, str) for guess in carriers.detect(text))
    assert all(isinstance(said, str) for said in carriers.warnings(once, slug))


@calm
@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(text):
    once = carriers.fold(text)
    assert carriers.fold(once) == once
    assert carriers.fold(f" {text}\u00a0") == once


@calm
@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=30)))
def test_any_values_make_a_sound_row_or_a_sentence(values):
    try:
        made = make_row(values, zone=WARSAW, now=NOW, default_integration="shop")
    except ValueError as error:
        said = str(error)
        made = make_row({"order_id": "A", "order_status": "s"}, zone=WARSAW, now=NOW, default_integration="shop")
    else:
        said = "fine"
    assert said.isprintable()
    assert len(said) < 300
    assert is_sound(made)
    again = make_row(
        {
            "order_id": made.order_id,
            "carrier": made.carrier,
            "tracking_number": made.tracking_number,
            "order_status": made.order_status,
        },
        zone=WARSAW,
        now=NOW,
        default_integration="shop",
    )
    assert again.tracking_number == made.tracking_number
    assert again.carrier == made.carrier


@calm
@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2026, 12, 31)),
    st.sampled_from(["UTC", "Europe/Warsaw", "Asia/Tokyo", "America/New_York"]),
)
def test_a_ship_date_means_the_same_moment_in_every_zone(naive, name):
    zone = ZoneInfo(name)
    moment = naive.replace(tzinfo=zone, microsecond=0)
    if moment - NOW > timedelta(hours=24):
        return
    wanted = min(moment.astimezone(UTC), NOW)
    assert read_created_at(moment.isoformat(), WARSAW, NOW) == wanted
    assert read_created_at(naive.replace(microsecond=0).isoformat(" "), zone, NOW) == wanted
    assert read_created_at(f"{naive:%d.%m.%Y %H:%M:%S}", zone, NOW) == wanted


@calm
@given(st.text("0123456789-./: TZ+", max_size=25))
def test_any_date_text_gives_a_moment_until_now_or_a_sentence(text):
    try:
        found, said = read_created_at(text, WARSAW, NOW), "'fine'"
    except ValueError as error:
        found, said = NOW, str(error)
    assert found <= NOW
    assert said.startswith("'")


# ---- the short ways of a large file ---------------------------------------------------------------------


def rows_of(text: str, delimiter: str = ","):
    return list(readers.csv_rows(readers.Lines(io.StringIO(text, newline="")), delimiter))


@calm
@given(
    st.lists(st.sampled_from(["a", ",", "\n", "\r\n", "\r", '"', '""', "\0", " ", "ż", "\x85", "\u2028"]), max_size=40)
)
def test_lines_read_many_at_once_are_the_rows_that_they_are_one_by_one(parts):
    text = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers.Lines, "plain", left_to_be_looked_at)
        one_by_one = rows_of(text)
    assert rows_of(text) == one_by_one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "AT_ONCE", 3)  # blocks that end anywhere
        assert rows_of(text) == one_by_one


def left_to_be_looked_at(lines, delimiter):
    if not lines._again:
        lines._again = [line for line in (lines.text.readline(),) if line]
        lines.ended = not lines._again
    return []


CELLS = {
    "order_id": ["A-1", "101", "2026/1", " A-1", "ł", "", "=1", "'1", "a b", "1.23457E+12", "x" * 201],
    "tracking_number": [
        INPOST, f" {INPOST}", "6200 2269 6408 4301 1945 8408", "1Z999AA10123456784", "1Z999AA10123456785", "jd0146000",
        "620022696408430000000000", "6.2E+23", "0000123456789U", "123456789U", "59007730000000000", "ABCDEFGH", "-", "",
        "NO-1-2345", "12", "6200,6201", "00159007738888888888",
    ],
    "carrier": ["inpost", "InPost", "ups", "dpd", "poczta-polska", "gls", "nobody", "other", ""],
    "carrier_name": ["", "DHL"],
    "order_status": ["", "New", " new ", "N\tw"],
    "created_at": ["", " ", "2026-11-23", "2026-11-23T08:30:00Z", "soon", "2026-11-24"],
    "tracking_url": ["", " ", "https://t.test/1", "nowhere"],
    "item_id": ["", "L1"],
    "quantity": ["", "2", "x"],
}  # fmt: skip
tables = st.lists(st.sampled_from(list(CELLS)), min_size=1, unique=True).flatmap(
    lambda header: st.tuples(
        st.just(header), st.lists(st.tuples(*(st.sampled_from(CELLS[field]) for field in header)), max_size=12)
    )
)


@calm
@given(tables)
def test_a_row_that_one_look_tells_is_what_all_looks_say(table):
    header, lines = table
    checker = Checker(WARSAW, NOW, "shop", {"shop": 1})
    records = [(line, list(cells)) for line, cells in enumerate([*lines, *lines], 2)]  # twice: words are remembered
    found = list(checker.rows(records, {field: at for at, field in enumerate(header)}, len(header)))
    said = []
    for line, cells in enumerate([*lines, *lines], 2):
        try:
            values = dict(zip(header, cells, strict=True))
            said.append(
                make_row(values, line=line, zone=WARSAW, now=NOW, default_integration="shop", integrations={"shop": 1})
            )
        except ValueError as error:
            if any(cell.strip() for cell in cells):
                said.append(Reject(line, str(error), list(cells)))
    assert [item if isinstance(item, Reject) else whole(item) for item in found] == said


@calm
@given(
    st.sampled_from([*carriers._SHAPED, "nobody", ""]),
    st.one_of(
        st.sampled_from(CELLS["tracking_number"]),
        st.from_regex(r"[0-9A-Z]{0,3}[0-9]{3,24}[0-9A-Z]?0{0,6}", fullmatch=True),
        st.text("0123456789AZ-", max_size=30),
    ),
)
def test_a_usual_number_has_nothing_to_be_said_of_it(slug, number):
    usual = bool(carriers.usual(slug)(number))
    assert usual <= (carriers.damage(number, slug) == "" and carriers.warnings(number, slug) == [])
    assert usual <= (carriers.normalise(number, slug) == models.tracking_key(number) == number)
    assert usual <= (len(number) >= 4 and not number.isalpha())


@pytest.mark.parametrize(
    ("slug", "number", "usual"),
    [
        ("inpost", INPOST, True), ("inpost", INPOST[1:], False), ("dpd", "0000123456789U", True), ("", "ABC123", True),
        ("ups", "1Z999AA10123456784", False), ("ups", "123456789", True), ("nobody", "ABCDEF", False),
        ("royal-mail", "AB123456785GB", False), ("inpost", INPOST + "\n", False),
    ],
)  # fmt: skip
def test_most_numbers_are_told_by_one_look(slug, number, usual):
    assert bool(carriers.usual(slug)(number)) == usual
