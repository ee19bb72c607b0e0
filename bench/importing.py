"""Import of a million CSV rows, first and again, against `sqlite-utils upsert` of the same file and schema."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from common import BIN, SHIPFWD, finish, orders_csv, register, report, row, stand_ins

ROWS = 1_000_000
SCHEMA = """
CREATE TABLE shipments (order_id TEXT, tracking_number TEXT, carrier TEXT, order_status TEXT, created_at TEXT,
    PRIMARY KEY (order_id, tracking_number)) STRICT;
"""


def run(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak memory of the largest child so far in MB."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> list[dict[str, str]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder, stand_ins() as (_, lines):
        csv, ours, theirs = (Path(folder) / name for name in ("rows.csv", "ours.db", "theirs.db"))
        orders_csv(csv, ROWS)
        register(ours, lines, "woocommerce", "--trigger", "status:Shipped")
        command = [SHIPFWD, "-q", "--db", str(ours), "import", str(csv), "-i", "sim-woocommerce"]
        first, memory = run(command)
        again, memory = run(command)
        with sqlite3.connect(theirs) as db:
            db.executescript(SCHEMA)
        peer = [str(BIN / "sqlite-utils"), "upsert", str(theirs), "shipments", str(csv), "--csv"]
        peer += ["--pk", "order_id", "--pk", "tracking_number"]
        seconds, _ = run(peer)
        rows.append(report(f"import of {ROWS:,} rows, first time", first, seconds, "sqlite-utils upsert", 0.5))
        seconds, _ = run(peer)
        rows.append(report(f"import of {ROWS:,} rows, again", again, seconds, "sqlite-utils upsert again", 0.3))
        rows.append(row("memory of the import", f"{memory:.0f} MB", "<= 100 MB", memory <= 100))
    return rows


if __name__ == "__main__":
    finish(main())
