"""Time through whole runs: clocks that jump, the edge of the window, slots in other zones, a machine that slept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shipfwd import http
from shipfwd.simulator._faults import parse_kind

HOUR = timedelta(hours=1)
BACK, AHEAD, FAR_BACK = -HOUR, timedelta(days=1), -timedelta(days=2)
NUMBER = "0000123456789U"


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def numbers(sim, order="1001"):
    return sim.platform("woocommerce").numbers(order)


def add(shop, *more):
    assert shop.run("add", "1001", NUMBER, "-i", "shop", "--carrier", "dpd", "--no-forward", *more).code == 0


def jumping(shop, monkeypatch, jump):
    """The clock jumps in the moment in which the first write leaves."""
    prepares, jumps = http._prepare, [jump]

    def prepare(request, headers):
        if jumps and request.method != "GET":
            shop.clock.now += jumps.pop()
        return prepares(request, headers)

    monkeypatch.setattr(http, "_prepare", prepare)
    return jumps


def until_settled(shop, sim, most):
    """A cron every ten minutes, until the shipment is forwarded; never more than one number on the order."""
    end = shop.clock.now + most
    while (row := shop.json("status")[0])["state"] != "forwarded":
        assert row["state"] in ("pending", "retrying"), row
        assert shop.clock.now < end, row
        shop.clock.forward(minutes=10)
        assert shop.run("sweep", "--if-due").code in (0, 1, 4)
        assert len(numbers(sim)) <= 1
    assert numbers(sim) == [NUMBER]


# ---- clocks that jump ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["", "close", "close-after", "503"])
@pytest.mark.parametrize("jump", [BACK, AHEAD, FAR_BACK])
def test_a_clock_that_jumps_between_claim_and_settle_loses_and_doubles_nothing(jump, fault, sim, shop, monkeypatch):
    shop.add("shop", "woocommerce", "--no-status-transfer")
    add(shop)
    jumps = jumping(shop, monkeypatch, jump)
    if fault:
        sim._faults.plan("woocommerce", parse_kind(fault), 1, r"^(POST|PUT)", 0)
    said = shop.run("sweep")
    assert not jumps
    assert said.code in ((1, 4) if fault else (0,)), said  # a day ahead, it is told as late too
    until_settled(shop, sim, max(-jump if -jump < 25 * HOUR else HOUR, HOUR) + timedelta(minutes=20))


@pytest.mark.parametrize("jump", [timedelta(0), BACK, AHEAD, FAR_BACK])
def test_doubt_is_not_cut_short_by_a_clock_that_jumped_within_the_run(jump, sim, shop, monkeypatch):
    """A look a few seconds after the write finds nothing yet: nothing is sent again then."""
    shop.add("shop", "woocommerce", "--no-status-transfer")
    add(shop)
    jumping(shop, monkeypatch, jump)
    sim._faults.plan("woocommerce", parse_kind("close"), 1, r"^(POST|PUT)", 0)
    assert shop.run("sweep").code in (1, 4)
    for _ in range(2):
        shop.clock.forward(seconds=5)
        shop.run("sweep")
        shop.run("forward", "1")
        assert numbers(sim) == [], "sent again while the first one could still arrive"
    assert shop.json("status")[0]["state"] == "retrying"


@pytest.mark.parametrize(
    ("jump", "most"), [(BACK, HOUR), (-23 * HOUR, 23 * HOUR), (-26 * HOUR, timedelta(0)), (AHEAD, timedelta(0))]
)
@pytest.mark.parametrize("fault", ["503", "close", "close-after"])
def test_a_clock_that_jumps_between_runs_or_in_doubt_delays_and_loses_nothing(fault, jump, most, sim, shop):
    """Back by less than 25 hours, the wait lasts that much longer; by more, what was set counts as come."""
    shop.add("shop", "woocommerce", "--no-status-transfer")
    add(shop)
    sim._faults.plan("woocommerce", parse_kind(fault), 1, r"^(POST|PUT)", 0)
    assert shop.run("sweep").code == 4
    shop.clock.now += jump
    until_settled(shop, sim, most + timedelta(minutes=20))


def test_what_was_due_before_a_clock_was_put_back_is_sent_when_its_time_comes_again(sim, shop):
    shop.add("shop", "woocommerce", "--no-status-transfer")
    add(shop)
    sim._faults.plan("woocommerce", parse_kind("401"), 1, r"^(POST|PUT)", 0)
    assert shop.run("sweep").code == 3
    shop.clock.now += BACK
    until_settled(shop, sim, HOUR + timedelta(minutes=20))


# ---- the window ----------------------------------------------------------------------------------------------

CREATED = {  # as it is given → what it means
    "2026-11-20 13:00:00": "2026-11-20T12:00:00",  # naive: Warsaw's wall
    "2026-11-20": "2026-11-20T22:59:59",  # a date: its end
    "2026-11-20T07:00:00-05:00": "2026-11-20T12:00:00",
    "2026-11-20T17:45:00+05:45": "2026-11-20T12:00:00",
    "2026-10-23 13:00:00": "2026-10-23T11:00:00",  # the clocks change in its window: 72 hours that elapsed
    "2026-03-28T12:00:00Z": "2026-03-28T12:00:00",
}


@pytest.mark.parametrize(("late", "state"), [(0, "forwarded"), (0.999, "forwarded"), (1, "expired")])
@pytest.mark.parametrize("trigger", ["created", "status:Packed"])
@pytest.mark.parametrize("given", CREATED)
def test_the_window_ends_to_the_second_for_each_kind_of_date_and_trigger(given, trigger, late, state, sim, shop):
    created = utc(CREATED[given])
    shop.clock.now = created + 24 * HOUR
    shop.add("shop", "woocommerce", "--no-status-transfer", "--trigger", trigger)
    add(shop, "--created-at", given)
    shop.clock.now = created + 72 * HOUR + timedelta(seconds=late)
    if trigger != "created":
        assert shop.run("order", "move", "1001", "--to", " packed ", "-i", "shop").code == 0
    said = shop.run("sweep")
    assert (shop.json("status")[0]["state"], said.code) == (state, 0 if state == "forwarded" else 1), said
    assert numbers(sim) == ([NUMBER] if state == "forwarded" else [])
    assert state == "forwarded" or "1001" in said.err


@pytest.mark.parametrize("trigger", ["created", "status:Packed"])
def test_a_future_date_counts_from_its_import(trigger, sim, shop):
    shop.add("shop", "woocommerce", "--no-status-transfer", "--trigger", trigger)
    add(shop, "--created-at", "2026-11-24T11:00:00Z", "--status", "Packed")
    shop.clock.forward(hours=72)
    assert shop.run("sweep").code == 0
    assert numbers(sim) == [NUMBER]
    said = shop.run("add", "1002", NUMBER, "-i", "shop", "--carrier", "dpd", "--created-at", "2027-11-24")
    assert said.code in (1, 2) and "24 hours ahead" in said.err


# ---- slots ---------------------------------------------------------------------------------------------------

CHANGES = [
    ("Europe/Warsaw", "2026-03-29"), ("Europe/Warsaw", "2026-10-25"), ("UTC", "2026-03-29"),
    ("America/New_York", "2026-03-08"), ("America/New_York", "2026-11-01"), ("Asia/Kathmandu", "2026-10-25"),
    ("Pacific/Apia", "2020-09-27"), ("Pacific/Apia", "2021-04-04"), ("Australia/Lord_Howe", "2026-10-04"),
    ("Australia/Lord_Howe", "2026-04-05"),
]  # fmt: skip


def wall_slots(zone, day, times):
    """When the wall first shows each time of that day or later: minute by minute, as somebody who looks at it."""
    at, found = utc(day) - 14 * HOUR, {}
    while at < utc(day) + 38 * HOUR:
        wall = at.astimezone(zone)
        if wall.date().isoformat() == day:
            for time in times:
                if time not in found and wall.strftime("%H:%M") >= time:
                    found[time] = at
        at += timedelta(minutes=1)
    return sorted(set(found.values()))


def last_pass(shop):
    with closing(sqlite3.connect(shop.db)) as db:
        return db.execute("SELECT last_pass_at FROM integrations").fetchone()[0]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_each_slot_of_a_day_on_which_the_clocks_change_comes_once_and_none_is_left_out(zone, day, sim, shop):
    """Also those in the hour that is skipped or repeated: a run just before it, at it, and ten and 70 minutes later."""
    times = ("01:45", "02:15", "13:30")
    slots = wall_slots(ZoneInfo(zone), day, times)
    shop.clock.now = slots[0] - timedelta(hours=20)
    shop.add("shop", "woocommerce", "--no-status-transfer", "--trigger", "status:Packed")
    assert shop.run("config", "set", "timezone", zone).code == 0
    assert shop.run("config", "set", "sweep_times", ",".join(times)).code == 0
    shop.clock.now = slots[0] - timedelta(minutes=11)
    shop.run("sweep", "--if-due")  # the slot of the day before
    add(shop, "--status", "Packed")
    moments = sorted({slot + after for slot in slots for after in (-timedelta(seconds=1), timedelta(0),
                                                                   timedelta(minutes=10), 70 * HOUR / 60)})  # fmt: skip
    passes = []
    for shop.clock.now in moments:
        before = last_pass(shop)
        assert shop.run("sweep", "--if-due").code == 0
        if last_pass(shop) != before:
            passes.append(shop.clock.now)
        assert numbers(sim) == ([NUMBER] if passes else [])
    assert passes == slots


def test_a_machine_that_slept_over_slots_makes_up_for_the_latest_once(sim, shop):
    shop.add("shop", "woocommerce", "--no-status-transfer", "--trigger", "status:Packed")
    shop.run("sweep")
    add(shop, "--status", "Packed")
    shop.clock.forward(hours=50)
    assert shop.run("sweep", "--if-due").code == 0
    assert numbers(sim) == [NUMBER]
    woken = last_pass(shop)
    shop.clock.forward(minutes=10)
    assert shop.run("sweep", "--if-due").code == 0
    assert last_pass(shop) == woken


def test_a_machine_that_slept_over_the_window_says_what_it_did_not_send(sim, shop):
    shop.add("shop", "woocommerce", "--no-status-transfer", "--trigger", "status:Packed")
    shop.run("sweep")
    add(shop, "--status", "Packed")
    shop.clock.forward(hours=73)
    said = shop.run("-q", "sweep", "--if-due")
    assert (said.code, numbers(sim)) == (1, [])
    assert "order 1001" in said.err and "no sweep found it in 'Packed' within 72 hours" in said.err
    assert shop.run("-q", "sweep", "--if-due").err == ""
    assert shop.run("forward", "1").code == 0
    assert numbers(sim) == [NUMBER]
