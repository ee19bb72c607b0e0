"""Twelve integrations at once, each at its platform's own limit, against the slowest of them alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import SHIPFWD, finish, register, report, stand_ins

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "trust"))

import park

LATENCY = 50
# How many parcels each gets: what takes it about ten seconds.
COUNTS = {
    "allegro": 300, "amazon": 28, "bigcommerce": 24, "ebay": 400, "empik": 180, "erli": 50, "etsy": 50, "magento": 300,
    "mirakl": 180, "prestashop": 300, "shopware": 300, "woocommerce": 500,
}  # fmt: skip


def seconds(database: Path, env: dict[str, str], names: list[str], first: int) -> float:
    """How long a `forward` of these platforms' parcels takes."""
    due = [one for name in names for one in park.dues(name, first, COUNTS[name], several=10**9)]
    file = database.with_name("due.csv")
    file.write_text("integration,order_id,tracking_number,carrier\n" + "".join(f"sim-{one.line}\n" for one in due))
    subprocess.run([SHIPFWD, "-q", "--db", str(database), "import", str(file), "--no-forward"], check=True, env=env)
    command = [SHIPFWD, "--db", str(database), "forward", "--format", "json"]
    begun = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    took = time.perf_counter() - begun
    if (counts := json.loads(done.stdout))["forwarded"] != len(due):
        raise SystemExit(f"{names}: {counts} of {len(due)}; {done.stderr.decode()[-2000:]}")
    return took


def main() -> list[dict[str, str]]:
    with stand_ins(LATENCY) as (_, lines), tempfile.TemporaryDirectory() as folder:
        database, env = Path(folder) / "twelve.db", dict(os.environ)
        for name in COUNTS:
            env |= register(database, lines, name)
        alone = {one: seconds(database, env, [one], 1000) for one in COUNTS}
        together = seconds(database, env, list(COUNTS), 5000)
    slowest = max(alone, key=lambda one: alone[one])
    print("alone, s: " + ", ".join(f"{one} {took:.1f}" for one, took in alone.items()))
    print(f"one after the other: {sum(alone.values()):.0f} s")
    return [report("twelve integrations at once", together, alone[slowest], f"{slowest} alone", 1.05)]


if __name__ == "__main__":
    finish(main())
