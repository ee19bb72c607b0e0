"""`import --dry-run` shows what would happen; a missing carrier is filled in only when sure; rejects come back."""

from __future__ import annotations

import pytest

INPOST = "620022696408430119458408"
OTHER = "620022696408430119458416"
DPD = "0000123456789U"


def lines(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


# ---- --dry-run ----------------------------------------------------------------------------------------------


@pytest.fixture
def both(shop):
    shop.add()
    shop.add("later", "woocommerce", "--trigger", "status:Shipped")
    shop.add("off", "woocommerce", "--disabled")
    shop.run("add", "1", INPOST, "-i", "shop", "--carrier", "inpost")
    return shop


def test_a_carrier_without_a_name_there_is_foreseen_as_blocked(both):
    rows = f"order_id,tracking_number,carrier\n2,{OTHER},\n3,KR-2026-01,bicycle\n4,KR-2026-02,mapped\n"
    both.run("carriers", "map", "-i", "shop", "mapped=Bikes")
    said = both.run("import", both.file("a.csv", rows), "-i", "shop", "--dry-run")
    assert [row[-1] for row in lines(said.out) if row[0].isdigit()] == [
        "new; sent at once",
        "new; blocked: WooCommerce has no name for carrier 'bicycle' (shipfwd carriers map)",
        "new; sent at once",
    ]
    both.run("forward", "--dry-run")
    stored = both.run("import", both.folder / "a.csv", "-i", "shop")
    assert "1 blocked" in stored.out


def test_the_columns_and_the_first_rows_are_shown_on_stdout(both):
    file = both.file(
        "a.csv",
        "integracja;Nr zamówienia;Nr przesyłki;Kurier;Status;Data nadania;Uwagi\n"
        f"shop;1;{INPOST};InPost;;;\n"
        f"shop;2;{OTHER};InPost;;;x\n"
        f"later;3;0000123456781U;DPD;Packed;;\n"
        f"later;4;0000123456782U;DPD;shipped;;\n"
        f"shop;5;6,20022E+23;InPost;;;\n"
        f"off;6;0000123456783U;DPD;;;\n"
        f"shop;7;{DPD};DPD;;2026-11-01;\n"
        "shop;8;;;Shipped;;\n",
    )
    said = both.run("import", file, "--dry-run")
    assert said.code == 1
    table = lines(said.out)
    assert ["order_id", "Nr zamówienia"] in table
    assert ["(not used)", "Uwagi"] in table
    assert [row[-1] for row in table if row[0].isdigit()] == [
        "known as shipment 1, forwarded",
        "new; sent at once",
        "new; waits for its order to reach 'Shipped'",
        "new; sent by the next sweep",
        "rejected: a spreadsheet shortened the number to 6,20022E+23 and its digits are lost; "
        "format the column as text and export the file again",
        "new; waits, forwarding is off",
        "new, but older than 72 hours: it would not be sent",
        "its order moves to 'Shipped'",
    ]
    assert said.out.splitlines()[-1] == "8 rows, 5 added, 1 known, 1 rejected"
    assert len(both.json("status")) == 1


def test_only_the_first_rows_are_shown_and_all_are_counted(both):
    rows = "".join(f"{n},{n:013}U,dpd\n" for n in range(100, 200))
    said = both.run(
        "import", both.file("a.csv", "order_id,tracking_number,carrier\n" + rows), "-i", "shop", "--dry-run"
    )
    assert sum(row[0].isdigit() for row in lines(said.out)) == 10
    assert said.out.splitlines()[-1] == "100 rows, 100 added"


def test_json_stays_one_object_of_counts(both):
    file = both.file("a.csv", f"order_id,tracking_number\n2,{OTHER}\n")
    assert both.json("import", file, "-i", "shop", "--dry-run") == {"rows": 1, "added": 1, "known": 0, "rejected": 0}


# ---- a missing carrier --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "number", "carrier"),
    [
        (("inpost", INPOST), OTHER, "inpost"),
        (("inpost", INPOST), DPD, ""),  # a sure shape, but of nobody that is used here
        (("dpd", "0000123456780U"), "12345678901234", ""),  # only likely
        (("gls", "12345678901"), "12345678902", ""),
    ],
)
def test_a_missing_carrier_is_filled_in_only_from_those_in_use_and_only_when_sure(shop, used, number, carrier):
    shop.add()
    shop.run("add", "1", used[1], "-i", "shop", "--carrier", used[0], "--no-forward")
    said = shop.run(
        "import", shop.file("a.csv", f"order_id,tracking_number\n2,{number}\n"), "-i", "shop", "--no-forward"
    )
    assert shop.status()[2]["carrier"] == carrier
    assert ("1 without a carrier; by their numbers they are" in said.err) is bool(carrier)


def test_two_carriers_that_could_be_it_are_not_chosen_between(shop):
    shop.add()
    for n, carrier in enumerate(("pocztex", "poczta-polska")):
        shop.run("add", f"A{n}", f"PX123456789{n}", "-i", "shop", "--carrier", carrier, "--no-forward")
    shop.run("add", "B", "PX1234567899", "-i", "shop", "--no-forward")
    assert shop.status()[3]["carrier"] == ""


def test_another_integrations_carriers_do_not_count(shop):
    shop.add()
    shop.add("second")
    shop.run("add", "1", INPOST, "-i", "second", "--carrier", "inpost", "--no-forward")
    shop.run("add", "2", OTHER, "-i", "shop", "--no-forward")
    assert shop.status()[2]["carrier"] == ""


def test_a_carrier_that_was_given_is_never_overridden(shop):
    shop.add()
    shop.run("add", "1", INPOST, "-i", "shop", "--carrier", "inpost", "--no-forward")
    shop.run("add", "2", OTHER, "-i", "shop", "--carrier", "gls", "--no-forward")
    shop.run("import", shop.file("a.csv", f"order_id,tracking_number\n2,{OTHER}\n"), "-i", "shop", "--no-forward")
    assert shop.status()[2]["carrier"] == "gls"


def test_carriers_of_the_same_file_count_as_in_use(shop):
    shop.add()
    file = shop.file("a.csv", f"order_id,tracking_number,carrier\n1,{INPOST},InPost\n2,{OTHER},\n")
    shop.run("import", file, "-i", "shop", "--no-forward")
    assert {row["carrier"] for row in shop.json("status")} == {"inpost"}


# ---- rejects ------------------------------------------------------------------------------------------------


def test_rejects_are_mended_and_imported_again(shop):
    shop.add()
    file = shop.file("a.csv", f"order_id;tracking_number;carrier\n1;{INPOST};inpost\n2;6,20022E+23;inpost\n")
    rejects = shop.folder / "rejects.csv"
    assert shop.run("import", file, "-i", "shop", "--rejects", rejects).code == 1
    text = rejects.read_text()
    assert text.splitlines()[0] == "order_id;tracking_number;carrier;shipfwd_reason"
    rejects.write_text(text.replace("6,20022E+23", OTHER))
    assert shop.json("import", rejects, "-i", "shop")["forwarded"] == 1
    assert shop.states() == {"1": "forwarded", "2": "forwarded"}


# ---- said at import -----------------------------------------------------------------------------------------


def test_what_is_older_than_the_window_is_said_plainly(shop):
    shop.add("later", "woocommerce", "--trigger", "status:Shipped")
    said = shop.run("add", "1", INPOST, "-i", "later", "--carrier", "inpost", "--created-at", "2026-11-20T11:00:00Z")
    assert said.code == 1
    assert "it is older than 72 hours since 2026-11-23 12:00, so no sweep sends it" in said.err
    assert "to send it all the same: shipfwd forward 1" in said.err


def test_what_leaves_its_window_before_the_next_sweep_is_said(shop):
    shop.add("later", "woocommerce", "--trigger", "status:Shipped")
    said = shop.run("add", "1", INPOST, "-i", "later", "--carrier", "inpost", "--created-at", "2026-11-20T12:10:00Z")
    assert "it will not be sent after 2026-11-23 13:10, and no sweep comes before that" in said.err


def test_several_that_no_sweep_reaches_are_told_with_the_end_of_the_first_and_all_their_ids(shop):
    """One time for all of them would be untrue for each but one."""
    shop.add("later", "woocommerce", "--trigger", "status:Shipped")
    lines = [f"{n},{INPOST},inpost,New,2026-11-20T{hour}:00Z" for n, hour in enumerate(("11:30", "11:00"), 1)]
    late = shop.file("late.csv", "\n".join(["order_id,tracking_number,carrier,order_status,created_at", *lines]))
    said = shop.run("import", late, "-i", "later")
    assert "they are older than 72 hours, the first of them since 2026-11-23 12:00, so no sweep sends them" in said.err
    assert "to send them all the same: shipfwd forward 2 1" in said.err
