"""Words of strangers: whatever an order is called and a carrier or number holds, requests go where they belong."""

from __future__ import annotations

import re
from urllib.parse import quote

import park
import pytest
from park import PLATFORMS
from test_network import impatient  # noqa: F401  (a fixture)

HOSTILE = (
    ".", "..", "../..", "../../admin", "%2e%2e", "..%2f..", "..\\..", "a/../../b", "x?admin=1", "x#y", "x;y=1",
    "@elsewhere.test/x", "//elsewhere.test", "http://elsewhere.test/", "x\r\nX-Evil: 1", "x\r\n\r\nGET /evil", "x\0y",
    "{order}", "{0.__class__}", "${jndi:ldap://x}", "{{7*7}}", '","admin":true,"a":"', "</id><id>", "' OR 1=1 --",
    "x%00y", "\u202egnp", "ＡＢＣ", "x" * 3000,
)  # fmt: skip


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_order_with_a_hostile_name_reaches_no_other_place(platform, sim, shop, monkeypatch, impatient):  # noqa: F811
    words, env = park.credentials(sim, platform)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    assert shop.run("integration", "add", *words).code == 0

    def places(names):
        """The addresses that were asked for, the order's name left out."""
        paths = {one.target.partition("?")[0] for one in sim.requests}
        for name in sorted(names, key=len, reverse=True):
            paths = {path.replace(f"/{quote(name, safe='')}", "/ORDER") for path in paths}
        sim.clear_requests()
        return {re.sub("/[0-9a-f-]{6,}|/[0-9]+(?=/|$)", "/ID", path) for path in paths}

    (honest,) = park.dues(platform, 7, 1, several=10**9)
    shop.run("add", honest.order, honest.number, "-i", platform, "--carrier", park.carrier(platform))
    known = places([honest.order])
    lines = ["integration,order_id,tracking_number,carrier"]
    for n, name in enumerate(HOSTILE, 100):
        cell = name.replace('"', '""')
        lines.append(f'{platform},"{cell}",{park.number(platform, n)},{park.carrier(platform)}')
    shop.run("import", "--no-forward", shop.file("due.csv", "\n".join(lines) + "\n"))
    done = shop.run("forward")
    steps = {step for one in sim.requests for step in one.target.partition("?")[0].split("/")}
    heads = [name.lower() for one in sim.requests for name in one.headers]
    rows = [row for row in shop.json("status", "--all") if row["order_id"] != honest.order]
    asked = places([row["order_id"] for row in rows])
    assert done.code in (1, 4), done
    assert len(rows) > 15
    assert all(row["state"] in ("failed", "blocked", "pending", "forwarded") for row in rows), rows
    assert all(row["reason"] for row in rows if row["state"] in ("failed", "blocked"))
    assert asked <= known, f"asked for {sorted(asked - known)}"
    assert not steps & {".", ".."}
    assert "x-evil" not in heads
