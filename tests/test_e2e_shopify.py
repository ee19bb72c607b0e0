"""Shopify from the command line to its stand-in and back, over real sockets."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pytest

from shipfwd.errors import UsageError
from shipfwd.platforms import load
from shipfwd.settings import check_settings

ORDER, TWO_LINES, TWO_PLACES, CANCELLED, HELD, BY_HAND = (f"#{1000 + place}" for place in range(1, 7))
NUMBER, SECOND, THIRD = "0000123456789U", "0000123456790V", "0000123456791W"
INPOST = "620999601234567890123456"
ASK = "POST .*/graphql.json"


@pytest.fixture
def stand(sim):
    found = sim.platform("shopify")
    found.seed()
    return found


@pytest.fixture
def shopify(shop, stand):
    shop.add("shop", "shopify")
    return shop


def put(shop, order, number=NUMBER, *more, carrier="dpd"):
    return shop.run("add", order, number, "-i", "shop", "--carrier", carrier, "--no-forward", *more)


def send(shop, order, number=NUMBER, *more, carrier="dpd"):
    put(shop, order, number, *more, carrier=carrier)
    return shop.run("forward")


def fulfilments(stand, order):
    """Numbers and company of each fulfilment that stands."""
    live = [one for one in stand.orders[order].more["fulfilments"] if one["status"] == "SUCCESS"]
    return [
        ([track["number"] for track in one["tracks"]], *{track["company"] for track in one["tracks"]}) for one in live
    ]


def writes(sim):
    return [one for one in sim.calls("shopify", ASK) if one.json()["query"].startswith("mutation")]


@pytest.mark.parametrize("name", [ORDER, "1001"])
def test_a_number_is_there_once_and_the_order_is_fulfilled(sim, shopify, stand, name):
    assert send(shopify, name).code == 0
    assert fulfilments(stand, ORDER) == [([NUMBER], "DPD")]
    (shown,) = shopify.json("status")
    assert (shown["state"], shown["remote_id"]) == ("forwarded", stand.orders[ORDER].more["fulfilments"][0]["gid"])
    assert shown["confirmed_at"]
    assert shown["status_sent_at"] == shown["forwarded_at"]
    assert shopify.run("forward").code == 0
    assert shopify.run("forward", "--again", "-i", "shop").code == 0
    assert shopify.run("verify").code == 0
    assert len(writes(sim)) == 1
    assert stand.mails == []


@pytest.mark.parametrize("more", [[], ["--item", "SKU-1:1"]])
def test_a_lost_answer_is_looked_up_and_the_number_is_there_once(sim, shopify, stand, more):
    put(shopify, TWO_LINES, NUMBER, *[part.replace("SKU-1", stand.orders[TWO_LINES].lines[0].id) for part in more])
    sim.fail_next("shopify", "drop", match=ASK, skip=3 if more else 2)
    assert shopify.run("forward").code == 4
    (shown,) = shopify.json("status")
    assert (shown["state"], shown["reason"][:8]) == ("retrying", "in doubt")
    assert stand.numbers(TWO_LINES) == [NUMBER]
    shopify.clock.forward(seconds=121)
    assert shopify.run("forward").code == 0
    assert stand.numbers(TWO_LINES) == [NUMBER]
    assert shopify.states() == {TWO_LINES: "forwarded"}
    assert len(writes(sim)) == 1


def test_a_write_that_never_arrived_is_sent_again_once_it_cannot_arrive_any_more(sim, shopify, stand):
    sim.fail_next("shopify", "close", match=ASK, skip=2)
    assert send(shopify, ORDER).code == 4
    assert shopify.run("forward", "-o", ORDER).code == 4
    assert stand.numbers(ORDER) == []
    shopify.clock.forward(seconds=121)
    assert shopify.run("forward").code == 0
    assert stand.numbers(ORDER) == [NUMBER]


def test_parcels_that_are_known_together_are_one_fulfilment_and_a_later_one_joins_it(sim, shopify, stand):
    put(shopify, ORDER)
    assert send(shopify, ORDER, SECOND).code == 0
    assert fulfilments(stand, ORDER) == [([NUMBER, SECOND], "DPD")]
    assert send(shopify, ORDER, THIRD).code == 0
    assert fulfilments(stand, ORDER) == [([NUMBER, SECOND, THIRD], "DPD")]
    assert len(writes(sim)) == 2


def test_two_carriers_need_items_and_with_them_are_two_fulfilments(shopify, stand):
    first, second = stand.orders[TWO_LINES].lines
    put(shopify, TWO_LINES, NUMBER, "--item", first.id)
    assert send(shopify, TWO_LINES, INPOST, "--item", second.id, carrier="inpost").code == 0
    assert fulfilments(stand, TWO_LINES) == [([NUMBER], "DPD"), ([INPOST], "Inpost")]
    put(shopify, ORDER)
    assert send(shopify, ORDER, INPOST, carrier="inpost").code == 1
    assert fulfilments(stand, ORDER) == [([NUMBER], "DPD")]
    (blocked,) = [one for one in shopify.json("status") if one["state"] == "blocked"]
    assert "one carrier" in blocked["reason"]


def test_a_foreign_number_of_another_carrier_fails_and_names_it(sim, shopify, stand):
    stand.fulfil(ORDER, "1Z999AA10123456784", "UPS")
    assert send(shopify, ORDER).code == 1
    (shown,) = shopify.json("status")
    assert (shown["state"], "1Z999AA10123456784, that is not from here" in shown["reason"]) == ("failed", True)
    assert writes(sim) == []


def test_an_order_that_the_first_carrier_took_whole_can_be_put_right(shopify, stand):
    put(shopify, TWO_LINES)
    assert send(shopify, TWO_LINES, INPOST, carrier="inpost").code == 1
    (made,) = stand.orders[TWO_LINES].more["fulfilments"]
    stand.cancel(made["gid"])
    put(shopify, TWO_LINES, INPOST, "--item", stand.orders[TWO_LINES].lines[1].id, carrier="inpost")
    assert shopify.run("forward", 2).code == 0
    assert shopify.run("forward", "--again", 1).code == 0
    assert fulfilments(stand, TWO_LINES) == [([INPOST], "Inpost"), ([NUMBER], "DPD")]
    assert shopify.run("verify").code == 0


def test_a_rehearsal_shows_the_fulfilment_and_writes_nothing(sim, shopify, stand):
    put(shopify, ORDER)
    said = shopify.run("forward", "--dry-run")
    assert said.code == 0
    assert "fulfillmentCreate" in said.out
    assert "SECRET" not in said.out
    assert writes(sim) == []
    assert stand.numbers(ORDER) == []


def test_lines_at_two_locations_are_fulfilled_in_one_request(sim, shopify, stand):
    assert send(shopify, TWO_PLACES).code == 0
    assert fulfilments(stand, TWO_PLACES) == [([NUMBER], "DPD")] * 2
    assert len(writes(sim)) == 1


def test_what_was_fulfilled_by_hand_gets_its_number_and_link(shopify, stand):
    assert send(shopify, BY_HAND, "7000000000001", carrier="orlen").code == 0
    (made,) = stand.orders[BY_HAND].more["fulfilments"]
    (track,) = made["tracks"]
    assert (track["company"], track["url"]) == ("ORLEN Paczka", "https://nadaj.orlenpaczka.pl/?numer=7000000000001")


@pytest.mark.parametrize(
    ("order", "state", "code", "why"),
    [
        (CANCELLED, "failed", 1, "cancelled"),
        (HELD, "retrying", 4, "awaiting payment"),
        ("#9/9", "failed", 1, "knows no order"),
    ],
)
def test_an_order_that_takes_no_number_gets_none(sim, shopify, order, state, code, why):
    assert send(shopify, order).code == code
    (shown,) = shopify.json("status")
    assert (shown["state"], why in shown["reason"]) == (state, True)
    assert writes(sim) == []


def test_a_corrected_number_replaces_the_old_one(shopify, stand):
    assert send(shopify, ORDER).code == 0
    assert shopify.run("correct", 1, SECOND, "--yes").code == 0
    assert fulfilments(stand, ORDER) == [([SECOND], "DPD")]
    assert shopify.run("verify").code == 0


def test_the_buyer_is_told_only_where_the_merchant_wants_that(shop, stand):
    shop.add("shop", "shopify", "--set", "notify_buyer=true")
    assert send(shop, ORDER).code == 0
    assert [mail.numbers for mail in stand.mails] == [(NUMBER,)]


def test_a_missing_right_stops_the_shop_and_no_order_fails(shopify, stand):
    stand.rights = ("read_orders",)
    put(shopify, ORDER)
    said = send(shopify, TWO_LINES)
    assert said.code == 3
    assert "write_merchant_managed_fulfillment_orders" in said.err
    assert shopify.states() == {ORDER: "pending", TWO_LINES: "pending"}
    assert shopify.run("integration", "check", "shop").code == 3


def test_an_app_fetches_one_token_for_all_and_a_new_one_when_its_rights_grew(sim, shop, stand, monkeypatch):
    settings, secrets = stand.app_credentials()
    monkeypatch.setenv("T_SECRET", secrets["client_secret"])
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    stand.rights = ("read_orders",)
    added = shop.run(
        "integration", "add", "shop", "--platform", "shopify", *given, "--secret", "client_secret=env:T_SECRET"
    )
    assert added.code == 0
    assert shop.run("integration", "check", "shop").code == 3
    stand.rights = type(stand).rights
    for order in (ORDER, TWO_LINES, BY_HAND):
        put(shop, order)
    assert shop.run("forward").code == 0
    assert len(sim.calls("shopify", "POST .*/access_token")) == 3
    assert shop.run("integration", "check", "shop").code == 0
    assert len(sim.calls("shopify", "POST .*/access_token")) == 3
    stand.installed = False
    stand.desk.expire_access()
    assert "not installed" in shop.run("integration", "check", "shop").err


def test_a_shop_with_few_points_is_asked_slowly_and_gets_everything(sim, shopify, stand, monkeypatch):
    paused: list[float] = []
    monkeypatch.setattr("shipfwd.runs.Run.wait", lambda run, seconds: (paused.append(seconds), sim.advance(seconds)))
    stand.maximum = stand._points = 800.0
    for place in range(30):
        put(shopify, f"#{2000 + place}", f"00001234{place:05d}U")
    assert shopify.run("forward").code == 0
    assert set(shopify.states().values()) == {"forwarded"}
    assert stand.doubles() == {}
    assert 0 < sum(paused) < 60


@pytest.mark.parametrize(
    ("settings", "secrets", "said"),
    [
        ({}, {"access_token"}, ""),
        ({"client_id": "c"}, {"client_secret"}, ""),
        ({"client_id": "c"}, {"client_secret", "access_token"}, ""),
        ({}, set(), "--secret access_token"),
        ({"client_id": "c"}, set(), "--secret client_secret"),
        ({}, {"client_secret"}, "--set client_id"),
        ({"client_id": " "}, {"client_secret"}, "--set client_id"),
        ({}, {"client_secret", "access_token"}, "--set client_id"),
    ],
)
def test_one_of_two_ways_in_is_needed_and_the_missing_half_is_named(settings, secrets, said):
    given = {"base_url": "https://shop.myshopify.com", **settings}
    refused = pytest.raises(UsageError, match=re.escape(said)) if said else nullcontext()
    with refused:
        check_settings(load("shopify"), given, dict.fromkeys(secrets, "env:X"))


def test_a_search_that_finds_too_much_says_so_and_takes_none(shopify, stand, monkeypatch):
    """A name without its # is another order's, too, where the shop's own prefix differs: none is guessed."""
    monkeypatch.setattr("shipfwd.platforms._shopify.MOST_FOUND", 2)
    for name in ("#77-A", "#77-B", "#77"):
        stand.add_order(name)
    assert send(shopify, "77").code == 1
    (row,) = shopify.json("status")
    assert (row["state"], "name the order as Shopify does" in row["reason"]) == ("failed", True)
    assert stand.numbers("#77") == []
