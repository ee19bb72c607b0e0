"""A correction whose answer was lost: no green tick meanwhile, and the next run says which number stands there."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from test_engine import Stage

from shipfwd import errors, prover
from shipfwd.corrector import correct
from shipfwd.models import Receipt, Request

OLD, NEW = "NO1010000", "NEW 77-01"
THERE = "NEW77-01"


@pytest.fixture
def stage(filled, clock, monkeypatch) -> Stage:
    """One forwarded, confirmed shipment at a platform that replaces by one write, or by two."""

    def replace(self, order, parcel, number, seen):
        far = self.far
        self.wire._leave(Request("PUT", f"https://bazaar.test/{order}"))
        far.calls.append(("replace", number))
        far.hook("replace", number)
        if trouble := far.trouble("replace", [order]):
            error, lost, _ = trouble
            if lost:
                far.orders[order] = [number]
            raise error
        far.orders[order] = [number]
        return Receipt(parcel.id, "r-new", True)

    made = Stage(filled, clock, monkeypatch)
    made.declare(correct="replace", replace=replace, parcels="one")
    (made.one,) = made.put("101")
    made.forward()
    assert made[made.one]["confirmed_at"]
    return made


def corrected(stage: Stage, number: str = NEW):
    (shop,) = stage.store.integrations()
    with stage.run("correct") as (run, assembly):
        correct(run, assembly.desk(shop), stage.one, number)
    return run.tally


ENDS = {
    # what stands there at last → (number, state, words of the reason)
    "the new one": ([THERE], (THERE, "forwarded", f"replaces {OLD}")),
    "the old one": ([OLD], (OLD, "forwarded", f"{THERE} did not arrive; to replace it: shipfwd correct")),
    "both": ([OLD, THERE], (OLD, "forwarded", f"{THERE} stands beside it; to finish: shipfwd correct")),
    "neither": ([], (OLD, "failed", "neither")),
}


def test_a_number_whose_first_write_may_still_arrive_is_not_replaced_before_that(stage, clock):
    """It had been sent again at once with success, so nothing was in doubt; coming late, it undid the correction."""
    stage.declare(repeat="harmless")
    stage.far.repeats = True
    (stage.one,) = stage.put("102", number=OLD)
    stage.far.fail("write", errors.AnswerLost("lost"), late=True)
    assert stage.forward().exit_code == 0
    tally = corrected(stage)
    assert tally.exit_code == 4
    assert "the first may still arrive and replace" in tally.told[0]
    assert not [call for call in stage.far.calls if call[0] == "replace"]
    clock.forward(seconds=62)
    assert corrected(stage).exit_code == 0
    assert stage[stage.one]["tracking_number"] == THERE


def test_a_number_that_is_added_is_not_said_to_replace_the_old_one(stage):
    stage.declare(correct="add", parcels="many")
    assert corrected(stage).exit_code == 0
    assert stage.far.orders["101"] == [OLD, THERE]
    row = stage[stage.one]
    assert (row["tracking_number"], row["state"]) == (THERE, "forwarded")
    assert row["reason"] == f"stands beside {OLD}, which only a person can remove there"


@pytest.mark.parametrize("how", ["the answer was lost", "lost, may be repeated", "killed", "a bug", "not understood"])
@pytest.mark.parametrize("end", ENDS)
def test_a_lost_correction_shows_doubt_and_ends_as_what_stands_there(stage, end, how, clock):
    there, (number, state, words) = ENDS[end]
    if how == "killed":
        dead = stage.store.begin_run("correct")
        stage.store.claim_by_hand(dead, [stage.one], again=True)
        stage.store.leave(dead, [errors_left(stage.one)])
        with stage.run() as (run, _):
            assert run.take_back_dead() == 1
    else:
        error, code = {
            "the answer was lost": (errors.OutcomeUnknown("timed out"), 4),
            "lost, may be repeated": (errors.AnswerLost("timed out"), 4),
            "a bug": (ZeroDivisionError("oops"), 70),
            "not understood": (errors.NotUnderstood("what"), 4),
        }[how]
        stage.far.fail("replace", error)
        tally = corrected(stage)
        assert tally.exit_code == code
        assert "looked up" in tally.told[0]
    row = stage[stage.one]
    assert (row["state"], row["confirmed_at"], row["kind"]) == ("retrying", None, "Correction")
    assert row["in_doubt_since"]
    stage.far.orders["101"] = there
    tally = stage.forward() if how == "killed" else stage.by_hand(stage.one)
    if end != "the new one":
        assert stage[stage.one]["state"] == "retrying", "it may still arrive"
        assert tally.exit_code == 4
    clock.forward(seconds=62)
    tally = stage.forward()
    row = stage[stage.one]
    assert (row["tracking_number"], row["state"]) == (number, state)
    assert row["reason"].startswith(words)
    told = any(words in one for one in tally.told)
    assert told == (end != "the new one"), "what did not become as it was meant is told"
    assert bool(row["confirmed_at"]) == (state == "forwarded")
    assert row["in_doubt_since"] is None
    assert stage.far.writes() == [("101", [OLD])], "a correction never sends the old number again"
    assert stage.forward().exit_code == 0


def errors_left(shipment_id: int):
    from shipfwd.models import Attempt

    return Attempt(shipment_id, "correct", "left", NEW)


def test_a_correction_that_never_left_changes_nothing(stage):
    before = stage[stage.one]
    dead = stage.store.begin_run("correct")
    stage.store.claim_by_hand(dead, [stage.one], again=True)
    with stage.run() as (run, _):
        assert run.take_back_dead() == 1
    assert stage[stage.one] == {**before, "run_id": None}
    stage.far.fail("replace", errors.Rejected("no"))
    assert corrected(stage).exit_code == 1
    assert (stage[stage.one]["state"], stage[stage.one]["confirmed_at"]) == ("forwarded", before["confirmed_at"])


def test_a_correction_that_cannot_be_recorded_is_in_doubt_once_its_run_is_gone(stage, monkeypatch):
    settle = stage.store.settle

    def full(*args):
        raise errors.StoreFailed("the disk is full")

    monkeypatch.setattr(stage.store, "settle", full)
    with pytest.raises(errors.StoreFailed):
        corrected(stage)
    monkeypatch.setattr(stage.store, "settle", settle)
    assert stage[stage.one]["state"] == "retrying", "its run is dead"
    stage.forward()
    assert (stage[stage.one]["tracking_number"], stage[stage.one]["state"]) == (THERE, "forwarded")


def test_a_new_number_that_came_in_by_itself_meanwhile_is_not_taken_from_it(stage, clock):
    stage.far.fail("replace", errors.OutcomeUnknown("timed out"), lost=True)
    corrected(stage)
    (two,) = stage.put("101", number=NEW)
    clock.forward(seconds=62)
    stage.forward()
    assert (stage[two]["state"], stage[two]["tracking_number"]) == ("forwarded", THERE)
    assert stage[stage.one]["state"] == "failed"
    assert f"shipfwd drop {stage.one}" in stage[stage.one]["reason"]


@pytest.mark.parametrize(("arrived", "number"), [(True, THERE), (False, OLD)])
def test_where_a_platform_shows_no_numbers_a_person_says_which_one_stands_there(stage, arrived, number, clock):
    stage.far.fail("replace", errors.OutcomeUnknown("timed out"), lost=True)
    stage.declare(read_back=False, parcels="many")
    corrected(stage)
    stage.far.orders.clear()
    clock.forward(seconds=62)
    assert stage.forward().exit_code == 1
    row = stage[stage.one]
    assert row["state"] == "failed"
    assert "--arrived" in row["reason"]
    assert not stage.store.drop([stage.one], "cancelled")
    assert stage.store.correction(stage.one) == NEW
    assert stage.store.by_hand(stage.one, "forwarded", "seen", number=NEW if arrived else "")
    row = stage[stage.one]
    assert (row["tracking_number"], row["state"], row["confirmed_at"]) == (number, "forwarded", None)


@pytest.mark.parametrize("there", [True, False])
def test_a_look_older_than_a_correction_says_nothing_of_the_new_number(stage, there):
    """The sweep asked, the correction was done meanwhile, then the sweep heard the answer."""
    stage.declare(proof="read")
    stage.filled.change("UPDATE shipments SET confirmed_at = NULL, forwarded_at = '2026-11-20T12:00:00Z'")
    stage.far.orders["101"] = [OLD] if there else []

    def meanwhile(step, what):
        if step == "look":
            stage.far.hook = lambda step, what: None
            stage.filled.change("UPDATE shipments SET tracking_number = 'NEW7701', tracking_key = 'NEW7701'")

    stage.far.hook = meanwhile
    with stage.run("sweep") as (run, assembly):
        (shop,) = stage.store.integrations()
        prover.prove(run, assembly.desk(shop))
    assert (stage[stage.one]["state"], stage[stage.one]["confirmed_at"]) == ("forwarded", None)
    assert ("verify", "confirmed") not in stage.journal(stage.one)
    assert run.tally.exit_code == 0


def test_settle_and_correct_speak_of_the_lost_correction(shop):
    shop.add()
    shop.run("add", "101", "620000000000000000000101", "-i", "shop", "--carrier", "inpost")
    shop.sim.fail_next("woocommerce", "drop", match="(PUT|POST) .*")
    assert shop.run("correct", "1", "620000000000000000000007", "--yes").code == 4
    assert shop.states() == {"101": "retrying"}
    again = shop.run("correct", "1", "620000000000000000000007", "--yes")
    assert again.code == 2
    assert "shipfwd forward 1" in again.err
    told = shop.run("show", "1").out
    assert "In doubt since" in told
    assert "look there now which number it has" in told
    assert "The replacement was sent, but its answer was lost" in told
    assert shop.run("settle", "1", "--arrived").code == 0
    (row,) = shop.json("status")
    assert (row["tracking_number"], row["state"]) == ("620000000000000000000007", "forwarded")
    assert "replaces 620000000000000000000101" in row["reason"]


# ---- what else happens at the same time ---------------------------------------------------------------------


def test_removing_looks_again_when_nobody_can_claim_any_more(shop, monkeypatch):
    from shipfwd.cli.app import App

    shop.add()
    shop.run("add", "101", "620000000000000000000101", "-i", "shop", "--carrier", "inpost", "--no-forward")

    def meanwhile(app, question, yes):
        store = app.store()
        store.full_pass(store.integration("shop"), timedelta(hours=72))
        assert store.claim(store.begin_run("sweep"), store.integration("shop"), 5)

    monkeypatch.setattr(App, "confirm", meanwhile)
    said = shop.run("integration", "remove", "shop", "--yes")
    assert said.code == 2
    assert "being sent right now" in said.err
    assert shop.states() == {"101": "retrying"}
    assert [one["name"] for one in shop.json("integration", "list")] == ["shop"]


def test_a_log_that_cannot_be_written_keeps_no_run_from_being_recorded(filled, clock):
    from shipfwd.runs import Run

    def broken(*args, **fields):
        raise BrokenPipeError(32, os.strerror(32))

    with Run(filled.store, "forward", clock, log=broken) as run:
        pass
    (row,) = filled.store._read("SELECT exit_code, ended_at FROM runs WHERE id = ?", (run.id,))
    assert row["exit_code"] == 0
    assert row["ended_at"]
