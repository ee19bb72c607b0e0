"""All benches, one after the other, and one table of what they measured. BENCH_FULL=1: with 10,000,000 shipments, too.

    python bench/run.py [NAME…]

Each runs in a process of its own and in temporary folders; a bench that fails is said and costs no other its turn.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCHES = (
    "startup", "history", "importing", "sending", "limits", "twelve", "page", "size", "thousand", "postgres",
    "simulation",
)  # fmt: skip


def main() -> int:
    begun, failed = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        rows.touch()
        for name in sys.argv[1:] or BENCHES:
            print(f"== {name}", flush=True)
            command = [sys.executable, "-B", str(Path(__file__).with_name(f"{name}.py"))]
            if subprocess.run(command, env={**os.environ, "BENCH_ROWS": str(rows)}, check=False).returncode:
                failed.append(name)
        table = [json.loads(line) for line in rows.read_text().splitlines()]
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{time.strftime('%d %B %Y')}, {os.cpu_count()} cores, {platform.platform()}, Python ", end="")
    print(f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}; {minutes:.0f} minutes\n")
    fields = ("what", "peer", "goal", "measured", "verdict")
    for line in (dict(zip(fields, fields, strict=True)), dict.fromkeys(fields, "---"), *table):
        print("| " + " | ".join(line[field] for field in fields) + " |")
    for name in failed:
        print(f"NOT MEASURED: {name} failed, see above", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
