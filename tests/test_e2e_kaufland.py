"""Kaufland against its stand-in, over a real socket, through the command line."""

from __future__ import annotations

import pytest

ONE, THREE, POLISH, CANCELLED, UNPAID, STRANGERS, THEIRS = (f"MSIM00{n}" for n in range(1, 8))
NUMBER, SECOND, THIRD = "00340434161094042557", "00340434161094042564", "1Z12345E0205271688"
SEND = "PATCH /order-units/[0-9]+/send"


@pytest.fixture
def kaufland(sim, shop):
    """The stand-in's clock is ours: a signature holds the second it was made in."""
    stand = sim.platform("kaufland")
    stand.now = lambda: shop.clock().timestamp()
    stand.seed()
    shop.add("kaufland", "kaufland")
    return stand


def add(shop, order, number, *more, carrier="dhl"):
    return shop.run("add", order, number, "-i", "kaufland", "--carrier", carrier, *more)


def reasons(shop):
    return {row["id"]: row["reason"] for row in shop.json("status")}


def test_every_unit_gets_the_number_once_however_often_one_asks(sim, shop, kaufland):
    assert add(shop, THREE, NUMBER).code == 0
    (row,) = shop.json("status")
    assert row["status_sent_at"] == row["forwarded_at"]
    assert row["confirmed_at"] is None
    assert row["reason"] == "accepted, not read back yet"
    for command in (("forward", 1, "--again"), ("sweep",), ("forward",)):
        assert shop.run(*command).code == 0
    shop.clock.forward(days=3)
    assert shop.run("sweep").code == 0
    assert kaufland.numbers(THREE) == [NUMBER]
    assert len(sim.calls("kaufland", SEND)) == len(kaufland.mails) == 3


def test_check_names_nobody_and_checks_the_storefront(shop, kaufland):
    assert shop.json("integration", "check")[0]["ok"]
    assert shop.run("integration", "edit", "kaufland", "--set", "storefront=it").code == 0
    said = shop.run("integration", "check")
    assert said.code == 3
    assert "no storefront 'it' at Kaufland; there are de, pl" in said.err


def test_a_lost_answer_is_found_by_the_units_state(sim, shop, kaufland):
    sim.fail_next("kaufland", "drop", match=SEND)
    assert add(shop, ONE, NUMBER).code == 4
    assert shop.json("status")[0]["state"] == "retrying"
    shop.clock.forward(minutes=6)
    assert shop.run("forward").code == 0
    (row,) = shop.json("status")
    assert row["state"] == "forwarded"
    assert row["confirmed_at"] is None
    assert kaufland.numbers(ONE) == [NUMBER]
    assert len(kaufland.mails) == 1


def test_a_request_that_never_arrived_is_sent_after_the_wait(sim, shop, kaufland):
    sim.fail_next("kaufland", "close", match=SEND)
    assert add(shop, ONE, NUMBER).code == 4
    shop.clock.forward(minutes=2)
    assert shop.run("forward", 1).code == 4
    assert kaufland.numbers(ONE) == []
    shop.clock.forward(minutes=4)
    assert shop.run("forward").code == 0
    assert kaufland.numbers(ONE) == [NUMBER]


@pytest.mark.parametrize("kind", ["drop", "close", "502", "502-after", "reset"])
@pytest.mark.parametrize("unit", [0, 1, 2])
def test_an_order_that_broke_off_at_a_unit_goes_on_where_it_broke_off(sim, shop, kaufland, kind, unit):
    sim.fail_next("kaufland", kind, match=SEND, skip=unit)
    assert add(shop, THREE, NUMBER).code == 4
    for _ in range(3):
        shop.clock.forward(minutes=6)
        shop.run("forward")
    assert shop.json("status")[0]["state"] == "forwarded"
    assert [kaufland.numbers(THREE), kaufland.doubles()] == [[NUMBER], {}]
    assert len(kaufland.mails) == 3


def test_a_run_that_died_in_the_middle_is_taken_up_by_the_state(sim, shop, kaufland):
    add(shop, THREE, NUMBER, "--no-forward")
    sim.fail_next("kaufland", "drop", match=SEND, skip=1)
    assert shop.run("forward").code == 4
    assert [line.more["status"] for line in kaufland.orders[THREE].lines] == ["sent", "sent", "need_to_be_sent"]
    shop.clock.forward(minutes=6)
    assert shop.run("forward").code == 0
    assert kaufland.numbers(THREE) == [NUMBER]


def test_parcels_that_come_together_are_joined_and_later_ones_added(sim, shop, kaufland):
    add(shop, THREE, NUMBER, "--no-forward")
    add(shop, THREE, SECOND, "--no-forward")
    assert shop.run("forward").code == 0
    assert len(sim.calls("kaufland", SEND)) == 3
    assert add(shop, THREE, THIRD, carrier="ups").code == 0
    assert kaufland.numbers(THREE) == [NUMBER, SECOND, THIRD]
    assert len(sim.calls("kaufland", "POST /shipments")) == 3


def test_joined_parcels_that_were_lost_together_are_found_together(sim, shop, kaufland):
    add(shop, ONE, NUMBER, "--no-forward")
    add(shop, ONE, SECOND, "--no-forward")
    sim.fail_next("kaufland", "drop", match=SEND)
    assert shop.run("forward").code == 4
    shop.clock.forward(minutes=6)
    assert shop.run("forward").code == 0
    assert set(shop.states().values()) == {"forwarded"}
    assert kaufland.numbers(ONE) == [NUMBER, SECOND]


def test_a_lost_shipment_that_was_added_is_left_to_a_person(sim, shop, kaufland):
    add(shop, ONE, NUMBER)
    sim.fail_next("kaufland", "drop", match="POST /shipments")
    said = add(shop, ONE, SECOND)
    assert said.code == 1
    assert "may have arrived; check at Seller Portal > Manage orders > MSIM001" in reasons(shop)[2]
    shop.clock.forward(minutes=10)
    shop.run("sweep")
    assert kaufland.numbers(ONE) == [NUMBER, SECOND]
    assert shop.run("settle", 2, "--arrived").code == 0
    assert shop.run("sweep").code == 0
    assert kaufland.numbers(ONE) == [NUMBER, SECOND]


def test_a_second_parcel_waits_for_the_end_of_the_doubt_about_the_first(sim, shop, kaufland):
    sim.fail_next("kaufland", "drop", match=SEND)
    assert add(shop, ONE, NUMBER).code == 4
    add(shop, ONE, SECOND)
    assert kaufland.numbers(ONE) == [NUMBER]
    shop.clock.forward(minutes=6)
    assert shop.run("forward").code == 0
    assert kaufland.numbers(ONE) == [NUMBER, SECOND]
    assert len(sim.calls("kaufland", "POST /shipments")) == 1


def test_what_somebody_else_sent_is_left_to_a_person(sim, shop, kaufland):
    assert add(shop, STRANGERS, NUMBER).code == 1
    assert "it was sent already, and not with what number" in reasons(shop)[1]
    assert not sim.calls("kaufland", "PATCH|POST")


@pytest.mark.parametrize(
    ("order", "state", "code"),
    [(CANCELLED, "failed", 1), (UNPAID, "retrying", 4), (THEIRS, "blocked", 1), ("MNOSUCH9", "failed", 1)],
)
def test_orders_that_cannot_take_a_number(sim, shop, kaufland, order, state, code):
    sim.auto_orders = kaufland.auto_orders = False
    assert add(shop, order, NUMBER).code == code
    assert shop.json("status")[0]["state"] == state
    assert kaufland.numbers(order) == []


def test_a_refused_key_rests_the_integration(shop, kaufland):
    kaufland.client_key = "SECRET-another"
    said = add(shop, ONE, NUMBER)
    assert said.code == 3
    assert "Kaufland refuses the keys" in said.err
    assert shop.json("status")[0]["state"] == "pending"


def test_a_clock_that_is_wrong_is_named(shop, kaufland):
    kaufland.now = lambda: shop.clock().timestamp() + 3600
    said = add(shop, ONE, NUMBER)
    assert said.code == 3
    assert "Shop-Timestamp is out of range" in said.err


def test_each_attempt_is_signed_for_its_own_second(sim, shop, kaufland, monkeypatch):
    """The stand-in checks every signature; the clock moves on while the first attempt waits."""
    monkeypatch.setattr("shipfwd.runs.Run.wait", lambda self, seconds: shop.clock.forward(seconds=seconds))
    kaufland.retry_after = 7
    sim.fail_next("kaufland", "429", match=SEND)
    assert add(shop, ONE, NUMBER).code == 0
    calls = sim.calls("kaufland", SEND)
    assert int(calls[1].header("shop-timestamp")) - int(calls[0].header("shop-timestamp")) >= 5
    assert calls[0].header("shop-signature") != calls[1].header("shop-signature")
    assert kaufland.numbers(ONE) == [NUMBER]


def test_a_dry_run_shows_the_write_without_its_secrets(sim, shop, kaufland):
    add(shop, ONE, NUMBER, "--no-forward")
    said = shop.run("forward", "--dry-run")
    assert said.code == 0
    assert f'"tracking_numbers":"{NUMBER}"' in said.out
    assert "SECRET" not in said.out + said.err
    assert not sim.calls("kaufland", "PATCH|POST")


def test_a_correction_adds_the_new_number_and_says_that_the_old_one_stays(shop, kaufland):
    add(shop, ONE, NUMBER)
    said = shop.run("correct", 1, SECOND, "--yes")
    assert said.code == 0
    assert f"{SECOND} was added; {NUMBER} cannot be removed" in said.err
    assert kaufland.numbers(ONE) == [NUMBER, SECOND]
