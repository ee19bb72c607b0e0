"""Signals, deadlines and closed pipes: what is in flight finishes and is recorded, the rest is pending."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import park
import pytest

from shipfwd.simulator.server import Simulator

ALL = 60


@pytest.fixture
def sim():
    with Simulator(latency_ms=60, auto_orders=True) as running:
        yield running


@pytest.fixture
def busy(sim, nursery, tmp_path):
    """A database with work for a while."""
    db = tmp_path / "t.db"
    nursery.add(db, sim, "woocommerce", "--no-status-transfer")
    due = park.dues("woocommerce", 1000, ALL, several=10**9)
    assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "a.csv", due)) == 0
    return db, due


def until_begun(sim):
    end = time.monotonic() + 10
    while not any(n for n in sim.platform("woocommerce").all_numbers().values()):
        assert time.monotonic() < end
        time.sleep(0.01)


def examine(sim, nursery, db, due, rows):
    """Between none and all is sent; what shows green is there, nothing else is; a later run finishes it."""
    verdict = park.judge(sim, rows, due)
    there = sum(len(n) for n in sim.platform("woocommerce").all_numbers().values())
    assert {row["state"] for row in rows} <= {"forwarded", "pending"}
    assert sum(row["state"] == "forwarded" for row in rows) == there
    assert 0 < there < len(due)
    assert not verdict.doubled and not verdict.untrue
    assert nursery.run(db, "forward") == 0
    park.judge(sim, nursery.status(db), due).check()


@pytest.mark.parametrize(
    ("number", "command"),
    [(signal.SIGINT, "sweep"), (signal.SIGTERM, "sweep"), (signal.SIGHUP, "sweep"), (signal.SIGINT, "forward")],
)
def test_a_signal_lets_what_is_in_flight_finish(number, command, sim, nursery, busy):
    db, due = busy
    pid = nursery.start(db, command)
    until_begun(sim)
    os.kill(pid, number)
    begun = time.monotonic()
    assert nursery.reap(pid) == 130
    assert time.monotonic() - begun < 3
    assert "Traceback" not in nursery.said
    examine(sim, nursery, db, due, nursery.status(db))


def test_a_second_ctrl_c_ends_it_at_once_and_nothing_is_lost(sim, nursery, busy):
    db, due = busy
    sim.latency_ms = 1500
    pid = nursery.start(db, "sweep")
    time.sleep(0.8)  # its first request is on the way
    os.kill(pid, signal.SIGINT)
    time.sleep(0.05)
    begun = time.monotonic()
    os.kill(pid, signal.SIGINT)
    assert nursery.reap(pid) == 130
    assert time.monotonic() - begun < 0.5
    sim.latency_ms = 3
    assert nursery.run(db, "sweep", ahead=200.0) == 0
    assert nursery.run(db, "sweep", ahead=400.0) == 0
    park.judge(sim, nursery.status(db), due).check()


def test_at_the_deadline_what_is_in_flight_finishes_and_the_rest_is_pending(sim, nursery, busy):
    db, due = busy
    assert nursery.run(db, "forward", "--deadline", "0.01") == 4
    examine(sim, nursery, db, due, nursery.status(db))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_verify_and_changes_no_state(number, sim, nursery, busy):
    db, _ = busy
    sim.latency_ms = 0
    assert nursery.run(db, "sweep") == 0
    before, asked = nursery.status(db), len(sim.requests)
    sim.latency_ms = 300
    pid = nursery.start(db, "verify")
    end = time.monotonic() + 10
    while len(sim.requests) <= asked:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(pid, number)
    assert nursery.reap(pid) == 130
    assert nursery.status(db) == before
    assert "Traceback" not in nursery.said


def test_a_closed_pipe_is_no_error(nursery, busy):
    db, _ = busy
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from shipfwd.__main__ import main; main()",
        "--db",
        str(db),
        "status",
        "--all",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(park.ROOT)}) as process:  # fmt: skip
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 141, -signal.SIGPIPE)
