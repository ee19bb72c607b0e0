"""What is said when something is wrong reads like a colleague's advice: what, to what, and what to do next."""

from __future__ import annotations

import pytest

INPOST = "620022696408430119458408"


@pytest.fixture
def one(shop):
    shop.add()
    shop.run("add", "A-1", INPOST, "-i", "shop", "--no-forward")
    return shop


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("forward", "A-1"), "'A-1' is no shipment's number; those of an order: shipfwd status -o A-1"),
        (("show", "A 1"), "'A 1' is no shipment's number; those of an order: shipfwd status -o 'A 1'"),
        (("drop", "x"), "'x' is no shipment's number; those of an order: shipfwd status -o x"),
        (
            ("integration", "edit", "shop"),
            "say what to change: --set, --secret, --trigger, --status-transfer or --name",
        ),
        (
            ("integration", "edit", "shop", "--set", "base_url=https://shop.example/wp-json/"),
            "base_url is the shop's address, without /wp-json: https://shop.example",
        ),
        (("config", "set", "window_hours", "-1"), "-1 hours is out of range; 1 to 8760 make sense"),
        (("status", "--watch"), "--watch draws on a terminal, and this is none (a pipe, a file, or TERM=dumb)"),
        (("sweep", "--ping", "foo"), "--ping takes an address that begins with https://, not 'foo'"),
        (
            ("add", "A-2", INPOST, "-i", "shop", "--created-at", "2036-01-01"),
            "'2036-01-01' is more than 24 hours ahead; a ship date is expected",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_2_and_says_the_way_out(one, args, said):
    got = one.run(*args)
    assert (got.code, got.err) == (2, f"shipfwd: {said}\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("status", "--limit", "x"), "'x' is not a whole number from 0"),
        (("order", "list", "--limit", "-1"), "'-1' is not a whole number from 0"),
        (("forward", "--deadline", "0"), "'0' is not a number of minutes above 0"),
        (("sweep", "--deadline", "nan"), "'nan' is not a number of minutes above 0"),
        (("prune", "--older-than", "0"), "'0' is not a whole number of days from 1"),
        (("simulate", "--port", "65536"), "'65536' is not a port: 0 to 65535"),
    ],
)
def test_a_wrong_number_is_told_what_would_be_a_right_one(one, args, said):
    got = one.run(*args)
    assert got.code == 2
    assert f"Invalid value for '{args[-2]}': {said}\n" in got.err


@pytest.mark.parametrize("end", ["", "-wal", ".vault"])
@pytest.mark.parametrize(
    "args",
    [
        ("status", "--format", "html", "--output"),
        ("sweep", "--report"),
        ("sweep", "--metrics"),
        ("import", "nofile.csv", "-i", "shop", "--rejects"),
    ],
)
def test_nothing_is_written_over_the_database(one, args, end):
    before = one.db.read_bytes()
    got = one.run(*args, f"{one.db}{end}")
    assert (got.code, got.err) == (
        2, f"shipfwd: {one.db}{end} belongs to shipfwd's database; name another file to write to\n",
    )  # fmt: skip
    assert one.db.read_bytes() == before
    assert one.states() == {"A-1": "pending"}


def test_nor_is_a_trace_written_into_it(one):
    assert one.run("--trace", one.db, "sweep").code == 2
    assert one.states() == {"A-1": "pending"}


@pytest.mark.parametrize(
    ("args", "code"),
    [(("status", "--output"), 3), (("sweep", "--report"), 0), (("sweep", "--metrics"), 0)],
)
def test_a_folder_that_is_not_there_is_named(one, args, code):
    gone = one.folder / "gone"
    one.run("drop", "1")
    got = one.run(*args, gone / "x")
    assert got.code == code
    assert f"cannot write {gone / 'x'}: there is no folder {gone}" in got.err


def test_a_folder_in_the_place_of_the_database_is_named(one):
    got = one.run("--db", one.folder, "sweep")
    assert got.code == 3
    assert f"{one.folder} is a folder; name a file in it: --db {one.folder / 'shipfwd.db'}" in got.err


def test_what_could_not_be_sent_at_once_says_why(one):
    one.run("integration", "edit", "shop", "--set", "base_url=http://127.0.0.1:9")
    got = one.run("add", "A-2", INPOST, "-i", "shop", "--carrier", "inpost")
    assert got.code == 4
    assert "shipment 2: retrying: 127.0.0.1:9" in got.err
    assert "again 2026-11-23" in got.err
    assert "retrying" not in one.run("-q", "forward").err
