"""--log-format json: one event a line, for log collectors."""

from __future__ import annotations

import json

import pytest

INPOST = "62002269640843011945840{}"


def events(said):
    """The lines of stderr; each must be one JSON object."""
    return [json.loads(line) for line in said.err.splitlines()]


@pytest.fixture
def busy(shop):
    """A shop where one parcel can go and one cannot, both stored."""
    shop.add()
    shop.sim.platform("woocommerce").add_order("104", status="cancelled")
    for n, order in ((1, "101"), (2, "104")):
        shop.run("add", order, INPOST.format(n), "-i", "shop", "--carrier", "inpost", "--no-forward")
    return shop


def test_a_run_is_told_from_its_start_to_its_counts(busy):
    said = busy.run("--log-format", "json", "forward")
    assert said.code == 1
    told = events(said)
    assert [(one["event"], one["level"]) for one in told if one["event"] != "order"] == [
        ("run started", "info"),
        ("shipment", "info"),
        ("shipment", "error"),
        ("message", "error"),
        ("run ended", "error"),
    ]
    assert {one["time"] for one in told} == {"2026-11-23T12:00:00Z"}
    assert len({one["run"] for one in told if one["event"] != "message"}) == 1
    start, sent, refused, *_, end = [one for one in told if one["event"] != "order"]
    assert (start["command"], start["dry_run"]) == ("forward", False)
    assert {key: sent[key] for key in ("id", "integration", "order_id", "state", "outcome")} == {
        "id": 1, "integration": "shop", "order_id": "101", "state": "forwarded", "outcome": "accepted",
    }  # fmt: skip
    assert (refused["id"], refused["state"], refused["class"]) == (2, "failed", "Rejected")
    assert "cancelled" in refused["reason"]
    assert (end["exit_code"], end["counts"]["forwarded"], end["counts"]["failed"]) == (1, 1, 1)
    assert end["seconds"] >= 0


def test_an_order_that_was_marked_as_sent_is_told_too(busy):
    (order,) = (one for one in events(busy.run("--log-format", "json", "forward")) if one["event"] == "order")
    assert (order["order_id"], order["outcome"], order["level"]) == ("101", "marked as sent", "info")


def test_quietly_only_what_needs_a_person_is_told(busy):
    told = events(busy.run("-q", "--log-format", "json", "forward"))
    assert {one["level"] for one in told} == {"error"}
    assert [one.get("id") for one in told if one["event"] == "shipment"] == [2]
    assert not busy.run("-q", "--log-format", "json", "forward").err


def test_the_format_can_come_from_the_environment_and_stdout_stays_data(busy, monkeypatch):
    monkeypatch.setenv("SHIPFWD_LOG_FORMAT", "json")
    said = busy.run("forward", "--dry-run", "--format", "json")
    assert json.loads(said.out)
    started, *_, ended = events(said)
    assert started["dry_run"]
    assert ended["event"] == "run ended"


@pytest.mark.parametrize(
    ("command", "state"), [(("drop", "1", "--reason", "label cancelled"), "dropped"), (("forward", "1"), "forwarded")]
)
def test_what_a_person_decides_is_in_the_log(busy, command, state):
    (one,) = (one for one in events(busy.run("--log-format", "json", *command)) if one["event"] == "shipment")
    assert (one["id"], one["order_id"], one["state"]) == (1, "101", state)


def test_what_expires_is_in_the_log(busy):
    busy.run("integration", "edit", "shop", "--trigger", "status:Go")
    busy.clock.forward(hours=73)
    gone = [one for one in events(busy.run("--log-format", "json", "sweep")) if one["event"] == "shipment"]
    assert {(one["id"], one["state"], one["level"]) for one in gone} == {
        (1, "expired", "error"),
        (2, "expired", "error"),
    }


def test_an_error_is_an_event_and_no_secret_and_no_control_character_gets_in(busy, monkeypatch):
    monkeypatch.setenv("T_SHOP_CONSUMER_KEY", "SECRET-planted-key-1")
    said = busy.run("--log-format", "json", "order", "move", "1\x1b[2J9", "--to", "Go", "-i", "shop")
    (told,) = events(said)
    assert (said.code, told["level"], told["event"]) == (2, "error", "message")
    assert "\x1b" not in said.err
    said = busy.run("--log-format", "json", "forward")
    assert "SECRET" not in said.err
    assert INPOST.format(1)[-6:] not in "".join(line for line in said.err.splitlines() if '"event": "shipment"' in line)
