"""What the benches share: alternate two commands, take medians, say a ratio against a goal."""

from __future__ import annotations

import compileall
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import shipfwd

PYTHON = sys.executable
BIN = Path(PYTHON).parent
SHIPFWD = str(BIN / "shipfwd")
FULL = os.environ.get("BENCH_FULL") == "1"  # the long form: 10,000,000 shipments
# As after an installation: a tree that was just edited would be compiled at every start where nothing may be written.
compileall.compile_dir(Path(shipfwd.__file__).parent, quiet=1)


def timed(command: list[str], env: dict[str, str] | None = None) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, env={**os.environ, **(env or {})}, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode not in (0, 1, 4):
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return seconds


def against(
    ours: list[str], peer: list[str], times: int = 15, env: dict[str, str] | None = None
) -> tuple[float, float]:
    """Medians in seconds, alternating, after one warm-up each."""
    timed(ours, env), timed(peer, env)
    a, b = [], []
    for _ in range(times):
        a.append(timed(ours, env))
        b.append(timed(peer, env))
    return statistics.median(a), statistics.median(b)


def row(what: str, measured: str, goal: str = "", kept: bool = True, peer: str = "") -> dict[str, str]:
    """A line of the table: said now, and kept for its end. Without a goal it is only stated."""
    verdict = "" if not goal else "kept" if kept else "MISSED"
    print(
        f"{what}: {measured}" + (f" of {peer}" if peer else "") + (f" (goal {goal}: {verdict})" if goal else ""),
        flush=True,
    )
    return {"what": what, "peer": peer, "goal": goal, "measured": measured, "verdict": verdict}


def report(what: str, ours: float, peer: float, peer_name: str, goal: float) -> dict[str, str]:
    """A ratio of medians, in seconds, of one run."""
    measured = f"{ours / peer:.2f} x ({_seconds(ours)} / {_seconds(peer)})"
    return row(what, measured, f"<= {goal:g} x", ours / peer <= goal, peer_name)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def finish(rows: list[dict[str, str]]) -> None:
    """Hand the rows to bench/run.py, if it is that which asked."""
    if out := os.environ.get("BENCH_ROWS"):
        with open(out, "a") as file:
            file.writelines(json.dumps(one) + "\n" for one in rows)


@contextmanager
def stand_ins(latency_ms: float = 0, more: tuple[str, ...] = ()):
    """`shipfwd simulate` in a process of its own; gives its address and the lines it said."""
    process = subprocess.Popen(
        [SHIPFWD, "simulate", "--latency-ms", str(latency_ms), *more], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    while not any("integration add sim-woocommerce" in line for line in lines):
        lines.append(process.stdout.readline().strip())
    try:
        yield lines[0].split()[2].rstrip(";"), lines
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def register(database: Path, lines: list[str], platform: str, *more: str) -> dict[str, str]:
    """Register the stand-in of a platform as it asks to be; the environment its secrets lie in."""
    import shlex

    env = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    (command,) = (line for line in lines if line.startswith(f"shipfwd integration add sim-{platform} "))
    words = [SHIPFWD, "-q", "--db", str(database), *shlex.split(command)[1:], *more]
    subprocess.run(words, check=True, env={**os.environ, **env})
    return env


def orders_csv(path: Path, count: int, status: str = "New", first: int = 1) -> None:
    """Rows in random order, as exports have them."""
    import random

    ids = list(range(first, first + count))
    random.Random(7).shuffle(ids)
    with path.open("w") as file:
        file.write("order_id,tracking_number,carrier,order_status,created_at\n")
        stamp = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(time.time() - 7200))
        file.writelines(
            f"{100000000 + n},{620000000000000000000001 + n * 79190007},inpost,{status},{stamp}\n" for n in ids
        )
