"""The engine against a platform that does as a test says: every error at every step, doubt, and what ends a run."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import NOON, row

from shipfwd import errors, platforms, prover, sweeper
from shipfwd.assembly import Assembly
from shipfwd.files import locks_folder
from shipfwd.http import WouldSend
from shipfwd.models import Attempt, Receipt, Request, Seen
from shipfwd.platforms.base import Platform
from shipfwd.redactor import Redactor
from shipfwd.runs import Run
from shipfwd.vault import Vault

SECRET = "SECRET-engine-key"


class Far:
    """The far side: orders with numbers, and what goes wrong next.

    fail(step, error)   the next call of `look`, `write`, `status` or `preflight` raises it.
    lost=True           the write is done before it raises.
    late=True           the write is done when `arrive()` is called.
    lies                writes are accepted and nothing is stored.
    """

    lies = False

    def __init__(self) -> None:
        self.orders: dict[str, list[str]] = {}
        self.states: dict[str, str] = {}
        self.refusals: dict[str, Exception] = {}
        self.unknown: set[str] = set()
        self.calls: list[tuple[str, Any]] = []
        self.threads: dict[str, set[str]] = {}
        self.hook: Any = lambda step, what: None
        self.repeats = False  # a write that fails is sent again at once, as http.py does
        self._plans: list[tuple[str, Exception, int, bool, bool, str]] = []
        self._late: list[tuple[str, list[str]]] = []
        self._lock = threading.Lock()

    def fail(
        self, step: str, error: Exception, times: int = 1, lost: bool = False, late: bool = False, order: str = ""
    ):
        self._plans.append((step, error, times, lost, late, order))

    def trouble(self, step: str, orders: list[str]) -> tuple[Exception, bool, bool] | None:
        with self._lock:
            for at, (planned, error, times, lost, late, order) in enumerate(self._plans):
                if planned == step and (not order or order in orders):
                    if times > 1:
                        self._plans[at] = (planned, error, times - 1, lost, late, order)
                    else:
                        del self._plans[at]
                    return error, lost, late
        return None

    def arrive(self) -> None:
        for order, numbers in self._late:
            self.orders.setdefault(order, []).extend(numbers)
        self._late.clear()

    def writes(self) -> list[tuple[str, list[str]]]:
        return [what for step, what in self.calls if step == "write"]

    def count(self, step: str) -> int:
        return sum(1 for done, _ in self.calls if done == step)


class Bazaar(Platform):
    """A platform whose far side lies in memory. Its class attributes are what tests vary."""

    name = "bazaar"
    title = "Bazaar"
    where = "bazaar.test/{order}"
    carriers = {"dpd": "DPD", "inpost": "INPOST"}
    number_max = 30
    concurrency = 4
    sent_from = frozenset({"open"})
    partial = False
    far: Far

    def look(self, orders):
        far = self.far
        far.calls.append(("look", list(orders)))
        far.hook("look", list(orders))
        if trouble := far.trouble("look", list(orders)):
            raise trouble[0]
        return {
            order: Seen(
                tuple(far.orders.get(order, [])),
                far.states.get(order, "open") == "sent",
                far.states.get(order, "open"),
                far.refusals.get(order),
                partial=self.partial,
            )
            for order in orders
            if order not in far.unknown
        }

    def preflight(self, parcel):
        super().preflight(parcel)
        if trouble := self.far.trouble("preflight", []):
            raise trouble[0]

    def forward(self, order, parcels, seen):
        far, numbers = self.far, [one.tracking_number for one in parcels]
        request = Request("POST", f"https://bazaar.test/{order}", {"Authorization": f"Bearer {SECRET}"}, b"{}")
        if self.wire.channel.network.dry_run:
            raise WouldSend(request)
        self.wire._leave(request)
        far.calls.append(("write", (order, numbers)))
        far.threads.setdefault(order, set()).add(threading.current_thread().name)
        far.hook("write", (order, numbers))
        if trouble := far.trouble("write", [order]):
            error, lost, late = trouble
            if lost:
                far.orders.setdefault(order, []).extend(numbers)
            if late:
                far._late.append((order, numbers))
            if not far.repeats:
                raise error
            self.wire.exchanges.append(replace(exchange(None), at=self.now(), lost=True))
        if not far.lies:
            far.orders.setdefault(order, []).extend(numbers)
        return [Receipt(one.id, f"r-{one.id}", self.proof == "answer") for one in parcels]

    def mark_sent(self, order, seen):
        far = self.far
        far.calls.append(("status", order))
        far.hook("status", order)
        if trouble := far.trouble("status", [order]):
            raise trouble[0]
        far.states[order] = "sent"


class Stage:
    """A store, a far side, and runs between them."""

    def __init__(self, filled, clock, monkeypatch) -> None:
        self.filled, self.store, self.clock, self._monkeypatch = filled, filled.store, clock, monkeypatch
        self.far = Far()
        self.kinds: dict[str, type[Platform]] = {}
        self.redactor = Redactor()
        self.redactor.add(SECRET)
        monkeypatch.setattr(platforms, "load", lambda name: self.kinds[name])
        self.shop = self.register("shop")

    def register(self, name: str, kind: str = "bazaar", **more: Any):
        self.declare(kind=kind)
        given = {"status_transfer": "unavailable", **more}
        return self.filled.integration(name, kind, **given)

    def declare(self, kind: str = "bazaar", **attributes: Any) -> None:
        """Change what the platform is like."""
        before = self.kinds.get(kind, Bazaar)
        self.kinds[kind] = type("Made", (before,), {"name": kind, "far": self.far, **attributes})

    def marking(self) -> None:
        """From now on, orders are marked as sent by a call of its own."""
        self.declare(status_transfer="separate")
        self.shop = replace(self.shop, status_transfer="on")
        self.store.save_integration(self.shop)

    def put(self, *orders: str, number: str = "", **more: Any) -> list[int]:
        return self.filled.put(
            self.shop, *(row(order, number or f"NO{order}0000", line=n, **more) for n, order in enumerate(orders, 1))
        )

    @contextmanager
    def run(self, command: str = "forward", dry: bool = False, deadline: float = 60.0):
        vault = Vault(self.filled.path.with_name("t.db.vault"), locks_folder(self.filled.path), self.redactor.add)
        with Run(self.store, command, self.clock, dry, deadline) as run:
            assembly = Assembly(self.store, vault, self.redactor, self.clock, run.wait, dry)
            try:
                yield run, assembly
                if not dry:
                    sweeper.warn(run, assembly, self.store.integrations())
                    run.tally.all_told()
            finally:
                assembly.close()

    def forward(self, **more: Any):
        """`forward`: all that is due. Returns the tally."""
        with self.run(**more) as (run, assembly):
            if not run.dry:
                run.take_back_dead()
            sweeper.forward_all(run, assembly, self.store.integrations())
        return run.tally

    def sweep(self, if_due: bool = False, **more: Any):
        with self.run("sweep", **more) as (run, assembly):
            if not run.dry:
                run.take_back_dead()
            sweeper.sweep(run, assembly, self.store.integrations(), if_due)
        return run.tally

    def by_hand(self, *ids: int, again: bool = False, **more: Any):
        with self.run(**more) as (run, assembly):
            self.left = sweeper.forward_chosen(run, assembly, ids, again)
        return run.tally

    def __getitem__(self, shipment_id: int) -> dict[str, Any]:
        return self.filled.shown(shipment_id)

    def journal(self, shipment_id: int) -> list[tuple[str, str]]:
        found = self.store.story(shipment_id)
        assert found is not None
        return [(line["step"], line["outcome"]) for line in found[1]]


@pytest.fixture
def stage(filled, clock, monkeypatch) -> Stage:
    return Stage(filled, clock, monkeypatch)


def seconds_ahead(shown: dict[str, Any]) -> float | None:
    from shipfwd.models import parse_stamp

    return (parse_stamp(shown["next_attempt_at"]) - NOON).total_seconds() if shown["next_attempt_at"] else None


# ---- every error, wherever it comes from --------------------------------------------------------------------

MINUTE, HOUR = (47, 73), (3600 * 0.79, 3600 * 1.21)
# error → (state, exit code, when again, in doubt) at a look; and at a write where it differs
ERRORS = {
    "throttled": (errors.Throttled("slower"), ("retrying", 4, MINUTE, False), None),
    "throttled for two hours": (errors.Throttled("slower", after=7200), ("retrying", 4, (7199, 7201), False), None),
    "throttled for three days": (
        errors.Throttled("slower", after=259200),
        ("retrying", 4, (86399, 86401), False),
        None,
    ),
    "unavailable": (errors.Unavailable("down"), ("retrying", 4, MINUTE, False), None),
    "not ready": (errors.NotReady("not paid"), ("retrying", 4, (3599, 3601), False), None),
    "outcome unknown": (errors.OutcomeUnknown("lost"), ("retrying", 4, MINUTE, False), ("retrying", 4, (59, 61), True)),
    "answer lost": (errors.AnswerLost("lost"), ("retrying", 4, MINUTE, False), ("retrying", 4, (59, 73), True)),
    "order not found": (errors.OrderNotFound("no such order"), ("failed", 1, None, False), None),
    "rejected": (errors.Rejected("no"), ("failed", 1, None, False), None),
    "not understood": (errors.NotUnderstood("what"), ("failed", 1, None, False), ("failed", 1, None, True)),
    "carrier": (errors.CarrierNotAccepted("what is DPD"), ("blocked", 1, None, False), ("failed", 1, None, False)),
    "number": (errors.NumberNotAccepted("too odd"), ("blocked", 1, None, False), ("failed", 1, None, False)),
    "not ours": (errors.NotOurs("we ship this"), ("blocked", 1, None, False), None),
    "auth": (errors.AuthFailed("wrong key"), ("pending", 3, None, False), None),
    "config": (errors.ConfigError("moved"), ("pending", 3, None, False), None),
    "bug": (ZeroDivisionError("oops"), ("failed", 70, None, False), ("failed", 70, None, True)),
}


@pytest.mark.parametrize("step", ["look", "write"])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_becomes_a_state_an_exit_code_and_a_time(stage, name, step):
    error, at_look, at_write = ERRORS[name]
    state, code, when, doubt = (at_write if step == "write" else None) or at_look
    (one,) = stage.put("101")
    stage.far.fail(step, error)
    tally = stage.forward()
    shown = stage[one]
    assert (shown["state"], tally.exit_code) == (state, code), (shown["reason"], tally)
    assert (shown["in_doubt_since"] is not None) == doubt
    ahead = seconds_ahead(shown)
    assert (when is None) == (ahead is None)
    if when is not None:
        assert when[0] <= ahead <= when[1]
    if state in ("failed", "blocked", "retrying"):
        assert shown["reason"]
    if state in ("failed", "blocked"):
        assert len(tally.told) >= 1, "a person is told once"
        assert stage.forward().told == [], "and only once"


@pytest.mark.parametrize(
    ("error", "code", "tried_again"),
    [
        (errors.Throttled("slower", after=7200), 4, True),
        (errors.Unavailable("down"), 4, True),
        (errors.OutcomeUnknown("lost"), 4, True),
        (errors.NotReady("wait"), 4, True),
        (errors.Rejected("no"), 1, False),
        (errors.OrderNotFound("gone"), 1, False),
        (errors.NotUnderstood("what"), 1, False),
        (errors.AuthFailed("wrong key"), 3, True),
        (ZeroDivisionError("oops"), 70, False),
    ],
)
def test_a_failed_status_step_leaves_the_shipment_forwarded(stage, error, code, tried_again):
    stage.marking()
    (one,) = stage.put("101")
    stage.far.fail("status", error)
    tally = stage.forward()
    shown = stage[one]
    assert (shown["state"], shown["status_sent_at"], tally.exit_code) == ("forwarded", None, code), tally
    assert shown["reason"].startswith("number is there; marking as sent failed: ")
    stage.clock.forward(hours=3)
    later = stage.sweep()
    assert (stage.far.states.get("101") == "sent") == tried_again
    assert later.exit_code == 0
    assert (stage[one]["status_sent_at"] is not None, stage[one]["reason"] == "") == (tried_again, tried_again)
    assert stage.far.count("write") == 1


@pytest.mark.parametrize(
    ("carrier", "number", "kind"),
    [("unheard-of", "NO1010000", "CarrierNotAccepted"), ("", "NO1010000", "CarrierNotAccepted"),
     ("dpd", "N" * 20 + "1" * 11, "NumberNotAccepted")],
)  # fmt: skip
def test_what_cannot_be_sent_is_blocked_before_any_request(stage, carrier, number, kind):
    (one,) = stage.put("101", number=number, carrier=carrier)
    tally = stage.forward()
    assert (stage[one]["state"], stage[one]["kind"], tally.exit_code) == ("blocked", kind, 1)
    assert stage.far.calls == []
    assert stage.forward().exit_code == 0, "told once"


def test_a_blocked_shipment_is_free_once_its_carrier_is_mapped(stage):
    (one,) = stage.put("101", carrier="unheard-of")
    stage.forward()
    stage.store.save_integration(replace(stage.shop, carrier_map={"unheard-of": "THEIRS"}))
    assert stage.forward().exit_code == 0
    assert stage[one]["state"] == "forwarded"


def test_a_blocked_shipments_check_that_breaks_leaves_the_others_alone(stage):
    stage.put("101", carrier="unheard-of")
    stage.forward()
    (two,) = stage.put("102")
    stage.store.save_integration(replace(stage.shop, carrier_map={"unheard-of": "THEIRS"}))
    stage.far.fail("preflight", errors.Rejected("the carrier list is broken"))
    stage.forward()
    assert stage[two]["state"] == "forwarded"


# ---- in doubt -----------------------------------------------------------------------------------------------


def lose(stage: Stage, *orders: str, late: bool = False, lost: bool = False) -> list[int]:
    """Shipments whose write left and whose answer was lost."""
    ids = stage.put(*orders)
    stage.far.fail("write", errors.OutcomeUnknown("lost"), times=len(orders), late=late, lost=lost)
    stage.forward()
    assert all(stage[one]["in_doubt_since"] for one in ids)
    stage.far.calls.clear()
    return ids


def test_a_lost_write_that_arrived_is_adopted(stage):
    (one,) = lose(stage, "101", lost=True)
    stage.clock.forward(seconds=61)
    tally = stage.forward()
    assert (stage[one]["state"], tally.adopted, tally.exit_code) == ("forwarded", {one}, 0)
    assert stage[one]["confirmed_at"]
    assert not stage[one]["in_doubt_since"]
    assert stage.far.writes() == []


def test_a_lost_write_is_not_looked_up_before_its_doubt_has_ended(stage):
    (one,) = lose(stage, "101")
    stage.clock.forward(seconds=59)
    stage.forward()
    assert stage.far.calls == []
    stage.clock.forward(seconds=2)
    stage.forward()
    assert stage.far.writes() == [("101", ["NO1010000"])]
    assert stage[one]["state"] == "forwarded"


def test_a_person_who_forwards_in_the_doubtful_time_is_told_not_there_yet(stage):
    (one,) = lose(stage, "101")
    stage.clock.forward(seconds=10)
    tally = stage.by_hand(one)
    assert tally.exit_code == 4
    assert "not there yet" in stage[one]["reason"]
    assert seconds_ahead(stage[one]) == 60
    assert [step for step, _ in stage.far.calls] == ["look"]


@pytest.mark.parametrize("left", [0, 1, 500_000, 999_999])
def test_doubt_is_never_cut_short_by_a_time_stored_in_whole_seconds(stage, left):
    """A killed run's write is repeated a minute after it left at the earliest, and at most two seconds later."""
    (one,) = stage.put("101")
    stage.clock.forward(microseconds=left)
    begun = stage.clock.now
    with stage.run() as (run, _):
        stage.store.full_pass(stage.shop, timedelta(hours=72))
        stage.store.claim(run.id, stage.shop, 9)
        stage.store.leave(run.id, [Attempt(one, "forward", "left")])
    stage.forward()
    stage.clock.forward(seconds=59)
    while not stage.far.writes() and stage.clock.now < begun + timedelta(seconds=70):
        stage.forward()
        stage.clock.forward(milliseconds=170)
    waited = (stage.clock.now - begun).total_seconds() - 0.17
    assert 60 <= waited <= 62


def test_a_harmless_repeat_needs_no_wait(stage):
    stage.declare(repeat="harmless")
    (one,) = lose(stage, "101")
    stage.clock.forward(seconds=5)
    stage.by_hand(one)
    assert stage[one]["state"] == "forwarded"
    assert stage.far.count("write") == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_write_is_looked_up_though_forwarding_is_off_and_never_sent_again_then(stage, arrives):
    (one,) = lose(stage, "101", late=True)
    stage.store.save_integration(replace(stage.shop, enabled=False))
    if arrives:
        stage.far.arrive()
    stage.clock.forward(seconds=61)
    stage.sweep()
    assert stage[one]["state"] == ("forwarded" if arrives else "waiting")
    assert stage.far.writes() == []
    assert not stage[one]["in_doubt_since"]


def test_doubt_lasts_its_whole_time_although_forwarding_was_switched_off(stage):
    """Cleared early, a write still in flight would be doubled as soon as forwarding is on again."""
    (one,) = lose(stage, "101", late=True)
    off = replace(stage.shop, enabled=False)
    stage.store.save_integration(off)
    stage.filled.change("UPDATE shipments SET next_attempt_at = NULL")  # as when a dead run's is taken back
    stage.clock.forward(seconds=5)
    stage.sweep()
    assert stage[one]["state"] == "retrying"
    stage.store.save_integration(replace(off, enabled=True))
    stage.clock.forward(seconds=5)
    stage.forward()
    stage.far.arrive()
    stage.clock.forward(seconds=61)
    stage.forward()
    assert stage[one]["state"] == "forwarded"
    assert stage.far.orders["101"] == ["NO1010000"]


def test_where_nothing_can_be_read_back_a_person_decides(stage):
    stage.declare(read_back=False)
    (one,) = stage.put("101")
    stage.far.fail("write", errors.OutcomeUnknown("lost"))
    tally = stage.forward()
    shown = stage[one]
    assert (shown["state"], tally.exit_code) == ("failed", 1)
    assert "may have arrived; check at bazaar.test/101" in shown["reason"]
    assert f"shipfwd settle {one}" in shown["reason"]
    assert shown["in_doubt_since"]
    assert stage.store.by_hand(one, "forwarded", "seen there")
    assert stage[one]["state"] == "forwarded"


def test_a_proof_is_never_asked_of_a_platform_that_cannot_be_read(stage):
    stage.declare(read_back=False, proof="read")
    (one,) = stage.put("101")
    stage.sweep()
    stage.clock.forward(hours=2)
    assert stage.sweep().exit_code == 0
    assert (stage[one]["state"], stage[one]["reason"]) == ("forwarded", "accepted, not read back yet")


def test_config_overrides_the_time_of_doubt(stage):
    stage.store.set_config("in_doubt_seconds", "300")
    (one,) = lose(stage, "101")
    assert seconds_ahead(stage[one]) == 300


def test_a_clock_that_was_put_back_does_not_keep_a_shipment_in_doubt_for_ever(stage):
    (one,) = lose(stage, "101")
    stage.clock.forward(days=-2)
    stage.forward()
    stage.clock.forward(seconds=61)
    stage.forward()
    assert stage[one]["state"] == "forwarded"


def test_a_shipment_in_doubt_never_expires_unlooked(stage):
    (one,) = lose(stage, "101", lost=True)
    stage.filled.change("UPDATE shipments SET due_at = NULL")
    stage.clock.forward(days=5)
    stage.sweep()
    assert stage[one]["state"] == "forwarded"


def test_a_cancelled_order_ends_doubt_as_failed_only_after_its_time(stage):
    (one,) = lose(stage, "101", late=True)
    stage.far.refusals["101"] = errors.Rejected("cancelled")
    stage.clock.forward(seconds=30)
    stage.by_hand(one)
    assert stage[one]["state"] == "retrying"
    stage.clock.forward(seconds=31)
    stage.forward()
    assert stage[one]["state"] == "failed"


def test_a_parcel_waits_while_another_of_its_order_may_still_arrive(stage):
    """Where numbers share one field, the late write would wipe out what was written meanwhile."""
    stage.declare(parcels="joined")
    (one,) = lose(stage, "101", late=True)
    (two,) = stage.put("101", number="SECOND0001")
    stage.clock.forward(seconds=5)
    stage.forward()
    assert stage.far.writes() == []
    stage.far.arrive()
    stage.clock.forward(seconds=61)
    stage.forward()
    assert {stage[one]["state"], stage[two]["state"]} == {"forwarded"}
    assert stage.far.orders["101"] == ["NO1010000", "SECOND0001"]


# ---- what stands there already ------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["NO1010000", "no-101 0000", "No1010000"])
def test_a_number_that_stands_there_is_adopted_and_nothing_is_written(stage, there):
    (one,) = stage.put("101")
    stage.far.orders["101"] = [there]
    tally = stage.forward()
    assert (stage[one]["state"], tally.adopted, tally.exit_code) == ("forwarded", {one}, 0)
    assert stage[one]["confirmed_at"]
    assert stage.far.writes() == []


@pytest.mark.parametrize(
    ("parcels", "ours", "items", "state", "word"),
    [
        ("many", False, False, "forwarded", ""),
        ("joined", False, False, "forwarded", ""),
        ("one", False, False, "failed", "OTHER0001"),
        ("one", True, False, "blocked", "shows one number, has FIRST0001"),
        ("items", False, False, "failed", "OTHER0001"),
        ("items", True, False, "blocked", "--item"),
        ("items", True, True, "forwarded", ""),
    ],
)
def test_a_different_number_there(stage, parcels, ours, items, state, word):
    stage.declare(parcels=parcels)
    if ours:
        stage.put("101", number="FIRST0001")
        stage.forward()
    else:
        stage.far.orders["101"] = ["OTHER0001"]
    (one,) = stage.put("101", number="LATER0001", **({"item_id": "7", "quantity": 1} if items else {}))
    tally = stage.forward()
    shown = stage[one]
    assert (shown["state"], tally.exit_code) == (state, 0 if state == "forwarded" else 1), shown["reason"]
    assert word in shown["reason"]


def test_on_a_platform_with_one_number_the_oldest_parcel_wins(stage):
    stage.declare(parcels="one")
    late, early = stage.filled.put(
        stage.shop,
        row("101", "LATE00001", created_at=NOON - timedelta(hours=1)),
        row("101", "EARLY0001", created_at=NOON - timedelta(hours=5)),
    )
    numbers = {stage[one]["tracking_number"]: one for one in (late, early)}
    stage.forward()
    assert stage.far.orders["101"] == ["EARLY0001"]
    assert stage[numbers["LATE00001"]]["state"] == "blocked"
    assert stage.sweep().exit_code == 0, "told once, and never examined again"


def test_a_number_of_ours_that_failed_here_is_not_called_foreign(stage):
    stage.declare(parcels="one")
    (one,) = stage.put("101", number="FIRST0001")
    stage.far.fail("write", errors.NotUnderstood("answered without 'id'"), lost=True)
    stage.forward()
    assert stage[one]["state"] == "failed"
    (two,) = stage.put("101", number="LATER0001")
    stage.forward()
    assert (stage[two]["state"], stage[two]["kind"]) == ("blocked", "OneNumber")


def test_an_order_that_is_not_there_fails_with_the_next_step(stage):
    (one,) = stage.put("101")
    stage.far.unknown.add("101")
    assert stage.forward().exit_code == 1
    assert "knows no order '101'" in stage[one]["reason"]


def test_a_refused_order_is_never_written_to(stage):
    ids = stage.put("101", "102", "103")
    stage.far.refusals = {
        "101": errors.Rejected("the order is cancelled"),
        "102": errors.NotReady("not paid"),
        "103": errors.NotOurs("fulfilled by Bazaar"),
    }
    assert stage.forward().exit_code == 1
    assert [stage[one]["state"] for one in ids] == ["failed", "retrying", "blocked"]
    assert stage.far.writes() == []


# ---- the order of things ------------------------------------------------------------------------------------


def test_parcels_of_an_order_go_to_one_thread_oldest_first(stage):
    rows = [
        row(order, f"{order}X{n:04}", created_at=NOON - timedelta(hours=n), line=n)
        for n in range(1, 6)
        for order in ("101", "102", "103")
    ]
    stage.filled.put(stage.shop, *rows)
    stage.forward()
    for order in ("101", "102", "103"):
        assert stage.far.orders[order] == [f"{order}X{n:04}" for n in range(5, 0, -1)]
        assert len(stage.far.threads[order]) == 1


def test_the_first_order_goes_alone_then_the_rest_in_parallel(stage):
    stage.put(*(str(n) for n in range(101, 113)))
    busy, most, gate = 0, [], threading.Barrier(4, timeout=5)
    lock = threading.Lock()

    def hook(step, what):
        nonlocal busy
        if step == "write":
            with lock:
                busy += 1
                most.append(busy)
                first = len(most) == 1
            if not first and len(most) <= 5:
                gate.wait()
            with lock:
                busy -= 1

    stage.far.hook = hook
    assert stage.forward().exit_code == 0
    assert most[0] == 1
    assert max(most) == 4


def test_a_wrong_password_rests_the_integration_and_gives_back_the_rest(stage):
    ids = stage.put(*(str(n) for n in range(101, 121)))
    stage.far.fail("look", errors.AuthFailed("wrong key"), times=99)
    tally = stage.forward()
    assert {stage[one]["state"] for one in ids} == {"pending"}
    assert {stage.filled.stored(one)["attempts"] for one in ids} == {0}
    assert stage.far.count("look") == 1, "the first order goes alone"
    assert tally.exit_code == 3
    assert len(tally.told) == 1


def test_a_resting_integration_is_not_asked_for_proof(stage):
    stage.declare(proof="read")
    stage.put("101")
    stage.sweep()
    stage.put("102")
    stage.far.calls.clear()
    stage.far.fail("look", errors.AuthFailed("wrong key"), times=99)
    tally = stage.sweep()
    assert stage.far.count("look") == 1
    assert len(tally.told) == 1


@pytest.mark.parametrize(
    "error",
    [errors.Unavailable("10.1.2.3:8101 is down"), errors.NotUnderstood("no 'id'"), errors.Rejected("api closed")],
)
def test_five_equal_errors_in_a_row_rest_the_integration(stage, error):
    stage.declare(concurrency=1)
    ids = stage.put(*(str(n) for n in range(101, 121)))
    stage.far.fail("look", error, times=99)
    tally = stage.forward()
    states = [stage[one]["state"] for one in ids]
    assert states.count("pending") == 15, states
    assert any("5 times in a row" in line for line in tally.talk)
    assert stage.far.count("look") == 5


def test_five_cancelled_orders_say_nothing_about_the_integration(stage):
    stage.declare(concurrency=1)
    ids = stage.put(*(str(n) for n in range(101, 113)))
    stage.far.refusals = {str(n): errors.Rejected("the order is cancelled") for n in range(101, 112)}
    stage.forward()
    assert stage[ids[-1]]["state"] == "forwarded"
    assert [stage[one]["state"] for one in ids[:-1]] == ["failed"] * 11


@pytest.mark.parametrize("error", [errors.OrderNotFound("no"), errors.NotReady("unpaid")])
def test_errors_that_name_an_order_rest_nobody(stage, error):
    stage.declare(concurrency=1)
    ids = stage.put(*(str(n) for n in range(101, 113)))
    stage.far.fail("look", error, times=11)
    stage.forward()
    assert stage[ids[-1]]["state"] == "forwarded"


@pytest.mark.parametrize(
    "error", [errors.AuthFailed("wrong key"), ZeroDivisionError("oops"), errors.Unavailable("down")]
)
def test_one_integrations_trouble_never_touches_another(stage, error):
    other = stage.register("other", "fair")
    stage.declare("fair", far=Far())
    (one,) = stage.put("101")
    (two,) = stage.filled.put(other, row("201", "NO2010000"))
    stage.far.fail("look", error, times=9)
    stage.forward()
    assert stage[two]["state"] == "forwarded"
    assert stage[one]["state"] != "forwarded"


def test_an_integration_whose_platform_is_gone_is_3_and_touches_no_other(stage):
    other = stage.register("other", "fair")
    (one,) = stage.put("101")
    (two,) = stage.filled.put(other, row("201", "NO2010000"))

    def load(name):
        if name == "fair":
            raise errors.UsageError("no platform is called 'fair'")
        return stage.kinds[name]

    stage._monkeypatch.setattr(platforms, "load", load)
    tally = stage.forward()
    assert (stage[one]["state"], stage[two]["state"], tally.exit_code) == ("forwarded", "pending", 3)
    assert any("no platform is called 'fair'" in line for line in tally.told)


def test_a_vault_that_cannot_be_read_hides_no_trouble(stage):
    (one,) = stage.put("101")
    stage.far.unknown.add("101")
    vault = stage.filled.path.with_name("t.db.vault")
    vault.write_text("{broken")
    vault.chmod(0o600)
    tally = stage.sweep()
    assert tally.exit_code == 3
    assert any("knows no order '101'" in line for line in tally.told)


def test_a_bug_fails_its_shipment_tells_where_and_hides_secrets(stage):
    ids = stage.put(*(str(n) for n in range(101, 107)))
    stage.far.fail("write", ZeroDivisionError(f"while sending {SECRET}"), order="103")
    tally = stage.forward()
    states = [stage[one]["state"] for one in ids]
    assert states == ["forwarded", "forwarded", "failed", "forwarded", "forwarded", "forwarded"]
    assert tally.exit_code == 70
    said = "\n".join(tally.told)
    assert "Traceback" in said
    assert "ZeroDivisionError" in said
    assert "order 103" in said
    assert SECRET not in said
    assert SECRET not in str(stage.store._read("SELECT * FROM attempts")) + str(stage[ids[2]])


def test_a_bug_after_a_good_parcel_of_the_same_order_leaves_that_one_in_peace(stage):
    first, second = stage.filled.put(
        stage.shop,
        row("101", "FIRST0001", created_at=NOON - timedelta(hours=2)),
        row("101", "SECOND001", created_at=NOON - timedelta(hours=1)),
    )
    numbers = {stage[one]["tracking_number"]: one for one in (first, second)}
    good, bad = numbers["FIRST0001"], numbers["SECOND001"]
    stage.far.hook = lambda step, what: 1 / 0 if step == "write" and what[1] == ["SECOND001"] else None
    tally = stage.forward()
    assert stage[good]["state"] == "forwarded"
    assert ("forward", "failed") not in stage.journal(good)
    assert stage[bad]["state"] == "failed"
    assert tally.touched == {good, bad}


def test_a_bug_in_a_batch_look_fails_only_the_order_that_has_it(stage):
    stage.declare(look_batch=50)
    ids = stage.put(*(str(n) for n in range(101, 107)))

    def hook(step, what):
        if step == "look" and "103" in what:
            raise KeyError("surprise")

    stage.far.hook = hook
    tally = stage.forward()
    assert [stage[one]["state"] for one in ids].count("forwarded") == 5
    assert stage[ids[2]]["state"] == "failed"
    assert tally.exit_code == 70


def test_one_bad_order_does_not_fail_its_batch(stage):
    stage.declare(look_batch=50)
    ids = stage.put(*(str(n) for n in range(101, 107)))
    stage.far.fail("look", errors.Rejected("103 is odd"), times=2, order="103")
    stage.forward()
    assert [stage[one]["state"] for one in ids] == [*["forwarded"] * 2, "failed", *["forwarded"] * 3]


def test_orders_are_looked_up_in_batches_of_the_platforms_size(stage):
    stage.declare(look_batch=3)
    stage.put(*(str(n) for n in range(101, 109)))
    stage.forward()
    looks = [what for step, what in stage.far.calls if step == "look"]
    assert max(len(what) for what in looks) == 3
    assert sorted(sum(looks, [])) == [str(n) for n in range(101, 109)]


def test_the_deadline_ends_a_run_with_4_and_leaves_the_rest_pending(stage, monkeypatch):
    from shipfwd import runs

    stage.declare(concurrency=1)
    now = [1000.0]
    monkeypatch.setattr(runs.time, "monotonic", lambda: now[0])
    ids = stage.put(*(str(n) for n in range(101, 106)))

    def hook(step, what):
        if step == "write":
            now[0] += 30.0

    stage.far.hook = hook
    tally = stage.forward(deadline=50.0)
    assert [stage[one]["state"] for one in ids] == ["forwarded", "forwarded", "pending", "pending", "pending"]
    assert tally.exit_code == 4
    assert stage.store._read("SELECT count(*) FROM shipments WHERE state = 'sending'")[0][0] == 0


def test_a_stop_signal_finishes_what_is_in_flight_records_it_and_exits_130(stage):
    stage.declare(concurrency=1)
    ids = stage.put(*(str(n) for n in range(101, 106)))
    with stage.run() as (run, assembly):
        stage.far.hook = lambda step, what: run.stop(130) if step == "write" and what[0] == "102" else None
        sweeper.forward_all(run, assembly, [stage.shop])
    assert [stage[one]["state"] for one in ids] == ["forwarded", "forwarded", "pending", "pending", "pending"]
    assert run.tally.exit_code == 130
    assert stage.store._read("SELECT exit_code FROM runs ORDER BY id DESC")[0][0] == 130


@pytest.mark.parametrize("at", ["claim", "leave", "settle", "settle_sent"])
def test_a_store_that_fails_ends_the_run_and_never_calls_a_sent_parcel_unsent(stage, at, monkeypatch):
    """The disk is full when an outcome is to be stored: the next run must take the parcel for doubtful."""
    stage.marking()
    stage.declare(concurrency=1)
    ids = stage.put("101", "102", "103")
    real = getattr(stage.store, at)
    calls = []

    def broken(*args, **more):
        calls.append(at)
        if len(calls) == 1:
            raise errors.StoreFailed("the disk is full")
        return real(*args, **more)

    monkeypatch.setattr(stage.store, at, broken)
    tally = stage.forward()
    assert tally.exit_code == 3
    assert sum("disk is full" in line for line in tally.told) == 1
    written = dict(stage.far.orders)
    stage.forward()
    for one in ids:
        if stage[one]["tracking_number"] in sum(written.values(), []):
            assert stage[one]["state"] == "forwarded" or stage[one]["in_doubt_since"], dict(stage[one])
    stage.clock.forward(seconds=90)
    stage.sweep()
    assert [stage[one]["state"] for one in ids] == ["forwarded"] * 3
    assert all(len(numbers) == 1 for numbers in stage.far.orders.values())


# ---- dry run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["forward", "sweep", "by_hand"])
def test_a_dry_run_shows_the_first_write_and_changes_nothing(stage, how):
    from shipfwd import views

    ids = stage.put("101", "102", number="")
    stage.far.orders["102"] = ["NO1020000"]
    (three,) = stage.put("103", carrier="unheard-of")
    stage.store.checkpoint()
    before = {path.name: path.read_bytes() for path in stage.filled.path.parent.iterdir() if path.is_file()}
    tally = stage.by_hand(*ids, three, dry=True) if how == "by_hand" else getattr(stage, how)(dry=True)
    after = {path.name: path.read_bytes() for path in stage.filled.path.parent.iterdir() if path.is_file()}
    before.pop("t.db-shm", None), after.pop("t.db-shm", None)
    assert after == before
    assert stage.far.count("write") == 0
    said = {shipment: (sentence, request) for shipment, sentence, request in tally.rehearsed}
    assert said[ids[0]][0] == "would send"
    assert said[ids[1]] == ("is there already", None)
    assert said[three][0].startswith("would be blocked")
    text = views.request_text(
        said[ids[0]][1], stage.redactor.redact_headers, stage.redactor.redact, stage.redactor.redact_url
    )
    assert "POST https://bazaar.test/101" in text
    assert "curl -X POST" in text
    assert SECRET not in text
    assert "Bearer ***" in text


# ---- marking as sent ----------------------------------------------------------------------------------------


def two_parcels(stage, **second: Any) -> tuple[int, int]:
    (one,) = stage.put("101", number="FIRST0001")
    (two,) = stage.put("101", number="SECOND001", **second)
    return one, two


def test_an_order_is_marked_once_all_its_parcels_are_there_and_all_show_the_same_time(stage):
    stage.marking()
    one, two = two_parcels(stage)
    stage.far.fail("write", errors.Rejected("no"), order="101")
    stage.forward()
    assert stage.far.count("status") == 0, "one parcel failed"
    stage.clock.forward(hours=2)
    stage.by_hand(one)
    assert stage.far.states["101"] == "sent"
    assert stage[one]["status_sent_at"] == stage[two]["status_sent_at"] == "2026-11-23T14:00:00Z"


def test_a_later_parcel_shows_the_time_at_which_its_order_was_marked(stage):
    stage.marking()
    (one,) = stage.put("101", number="FIRST0001")
    stage.forward()
    stage.clock.forward(hours=2)
    (two,) = stage.put("101", number="SECOND001")
    stage.forward()
    assert stage[one]["status_sent_at"] == stage[two]["status_sent_at"] == "2026-11-23T12:00:00Z"
    assert stage.far.count("status") == 1


@pytest.mark.parametrize(
    ("how", "marked"),
    [("pending", False), ("retrying", False), ("blocked", False), ("failed", False),
     ("dropped", True), ("expired", True), ("one number", True)],
)  # fmt: skip
def test_what_holds_the_mark_back_and_what_does_not(stage, how, marked):
    stage.marking()
    if how == "one number":
        stage.declare(parcels="one")
    (one,) = stage.put("101", number="FIRST0001")
    more = {
        "blocked": {"carrier": "unheard-of"},
        "expired": {"created_at": NOON - timedelta(hours=80)},
    }.get(how, {})
    (two,) = stage.put("101", number="SECOND001", **more)
    if how == "dropped":
        stage.store.drop([two], "cancelled")
    if how == "retrying":
        stage.far.fail("write", errors.Unavailable("down"))
    if how == "failed":
        stage.far.fail("write", errors.Rejected("no"))
    if how == "pending":
        with stage.run() as (run, assembly):  # only the first is sent
            stage.store.full_pass(stage.shop, timedelta(hours=72))
            sweeper.forward_chosen(run, assembly, [one])
    else:
        stage.sweep()
    assert (stage.far.states.get("101") == "sent") == marked, (stage[one], stage[two])


def test_the_mark_follows_when_what_held_it_back_is_dropped(stage):
    stage.marking()
    one, two = two_parcels(stage, carrier="unheard-of")
    stage.forward()
    assert stage.far.count("status") == 0
    stage.store.drop([two], "label cancelled")
    stage.sweep()
    assert stage.far.states["101"] == "sent"
    assert stage[one]["status_sent_at"]
    assert not stage[two]["status_sent_at"]


def test_a_state_that_is_not_listed_is_never_changed(stage):
    stage.marking()
    (one,) = stage.put("101")
    stage.far.states["101"] = "returned"
    tally = stage.forward()
    assert stage.far.count("status") == 0
    assert (stage[one]["state"], tally.exit_code) == ("forwarded", 1)
    assert "'returned'" in stage[one]["reason"]


def test_an_order_that_counts_as_sent_already_is_only_noted(stage):
    stage.marking()
    (one,) = stage.put("101")
    stage.far.states["101"] = "sent"
    assert stage.forward().exit_code == 0
    assert stage.far.count("status") == 0
    assert stage[one]["status_sent_at"]


def test_an_adopted_number_still_marks_its_order(stage):
    stage.marking()
    (one,) = stage.put("101")
    stage.far.orders["101"] = ["NO1010000"]
    stage.forward()
    assert stage.far.states["101"] == "sent"
    assert stage[one]["status_sent_at"]


def test_a_platform_that_marks_with_the_number_shows_both_times_alike(stage):
    stage.declare(status_transfer="with-tracking")
    stage.store.save_integration(replace(stage.shop, status_transfer="on"))
    (one,) = stage.put("101")
    stage.forward()
    assert stage[one]["status_sent_at"] == stage[one]["forwarded_at"] == "2026-11-23T12:00:00Z"


def test_nothing_is_marked_where_status_transfer_is_off(stage):
    stage.declare(status_transfer="separate")
    stage.store.save_integration(replace(stage.shop, status_transfer="off"))
    (one,) = stage.put("101")
    stage.sweep()
    assert stage.far.count("status") == 0
    assert stage[one]["status_sent_at"] is None


def test_a_mark_without_an_earlier_look_looks_first(stage):
    """A platform that needs no look before its write still has to be asked for the order's state."""
    stage.marking()
    stage.declare(repeat="harmless", needs_look=lambda self, parcels: False)
    (one,) = stage.put("101")
    assert stage.forward().exit_code == 0, stage[one]["reason"]
    assert stage.far.states["101"] == "sent"


def test_a_shipment_looked_at_again_does_not_mark_its_order_a_second_time(stage):
    stage.marking()
    (one,) = stage.put("101")
    stage.forward()
    stage.far.states["101"] = "returned"
    tally = stage.by_hand(one, again=True)
    assert (tally.exit_code, stage[one]["reason"]) == (0, "")


# ---- proof --------------------------------------------------------------------------------------------------


def test_an_accepted_number_is_confirmed_once_it_was_seen(stage):
    stage.declare(proof="read")
    (one,) = stage.put("101")
    stage.forward()
    assert (stage[one]["state"], stage[one]["confirmed_at"]) == ("forwarded", None)
    assert stage[one]["reason"] == "accepted, not read back yet"
    stage.clock.forward(minutes=1)
    assert stage.sweep().exit_code == 0
    assert (stage[one]["confirmed_at"], stage[one]["reason"]) == ("2026-11-23T12:01:00Z", "")


def accepted_and_gone(stage, order="101") -> int:
    (one,) = stage.put(order)
    stage.forward()
    stage.far.orders[order] = []
    stage.far.calls.clear()
    return one


def test_a_number_may_stay_invisible_for_a_while(stage):
    stage.declare(proof="read")
    one = accepted_and_gone(stage)
    stage.clock.forward(seconds=599)
    assert stage.sweep().exit_code == 0
    assert stage[one]["state"] == "forwarded"


def test_a_missing_number_is_sent_once_more_where_that_is_harmless_and_only_once(stage):
    stage.declare(proof="read", repeat="harmless")
    one = accepted_and_gone(stage)
    stage.far.lies = True
    stage.clock.forward(seconds=601)
    stage.sweep()
    assert stage[one]["state"] == "pending"
    stage.clock.forward(seconds=60)
    stage.sweep()
    assert (stage[one]["state"], stage.far.count("write")) == ("forwarded", 1)
    stage.clock.forward(seconds=60)
    stage.sweep()
    assert stage[one]["state"] == "forwarded", "the second write has its ten minutes, too"
    stage.clock.forward(seconds=601)
    assert stage.sweep().exit_code == 1
    assert stage[one]["state"] == "failed"
    stage.clock.forward(hours=2)
    stage.sweep()
    assert stage.far.count("write") == 1


def test_a_missing_number_fails_where_a_repeat_could_double_it(stage):
    stage.declare(proof="read")
    one = accepted_and_gone(stage)
    stage.clock.forward(seconds=601)
    tally = stage.sweep()
    assert (stage[one]["state"], tally.exit_code, stage.far.count("write")) == ("failed", 1, 0)
    assert "bazaar.test/101" in stage[one]["reason"]
    assert f"forward --again {one}" in stage[one]["reason"]
    stage.by_hand(one, again=True)
    assert stage[one]["state"] == "forwarded"


def test_a_number_confirmed_once_and_gone_later_is_reported_and_never_sent_again(stage):
    (one,) = stage.put("101")
    stage.forward()
    stage.far.orders["101"] = []
    stage.clock.forward(hours=5)
    stage.sweep()
    assert stage[one]["state"] == "forwarded"
    with stage.run("verify") as (run, assembly):
        rows = list(prover.verify(run, assembly.desk(stage.shop), None))
    assert [line["verdict"] for line in rows] == ["missing"]
    assert run.tally.exit_code == 1
    assert stage.far.count("write") == 1


def test_one_bad_order_keeps_no_other_from_being_proven(stage):
    stage.declare(proof="read", look_batch=50)
    ids = stage.put("101", "102", "103")
    stage.forward()

    def hook(step, what):
        if step == "look" and "102" in what:
            raise errors.Rejected("102 is odd")

    stage.far.hook = hook
    stage.clock.forward(minutes=1)
    stage.sweep()
    assert [bool(stage[one]["confirmed_at"]) for one in ids] == [True, False, True]


def test_a_failed_mark_stays_told_when_the_number_is_confirmed_later(stage):
    stage.marking()
    stage.declare(proof="read")
    (one,) = stage.put("101")
    stage.far.fail("status", errors.Rejected("no"))
    stage.forward()
    stage.clock.forward(minutes=1)
    stage.sweep()
    assert stage[one]["confirmed_at"]
    assert stage[one]["reason"].startswith("number is there; marking as sent failed")


VERDICTS = [
    (["NO1010000"], ["confirmed"], 0),
    ([], ["missing"], 1),
    (["FOREIGN001"], ["different"], 1),
    (["NO1010000", "FOREIGN001"], ["confirmed", "extra"], 1),
]


@pytest.mark.parametrize(("there", "verdicts", "code"), VERDICTS)
def test_verify_compares_and_writes_nothing(stage, there, verdicts, code):
    stage.put("101")
    stage.forward()
    stage.far.orders["101"] = there
    stage.far.calls.clear()
    with stage.run("verify") as (run, assembly):
        rows = list(prover.verify(run, assembly.desk(stage.shop), None))
    assert [line["verdict"] for line in rows] == verdicts
    assert run.tally.exit_code == code
    assert {step for step, _ in stage.far.calls} == {"look"}


def test_verify_confirms_nothing_that_it_did_not_see(stage):
    """Another of our parcels stands where this one may stand, too: that is no proof."""
    stage.declare(proof="read", partial=True)
    (one,) = stage.put("101", number="FIRST0001")
    (two,) = stage.put("101", number="SECOND001")
    stage.forward()
    stage.far.orders["101"] = ["SECOND001"]
    with stage.run("verify") as (run, assembly):
        rows = list(prover.verify(run, assembly.desk(stage.shop), None))
    assert {line["id"]: line["verdict"] for line in rows} == {one: "unreadable", two: "confirmed"}
    assert not stage[one]["confirmed_at"]
    assert stage[two]["confirmed_at"]


@pytest.mark.parametrize("error", [errors.Unavailable("down"), errors.NotUnderstood("what")])
def test_verify_says_4_for_what_cannot_be_read(stage, error):
    stage.put("101")
    stage.forward()
    stage.far.fail("look", error)
    with stage.run("verify") as (run, assembly):
        rows = list(prover.verify(run, assembly.desk(stage.shop), None))
    assert ([line["verdict"] for line in rows], run.tally.exit_code) == (["unreadable"], 4)


# ---- a person's choice --------------------------------------------------------------------------------------


def test_again_writes_only_what_is_absent_and_keeps_the_first_time(stage):
    there, gone = stage.put("101", "102")
    stage.forward()
    stage.far.orders["102"] = []
    stage.far.calls.clear()
    stage.clock.forward(hours=5)
    tally = stage.by_hand(there, gone, again=True)
    assert stage.far.writes() == [("102", ["NO1020000"])]
    assert {stage[one]["forwarded_at"] for one in (there, gone)} == {"2026-11-23T12:00:00Z"}
    assert tally.adopted == {there}


def test_again_on_a_shipment_that_cannot_be_looked_up_leaves_its_tick(stage):
    (one,) = stage.put("101")
    stage.forward()
    stage.far.fail("look", errors.Unavailable("down"))
    tally = stage.by_hand(one, again=True)
    assert (stage[one]["state"], tally.exit_code) == ("forwarded", 4)


@pytest.mark.parametrize("error", [errors.Rejected("not now"), errors.NotUnderstood("no lines")])
def test_again_leaves_a_tick_where_a_look_is_refused(stage, error):
    """The refusal is the look's: it tells nothing of the number, which was seen there."""
    (one,) = stage.put("101")
    stage.sweep()
    stage.far.fail("look", error)
    tally = stage.by_hand(one, again=True)
    assert (stage[one]["state"], tally.exit_code) == ("forwarded", 1)
    assert stage[one]["reason"].startswith("looked for again without success")
    assert len(stage.far.writes()) == 1


@pytest.mark.parametrize("read_back", [True, False])
def test_a_refused_look_ends_no_doubt(stage, read_back):
    """Forgotten, the number would be sent beside one that may still arrive, or that nobody can see."""
    stage.declare(read_back=read_back, proof="read")
    (one,) = stage.put("101")
    stage.far.fail("write", errors.OutcomeUnknown("lost"), late=True)
    stage.forward()
    stage.far.fail("look", errors.Rejected("not now"))
    assert stage.by_hand(one).exit_code == 1
    assert (stage[one]["state"], stage[one]["reason"].partition(";")[0]) == ("failed", "not now")
    assert stage.by_hand(one).exit_code == (4 if read_back else 1)
    assert len(stage.far.writes()) == 1


def test_what_fails_again_after_a_while_is_told_again(stage):
    """A person sent it once more and was told that it is tried again: silence would mean that it arrived."""
    (one,) = stage.put("101")
    for error in (errors.Rejected("no"), errors.Unavailable("down"), errors.Rejected("no")):
        stage.far.fail("write", error)
    assert len(stage.forward().told) == 1
    assert (stage.by_hand(one).told, stage[one]["state"]) == ([], "retrying")
    stage.clock.forward(hours=1)
    tally = stage.sweep()
    assert (tally.exit_code, len(tally.told), stage[one]["state"]) == (1, 1, "failed")


def test_again_shows_no_tick_for_a_number_that_is_absent_and_could_not_be_written(stage):
    (one,) = stage.put("101")
    stage.forward()
    stage.far.orders["101"] = []
    stage.far.fail("write", errors.Throttled("slower"))
    tally = stage.by_hand(one, again=True)
    assert (stage[one]["state"], tally.exit_code) == ("retrying", 4)


def test_again_adopts_a_number_although_its_carrier_lost_its_name(stage):
    (one,) = stage.put("101")
    stage.forward()
    stage.declare(carriers={})
    tally = stage.by_hand(one, again=True)
    assert (stage[one]["state"], tally.exit_code) == ("forwarded", 0)
    stage.far.orders["101"] = []
    stage.by_hand(one, again=True)
    assert stage[one]["state"] == "blocked"


@pytest.mark.parametrize("state", ["waiting", "expired", "dropped", "failed", "blocked", "retrying"])
def test_a_person_may_forward_any_state(stage, state):
    more = {"created_at": NOON - timedelta(hours=80)} if state == "expired" else {}
    (one,) = stage.put("101", **more)
    if state == "waiting":
        stage.store.save_integration(replace(stage.shop, trigger="status:Shipped", enabled=False))
    elif state == "dropped":
        stage.store.drop([one], "cancelled")
    elif state == "blocked":
        stage.declare(carriers={})
        stage.forward()
        stage.declare(carriers={"dpd": "DPD"})
    else:
        planned = {"failed": errors.Rejected("no"), "retrying": errors.Unavailable("down")}
        if state in planned:
            stage.far.fail("look", planned[state])
        stage.forward()
    assert stage[one]["state"] == state
    stage.by_hand(one)
    assert stage[one]["state"] == "forwarded"


def test_what_a_person_revives_gets_its_seven_days_anew(stage):
    (one,) = stage.put("101")
    stage.far.fail("look", errors.Rejected("no"))
    stage.forward()
    stage.clock.forward(days=10)
    stage.far.fail("look", errors.Unavailable("down"))
    stage.by_hand(one)
    stage.far.fail("look", errors.Unavailable("down"))
    stage.clock.forward(minutes=10)
    stage.sweep()
    assert stage[one]["state"] == "retrying"


def test_seven_days_of_trouble_end_as_failed(stage):
    (one,) = stage.put("101")
    stage.far.fail("look", errors.Unavailable("down"), times=99)
    stage.forward()
    for _ in range(7):
        stage.clock.forward(hours=23)
        stage.sweep()
        assert stage[one]["state"] == "retrying"
    stage.clock.forward(hours=8)
    tally = stage.sweep()
    assert (stage[one]["state"], tally.exit_code) == ("failed", 1)
    assert "due since 2026-11-23 13:00 without success: down" in stage[one]["reason"], "on the wall of the shop"


def test_a_dry_run_shows_nothing_that_is_given_up_by_then(stage):
    (one,) = stage.put("101")
    stage.far.fail("look", errors.Throttled("slower"))
    stage.forward()
    stage.clock.forward(days=8)
    tally = stage.forward(dry=True)
    assert tally.rehearsed == []
    stage.forward()
    assert stage[one]["state"] == "failed"
    assert stage.far.writes() == []


def test_being_due_for_six_hours_is_told_once(stage):
    stage.put("101")
    stage.far.fail("look", errors.Unavailable("down"), times=99)
    assert stage.forward().told == []
    stage.clock.forward(hours=5, minutes=50)
    assert stage.sweep().told == []
    stage.clock.forward(hours=2)
    late = stage.sweep()
    assert late.exit_code == 1
    assert len(late.told) == 1
    assert "6 hours" in late.told[0]
    stage.clock.forward(hours=2)
    again = stage.sweep()
    assert (again.told, again.exit_code) == ([], 4)


def test_a_lost_answer_of_the_second_parcel_stops_the_third(stage):
    ids = stage.filled.put(
        stage.shop,
        *(row("101", f"PARCEL{n:03}", created_at=NOON - timedelta(hours=9 - n), line=n) for n in range(1, 4)),
    )
    stage.far.hook = lambda step, what: (
        stage.far.fail("write", errors.OutcomeUnknown("lost")) if step == "write" and what[1] == ["PARCEL002"] else None
    )
    stage.forward()
    shown = {stage[one]["tracking_number"]: stage[one] for one in ids}
    assert [shown[f"PARCEL{n:03}"]["state"] for n in (1, 2, 3)] == ["forwarded", "retrying", "retrying"]
    assert [bool(shown[f"PARCEL{n:03}"]["in_doubt_since"]) for n in (1, 2, 3)] == [False, True, False]
    assert len(stage.far.writes()) == 2


def test_the_journal_tells_every_step(stage):
    (one,) = stage.put("101")
    stage.far.fail("write", errors.OutcomeUnknown("lost"))
    stage.forward()
    stage.clock.forward(seconds=61)
    stage.forward()
    assert stage.journal(one) == [
        ("forward", "left"), ("forward", "in doubt"), ("forward", "left"), ("forward", "accepted"),
    ]  # fmt: skip


# ---- what may still arrive -----------------------------------------------------------------------------------


def doubtful_and_another(stage, parcels: str) -> tuple[int, int]:
    """Two parcels of an order: the write of the first is lost and on its way; the second waits."""
    stage.declare(parcels=parcels.removesuffix(", rewritten"), rewrites=parcels.endswith(", rewritten"))
    (first,) = stage.put("101", number="NO1111111")
    stage.far.fail("write", errors.OutcomeUnknown("lost"), late=True)
    assert stage.forward().exit_code == 4
    (second,) = stage.put("101", number="NO2222222", item_id="L1")
    return first, second


@pytest.mark.parametrize("parcels", ["joined", "items", "one", "many, rewritten"])
def test_a_person_does_not_send_beside_a_lost_write_that_may_still_arrive_and_erase_it(stage, parcels):
    first, second = doubtful_and_another(stage, parcels)
    assert stage.by_hand(second).exit_code == 4
    shown = stage[second]
    assert (shown["state"], shown["next_attempt_at"]) == ("retrying", stage[first]["next_attempt_at"])
    assert f"a write for shipment {first} of its order was lost and may still arrive" in shown["reason"]
    assert stage.far.writes() == [("101", ["NO1111111"])]
    stage.far.arrive()
    stage.clock.forward(seconds=62)
    stage.forward()
    assert stage[first]["state"] == "forwarded"
    assert stage[second]["state"] == ("blocked" if parcels == "one" else "forwarded")
    assert stage.far.orders["101"][0] == "NO1111111"


@pytest.mark.parametrize("parcels", ["many", "joined"])
def test_what_waits_for_a_lost_write_of_its_order_says_so_and_for_how_long(stage, parcels):
    """It was 'pending' without a reason, and a run that sent nothing of what was due ended with 0."""
    first, second = doubtful_and_another(stage, parcels)
    tally = stage.forward()
    assert (tally.exit_code, tally.touched) == (4, {second})
    shown = stage[second]
    assert (shown["state"], shown["next_attempt_at"]) == ("retrying", stage[first]["next_attempt_at"])
    assert shown["reason"].startswith(f"waits for shipment {first} of its order")
    assert shown["attempts"] == 0
    stage.far.arrive()
    stage.clock.forward(seconds=62)
    assert stage.forward().exit_code == 0
    assert stage.far.orders["101"] == ["NO1111111", "NO2222222"]
    assert (stage[second]["state"], stage[second]["reason"]) == ("forwarded", "")


def test_a_lost_write_that_may_be_repeated_holds_back_its_order_too(stage):
    """It was not in doubt once: a parcel sent meanwhile was confirmed, and then erased by the write that came late."""
    stage.declare(parcels="joined", repeat="harmless")
    (first,) = stage.put("101", number="NO1111111")
    stage.far.fail("write", errors.AnswerLost("lost"), late=True)
    assert stage.forward().exit_code == 4
    (second,) = stage.put("101", number="NO2222222")
    stage.forward()
    assert stage.by_hand(second).exit_code == 4
    stage.far.arrive()
    stage.clock.forward(seconds=75)
    assert stage.forward().exit_code == 0
    assert [stage[one]["state"] for one in (first, second)] == ["forwarded", "forwarded"]
    assert stage.far.orders["101"] == ["NO1111111", "NO2222222"]


@pytest.mark.parametrize("shared", [{"parcels": "joined"}, {"rewrites": True}], ids=["joined", "rewritten"])
@pytest.mark.parametrize("at_once", [True, False], ids=["in one run", "by the next run"])
def test_a_write_that_was_lost_and_sent_again_at_once_holds_back_its_order_too(stage, at_once, shared):
    """The second came, the first may come yet, and would take a later parcel's number away."""
    stage.declare(repeat="harmless", **shared)
    stage.far.repeats = True
    (first,) = stage.put("101", number="NO1111111")
    stage.far.fail("write", errors.AnswerLost("lost"), late=True)
    if not at_once:
        assert stage.forward().exit_code == 0
    (second,) = stage.put("101", number="NO2222222")
    tally = stage.forward()
    assert tally.exit_code == 4
    assert [stage[one]["state"] for one in (first, second)] == ["forwarded", "retrying"]
    assert f"a write for shipment {first} of its order was lost and may still arrive" in stage[second]["reason"]
    assert stage.by_hand(second).exit_code == 4
    assert stage.far.writes() == [("101", ["NO1111111"])]
    stage.clock.forward(seconds=62)
    assert stage.forward().exit_code == 0
    assert stage[second]["state"] == "forwarded"


def test_where_an_order_holds_many_numbers_a_repeated_write_holds_back_nothing(stage):
    stage.declare(repeat="harmless")
    stage.far.repeats = True
    stage.put("101", number="NO1111111")
    stage.put("101", number="NO2222222")
    stage.far.fail("write", errors.AnswerLost("lost"), late=True)
    assert stage.forward().exit_code == 0
    assert len(stage.far.writes()) == 2


def test_a_lost_write_that_may_be_repeated_is_left_alone_longer_each_time(stage):
    from shipfwd.models import parse_stamp

    stage.declare(repeat="harmless")
    (one,) = stage.put("101")
    waits = []
    for _ in range(4):
        stage.far.fail("write", errors.AnswerLost("lost"))
        stage.forward()
        waits.append((parse_stamp(stage[one]["next_attempt_at"]) - stage.clock.now).total_seconds() / 60)
        stage.clock.forward(minutes=waits[-1], seconds=1)
    assert all(0.8 * usual <= wait <= 1.3 * usual for usual, wait in zip((1, 5, 15, 60), waits, strict=True)), waits


def test_where_an_order_holds_many_numbers_a_person_sends_beside_a_lost_one(stage):
    _, second = doubtful_and_another(stage, "many")
    assert stage.by_hand(second).exit_code == 0
    assert stage[second]["state"] == "forwarded"


def test_what_a_dead_run_may_have_sent_holds_back_its_order(stage):
    """Taken back, it is looked up at once; its number may land after that look."""
    stage.declare(parcels="joined")
    first, second = stage.put("101", number="NO1111111") + stage.put("101", number="NO2222222")
    with stage.run() as (run, _):
        stage.store.claim_by_hand(run.id, [first])
        stage.store.leave(run.id, [Attempt(first, "forward", "left")])
        run._command = "died"
    stage.forward()
    assert [stage[one]["state"] for one in (first, second)] == ["retrying", "retrying"]
    assert stage.far.writes() == []
    stage.clock.forward(seconds=62)
    assert stage.forward().exit_code == 0
    assert [stage[one]["state"] for one in (first, second)] == ["forwarded", "forwarded"]


def test_again_leaves_a_forwarded_parcel_as_it_is_while_another_may_still_arrive(stage):
    stage.declare(parcels="joined")
    (first,) = stage.put("101", number="NO1111111")
    stage.forward()
    stage.far.orders["101"].clear()
    (second,) = stage.put("101", number="NO2222222")
    stage.far.fail("write", errors.OutcomeUnknown("lost"), late=True)
    stage.forward()
    assert stage.by_hand(first, again=True).exit_code == 4
    assert (stage[first]["state"], stage.far.count("write")) == ("forwarded", 2)
    assert f"shipment {second}" in stage[first]["reason"]


def exchange(status: int | None):
    from shipfwd.models import Exchange

    return Exchange(
        NOON, "POST", "https://bazaar.test/101", "", status, "", True, "AuthFailed" if status == 401 else ""
    )


@pytest.mark.parametrize(
    ("error", "status", "state", "code"),
    [
        (errors.Interrupted("the run is ending"), 200, "retrying", 4),
        (errors.Interrupted("the run is ending"), None, "retrying", 4),
        (errors.AuthFailed("wrong key"), 201, "retrying", 3),
        (errors.AuthFailed("wrong key"), 401, "pending", 3),
        (ZeroDivisionError("oops"), 200, "failed", 70),
        (errors.NotUnderstood("what"), 200, "failed", 1),
    ],
)
def test_what_breaks_off_after_a_write_has_left_is_in_doubt(stage, monkeypatch, error, status, state, code):
    """The second of an adapter's two requests, or the reading of its answer, ends what the first has begun."""
    (one,) = stage.put("101")
    stage.far.fail("write", error, lost=status != 401)
    before = stage.kinds["bazaar"].forward

    def forward(self, order, parcels, seen):
        self.wire.exchanges += [exchange(status), *([exchange(401)] if isinstance(error, errors.AuthFailed) else [])]
        return before(self, order, parcels, seen)

    stage.declare(forward=forward)
    tally = stage.forward()
    assert (stage[one]["state"], tally.exit_code) == (state, code), stage[one]["reason"]
    assert (stage[one]["in_doubt_since"] is not None) == (status != 401)
    stage.clock.forward(hours=2)
    stage.by_hand(one)
    assert (stage[one]["state"], stage.far.orders["101"]) == ("forwarded", ["NO1010000"])
    assert stage.far.count("write") == (2 if status == 401 else 1), "adopted, not sent again"


@pytest.mark.parametrize("begun_by", ["the run that sent the last parcel", "a later sweep"])
def test_two_runs_at_once_mark_an_order_as_sent_only_once(stage, begun_by):
    """PrestaShop mails the buyer at each change of an order's state."""
    stage.marking()
    (one,) = stage.put("101")
    if begun_by == "a later sweep":
        stage.far.fail("status", errors.Throttled("slower"))
        stage.forward()
        stage.clock.forward(minutes=5)
    before = stage.far.count("status")

    def meanwhile(step, what):
        if step == "status" and stage.far.count("status") == before + 1:
            with stage.run("sweep") as (run, assembly):
                sweeper.sweep(run, assembly, [stage.shop], False)

    stage.far.hook = meanwhile
    stage.sweep()
    assert stage.far.count("status") == before + 1
    assert stage[one]["status_sent_at"]


def test_a_parcel_that_another_run_sends_while_its_pieces_are_found_missing_completes_the_order(stage):
    """The other run leaves the step to this one, which had counted before: the order was never marked as sent."""

    def partly(self, order, seen):
        if len(stage.store.parcels_of(stage.shop.id, order)) == 1:
            stage.put(order, number="NO2222222")
            stage.forward()
        return ""

    stage.declare(pieces_left=lambda self, order, seen, parcels: 2 - len(parcels), mark_partly=partly)
    stage.marking()
    stage.put("101", number="NO1111111")
    stage.forward()
    assert stage.far.count("status") == 1
    assert [(one["reason"], bool(one["status_sent_at"])) for one in stage.store.status()] == [("", True)] * 2


def test_a_status_step_whose_answer_was_lost_is_not_repeated_while_it_may_arrive(stage):
    stage.marking()
    stage.declare(doubt_seconds=180)
    stage.put("101")
    stage.far.fail("status", errors.OutcomeUnknown("lost"))
    stage.forward()
    stage.clock.forward(seconds=120)
    stage.sweep()
    assert stage.far.count("status") == 1
    stage.clock.forward(seconds=70)
    stage.sweep()
    assert stage.far.count("status") == 2


@pytest.mark.parametrize("later", [0, 10])
@pytest.mark.parametrize("parcels", ["many", "one"])
def test_a_parcel_that_comes_while_a_lost_status_step_may_arrive_does_not_mark_the_order_again(stage, parcels, later):
    """Each mark may mail the buyer: a further parcel, sent or without room, repeats none that is still in doubt."""
    stage.marking()
    stage.declare(parcels=parcels)
    first = stage.put("101")
    stage.far.fail("status", errors.OutcomeUnknown("lost"))
    stage.forward()
    stage.clock.forward(seconds=later)
    (second,) = stage.put("101", number="NO2222222")
    stage.forward()
    assert stage.far.count("status") == 1
    assert stage[second]["state"] == ("forwarded" if parcels == "many" else "blocked")
    stage.clock.forward(seconds=120)
    stage.sweep()
    assert stage.far.count("status") == 2
    marked = {stage[one]["status_sent_at"] for one in (*first, second) if stage[one]["state"] == "forwarded"}
    assert marked == {f"2026-11-23T12:02:{later:02d}Z"}


def test_nothing_is_marked_as_sent_while_forwarding_is_off(stage):
    """Not by a run either that has a look to make there: a look is no write."""
    from dataclasses import replace

    stage.marking()
    stage.declare(proof="read")
    stage.put("101")
    stage.far.fail("status", errors.Unavailable("down"))
    stage.forward()
    stage.store.save_integration(replace(stage.shop, enabled=False))
    stage.clock.forward(hours=1)
    stage.sweep()
    assert stage.far.count("status") == 1
    stage.store.save_integration(stage.shop)
    stage.sweep()
    assert stage.far.states["101"] == "sent"


def test_a_status_step_that_waited_until_its_turn_was_over_does_not_leave(stage):
    stage.marking()
    (one,) = stage.put("101")

    def wait_long(step, what):
        if step == "status" and stage.far.count("status") == 1:
            stage.clock.forward(seconds=70)  # for its slot, say
            stage.sweep()

    stage.far.hook = wait_long
    before = stage.kinds["bazaar"].mark_sent
    left = []

    def mark_sent(self, order, seen):
        before(self, order, seen)
        self.wire.intent(exchange(None))
        left.append(order)

    stage.declare(mark_sent=mark_sent)
    assert stage.forward().exit_code == 0
    assert left == ["101"]
    assert stage[one]["status_sent_at"]


# ---- while a run is under way --------------------------------------------------------------------------------


def test_what_waits_for_a_parcel_of_its_order_that_another_run_is_sending_ends_with_4(stage):
    """It is due and was not sent: 0 would be untrue."""
    (first,) = stage.put("101")
    with stage.run() as (other, _):
        stage.store.claim_by_hand(other.id, [first])
        (second,) = stage.put("101", number="NO2222222")
        tally = stage.forward()
        assert (tally.exit_code, tally.touched, stage[second]["state"]) == (4, {second}, "pending")
        assert stage.by_hand(second).touched == set()
        assert stage.left == {second: "another run is sending a parcel of its order"}


def test_what_is_switched_off_in_the_middle_of_a_run_sends_no_more(stage):
    stage.declare(concurrency=1)
    ids = stage.put(*(str(n) for n in range(101, 106)))
    off = replace(stage.shop, enabled=False)
    stage.far.hook = lambda step, what: stage.store.save_integration(off) if step == "write" else None
    stage.forward()
    states = [stage[one]["state"] for one in ids]
    assert states[0] == "forwarded", "what was claimed already is in flight"
    assert states[2:] == ["waiting"] * 3


def test_dropping_never_undoes_what_a_run_has_sent_meanwhile(stage):
    """`drop` looked at it before the run took it."""
    sent, doubtful = stage.put("101", "102")
    stage.far.fail("write", errors.OutcomeUnknown("lost"), order="102")
    stage.forward()
    assert not stage.store.drop([sent], "cancelled")
    assert not stage.store.drop([doubtful], "cancelled")
    assert not stage.store.by_hand(sent, "forwarded", "seen there")
    assert [stage[one]["state"] for one in (sent, doubtful)] == ["forwarded", "retrying"]


def test_a_signal_takes_no_lock_that_the_interrupted_thread_may_hold(stage, monkeypatch):
    """A handler runs between two instructions of the main thread, also of one that is about to wait for the event."""
    import signal

    with stage.run() as (run, _), run.signals():
        inside = []
        real = run._stop.set
        monkeypatch.setattr(run._stop, "set", lambda: inside.append("set") or real())
        signal.raise_signal(signal.SIGTERM)
        assert inside == []
        with pytest.raises(errors.Interrupted):
            run.wait(60)
        assert run.stopping
        assert run.tally.exit_code == 130


def test_two_that_ask_whether_a_dead_run_lives_do_not_take_each_other_for_it(stage):
    import fcntl
    import os

    from shipfwd.files import lives, private_dir, private_file

    folder = private_dir(locks_folder(stage.filled.path))
    asks = private_file(folder / "run-7")
    fcntl.flock(asks, fcntl.LOCK_SH)
    assert not lives(folder, 7)
    os.close(asks)
    with stage.run() as (run, _):
        assert lives(folder, run.id)


@pytest.mark.parametrize("how", ["verify", "prove"])
def test_an_order_with_two_parcels_is_read_once(stage, how):
    stage.declare(proof="read", look_batch=1)
    stage.put("101", number="NO1111111")
    stage.put("102", number="NO3333333")
    stage.put("101", number="NO2222222")
    stage.forward()
    before = stage.far.count("look")
    with stage.run() as (run, assembly):
        desk = assembly.desk(stage.shop)
        rows = list(prover.verify(run, desk, None)) if how == "verify" else prover.prove(run, desk) or []
    assert stage.far.count("look") == before + 2
    assert [row["verdict"] for row in rows] == ["confirmed"] * len(rows)


@pytest.mark.parametrize(
    ("refusal", "code"), [(errors.Rejected("it is cancelled"), 1), (errors.NotReady("it is not paid"), 4)]
)
def test_an_order_that_may_not_be_written_on_is_not_marked_though_its_state_would_allow_it(stage, refusal, code):
    stage.marking()
    (one,) = stage.put("101")
    stage.far.orders["101"] = ["NO1010000"]
    stage.far.refusals["101"] = refusal
    tally = stage.forward()
    assert (stage[one]["state"], tally.exit_code, stage.far.count("status")) == ("forwarded", code, 0)
    assert str(refusal) in stage[one]["reason"]
