"""`show ID` tells what happened, why a shipment is where it is, what comes next, and what a person can do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support import NOON, row

from shipfwd import story
from shipfwd.settings import Config

NUMBER = "620022696408430119458408"


def told(filled, shipment_id: int, whole: bool = False) -> str:
    found = filled.store.story(shipment_id)
    assert found is not None
    return story.tell(*found, Config(filled.store.config()), filled.clock(), "Shop", whole)


@pytest.fixture
def waiting(filled):
    """One shipment that waits for 'Shipped', made two hours ago."""
    shop = filled.integration("my shop", trigger="status:Shipped")
    filled.put(
        shop, row("A 1", "6200 2269 6408 4301 1945 8408", carrier="inpost", created_at=NOON - timedelta(hours=2))
    )
    return filled


def change(filled, **values) -> None:
    filled.change(f"UPDATE shipments SET {', '.join(f'{name} = ?' for name in values)}", *values.values())


def test_it_begins_with_what_the_parcel_is(waiting):
    first = told(waiting, 1).split("\n")[:3]
    assert first == [
        f"Shipment 1: {NUMBER} (InPost) for order A 1 of my shop (Shop)",
        "  It was given as '6200 2269 6408 4301 1945 8408'.",
        f"  Where the parcel is: https://inpost.pl/sledzenie-przesylek?number={NUMBER}",
    ]


NOW, BEFORE, LATER = "2026-11-23T12:00:00Z", "2026-11-23T11:00:00Z", "2026-11-23T12:05:00Z"


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        (
            {},
            [
                "Now: waiting: waits for its order to reach 'Shipped'; it has no status yet.",
                "Next: the sweep of 2026-11-23 13:30 sends it if its order is in 'Shipped' then; "
                "the last one in time is at 2026-11-26 09:30.",
                "  shipfwd order move 'A 1' --to Shipped -i 'my shop'  then the next sweep sends it",
            ],
        ),
        (
            {"created_at": "2026-11-20T12:10:00Z"},
            ["Next: it expires: its window ends 2026-11-23 13:10, and the next sweep is at 2026-11-23 13:30."],
        ),
        (
            {"due_at": BEFORE},
            [
                "2026-11-23 12:00     Became due: its order was in 'Shipped'.",
                "Next: the sweep of 2026-11-23 13:30 sends it, or any run before.",
            ],
        ),
        (
            {"due_at": BEFORE, "next_attempt_at": LATER, "reason": "the shop does not answer"},
            [
                "Now: retrying: the shop does not answer.",
                "Next: it is tried again by the first run after 2026-11-23 13:05 "
                "(a full sweep comes at 2026-11-23 13:30).",
            ],
        ),
        (
            {"due_at": BEFORE, "next_attempt_at": LATER, "in_doubt_since": NOW, "reason": "in doubt: silence"},
            [
                "     In doubt since 2026-11-23 13:00: a write left and its answer was lost.",
                "Next: it is looked up by the first run after 2026-11-23 13:05 "
                "(a full sweep comes at 2026-11-23 13:30).",
                "  shipfwd settle 1 --arrived  or --not-arrived, once you looked there",
            ],
        ),
        ({"state": "sending"}, ["Next: the next run asks the platform what it has."]),
        (
            {"state": "forwarded", "forwarded_at": NOW},
            [
                "Now: forwarded 2026-11-23 13:00, not read back yet.",
                "Next: a sweep reads it back, by 2026-11-23 13:30 at the latest "
                "where the platform has answered by then.",
            ],
        ),
        (
            {"state": "forwarded", "forwarded_at": NOW, "confirmed_at": NOW, "status_sent_at": NOW},
            [
                "Now: forwarded 2026-11-23 13:00, seen there 2026-11-23 13:00.",
                "     The order was marked as sent 2026-11-23 13:00.",
                "Next: nothing; it is done.",
            ],
        ),
        (
            {"state": "failed", "reason": "refused", "kind": "Rejected"},
            ["Now: failed: refused.", "Next: nothing, as long as nobody acts; failed shipments stay so."],
        ),
        (
            {"state": "blocked", "reason": "no name", "kind": "CarrierNotAccepted"},
            [
                "Next: each run examines it again, and sends it once what blocks it is gone.",
                "  shipfwd carriers map -i 'my shop' inpost=THEIRS  say what they call the carrier",
            ],
        ),
        (
            {"state": "blocked", "reason": "Empik shows one number, has 1", "kind": "OneNumber"},
            ["Next: nothing, as long as nobody acts; blocked shipments stay so."],
        ),
        ({"state": "expired", "reason": "too late"}, ["  shipfwd forward 1  now, whatever it waits for"]),
        ({"state": "dropped"}, ["Next: nothing, as long as nobody acts; dropped shipments stay so."]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_every_state_says_why_what_next_and_what_one_can_do(waiting, values, lines):
    if values:
        change(waiting, **values)
    text = told(waiting, 1).split("\n")
    for line in lines:
        assert line in text, "\n".join(text)


def test_where_a_platform_shows_no_numbers_nobody_promises_to_read_one_back(waiting):
    change(waiting, state="forwarded", forwarded_at=NOW)
    row, lines = waiting.store.story(1)
    text = story.tell(row, lines, Config({}), waiting.clock(), "Kaufland", read_back=False)
    assert "Next: nothing; the platform shows no numbers, so nobody can read it back." in text.split("\n")


def test_what_is_in_its_status_goes_out_with_the_next_sweep(waiting):
    waiting.change("UPDATE orders SET status = 'Shipped', status_key = 'shipped'")
    assert "Next: the sweep of 2026-11-23 13:30 sends it." in told(waiting, 1).split("\n")


def test_what_is_switched_off_says_how_to_switch_it_on(filled):
    filled.put(filled.integration(enabled=False), row("1", NUMBER))
    assert "  shipfwd integration enable shop  switch forwarding on" in told(filled, 1).split("\n")


def test_each_attempt_is_a_sentence_with_its_requests_under_it(shop):
    shop.add()
    shop.sim.platform("woocommerce").add_order("101")
    shop.run("add", "101", NUMBER, "-i", "shop", "--carrier", "inpost")
    text = shop.run("show", 1).out
    lines = text.split("\n")
    (sent,) = [number for number, line in enumerate(lines) if line.endswith("Sent; WooCommerce accepted the number.")]
    assert lines[sent].startswith("2026-11-23 13:00:00  ")
    assert any(line.startswith("    GET http://127.0.0.1") and line.endswith("→ 200") for line in lines)
    assert any(line.startswith("      > ") and NUMBER in line for line in lines)
    assert all(len(line) < 300 for line in lines)
    assert "in full: shipfwd -v show 1" in text
    assert "Became due: it is sent as soon as it is created." in text
    whole = shop.run("-v", "show", 1).out
    assert len(whole) > len(text)
    assert "in full" not in whole


def test_a_write_and_a_refusal_keep_what_the_platforms_support_asks_for(shop):
    orders = list(shop.sim.platform("allegro").seed())
    shop.add("allegro", "allegro")
    shop.run("add", orders[0], "620000000000000000000001", "-i", "allegro", "--carrier", "inpost")
    lines = [line.strip() for line in shop.run("show", "1").out.splitlines() if "/shipments →" in line]
    assert [(line.split()[0], "→ 201 (Trace-Id 5ed4773c0" in line) for line in lines] == [
        ("GET", False),
        ("POST", True),
    ]
    shop.run("add", "no-such-order", "620000000000000000000002", "-i", "allegro", "--carrier", "inpost")
    assert "→ 422 (Trace-Id 5ed4773c0" in shop.run("show", "2").out


def test_a_write_without_an_answer_is_shown_as_such(waiting):
    waiting.change(
        "INSERT INTO attempts (shipment_id, run_id, at, step, outcome, method, url, request)"
        " VALUES (1, 1, '2026-11-23T12:00:00Z', 'forward', 'left', 'POST', 'https://shop.example/x', '{}')"
    )
    text = told(waiting, 1)
    assert "    POST https://shop.example/x → no answer" in text.split("\n")


@pytest.mark.parametrize("step", ["look", "forward", "status", "verify", "correct", "person"])
def test_what_it_does_not_know_it_says_as_it_is(step):
    line = {"step": step, "outcome": "something new", "detail": "a detail"}
    assert story._sentence(line, "Shop") == f"{step[:1].upper()}{step[1:]}, something new: a detail."


def test_json_stays_the_journal(shop):
    shop.add()
    shop.run("add", "101", NUMBER, "-i", "shop", "--carrier", "inpost")
    lines = shop.json("show", 1)
    assert {"id", "at", "run_id", "step", "outcome", "detail", "method", "url", "status", "request", "answer"} == set(
        lines[0]
    )


@pytest.mark.parametrize("kind", ["NotUnderstood", "Bug"])
def test_a_failed_one_that_may_have_arrived_is_not_said_to_be_lost_or_tried_again(waiting, kind):
    waiting.change(
        "UPDATE shipments SET state = 'failed', kind = ?, in_doubt_since = '2026-11-23T12:00:00Z',"
        " reason = 'the answer has no id; the number may be there' WHERE id = 1",
        kind,
    )
    text = told(waiting, 1)
    assert "Now: failed: the answer has no id; the number may be there." in text
    assert "a write left and nobody knows whether it was done" in text
    assert "Next: nothing, as long as nobody acts" in text
    assert "it is sent only if it is absent" in text
    assert "shipfwd settle 1 --arrived" in text
    assert "shipfwd drop" not in text
    assert "answer was lost" not in text
