"""kill -9, power cuts and a crash at every commit: nothing is lost, nothing is written twice, no tick is untrue."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import contextmanager, suppress

import park
import pytest
from park import LONG, PLATFORMS

from shipfwd.simulator._faults import Faults
from shipfwd.simulator.server import Simulator
from shipfwd.store.transactions import Connected

KILLS = 500 if LONG else 40
ORDERS = 90 if LONG else 9  # of each platform


def cut_power(db, to):
    """The files as they are now, with their write-ahead log, in another folder."""
    to.mkdir()
    for file in db.parent.glob(db.name + "*"):
        if file.is_file():
            shutil.copy2(file, to / file.name)
    return to / db.name


def test_processes_that_are_killed_at_random_moments_lose_nothing_and_double_nothing(nursery, tmp_path):
    chance, kills, cuts = park.chance("crash"), 0, 0
    sim = Simulator(latency_ms=3, auto_orders=True, slow_ms=500)  # slow: the work is done after its client was killed
    folder = tmp_path / "0"
    folder.mkdir()
    db = folder / "t.db"
    with sim:
        for platform in PLATFORMS:
            nursery.add(db, sim, platform)
        assert nursery.run(db, "config", "set", "in_doubt_seconds", "1") == 0
        assert nursery.run(db, "integration", "check") in (0, 4), nursery.said  # logged in; a login has its own perils
        sim._faults = Faults(["drop:0.02", "503-after:0.02", "slow:0.05"], park.SEED)
        due = [one for platform in PLATFORMS for one in park.dues(platform, 1000, ORDERS)]
        chance.shuffle(due)
        single, many = due[: len(due) // 8], due[len(due) // 8 :]
        files = [park.as_file(tmp_path / f"{at}.csv", many[at : at + 30]) for at in range(0, len(many), 30)]
        for file in files[::2]:  # the other half comes in under fire
            assert nursery.run(db, "import", "--no-forward", file) == 0
        while kills < KILLS:
            one = chance.choice(single)
            add = ("add", one.order, one.number, "-i", one.platform, "--carrier", park.carrier(one.platform))
            commands = [("forward",), ("sweep",), ("sweep", "--if-due"), ("import", chance.choice(files)), add,
                        ("verify",), ("forward", "-i", chance.choice(PLATFORMS))]  # fmt: skip
            pids = [nursery.start(db, *command) for command in chance.sample(commands, 2)]
            power = chance.random() < 0.2
            for pid in pids:
                time.sleep(0.01 * 25 ** chance.random())  # 10 to 250 ms: commands and their work are short
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP if power else signal.SIGKILL)
            if power:  # both stand still: what the disk holds now is what is found later
                cuts += 1
                db = cut_power(db, tmp_path / f"cut-{cuts}")
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            kills += sum(nursery.reap(pid) == -signal.SIGKILL for pid in pids)
        sim.clear_faults()
        before = sum(len(n) for p in PLATFORMS for n in sim.platform(p).all_numbers().values())
        code = nursery.run(db, "import", "--no-forward", park.as_file(tmp_path / "all.csv", due))
        assert code in (0, 1), nursery.said  # 1: a run that was killed before it could say what needs a person
        time.sleep(2.1)  # the time of doubt
        codes = []
        for ahead in (4400.0, 8800.0):
            sim.advance(4400.0)
            codes.append(nursery.run(db, "sweep", ahead=ahead))
        rows = nursery.status(db)
        verdict = park.judge(sim, rows, due)
        park.figure(
            "kill -9 and power cuts",
            verdict,
            platforms=len(PLATFORMS),
            processes=nursery.started,
            kills=kills,
            cuts=cuts,
            shipments=len(due),
            note=f"{before} numbers stood there at the last kill",
        )
    log = nursery.said
    assert "Traceback" not in log, log[log.index("Traceback") :][:5000]
    assert "database is locked" not in log
    verdict.check()
    assert not verdict.unsettled, verdict.unsettled
    assert len(rows) == len(due)
    assert codes[1] == 0 or verdict.person, log[-3000:]
    assert park.incomplete_journal(db) == []
    orders: dict[tuple, list] = {}
    for row in rows:
        if park.platforms.load(row["platform"]).status_transfer:
            orders.setdefault((row["integration"], row["order_id"]), []).append(row)
    for parcels in orders.values():  # what is left to a person, Erli's second parcel in doubt, holds back the marking
        marked = all(row["status_sent_at"] for row in parcels)
        assert marked or any(row["state"] != "forwarded" for row in parcels), (parcels, log[-3000:])


class Crash(BaseException):
    """The process is gone: nothing catches this, and nothing is committed any more."""


class CommitPoints:
    """Counts the store's commits; at the `at`-th the process ends, before or after it is durable.

    What stands on the disk then is copied: the write-ahead log as far as it was synced, and before a commit, as the
    disk pleases, some of what was not.
    """

    def __init__(self, monkeypatch, chance):
        self.chance = chance
        self.count, self.at, self.after, self.synced = 0, 0, False, 0
        self.copy = None
        original, points = Connected._write, self

        @contextmanager
        def write(store):
            if store._db.in_transaction:
                with original(store) as db:
                    yield db
                return
            if points.copy:
                raise Crash
            with original(store) as db:
                yield db
                points.count += 1
                if points.count == points.at and not points.after:
                    points.crash(store)
            points.synced = points.size(store)
            if points.count == points.at and points.after:
                points.crash(store)

        monkeypatch.setattr(Connected, "_write", write)

    @staticmethod
    def size(store):
        log = store.path.with_name(store.path.name + "-wal")
        return log.stat().st_size if log.exists() else 0

    def crash(self, store):
        tail = max(0, self.size(store) - self.synced)
        self.copy = cut_power(store.path, store.path.parent.with_name(f"{store.path.parent.name}x"))
        log = self.copy.with_name(self.copy.name + "-wal")
        if log.exists():
            os.truncate(log, min(self.synced, self.size(store)) + self.chance.randint(0, tail))
        self.copy.with_name(self.copy.name + "-shm").unlink(missing_ok=True)
        raise Crash


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_crash_at_any_commit_loses_nothing_and_doubles_nothing(platform, sim, shop, monkeypatch):
    chance = park.chance(f"commits {platform}")
    park.hurry(monkeypatch)
    sim_words, env = park.credentials(sim, platform)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    shop.db = shop.folder / "shop" / "t.db"
    monkeypatch.setenv("SHIPFWD_DB", str(shop.db))
    assert shop.run("integration", "add", *sim_words).code == 0
    assert shop.run("config", "set", "concurrency", "1").code == 0
    points, due, crashes = CommitPoints(monkeypatch, chance), [], 0

    def sweep_with_an_order(n, at=0, after=False):
        some = park.dues(platform, n, 1, several=1)
        due.extend(some)
        points.at = 0  # the import is left in peace
        shop.run("import", "--no-forward", park.as_file(shop.folder / "due.csv", some))
        points.count, points.at, points.after = 0, at, after
        shop.run("sweep")

    sweep_with_an_order(1)  # tokens and carrier lists are there from now on
    sweep_with_an_order(2)
    every = [(at, after) for at in range(1, points.count + 1) for after in (False, True)]
    for n, (at, after) in enumerate(every if LONG else sorted(chance.sample(every, 6)), 3):
        try:
            sweep_with_an_order(n, at, after)
        except Crash:
            crashes += 1
            shop.db, points.copy = points.copy, None
            monkeypatch.setenv("SHIPFWD_DB", str(shop.db))
        points.at = 0
        for _ in range(2):
            shop.clock.forward(seconds=1801)
            sim.advance(1801)
            shop.run("sweep")
    rows = shop.json("status", "--all")
    verdict = park.judge(sim, rows, due)
    park.figure("crash at a commit", verdict, platforms=platform, kills=crashes, shipments=len(due))
    verdict.check()
    assert not verdict.unsettled, verdict.unsettled
    assert crashes >= 5
    assert park.incomplete_journal(shop.db) == []
