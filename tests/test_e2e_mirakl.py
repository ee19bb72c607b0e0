"""An operator of Mirakl that takes several shipments an order, over a real socket, through the command line."""

from __future__ import annotations

import pytest

ORDER, OTHER = "Order_00001-A", "Order_00002-A"
FIRST, SECOND = "1Z999AA10123456784", "1Z999AA10123456793"


@pytest.fixture
def operator(sim, shop):
    stand = sim.platform("mirakl")
    stand.seed()
    shop.add("operator", "mirakl")
    return stand


def add(shop, number, *more, order=ORDER):
    return shop.run("add", order, number, "-i", "operator", "--carrier", "ups", *more)


def test_two_parcels_of_an_order_become_two_shipments(sim, shop, operator):
    assert add(shop, FIRST, "--item", f"{ORDER}-1:2").code == 0
    assert operator.orders[ORDER].status == "SHIPPING"
    assert add(shop, SECOND, "--item", f"{ORDER}-2").code == 0
    assert operator.numbers(ORDER) == [FIRST, SECOND]
    assert operator.orders[ORDER].status == "SHIPPED"
    assert len(operator.mails) == 1
    assert shop.run("forward", 1, 2, "--again").code == 0
    assert operator.numbers(ORDER) == [FIRST, SECOND]
    assert all(row["confirmed_at"] and row["status_sent_at"] and row["remote_id"] for row in shop.json("status"))


def test_a_parcel_without_items_is_the_whole_order(sim, shop, operator):
    assert add(shop, FIRST).code == 0
    assert operator.numbers(ORDER) == [FIRST]
    assert operator.orders[ORDER].status == "SHIPPED"
    assert add(shop, SECOND).code == 1
    assert operator.numbers(ORDER) == [FIRST]


def test_a_lost_shipment_is_looked_for_before_it_is_sent_again(sim, shop, operator):
    sim.fail_next("mirakl", "drop", match="POST /api/shipments$")
    assert add(shop, FIRST, "--item", f"{ORDER}-1").code == 4
    assert shop.json("status")[0]["reason"].startswith("in doubt")
    assert shop.run("forward", 1).code in (0, 4)
    shop.clock.forward(seconds=61)
    assert shop.run("forward").code == 0
    assert operator.numbers(ORDER) == [FIRST]
    assert shop.json("status")[0]["state"] == "forwarded"


def test_a_shipment_that_never_arrived_is_sent_after_the_wait(sim, shop, operator):
    sim.fail_next("mirakl", "close", match="POST /api/shipments$")
    add(shop, FIRST, "--item", f"{ORDER}-1")
    assert shop.run("forward", 1).code == 4
    assert operator.numbers(ORDER) == []
    shop.clock.forward(seconds=61)
    assert shop.run("forward").code == 0
    assert operator.numbers(ORDER) == [FIRST]


def test_a_correction_changes_that_shipment_alone(sim, shop, operator):
    add(shop, FIRST, "--item", f"{ORDER}-1")
    add(shop, SECOND, "--item", f"{ORDER}-2")
    assert shop.run("correct", 1, "1Z999AA10123456702", "--yes").code == 0
    assert operator.numbers(ORDER) == ["1Z999AA10123456702", SECOND]


def test_a_carrier_that_the_operator_forbids_is_blocked_before_sending(sim, shop, operator):
    operator.other_carriers = False
    said = shop.run("add", ORDER, "Z1234567890", "-i", "operator", "--carrier", "packeta")
    assert said.code == 1
    assert not sim.calls("mirakl", "PUT|POST")
    assert "takes no other carriers than" in shop.json("status")[0]["reason"]
    assert shop.run("carriers", "map", "-i", "operator", "packeta=DPD").code == 0
    assert shop.run("forward").code == 0
    assert operator.numbers(ORDER) == ["Z1234567890"]
