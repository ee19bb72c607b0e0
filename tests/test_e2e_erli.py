"""Erli against its stand-in, over a real socket, through the command line."""

from __future__ import annotations

import pytest

READY, OTHER, SENT = "261123x0001", "261123x0002", "261123x0007"
NUMBER, SECOND = "620000000000000000000001", "620000000000000000000002"


@pytest.fixture
def erli(sim, shop):
    stand = sim.platform("erli")
    stand.seed()
    shop.add("erli", "erli")
    return stand


def add(shop, order, number, *more):
    return shop.run("add", order, number, "-i", "erli", "--carrier", "inpost", *more)


def test_a_number_is_sent_its_id_kept_and_the_order_marked(sim, shop, erli):
    assert add(shop, READY, NUMBER).code == 0
    (row,) = shop.json("status")
    assert row["remote_id"] == str(erli.orders[READY].rows[0]["id"])
    assert row["confirmed_at"]
    assert row["status_sent_at"]
    assert erli.orders[READY].more["seller"] == "sent"
    assert shop.run("forward", row["id"], "--again").code == 0
    assert shop.run("sweep").code == 0
    assert erli.numbers(READY) == [NUMBER]


def test_a_lost_answer_is_found_once_the_order_shows_it(sim, shop, erli):
    erli.lag_seconds = 1200
    sim.fail_next("erli", "drop", match="POST /shipping/external")
    assert add(shop, READY, NUMBER).code == 4
    shop.clock.forward(minutes=10)
    sim.advance(600)
    assert shop.run("forward", 1).code == 4  # not shown yet, and still too early to send again
    shop.clock.forward(minutes=21)
    sim.advance(21 * 60)
    assert shop.run("forward").code == 0
    assert erli.numbers(READY) == [NUMBER]
    assert shop.json("status")[0]["status_sent_at"]


def test_a_request_that_never_arrived_is_sent_after_the_wait(sim, shop, erli):
    sim.fail_next("erli", "close", match="POST /shipping/external")
    add(shop, READY, NUMBER)
    shop.clock.forward(minutes=31)
    assert shop.run("forward").code == 0
    assert erli.numbers(READY) == [NUMBER]


def test_a_lost_second_parcel_is_left_to_a_person(sim, shop, erli):
    add(shop, READY, NUMBER)
    sim.fail_next("erli", "close", match="POST /shipping/external")
    assert add(shop, READY, SECOND).code == 4
    shop.clock.forward(minutes=31)
    assert shop.run("forward").code == 1
    assert "may have arrived" in {row["id"]: row["reason"] for row in shop.json("status")}[2]
    assert shop.run("settle", 2, "--not-arrived").code == 0
    assert shop.run("forward", 2).code == 0
    assert erli.numbers(READY) == [NUMBER, SECOND]


def test_two_parcels_stand_beside_each_other(sim, shop, erli):
    add(shop, READY, NUMBER)
    assert add(shop, READY, SECOND).code == 0
    assert erli.numbers(READY) == [NUMBER, SECOND]
    assert shop.run("forward", 1, "--again").code == 0
    assert erli.numbers(READY) == [NUMBER, SECOND]


def test_a_correction_changes_the_parcel_by_its_id(sim, shop, erli):
    add(shop, READY, NUMBER)
    assert shop.run("correct", 1, SECOND, "--yes").code == 0
    assert erli.numbers(READY) == [SECOND]


def test_a_carrier_without_a_name_there_sends_nothing(sim, shop, erli):
    assert shop.run("add", READY, "Z1234567890", "-i", "erli", "--carrier", "packeta").code == 1
    assert not sim.calls("erli", "POST")
    assert shop.json("status")[0]["state"] == "blocked"


def test_an_order_that_is_sent_gets_its_number_and_keeps_its_state(sim, shop, erli):
    assert add(shop, SENT, NUMBER).code == 0
    assert erli.numbers(SENT) == [NUMBER]
    assert not sim.calls("erli", "PATCH")
