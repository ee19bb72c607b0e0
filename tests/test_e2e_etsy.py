"""Etsy from the command line to its stand-in and back, over real sockets. Every write mails a buyer."""

from __future__ import annotations

import pytest
import requests

NUMBER = "RR123456785PL"
ORDER, CANCELLED, UNPAID, FOREIGN, BY_HAND, REFUNDED = (f"24552005{place:02d}" for place in (1, 4, 5, 6, 7, 8))
WRITE = "POST .*/tracking"


@pytest.fixture
def stand(sim):
    found = sim.platform("etsy")
    found.seed()
    found.mails.clear()
    return found


@pytest.fixture
def etsy(shop, stand):
    shop.add("etsy-main", "etsy")
    return shop


def send(shop, order, number=NUMBER, carrier="poczta-polska"):
    shop.run("add", order, number, "-i", "etsy-main", "--carrier", carrier, "--no-forward")
    return shop.run("forward")


def test_a_number_is_there_once_and_the_buyer_gets_one_mail(sim, etsy, stand):
    assert send(etsy, ORDER).code == 0
    assert stand.numbers(ORDER) == [NUMBER]
    assert stand.orders[ORDER].rows[0]["carrier_name"] == "Poczta Polska"
    (shown,) = etsy.json("status")
    assert shown["state"] == "forwarded"
    assert shown["confirmed_at"]
    assert shown["status_sent_at"] == shown["forwarded_at"]
    assert etsy.run("forward").code == 0
    assert etsy.run("forward", "--again", "-i", "etsy-main").code == 0
    assert etsy.run("verify").code == 0
    assert (len(sim.calls("etsy", WRITE)), len(stand.mails), stand.copies) == (1, 1, 0)


def test_a_lost_answer_is_looked_up_and_the_buyer_gets_one_mail(sim, etsy, stand):
    sim.fail_next("etsy", "drop", match=WRITE)
    assert send(etsy, ORDER).code == 4
    (shown,) = etsy.json("status")
    assert (shown["state"], shown["reason"][:8]) == ("retrying", "in doubt")
    etsy.clock.forward(seconds=601)
    assert etsy.run("forward").code == 0
    assert etsy.states() == {ORDER: "forwarded"}
    assert (stand.numbers(ORDER), len(stand.mails)) == ([NUMBER], 1)


def test_a_number_that_a_read_does_not_show_yet_is_not_sent_twice(sim, etsy, stand):
    stand.lag_seconds = 300
    sim.fail_next("etsy", "drop", match=WRITE)
    assert send(etsy, ORDER).code == 4
    for _ in range(5):
        etsy.clock.forward(seconds=90)
        assert etsy.run("forward", "1").code == 4
    sim.advance(300)
    etsy.clock.forward(seconds=90)
    assert etsy.run("forward", "1").code == 0
    assert (stand.numbers(ORDER), len(stand.mails)) == ([NUMBER], 1)


def test_a_write_that_never_arrived_is_sent_again_after_ten_minutes(sim, etsy, stand):
    sim.fail_next("etsy", "close", match=WRITE)
    assert send(etsy, ORDER).code == 4
    etsy.clock.forward(seconds=590)
    assert etsy.run("forward", "1").code == 4
    assert len(sim.calls("etsy", WRITE)) == 1
    etsy.clock.forward(seconds=11)
    assert etsy.run("forward").code == 0
    assert (stand.numbers(ORDER), len(stand.mails)) == ([NUMBER], 1)


@pytest.mark.parametrize("kind", ["502-after", "html-after", "cut"])
def test_an_answer_that_is_none_counts_as_lost(sim, etsy, stand, kind):
    sim.fail_next("etsy", kind, match=WRITE)
    assert send(etsy, ORDER).code == 4
    etsy.clock.forward(seconds=601)
    assert etsy.run("forward").code == 0
    assert (stand.numbers(ORDER), len(stand.mails)) == ([NUMBER], 1)


def test_a_number_that_etsy_drops_is_failed_and_adopted_once_it_was_entered_by_hand(sim, etsy, stand):
    stand.drops_numbers = True
    assert send(etsy, ORDER).code == 1
    (shown,) = etsy.json("status")
    assert shown["state"] == "failed"
    assert "enter the number by hand" in shown["reason"]
    assert etsy.run("forward").code == 0
    assert len(sim.calls("etsy", WRITE)) == 1
    stand.put(ORDER, NUMBER, "poczta-polska")
    assert etsy.run("forward", "1").code == 0
    assert etsy.states() == {ORDER: "forwarded"}
    assert len(sim.calls("etsy", WRITE)) == 1


def test_a_carrier_that_etsy_does_not_list_goes_as_other(etsy, stand):
    assert send(etsy, ORDER, "620999601234567890123456", "inpost").code == 0
    assert stand.orders[ORDER].rows[0]["carrier_name"] == "Other"


@pytest.mark.parametrize(
    ("order", "code", "state", "reason"),
    [
        (CANCELLED, 1, "failed", "cancelled"),
        (REFUNDED, 1, "failed", "refunded"),
        (UNPAID, 4, "retrying", "not paid"),
        ("12345", 1, "failed", "knows no order"),
        ("A-1", 1, "failed", "knows no order"),
    ],
)
def test_nothing_is_written_on_an_order_that_takes_no_number(sim, etsy, stand, order, code, state, reason):
    assert send(etsy, order).code == code
    (shown,) = etsy.json("status")
    assert shown["state"] == state
    assert reason in shown["reason"]
    assert sim.calls("etsy", WRITE) == []
    assert stand.mails == []


@pytest.mark.parametrize(("order", "numbers"), [(FOREIGN, ["1Z999AA10123456784", NUMBER]), (BY_HAND, [NUMBER])])
def test_a_number_goes_beside_what_is_there(etsy, stand, order, numbers):
    assert send(etsy, order).code == 0
    assert stand.numbers(order) == numbers


def test_a_corrected_number_stands_beside_the_old_one(etsy, stand):
    assert send(etsy, ORDER).code == 0
    said = etsy.run("correct", "1", "RR123456799PL", "--yes")
    assert (said.code, "cannot be removed" in said.err) == (0, True)
    assert stand.numbers(ORDER) == [NUMBER, "RR123456799PL"]
    (row,) = etsy.json("status")
    assert row["reason"] == f"stands beside {NUMBER}, which only a person can remove there"


def test_the_two_limits_are_told_apart(sim, etsy, stand):
    stand.retry_after = 0  # without it the run waits two seconds
    sim.fail_next("etsy", "429", match="GET .*/receipts")
    assert send(etsy, ORDER).code == 0
    stand.calls_a_day = 0
    assert send(etsy, "2455200502").code == 4
    (shown,) = etsy.json("status", "--state", "retrying")
    assert "calls a day" in shown["reason"]
    assert shown["next_attempt_at"] == "2026-11-24T12:00:00Z"
    assert etsy.run("forward", "2").code == 4
    assert [one.status for one in sim.calls("etsy", "GET .*/receipts")] == [429, 200, 429]


def test_each_refresh_token_is_used_once(etsy, stand):
    assert send(etsy, ORDER).code == 0
    for place in (2, 3):
        etsy.clock.forward(hours=2)
        stand.desk.expire_access()
        assert send(etsy, f"24552005{place:02d}", f"RR12345678{place}PL").code == 0
    assert (stand.desk.refreshes, stand.desk.refused) == (3, 0)


def test_a_key_without_its_secret_is_told_as_such(shop, stand):
    stand.shared_secret = "SECRET-right"
    shop.add("etsy-main", "etsy")
    stand.shared_secret = "SECRET-changed-since"
    said = send(shop, ORDER)
    assert said.code == 3
    assert "check keystring and shared_secret" in said.err
    assert shop.states() == {ORDER: "pending"}


def test_a_login_in_the_browser_proves_itself_and_is_kept(shop, stand, monkeypatch):
    settings, secrets = stand.credentials()
    monkeypatch.setenv("SHARED", secrets["shared_secret"])
    given = [f"--set={key}={value}" for key, value in settings.items()]
    given += ["--platform", "etsy", "--secret", "shared_secret=env:SHARED"]
    said = shop.run("integration", "add", "etsy-main", *given)
    assert "integration login etsy-main" in said.err
    told: list[str] = []

    def browse(app, question):
        page = next(word for line in told for word in line.split() if "state=" in word)
        with requests.Session() as browser:
            browser.trust_env = False
            return browser.get(page, allow_redirects=False, timeout=5).headers["Location"]

    monkeypatch.setattr("shipfwd.cli.app.App.ask", browse)
    monkeypatch.setattr("shipfwd.cli.app.App.note", lambda app, text: told.append(text))
    said = shop.run("integration", "login", "etsy-main")
    assert (said.code, f"logged in as {stand.shop_id}" in said.err) == (0, True), said
    assert shop.json("integration", "list")[0]["login_expires_at"] == "2027-02-21T12:00:00Z"
    assert send(shop, ORDER).code == 0
