"""Arena: what ships is refused and says what to ask for; a filled-in copy works like any other definition."""

from __future__ import annotations

from pathlib import Path

import pytest

FILLED = Path(__file__).parent / "platforms" / "arena_filled.toml"
NUMBER = "620999123456789012345678"


@pytest.fixture
def arena(sim, shop):
    stand = sim.platform("arena")
    shop.add("arena", "arena")
    return stand


def test_it_is_registered_without_a_definition_and_refused_by_check(sim, shop, arena):
    said = shop.run("integration", "check", "arena")
    assert said.code == 3
    assert "Arena cannot be used yet. Ask Arena for what" in said.err
    for question in ("the address of the API for orders", "which call sets an order to 'Wysłane'?", "its body"):
        assert question in said.err


def test_nothing_is_sent_and_nothing_lost(sim, shop, arena):
    for command in (
        ["add", "7788", NUMBER, "-i", "arena", "--carrier", "inpost"],
        ["forward"],
        ["sweep"],
        ["forward", 1],
    ):
        said = shop.run(*command)
        assert said.code == 3
        assert "integration check lists what to ask for" in said.err
        assert shop.states() == {"7788": "pending"}
    assert shop.run("forward", "--dry-run").code == 3
    assert sim.requests == []


def test_the_stand_in_knows_no_call_for_orders(sim, arena):
    import requests

    auth = (arena.login, arena.api_key)
    with requests.Session() as session:
        session.trust_env = False
        known = session.post(f"{arena.base_url}/api/v4/categories/search", json={"perPage": 1}, auth=auth, timeout=5)
        assert known.json() == {"count": 0, "results": [], "errors": []}
        assert session.get(f"{arena.base_url}/api/v4/orders/1", auth=auth, timeout=5).status_code == 404
        assert session.post(f"{arena.base_url}/api/v4/categories/search", json={}, timeout=5).status_code == 401


def test_a_filled_in_copy_takes_its_place(sim, shop, arena):
    """The stand-in has no such call, as nobody knows one; what counts is that it is asked."""
    address = f"base_url={sim.url}/arena"
    assert shop.run("integration", "edit", "arena", "--set", f"definition={FILLED}", "--set", address).code == 0
    assert shop.run("integration", "check", "arena").code == 0
    assert shop.run("add", "7788", NUMBER, "-i", "arena", "--carrier", "inpost").code == 1
    assert "Arena knows no order '7788'" in shop.json("status")[0]["reason"]
    assert [call.label for call in sim.calls("arena")] == ["POST /search"]
