"""BigCommerce from the command line to its stand-in and back, over real sockets."""

from __future__ import annotations

import pytest
import requests

from shipfwd import platforms

NUMBER, OTHER = "620999601234567890123456", "620999601234567890123457"
READY, TWO_LINES, _, CANCELLED, UNPAID, FOREIGN, BARE, TWO_PLACES = (str(order) for order in range(101, 109))
WRITE = "(POST|PUT) .*/shipments"


@pytest.fixture
def stand(sim):
    found = sim.platform("bigcommerce")
    found.auto_orders = False
    found.seed()
    found.mails.clear()
    return found


@pytest.fixture
def store(shop, stand, monkeypatch):
    """The store, asked without a pause between calls."""
    monkeypatch.setattr(platforms.load("bigcommerce"), "rates", ())
    monkeypatch.setattr(platforms.load("bigcommerce"), "throttled_seconds", 0.01)
    shop.add("store", "bigcommerce")
    return shop


def send(shop, order, number=NUMBER, *more, carrier="inpost"):
    shop.run("add", order, number, "-i", "store", "--carrier", carrier, "--no-forward", *more)
    return shop.run("forward")


def test_a_number_is_there_once_and_the_order_is_shipped(sim, store, stand):
    assert send(store, READY).code == 0
    (row,) = stand.orders[READY].rows
    assert (row["tracking_number"], row["tracking_carrier"]) == (NUMBER, "inpost-paczkomaty")
    assert (row["shipping_provider"], row["tracking_link"]) == ("", "")
    assert stand.orders[READY].status == "2"
    (shown,) = store.json("status")
    assert (shown["state"], shown["remote_id"]) == ("forwarded", str(row["id"]))
    assert shown["confirmed_at"]
    assert shown["status_sent_at"] == shown["forwarded_at"]
    assert store.run("forward").code == 0
    assert store.run("forward", "--again", "-i", "store").code == 0
    assert store.run("verify").code == 0
    assert (len(sim.calls("bigcommerce", WRITE)), len(stand.mails)) == (1, 1)


def test_a_lost_answer_is_looked_up_and_the_number_is_there_once(sim, store, stand):
    stand.counts_pieces = False  # the platform itself would take it twice
    sim.fail_next("bigcommerce", "drop", match="POST .*/shipments")
    assert send(store, READY).code == 4
    (shown,) = store.json("status")
    assert (shown["state"], shown["reason"][:8]) == ("retrying", "in doubt")
    store.clock.forward(seconds=61)
    assert store.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert store.states() == {READY: "forwarded"}
    assert len(sim.calls("bigcommerce", WRITE)) == 1


def test_a_write_that_never_arrived_is_sent_again_once_it_cannot_arrive_any_more(sim, store, stand):
    sim.fail_next("bigcommerce", "close", match="POST .*/shipments")
    assert send(store, READY).code == 4
    store.clock.forward(seconds=30)
    assert store.run("forward", "1").code == 4
    assert len(sim.calls("bigcommerce", WRITE)) == 1
    store.clock.forward(seconds=31)
    assert store.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]


@pytest.mark.parametrize(
    ("order", "code", "state", "reason"),
    [
        (CANCELLED, 1, "failed", "cancelled"),
        (UNPAID, 4, "retrying", "Awaiting Shipment"),
        (FOREIGN, 1, "failed", "620000000000000000000106"),
        (TWO_PLACES, 1, "failed", "several addresses"),
        ("999", 1, "failed", "knows no order"),
        (f"{READY}b", 1, "failed", "knows no order"),
    ],
)
def test_nothing_is_written_on_an_order_that_takes_no_number(sim, store, order, code, state, reason):
    assert send(store, order).code == code
    (shown,) = store.json("status")
    assert shown["state"] == state
    assert reason in shown["reason"]
    assert sim.calls("bigcommerce", WRITE) == []


def test_a_shipment_that_was_made_without_a_number_gets_ours(store, stand):
    assert send(store, BARE).code == 0
    (row,) = stand.orders[BARE].rows
    assert (row["tracking_number"], row["tracking_carrier"]) == (NUMBER, "inpost-paczkomaty")


def test_each_address_gets_its_parcel_when_the_lines_are_named(store, stand):
    first, second = (line.id for line in stand.orders[TWO_PLACES].lines)
    assert send(store, TWO_PLACES, NUMBER, "--item", first).code == 0
    assert stand.orders[TWO_PLACES].status == "3"
    assert send(store, TWO_PLACES, OTHER, "--item", second).code == 0
    rows = stand.orders[TWO_PLACES].rows
    assert [(row["order_address_id"], row["tracking_number"]) for row in rows] == [(1108, NUMBER), (2108, OTHER)]
    assert stand.orders[TWO_PLACES].status == "2"


def test_two_parcels_need_their_lines(store, stand):
    first, second = (line.id for line in stand.orders[TWO_LINES].lines)
    assert send(store, TWO_LINES, NUMBER, "--item", first).code == 0
    assert send(store, TWO_LINES, OTHER).code == 1
    assert store.json("status", "--state", "blocked")[0]["reason"].endswith("needs its --item")
    store.run("add", TWO_LINES, OTHER, "-i", "store", "--item", second)
    assert store.run("forward").code == 0
    contents = [[item["order_product_id"] for item in row["items"]] for row in stand.orders[TWO_LINES].rows]
    assert contents == [[int(first)], [int(second)]]


def test_more_than_is_left_is_never_asked_for(sim, store, stand):
    stand.counts_pieces = False
    line = stand.orders[READY].lines[0].id
    assert send(store, READY, NUMBER, "--item", f"{line}:2").code == 1
    assert "1 of item '1011' left to ship, not 2" in store.json("status")[0]["reason"]
    assert sim.calls("bigcommerce", WRITE) == []


def test_a_carrier_that_is_not_on_the_list_goes_with_its_name_and_link(store, stand):
    assert send(store, READY, carrier="orlen").code == 0
    (row,) = stand.orders[READY].rows
    assert (row["tracking_carrier"], row["comments"]) == ("", "ORLEN Paczka")
    assert row["tracking_link"].endswith(NUMBER)


def test_a_number_is_corrected_in_its_place_and_nobody_is_mailed(store, stand):
    send(store, READY)
    stand.mails.clear()
    assert store.run("correct", "1", OTHER, "--yes").code == 0
    assert stand.numbers(READY) == [OTHER]
    assert stand.mails == []
    assert store.run("verify").code == 0


def test_a_used_up_quota_is_waited_for_as_long_as_it_says(sim, store, stand):
    stand.quota = 2
    assert send(store, READY).code == 4
    (shown,) = store.json("status")
    assert shown["state"] == "retrying"
    assert "used up" in shown["reason"]
    assert sim.calls("bigcommerce", WRITE) == []


def test_a_busy_platform_is_asked_again_in_the_same_run(store, stand):
    stand.overloaded = 1
    assert send(store, READY).code == 0
    assert stand.numbers(READY) == [NUMBER]


@pytest.mark.parametrize("setting", [{"token": "SECRET-another"}, {"may_modify": False}])
def test_a_token_that_may_not_write_rests_the_integration(store, stand, setting):
    for name, value in setting.items():
        setattr(stand, name, value)
    said = send(store, READY)
    assert said.code == 3
    assert "Orders: modify" in said.err
    assert store.states() == {READY: "pending"}
    assert "SECRET" not in said.err


def test_a_check_names_the_store(store):
    said = store.run("integration", "check", "store")
    assert said.code == 0
    assert "abc123" in said.out + said.err


def test_without_accept_the_stand_in_speaks_xml(sim, stand):
    url = f"{stand.credentials()[0]['base_url']}/v2/orders/{READY}/shipments"
    with requests.Session() as session:
        session.trust_env = False
        reply = session.get(url, headers={"X-Auth-Token": stand.token, "Accept": "text/xml"}, timeout=5)
        empty = session.get(url, headers={"X-Auth-Token": stand.token, "Accept": "application/json"}, timeout=5)
    assert reply.text.startswith("<?xml")
    assert (empty.status_code, empty.text) == (204, "")
