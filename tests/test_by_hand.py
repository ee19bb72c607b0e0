"""What a person names is sent, and nothing beside it."""

from __future__ import annotations

import pytest

NUMBER = "62000000000000000000000{}"


@pytest.fixture
def three(shop):
    """Three shipments of three orders, stored and not sent."""
    shop.add()
    for n in (1, 2, 3):
        shop.run("add", f"10{n}", NUMBER.format(n), "-i", "shop", "--carrier", "inpost", "--no-forward")
    return shop


@pytest.mark.parametrize(
    ("named", "sent"),
    [
        (("1",), {"101"}),
        (("1", "3"), {"101", "103"}),
        (("-o", "102"), {"102"}),
        (("1", "-o", "102"), {"101", "102"}),
        (("-o", "102", "-i", "shop"), {"102"}),
    ],
)
def test_only_the_named_ones_are_sent(three, named, sent):
    assert three.run("forward", *named).code == 0
    assert {order for order, state in three.states().items() if state == "forwarded"} == sent
    assert {call.path.split("/")[-2] for call in three.sim.calls("woocommerce", "POST .*shipment-trackings")} == sent


def test_a_forwarded_one_by_id_sends_nothing_else(three):
    three.run("forward", "1")
    three.sim.clear_requests()
    said = three.run("forward", "1")
    assert said.code == 0
    assert "--again" in said.err
    assert not three.sim.calls("woocommerce", ".*")
    assert set(three.states().values()) == {"forwarded", "pending"}


@pytest.mark.parametrize("named", [("99",), ("1", "99"), ("-o", "999"), ("-o", "999", "1")])
def test_an_unknown_name_sends_nothing_at_all(three, named):
    said = three.run("forward", *named)
    assert said.code == 2
    assert "no shipment" in said.err
    assert set(three.states().values()) == {"pending"}
    assert not three.sim.calls("woocommerce", "POST .*")


def test_failed_takes_only_failed_ones(three):
    order = three.sim.platform("woocommerce").add_order("101", status="cancelled")
    three.run("forward", "1")
    assert three.states()["101"] == "failed"
    order.status = "processing"
    assert three.run("forward", "--failed").code == 0
    assert three.states() == {"101": "forwarded", "102": "pending", "103": "pending"}


def test_a_dry_run_of_one_shows_one(three):
    said = three.run("forward", "2", "--dry-run")
    assert said.code == 0
    assert NUMBER.format(2) in said.out
    assert NUMBER.format(1) not in said.out
    assert "curl -X POST" in said.out
    assert set(three.states().values()) == {"pending"}
    assert not three.sim.calls("woocommerce", "POST .*")


def test_the_counts_of_add_are_of_what_it_added(shop):
    """An older parcel of the order whose answer was lost is looked up on the way, and is not one of them."""
    shop.add("shop", "woocommerce", "--no-status-transfer")
    shop.sim.fail_next("woocommerce", "close-after", match="POST")
    assert shop.run("add", "101", NUMBER.format(1), "-i", "shop", "--carrier", "inpost").code == 4
    shop.clock.forward(minutes=5)
    counts = shop.json("add", "101", NUMBER.format(2), "-i", "shop", "--carrier", "inpost")
    assert {name: count for name, count in counts.items() if count} == {"forwarded": 1}
    assert set(shop.states().values()) == {"forwarded"}
