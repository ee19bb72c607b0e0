"""Definitions and answers that mean ill, or were written in a hurry: a sentence at once, never for ever, never a bug."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import unquote

import park
import pytest
from hypothesis import given
from hypothesis import strategies as st
from park import PLATFORMS
from test_network import impatient  # noqa: F401  (a fixture)

import shipfwd.platforms
from shipfwd.errors import ConfigError, Rejected
from shipfwd.platforms import _document, _pattern
from shipfwd.platforms._definition import load
from shipfwd.simulator._http import Answer

EXAMPLE = Path(shipfwd.platforms.__file__).with_name("example.toml").read_text()
NUMBER = 'number = "{tracking}"'


def pattern(text):
    return ('pattern = "[A-Z0-9-]+"', f"pattern = '{text}'")


HOSTILE = {
    "a repeat inside a repeat": (*pattern("([A-Z0-9]+)+-"), "could take for ever"),
    "choices that overlap": (*pattern("(A|A1|1)*-"), "could take for ever"),
    "many choices in a row": (*pattern("(A|A)" * 40), "could take for ever"),
    "many that may be missing": (*pattern("A?" * 60), "could take for ever"),
    "many stars": (*pattern("[A-Z]*" * 9), "could take for ever"),
    "a repeat in an atomic group": (*pattern("(?>(A+)+-)"), "could take for ever"),
    "a repeat in a look ahead": (*pattern("(?=(A+)+-)"), "could take for ever"),
    "a reference back": (*pattern(r"(A*)(A*)(A*)(A*)\\1-"), "could take for ever"),
    "groups 5,000 deep": (*pattern("(" * 5000 + ")" * 5000), "nested too deeply"),
    "a count without end": (*pattern("A{99999999999}"), "no regular expression"),
    "lists 100,000 deep": ("format = 1", "a = " + "[" * 100_000, "nested too deeply"),
    "tables 50 deep": ("[tracking.json]", f"[tracking.json]\na = {'{ a = ' * 50}1{' }' * 50}", "nested too deeply"),
    "a number of 5,000 digits": (NUMBER, f"{NUMBER}\nn = {'9' * 5000}", "is not TOML"),
    "no number": (NUMBER, f"{NUMBER}\nn = nan", "no number in JSON"),
    "a number without end": (NUMBER, f"{NUMBER}\nn = -inf", "no number in JSON"),
    "a limit of no call in a life": ("seconds = 1", "seconds = 1e300", "more than 86400"),
    "a line break behind a path": ('/shipments"', '/shipments\\n"', "tracking.path cannot be"),
    "a line break behind a header's name": ('"X-Api-Key"', '"X-Api-Key\\n"', "auth.name cannot be"),
    "a second header in a name": ("Accept-Language", '"X\\r\\nEvil: 1"', "cannot be a name"),
    "a length of its own": ("Accept-Language", "content-length", "cannot be a name"),
    "another host by a user": ("https://api.bazaar.example/v2", "https://a@evil.test", "without user"),
    "another host by a backslash": ("https://api.bazaar.example/v2", "https://a\\\\@evil.test", "without user"),
    "the environment": (NUMBER, 'number = "{env.HOME}"', "cannot fill in {env.HOME}"),
    "a file": (NUMBER, 'number = "{file:/etc/passwd}"', "cannot fill in"),
    "an attribute": (NUMBER, 'number = "{tracking.__class__}"', "cannot have"),
    "a template in a template": (NUMBER, 'number = "{{{tracking}}}{{tracking}"', "lone"),
    "a secret in a path": ('/orders/{order_id}"', '/orders/{secret.api_key}"', "cannot have {secret.api_key}"),
    "300,000 templates": ("[tracking.json]", f'[tracking.json]\na = "{"{tracking_url}" * 20_000}"', "at most 200000"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_definition_that_means_ill_is_refused_at_once(kind, tmp_path):
    old, new, words = HOSTILE[kind]
    assert old in EXAMPLE
    (file := tmp_path / "d.toml").write_text(EXAMPLE.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load(str(file))
    assert words in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/tmp"])  # noqa: S108  (nothing is written there)
def test_what_is_no_file_is_not_read(path):
    with pytest.raises(ConfigError, match="it is no file"):
        _document.document(Path(path))


@pytest.mark.parametrize(
    "text",
    ["[A-Z]{2}[0-9]{9}[A-Z]{2}", "[0-9]{10,14}|[0-9]{24}", "(JJD|JD)?[0-9]{10,20}", "[A-Z0-9-]+", ".*[0-9].*",
     "1Z[A-Z0-9]{16}|[0-9]{12}([0-9]{3})?", "[A-Z]*[A-Z0-9]*[0-9]*", "([0-9]{4}-?){3,6}", "(A|B|C){1,12}"],
)  # fmt: skip
def test_a_pattern_that_is_taken_is_usual_and_ends_soon(text):
    import re

    assert _pattern.trouble(text, 64) == ""
    begun = time.process_time()
    for number in ("A" * 63 + "!", "0" * 63 + "!", "A0" * 31 + "!!"):
        re.fullmatch(text, number)
    assert time.process_time() - begun < 2


DEFINITION = load("example")
VALUES = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=30) | st.sampled_from(
    ['","admin":true,"a":"', "]]>", "<a>&amp;", "x\r\nX-Evil: 1", "{tracking}{secret.api_key}", "{{tracking}}", "//evil",
     "@evil", "..\\..", "%2e%2e", "?a=1", "#b", "{0.__class__}", "${jndi:x}", "../../etc/passwd"])  # fmt: skip


@given(VALUES, VALUES, VALUES)
def test_a_value_stays_one_value_in_its_place(order, number, url):
    words = {"order_id": order, "tracking": number, "tracking_url": url, "carrier.code": "DHL", "carrier.name": "DHL"}
    try:
        asked = DEFINITION.steps["tracking"].asked(lambda name: words.get(name, "2026-11-23"))
    except Rejected:
        assert order in (".", "..")
        return
    sent = json.loads(json.dumps(asked.options["json"], ensure_ascii=False))
    assert (sent["number"], sent["url"], len(sent)) == (number, url, 5)
    assert asked.whole_path.split("/")[1::2] == ["orders", "shipments"]
    assert unquote(asked.whole_path.split("/")[2]) == order
    assert asked.whole_path.isascii() and asked.whole_path.isprintable() and " " not in asked.whole_path


HUGE = {
    "a state of 7 MB": {"status": "x" * 7_000_000},
    "a number of 7 MB": {"status": "paid", "shipments": [{"number": "9" * 7_000_000}]},
    "500,000 numbers": {"status": "paid", "shipments": [{"number": "A1"}] * 500_000},
    "a state of controls": {"status": "\x1b]0;x\x07\x1b[31m" * 100},
    "a list 900 deep": {"status": "paid", "shipments": json.loads("[" * 900 + "]" * 900)},
    "a state that is a list": {"status": [["paid"] * 1000] * 1000},
    "a number without end": {"status": 1e308},
}


@pytest.mark.parametrize("kind", HUGE)
def test_an_answer_that_is_huge_is_told_in_a_line(kind, sim, shop, monkeypatch, impatient):  # noqa: F811
    shop.add("bazaar", "http")
    shop.run("add", "B-1", "JD014600003712345678", "-i", "bazaar", "--carrier", "dhl", "--no-forward")
    monkeypatch.setattr(sim, "_ask", lambda stand, request: Answer.json({"id": "i" * 10_000, **HUGE[kind]}, 200))
    said = shop.run("forward")
    (row,) = shop.json("status")
    assert said.code in (1, 3, 4), said.err[:1000]
    assert row["state"] in ("failed", "retrying", "pending", "blocked")
    assert max(map(len, said.err.splitlines())) < 1000
    assert len(row["reason"]) < 1000 and len(row["remote_id"] or "") < 1000
    assert "\x1b" not in said.err
    assert shop.db.stat().st_size < 1_000_000


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_secret_that_no_header_can_hold_is_a_sentence(platform, sim, shop, monkeypatch, impatient):  # noqa: F811
    words, env = park.credentials(sim, platform)
    for key in env:
        monkeypatch.setenv(key, "SECRET-zażółć")
    assert shop.run("integration", "add", *words).code == 0
    said = shop.run("add", park.order_id(platform, 1), park.number(platform, 1), "-i", platform, "--carrier",
                    park.carrier(platform))  # fmt: skip
    assert said.code == 3, said
    assert "zażółć" not in said.err + said.out
    assert next(iter(shop.states().values())) == "pending"
