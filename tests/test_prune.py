"""`prune`: the journal of what is finished goes, the shipments stay, and nobody has to wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from support import row

from shipfwd.models import Attempt, Settlement
from shipfwd.store import pruning

AGE = timedelta(days=30)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(pruning, "LINES", 7)
    monkeypatch.setattr(pruning, "PAGES", 3)
    monkeypatch.setattr(pruning, "FOLD", 2)


def settled(filled, count, **more):
    """Shipments that a run settled, each with a journal of two lines."""
    shop = filled.store.integrations()[0] if filled.store.integrations() else filled.integration()
    ids = filled.put(shop, *(row(str(n), f"{n:014d}") for n in range(filled.store.newest_id(), count + 1)))
    run = filled.store.begin_run("forward")
    filled.store.mark_created(shop, timedelta(days=99))
    for (one,) in filled.store.claim(run, shop, 1000):
        lines = [Attempt(one.id, "forward", "left", "x" * 900), Attempt(one.id, "forward", "accepted")]
        end = Settlement(one.id, **{"state": "forwarded", "confirmed": True, **more})
        filled.store.settle(run, shop.id, [end], lines)
    return ids


def lines(filled):
    return filled.store._read("SELECT count(*) FROM attempts")[0][0]


def prune(filled, age=AGE):
    return filled.store.prune(age, lambda seconds: None)


def test_the_journal_goes_and_the_shipments_stay(filled, clock):
    ids = settled(filled, 40)
    before = filled.store.status(ids=ids)
    before = list(before)
    clock.forward(days=31)
    done = prune(filled)
    assert (done.shipments, done.lines, lines(filled)) == (len(ids), 2 * len(ids), 0)
    assert done.bytes > 0
    assert list(filled.store.status(ids=ids)) == before
    assert prune(filled) == (0, 0, 0)


def test_what_is_young_keeps_its_journal(filled, clock):
    settled(filled, 5)
    clock.forward(days=29)
    assert prune(filled).lines == 0
    assert lines(filled) == 12


@pytest.mark.parametrize(
    "more", [{"state": "failed"}, {"state": "blocked"}, {"state": "pending"}, {"confirmed": False}], ids=str
)
def test_what_is_not_finished_keeps_its_journal(filled, clock, more):
    settled(filled, 5, **more)
    clock.forward(days=31)
    assert prune(filled).lines == 0
    assert lines(filled) == 12


def test_a_shipment_keeps_all_of_its_journal_or_none(filled, clock):
    one, *_ = settled(filled, 1)
    clock.forward(days=31)
    filled.store.leave(filled.store.begin_run("verify"), [Attempt(one, "verify", "confirmed")])
    assert prune(filled).shipments == 1  # the other one
    assert [line["outcome"] for line in filled.store._read("SELECT outcome FROM attempts")] == [
        "left", "accepted", "confirmed",
    ]  # fmt: skip


def test_expired_and_dropped_ones_are_finished(filled, clock):
    shop = filled.integration(enabled=False)
    late, dropped = filled.put(shop, row("1", "00000000000001"), row("2", "00000000000002"))
    clock.forward(days=4)
    filled.store.drop([dropped], "cancelled")
    filled.store.expire(shop, timedelta(hours=72))
    filled.store.leave(filled.store.begin_run("verify"), [Attempt(late, "look", "absent")])
    clock.forward(days=31)
    assert prune(filled)[:2] == (2, 2)


def test_the_journal_is_append_only_before_and_after(filled, clock):
    settled(filled, 3)
    clock.forward(days=31)
    settled(filled, 6)
    prune(filled)
    assert lines(filled)
    for sql in ("DELETE FROM attempts", "UPDATE attempts SET detail = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), filled.store._write() as db:
            db.execute(sql)


def test_others_write_between_two_steps(filled, clock):
    settled(filled, 40)
    clock.forward(days=31)
    written = []
    with closing(sqlite3.connect(filled.path, timeout=0)) as other:

        def write(seconds):
            other.execute("INSERT OR REPLACE INTO config VALUES ('n', ?)", (len(written),))
            other.commit()
            written.append(seconds)

        filled.store.prune(AGE, write)
    assert len(written) > 10


def test_a_file_that_was_made_without_it_is_pruned_and_keeps_its_size(filled, clock):
    settled(filled, 40)
    filled.change("SELECT 1")
    filled.store._db.execute("PRAGMA auto_vacuum = NONE")
    filled.store._db.execute("VACUUM")
    clock.forward(days=31)
    done = prune(filled)
    assert done.lines == 82
    assert done.bytes == 0


def test_the_command_counts(shop):
    shop.add()
    shop.run("add", "101", "620000000000000000000001", "-i", "shop", "--carrier", "inpost")
    shop.clock.forward(days=31)
    assert shop.run("prune", "--older-than", "60").err == "0 journal lines of 0 shipments deleted, 0.0 MB given back\n"
    counts = shop.json("prune", "--older-than", "30")
    assert counts["shipments"] == 1
    assert counts["lines"] > 1
    assert shop.json("status")[0]["state"] == "forwarded"
    assert shop.run("show", "1").code == 0
    assert shop.run("prune").code == 2
    assert shop.run("-q", "prune", "--older-than", "30").out == ""
