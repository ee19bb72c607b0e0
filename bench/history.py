"""What a long history costs: a sweep with nothing due, `status`, and claiming 10,000 due shipments.

1,000,000 shipments lie around, with BENCH_FULL=1 also 10,000,000: half of them forwarded, half waiting for their order's
status. The journal of the forwarded ones is left out: nothing here reads it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common import BIN, FULL, SHIPFWD, against, finish, report, row

from shipfwd.models import Integration, stamp
from shipfwd.store import Store, create, opened

DUE = 10_000
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end) INSERT INTO "
ORDERS = NUMBERS + (
    "orders (integration_id, order_id, status, status_key, created_at)"
    " SELECT 1, printf('ORD-%09d', i), 'New', 'new', :old FROM n"
)
SHIPMENTS = NUMBERS + (
    "shipments (integration_id, order_id, carrier, tracking_number, tracking_original, tracking_key, state, status_key,"
    " created_at, added_at, added_run, due_at, forwarded_at, confirmed_at)"
    " SELECT 1, printf('ORD-%09d', i), 'inpost', '62' || i, '62' || i, '62' || i, :state, 'new',"
    " :created, :created, :run, :due, :forwarded, :forwarded FROM n"
)


def filled(path: Path, forwarded: int, waiting: int = 0) -> None:
    """A database with so many shipments that are done, and so many that wait for their order's status."""
    create(path)
    now = datetime.now(UTC)
    store = Store(path, opened(path, may_create=True), lambda: now)
    shop = {"base_url": "http://127.0.0.1:9", "mode": "ast"}
    secrets = {"consumer_key": "env:BENCH_KEY", "consumer_secret": "env:BENCH_SECRET"}
    store.add_integration(
        Integration(0, "shop", "woocommerce", "status:Shipped", status_transfer="off", settings=shop, secrets=secrets)
    )
    names = {"run": store.begin_run("bench"), "old": stamp(now - timedelta(days=9))}
    store.close()
    names |= {"first": 0, "end": forwarded, "state": "forwarded", "created": names["old"]}
    put(path, [names | {"due": names["old"], "forwarded": names["old"]}])
    names |= {"first": forwarded, "end": forwarded + waiting, "state": "pending", "due": None, "forwarded": None}
    put(path, [names | {"created": stamp(now - timedelta(hours=2))}])


def put(path: Path, parts: list[dict[str, object]]) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    for names in parts:
        if names["first"] != names["end"]:
            db.execute(ORDERS, names)
            db.execute(SHIPMENTS, names)
            db.commit()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def claim_all(store: Store) -> float:
    run = store.begin_run("bench")
    (integration,) = store.integrations()
    begun, count = time.perf_counter(), 0
    while groups := store.claim(run, integration, 100):
        count += sum(len(group) for group in groups)
    assert count == DUE
    took = time.perf_counter() - begun
    store.take_back(run)
    return took


def claiming(databases: dict[int, Path], rows: int) -> dict[str, str]:
    now = datetime.now(UTC)
    stores = []
    for size, path in databases.items():
        names = {"run": 1, "old": stamp(now), "created": stamp(now), "due": stamp(now), "forwarded": None}
        put(path, [names | {"first": size, "end": size + DUE, "state": "pending"}])
        stores.append(Store(path, opened(path), lambda: now))
    seconds = [[claim_all(store) for store in stores] for _ in range(5)]
    few, many = (sorted(one)[2] for one in zip(*seconds, strict=True))
    for store in stores:
        store.close()
    return report(f"claiming {DUE:,} due among {rows:,}", many, few, f"among {DUE:,}", 1.5)


def memory(command: list[str], env: dict[str, str]) -> float:
    """Peak MB of a command."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, capture_output=True, env={**os.environ, **env}
    )
    return float(done.stdout.split()[-1])


def measured(rows: int) -> list[dict[str, str]]:
    env = {"BENCH_KEY": "ck_of_the_bench", "BENCH_SECRET": "cs_of_the_bench"}
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder) / "empty.db", Path(folder) / "full.db"
        begun = time.perf_counter()
        filled(empty, 0)
        filled(full, rows // 2, rows // 2)
        print(f"{rows:,} rows: {full.stat().st_size / 1e9:.2f} GB, made in {time.perf_counter() - begun:.0f} s")
        utils = [str(BIN / "sqlite-utils"), "--version"]
        sweep = [SHIPFWD, "-q", "--db", str(full), "sweep"]
        done = subprocess.run(
            [SHIPFWD, "--db", str(full), "sweep", "--format", "json"], env={**os.environ, **env}, capture_output=True
        )
        if done.returncode or any(json.loads(done.stdout).values()):
            raise SystemExit(f"the sweep was not idle: {done.stdout.decode()} {done.stderr.decode()}")
        results = []
        ours, peer = against(sweep, [SHIPFWD, "-q", "--db", str(empty), "sweep"], 11, env)
        goal = 1.15 if rows <= 10**6 else 1.3
        results.append(report(f"sweep, nothing due among {rows:,}", ours, peer, "the same on an empty database", goal))
        peak, least = memory(sweep, env), memory([SHIPFWD, "-q", "--db", str(empty), "sweep"], env)
        results.append(row(f"memory of a sweep among {rows:,}", f"{peak:.0f} MB ({least:.0f} MB on an empty database)"))
        ours, peer = against([SHIPFWD, "--db", str(full), "status"], utils, 11, env)
        results.append(report(f"status (50 rows) of {rows:,}", ours, peer, "sqlite-utils --version", 1.0))
        results.append(claiming({0: empty, rows: full}, rows))
    return results


def main() -> list[dict[str, str]]:
    sizes = [1_000_000, 10_000_000] if FULL else [1_000_000]
    return [one for rows in sizes for one in measured(rows)]


if __name__ == "__main__":
    finish(main())
