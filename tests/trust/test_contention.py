"""Many processes on one database: nobody is shown a lock, nothing is doubled, and no limit is broken."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import park
import pytest
from park import LONG

from shipfwd.simulator.server import Simulator

SECONDS = 120 if LONG else 3
AT_ONCE = 8


@pytest.fixture
def sim():
    with Simulator(latency_ms=3, auto_orders=True) as running:
        yield running


def test_eight_processes_on_one_database_get_in_nobodys_way(sim, nursery, tmp_path):
    chance, db = park.chance("contention"), tmp_path / "t.db"
    names = ["erli", "woocommerce", "prestashop", "shopware", "ebay"]
    for name in names:
        nursery.add(db, sim, name)
    sim.strict("erli", 10)
    due, first, files = [], 1000, 0
    pids, commands, slowest = {}, 0, 0.0

    def work():
        nonlocal first, files, commands
        name = chance.choice(names)
        kind = chance.choice(["forward", "sweep", "sweep", "import", "import", "move", "status"])
        words = {"forward": ("forward",), "sweep": ("sweep", "--deadline", "0.05"), "status": ("status",)}.get(kind)
        if kind == "import":
            some = park.dues(name, first, 4 if name == "erli" else 25)
            first, files = first + 25, files + 1
            due.extend(some)
            words = (
                "import",
                *(["--no-forward"] if name == "erli" else []),
                park.as_file(tmp_path / f"{files}.csv", some),
            )
        elif kind == "move":
            one = chance.choice(due)
            words = ("order", "move", one.order, "--to", chance.choice(["Packed", "Sent"]), "-i", one.platform)
        commands += 1
        log = tmp_path / f"said-{commands}.txt"
        pids[nursery.start(db, *words, hasty=False, log=log)] = (time.monotonic(), kind, log)

    for name in names:
        due.extend(park.dues(name, first, 10))
        first += 10
    assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "0.csv", due)) == 0
    end, codes = time.monotonic() + SECONDS, {}
    while pids or time.monotonic() < end:
        while len(pids) < AT_ONCE and time.monotonic() < end:
            work()
        pid = next(iter(pids))
        begun, kind, log = pids.pop(pid)
        code = nursery.reap(pid)
        slowest = max(slowest, time.monotonic() - begun)
        codes.setdefault((kind, code), log.read_text()[-500:])
        text = log.read_text()
        assert "locked" not in text and "Traceback" not in text, (kind, code, text)
    unexpected = {k: said for k, said in codes.items() if k[1] not in (0, 4) and k != ("move", 2)}
    assert not unexpected
    assert nursery.run(db, "sweep", hasty=False) in (0, 4)
    assert nursery.run(db, "sweep", hasty=False) == 0, nursery.said[-2000:]
    verdict = park.judge(sim, nursery.status(db), due)
    refused = sum(call.status == 429 for call in sim.requests)
    park.figure(
        "contention",
        verdict,
        platforms=len(names),
        processes=f"{AT_ONCE} at once, {commands} in all",
        shipments=len(due),
        note=f"{SECONDS} s; {refused} of {len(sim.calls('erli'))} calls over a strict limit",
    )
    assert not refused
    verdict.check()
    assert not verdict.person + verdict.doubt
    assert park.incomplete_journal(db) == []


def test_a_shipment_sent_by_hand_gets_its_turn_during_a_long_sweep(sim, nursery, tmp_path):
    db = tmp_path / "t.db"
    nursery.add(db, sim, "erli")
    due = park.dues("erli", 1000, 200)
    assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "a.csv", due)) == 0
    sweep = nursery.start(db, "sweep", hasty=False)
    time.sleep(1.0)
    begun = time.monotonic()
    code = nursery.run(db, "forward", len(due), hasty=False)
    took = time.monotonic() - begun
    there = sim.platform("erli").numbers(due[-1].order)
    with suppress(ProcessLookupError):
        os.kill(sweep, signal.SIGTERM)
    assert nursery.reap(sweep) == 130
    park.figure("forward ID in a long sweep", note=f"{took:.1f} s")
    assert code == 0, nursery.said
    assert there == [due[-1].number]
    assert took < 2.0


@pytest.mark.parametrize("platform", ["allegro", "etsy"])
def test_eight_processes_that_need_a_new_token_ask_for_one(platform, sim, nursery, tmp_path):
    db = tmp_path / "t.db"
    nursery.add(db, sim, platform)
    stand = sim.platform(platform)
    before = stand.desk.refreshes
    stand.desk.expire_access()
    due = park.dues(platform, 1000, AT_ONCE, several=10**9)
    assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "a.csv", due)) == 0
    pids = [nursery.start(db, "forward", n + 1) for n in range(AT_ONCE)]
    assert [nursery.reap(pid) for pid in pids] == [0] * AT_ONCE, nursery.said
    assert (stand.desk.refreshes - before, stand.desk.refused) == (1, 0)
    park.judge(sim, nursery.status(db), due).check()


def test_two_crons_at_the_same_moment_make_one_full_pass(sim, nursery, tmp_path):
    db = tmp_path / "t.db"
    nursery.add(db, sim, "woocommerce", "--trigger", "status:Packed")
    due = park.dues("woocommerce", 1000, 10)
    assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "a.csv", due)) == 0
    orders = {one.order for one in due}
    assert nursery.run(db, "order", "move", *orders, "--to", "packed ", "-i", "woocommerce") == 0
    assert nursery.run(db, "sweep", "--if-due") == 0
    assert not sim.calls("woocommerce", "PUT|POST"), "no slot has come since it was added"
    pids = [nursery.start(db, "sweep", "--if-due", ahead=86400.0) for _ in range(2)]
    assert [nursery.reap(pid) for pid in pids] == [0, 0], nursery.said
    verdict = park.judge(sim, nursery.status(db), due)
    verdict.check()
    assert not verdict.person + verdict.doubt
