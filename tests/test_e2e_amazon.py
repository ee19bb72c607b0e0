"""Amazon against its stand-in, over a real socket, through the command line."""

from __future__ import annotations

import pytest

READY, TWO_LINES, PANEL = "902-1106328-0000001", "902-1106328-0000002", "902-1106328-0000006"
NUMBER = "620000000000000000000{:03d}"


@pytest.fixture
def amazon(sim, shop):
    stand = sim.platform("amazon")
    stand.seed()
    shop.add("amazon", "amazon")
    return stand


def confirmations(sim):
    return sim.calls("amazon", "shipmentConfirmation")


def item(stand, order, place=0, quantity=None):
    line = stand.find(order).lines[place]
    return f"{line.id}:{quantity or line.quantity}"


def add(shop, stand, order, number, *more):
    return shop.run("add", order, number, "-i", "amazon", "--carrier", "inpost", "--item", item(stand, order), *more)


def test_a_number_is_sent_then_seen_and_never_sent_again(sim, shop, amazon):
    assert shop.run("add", READY, NUMBER.format(1), "-i", "amazon", "--carrier", "inpost").code == 0
    (row,) = shop.json("status")
    assert (row["state"], row["confirmed_at"], row["status_sent_at"]) == ("forwarded", None, row["forwarded_at"])
    assert row["reason"] == "accepted, not read back yet"
    assert amazon.orders[READY].status == "SHIPPED"
    assert shop.run("sweep").code == 0
    assert shop.json("status")[0]["confirmed_at"]
    assert shop.run("forward", row["id"], "--again").code == 0
    assert amazon.numbers(READY) == [NUMBER.format(1)]
    assert len(confirmations(sim)) == 1


def test_nothing_is_read_before_a_write_whose_items_are_known(sim, shop, amazon):
    assert add(shop, amazon, READY, NUMBER.format(1)).code == 0
    assert [call.method for call in sim.calls("amazon", "/orders/")] == ["POST"]


def test_the_package_number_is_the_same_for_every_database_and_tool(sim, shop, amazon):
    add(shop, amazon, TWO_LINES, NUMBER.format(2))
    (row,) = shop.json("status")
    assert row["remote_id"] == amazon.orders[TWO_LINES].rows[0]["packageReferenceId"] == "673396707"
    assert len(row["remote_id"]) == 9


def test_an_answer_that_got_lost_is_asked_again_and_edits_the_same_package(sim, shop, amazon):
    sim.fail_next("amazon", "drop", match="POST .*shipmentConfirmation")
    assert add(shop, amazon, TWO_LINES, NUMBER.format(2)).code == 0
    assert amazon.numbers(TWO_LINES) == [NUMBER.format(2)]
    assert len(confirmations(sim)) == 2


def test_an_order_that_is_fulfilled_by_a_lost_write_shows_our_number(sim, shop, amazon):
    sim.fail_next("amazon", "drop", match="POST .*shipmentConfirmation")
    assert add(shop, amazon, READY, NUMBER.format(1)).code == 0
    (row,) = shop.json("status")
    assert row["state"] == "forwarded"
    assert row["confirmed_at"]
    assert amazon.numbers(READY) == [NUMBER.format(1)]


def test_many_are_read_back_by_one_search_and_what_was_stored_nowhere_is_sent_once_more(sim, shop, amazon):
    orders = [f"902-1106328-{n:07d}" for n in range(100, 105)]
    for order in orders:
        amazon.add_order(order)
    amazon.swallow = 1
    for n, order in enumerate(orders):
        add(shop, amazon, order, NUMBER.format(n), "--no-forward")
    assert shop.run("forward").code == 0
    shop.clock.forward(minutes=31)
    sim.advance(31 * 60)
    (lost,) = [order for order in orders if not amazon.numbers(order)]
    amazon.orders[lost].more["updated"] = 0  # nothing was stored: it was last updated when it was bought
    assert shop.run("sweep").code == 4
    assert len(sim.calls("amazon", r"GET /orders/2026-01-01/orders$")) == 1
    assert [call.path.rpartition("/")[2] for call in sim.calls("amazon", "GET .*/orders/902")] == [lost]
    assert shop.states()[lost] == "pending"
    assert shop.run("sweep").code == 0
    assert all(row["confirmed_at"] for row in shop.json("status"))
    assert {order: len(amazon.numbers(order)) for order in orders} == dict.fromkeys(orders, 1)


def test_what_is_swallowed_twice_is_reported(sim, shop, amazon):
    amazon.swallow = 2
    add(shop, amazon, READY, NUMBER.format(1))
    shop.clock.forward(minutes=31)
    assert shop.run("sweep").code == 4
    assert shop.run("sweep").code == 0
    shop.clock.forward(minutes=31)
    said = shop.run("-q", "sweep")
    assert said.code == 1
    assert "the order does not show it; look at Seller Central > Orders > Manage Orders > " + READY in said.err
    assert len(confirmations(sim)) == 2


def test_each_operation_keeps_to_its_own_limit(sim, shop, amazon):
    orders = [f"902-1106328-{n:07d}" for n in range(200, 212)]
    for n, order in enumerate(orders):
        shop.run("add", order, NUMBER.format(n), "-i", "amazon", "--carrier", "inpost", "--no-forward")
    assert shop.run("forward").code == 0
    assert {call.status for call in sim.calls("amazon", "/orders/")} == {200, 204}


def test_a_package_of_the_sellers_panel_is_not_edited_and_not_doubled(sim, shop, amazon):
    said = shop.run("add", PANEL, NUMBER.format(7), "-i", "amazon", "--carrier", "inpost")
    assert said.code == 1
    assert amazon.numbers(PANEL) == [NUMBER.format(6)]
    assert "that is not from here" in shop.json("status")[0]["reason"]


def test_a_correction_edits_the_package_it_was_sent_as(sim, shop, amazon):
    amazon.edits_fulfilled = True
    add(shop, amazon, READY, NUMBER.format(1))
    (row,) = shop.json("status")
    assert shop.run("correct", row["id"], NUMBER.format(9), "--yes").code == 0
    assert amazon.numbers(READY) == [NUMBER.format(9)]
    assert amazon.orders[READY].rows[0]["packageReferenceId"] == row["remote_id"]
    assert shop.run("sweep").code == 0
    assert shop.json("status")[0]["confirmed_at"]


def test_a_secret_that_is_180_days_old_is_told_in_words(sim, shop, amazon):
    amazon.secret_ended = True
    said = add(shop, amazon, READY, NUMBER.format(1))
    assert said.code == 3
    assert "after 180 days" in said.err
    assert "--secret client_secret=prompt" in said.err
    assert shop.json("status")[0]["state"] == "pending"
