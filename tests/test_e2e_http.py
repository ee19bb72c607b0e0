"""The declarative target against Bazaar, the stand-in of its example, over a real socket, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import shipfwd.platforms

EXAMPLE = Path(shipfwd.platforms.__file__).with_name("example.toml")
NUMBER, SECOND = "JD014600003712345678", "JD014600003712345679"
POST = "POST /orders/B-1/shipments"


@pytest.fixture
def bazaar(sim, shop):
    stand = sim.platform("http")
    stand.seed()
    shop.add("bazaar", "http")
    return stand


def add(shop, order, number, *more, carrier="dhl"):
    return shop.run("add", order, number, "-i", "bazaar", "--carrier", carrier, *more)


def test_a_number_is_sent_and_the_order_marked_once(sim, shop, bazaar):
    assert add(shop, "B-1", NUMBER).code == 0
    (row,) = shop.json("status")
    assert row["remote_id"] == bazaar.orders["B-1"].rows[0]["id"]
    assert row["confirmed_at"]
    assert row["status_sent_at"]
    assert bazaar.orders["B-1"].status == "sent"
    for command in (("forward", 1, "--again"), ("sweep",), ("verify",)):
        assert shop.run(*command).code == 0
    assert bazaar.numbers("B-1") == [NUMBER]


def test_an_order_id_is_percent_encoded(sim, shop, bazaar):
    assert add(shop, "B/7", NUMBER).code == 0
    assert bazaar.numbers("B/7") == [NUMBER]


def test_a_lost_answer_is_found_and_adopted(sim, shop, bazaar):
    sim.fail_next("http", "drop", match=POST)
    assert add(shop, "B-1", NUMBER).code == 4
    shop.clock.forward(minutes=2)
    assert shop.run("forward").code == 0
    assert bazaar.numbers("B-1") == [NUMBER]
    assert len(sim.calls("http", POST)) == 1


def test_a_request_that_never_arrived_is_sent_after_the_wait(sim, shop, bazaar):
    sim.fail_next("http", "close", match=POST)
    assert add(shop, "B-1", NUMBER).code == 4
    assert shop.run("forward", 1).code == 4
    assert bazaar.numbers("B-1") == []
    shop.clock.forward(minutes=2)
    assert shop.run("forward").code == 0
    assert bazaar.numbers("B-1") == [NUMBER]


def test_check_plays_the_examples_then_asks_who_we_are(sim, shop, bazaar):
    assert shop.json("integration", "check")[0]["identity"] == "4711"


def test_a_wrong_key_rests_the_integration(shop, bazaar):
    bazaar.api_key = "SECRET-another"
    said = add(shop, "B-1", NUMBER)
    assert said.code == 3
    assert "Bazaar refuses the credentials (Unknown API key)" in said.err
    assert "SECRET" not in said.err + said.out


def test_a_dry_run_shows_the_exact_request_without_its_secret(sim, shop, bazaar):
    add(shop, "B-1", NUMBER, "--no-forward")
    said = shop.run("forward", "--dry-run")
    assert said.code == 0
    assert f'"number":"{NUMBER}"' in said.out
    assert "X-Api-Key: ***" in said.out
    assert "SECRET" not in said.out + said.err
    assert not sim.calls("http", "POST|PUT")


# ---- the file ------------------------------------------------------------------------------------------------


def own(shop, sim, old="", new="", name="mine.toml"):
    """A copy of the example with the stand-in's address, and one thing changed."""
    text = EXAMPLE.read_text().replace("https://api.bazaar.example/v2", sim.platform("http").base_url)
    assert not old or old in text
    return shop.file(name, text.replace(old, new) if old else text)


def register(shop, definition, *more):
    shop._monkeypatch.setenv("T_KEY", "SECRET-bazaar-key")
    return shop.run(
        "integration", "add", "mine", "--platform", "http", "--set", f"definition={definition}",
        "--secret", "api_key=env:T_KEY", *more,
    )  # fmt: skip


def test_a_relative_path_is_kept_absolute(sim, shop, monkeypatch):
    own(shop, sim)
    monkeypatch.chdir(shop.folder)
    assert register(shop, "./mine.toml").code == 0
    monkeypatch.chdir("/")
    assert shop.json("integration", "show", "mine")[0]["set definition"] == str(shop.folder / "mine.toml")
    assert shop.json("integration", "check")[0]["identity"] == "4711"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "", "cannot read the definition"),
        ("repeat =", "repaet =", "tracking has no key 'repaet'; did you mean 'repeat'?"),
        ("format = 1", "format = ", "is not TOML"),
        ("{secret.api_key}", "{secret.key}", "{secret.key} is used, but [secrets] does not name it"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_wrong_argument(sim, shop, old, new, words):
    path = own(shop, sim, old, new) if old else shop.folder / "none.toml"
    said = register(shop, path)
    assert said.code == 2
    assert words in said.err
    assert not shop.db.exists()


def test_a_definition_and_its_secrets_must_be_given(sim, shop):
    said = shop.run("integration", "add", "mine", "--platform", "http")
    assert (said.code, "--set definition=…" in said.err) == (2, True)
    said = shop.run("integration", "add", "mine", "--platform", "http", "--set", f"definition={own(shop, sim)}")
    assert (said.code, "--secret api_key=env:…" in said.err) == (2, True)


def test_a_file_that_went_wrong_later_rests_the_integration(sim, shop):
    path = own(shop, sim)
    register(shop, path)
    shop.run("add", "B-1", NUMBER, "-i", "mine", "--carrier", "dhl", "--no-forward")
    path.write_text(path.read_text().replace('method = "POST"', 'method = "POKE"', 1))
    said = shop.run("forward")
    assert said.code == 3
    assert "tracking.method must be one of POST, PUT, PATCH, not 'POKE'" in said.err
    assert shop.states() == {"B-1": "pending"}
    path.unlink()
    assert shop.run("forward").code == 3
    assert not sim.calls("http", "POST")


def test_an_example_that_does_not_hold_is_found_by_check_before_it_asks(sim, shop):
    register(shop, own(shop, sim, '{ status = 201, then = "ok" }', '{ status = 200, then = "ok" }'))
    said = shop.run("integration", "check", "mine")
    assert said.code == 3
    assert "example 'a number is taken': the file reads 201 as not_understood, the example says ok" in said.err
    assert not sim.calls("http")


def test_another_definition_brings_its_own_secrets_and_abilities(sim, shop):
    register(shop, own(shop, sim))
    text = own(shop, sim, name="other.toml").read_text()
    start = text.index("[shipped]")
    text = text[:start] + text[text.index("[[examples]]") :]
    text = text.replace("{secret.api_key}", "{secret.other_key}").replace("api_key = ", "other_key = ")
    text = text.replace(
        text[text.index('[[examples]]\nname = "marked') : text.index('[[examples]]\nname = "a wrong key')], ""
    )
    path = shop.file("other.toml", text)
    said = shop.run("integration", "edit", "mine", "--set", f"definition={path}")
    assert (said.code, "other_key" in said.err) == (2, True)
    said = shop.run("integration", "edit", "mine", "--set", f"definition={path}", "--secret", "other_key=env:T_KEY")
    assert said.code == 0, said
    shown = shop.json("integration", "show", "mine")[0]
    assert shown["status_transfer"] == "unavailable"
    assert "secret api_key" not in shown
    assert shop.run("integration", "check", "mine").code == 0


def test_status_transfer_is_refused_where_the_file_has_none(sim, shop):
    path = Path(__file__).parent / "platforms" / "http_blind.toml"
    given = ["--set", f"definition={path}", "--secret", "token=env:T_KEY"]
    add = ["integration", "add", "blind", "--platform", "http", *given]
    said = shop.run(*add, "--no-status-transfer")
    assert said.code == 2
    assert "Blind marks the order as sent with the number itself" in said.err
    assert shop.run(*add).code == 0
    assert shop.json("integration", "list")[0]["status_transfer"] == "on"


def test_platforms_says_that_the_file_decides(shop):
    (row,) = shop.json("platforms", "http")
    assert [row[key] for key in ("status_transfer", "correct")] == ["by definition"] * 2
    assert (row["parcels"], row["read_back"]) == ("one", False)  # the least that a definition can say
