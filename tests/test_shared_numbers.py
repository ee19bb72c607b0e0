"""One number on several orders: a warning, whoever brought them in and however long ago."""

from __future__ import annotations

import pytest

A, B = "620022696408430119458408", "620022696408430119458416"
HEAD = "integration,order_id,tracking_number,carrier\n"


@pytest.fixture
def two(shop):
    shop.add("shop")
    shop.add("other")
    return shop


def test_add_warns_of_a_number_that_another_order_has(two):
    two.run("add", "101", A, "-i", "shop", "--no-forward")
    said = two.run("add", "202", "6200 2269 6408 4301 1945 8408", "-i", "other", "--no-forward")
    assert said.code == 0
    assert (
        f"{A} of order 202 of other (shipment 2) is also used on order 101 of shop (shipment 1); "
        "right if they are in one parcel; if not: shipfwd drop 2"
    ) in said.err
    assert two.states() == {"101": "pending", "202": "pending"}


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (f"shop,102,{A},inpost\nshop,103,{B},inpost\n", ["order 102 of shop", "order 101 of shop (shipment 1)"]),
        (f"shop,102,{B},inpost\nother,101,{B},inpost\n", ["order 102 of shop", "order 101 of other"]),
    ],
)
def test_an_import_warns_of_those_that_are_there_and_of_its_own(two, rows, named, dry):
    two.run("add", "101", A, "-i", "shop", "--no-forward")
    said = two.run("import", two.file("rows.csv", HEAD + rows), "--no-forward", *(["--dry-run"] if dry else []))
    assert said.code == 0
    (line,) = (line for line in said.err.splitlines() if "is also used on" in line)
    assert all(name in line for name in named)
    assert ("shipfwd drop" in line) is not dry


@pytest.mark.parametrize(
    "rows",
    [
        f"shop,101,{A},inpost\n",  # known
        f"shop,101,{A},inpost\nshop,101,{A},inpost\n",  # one shipment on two lines
        f"shop,102,{B},inpost\nshop,103,,\n",
    ],
)
def test_nothing_is_said_of_what_stands_on_one_order(two, rows):
    two.run("add", "101", A, "-i", "shop", "--no-forward")
    assert "also used" not in two.run("import", two.file("rows.csv", HEAD + rows), "--no-forward").err


def test_the_same_file_again_warns_no_more_and_a_dropped_one_does_not_count(two):
    path = two.file("rows.csv", f"{HEAD}shop,1,{A},inpost\nshop,2,{A},inpost\n")
    assert "also used" in two.run("import", path, "--no-forward").err
    assert "also used" not in two.run("import", path, "--no-forward").err
    two.run("drop", "1", "2")
    assert "also used" not in two.run("add", "3", A, "-i", "shop", "--no-forward").err


def test_many_are_counted(two):
    rows = "".join(f"{name},{n},{A[:-2]}{n:02},inpost\n" for n in range(12) for name in ("shop", "other"))
    said = two.run("import", two.file("rows.csv", HEAD + rows), "--no-forward")
    assert said.err.count("is also used on") == 10
    assert "rows.csv: 12 numbers are used on several orders" in said.err


def test_show_names_the_other_orders(two):
    two.run("add", "101", A, "-i", "shop", "--no-forward")
    assert "The same number" not in two.run("show", "1").out
    two.run("add", "202", A, "-i", "other", "--no-forward")
    assert (
        "The same number is on order 202 of other (shipment 2) too: right if they are in one parcel."
        in two.run("show", "1").out
    )


def test_it_costs_no_look_at_the_table(two):
    two.run("add", "101", A, "-i", "shop", "--no-forward")
    from shipfwd.store import Store, opened, shared

    store = Store(two.db, opened(two.db), two.clock)
    try:
        plan = store.plan(shared._OLD.format(new=shared._NEW), {"before": 1, "run": 1, "most": 1})
    finally:
        store.close()
    assert "COVERING INDEX sqlite_autoindex_shipments_1" in plan
