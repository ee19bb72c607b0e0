"""What holds for any input: nothing but our own errors, nothing lost, nothing changed twice."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipfwd import carriers, models
from shipfwd.errors import ShipfwdError
from shipfwd.importer import FIELDS, FORMATS, Reject, Row, Source, make_row, read_created_at
from shipfwd.rejects import Rejects

WARSAW = ZoneInfo("Europe/Warsaw")
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
    return source, list(source)


def is_sound(item) -> bool:
    if isinstance(item, Reject):
        return item.line >= 1 and item.reason.isprintable() and len(item.reason) < 500
    return (
        bool(item.order_id and item.integration)
        and bool(item.tracking_number or item.order_status)
        and all(isinstance(value, str) for value in item[1:7])
        and item.tracking_number.isascii()
        and len(item.tracking_number) <= 100
        and (item.created_at is None or item.created_at <= NOW)
        and bool(json.dumps(item[1:7], ensure_ascii=False).encode())  # no half characters
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
