"""Any order of commands, crashes and jumps of the clock: no number is lost in the store, and no two runs hold one."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import park
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from support import NOON, Clock, Filled, row

from shipfwd.models import Attempt, Exchange, Settlement

WINDOW = timedelta(hours=72)
STORED = {"pending", "sending", "forwarded", "failed", "blocked", "expired", "dropped"}


class StoreMachine(RuleBasedStateMachine):
    """The store as runs use it. `held` is what each living run was given; the model of the rest is the promise."""

    runs = Bundle("runs")

    @initialize(trigger=st.sampled_from(["created", "status:Packed"]))
    def begin(self, trigger):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock(NOON)
        self.filled = Filled(Path(self.folder.name) / "t.db", self.clock)
        self.store = self.filled.store
        self.shop = self.filled.integration(trigger=trigger)
        self.known, self.held, self.left, self.lines = set(), {}, set(), 0
        for order in (1, 2, 3):
            self.put(order, 1, "Packed")

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    def stored(self):
        return {one["id"]: one for one in map(dict, self.store._read("SELECT * FROM shipments"))}

    # ---- what comes in ------------------------------------------------------------------------------------------

    @rule(order=st.integers(1, 4), parcel=st.integers(1, 3), status=st.sampled_from(["", "Packed", "New"]))
    def put(self, order, parcel, status):
        self.filled.put(self.shop, row(f"o{order}", f"{order}00000{parcel}U", status=status))
        self.known.add((f"o{order}", f"{order}00000{parcel}U"))

    @rule(status=st.sampled_from(["Packed", "New"]), data=st.data())
    def move(self, status, data):
        if self.known:
            order, _ = data.draw(st.sampled_from(sorted(self.known)))
            self.store.move_orders(self.shop.id, [order], status)

    @rule(hours=st.sampled_from([0.001, 1, 25, 80, -1]))
    def time_passes(self, hours):
        self.clock.forward(hours=hours)

    # ---- runs ---------------------------------------------------------------------------------------------------

    @rule(target=runs, orders=st.integers(1, 4))
    def claim(self, orders):
        run = self.store.begin_run("sweep")
        self.store.full_pass(self.shop, WINDOW)
        groups = self.store.claim(run, self.shop, orders)
        ids = {one.id for group in groups for one in group}
        assert not ids & {one for others in self.held.values() for one in others}, "claimed twice"
        self.held[run] = {one.id: one for group in groups for one in group}
        return run

    @rule(target=runs, data=st.data())
    def claim_by_hand(self, data):
        run = self.store.begin_run("forward")
        ids = sorted(self.stored())
        chosen = data.draw(st.lists(st.sampled_from(ids), max_size=3, unique=True)) if ids else []
        groups, _ = self.store.claim_by_hand(run, chosen, data.draw(st.booleans()))
        taken = {one.id: one for several in groups.values() for group in several for one in group}
        assert not set(taken) & {one for others in self.held.values() for one in others}, "claimed twice"
        self.held[run] = taken
        return run

    @rule(run=runs, data=st.data())
    def leaves(self, run, data):
        if self.held.get(run):
            one = data.draw(st.sampled_from(sorted(self.held[run])))
            exchange = Exchange(self.clock(), "POST", "https://shop.example", "", None, "", True, "about to leave")
            self.store.leave(run, [Attempt(one, "forward", "left", exchange=exchange)])
            self.left.add((run, one))

    @rule(run=runs, data=st.data(), state=st.sampled_from(["forwarded", "failed", "blocked", "pending", "doubt"]))
    def settle(self, run, data, state):
        if not self.held.get(run):
            return
        one = data.draw(st.sampled_from(sorted(self.held[run])))
        doubt = self.clock() if state == "doubt" else None
        later = self.clock() + timedelta(minutes=1) if state in ("doubt", "pending") else None
        outcome = Settlement(one, "pending" if doubt else state, "why", "Kind", later, doubt)
        line = Attempt(one, "forward", "outcome")
        assert self.store.settle(run, self.shop.id, [outcome], [line])[0] == {one}
        assert self.store.settle(run, self.shop.id, [outcome], [line])[0] == set(), "settled twice"
        del self.held[run][one]

    @rule(run=consumes(runs))
    def release(self, run):
        claims = self.held.pop(run, {})
        self.store.release(run, claims.values())

    @rule(run=consumes(runs), data=st.data(), sending=st.booleans())
    def dies(self, run, data, sending):
        """Its process is gone, perhaps while a write was on its way; the next run takes back what it held."""
        if sending:
            self.leaves(run, data)
        held = self.held.pop(run, {})
        assert self.store.take_back(run) == len(held)
        now = self.stored()
        for one in held:
            assert now[one]["state"] == "pending"
            assert now[one]["in_doubt_since"] or (run, one) not in self.left, "a write left, and nobody would look"

    # ---- ends ---------------------------------------------------------------------------------------------------

    @rule()
    def expire(self):
        doubtful = {id_ for id_, one in self.stored().items() if one["in_doubt_since"] and one["state"] == "pending"}
        due = {id_ for id_, one in self.stored().items() if one["due_at"]}
        self.store.expire(self.shop, WINDOW)
        gone = {id_ for id_, one in self.stored().items() if one["state"] == "expired"}
        assert not gone & doubtful
        assert not gone & (due & {id_ for id_, one in self.stored().items() if not one["due_at"]})

    @rule()
    def give_up(self):
        self.store.give_up(self.shop.id)

    @rule(data=st.data(), state=st.sampled_from(["dropped", "forwarded"]))
    def by_hand(self, data, state):
        if ids := sorted(self.stored()):
            one = data.draw(st.sampled_from(ids))
            before = self.stored()[one]
            doubtful = before["in_doubt_since"] is not None
            may = before["state"] not in ("sending", "forwarded") and doubtful == (state == "forwarded")
            if state == "dropped":
                assert self.store.drop([one], "a person said so") == [one] * may
            else:
                assert self.store.by_hand(one, state, "a person said so") is may

    @rule()
    def reopened(self):
        """The process is gone and another one opens the file."""
        self.store.close()
        self.filled = Filled(self.filled.path, self.clock)
        self.store = self.filled.store

    # ---- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def no_number_is_lost(self):
        if hasattr(self, "store"):
            assert {(one["order_id"], one["tracking_number"]) for one in self.stored().values()} == self.known

    @invariant()
    def states_are_legal_and_only_living_runs_hold(self):
        if hasattr(self, "store"):
            stored = self.stored().values()
            assert {one["state"] for one in stored} <= STORED
            sending = {one["id"] for one in stored if one["state"] == "sending"}
            assert sending == {one for others in self.held.values() for one in others}
            for one in stored:
                assert (one["run_id"] is not None) == (one["state"] == "sending"), one
                assert one["state"] != "forwarded" or one["forwarded_at"], one
                assert one["attempts"] >= 0, one

    @invariant()
    def the_journal_only_grows(self):
        if hasattr(self, "store"):
            count = self.store._read("SELECT count(*) FROM attempts")[0][0]
            assert count >= self.lines
            self.lines = count


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=500 if park.LONG else 25,
    stateful_step_count=60 if park.LONG else 30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
