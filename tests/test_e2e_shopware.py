"""Shopware 6 from the command line to its stand-in and back, over real sockets."""

from __future__ import annotations

import pytest
import requests

NUMBER, OTHER = "620999601234567890123456", "620999601234567890123457"
READY, DISCOUNTED, THIRD, CANCELLED, INVOICE, NUMBERED, SHIPPED, UNCLEAR, REFUNDED = (
    str(order) for order in range(10001, 10010)
)
WRITE, SHIP, SEARCH = "PATCH .*/order-delivery", "POST .*/state/ship", "POST .*/search/order"


@pytest.fixture
def stand(sim):
    found = sim.platform("shopware")
    found.auto_orders = False
    found.seed()
    return found


@pytest.fixture
def merchant(shop, stand):
    shop.add("shopware-main", "shopware")
    return shop


def send(merchant, order, *numbers, **more):
    for number in numbers or (NUMBER,):
        merchant.run("add", order, number, "-i", "shopware-main", "--carrier", "inpost", "--no-forward")
    return merchant.run("forward")


def test_a_number_is_there_once_and_the_delivery_is_shipped_without_a_mail(sim, merchant, stand):
    assert send(merchant, READY).code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert stand.delivery_state(READY) == "shipped"
    assert stand.mails == []
    (shown,) = merchant.json("status")
    assert shown["state"] == "forwarded"
    assert shown["confirmed_at"]
    assert shown["status_sent_at"]
    assert merchant.run("forward").code == 0
    assert merchant.run("forward", "--again", "-i", "shopware-main").code == 0
    assert merchant.run("verify").code == 0
    assert (len(sim.calls("shopware", WRITE)), len(sim.calls("shopware", SHIP))) == (1, 1)


def test_the_buyer_reads_the_number_in_the_mail_when_one_is_wanted(merchant, stand):
    merchant.run("integration", "edit", "shopware-main", "--set", "notify_buyer=true")
    assert send(merchant, READY).code == 0
    assert [(mail.order, mail.numbers) for mail in stand.mails] == [(READY, (NUMBER,))]


def test_without_status_transfer_the_delivery_stays_open(merchant, stand):
    merchant.run("integration", "edit", "shopware-main", "--no-status-transfer")
    assert send(merchant, READY).code == 0
    assert stand.delivery_state(READY) == "open"


def test_all_parcels_of_an_order_go_in_one_write_beside_what_is_there(sim, merchant, stand):
    assert send(merchant, NUMBERED, NUMBER, OTHER).code == 0
    assert stand.numbers(NUMBERED) == ["620000000000000000000006", NUMBER, OTHER]
    assert len(sim.calls("shopware", WRITE)) == 1


def test_many_orders_are_looked_up_in_one_search(sim, merchant, stand):
    for place, order in enumerate((READY, DISCOUNTED, THIRD, INVOICE)):
        merchant.run("add", order, f"{NUMBER}{place}", "-i", "shopware-main", "--carrier", "inpost", "--no-forward")
    assert merchant.run("forward").code == 0
    assert len(sim.calls("shopware", SEARCH)) == 1
    assert set(merchant.states().values()) == {"forwarded"}
    assert stand.doubles() == {}


def test_a_lost_answer_is_asked_for_again_and_the_number_is_there_once(sim, merchant, stand):
    sim.fail_next("shopware", "drop", match=WRITE)
    assert send(merchant, READY).code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert len(sim.calls("shopware", WRITE)) == 2


def test_an_answer_that_stays_lost_leaves_the_number_there_once(sim, merchant, stand):
    sim.fail_next("shopware", "drop", match=WRITE, times=3)
    assert send(merchant, READY).code == 4
    assert merchant.states() == {READY: "retrying"}
    merchant.clock.forward(minutes=10)
    assert merchant.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert len(sim.calls("shopware", WRITE)) == 3


def test_a_lost_answer_that_was_asked_for_again_keeps_the_orders_next_parcel_for_later(sim, merchant, stand):
    """The first request may still arrive, and writes the whole list."""
    sim.fail_next("shopware", "drop", match=WRITE)
    assert send(merchant, READY).code == 0
    assert send(merchant, READY, OTHER).code == 4
    assert "a write for shipment 1 of its order was lost and may still arrive" in merchant.json("status")[0]["reason"]
    merchant.clock.forward(minutes=2, seconds=5)
    assert merchant.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER, OTHER]


def test_a_lost_answer_of_the_status_step_mails_nobody_twice(sim, merchant, stand):
    merchant.run("integration", "edit", "shopware-main", "--set", "notify_buyer=true")
    sim.fail_next("shopware", "drop", match=SHIP)
    assert send(merchant, READY).code == 4
    merchant.clock.forward(minutes=10)
    assert merchant.run("forward").code == 0
    (shown,) = merchant.json("status")
    assert shown["status_sent_at"]
    assert len(stand.mails) == 1
    assert len(sim.calls("shopware", SHIP)) == 1


def test_the_shipping_discount_gets_no_number(merchant, stand):
    assert send(merchant, DISCOUNTED).code == 0
    discount, real = stand.orders[DISCOUNTED].rows
    assert (discount["trackingCodes"], real["trackingCodes"]) == ([], [NUMBER])
    assert stand.delivery_state(DISCOUNTED) == "shipped"


def test_a_delivery_that_is_shipped_already_gets_its_number(sim, merchant, stand):
    assert send(merchant, SHIPPED).code == 0
    assert stand.numbers(SHIPPED) == [NUMBER]
    assert sim.calls("shopware", SHIP) == []


@pytest.mark.parametrize(
    ("order", "reason"),
    [(CANCELLED, "cancelled"), (UNCLEAR, "by hand"), (REFUNDED, "refunded"), ("99999", "knows no order")],
)
def test_nothing_is_written_on_an_order_that_takes_no_number(sim, merchant, order, reason):
    assert send(merchant, order).code == 1
    (shown,) = merchant.json("status")
    assert shown["state"] == "failed"
    assert reason in shown["reason"]
    assert sim.calls("shopware", WRITE) == []


def test_an_order_number_in_another_case_is_another_order(merchant, stand):
    stand.add_order("sw-1")
    assert send(merchant, "SW-1").code == 1
    assert stand.numbers("sw-1") == []


def test_a_write_that_was_answered_and_kept_nothing_is_noticed(merchant, stand):
    stand.stores_nothing = True
    assert send(merchant, READY).code == 0
    assert merchant.json("status")[0]["confirmed_at"] is None
    stand.stores_nothing = False
    merchant.clock.forward(minutes=11)
    merchant.run("sweep")
    merchant.clock.forward(minutes=11)
    merchant.run("sweep")
    assert stand.numbers(READY) == [NUMBER]
    assert merchant.json("status")[0]["confirmed_at"]


def test_an_answer_without_a_document_is_proven_by_a_later_look(merchant, stand):
    stand.always_empty = True
    assert send(merchant, READY).code == 0
    assert merchant.json("status")[0]["reason"] == "accepted, not read back yet"
    merchant.run("sweep")
    assert merchant.json("status")[0]["confirmed_at"]


def test_a_status_that_was_accepted_and_did_not_change_is_told(merchant, stand):
    stand.changes_nothing = True
    assert send(merchant, READY).code == 1
    assert "stays 'open'" in merchant.json("status")[0]["reason"]


def test_a_number_is_corrected_in_its_place(merchant, stand):
    send(merchant, NUMBERED)
    assert merchant.run("correct", "1", OTHER, "--yes").code == 0
    assert stand.numbers(NUMBERED) == ["620000000000000000000006", OTHER]
    assert merchant.run("verify").code == 1  # the label program's number is none of ours


def test_a_token_that_ends_is_fetched_anew(sim, merchant, stand):
    assert send(merchant, READY).code == 0
    stand.desk.expire_access()
    assert send(merchant, THIRD).code == 0
    assert len(sim.calls("shopware", "POST /api/oauth/token")) == 2


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"client_secret": "SECRET-another"}, "check client_id (Access key ID)"),
        ({"rights": ("order:read",)}, "missing: "),
        ({"rights": ("order:read", "order_delivery:read", "order_transaction:read", "state_machine_state:read")},
         "missing: order_delivery:update"),
    ],
)  # fmt: skip
def test_an_integration_without_the_right_rests(merchant, stand, setting, told):
    for name, value in setting.items():
        setattr(stand, name, value)
    said = send(merchant, READY)
    assert said.code == 3
    assert told in said.err
    assert merchant.states() == {READY: "pending"}
    assert "SECRET" not in said.err


def test_a_rehearsal_searches_and_shows_the_write(sim, merchant, stand):
    merchant.run("add", READY, NUMBER, "-i", "shopware-main", "--no-forward")
    said = merchant.run("forward", "--dry-run")
    assert f'{{"trackingCodes":["{NUMBER}"]}}' in said.out
    assert stand.numbers(READY) == []
    assert (len(sim.calls("shopware", SEARCH)), len(sim.calls("shopware", WRITE))) == (1, 0)


@pytest.mark.parametrize("form", [False, True])
def test_the_stand_in_gives_tokens_for_both_kinds_of_body(stand, form):
    asked = {"grant_type": "client_credentials", "client_id": stand.client_id, "client_secret": stand.client_secret}
    with requests.Session() as session:
        session.trust_env = False
        how = {"data": asked} if form else {"json": asked}
        answer = session.post(f"{stand.base_url}/api/oauth/token", timeout=5, **how)
        odd = session.post(f"{stand.base_url}/api/oauth/token", timeout=5, json=asked | {"client_id": "SWSC"})
        assert stand.desk.grant(answer.json()["access_token"]) is not None
        assert odd.status_code == 500
