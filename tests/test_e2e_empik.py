"""Empik against its stand-in, over a real socket, through the command line."""

from __future__ import annotations

import pytest

READY, OTHER, WAITS, SHIPPED = "10000000-A", "10000000-B", "10000000-E", "10000000-G"
NUMBER, SECOND = "620000000000000000000001", "620000000000000000000002"


@pytest.fixture
def empik(sim, shop):
    stand = sim.platform("empik")
    stand.seed()
    shop.add("empik", "empik")
    return stand


def add(shop, order, number, *more):
    return shop.run("add", order, number, "-i", "empik", "--carrier", "inpost", *more)


def written(sim):
    return [call.label for call in sim.calls("empik", "^(PUT|POST) ")]


def test_the_number_comes_first_and_then_the_status(sim, shop, empik):
    assert add(shop, READY, NUMBER).code == 0
    assert written(sim) == [f"PUT /api/orders/{READY}/tracking", f"PUT /api/orders/{READY}/ship"]
    assert (empik.numbers(READY), empik.orders[READY].status) == ([NUMBER], "SHIPPED")
    assert [mail.numbers for mail in empik.mails] == [(NUMBER,)]
    (row,) = shop.json("status")
    assert row["status_sent_at"]
    assert row["confirmed_at"] is None
    assert shop.run("sweep").code == 0
    assert shop.json("status")[0]["confirmed_at"]
    assert shop.run("forward", row["id"], "--again").code == 0
    assert len(written(sim)) == 2


def test_the_list_of_carriers_is_asked_for_once_a_day(sim, shop, empik):
    add(shop, READY, NUMBER)
    add(shop, OTHER, SECOND)
    assert len(sim.calls("empik", "carriers")) == len(sim.calls("empik", "configuration")) == 1
    shop.clock.forward(hours=25)
    add(shop, SHIPPED, "620000000000000000000003")
    assert len(sim.calls("empik", "carriers")) == len(sim.calls("empik", "configuration")) == 2


def test_a_second_parcel_never_replaces_the_first(sim, shop, empik):
    add(shop, READY, NUMBER)
    said = add(shop, READY, SECOND)
    assert said.code == 1
    assert empik.numbers(READY) == [NUMBER]
    assert [row["state"] for row in sorted(shop.json("status"), key=lambda row: row["id"])] == ["forwarded", "blocked"]


def test_a_lost_number_is_sent_again_and_stands_there_once(sim, shop, empik):
    sim.fail_next("empik", "drop", match="PUT .*tracking")
    assert add(shop, READY, NUMBER).code == 0
    assert empik.numbers(READY) == [NUMBER]
    assert empik.orders[READY].status == "SHIPPED"


def test_a_lost_status_is_asked_again_and_the_400_counts_as_done(sim, shop, empik):
    sim.fail_next("empik", "drop", match="PUT .*ship$")
    assert add(shop, READY, NUMBER).code == 0
    assert [call.status for call in sim.calls("empik", "PUT .*ship$")] == [None, 400]
    assert len(empik.mails) == 1
    assert shop.json("status")[0]["status_sent_at"]


def test_a_number_without_its_status_is_marked_by_a_later_run(sim, shop, empik):
    sim.fail_next("empik", "503", match="PUT .*ship$", times=3)
    assert add(shop, READY, NUMBER).code == 4
    assert shop.json("status")[0]["reason"].startswith("number is there; marking as sent failed")
    shop.clock.forward(minutes=3)
    assert shop.run("forward").code == 0
    assert empik.orders[READY].status == "SHIPPED"
    assert written(sim).count(f"PUT /api/orders/{READY}/tracking") == 1


def test_an_order_that_is_not_accepted_yet_is_tried_again_after_an_hour(sim, shop, empik):
    assert add(shop, WAITS, NUMBER).code == 4
    assert "accept it" in shop.json("status")[0]["reason"]
    empik.orders[WAITS].status = "SHIPPING"
    shop.clock.forward(minutes=30)
    assert shop.run("forward").code == 0
    assert empik.numbers(WAITS) == []
    shop.clock.forward(minutes=45)
    assert shop.run("forward").code == 0
    assert empik.numbers(WAITS) == [NUMBER]


def test_many_orders_are_looked_up_in_one_call(sim, shop, empik):
    orders = [f"20000{n:03d}-A" for n in range(12)]
    for n, order in enumerate(orders):
        add(shop, order, f"6200000000000000000001{n:02d}", "--no-forward")
    assert shop.run("forward").code == 0
    (look,) = sim.calls("empik", "GET /api/orders")
    assert sorted(look.query["order_ids"].split(",")) == orders
    assert not empik.doubles()
    assert {empik.orders[order].status for order in orders} == {"SHIPPED"}


def test_a_correction_overwrites(sim, shop, empik):
    add(shop, READY, NUMBER)
    assert shop.run("correct", 1, SECOND, "--yes").code == 0
    assert empik.numbers(READY) == [SECOND]
