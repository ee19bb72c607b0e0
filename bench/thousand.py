"""A thousand integrations due at once in one `forward`: time, memory and open files, against the same parcels in one."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from common import SHIPFWD, finish, register, row, stand_ins

from shipfwd.models import Integration
from shipfwd.store import Store, opened

MANY, EACH, LATENCY = 1000, 5, 50


def forward(lines: list[str], integrations: int, first: int) -> float:
    """Seconds to forward MANY * EACH parcels that are spread over so many integrations."""
    count = MANY * EACH
    with tempfile.TemporaryDirectory() as folder:
        database, file = Path(folder) / "many.db", Path(folder) / "due.csv"
        given = "--set", "mode=ast", "--no-status-transfer"
        env = {**os.environ, **register(database, lines, "woocommerce", *given)}
        store = Store(database, opened(database), lambda: datetime.now(UTC))
        one = store.integrations()[0]
        for n in range(1, integrations):
            more = Integration(0, f"shop-{n}", one.platform, settings=one.settings, secrets=one.secrets)
            store.add_integration(more)
        names = [each.name for each in store.integrations()]
        store.close()
        with file.open("w") as out:
            out.write("integration,order_id,tracking_number,carrier\n")
            for n in range(count):
                out.write(f"{names[n % integrations]},{first + n},{62 * 10**22 + first + n},inpost\n")
        subprocess.run([SHIPFWD, "-q", "--db", str(database), "import", str(file), "--no-forward"], check=True, env=env)
        begun = time.perf_counter()
        done = subprocess.run(
            [SHIPFWD, "--db", str(database), "forward", "--format", "json"], env=env, capture_output=True, check=False
        )
        took = time.perf_counter() - begun
        if not done.stdout:
            raise SystemExit(done.stderr.decode()[-2000:])
        forwarded = json.loads(done.stdout)["forwarded"]
        print(
            f"{integrations} integrations: {forwarded} of {count} forwarded in {took:.1f} s; {done.stderr.decode()[-300:]}"
        )
    return took


def main() -> list[dict[str, str]]:
    with stand_ins(LATENCY) as (_, lines):
        few = forward(lines, 10, 10_000_000)
        many = forward(lines, MANY, 20_000_000)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        row(
            f"{MANY} integrations at once",
            f"{many / few:.2f} x ({many:.1f} s / {few:.1f} s)",
            peer="the same parcels in 10",
        ),
        row("its memory", f"{memory:.0f} MB"),
    ]


if __name__ == "__main__":
    finish(main())
