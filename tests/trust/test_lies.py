"""Platforms that lie: a success that stored nothing, or elsewhere, or that is gone later, is found and shown."""

from __future__ import annotations

import copy

import park
import pytest
from park import PLATFORMS

KEPT = ("now", "lock", "desk", "prefix", "base_url")  # not what stands on orders


def forgets(sim, monkeypatch, number):
    """The vendor's own answer to a write of this number, and nothing of it stays."""
    asks = sim._ask

    def ask(stand, request):
        if request.method == "GET" or number not in f"{request.target} {request.body.decode()}":
            return asks(stand, request)
        before = copy.deepcopy({name: value for name, value in vars(stand).items() if name not in KEPT})
        answer = asks(stand, request)
        vars(stand).update(before)
        return answer

    monkeypatch.setattr(sim, "_ask", ask)


@pytest.fixture
def lied_to(sim, shop, monkeypatch):
    park.hurry(monkeypatch)

    def setup(platform, lie=True):
        words, env = park.credentials(sim, platform)
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        assert shop.run("integration", "add", *words).code == 0
        (one,) = park.dues(platform, 1, 1, several=10**9)
        with monkeypatch.context() as lying:
            if lie:
                forgets(sim, lying, one.number)
            shop.run("add", one.order, one.number, "-i", platform, "--carrier", park.carrier(platform))
        return one

    return setup


def later(sim, shop):
    shop.clock.forward(seconds=2000)
    sim.advance(2000)
    return shop.run("sweep")


def verdicts(shop):
    said = shop.run("verify", "--format", "json")
    return said.code, [(row["order_id"], row["tracking_number"], row["verdict"], row["there"]) for row in said.data]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_success_that_stored_nothing_is_found(platform, sim, shop, lied_to):
    one = lied_to(platform)
    assert sim.platform(platform).numbers(one.order) == []
    (row,) = shop.json("status", "--all")
    if row["confirmed_at"]:  # its answer showed the number: only a look can tell
        assert verdicts(shop) == (1, [(one.order, one.number, "missing", "")])
        later(sim, shop)
        assert sim.platform(platform).numbers(one.order) == [], "a number that was confirmed is never sent again"
        return
    if row["state"] == "forwarded":
        assert row["reason"] == "accepted, not read back yet"
        later(sim, shop)
        (row,) = shop.json("status", "--all")
    if not park.platforms.load(platform).read_back:  # nothing can be read there: it never counts as confirmed
        assert (row["confirmed_at"], verdicts(shop)[0]) == (None, 4)
        return
    harmless = park.platforms.load(platform).repeat == "harmless" or platform == "empik"
    if harmless and row["state"] != "failed":  # by then it was sent once more
        later(sim, shop)
        (row,) = shop.json("status", "--all")
    there = sim.platform(platform).numbers(one.order)
    assert (row["state"], there) in (("forwarded", [one.number]), ("failed", [])), row
    assert row["state"] == "forwarded" or row["reason"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_number_that_is_gone_later_is_reported_and_never_sent_again(platform, sim, shop, lied_to):
    one = lied_to(platform, lie=False)
    later(sim, shop)
    (row,) = shop.json("status", "--all")
    assert bool(row["confirmed_at"]) is bool(park.platforms.load(platform).read_back), row
    before = len(sim.requests)
    stand = sim.platform(platform)
    orders, stand.orders = stand.orders, {}
    stand.find(one.order)
    assert stand.orders
    code, found = verdicts(shop)
    assert code in (1, 4), found
    assert [line[2] for line in found] in (["missing"], ["unreadable"]), found
    later(sim, shop)
    assert stand.numbers(one.order) == []
    assert orders[one.order].id == one.order
    assert len(sim.requests) > before or not park.platforms.load(platform).read_back


@pytest.mark.parametrize("platform", ["allegro", "woocommerce"])
def test_a_number_on_the_wrong_order_is_missing_here_and_extra_there(platform, sim, shop, lied_to):
    one = lied_to(platform, lie=False)
    (other,) = park.dues(platform, 2, 1, several=10**9)
    shop.run("add", other.order, other.number, "-i", platform, "--carrier", park.carrier(platform))
    stand = sim.platform(platform)
    here, there = stand.orders[one.order], stand.orders[other.order]
    there.rows, here.rows = [*there.rows, *here.rows], []
    code, found = verdicts(shop)
    assert code == 1
    assert (one.order, one.number, "missing", "") in found
    assert (other.order, other.number, "confirmed", "") in found
    assert (other.order, None, "extra", one.number) in found


@pytest.mark.parametrize("platform", ["allegro", "erli"])
def test_another_number_in_the_place_of_ours_is_different(platform, sim, shop, lied_to):
    one = lied_to(platform, lie=False)
    stand = sim.platform(platform)
    for row in stand.orders[one.order].rows:
        for key, value in row.items():
            row[key] = "0000000000000X" if value == one.number else value
    assert stand.numbers(one.order) == ["0000000000000X"]
    code, found = verdicts(shop)
    assert (code, found[0][2:]) == (1, ("different", "0000000000000X"))
