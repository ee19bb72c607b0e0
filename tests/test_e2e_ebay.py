"""eBay from the command line to its stand-in and back, over real sockets."""

from __future__ import annotations

import pytest
import requests

NUMBER = "RR123456785PL"
ORDER, SPLIT, CANCELLED, UNPAID, FOREIGN, BY_HAND, ASKED = (f"12-34567-{place:05d}" for place in (1, 2, 4, 5, 6, 7, 8))
WRITE = "POST .*/shipping_fulfillment"


@pytest.fixture
def stand(sim):
    found = sim.platform("ebay")
    found.seed()
    return found


@pytest.fixture
def ebay(shop, stand):
    shop.add("ebay-main", "ebay")
    return shop


def send(shop, order, number=NUMBER, *more, carrier="poczta-polska"):
    shop.run("add", order, number, "-i", "ebay-main", "--carrier", carrier, "--no-forward", *more)
    return shop.run("forward")


def test_a_number_is_there_once_and_the_order_is_shipped(sim, ebay, stand):
    assert send(ebay, ORDER).code == 0
    (row,) = stand.orders[ORDER].rows
    assert (row["shipmentTrackingNumber"], row["shippingCarrierCode"]) == (NUMBER, "PocztaPolska")
    assert row["shippedDate"] == "2026-11-23T12:00:00.000Z"
    (shown,) = ebay.json("status")
    assert (shown["state"], shown["remote_id"]) == ("forwarded", NUMBER)
    assert shown["confirmed_at"]
    assert shown["status_sent_at"] == shown["forwarded_at"]
    assert ebay.run("forward").code == 0
    assert ebay.run("forward", "--again", "-i", "ebay-main").code == 0
    assert ebay.run("verify").code == 0
    assert len(sim.calls("ebay", WRITE)) == 1


@pytest.mark.parametrize("again", ["double", "conflict", "put"])
def test_a_lost_answer_is_looked_up_and_the_number_is_there_once(sim, ebay, stand, again):
    stand.again = again
    sim.fail_next("ebay", "drop", match=WRITE)
    assert send(ebay, ORDER).code == 4
    (shown,) = ebay.json("status")
    assert (shown["state"], shown["reason"][:8]) == ("retrying", "in doubt")
    ebay.clock.forward(seconds=61)
    assert ebay.run("forward").code == 0
    assert stand.numbers(ORDER) == [NUMBER]
    assert ebay.states() == {ORDER: "forwarded"}
    assert len(sim.calls("ebay", WRITE)) == 1


def test_a_write_that_never_arrived_is_sent_again_once_it_cannot_arrive_any_more(sim, ebay, stand):
    sim.fail_next("ebay", "close", match=WRITE)
    assert send(ebay, ORDER).code == 4
    ebay.clock.forward(seconds=30)
    assert ebay.run("forward", "1").code == 4
    assert len(sim.calls("ebay", WRITE)) == 1
    ebay.clock.forward(seconds=31)
    assert ebay.run("forward").code == 0
    assert stand.numbers(ORDER) == [NUMBER]


@pytest.mark.parametrize("again", ["conflict", "put"])
def test_a_refusal_that_means_it_is_there_already_is_looked_into(ebay, stand, again):
    """The look before the write did not show it yet."""
    stand.again, stand.lag_seconds = again, 3600
    stand.put(ORDER, NUMBER, "PocztaPolska")
    assert send(ebay, ORDER).code == 1
    (shown,) = ebay.json("status")
    assert shown["state"] == "failed"
    assert "does not show the number" in shown["reason"]
    stand.lag_seconds = 0
    assert ebay.run("forward", "1").code == 0
    assert stand.numbers(ORDER) == [NUMBER]


@pytest.mark.parametrize(
    ("order", "code", "state", "reason"),
    [
        (CANCELLED, 1, "failed", "cancelled"),
        (UNPAID, 4, "retrying", "not paid"),
        (ASKED, 4, "retrying", "accept or reject it"),
        (FOREIGN, 1, "failed", "1Z999AA10123456784"),
        ("none", 1, "failed", "knows no order"),
    ],
)
def test_nothing_is_written_on_an_order_that_takes_no_number(sim, ebay, stand, order, code, state, reason):
    assert send(ebay, order).code == code
    (shown,) = ebay.json("status")
    assert shown["state"] == state
    assert reason in shown["reason"]
    assert sim.calls("ebay", WRITE) == []


def test_an_order_marked_as_shipped_by_hand_still_gets_its_number(ebay, stand):
    assert send(ebay, BY_HAND).code == 0
    assert stand.numbers(BY_HAND) == [NUMBER]


def test_two_parcels_name_their_lines_and_both_numbers_stand_there(ebay, stand):
    first, second = (line.id for line in stand.orders[SPLIT].lines)
    assert send(ebay, SPLIT, "RR123456799PL", "--item", first).code == 0
    assert send(ebay, SPLIT, "RR123456808PL").code == 1
    assert ebay.json("status", "--state", "blocked")[0]["reason"].endswith("needs its --item")
    ebay.run("add", SPLIT, "RR123456808PL", "-i", "ebay-main", "--item", second)
    assert ebay.run("forward").code == 0
    lines = [[item["lineItemId"] for item in row["lineItems"]] for row in stand.orders[SPLIT].rows]
    assert lines == [[first], [second]]


def test_the_days_quota_stops_the_run_and_the_next_one(sim, ebay, stand):
    stand.calls_a_day = 0
    for place in (1, 2, 3):
        order, number = f"12-34567-{place:05d}", f"RR12345678{place}PL"
        ebay.run("add", order, number, "-i", "ebay-main", "--carrier", "poczta-polska", "--no-forward")
    assert ebay.run("forward").code == 4
    assert set(ebay.states().values()) == {"retrying"}
    assert ebay.run("forward", "1").code == 4
    assert [one.status for one in sim.calls("ebay", "/sell/")] == [429]


@pytest.mark.parametrize(
    ("option", "value", "code", "state", "word"),
    [
        ("suspended", True, 3, "pending", "suspended"),
        ("numbers_per_order", 0, 1, "failed", "as many numbers as eBay allows"),
        ("empty_object", True, 0, "forwarded", ""),
    ],
)
def test_what_else_ebay_answers(ebay, stand, option, value, code, state, word):
    setattr(stand, option, value)
    said = send(ebay, ORDER)
    (shown,) = ebay.json("status")
    assert (said.code, shown["state"]) == (code, state)
    assert word in said.err


def test_the_refresh_token_stays_when_the_access_token_ends(ebay, stand):
    assert send(ebay, ORDER).code == 0
    ebay.clock.forward(hours=3)
    stand.desk.expire_access()
    assert send(ebay, "12-34567-00003").code == 0
    assert (stand.desk.refreshes, stand.desk.refused) == (2, 0)


def test_a_login_in_the_browser_is_kept_with_its_end(shop, stand, monkeypatch):
    settings, secrets = stand.credentials()
    monkeypatch.setenv("CERT", secrets["client_secret"])
    given = [f"--set={key}={value}" for key, value in settings.items() if key != "ru_name"]
    given += ["--platform", "ebay", "--secret", "client_secret=env:CERT"]
    said = shop.run("integration", "add", "ebay-main", *given)
    assert "integration login ebay-main" in said.err
    said = log_in(shop, monkeypatch, "ebay-main", stand.ru_name)
    assert (said.code, "logged in as sim_seller" in said.err) == (0, True), said
    (row,) = shop.json("integration", "list")
    assert row["login_expires_at"].startswith("2028-05-2")
    assert send(shop, ORDER).code == 0


def log_in(shop, monkeypatch, name, *answers):
    """Answer the questions; the last answer is where the browser ended."""
    told: list[str] = []
    given = list(answers)

    def ask(app, question):
        if given:
            return given.pop(0)
        page = next(word for line in told for word in line.split() if "state=" in word)
        with requests.Session() as browser:
            browser.trust_env = False
            return browser.get(page, allow_redirects=False, timeout=5).headers["Location"]

    monkeypatch.setattr("shipfwd.cli.app.App.ask", ask)
    monkeypatch.setattr("shipfwd.cli.app.App.note", lambda app, text: told.append(text))
    return shop.run("integration", "login", name)
