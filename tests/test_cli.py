"""The command line from outside: exit codes, fields to the letter, what -q still says, and what bad input gets."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import NOON

from shipfwd import views
from shipfwd.cli import cli
from shipfwd.cli.app import App

STATES = ["waiting", "pending", "retrying", "sending", "forwarded", "failed", "blocked", "expired", "dropped"]
NUMBER = "620022696408430119458408"


def number(n: int) -> str:
    return f"62002269640843011945{n:04}"


def put(shop, *orders: str, options: tuple[str, ...] = ("--no-forward",)) -> None:
    for n, order in enumerate(orders):
        said = shop.run(
            "add", order, number(int(order) if order.isdigit() else n), "-i", "shop", "--carrier", "inpost", *options
        )
        assert said.code == 0, said


# ---- fields to the letter -----------------------------------------------------------------------------------

STATUS = [
    "id", "integration", "platform", "order_id", "order_status", "carrier", "tracking_number", "state", "reason",
    "created_at", "due_at", "forwarded_at", "confirmed_at", "status_sent_at", "attempts", "next_attempt_at",
    "remote_id",
]  # fmt: skip
INTEGRATION = [
    "name", "platform", "forwarding", "trigger", "status_transfer", "last_success_at", "login_expires_at",
    "pending", "failed",
]  # fmt: skip
PLATFORM = [
    "name", "title", "tracking", "status_transfer", "read_back", "parcels", "correct", "rate", "carriers", "read_on",
]  # fmt: skip


def test_status_has_these_fields_and_no_others(shop):
    shop.add()
    assert shop.run("add", "101", f" {NUMBER[:8]} {NUMBER[8:]} ", "-i", "shop", "--carrier", "InPost").code == 0
    (row,) = shop.json("status")
    assert list(row) == STATUS
    assert row == {
        "id": 1, "integration": "shop", "platform": "woocommerce", "order_id": "101", "order_status": "",
        "carrier": "inpost", "tracking_number": NUMBER, "state": "forwarded", "reason": "",
        "created_at": "2026-11-23T12:00:00Z", "due_at": "2026-11-23T12:00:00Z", "forwarded_at": "2026-11-23T12:00:00Z",
        "confirmed_at": "2026-11-23T12:00:00Z", "status_sent_at": "2026-11-23T12:00:00Z", "attempts": 1,
        "next_attempt_at": None, "remote_id": row["remote_id"],
    }  # fmt: skip
    out = shop.run("status", "--format", "csv").out
    assert next(csv.reader(io.StringIO(out))) == STATUS


def test_integration_list_has_these_fields_and_no_others(shop):
    shop.add()
    put(shop, "101", "102")
    (row,) = shop.json("integration", "list")
    assert list(row) == INTEGRATION
    assert row == {
        "name": "shop", "platform": "woocommerce", "forwarding": True, "trigger": "created", "status_transfer": "on",
        "last_success_at": None, "login_expires_at": None, "pending": 2, "failed": 0,
    }  # fmt: skip
    assert shop.run("forward").code == 0
    (row,) = shop.json("integration", "list")
    assert (row["pending"], row["last_success_at"]) == (0, "2026-11-23T12:00:00Z")


def test_platforms_has_these_fields(shop):
    rows = shop.json("platforms")
    assert {tuple(row) for row in rows} == {tuple(PLATFORM)}
    assert {row["name"] for row in rows} >= {"allegro", "woocommerce"}
    (one,) = shop.json("platforms", "woocommerce")
    assert (one["status_transfer"], one["tracking"]) == ("separate", True)


def test_a_platform_that_knows_no_lines_says_what_that_means_for_the_mark(shop):
    told = {row["name"]: "marks all of it" in shop.run("platforms", row["name"]).err for row in shop.json("platforms")}
    assert {name for name, says in told.items() if says} == {"arena", "etsy", "http"}


@pytest.mark.parametrize("command", ["forward", "sweep", "import", "add"])
def test_a_run_prints_one_object_of_counts(shop, command):
    shop.add()
    shop.add("later", "woocommerce", "--trigger", "status:Shipped")
    put(shop, "101")
    file = shop.file(
        "more.csv", f"order_id,tracking_number,carrier\n102,{number(102)},inpost\n103,,\n104,{number(104)},odd\n"
    )
    args = {"import": (file, "-i", "shop"), "add": ("102", number(102), "-i", "shop", "--carrier", "inpost")}
    said = shop.run(command, *args.get(command, ()), "--format", "json")
    extra = ["rows", "added", "known", "rejected"] if command == "import" else []
    assert list(said.data) == [*extra, *STATES, "adopted"]
    if command == "import":
        assert said.data == dict.fromkeys(said.data, 0) | {
            "rows": 3,
            "added": 2,
            "rejected": 1,
            "forwarded": 1,
            "blocked": 1,
        }
        assert said.code == 1
    else:
        assert said.data == dict.fromkeys(said.data, 0) | {"forwarded": 1}
        assert said.code == 0


def test_a_sweep_counts_what_expired(shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    put(shop, "101", "102")
    shop.clock.forward(hours=73)
    assert shop.run("sweep", "--format", "json").data["expired"] == 2


def test_every_list_is_an_array_also_when_it_is_empty(shop):
    for args in (("status",), ("integration", "list"), ("order", "list")):
        assert shop.run(*args, "--format", "json").out == "[]\n"
        assert shop.json(*args) == []


def test_integration_list_and_status_agree_on_what_is_pending(shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    shop.add("off", "woocommerce", "--disabled")
    put(shop, "101", "102")
    assert shop.run("add", "103", number(103), "-i", "off", "--carrier", "inpost").code == 0
    shop.run("order", "move", "101", "--to", "shipped", "-i", "shop")
    pending = {row["name"]: row["pending"] for row in shop.json("integration", "list")}
    assert pending == {"shop": 1, "off": 0}
    assert shop.states() == {"101": "pending", "102": "waiting", "103": "waiting"}


# ---- exit codes, and what -q says ----------------------------------------------------------------------------


def test_0_says_nothing_with_q(shop):
    shop.add()
    put(shop, "101")
    assert shop.run("-q", "sweep") == type(shop.run("-q", "sweep"))(0, "", "")


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_1_is_said_once_per_shipment_and_reason(shop, quiet):
    shop.add()
    put(shop, "101")
    shop.sim.platform("woocommerce").add_order("101", status="cancelled")
    said = shop.run(*quiet, "sweep")
    assert said.code == 1
    assert "order 101" in said.err
    assert "cancelled" in said.err
    again = shop.run("-q", "sweep")
    assert (again.code, again.out, again.err) == (0, "", "")
    by_hand = shop.run("forward", "1")
    assert by_hand.code == 1
    assert "cancelled" in by_hand.err, "a person who asks is told again"


def test_blocked_is_1_once_and_names_the_command_that_helps(shop):
    shop.add("shop", "allegro")
    order = "29738e61-7f6a-11e8-ac45-09db60ede9d6"
    said = shop.run("-q", "add", order, NUMBER, "-i", "shop")
    assert said.code == 1
    assert "--carrier" in said.err
    assert shop.run("-q", "sweep") == type(said)(0, "", "")
    mended = shop.run("add", order, NUMBER, "-i", "shop", "--carrier", "inpost")
    assert mended.code == 0
    assert shop.run("sweep").code == 0
    assert shop.states() == {order: "forwarded"}


@pytest.mark.parametrize(
    "args",
    [
        ("frobnicate",),
        ("add", "101", "", "-i", "shop"),
        ("add", "101", NUMBER),
        ("add", "101", NUMBER, "-i", "nowhere"),
        ("add", "101", NUMBER, "-i", "shop", "--created-at", "tomorrow"),
        ("add", "101", NUMBER, "-i", "shop", "--created-at", "2026-11-25"),
        ("add", "101", "6.20022E+23", "-i", "shop"),
        ("add", "101", NUMBER, "-i", "shop", "--item", "5:many"),
        ("forward", "99"),
        ("forward", "-o", "nowhere"),
        ("forward", "-i", "nowhere"),
        ("forward", "--again"),
        ("forward", "--failed", "1"),
        ("forward", "--deadline", "0"),
        ("sweep", "-i", "nowhere"),
        ("status", "--state", "lost"),
        ("status", "--since", "yesterday"),
        ("status", "--limit", "3", "--all"),
        ("show", "99"),
        ("drop", "99"),
        ("drop", "--reason", "x"),
        ("settle", "1"),
        ("settle", "1", "--arrived"),
        ("correct", "1", "1234567890", "--yes"),
        ("order", "move", "101", "--to", " ", "-i", "shop"),
        ("order", "move", "nowhere", "--to", "Shipped", "-i", "shop"),
        ("config", "set", "timezone", "Europe/Warschau"),
        ("config", "set", "window_hours", "soon"),
        ("config", "set", "window_hours", "nan"),
        ("config", "set", "in_doubt_second", "5"),
        ("config", "get", "timezon"),
        ("integration", "show", "nowhere"),
        ("integration", "edit", "shop", "--set", "colour=red"),
        ("integration", "edit", "shop", "--name", "other"),
        ("integration", "enable", "nowhere"),
        ("platforms", "allegr"),
        ("carriers", "map", "-i", "shop", "dpd"),
        ("-q", "-v", "status"),
        ("import", "file.csv", "-i", "nowhere"),
        ("import", "file.csv", "-i", "shop", "--map", "colour=Farbe"),
    ],
    ids=lambda args: " ".join(args),
)
def test_2_is_wrong_arguments_and_changes_nothing(shop, args):
    shop.add()
    shop.add("other")
    put(shop, "101")
    shop.file("file.csv", f"order_id,tracking_number\n105,{NUMBER}\n")
    before = shop.json("status")
    said = shop.run(*[str(shop.folder / one) if one == "file.csv" else one for one in args])
    assert said.code == 2, said
    assert said.err.strip()
    assert "Traceback" not in said.err
    assert shop.json("status") == before
    assert shop.sim.calls("woocommerce") == []


@pytest.mark.parametrize(
    ("words", "near"),
    [(("integration", "add", "x", "--platform", "alegro"), "allegro"), (("sweeep",), "sweep"),
     (("integration", "lst"), "list"), (("order", "mov"), "move"), (("config", "st"), "set"),
     (("carriers", "detct"), "detect"), (("integration", "zzzz"), "integration --help"),
     (("forward", "-i", "shp"), "shop"), (("config", "get", "timezon"), "timezone"),
     (("order", "move", "1011", "--to", "x", "-i", "shop"), "101"),
     (("config", "set", "timezone", "Warsaw"), "Europe/Warsaw")],
)  # fmt: skip
def test_a_misspelt_word_names_the_nearest(shop, words, near):
    shop.add()
    put(shop, "101")
    said = shop.run(*words)
    assert said.code == 2
    assert near in said.err


def test_3_is_bad_credentials_and_the_shipments_stay_pending(shop, monkeypatch):
    shop.add()
    put(shop, "101")
    monkeypatch.setenv("T_SHOP_CONSUMER_SECRET", "cs_WRONG")
    said = shop.run("-q", "sweep")
    assert said.code == 3
    assert "shop" in said.err
    assert "cs_WRONG" not in said.err
    assert shop.states() == {"101": "pending"}


def test_3_is_a_missing_secret_that_is_named(shop, monkeypatch):
    shop.add()
    put(shop, "101")
    monkeypatch.delenv("T_SHOP_CONSUMER_KEY")
    said = shop.run("sweep")
    assert said.code == 3
    assert "T_SHOP_CONSUMER_KEY is not set" in said.err
    assert shop.states() == {"101": "pending"}


@pytest.mark.parametrize("quiet", [True, False])
def test_4_is_passing_trouble_and_silent_with_q(shop, quiet):
    shop.add()
    put(shop, "101")
    shop.sim.fail_next("woocommerce", "503", times=50)
    said = shop.run(*(["-q"] if quiet else []), "sweep")
    assert said.code == 4
    assert (said.out, said.err) == ("", "") if quiet else "1 retrying" in said.out
    shop.sim.clear_faults()
    shop.clock.forward(minutes=2)
    assert shop.run("sweep").code == 0


def test_a_person_who_forwards_in_the_doubtful_time_gets_4_and_the_time(shop):
    shop.add("shop", "woocommerce", "--no-status-transfer")
    put(shop, "101")
    shop.sim.fail_next("woocommerce", "close", match="POST .*shipment-trackings")
    assert shop.run("forward").code == 4
    shop.clock.forward(seconds=20)
    said = shop.run("forward", "1")
    assert said.code == 4
    assert "not there yet" in said.err
    assert "2026-11-23 13:02" in said.err
    assert shop.sim.platform("woocommerce").numbers("101") == []
    shop.clock.forward(seconds=120)
    assert shop.run("forward").code == 0
    assert shop.sim.platform("woocommerce").numbers("101") == [number(101)]


def test_70_is_a_bug_said_in_one_line_and_shown_with_v(shop, monkeypatch):
    shop.add()

    def breaks(*args, **more):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("shipfwd.store.Store.status", breaks)
    said = shop.run("status")
    assert said.code == 70
    assert "a bug in shipfwd: ZeroDivisionError: oops" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in shop.run("-v", "status").err


@pytest.mark.parametrize("number_", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_130_is_an_interruption_and_what_was_finished_is_recorded(shop, number_):
    shop.add("shop", "woocommerce", "--no-status-transfer")
    shop.run("config", "set", "concurrency", "1")
    put(shop, *(str(n) for n in range(101, 131)))
    shop.sim.latency_ms = 15
    code = "import sys; from shipfwd.__main__ import main; sys.argv[0] = 'shipfwd'; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "forward"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 20
    while not shop.sim.calls("woocommerce", "POST .*shipment-trackings") and time.monotonic() < end:
        time.sleep(0.005)
    child.send_signal(number_)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130, (out, err)
    assert "Traceback" not in err
    there = {order for order, numbers in shop.sim.platform("woocommerce").all_numbers().items() if numbers}
    states = shop.states()
    assert 0 < len(there) < 30
    assert {order for order, state in states.items() if state == "forwarded"} == there
    assert set(states.values()) == {"forwarded", "pending"}


def test_several_codes_give_the_first_of_their_order(shop, monkeypatch):
    shop.add()
    shop.add("bad")
    shop.add("down", "allegro")
    put(shop, "101")
    shop.sim.platform("woocommerce").add_order("101", status="cancelled")
    shop.run("add", "102", number(102), "-i", "bad", "--carrier", "inpost", "--no-forward")
    monkeypatch.setenv("T_BAD_CONSUMER_SECRET", "cs_WRONG")
    order = "29738e61-7f6a-11e8-ac45-09db60ede9d6"
    shop.run("add", order, number(3), "-i", "down", "--carrier", "inpost", "--no-forward")
    shop.sim.fail_next("allegro", "503", times=99)
    assert shop.run("forward", "-i", "down").code == 4
    shop.clock.forward(hours=2)
    assert shop.run("forward", "-i", "shop", "-i", "down").code == 1
    shop.clock.forward(hours=2)
    assert shop.run("forward").code == 3


def test_lists_exit_0_whatever_they_show(shop):
    shop.add()
    put(shop, "101")
    shop.sim.platform("woocommerce").add_order("101", status="cancelled")
    assert shop.run("sweep").code == 1
    for args in (
        ("status",),
        ("status", "--state", "failed"),
        ("show", "1"),
        ("integration", "list"),
        ("order", "list"),
    ):
        assert shop.run(*args).code == 0


def test_a_login_that_ends_soon_is_told_once(shop):
    shop.add("shop", "allegro")
    assert shop.run("integration", "check", "shop").code == 0
    (row,) = shop.json("integration", "list")
    if row["login_expires_at"] is None:
        pytest.fail("the stand-in's refresh token has an end")
    from shipfwd.models import parse_stamp

    shop.clock.now = parse_stamp(row["login_expires_at"]) - timedelta(days=13)
    shop.sim.fail_next("allegro", "503", times=99)  # else the sweep simply renews it
    said = shop.run("-q", "sweep")
    assert said.code == 1, said
    assert "shipfwd integration login shop" in said.err
    assert shop.run("-q", "sweep").err == ""


# ---- the database -------------------------------------------------------------------------------------------

ASKING = [
    ("status",), ("integration", "list"), ("order", "list"), ("config", "list"), ("platforms",), ("carriers",),
    ("config", "get", "timezone"), ("schedule",), ("status", "--format", "csv"),
]  # fmt: skip
SENDING = [
    ("add", "1", NUMBER, "-i", "x"), ("import", "f.csv", "-i", "x"), ("forward",), ("forward", "1"), ("sweep",),
    ("sweep", "--if-due"), ("forward", "--dry-run"), ("order", "move", "1", "--to", "x", "-i", "x"),
]  # fmt: skip


@pytest.mark.parametrize("args", ASKING, ids=" ".join)
def test_asking_needs_no_database_and_makes_none(shop, args):
    said = shop.run(*args)
    assert said.code == 0
    assert list(shop.folder.iterdir()) == []


@pytest.mark.parametrize("there", ["nothing", "an empty file", "no integration"])
@pytest.mark.parametrize("args", SENDING, ids=" ".join)
def test_sending_without_a_database_is_3_and_makes_none(shop, args, there):
    if there == "an empty file":
        shop.db.touch()
    if there == "no integration":
        assert shop.run("config", "set", "timezone", "Europe/Prague").code == 0
    before = {path.name for path in shop.folder.iterdir()}
    said = shop.run(*args)
    assert said.code == 3
    assert f"no database at {shop.db}" in said.err
    assert "integration add" in said.err
    assert {path.name for path in shop.folder.iterdir()} == before


@pytest.mark.parametrize("how", ["--db", "SHIPFWD_DB", "default"])
def test_the_database_lies_where_it_was_said(shop, how, monkeypatch, tmp_path):
    monkeypatch.delenv("SHIPFWD_DB")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    args, path = (), tmp_path / "data" / "shipfwd" / "shipfwd.db"
    if how == "SHIPFWD_DB":
        path = tmp_path / "env" / "e.db"
        monkeypatch.setenv("SHIPFWD_DB", str(path))
    if how == "--db":
        monkeypatch.setenv("SHIPFWD_DB", str(tmp_path / "not.db"))
        path = tmp_path / "opt" / "o.db"
        args = ("--db", path)
    assert shop.run(*args, "config", "set", "timezone", "Europe/Prague").code == 0
    assert path.is_file()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert shop.run(*args, "config", "get", "timezone").out == "Europe/Prague\n"


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_files_are_their_owners_alone_whatever_the_umask(shop, umask):
    before = os.umask(umask)
    try:
        shop.add("shop", "allegro")
        order = "29738e61-7f6a-11e8-ac45-09db60ede9d6"
        file = shop.file("in.csv", f"order_id,tracking_number,carrier\n{order},{NUMBER},inpost\nx,,\n")
        shop.run(
            "--trace", shop.folder / "trace.jsonl", "import", file, "-i", "shop", "--rejects", shop.folder / "bad.csv"
        )
        shop.run("status", "--format", "csv", "--output", shop.folder / "status.csv")
    finally:
        os.umask(before)
    assert shop.states() == {order: "forwarded"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in shop.folder.rglob("*")}
    assert modes.pop("status.csv") == 0o666 & ~umask
    modes.pop("in.csv")
    assert modes.pop("shop.db.locks") == 0o700
    assert {"shop.db", "shop.db.vault", "trace.jsonl", "bad.csv"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize(
    "args", [("status",), ("sweep",), ("integration", "list"), ("config", "set", "timezone", "UTC")]
)
@pytest.mark.parametrize("kind", ["corrupt", "foreign", "newer", "a folder"])
def test_a_database_that_cannot_be_used_is_3_and_a_sentence(shop, kind, args):
    if kind == "corrupt":
        shop.db.write_bytes(b"no database at all" * 400)
    if kind == "a folder":
        shop.db.mkdir()
    if kind in ("foreign", "newer"):
        if kind == "newer":
            shop.add()
        with closing(sqlite3.connect(shop.db)) as db:
            db.execute("PRAGMA user_version = 99" if kind == "newer" else "CREATE TABLE notes (t)")
            db.commit()
    said = shop.run(*args)
    assert said.code == 3, said
    assert str(shop.db) in said.err
    assert "Traceback" not in said.err
    word = {
        "corrupt": "damaged",
        "a folder": "is a folder; name a file in it",
        "foreign": "another program",
        "newer": "newer shipfwd",
    }
    assert word[kind] in said.err


def test_a_read_only_database_is_3_to_write_to(shop):
    shop.add()
    put(shop, "101")

    class ReadOnly(App):
        def store(self, create: bool = False):
            store = super().store(create)
            if store:
                store._db.execute("PRAGMA query_only = ON")
            return store

    done = CliRunner().invoke(cli, ["sweep"], obj=ReadOnly(shop.clock))
    assert done.exit_code == 3
    assert "cannot be written" in done.stderr
    done = CliRunner().invoke(cli, ["status"], obj=ReadOnly(shop.clock))
    assert done.exit_code == 0


def test_a_locked_database_is_3_and_a_sentence(shop):
    shop.add()
    put(shop, "101")

    class Impatient(App):
        def store(self, create: bool = False):
            store = super().store(create)
            store._db.execute("PRAGMA busy_timeout = 20")
            return store

    with closing(sqlite3.connect(shop.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for args in (["sweep"], ["drop", "1"], ["config", "set", "timezone", "UTC"]):
            done = CliRunner().invoke(cli, args, obj=Impatient(shop.clock))
            assert done.exit_code == 3, args
            assert "has kept the database" in done.stderr
        assert CliRunner().invoke(cli, ["status"], obj=Impatient(shop.clock)).exit_code == 0, "reading goes on"
    assert shop.run("sweep").code == 0


def test_a_full_disk_is_3_and_loses_nothing(shop):
    shop.add()
    rows = "\n".join(f"{n},{number(n)},inpost" for n in range(1, 3000))
    file = shop.file("big.csv", f"order_id,tracking_number,carrier\n{rows}\n")

    class Full(App):
        def store(self, create: bool = False):
            store = super().store(create)
            pages = store._db.execute("PRAGMA page_count").fetchone()[0]
            store._db.execute(f"PRAGMA max_page_count = {pages + 3}")
            return store

    done = CliRunner().invoke(cli, ["import", str(file), "-i", "shop", "--no-forward"], obj=Full(shop.clock))
    assert done.exit_code == 3
    assert "is full; make room" in done.stderr
    assert "Traceback" not in done.stderr
    again = shop.run("import", file, "-i", "shop", "--no-forward", "--format", "json")
    assert again.code == 0
    assert again.data["added"] + again.data["known"] == 2999


# ---- registering --------------------------------------------------------------------------------------------

BASE = ("integration", "add", "x", "--platform", "woocommerce")
GIVEN = (
    "--set",
    "base_url=https://shop.example",
    "--secret",
    "consumer_key=env:K",
    "--secret",
    "consumer_secret=env:S",
)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ((*BASE,), "base_url"),
        ((*BASE, *GIVEN[:4]), "consumer_secret"),
        ((*BASE, *GIVEN, "--set", "colour=red"), "no setting 'colour'"),
        ((*BASE, *GIVEN, "--set", "mod=ast"), "did you mean 'mode'"),
        ((*BASE, *GIVEN, "--set", "mode=best"), "mode cannot be 'best'"),
        ((*BASE, *GIVEN, "--set", "notify_buyer=perhaps"), "true or false"),
        ((*BASE, "--set", "base_url=http://shop.example", *GIVEN[2:]), "must be https"),
        ((*BASE, "--set", "base_url=shop.example", *GIVEN[2:]), "must be an address"),
        ((*BASE, "--set", "base_url=https://u:SECRETPW@shop.example", *GIVEN[2:]), "user name or password"),
        ((*BASE, "--set", "base_url=https://shop.example/?a=1", *GIVEN[2:]), "without ? or #"),
        ((*BASE, *GIVEN[:4], "--secret", "consumer_secret=cs_SECRETLITERAL"), "process list"),
        ((*BASE, *GIVEN[:4], "--secret", "cs_SECRETLITERAL"), "KEY=VALUE"),
        ((*BASE, *GIVEN, "--secret", "consumer_secrt=cs_SECRETLITERAL"), "did you mean 'consumer_secret'"),
        ((*BASE, *GIVEN[:4], "--set", "consumer_secret=cs_SECRETLITERAL"), "is a secret"),
        ((*BASE, *GIVEN[:4], "--secret", "consumer_secret=env:cs-SECRETLITERAL"), "name of an environment variable"),
        ((*BASE, *GIVEN[2:], "--secret", "base_url=env:X"), "is no secret"),
        ((*BASE, *GIVEN, "--trigger", "shipped"), "--trigger is created, or status:NAME"),
        ((*BASE, *GIVEN, "--trigger", "status:"), "--trigger is created, or status:NAME"),
        ((*BASE, *GIVEN[:4], "--secret", "consumer_secret=prompt"), "no terminal"),
        (("integration", "add", " ", "--platform", "woocommerce", *GIVEN), "name"),
        (("integration", "add", "a\x1bb", "--platform", "woocommerce", *GIVEN), "printable"),
        (("integration", "add", "x", "--platform", "wocommerce", *GIVEN), "did you mean 'woocommerce'"),
    ],
)
def test_what_an_integration_cannot_be_is_refused_when_it_is_added(shop, args, word):
    said = shop.run(*args)
    assert said.code == 2, said
    assert word in said.err
    assert "SECRET" not in said.err + said.out
    assert not shop.db.exists(), "nothing was made"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost/shop", "http://[::1]:80", "https://shop.example/sub/"]
)
def test_https_or_loopback_is_taken(shop, url):
    said = shop.run(*BASE, "--set", f"base_url={url}", *GIVEN[2:])
    assert said.code == 0, said


def test_a_taken_name_is_refused(shop):
    shop.add()
    said = shop.run("integration", "add", "shop", "--platform", "woocommerce", *GIVEN)
    assert said.code == 2
    assert "already called 'shop'" in said.err


@pytest.mark.parametrize(
    ("platform", "option", "code", "transfer"),
    [("woocommerce", (), 0, "on"), ("woocommerce", ("--no-status-transfer",), 0, "off"), ("allegro", (), 0, "off"),
     ("allegro", ("--status-transfer",), 0, "on")],
)  # fmt: skip
def test_status_transfer_is_on_where_it_exists_except_allegro(shop, platform, option, code, transfer):
    shop.add("shop", platform, *option)
    assert shop.json("integration", "list")[0]["status_transfer"] == transfer


def test_renaming_keeps_the_shipments(shop):
    shop.add()
    put(shop, "101")
    assert shop.run("integration", "edit", "shop", "--name", "store", "--trigger", "status:Packed").code == 0
    (row,) = shop.json("status")
    assert (row["integration"], row["state"]) == ("store", "waiting")
    assert shop.run("integration", "show", "shop").code == 2


def test_editing_keeps_what_is_not_named_and_checks_what_is(shop):
    shop.add()
    assert shop.run("integration", "edit", "shop", "--set", "mode=ast", "--no-status-transfer").code == 0
    shown = shop.json("integration", "show", "shop")[0]
    assert (shown["set mode"], shown["status_transfer"], shown["trigger"]) == ("ast", "off", "created")
    assert shown["set base_url"] == shop.sim.base_url("woocommerce")
    assert shop.run("integration", "edit", "shop", "--set", "mode=").code == 0
    assert shop.json("integration", "show", "shop")[0]["set mode"] == "auto"
    assert shop.run("integration", "edit", "shop", "--set", "base_url=").code == 2


def test_secrets_are_shown_as_references_and_stored_as_nothing_else(shop):
    shop.add()
    put(shop, "101")
    shop.run("--trace", shop.folder / "t.jsonl", "sweep")
    shop.run("integration", "check", "shop")
    said = [shop.run("integration", "show", "shop").out, shop.run("show", "1").out, shop.run("-v", "status").out]
    with closing(sqlite3.connect(shop.db)) as db:
        said.append("\n".join(db.iterdump()))
    said.append((shop.folder / "t.jsonl").read_text())
    assert "env:T_SHOP_CONSUMER_KEY" in said[0]
    for text in said:
        assert "_SECRET_" not in text, "the stand-in's secrets are ck_SECRET_sim and cs_SECRET_sim"


def test_switching_off_makes_shipments_wait_and_on_sends_them(shop):
    shop.add()
    shop.run("integration", "disable", "shop")
    assert shop.json("add", "101", NUMBER, "-i", "shop", "--carrier", "inpost")["waiting"] == 1
    assert shop.json("sweep")["forwarded"] == 0
    assert shop.json("integration", "list")[0]["forwarding"] is False
    shop.run("integration", "enable", "shop")
    assert shop.json("sweep")["forwarded"] == 1


def test_removing_refuses_while_something_is_under_way(shop):
    shop.add()
    put(shop, "101")
    said = shop.run("integration", "remove", "shop")
    assert said.code == 2
    assert "--yes" in said.err
    assert shop.run("integration", "remove", "shop", "--yes").code == 0
    (row,) = shop.json("status")
    assert (row["integration"], row["state"]) == ("shop", "dropped")
    assert shop.json("integration", "list") == []
    assert shop.run("show", "1").code == 0
    assert shop.run("sweep").code == 3
    shop.add()
    said = shop.run("forward", "1")
    assert said.code == 3
    assert "was removed" in said.err
    assert shop.status()[1]["state"] == "dropped"


def test_removing_without_a_terminal_names_the_option(shop):
    shop.add()
    said = shop.run("integration", "remove", "shop")
    assert said.code == 2
    assert "--yes" in said.err
    assert len(shop.json("integration", "list")) == 1


def test_another_account_under_the_same_name_is_refused(shop):
    shop.add("shop", "allegro")
    assert shop.run("integration", "check", "shop").code == 0
    stand = shop.sim.platform("allegro")
    with closing(sqlite3.connect(shop.db)) as db:
        db.execute("UPDATE integrations SET identity = 'somebody else'")
        db.commit()
    said = shop.run("integration", "check", "shop")
    assert said.code == 3
    assert "somebody else" in said.err
    assert stand is not None


# ---- import and add -----------------------------------------------------------------------------------------


def test_a_file_twice_changes_nothing_and_says_so(shop):
    shop.add()
    file = shop.file("in.csv", f"order;number;carrier\n101;{number(101)};InPost\n102;{number(102)};InPost\n")
    first = shop.run("import", file, "-i", "shop", "--map", "tracking_number=number", "--format", "json")
    assert (first.code, first.data["added"], first.data["forwarded"]) == (0, 2, 2)
    before = shop.json("status")
    again = shop.run("import", file, "-i", "shop", "--map", "tracking_number=number", "--format", "json")
    assert (again.code, again.data["known"], again.data["added"]) == (0, 2, 0)
    assert "nothing new" in again.err
    assert shop.json("status") == before
    assert not shop.sim.platform("woocommerce").doubles()


def test_bad_rows_are_named_and_kept_and_the_good_ones_stay(shop):
    shop.add()
    lines = ["order_id,tracking_number,carrier", f"101,{number(101)},inpost", ",1,", "103,6.20022E+23,inpost", "104,,"]
    file = shop.file("in.csv", "\n".join(lines) + "\n")
    said = shop.run("import", file, "-i", "shop", "--rejects", shop.folder / "bad.csv", "--format", "json")
    assert said.code == 1
    assert (said.data["rows"], said.data["added"], said.data["rejected"]) == (4, 1, 3)
    for line in (3, 4, 5):
        assert f"in.csv, line {line}: " in said.err
    assert "103" in (shop.folder / "bad.csv").read_text()
    assert shop.states() == {"101": "forwarded"}


@pytest.mark.parametrize("yes", [False, True])
def test_one_number_on_many_orders_is_refused_as_a_whole(shop, yes):
    shop.add()
    rows = "".join(f"{n},{NUMBER},inpost\n" for n in range(101, 105))
    file = shop.file("in.csv", "order_id,tracking_number,carrier\n" + rows)
    said = shop.run("import", file, "-i", "shop", *(["--yes"] if yes else []))
    assert said.code == (0 if yes else 2)
    assert len(shop.json("status")) == (4 if yes else 0)
    if not yes:
        assert "--yes" in said.err
        assert f"{NUMBER} (4 orders)" in said.err


def test_a_file_that_is_not_there_is_3_and_named(shop):
    shop.add()
    said = shop.run("import", shop.folder / "nowhere.csv", "-i", "shop")
    assert said.code == 3
    assert "nowhere.csv" in said.err


@pytest.mark.parametrize(
    "text", ["order_id,tracking_number\n101,{0}\n", '[{{"order_id": "101", "tracking_number": "{0}"}}]']
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_file_that_names_no_integration_is_refused_as_a_whole_without_i(shop, text, more):
    shop.add()
    said = shop.run("import", shop.file("in", text.format(NUMBER)), *more)
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith("no column names the integration; say which it is with -i NAME (there are: shop)\n")
    assert shop.json("status") == []


def test_a_dry_import_stores_nothing(shop):
    shop.add()
    file = shop.file("in.csv", f"order_id,tracking_number\n101,{NUMBER}\n")
    before = shop.db.read_bytes()
    said = shop.run("import", file, "-i", "shop", "--dry-run", "--format", "json")
    assert (said.code, said.data["added"], said.data["rows"]) == (0, 1, 1)
    assert shop.db.read_bytes() == before
    assert shop.json("status") == []


def test_add_and_import_send_only_what_they_added(shop):
    shop.add()
    put(shop, "101")
    shop.run("add", "102", number(102), "-i", "shop", "--carrier", "inpost")
    assert shop.states() == {"101": "pending", "102": "forwarded"}
    file = shop.file("in.csv", f"order_id,tracking_number,carrier\n103,{number(103)},inpost\n")
    shop.run("import", file, "-i", "shop")
    assert shop.states() == {"101": "pending", "102": "forwarded", "103": "forwarded"}


def test_standard_input_is_a_file_called_minus(shop):
    shop.add()
    text = f"order_id\ttracking_number\tcarrier\n101\t{number(101)}\tinpost\n"
    assert shop.run("import", "-", "-i", "shop", stdin=text).code == 0
    assert shop.states() == {"101": "forwarded"}


def test_a_known_shipment_that_was_forwarded_only_warns(shop):
    shop.add()
    put(shop, "101", options=())
    said = shop.run("add", "101", number(101), "-i", "shop", "--carrier", "dpd")
    assert said.code == 0
    assert "is forwarded" in said.err
    assert shop.status()[1]["carrier"] == "inpost"


# ---- triggers and slots -------------------------------------------------------------------------------------


def test_a_status_triggered_shipment_goes_when_its_order_is_there_at_a_slot(shop):
    """Slots are 9:30, 13:30, 16:30 and 23:30 in Warsaw; it is 13:00 there."""
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    put(shop, "101", "102", "103")
    assert set(shop.states().values()) == {"waiting"}
    shop.run("order", "move", "101", "--to", " SHIPPED", "-i", "shop")
    assert shop.json("sweep", "--if-due")["forwarded"] == 0, "no slot has come"
    shop.clock.forward(minutes=31)
    assert shop.json("sweep", "--if-due")["forwarded"] == 1
    shop.run("order", "move", "102", "--to", "shipped", "-i", "shop")
    shop.clock.forward(minutes=10)
    assert shop.json("sweep", "--if-due")["forwarded"] == 0, "the slot was worked"
    shop.run("order", "move", "102", "--to", "returned", "-i", "shop")
    shop.clock.forward(hours=3)
    assert shop.json("sweep", "--if-due")["forwarded"] == 0, "it left the status before the slot"
    assert shop.states() == {"101": "forwarded", "102": "waiting", "103": "waiting"}


def test_a_plain_sweep_is_a_full_pass_now(shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    put(shop, "101")
    shop.run("order", "move", "101", "--to", "Shipped", "-i", "shop")
    assert shop.json("sweep")["forwarded"] == 1


def test_a_missed_slot_is_made_up_for_once_and_none_from_before_the_integration(shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    shop.file("in.csv", f"order_id,tracking_number,carrier,order_status\n101,{number(101)},inpost,Shipped\n")
    shop.run("import", shop.folder / "in.csv", "-i", "shop")
    assert shop.json("sweep", "--if-due")["forwarded"] == 0, "9:30 was before it was added"
    shop.clock.forward(hours=30)
    assert shop.json("sweep", "--if-due")["forwarded"] == 1


def test_three_days_after_its_creation_a_shipment_is_not_sent(shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    put(shop, "101")
    shop.clock.forward(hours=72, seconds=1)
    shop.run("order", "move", "101", "--to", "Shipped", "-i", "shop")
    said = shop.run("-q", "sweep")
    assert said.code == 1, "it will not arrive unless someone acts"
    assert "within 72 hours" in said.err
    assert shop.run("-q", "sweep").code == 0, "told once"
    assert shop.states() == {"101": "expired"}
    assert shop.json("forward", "1")["forwarded"] == 1, "a person may"


def test_what_no_sweep_will_reach_is_told_before_it_is_too_late(shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    put(shop, "101")
    shop.clock.forward(hours=71)
    said = shop.run("-q", "sweep")
    assert said.code == 1
    assert "101" in said.err
    assert "2026-11-26 13:00" in said.err, "by when, in Warsaw"
    assert shop.run("-q", "sweep").err == ""


# ---- by hand ------------------------------------------------------------------------------------------------


def test_drop_and_revive(shop):
    shop.add()
    put(shop, "101")
    assert shop.run("drop", "1", "--reason", "label cancelled").code == 0
    (row,) = shop.json("status")
    assert (row["state"], row["reason"]) == ("dropped", "label cancelled")
    assert shop.json("forward")["forwarded"] == 0
    assert shop.json("forward", "1")["forwarded"] == 1
    said = shop.run("drop", "1")
    assert said.code == 2
    assert "shipfwd correct 1" in said.err


@pytest.mark.parametrize(("answer", "state"), [("--arrived", "forwarded"), ("--not-arrived", "pending")])
def test_settle_ends_doubt_by_hand(shop, answer, state):
    shop.add()
    put(shop, "101")
    shop.sim.fail_next("woocommerce", "drop", match="POST .*shipment-trackings")
    assert shop.run("forward").code == 4
    assert shop.run("drop", "1").code == 2, "it may have arrived"
    assert shop.run("settle", "1", answer).code == 0
    assert shop.states() == {"101": state}
    assert shop.json("sweep")["forwarded"] == (0 if answer == "--arrived" else 1)
    assert shop.sim.platform("woocommerce").numbers("101") == [number(101)]
    (row,) = shop.json("status")
    assert row["status_sent_at"], "the order is marked as sent all the same"


def test_correct_replaces_a_forwarded_number(shop):
    shop.add()
    put(shop, "101", options=())
    said = shop.run("correct", "1", number(7))
    assert said.code == 2
    assert "--yes" in said.err
    dry = shop.run("correct", "1", number(7), "--dry-run")
    assert dry.code == 0
    assert shop.sim.platform("woocommerce").numbers("101") == [number(101)]
    assert shop.run("correct", "1", number(7), "--yes").code == 0
    assert shop.sim.platform("woocommerce").numbers("101") == [number(7)]
    (row,) = shop.json("status")
    assert (row["tracking_number"], row["state"]) == (number(7), "forwarded")
    assert number(101) in shop.run("show", "1").out
    shop.sim.platform("woocommerce").orders["101"].status = "cancelled"
    refused = shop.run("correct", "1", number(8), "--yes")
    assert (refused.code, refused.out) == (1, "nothing was replaced\n")


def test_verify_tells_what_still_stands(shop):
    shop.add()
    put(shop, "101", "102", options=())
    shop.sim.platform("woocommerce").orders["102"].rows.clear()
    shop.sim.platform("woocommerce").orders["102"].more["meta"].clear()
    said = shop.run("verify", "--format", "json")
    assert said.code == 1
    assert {row["order_id"]: row["verdict"] for row in said.data} == {"101": "confirmed", "102": "missing"}
    shop.sim.fail_next("woocommerce", "503", times=99)
    assert shop.run("verify").code == 4


def test_verify_shows_so_many_rows_and_counts_the_others(shop, monkeypatch):
    monkeypatch.setattr("shipfwd.cli.sending.MOST_ROWS", 2)
    shop.add()
    put(shop, *(str(n) for n in range(101, 106)), options=())
    said = shop.run("-v", "verify")
    assert said.out.count("confirmed") == 2
    assert "and 3 more" in said.err
    assert "more" not in shop.run("verify").err
    assert len(shop.run("verify", "--format", "csv").out.splitlines()) == 6


def test_again_writes_only_what_is_absent(shop):
    shop.add()
    put(shop, "101", options=())
    first = shop.json("status")[0]["forwarded_at"]
    shop.clock.forward(hours=4)
    said = shop.run("forward", "1", "--again", "--format", "json")
    assert (said.data["forwarded"], said.data["adopted"]) == (1, 1)
    assert shop.json("status")[0]["forwarded_at"] == first
    assert shop.sim.platform("woocommerce").numbers("101") == [number(101)]


@pytest.mark.parametrize("command", ["forward", "sweep"])
def test_a_dry_run_shows_the_request_masked_and_changes_not_one_byte(shop, command):
    shop.add()
    put(shop, "101")
    before = shop.db.read_bytes()
    said = shop.run(command, "--dry-run")
    assert said.code == 0, said
    assert "POST " in said.out
    assert "curl -X POST" in said.out
    assert number(101) in said.out
    assert "SECRET" not in said.out + said.err
    assert "Authorization: Basic ***" in said.out
    assert shop.db.read_bytes() == before
    assert [one for one in shop.sim.calls("woocommerce") if one.method != "GET"] == []
    assert shop.states() == {"101": "pending"}


def test_show_tells_every_request_and_answer(shop):
    shop.add()
    put(shop, "101", options=())
    said = shop.run("show", "1").out
    for word in ("POST", "201", number(101), "accepted", "marked as sent"):
        assert word in said
    lines = shop.json("show", "1")
    assert [line["step"] for line in lines][-1] == "status"


# ---- what is printed ----------------------------------------------------------------------------------------


def test_a_table_in_a_pipe_is_tab_separated_and_never_cut(shop):
    shop.add()
    long = "9" * 18
    shop.run("add", long, NUMBER, "-i", "shop", "--carrier", "inpost")
    lines = shop.run("status").out.splitlines()
    assert all(line.count("\t") == lines[0].count("\t") for line in lines)
    assert long in lines[1]
    assert NUMBER in lines[1]
    assert "\x1b" not in "".join(lines)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


ROWS = [{"name": "a\x1b[31mred\x07\u202e", "value": None}, {"name": "=cmd()", "value": True}]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("out", [io.StringIO, Terminal])
def test_control_characters_never_reach_the_reader(form, out, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    written = out()
    views.emit(ROWS, ("name", "value"), form, written)
    text = re.sub("\x1b\\[[0-9;]*m", "", written.getvalue()) if out is Terminal else written.getvalue()
    assert "\x07" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "red" in text
    if form == "json":
        assert json.loads(written.getvalue()) == ROWS


@pytest.mark.parametrize("colour", [True, False])
def test_no_color_is_respected(colour, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    written = Terminal()
    views.emit([{"name": "a", "_style": "green"}], ("name",), "table", written)
    assert ("\x1b[32m" in written.getvalue()) == colour


@pytest.mark.parametrize("cell", ["=1+1", "+48 600", "-2", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_cells_that_a_spreadsheet_would_run_are_neutralised(cell):
    written = io.StringIO()
    views.emit([{"a": cell, "b": "ok"}], ("a", "b"), "csv", written)
    (_, (first, second)) = list(csv.reader(io.StringIO(written.getvalue())))
    assert not first.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert second == "ok"


def test_what_platforms_say_cannot_steer_the_terminal(shop):
    from shipfwd.simulator.base import Answer

    shop.add()
    put(shop, "101")
    evil = Answer.json({"code": "odd", "message": "no \x1b]0;owned\x07 \x1b[2J way", "data": {"status": 400}}, 400)
    shop.sim.fail_next("woocommerce", evil, match="POST .*shipment-trackings", times=9)
    said = shop.run("forward")
    shown = [
        said.out,
        said.err,
        shop.run("status").out,
        shop.run("show", "1").out,
        shop.run("status", "--format", "csv").out,
    ]
    assert said.code == 1
    for text in shown:
        assert "\x1b" not in text
        assert "\x07" not in text


def test_times_are_shown_in_the_merchants_zone_and_told_in_utc(shop):
    shop.add()
    put(shop, "101", options=())
    assert "2026-11-23 13:00" in shop.run("status").out
    shop.run("config", "set", "timezone", "America/New_York")
    assert "2026-11-23 07:00" in shop.run("status").out
    assert shop.json("status")[0]["forwarded_at"] == "2026-11-23T12:00:00Z"


def test_filters_narrow_the_status(shop):
    shop.add()
    shop.add("other")
    put(shop, "101", "102")
    shop.run("add", "101", number(1), "-i", "other", "--carrier", "inpost", "--created-at", "2026-11-22T08:00:00Z")
    assert len(shop.json("status", "-i", "other")) == 1
    assert len(shop.json("status", "-o", "101")) == 2
    assert len(shop.json("status", "--state", "pending", "--state", "failed")) == 2
    assert len(shop.json("status", "--since", "2026-11-23")) == 2
    assert len(shop.json("status", "--limit", "1")) == 1
    assert [row["id"] for row in shop.json("status")] == [3, 2, 1]


def test_a_closed_pipe_is_no_error(shop):
    shop.add()
    rows = "\n".join(f"{n},{number(n)},inpost" for n in range(1, 3000))
    shop.run("import", shop.file("in.csv", f"order_id,tracking_number,carrier\n{rows}\n"), "-i", "shop", "--no-forward")
    code = "import sys; from shipfwd.__main__ import main; sys.argv[0] = 'shipfwd'; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "status", "--all"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    assert child.stderr
    child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert (child.wait(20), err) == (0, b"")


def test_the_schedule_shows_slots_in_both_times(shop):
    rows = shop.json("schedule")
    assert rows[0] == {"local": "2026-11-23 13:30", "utc": "2026-11-23T12:30:00Z"}
    assert "*/10 * * * *" in shop.run("schedule", "--emit", "cron").out
    assert "OnCalendar=*-*-* 09,13,16,23:30:00 Europe/Warsaw" in shop.run("schedule", "--emit", "systemd").out


def test_orders_are_listed_with_their_statuses(shop):
    shop.add()
    put(shop, "101")
    shop.run("order", "move", "101", "--to", "Shipped", "-i", "shop")
    (row,) = shop.json("order", "list")
    assert (row["integration"], row["order_id"], row["order_status"], row["shipments"]) == ("shop", "101", "Shipped", 1)


def test_moving_several_orders_is_all_or_nothing(shop):
    shop.add()
    put(shop, "101", "102")
    assert shop.run("order", "move", "101", "nowhere", "--to", "Shipped", "-i", "shop").code == 2
    assert {row["order_status"] for row in shop.json("status")} == {""}
    assert shop.run("order", "move", "101", "102", "--to", "Shipped", "-i", "shop").code == 0
    assert {row["order_status"] for row in shop.json("status")} == {"Shipped"}


def test_a_carrier_is_mapped_whatever_the_word(shop):
    shop.add("shop", "allegro")
    order = "29738e61-7f6a-11e8-ac45-09db60ede9d6"
    assert shop.run("add", order, NUMBER, "-i", "shop", "--carrier", "Kurier Zbyszek").code == 1
    (row,) = shop.json("status")
    assert row["state"] == "blocked"
    advice = shlex.split(row["reason"].partition("shipfwd ")[2])
    assert advice == ["carriers", "map", "-i", "shop", "kurier-zbyszek=THEIRS"]
    assert shop.run("carriers", "map", "-i", "shop", "kurier ZBYSZEK=INPOST").code == 0
    assert shop.run("sweep").code == 0
    assert shop.json("status")[0]["state"] == "forwarded"


def test_nothing_is_left_behind_by_a_clock_at_noon(shop):
    assert shop.clock() == NOON


# ---- how a run ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_long_dry_run_is_shown_as_it_comes_and_whole(shop, monkeypatch, form):
    import csv
    import json

    monkeypatch.setattr("shipfwd.runs.SHOWN", 2)
    shop.add()
    file = shop.file(
        "p.csv",
        "order_id,tracking_number,carrier\n" + "".join(f"{n},62000000000000000000000{n},dpd\n" for n in range(1, 6)),
    )
    shop.run("import", file, "-i", "shop", "--no-forward")
    said = shop.run("sweep", "--dry-run", "--format", form)
    assert said.code == 0, said
    if form == "table":
        assert said.out.count("shipment ") == 5
        return
    rows = json.loads(said.out) if form == "json" else list(csv.DictReader(said.out.splitlines()))
    assert sorted(int(one["id"]) for one in rows) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("broken", ["a kill before it was written down", "stderr is closed"])
def test_what_nobody_could_read_is_told_by_the_next_run(shop, monkeypatch, broken):
    from shipfwd.store import Store

    shop.add()
    shop.run("add", "101", "620000000000000000000001", "-i", "shop", "--carrier", "unheard-of", "--no-forward")
    with monkeypatch.context() as during:
        if broken == "stderr is closed":

            def closed(text, err):
                raise BrokenPipeError(32, "Broken pipe")

            during.setattr("shipfwd.cli.app.click.echo", closed)
            assert shop.run("sweep").code == 1
        else:

            def killed(self, *rows):
                raise KeyboardInterrupt

            during.setattr(Store, "mark_troubled", killed)
            shop.run("sweep")
    told = shop.run("-q", "sweep")
    assert (told.code, "unheard-of" in told.err) == (1, True)
    again = shop.run("-q", "sweep")
    assert (again.code, again.err) == (0, "")


def test_a_late_shipment_is_told_with_a_reason(shop, clock):
    shop.add()
    shop.run("add", "101", "620000000000000000000001", "-i", "shop", "--carrier", "dpd", "--no-forward")
    shop.run("add", "102", "620000000000000000000002", "-i", "shop", "--carrier", "dpd", "--no-forward")
    shop.sim.platform("woocommerce")
    shop.run("sweep", "--dry-run")
    from support import Filled

    filled = Filled(shop.db, clock)
    filled.change("UPDATE shipments SET due_at = created_at, next_attempt_at = '2026-11-23T23:00:00Z' WHERE id = 1")
    filled.store.close()
    clock.forward(hours=7)
    said = shop.run("sweep")
    assert "due for 6 hours without success: no run has come to it" in said.err


@pytest.mark.parametrize("named", [True, False])
def test_thousands_of_rejected_rows_are_counted_by_reason(shop, named):
    shop.add()
    bad = "".join(f"{n},AB,dpd\n" for n in range(500)) + ",620000000000000000000001,dpd\n"
    file = shop.file("p.csv", f"order_id,tracking_number,carrier\n{bad}")
    rejects = ["--rejects", shop.folder / "bad.csv"] if named else []
    said = shop.run("-q", "import", file, "-i", "shop", *rejects)
    assert said.code == 1
    lines = said.err.splitlines()
    assert len(lines) == 11
    assert "491 more rows rejected: 490 x '…' is not a tracking number; 1 x no order id" in lines[-1]
    assert ("--rejects FILE" in lines[-1]) is not named
    if named:
        assert len((shop.folder / "bad.csv").read_text().splitlines()) == 502


def test_a_platforms_rate_says_how_many_calls_may_go_at_once(shop):
    (row,) = shop.run("platforms", "amazon", "--format", "json").data
    assert row["rate"].startswith("2 per 1 s (10 at once)")
