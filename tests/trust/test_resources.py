"""Whatever runs out or is broken: a sentence, exit 3, and nothing lost or doubled once it is mended."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from zoneinfo import ZoneInfoNotFoundError

import park
import pytest
from park import LONG

from shipfwd.simulator.server import Simulator


@pytest.mark.parametrize("what", ["RLIMIT_FSIZE", "RLIMIT_NOFILE"])
def test_a_full_disk_or_no_descriptors_left_lose_nothing_and_double_nothing(what, nursery, tmp_path):
    """At any write: the limit is put everywhere between nothing and enough."""
    chance, db = park.chance(what), tmp_path / "t.db"
    with Simulator(auto_orders=True) as sim:
        for platform in ("allegro", "shopware"):
            nursery.add(db, sim, platform)
        assert nursery.run(db, "config", "set", "in_doubt_seconds", "1") == 0
        due, codes = [], {}
        for n in range(60 if LONG else 5):
            some = park.dues("allegro", 10 * n, 3) + park.dues("shopware", 10 * n, 3)
            due += some
            assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "a.csv", some)) == 0, nursery.said
            # Both the log and the file stay below: a checkpoint has emptied the one into the other.
            limit = int(chance.uniform(50_000, 900_000)) if what == "RLIMIT_FSIZE" else chance.randint(5, 40)
            log = tmp_path / f"{n}.txt"
            log.touch()
            code = nursery.run(db, "sweep", limits={what: limit}, log=log, ahead=5.0 * n)
            codes.setdefault(code, []).append(limit)
            said = log.read_text()
            assert "Traceback" not in said and "bug in shipfwd" not in said, (limit, code, said[-3000:])
        assert nursery.run(db, "sweep", ahead=4400.0) in (0, 1, 4), nursery.said
        assert nursery.run(db, "sweep", ahead=8800.0) == 0, nursery.said
        verdict = park.judge(sim, nursery.status(db), due)
    told = ", ".join(f"exit {code}: {len(limits)}" for code, limits in sorted(codes.items()))
    park.figure(
        {"RLIMIT_FSIZE": "disk full", "RLIMIT_NOFILE": "no descriptors"}[what],
        verdict,
        kills=n + 1,
        shipments=len(due),
        note=told,
    )
    assert set(codes) <= {0, 3, 4}, codes
    verdict.check()
    assert not verdict.person + verdict.doubt
    assert park.incomplete_journal(db) == []


def test_a_database_that_cannot_be_written_is_named_and_nothing_is_sent(sim, shop, monkeypatch):
    shop.add()
    shop.run("add", "1001", "0000123456789U", "-i", "shop", "--carrier", "dpd", "--no-forward")
    connect = sqlite3.connect
    monkeypatch.setattr(
        "shipfwd.store.schema.sqlite3.connect", lambda file, **more: connect(file.replace("mode=rw", "mode=ro"), **more)
    )
    for words in (("forward",), ("sweep",), ("sweep", "--if-due"), ("config", "set", "window_hours", "24")):
        said = shop.run(*words)
        assert said.code == 3, words
        assert f"the database {shop.db} cannot be written" in said.err
    assert sim.requests == []
    assert shop.run("status").code == 0


BROKEN = {
    "0 bytes": b"",
    "text": b"order_id,tracking_number\n" * 500,
    "a header and rubbish": b"SQLite format 3\0" + b"\x10\0\1\1\0" + os.urandom(8000),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_database_is_named_with_a_way_out(kind, shop):
    shop.db.write_bytes(BROKEN[kind])
    for words in (("forward",), ("sweep",), ("import", shop.file("a.csv", "order_id\n"))):
        said = shop.run(*words)
        assert said.code == 3, said
        assert str(shop.db) in said.err
        assert kind == "0 bytes" or ".recover" in said.err
    assert shop.db.read_bytes() == BROKEN[kind]
    assert shop.run("doctor").code in (1, 3)


def test_a_page_that_rotted_in_a_working_database_is_a_sentence(sim, shop):
    shop.add()
    rows = "".join(f"{n},{n:013d}U,dpd\n" for n in range(1000, 1600))
    assert (
        shop.run(
            "import", "-i", "shop", "--no-forward", shop.file("a.csv", f"order_id,tracking_number,carrier\n{rows}")
        ).code
        == 0
    )
    whole = shop.db.read_bytes()
    for at in range(2, len(whole) // 4096, 7 if LONG else 31):
        shop.db.write_bytes(whole[: at * 4096] + bytes(range(256)) * 16 + whole[(at + 1) * 4096 :])
        said = shop.run("status", "--all", "--format", "json")
        assert said.code in (0, 3), said.err
        assert said.code == 0 or "damaged" in said.err, said.err


def test_a_missing_folder_is_a_sentence(shop, monkeypatch):
    monkeypatch.setenv("SHIPFWD_DB", str(shop.folder / "no" / "such" / "t.db"))
    said = shop.run("forward")
    assert said.code == 3
    assert "no database at" in said.err
    assert not (shop.folder / "no").exists()


HARD = {
    "a cell of 100,000 characters": ("a.csv", f"order_id,tracking_number\n{'x' * 100_000},0000123456789U\n"),
    "a number of 100,000 characters": ("a.csv", "order_id,tracking_number,carrier\n1001," + "1" * 100_000 + ",dpd\n"),
    "NUL bytes": ("a.csv", b"order_id,tracking_number,carrier\n10\x0001,0000123456789U\x00,dpd\n\x00\x00\x00\n"),
    "100,000 columns": ("a.csv", f"order_id,tracking_number,{','.join(map(str, range(100_000)))}\n1001,0000123456789U\n"),
    "JSON 1,000 deep": ("a.json", "[" * 1000 + "]" * 1000),
    "JSON 100,000 deep": ("a.json", '[{"order_id": ' + "[" * 100_000),
    "one line of 8 MB": ("a.csv", "x" * (8 << 20)),
    "an open quote": ("a.csv", 'order_id,tracking_number\n"1001,0000123456789U\n' * 10_000),
    "no text at all": ("a.csv", bytes(range(256)) * 400),
    "half a spreadsheet": ("a.xlsx", b"PK\x03\x04" + b"\0" * 400),
    "XML that multiplies": ("a.xml", '<!DOCTYPE x [<!ENTITY a "' + "x" * 1000 + '">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(8)) + "]><x>&i;</x>"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HARD)
def test_a_file_that_is_hard_to_read_is_refused_or_read_and_never_a_bug(kind, shop):
    shop.add()
    name, content = HARD[kind]
    said = shop.run("import", "-i", "shop", "--no-forward", shop.file(name, content))
    assert said.code in (0, 1, 2, 3), said
    assert max(map(len, said.err.splitlines()), default=0) < 1000
    assert shop.run("status", "--all").code == 0
    assert "\0" not in json.dumps(shop.json("status", "--all"))


def big(path, size, tail=b""):
    """A file with three rows and then one endless line; sparse, so it takes no room."""
    with path.open("wb") as out:
        out.write(
            b"order_id,tracking_number,carrier\n" + b"".join(b"%d,%013dU,dpd\n" % (n, n) for n in (1001, 1002, 1003))
        )
        out.truncate(size)
        out.seek(size)
        out.write(tail)
    return path


def test_a_huge_file_and_a_huge_line_are_read_in_constant_memory(nursery, tmp_path):
    size, db = (2 << 30) if LONG else (20 << 20), tmp_path / "t.db"
    with Simulator(auto_orders=True) as sim:
        nursery.add(db, sim, "shopware")
        small = big(tmp_path / "small.csv", 1 << 20)
        assert nursery.run(db, "import", "-i", "shopware", "--no-forward", small) == 1, nursery.said
        usual = nursery.megabytes
        file = big(tmp_path / "big.csv", size, b"\n1004,0000000001004U,dpd\n")
        assert nursery.run(db, "import", "-i", "shopware", "--no-forward", file) == 1, nursery.said
    park.figure("import of one line", note=f"{size >> 20} MB in {nursery.megabytes} MB")
    assert nursery.megabytes < usual + 15
    assert sorted(row["order_id"] for row in nursery.status(db)) == ["1001", "1002", "1003", "1004"]
    assert "longer than 131000 characters" in nursery.said


def test_a_signal_breaks_a_long_file_off_and_nothing_of_it_is_stored(nursery, tmp_path):
    db, pipe = tmp_path / "t.db", tmp_path / "endless.csv"
    os.mkfifo(pipe)
    with Simulator(auto_orders=True) as sim:
        nursery.add(db, sim, "shopware")
        pid = nursery.start(db, "import", "-i", "shopware", "--no-forward", pipe)
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as out:
            out.write(b"order_id,tracking_number,carrier\n")
            for n in range(10**6, 10**9):
                out.write(b"%d,%013dU,dpd\n" % (n, n) * 3000)
                if n == 10**6 + 3:
                    os.kill(pid, signal.SIGINT)
        assert nursery.reap(pid) == 130
    assert "nothing of it is stored" in nursery.said and "Traceback" not in nursery.said
    assert nursery.status(db) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_pipe_that_nobody_writes_into_is_left_at_a_signal(number, nursery, tmp_path):
    db, pipe = tmp_path / "t.db", tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with Simulator(auto_orders=True) as sim:
        nursery.add(db, sim, "shopware")
        log = tmp_path / "begun.txt"
        pid = nursery.start(db, "--log-format", "json", "import", "-i", "shopware", "--no-forward", pipe, log=log)
        while not log.exists() or "run started" not in log.read_text():
            time.sleep(0.01)
        time.sleep(0.05)
        os.kill(pid, number)
        assert nursery.reap(pid) == 130
    assert "nobody wrote into it" in log.read_text()


@pytest.mark.parametrize(
    ("path", "words"),
    [("/dev/zero", "is a device, not a file"), ("/dev/urandom", "is a device, not a file"), ("/dev", "Is a directory"),
     ("no.csv", "No such file"), ("a.csv.gz", "is compressed; unpack it first")],
)  # fmt: skip
def test_what_is_no_file_of_shipments_is_refused_with_the_next_step(path, words, shop):
    shop.add()
    shop.file("a.csv.gz", gzip.compress(b"order_id,tracking_number\n" * 1000))
    said = shop.run("import", "-i", "shop", "--no-forward", path if path[0] == "/" else shop.folder / path)
    assert said.code in (2, 3), said
    assert words in said.err
    assert shop.json("status") == []


def test_memory_does_not_grow_with_what_is_due(nursery, tmp_path):
    rows, db = 1_000_000 if LONG else 30_000, tmp_path / "t.db"
    with Simulator(auto_orders=True) as sim:
        nursery.add(db, sim, "shopware")
        file = tmp_path / "a.csv"
        with file.open("w") as out:
            out.write("integration,order_id,tracking_number,carrier\n")
            out.writelines(f"shopware,{n},{n:013d}U,dpd\n" for n in range(10**6, 10**6 + rows))
        used = {}
        for words in (
            ("import", "--no-forward", file),
            ("sweep", "--deadline", "0.02"),
            ("sweep", "--dry-run", "--deadline", "0.02"),
        ):
            assert nursery.run(db, *words) in (0, 4), nursery.said[-2000:]
            used[words[0] + (" --dry-run" if "--dry-run" in words else "")] = nursery.megabytes
    park.figure("memory", shipments=rows, note=", ".join(f"{what} {size} MB" for what, size in used.items()))
    assert used["import"] < 200
    assert used["sweep"] < 200


# ---- memory, threads, and odd surroundings ---------------------------------------------------------------------


def alone(db, *words):
    """Words of a process of its own, from its first line."""
    return [sys.executable, "-m", "shipfwd", "--db", str(db), *words]


def test_without_memory_a_run_ends_with_a_sentence_and_loses_nothing(nursery, tmp_path):
    """The limit is put everywhere between hardly a start and enough."""
    chance, db, codes = park.chance("memory"), tmp_path / "t.db", {}
    with Simulator(auto_orders=True) as sim:
        nursery.add(db, sim, "shopware")
        due = park.dues("shopware", 0, 30)
        assert nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "a.csv", due)) == 0, nursery.said
        for _ in range(60 if LONG else 3):
            most = chance.randint(25, 75) << 20
            limits = partial(resource.setrlimit, resource.RLIMIT_AS, (most, most))
            env = {**os.environ, **nursery.env, "PYTHONPATH": str(park.ROOT)}
            done = subprocess.run(alone(db, "sweep"), env=env, preexec_fn=limits, capture_output=True, text=True)
            codes[done.returncode] = codes.get(done.returncode, 0) + 1
            assert "Traceback" not in done.stderr and "bug in shipfwd" not in done.stderr, (most, done.stderr)
        assert nursery.run(db, "sweep", ahead=4400.0) in (0, 4), nursery.said
        assert nursery.run(db, "sweep", ahead=8800.0) == 0, nursery.said
        verdict = park.judge(sim, nursery.status(db), due)
    told = ", ".join(f"exit {code}: {count}" for code, count in sorted(codes.items()))
    park.figure("no memory", verdict, kills=sum(codes.values()), shipments=len(due), note=told)
    assert set(codes) <= {0, 3, 4}, codes
    verdict.check()
    assert not verdict.person + verdict.doubt


@pytest.mark.parametrize("names", [("shop",), ("shop", "shop-2", "shop-3")])
def test_where_no_thread_can_be_started_the_work_is_done_without(names, sim, shop, monkeypatch):
    for name in names:
        shop.add(name)
        rows = "".join(f"{name},{n},{n:013d}U,dpd\n" for n in range(1000, 1010))
        shop.run("import", "--no-forward", shop.file("a.csv", f"integration,order_id,tracking_number,carrier\n{rows}"))
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("shop"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert shop.run("sweep").code == 0
    assert {row["state"] for row in shop.json("status")} == {"forwarded"}


def test_without_time_zones_it_is_said_what_to_install(shop, monkeypatch):
    shop.add()

    def none(name):
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("shipfwd.schedule.ZoneInfo", none)
    monkeypatch.setattr("shipfwd.schedule.available_timezones", set)
    for words in (("sweep",), ("status",), ("config", "set", "timezone", "Europe/Paris")):
        said = shop.run(*words)
        assert (said.code, "pip install tzdata" in said.err) == (3, True), words
    assert "pip install tzdata" in shop.run("doctor").out


SURROUNDINGS = {
    "an ASCII locale": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    "a locale that is none": {"LC_ALL": "xx_YY.nonsense"},
    "an odd encoding": {"PYTHONIOENCODING": "utf-16"},
    "a time zone that is none": {"TZ": "Nowhere/\x01"},
    "no columns": {"COLUMNS": "0"},
    "fewer columns than none": {"COLUMNS": "-5", "LINES": "x"},
    "no terminal's name": {"TERM": ""},
    "no folder for temporary files": {"TMPDIR": "/nonexistent"},
    "no such home": {"HOME": "/nonexistent"},
    "no home": {"HOME": None, "XDG_DATA_HOME": None},
}


def test_odd_surroundings_are_no_trouble(shop):
    """Side by side, since each is a process of its own from its first line."""
    shop.add()
    shop.run("add", "Zamówienie-1", "0000123456789U", "-i", "shop", "--carrier", "Żółty Kurier", "--no-forward")
    words = alone(shop.db, "status")
    here = {**os.environ, "PYTHONPATH": str(park.ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    started = {
        kind: subprocess.Popen(words, env={k: v for k, v in {**here, **more}.items() if v is not None}, **pipes)
        for kind, more in SURROUNDINGS.items()
    }
    for kind, process in started.items():
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, b""), (kind, err)
        assert b"0000123456789U" in out.replace(b"\0", b""), (kind, out)
