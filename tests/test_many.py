"""What may be a million is worked off in parts: nothing is left out at their edges, and little is held at a time."""

from __future__ import annotations

import pytest
from support import row
from test_engine import Stage

from shipfwd import errors, sweeper


@pytest.fixture
def stage(filled, clock, monkeypatch) -> Stage:
    monkeypatch.setattr(sweeper, "PART", 2)
    return Stage(filled, clock, monkeypatch)


@pytest.fixture
def failed(stage) -> list[int]:
    ids = stage.put("101", "102", "103", "104", "105")
    ids += stage.put("105", number="SECOND001")
    stage.filled.change("UPDATE shipments SET state = 'failed'")
    return ids


def test_what_a_person_chose_is_held_in_parts_and_all_of_it_is_sent(stage, failed):
    held: list[int] = []
    stage.far.hook = lambda step, what: held.append(
        stage.store._read("SELECT count(*) FROM shipments WHERE state = 'sending'")[0][0]
    )
    assert list(stage.store.failed_ids()) == failed
    tally = stage.by_hand(*stage.store.failed_ids())
    assert tally.exit_code == 0
    assert {stage[one]["state"] for one in failed} == {"forwarded"}
    assert max(held) <= 2
    assert stage.far.orders["105"] == ["NO1050000", "SECOND001"]


def test_after_a_refused_login_the_rest_of_what_was_chosen_waits_for_the_mended_one(stage, failed):
    stage.far.fail("look", errors.AuthFailed("wrong key"), times=9)
    assert stage.by_hand(*failed).exit_code == 3
    assert {stage[one]["state"] for one in failed} == {"pending"}
    assert stage.far.count("look") == 1


def test_a_run_that_is_to_stop_takes_no_further_part(stage, failed):
    with stage.run() as (run, assembly):
        stage.far.hook = lambda step, what: run.stop()
        sweeper.forward_chosen(run, assembly, failed)
    states = [stage[one]["state"] for one in failed]
    assert states.count("forwarded") == 1
    assert states.count("failed") == 5


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_leave_nothing_out_and_show_nothing_twice(filled, size):
    shop = filled.integration()
    ids = filled.put(shop, *(row(str(n), f"NO{n:06}") for n in range(7)))
    filled.change("UPDATE shipments SET state = 'blocked'")
    pages = list(filled.store.blocked(shop.id, size))
    assert [one.id for page in pages for one in page] == ids
    assert max(map(len, pages)) <= size
    filled.change("UPDATE shipments SET state = 'forwarded', forwarded_at = '2026-11-20T12:00:0' || (id % 3) || 'Z'")
    pages = list(filled.store.unproven(shop.id, size))
    assert sorted(one.id for page in pages for one, _ in page) == ids
    times = [at for page in pages for _, at in page]
    assert times == sorted(times), "the longest accepted first"


def test_a_page_of_unproven_ones_is_not_sorted(filled):
    """Each page sorted anew what was left: hours where a million are to be proven."""
    asked: list[str] = []
    filled.store._db.set_trace_callback(asked.append)
    list(filled.store.unproven(1, 100))
    filled.store._db.set_trace_callback(None)
    assert "TEMP B-TREE" not in filled.store.plan(asked[-1])


def test_many_newly_failed_ones_count_as_told_step_by_step(filled, monkeypatch):
    from shipfwd.store import reports

    monkeypatch.setattr(reports, "STEP", 2)
    monkeypatch.setattr(reports, "MOST_TOLD", 1)
    shop = filled.integration()
    filled.put(shop, *(row(str(n), f"NO{n:06}") for n in range(6)))
    filled.change("UPDATE shipments SET state = 'failed', reason = 'no'")
    rows, more = filled.store.newly_in_trouble()
    assert (len(rows), len(more)) == (1, 5)
    filled.store.mark_troubled(rows, more)
    rows, more = filled.store.newly_in_trouble()
    assert (len(rows), len(more)) == (0, 0)


def test_verify_writes_row_by_row(stage):
    from shipfwd import prover

    stage.put("101", "102")
    stage.forward()
    with stage.run("verify") as (run, assembly):
        rows = prover.verify(run, assembly.desk(stage.shop), None)
        looks = stage.far.count("look")
        assert next(rows)["verdict"] == "confirmed"
        assert stage.far.count("look") == looks + 1, "the second is not looked at before it is wanted"
        rows.close()
    assert run.looked == {}


def test_the_journal_of_a_part_is_complete(stage, failed):
    stage.by_hand(*failed)
    assert all(("forward", "left") in stage.journal(one) for one in failed)
