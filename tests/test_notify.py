"""What needs a person is told once, through Apprise, and never at the cost of a run."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support import NOON

from shipfwd import notify

NUMBER = "620022696408430119458408"


@pytest.fixture
def heard():
    """A receiver on the loopback that Apprise's json:// speaks to: (address, messages)."""
    messages: list[dict[str, str]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Ear)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"json://user:SECRET-word@127.0.0.1:{server.server_port}/", messages
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def told(shop, heard, monkeypatch):
    """A shop whose run has something to tell, and the messages that were heard."""
    address, messages = heard
    monkeypatch.setenv("T_NOTIFY", address)
    shop.add()
    shop.sim.platform("woocommerce").add_order("104", status="cancelled")
    assert shop.run("config", "set", "notify", "env:T_NOTIFY").code == 0
    return shop, messages


def fail(shop, number: str = NUMBER):
    return shop.run("add", "104", number, "-i", "shop", "--carrier", "inpost")


def test_a_run_that_needs_a_person_sends_one_digest(told):
    shop, messages = told
    assert fail(shop).code == 1
    (message,) = messages
    assert message["title"] == "shipfwd: 1 need a person"
    assert message["message"].startswith("- shop: shipment 1 (order 104, ")
    assert "failed" in message["message"]


def test_the_same_problem_is_told_once_a_day(told):
    shop, messages = told
    fail(shop)
    shop._monkeypatch.setattr("shipfwd.sweeper.warn", lambda run, *_: run.tally.told.append("the login is dead"))
    for hours in (0, 1, 22, 2):
        shop.clock.forward(hours=hours)
        shop.run("sweep")
    assert [message["message"] for message in messages[1:]] == ["- the login is dead", "- the login is dead"]


def test_nothing_is_sent_when_nothing_needs_a_person(told):
    shop, messages = told
    shop.run("add", "101", NUMBER, "-i", "shop", "--carrier", "inpost")
    shop.run("sweep")
    assert messages == []


def test_a_dry_run_tells_nobody(told):
    shop, messages = told
    shop.run("add", "104", NUMBER, "-i", "shop", "--carrier", "inpost", "--no-forward")
    shop.run("forward", "1", "--dry-run")
    assert messages == []


def test_the_test_command_sends_a_message(told):
    shop, messages = told
    assert shop.run("config", "test-notify").code == 0
    assert messages[0]["title"] == "shipfwd: a test"


def test_without_a_receiver_the_run_ends_as_it_would_and_says_so(told, monkeypatch):
    shop, messages = told
    monkeypatch.setenv("T_NOTIFY", "json://user:SECRET-word@127.0.0.1:9/")
    said = fail(shop)
    assert said.code == 1
    assert "nobody was notified: an address did not take the message" in said.err
    assert "SECRET" not in said.err + said.out
    assert shop.run("config", "test-notify").code == 3


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("env:T_GONE", "config notify: environment variable T_GONE is not set"),
        ("file:/nowhere/at/all", "config notify: cannot read /nowhere/at/all"),
    ],
)
def test_addresses_that_are_not_there_do_not_fail_the_run(told, setting, words):
    shop, _ = told
    shop.run("config", "set", "notify", setting)
    said = fail(shop)
    assert said.code == 1
    assert words in said.err


def test_an_address_on_the_command_line_is_refused_and_not_repeated(told):
    shop, _ = told
    said = shop.run("config", "set", "notify", "mailto://user:SECRET-word@example.org")
    assert said.code == 2
    assert "SECRET" not in said.err
    assert shop.run("config", "get", "notify").out == "env:T_NOTIFY\n"
    assert shop.run("config", "set", "notify", "").code == 0
    assert shop.run("config", "test-notify").code == 3


def test_without_apprise_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert notify.send("json://x", "t", "b") == "notifications need Apprise: pip install 'shipfwd[notify]'"


def test_nonsense_as_an_address_is_named_without_repeating_it(monkeypatch):
    assert notify.send("nonsense SECRET-word", "t", "b").startswith("Apprise does not understand an address")


def test_a_long_digest_is_cut_and_counted():
    text = notify.text([f"problem {n}" for n in range(50)])
    assert text.count("\n") == notify.MOST
    assert text.endswith("- and 30 more: shipfwd status")


@pytest.mark.parametrize("kept", ["", "[]", "nonsense", '{"x": 1}', "null"])
def test_a_spoilt_memory_is_an_empty_one(filled, kept):
    filled.store.set_config(notify.KEPT, kept)
    assert notify.fresh(filled.store, ["a", "a", "b"], NOON) == ["a", "b"]
    notify.remember(filled.store, ["a"], NOON)
    assert notify.fresh(filled.store, ["a", "b"], NOON) == ["b"]
