"""Declared rates hold across threads, processes and integrations of one app; a pause that was asked for holds all."""

from __future__ import annotations

import multiprocessing
import stat
import threading
import time
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from shipfwd import errors, pacing
from shipfwd.assembly import Assembly
from shipfwd.files import locks_folder
from shipfwd.models import Rate
from shipfwd.pacing import PATIENCE, Pacer
from shipfwd.redactor import Redactor
from shipfwd.vault import Vault


class Time:
    """The monotonic clock of a test; sleeping moves it."""

    def __init__(self, monkeypatch) -> None:
        self.now, self.slept = 1000.0, 0.0
        monkeypatch.setattr(pacing.time, "monotonic", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def moments(monkeypatch) -> Time:
    return Time(monkeypatch)


def nothing() -> None:
    pass


def calls(pacer: Pacer, moments: Time, count: int, operation: str = "") -> list[float]:
    """When `count` calls in a row left."""
    left = []
    for _ in range(count):
        pacer.wait(operation, nothing)
        left.append(moments.now)
    return left


def densest(moments: list[float], seconds: float) -> int:
    """The most calls in any sliding window."""
    ordered = sorted(moments)
    return max(bisect_left(ordered, start + seconds) - at for at, start in enumerate(ordered))


def _process(folder: Path, rate: Rate, seconds: float, barrier, answers) -> None:
    pacer = Pacer((rate,), "key", folder, time.sleep)
    left: list[float] = []
    lock = threading.Lock()
    barrier.wait()
    end = time.monotonic() + seconds

    def work() -> None:
        while True:
            pacer.wait("", nothing)
            now = time.monotonic()
            if now >= end:
                return
            with lock:
                left.append(now)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    answers.put(left)


def test_four_processes_together_keep_the_rate(tmp_path):
    """50 a second: what two seconds hold is at most what was declared, and no share is given away."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    rate = Rate(50, 1.0)
    made = [context.Process(target=_process, args=(tmp_path, rate, 2.0, barrier, answers)) for _ in range(4)]
    for one in made:
        one.start()
    left = sum((answers.get(timeout=30) for _ in made), [])
    for one in made:
        one.join()
    assert len(left) <= 100
    assert densest(left, 1.0) <= 52, "a strict server would refuse more"  # two more: this machine may wake late
    assert len(left) > 40


@pytest.mark.parametrize(
    ("rate", "count", "seconds"),
    [(Rate(10, 1.0), 11, 1.0), (Rate(150, 1.0), 151, 1.0), (Rate(1, 180.0), 1, 180.0), (Rate(9000, 60.0), 200, 1.3),
     (Rate(2, 1.0), 3, 1.0)],
)  # fmt: skip
def test_calls_are_spaced_evenly_a_little_below_the_limit(tmp_path, moments, rate, count, seconds):
    left = calls(Pacer((rate,), "key", tmp_path, moments.sleep), moments, count)
    gaps = [later - earlier for earlier, later in zip(left, left[1:], strict=False)]
    interval = rate.seconds / rate.calls
    assert all(interval <= gap <= interval / 0.97 + 0.021 for gap in gaps)
    assert densest(left, rate.seconds) <= rate.calls


def test_a_burst_goes_at_once_and_then_comes_the_rate(tmp_path, moments):
    left = calls(Pacer((Rate(2, 1.0, burst=5),), "key", tmp_path, moments.sleep), moments, 8)
    assert left[4] == pytest.approx(left[0])
    assert left[5] > left[4]
    assert left[7] - left[5] >= 1.0


def test_a_rate_counts_only_its_operations_and_several_hold_together(tmp_path, moments):
    rates = (Rate(10, 1.0), Rate(1, 10.0, operations=("search",)))
    pacer = Pacer(rates, "key", tmp_path, moments.sleep)
    assert calls(pacer, moments, 2)[1] - 1000 < 0.11
    first, second = calls(pacer, moments, 2, "search")
    assert 10 <= second - first < 11


def test_one_app_has_one_clock_and_another_has_its_own(tmp_path, moments):
    rate = (Rate(1, 5.0),)
    one, same, other = (Pacer(rate, key, tmp_path, moments.sleep) for key in ("a", "a", "b"))
    one.wait("", nothing)
    other.wait("", nothing)
    assert moments.slept == 0
    same.wait("", nothing)
    assert moments.slept > 5


def test_a_limit_that_leaves_no_call_for_long_is_left_to_a_later_run_and_takes_no_slot(tmp_path, moments):
    pacer = Pacer((Rate(1, 180.0),), "key", tmp_path, moments.sleep)
    pacer.wait("", nothing)
    for _ in range(5):
        with pytest.raises(errors.Throttled) as caught:
            pacer.wait("", nothing)
        assert 180 < caught.value.after < 187
    assert moments.slept == 0
    moments.now += 187
    pacer.wait("", nothing)


@pytest.mark.parametrize(("seconds", "waits"), [(PATIENCE - 0.5, True), (PATIENCE + 0.5, False)])
@pytest.mark.parametrize("rates", [(), (Rate(10, 1.0),)])
def test_a_pushed_clock_holds_everybody_for_as_long_as_patience_goes(tmp_path, moments, rates, seconds, waits):
    one, other = (Pacer(rates, "key", tmp_path, moments.sleep) for _ in range(2))
    ran: list[int] = []
    one.push("", seconds)
    if waits:
        other.wait("", lambda: ran.append(1))
        assert moments.slept == pytest.approx(seconds)
        assert ran == [1]
    else:
        with pytest.raises(errors.Throttled) as caught:
            other.wait("", lambda: ran.append(1))
        assert caught.value.after == pytest.approx(seconds)
        assert (moments.slept, ran) == (0, []), "nothing is recorded as leaving"
        moments.now += seconds
        other.wait("", lambda: ran.append(1))
        assert ran == [1]


def test_a_shorter_push_takes_nothing_from_a_longer_one(tmp_path, moments):
    pacer = Pacer((), "key", tmp_path, moments.sleep)
    pacer.push("", 15)
    pacer.push("", 1)
    pacer.wait("", nothing)
    assert moments.slept == pytest.approx(15)


def test_the_slot_is_taken_last(tmp_path, moments):
    """What is committed before a call may take its time; the call must not leave late into somebody else's slot."""
    pacer = Pacer((Rate(1, 2.0),), "key", tmp_path, moments.sleep)
    pacer.wait("", lambda: moments.sleep(5))
    first = moments.now
    pacer.wait("", nothing)
    assert moments.now - first >= 2


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 32, b"\x00" * 32])
def test_a_clock_file_from_before_a_restart_or_broken_is_begun_anew(tmp_path, moments, content):
    pacer = Pacer((Rate(10, 1.0),), "key", tmp_path, moments.sleep)
    pacer._paces[0]._path.write_bytes(content)
    pacer.wait("", nothing)
    assert moments.slept == 0


def test_the_clocks_lie_where_they_are_told_and_are_private(tmp_path):
    pacer = Pacer((Rate(10, 1.0),), "key", tmp_path / "t.db.locks", time.sleep)
    pacer.wait("", nothing)
    pacer.close()
    (file,) = (tmp_path / "t.db.locks").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "key" not in file.name


# ---- what a platform counts by --------------------------------------------------------------------------------------

SHOP, OTHER = {"base_url": "https://shop.test"}, {"base_url": "https://other.test"}
AMAZON = {"client_id": "app", "marketplace_id": "A1"}
# platform, settings and secrets of the one integration and of the other, whether they share a clock
COUNTED = [
    ("empik", {}, {"api_key": "K1"}, {}, {"api_key": "K1"}, True),
    ("empik", {}, {"api_key": "K1"}, {}, {"api_key": "K2"}, False),
    ("mirakl", SHOP, {"api_key": "K1"}, {**SHOP, "shop_id": "7"}, {"api_key": "K1"}, True),
    ("mirakl", SHOP, {"api_key": "K1"}, OTHER, {"api_key": "K1"}, False),
    ("erli", {}, {"api_key": "K1"}, {}, {"api_key": "K1"}, True),
    ("erli", {}, {"api_key": "K1"}, {}, {"api_key": "K2"}, False),
    ("kaufland", {}, {"client_key": "K1", "secret_key": "S"}, {}, {"client_key": "K1", "secret_key": "S"}, True),
    ("kaufland", {}, {"client_key": "K1", "secret_key": "S"}, {}, {"client_key": "K2", "secret_key": "S"}, False),
    ("shopify", SHOP, {"access_token": "T1"}, SHOP, {"access_token": "T1"}, True),
    ("shopify", SHOP, {"access_token": "T1"}, SHOP, {"access_token": "T2"}, False),
    ("shopify", {**SHOP, "client_id": "app"}, {}, {**OTHER, "client_id": "app"}, {}, False),
    ("woocommerce", SHOP, {"consumer_key": "K1"}, {"base_url": "https://SHOP.test"}, {"consumer_key": "K2"}, True),
    ("woocommerce", SHOP, {"consumer_key": "K1"}, OTHER, {"consumer_key": "K1"}, False),
    ("prestashop", SHOP, {"api_key": "K1"}, SHOP, {"api_key": "K2"}, True),
    ("magento", SHOP, {"access_token": "T1"}, {**SHOP, "store_code": "de"}, {"access_token": "T2"}, True),
    ("shopware", {**SHOP, "client_id": "a"}, {}, {**SHOP, "client_id": "b"}, {}, True),
    ("bigcommerce", SHOP, {"access_token": "T1"}, SHOP, {"access_token": "T2"}, True),
    ("allegro", {"client_id": "app"}, {"refresh_token": "R1"}, {"client_id": "app"}, {"refresh_token": "R2"}, True),
    ("allegro", {"client_id": "app"}, {}, {"client_id": "another"}, {}, False),
    ("amazon", AMAZON, {"refresh_token": "R1"}, {**AMAZON, "marketplace_id": "A2"}, {"refresh_token": "R1"}, True),
    ("amazon", AMAZON, {"refresh_token": "R1"}, AMAZON, {"refresh_token": "R2"}, False),
    ("amazon", AMAZON, {}, AMAZON, {}, True),
    ("etsy", {"keystring": "app"}, {"refresh_token": "R1"}, {"keystring": "app"}, {"refresh_token": "R2"}, True),
]


@pytest.mark.parametrize(("platform", "settings", "secrets", "others", "other_secrets", "shared"), COUNTED)
def test_integrations_share_a_clock_where_the_platform_counts_them_as_one(
    filled, clock, monkeypatch, platform, settings, secrets, others, other_secrets, shared
):
    desks = []
    vault = Vault(filled.path.with_name("t.db.vault"), locks_folder(filled.path), lambda text: None)
    assembly = Assembly(filled.store, vault, Redactor(), clock, nothing)
    for name, wanted, hidden in (("one", settings, secrets), ("two", others, other_secrets)):
        for key, value in hidden.items():
            monkeypatch.setenv(f"T_{name}_{key}", f"SECRET-{value}")
        references = {key: f"env:T_{name}_{key}" for key in hidden}
        desks.append(assembly.desk(filled.integration(name, platform, settings=wanted, secrets=references)))
    clocks = [{pace._path.name for pace in desk.channel.pacer._paces} for desk in desks]
    for desk in desks:
        for pace in desk.channel.pacer._paces:
            pace.push(5)
    assert (clocks[0] == clocks[1]) == shared
    assert shared or not clocks[0] & clocks[1]
    assembly.close()
    for file in locks_folder(filled.path).iterdir():
        assert "SECRET" not in file.name
        assert b"SECRET" not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_cannot_be_had_is_asked_for_with_the_first_request(filled, clock):
    shop = filled.integration("one", "erli", settings={}, secrets={"api_key": "env:T_NOT_THERE"})
    vault = Vault(filled.path.with_name("t.db.vault"), locks_folder(filled.path), lambda text: None)
    assembly = Assembly(filled.store, vault, Redactor(), clock, nothing)
    desk = assembly.desk(shop)
    with pytest.raises(errors.ConfigError, match="T_NOT_THERE"):
        desk.channel.pacer.wait("", nothing)
    assembly.close()


def test_a_fingerprint_is_the_same_for_all_threads_and_another_beside_another_database(tmp_path):
    found: set[str] = set()
    threads = [
        threading.Thread(target=lambda: found.add(pacing.fingerprint("SECRET", tmp_path / "a"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert pacing.fingerprint("SECRET", tmp_path / "b") not in found
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["pace-salt"]


def test_a_call_that_wakes_too_late_for_its_slot_takes_another(tmp_path, monkeypatch):
    """It would leave just before the evenly spaced ones behind it: eleven in a second where ten may."""
    now, waits = [100.0], []

    def sleep(seconds):
        waits.append(round(seconds, 3))
        now[0] += seconds + (0.3 if len(waits) == 1 else 0.0)

    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    pacer = pacing.Pacer((Rate(10),), "app", tmp_path, sleep)
    try:
        pacer.wait("", lambda: None)
        pacer.wait("", lambda: None)
        assert waits == [0.103]  # the first had no wait; the second woke 0.3 s late, and the next slot is free at once
        pacer.wait("", lambda: None)
        assert waits == [0.103, 0.103]  # counted from the slot that was taken, not from the one that was missed
    finally:
        pacer.close()


def test_those_behind_a_call_that_left_late_keep_their_distance(tmp_path, monkeypatch):
    """Its connection had to be made, say: what counts at the platform is when it came."""
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    pacer = pacing.Pacer((Rate(10),), "app", tmp_path, lambda seconds: now.__setitem__(0, now[0] + seconds))
    try:
        left = pacer.wait("", nothing)
        now[0] += 0.2
        left()
        pacer.wait("", nothing)
        assert now[0] == pytest.approx(100.2 + 0.1 / pacing.SHARE)
    finally:
        pacer.close()


def test_one_slow_connection_among_many_calls_costs_one_slot_and_not_its_delay(tmp_path, moments):
    """The clock stood still for its five seconds, and with one new connection in a hundred a run had half its rate."""
    pacer = Pacer((Rate(150),), "app", tmp_path, moments.sleep)
    slow = pacer.wait("", nothing)
    calls(pacer, moments, 725)
    assert moments.now == pytest.approx(1005, abs=0.1)
    slow()
    last = moments.now
    assert calls(pacer, moments, 1)[0] - last == pytest.approx(2 / 150 / pacing.SHARE)


def test_what_one_thread_gives_and_another_moves_is_both_in_the_clock(tmp_path):
    """The lock of an open file does not keep the threads apart that share it: slots were given twice."""
    pace = pacing.Pace(Rate(1e6), tmp_path / "clock")
    threads = [threading.Thread(target=lambda: [pace.reserve() for _ in range(500)]) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert pace.reserve().clock.given == 2001
    pace.close()


@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.03, 0.08, 0.25]), min_size=20, max_size=60))
@examples(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_eight_callers_that_leave_late_at_random_never_make_eleven_in_a_second(tmp_path, delays):
    """Each has its slot before it knows how late it will leave; those slots are never taken back."""
    now, waiting, left = [100.0], [], []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pacing.time, "monotonic", lambda: now[0])
        (tmp_path / "clock").unlink(missing_ok=True)
        pace = pacing.Pace(Rate(10), tmp_path / "clock")
        for delay in delays:
            if len(waiting) == 8:
                at, slot = min(waiting, key=lambda one: one[0])
                waiting.remove((at, slot))
                now[0] = max(now[0], at)
                left.append(now[0])
                slot.left()
            slot = pace.reserve()
            waiting.append((slot.at + delay, slot))
        pace.close()
    assert densest(left, 1.0) <= 10
