"""Magento from the command line to its stand-in and back, over real sockets; and the stand-in's own habits."""

from __future__ import annotations

import sys

import pytest
import requests
from oauthlib import oauth1

NUMBER, SECOND = "620000000000000000000001", "620000000000000000000002"
READY, OTHER, CANCELLED, HELD, SHIPPED, UNPAID, SHARED = (f"00000000{place}" for place in (1, 2, 4, 5, 6, 7, 8))
SHIP, TRACK = "POST .*/ship$", "POST .*/shipment/track$"


@pytest.fixture
def stand(sim):
    found = sim.platform("magento")
    found.seed()
    return found


@pytest.fixture
def magento(shop, stand):
    shop.add("magento", "magento")
    return shop


def add(shop, order, number=NUMBER, *more, carrier="inpost"):
    return shop.run("add", order, number, "-i", "magento", "--carrier", carrier, *more)


def shown(shop):
    return {row["id"]: row for row in shop.json("status")}


def test_a_number_ships_the_order_once_and_the_next_sweep_confirms_it(sim, magento, stand):
    assert magento.run("integration", "check", "magento").code == 0
    assert add(magento, READY).code == 0
    (row,) = stand.orders[READY].rows
    assert (row["track_number"], row["title"], row["carrier_code"]) == (NUMBER, "InPost", "custom")
    assert stand.orders[READY].status == "complete"
    assert shown(magento)[1]["reason"] == "accepted, not read back yet"
    assert magento.run("sweep").code == 0
    assert shown(magento)[1]["confirmed_at"]
    assert shown(magento)[1]["status_sent_at"] == shown(magento)[1]["forwarded_at"]
    assert magento.run("forward", 1, "--again").code == 0
    assert magento.run("verify").code == 0
    assert len(sim.calls("magento", "POST")) == 1
    assert stand.mails == []


@pytest.mark.parametrize("again", ["forward", "sweep"])
def test_a_lost_answer_is_in_doubt_found_and_not_doubled(sim, magento, stand, again):
    sim.fail_next("magento", "drop", match=SHIP)
    assert add(magento, READY).code == 4
    assert shown(magento)[1]["reason"].startswith("in doubt")
    magento.clock.forward(seconds=181)
    assert magento.run(again).code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert shown(magento)[1]["state"] == "forwarded"
    assert len(sim.calls("magento", SHIP)) == 1


def test_a_write_that_never_arrived_is_sent_again_only_after_the_wait(sim, magento, stand):
    sim.fail_next("magento", "close", match=SHIP)
    assert add(magento, READY).code == 4
    magento.clock.forward(seconds=120)
    assert magento.run("forward", 1).code == 4
    assert len(sim.calls("magento", SHIP)) == 1
    magento.clock.forward(seconds=61)
    assert magento.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]


@pytest.mark.parametrize("when", ["before", "after"])
def test_see_error_log_is_looked_into_and_nothing_is_doubled(magento, stand, when):
    stand.ship_breaks = when
    assert add(magento, READY).code == 4
    stand.ship_breaks = ""
    magento.clock.forward(seconds=181)
    assert magento.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert len(stand.shipments) == 2  # one is the demo's


def test_parcels_known_together_are_one_shipment_and_a_later_one_is_a_track_on_it(sim, magento, stand):
    add(magento, READY, NUMBER, "--no-forward")
    add(magento, READY, SECOND, "--no-forward")
    assert magento.run("forward").code == 0
    assert add(magento, READY, "1Z999AA10123456784", carrier="ups").code == 0
    rows = stand.orders[READY].rows
    assert [row["track_number"] for row in rows] == [NUMBER, SECOND, "1Z999AA10123456784"]
    assert len({row["parent_id"] for row in rows}) == 1
    assert (len(sim.calls("magento", SHIP)), len(sim.calls("magento", TRACK))) == (1, 1)


def test_a_late_number_whose_answer_is_lost_is_not_doubled(sim, magento, stand):
    sim.fail_next("magento", "drop", match=TRACK)
    assert add(magento, SHIPPED).code == 4
    magento.clock.forward(seconds=181)
    assert magento.run("forward").code == 0
    assert stand.numbers(SHIPPED) == ["620000000000000000000006", NUMBER]


def test_when_only_one_of_two_late_numbers_arrives_the_other_follows(sim, magento, stand):
    add(magento, SHIPPED, NUMBER, "--no-forward")
    add(magento, SHIPPED, SECOND, "--no-forward")
    sim.fail_next("magento", "close", match=TRACK, skip=1)
    assert magento.run("forward").code == 4
    magento.clock.forward(seconds=181)
    assert magento.run("forward").code == 0
    assert stand.numbers(SHIPPED) == ["620000000000000000000006", NUMBER, SECOND]
    assert stand.doubles() == {}


def test_named_items_are_a_shipment_of_their_own(magento, stand):
    first, second = (line.id for line in stand.orders[READY].lines)
    assert add(magento, READY, NUMBER, "--item", f"{first}:1").code == 0
    assert stand.orders[READY].status == "processing"
    assert add(magento, READY, SECOND, "--item", f"{first}:1", "--item", second).code == 0
    assert [one["items"] for one in stand.shipments[1:]] == [
        [{"order_item_id": int(first), "qty": 1}],
        [{"order_item_id": int(first), "qty": 1}, {"order_item_id": int(second), "qty": 1}],
    ]
    assert stand.orders[READY].status == "complete"


def test_a_correction_adds_the_new_track_before_the_old_one_goes(sim, magento, stand):
    add(magento, READY)
    assert magento.run("correct", 1, SECOND, "--yes").code == 0
    assert stand.numbers(READY) == [SECOND]
    assert [request.method for request in sim.calls("magento", "track")] == ["POST", "DELETE"]


def test_the_buyer_is_mailed_only_when_asked(magento, stand):
    magento.run("integration", "edit", "magento", "--set", "notify_buyer=true")
    assert add(magento, READY).code == 0
    assert [mail.numbers for mail in stand.mails] == [(NUMBER,)]


def test_cash_on_delivery_is_shipped_and_stays_in_processing(magento, stand):
    assert add(magento, UNPAID).code == 0
    assert (stand.numbers(UNPAID), stand.orders[UNPAID].status) == ([NUMBER], "processing")


@pytest.mark.parametrize(
    ("order", "code", "state", "words"),
    [
        (CANCELLED, 1, "failed", "cancelled at the shop"),
        (HELD, 4, "retrying", "on hold"),
        (SHARED, 1, "failed", "2 orders of the shop have the number 000000008"),
        ("no such order", 1, "failed", "knows no order"),
    ],
)
def test_orders_that_take_no_number(sim, magento, stand, order, code, state, words):
    assert add(magento, order).code == code
    assert shown(magento)[1]["state"] == state
    assert words in shown(magento)[1]["reason"]
    assert not sim.calls("magento", "POST")


def test_a_shop_with_short_pages_is_read_to_the_end(magento, stand):
    stand.longest_page = 1
    for order in (READY, OTHER, SHIPPED):
        add(magento, order, f"{order}X", "--no-forward")
    assert magento.run("forward").code == 0
    assert set(magento.states().values()) == {"forwarded"}


def test_a_carrier_without_a_name_there_waits_for_one(sim, magento, stand):
    assert add(magento, READY, carrier="Kurier Rowerowy").code == 1
    assert shown(magento)[1]["state"] == "blocked"
    magento.run("carriers", "map", "-i", "magento", "Kurier Rowerowy=custom:Kurier Rowerowy")
    assert magento.run("sweep").code == 0
    assert stand.orders[READY].rows[0]["title"] == "Kurier Rowerowy"


# ---- credentials --------------------------------------------------------------------------------------------------


def test_where_tokens_alone_are_refused_every_request_is_signed(shop, stand):
    stand.bearer_allowed = False
    shop.add("magento", "magento")
    assert shop.run("integration", "check", "magento").code == 0
    assert add(shop, READY).code == 0
    assert add(shop, OTHER, SECOND).code == 0
    assert (stand.numbers(READY), stand.numbers(OTHER)) == ([NUMBER], [SECOND])


@pytest.mark.parametrize("name", ["consumer_secret", "token_secret", "consumer_key", "access_token"])
def test_a_signature_by_a_wrong_credential_rests_the_integration(shop, stand, name):
    stand.bearer_allowed = False
    shop.add("magento", "magento")
    setattr(stand, name, "SECRET-another")
    said = add(shop, READY)
    assert said.code == 3
    assert "The signature is invalid" in said.err
    assert shown(shop)[1]["state"] == "pending"


def test_signing_without_the_library_says_what_to_install(shop, stand, monkeypatch):
    stand.bearer_allowed = False
    shop.add("magento", "magento")
    monkeypatch.setitem(sys.modules, "oauthlib.oauth1", None)
    said = add(shop, READY)
    assert said.code == 3
    assert "pip install 'shipfwd[magento]'" in said.err


def test_half_of_the_four_credentials_are_refused_when_they_are_given(shop, stand, monkeypatch):
    monkeypatch.setenv("T_TOKEN", "SECRET-token")
    given = ["--platform", "magento", "--set", f"base_url={stand.base_url}", "--set", "consumer_key=abcd"]
    said = shop.run("integration", "add", "half", *given, "--secret", "access_token=env:T_TOKEN")
    assert said.code == 2
    assert "consumer_secret, token_secret" in said.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"access_token": "SECRET-other"}, "isn't authorized to access Magento_Sales::actions_view"),
        ({"bearer_allowed": False}, "the shop takes no token alone"),
        ({"rights": frozenset({"Magento_Sales::actions_view"})}, "authorized to access Magento_Sales::shipment"),
        ({"stores": ("default",)}, "check base_url and store_code"),
    ],
)
def test_what_only_the_shops_owner_can_mend_rests_the_integration(magento, stand, change, words):
    for name, value in change.items():
        setattr(stand, name, value)
    said = add(magento, READY)
    assert said.code == 3
    assert words in said.err
    assert shown(magento)[1]["state"] == "pending"
    assert words in magento.run("integration", "check", "magento").err


# ---- the stand-in does what the shop did -----------------------------------------------------------------------------


@pytest.fixture
def ask(stand):
    with requests.Session() as session:
        session.trust_env = False

        def call(method, path, token=stand.access_token, **more):
            headers = {"Authorization": f"Bearer {token}"}
            return session.request(method, f"{stand.base_url}/rest{path}", headers=headers, timeout=5, **more)

        yield call


def track(number="X1", **more):
    return {"track_number": number, "title": "UPS", "carrier_code": "ups", **more}


@pytest.mark.parametrize("body", [b"", b'{"entity": {"tracks": [{"track_number": "X1"}]}}'])
def test_the_stand_in_ships_all_without_a_number_for_a_wrong_or_empty_body(ask, stand, body):
    order = stand.orders[READY]
    assert ask("POST", f"/V1/order/{order.more['entity_id']}/ship", data=body).json().isdigit()
    assert (order.rows, order.status) == ([], "complete")


@pytest.mark.parametrize(
    ("order", "body", "words"),
    [
        (
            SHIPPED,
            {"tracks": [track()]},
            "The order does not allow a shipment to be created.\nYou can't create a shipment",
        ),
        (
            CANCELLED,
            {"tracks": [track()]},
            "when an order has a status of canceled\nYou can't create a shipment without",
        ),
        (HELD, {"tracks": [track()]}, "A shipment cannot be created when an order has a status of holded"),
        (READY, {"items": [{"order_item_id": 99999, "qty": 1}]}, "You can't create a shipment without products."),
        (READY, {"tracks": [track("")]}, "Please enter a tracking number."),
        (READY, {"tracks": track()}, "Please enter a tracking number.\nPlease enter a tracking number.\nPlease enter"),
        (READY, {"tracks": [{"track_number": "X", "title": "UPS"}]}, "see error log for details"),
        (READY, {"tracks": [track(url="u")]}, '"%fieldName" is not supported.'),
    ],
)
def test_the_stand_in_refuses_in_the_shops_own_words(ask, stand, order, body, words):
    said = ask("POST", f"/all/V1/order/{stand.orders[order].more['entity_id']}/ship", json=body)
    assert said.status_code == 400
    assert words in said.json()["message"]


def test_the_stand_in_ships_what_is_left_and_doubles_tracks(ask, stand):
    order = stand.orders[READY]
    entity = order.more["entity_id"]
    first = int(order.lines[0].id)
    body = {"items": [{"order_item_id": first, "qty": 99}], "tracks": [track()], "notify": "maybe"}
    shipment = int(ask("POST", f"/V1/order/{entity}/ship", json=body).json())
    assert stand.shipments[-1]["items"] == [{"order_item_id": first, "qty": 2}]
    late = {
        "entity": {"order_id": entity, "parent_id": shipment, "weight": 0, "qty": 1, "description": "", **track("X2")}
    }
    for _ in range(2):
        assert ask("POST", "/V1/shipment/track", json=late).json()["track_number"] == "X2"
    assert stand.doubles() == {READY: ["X2"]}
    wrong = {"entity": {**late["entity"], "parent_id": 99999}}
    assert ask("POST", "/V1/shipment/track", json=wrong).json() == {"message": "Could not save the shipment tracking."}
    assert ask("DELETE", f"/V1/shipment/track/{order.rows[-1]['entity_id']}").json() is True
    assert stand.numbers(READY) == ["X1", "X2"]


def test_the_stand_in_searches_with_both_spellings_and_gives_null_for_nothing(ask):
    for groups, kind in (("filterGroups", "conditionType"), ("filter_groups", "condition_type")):
        where = f"searchCriteria[{groups}][0][filters][0]"
        query = {
            f"{where}[field]": "increment_id",
            f"{where}[value]": f"{READY},{OTHER},no such",
            f"{where}[{kind}]": "in",
        }
        query["fields"] = "items[increment_id,items[qty_shipped]],total_count"
        said = ask("GET", "/V1/orders", params=query).json()
        assert [one["increment_id"] for one in said["items"]] == [READY, OTHER]
        assert (said["items"][0]["items"], said["total_count"]) == ([{"qty_shipped": 0}] * 2, 2)
        query[f"{where}[value]"] = "no such"
        assert ask("GET", "/V1/orders", params=query).json() == {"items": None, "total_count": 0}
        assert ask("GET", "/V1/orders", params={**query, "fields": ""}).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "token", "status", "words"),
    [
        ("GET", "/V1/orders/99999", None, 404, "The entity that was requested doesn't exist."),
        ("GET", "/V1/orders/abc", None, 400, "type is invalid"),
        ("GET", "/V1/nope", None, 404, "Request does not match any route."),
        ("PUT", "/V1/order/1/ship", None, 404, "Request does not match any route."),
        ("GET", "/V1/orders", "nonsense", 401, "%resources"),
    ],
)
def test_the_stand_in_knows_what_it_does_not_know(ask, method, path, token, status, words):
    said = ask(method, path, **({"token": token} if token else {}))
    assert said.status_code == status
    assert words in said.json()["message"]


def test_the_stand_in_takes_each_nonce_once_and_one_method_only(stand):
    url = f"{stand.base_url}/rest/V1/orders?searchCriteria[pageSize]=1&fields=total_count".replace("[", "%5B").replace(
        "]", "%5D"
    )

    def signed(**more):
        whose = {"client_secret": stand.consumer_secret, "resource_owner_key": stand.access_token}
        client = oauth1.Client(stand.consumer_key, **whose, resource_owner_secret=stand.token_secret, **more)
        _, headers, _ = client.sign(url)
        return requests.get(url, headers=headers, timeout=5)

    once = {"signature_method": "HMAC-SHA256", "nonce": "n1"}
    assert signed(**once).json() == {"total_count": len(stand.orders)}
    assert "nonce is already being used" in signed(**once).json()["message"]
    assert signed(signature_method="HMAC-SHA1").json()["message"] == "Signature method %1 is not supported"
