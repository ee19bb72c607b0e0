"""Start-up: `--version`, and a sweep with nothing due on an empty database and on a million shipments."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from common import BIN, FULL, PYTHON, SHIPFWD, against, orders_csv, register, report, stand_ins


def main() -> list[dict[str, object]]:
    rows = []
    ours, peer = against([SHIPFWD, "--version"], [PYTHON, "-c", "import click"], 25)
    rows.append(report("shipfwd --version", ours, peer, "import click", 1.5))
    with tempfile.TemporaryDirectory() as folder, stand_ins() as (_, lines):
        empty, full = Path(folder) / "empty.db", Path(folder) / "full.db"
        env = register(empty, lines, "woocommerce", "--trigger", "status:Shipped")
        register(full, lines, "woocommerce", "--trigger", "status:Shipped")
        count = 10_000_000 if FULL else 1_000_000
        csv = Path(folder) / "orders.csv"
        orders_csv(csv, count)
        subprocess.run([SHIPFWD, "-q", "--db", str(full), "import", str(csv), "-i", "sim-woocommerce"], check=True)
        sweep = [SHIPFWD, "-q", "--db", str(full), "sweep"]
        utils = [str(BIN / "sqlite-utils"), "--version"]
        ours, peer = against(sweep, utils, 11, env)
        rows.append(report(f"sweep, nothing due among {count:,} waiting", ours, peer, "sqlite-utils --version", 1.0))
        ours, peer = against(sweep, [SHIPFWD, "-q", "--db", str(empty), "sweep"], 11, env)
        rows.append(
            report(f"sweep, nothing due among {count:,} waiting", ours, peer, "the same on an empty database", 1.3)
        )
        ours, peer = against([SHIPFWD, "--db", str(full), "status"], utils, 11, env)
        rows.append(report(f"status (50 rows) of {count:,}", ours, peer, "sqlite-utils --version", 1.0))
    return rows


if __name__ == "__main__":
    main()
