"""Every command, ended by a signal at any moment, or with a standard file that is closed, full or read by nobody.

A command that is broken off ends with 130, says nothing of Python, leaves no half file, no process and no damaged
database; one whose words come nowhere does its work all the same, and its exit code tells what became of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing

import park
import pytest
from park import LONG

from shipfwd.simulator.server import Simulator

COMMANDS = (
    "add 9001 0000123456789U -i woocommerce --carrier dpd",
    "import --no-forward more.csv",
    "import --rejects rejected.csv more.csv",
    "order move 501000 --to Shipped -i woocommerce",
    "order list",
    "forward",
    "forward --dry-run",
    "--trace trace.jsonl forward 1",
    "sweep --report page.html --metrics shipfwd.prom",
    "verify",
    "correct 1 0000123456799U --yes",
    "settle 2 --arrived",
    "drop 3",
    "integration add new --platform erli --secret api_key=env:KEY",
    "integration edit shopware --trigger status:Sent",
    "integration remove shopware --yes",
    "integration login allegro",
    "integration check",
    "integration list",
    "carriers map -i woocommerce dpd=DPD",
    "carriers detect 0000123456789U",
    "config set window_hours 48",
    "config list",
    "prune --older-than 1",
    "schedule",
    "doctor",
    "platforms",
    "status",
    "status --format html --output page.html",
    "status --format json",
    "show 1",
)
SLOW = ("demo",)  # has stand-ins and a folder of its own
CODES = {"verify": 1, "import": 1, "settle": 2, "doctor": 1}  # that they may end with beside 0
OF_SHIPFWD = ("Traceback", "bug in shipfwd", "Exception ignored")


@pytest.fixture(scope="module")
def sim():
    with Simulator(auto_orders=True) as running:
        yield running


@pytest.fixture(scope="module")
def ready(sim, _nursery, tmp_path_factory):
    """A folder with a database in which there is something for each command, and the environment of its secrets."""
    folder = tmp_path_factory.mktemp("ready")
    _nursery.folder, _nursery.env, db = folder, {}, folder / "t.db"
    for platform in ("woocommerce", "shopware", "allegro"):
        _nursery.add(db, sim, platform)
    # A secret that is asked of a program: it must not outlive us.
    words = ("woocommerce", "--secret", "consumer_secret=cmd:printenv P_WOOCOMMERCE_CONSUMER_HIDDEN")
    assert _nursery.run(db, "integration", "edit", *words) == 0, _nursery.said
    due = park.dues("woocommerce", 1000, 3, several=10**9)
    assert _nursery.run(db, "import", "--no-forward", park.as_file(folder / "due.csv", due)) == 0, _nursery.said
    assert _nursery.run(db, "forward", "1") == 0, _nursery.said
    more = park.as_file(folder / "more.csv", park.dues("woocommerce", 5000, 20))
    with more.open("a") as out:
        out.write("woocommerce,5000,6.2E+23,dpd\n")  # a reject
    assert _nursery.run(db, "status") == 0
    return folder, _nursery.env


@pytest.fixture
def run(nursery, ready, tmp_path):
    """run(command, whole) → exit code, what it said; the folder is looked through."""
    folder, nursery.env = ready
    count = 0

    def run(command, whole):
        nonlocal count
        count += 1
        here = tmp_path / str(count)
        shutil.copytree(folder, here)
        log = here / "said.txt"
        more = {"env": {**nursery.env, "TMPDIR": str(here)}, "folder": str(here), "log": log}
        pid = nursery.start(here / "t.db", *command.split(), whole=whole, **more)
        # Where a signal meets a lock of a library in the very moment it is taken, only a second one ends the command.
        code, said = nursery.reap(pid, again=20.0), log.read_text()
        assert not any(word in said for word in OF_SHIPFWD), (command, whole, said)
        left = [one.name for one in here.rglob("*") if ".tmp" in one.name or "shipfwd-" in one.name or
                one.name.startswith("run-")]  # fmt: skip
        assert not left, (command, whole, left)
        with pytest.raises(ProcessLookupError):  # nobody of its session
            os.killpg(pid, 0)
        with closing(sqlite3.connect(here / "t.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), (command, whole)
            assert db.execute("SELECT count(*) FROM shipments").fetchone()[0] >= 3
        shutil.rmtree(here)
        return code, said

    return run


def may_end(command):
    return {0, *(code for word, code in CODES.items() if word in command.split())}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment_of_any_command_leaves_nothing_half_done(number, run):
    chance, codes = park.chance(f"signals {number}"), {}
    commands = [*COMMANDS, *(SLOW if LONG else ())]
    for command in commands:
        for _ in range(20 if LONG else 1):
            at = 1 + int(10 ** chance.uniform(0, 4.3))
            code, said = run(command, {"signal": number, "at": at})
            assert code in may_end(command) | {130}, (command, at, code, said)
            codes[code] = codes.get(code, 0) + 1
    told = ", ".join(f"exit {code}: {count}" for code, count in sorted(codes.items()))
    park.figure(f"a signal at any moment, {number.name}", kills=sum(codes.values()), note=told)
    assert codes[130] > len(commands) // 8


FILES = {
    "nobody reads stdout": {1: "pipe"},
    "stdout is full": {1: "full"},
    "stdout is closed": {1: "closed"},
    "nobody reads stderr": {2: "pipe"},
    "stderr is full": {2: "full"},
    "stderr is closed": {2: "closed"},
    "stdin is closed": {0: "closed"},
    "all three are closed": {0: "closed", 1: "closed", 2: "closed"},
}


@pytest.mark.parametrize("kind", FILES)
def test_a_command_whose_words_come_nowhere_does_its_work_and_its_exit_code_is_true(kind, run):
    chance = park.chance(kind)
    for command in COMMANDS if LONG else chance.sample(COMMANDS, 6):
        usual, _ = run(command, {})
        code, said = run(command, {"files": FILES[kind]})
        wanted = {3, usual} if kind == "stdout is full" else {usual}
        assert code in wanted, (command, code, usual, said)


@pytest.mark.parametrize("kind", ["nobody reads stdout", "nobody reads stderr", "stderr is full", "stdout is full"])
def test_an_import_is_whole_though_nobody_hears_of_its_rejected_rows(kind, run, nursery, ready, tmp_path):
    """`shipfwd import … 2>&1 | head -1` once ended in the middle, with 0 and nothing stored."""
    folder, _ = ready
    shutil.copytree(folder, tmp_path / "here")
    file, db = tmp_path / "many.csv", tmp_path / "here" / "t.db"
    park.as_file(file, park.dues("woocommerce", 7000, 30, several=10**9))
    file.write_text(file.read_text() + "woocommerce,,0000000000009U,dpd\n" * 30)
    pid = nursery.start(db, "import", "--no-forward", file, whole={"files": FILES[kind]})
    assert nursery.reap(pid) == (3 if kind == "stdout is full" else 1)
    assert len(nursery.status(db)) == 33


def test_a_hung_up_terminal_means_nothing_under_nohup(run):
    """nohup starts us with SIGHUP ignored; a run must not take it for the end."""
    code, said = run("forward", {"signal": signal.SIGHUP, "at": 300, "nohup": True})
    assert code == 0, said
