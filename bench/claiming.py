"""Selecting and claiming 10,000 due shipments: among 10,000 rows, and among a long history.

BENCH_FULL=1 makes the history 10,000,000 rows long, otherwise 1,000,000.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common import FULL, report

from shipfwd.models import Integration, stamp
from shipfwd.store import Store, create, opened

DUE = 10_000
HISTORY = 10_000_000 if FULL else 1_000_000
NUMBERS = """
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end) INSERT INTO
"""


def filled(path: Path, history: int) -> Store:
    """A store with `history` forwarded shipments and DUE that are due."""
    create(path)
    now = datetime.now(UTC)
    store = Store(path, opened(path, may_create=True), lambda: now)
    store.add_integration(Integration(0, "shop", "woocommerce", status_transfer="off"))
    run = store.begin_run("bench")
    store.close()
    db = sqlite3.connect(path)
    for first, end, state in ((0, history, "forwarded"), (history, history + DUE, "pending")):
        if first == end:
            continue
        names = {"first": first, "end": end, "state": state, "old": stamp(now - timedelta(days=9)), "now": stamp(now)}
        names |= {"run": run, "due": stamp(now) if state == "pending" else stamp(now - timedelta(days=9))}
        db.execute(NUMBERS + "orders (integration_id, order_id, created_at) SELECT 1, 'ORD-' || i, :old FROM n", names)
        db.execute(
            NUMBERS + "shipments (integration_id, order_id, carrier, tracking_number, tracking_original, tracking_key,"
            " state, created_at, added_at, added_run, due_at, forwarded_at, confirmed_at)"
            " SELECT 1, 'ORD-' || i, 'inpost',"
            " '62' || i, '62' || i, '62' || i, :state, iif(:state = 'forwarded', :old, :now), :now, :run, :due,"
            " iif(:state = 'forwarded', :old, NULL), iif(:state = 'forwarded', :old, NULL) FROM n",
            names,
        )
    db.commit()
    db.close()
    return Store(path, opened(path), lambda: now)


def claim_all(store: Store) -> float:
    run = store.begin_run("bench")
    (integration,) = store.integrations()
    begun, count = time.perf_counter(), 0
    while groups := store.claim(run, integration, 100):
        count += sum(len(group) for group in groups)
    assert count == DUE
    return time.perf_counter() - begun


def main() -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        stores = {rows: filled(Path(folder) / f"{rows}.db", rows) for rows in (0, HISTORY)}
        seconds: dict[int, list[float]] = {0: [], HISTORY: []}
        for _ in range(5):
            for rows, store in stores.items():
                seconds[rows].append(claim_all(store))
                store.take_back(store.holding_runs()[0])
        few, many = (sorted(seconds[rows])[2] for rows in (0, HISTORY))
        for store in stores.values():
            store.close()
    return [report(f"claiming {DUE:,} due among {HISTORY:,}", many, few, f"among {DUE:,}", 1.5)]


if __name__ == "__main__":
    main()
