"""SIGKILL at random moments: nothing is lost, nothing is written twice, no tick is untrue."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path

import pytest

from shipfwd.simulator.server import Simulator

KILLS = 60
SEED = 20261123
# A process that has loaded everything and forks a child per command: a kill then hits the work, not the imports.
NURSERY = """
import json, os, sys
from datetime import UTC, datetime, timedelta
import shipfwd.cli, shipfwd.cli.app, shipfwd.cli.intake, shipfwd.cli.sending, shipfwd.sweeper, shipfwd.forwarder
import shipfwd.importer, shipfwd.prover, sqlite_utils, tenacity
import shipfwd.platforms.woocommerce, shipfwd.platforms.allegro

for line in sys.stdin:
    order = json.loads(line)
    if "reap" in order:
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(order["reap"], 0)[1])), flush=True)
        continue
    pid = os.fork()
    if not pid:
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0), os.dup2(log, 1), os.dup2(log, 2)
        ahead = timedelta(seconds=order["ahead"])
        app = shipfwd.cli.app.App(lambda: datetime.now(UTC) + ahead)
        code = 99
        try:
            code = shipfwd.cli.cli.main(order["args"], obj=app, standalone_mode=False)
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code or 0)
    print(pid, flush=True)
"""


class Nursery:
    def __init__(self, db: Path, env: dict[str, str]) -> None:
        self.db, self.log = db, db.with_name("children.log")
        self._parent = subprocess.Popen(
            [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def _ask(self, order: dict) -> int:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def start(self, *args: object, ahead: float = 0.0) -> int:
        words = ["--db", str(self.db), *(str(one) for one in args)]
        return self._ask({"args": words, "log": str(self.log), "ahead": ahead})

    def reap(self, pid: int) -> int:
        """The exit code; negative: the signal."""
        return self._ask({"reap": pid})

    def run(self, *args: object, ahead: float = 0.0) -> int:
        return self.reap(self.start(*args, ahead=ahead))

    def close(self) -> None:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(10)
        self._parent.stdout.close()


def number(order: str, parcel: int) -> str:
    """InPost's kind: 24 digits."""
    return f"62{uuid.uuid5(uuid.NAMESPACE_OID, order).int % 10**21:021}{parcel}"


@pytest.mark.parametrize("processes", [2])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_doubled(processes, tmp_path):
    chance = random.Random(SEED)
    faults = ["drop:0.02", "503-after:0.02", "slow:0.05"]  # slow: the work is done long after its client was killed
    sim = Simulator(latency_ms=3, auto_orders=True, faults=faults, slow_ms=500, seed=SEED)
    db = tmp_path / "t.db"
    with sim:
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONWARNINGS": "ignore"}
        nursery, due = None, {}
        orders = {
            "woo": [str(n) for n in range(1001, 1201)],
            "all": [str(uuid.uuid5(uuid.NAMESPACE_URL, str(n))) for n in range(140)],
        }
        stands = {"woo": "woocommerce", "all": "allegro"}
        given: dict[str, list[str]] = {}
        for name, stand in stands.items():
            settings, secrets = sim.platform(stand).credentials()
            words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
            for key, value in secrets.items():
                env[variable := f"K_{name}_{key}".upper()] = value
                words += ["--secret", f"{key}=env:{variable}"]
            given[name] = [*words, "--status-transfer"]
        nursery = Nursery(db, env)
        try:
            for name, stand in stands.items():
                assert nursery.run("integration", "add", name, "--platform", stand, *given[name]) == 0
            assert nursery.run("config", "set", "in_doubt_seconds", "1") == 0
            files, rows = [], []
            for name, ids in orders.items():
                for at, order in enumerate(ids):
                    for parcel in range(1 + (at % 5 == 0)):
                        due[name, order, number(order, parcel)] = None
                        rows.append(f"{name},{order},{number(order, parcel)},inpost")
            chance.shuffle(rows)
            for at in range(0, len(rows), 40):
                files.append(tmp_path / f"{at}.csv")
                files[-1].write_text("\n".join(["integration,order_id,tracking_number,carrier", *rows[at : at + 40]]))
            for file in files[::2]:  # the other half comes in under fire
                assert nursery.run("import", "--no-forward", file) == 0
            kills = 0
            while kills < KILLS:
                commands = [("forward",), ("sweep",), ("sweep", "--if-due"), ("import", chance.choice(files))]
                pids = [nursery.start(*command) for command in chance.sample(commands, processes)]
                for pid in pids:
                    time.sleep(chance.uniform(0.02, 0.2))
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                kills += sum(nursery.reap(pid) == -signal.SIGKILL for pid in pids)
            sim.clear_faults()
            before = sum(
                len(numbers) for stand in stands.values() for numbers in sim.platform(stand).all_numbers().values()
            )
            for file in files:
                assert nursery.run("import", "--no-forward", file) == 0
            time.sleep(2.1)  # the time of doubt
            codes = [nursery.run("sweep", ahead=600.0), nursery.run("sweep", ahead=1300.0)]
            assert nursery.run("status", "--format", "json", "--output", tmp_path / "status.json") == 0
            shown = json.loads((tmp_path / "status.json").read_text())
        finally:
            nursery.close()
        there = {name: sim.platform(stand).all_numbers() for name, stand in stands.items()}
        lost = [key for key in due if key[2] not in there[key[0]].get(key[1], [])]
        doubled = {name: sim.platform(stand).doubles() for name, stand in stands.items()}
        untrue = [
            (row["order_id"], row["state"], row["reason"])
            for row in shown
            if row["state"] != "forwarded" or row["tracking_number"] not in there[row["integration"]][row["order_id"]]
        ]
        with closing(sqlite3.connect(db)) as journal:
            ask = "SELECT outcome, count(*) FROM attempts WHERE outcome IN ('taken back', 'in doubt', 'adopted')"
            ask += " GROUP BY 1"
            told = ", ".join(f"{count} {outcome}" for outcome, count in journal.execute(ask))
        print(
            f"kills {kills}, shipments {len(due)} ({before} before the last kill; {told}),"
            f" lost {len(lost)}, doubled {sum(map(len, doubled.values()))}"
        )
        log = nursery.log.read_text()
    assert "Traceback" not in log, log[-3000:]
    assert "database is locked" not in log
    assert not lost
    assert not any(doubled.values()), doubled
    assert not untrue
    assert len(shown) == len(due)
    assert codes[1] == 0, log[-2000:]
    assert not any(row["status_sent_at"] is None for row in shown)
