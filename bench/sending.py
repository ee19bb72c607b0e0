"""Forwarding against a stand-in with 50 ms latency: many in flight, and one shipment from `add` to forwarded.

The peer makes the same calls with bare requests in the same number of threads, in the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from common import PYTHON, SHIPFWD, orders_csv, register, report, stand_ins

LATENCY = 50
PEER = """
import sys, threading, requests
base, key, secret, first, count, threads = *sys.argv[1:4], *map(int, sys.argv[4:7])
session = requests.Session(); session.auth = (key, secret)
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=threads))
todo, lock = [], threading.Lock()
batches = iter([range(n, min(n + 100, first + count)) for n in range(first, first + count, 100)])
def work():
    while True:
        with lock:  # one look for a hundred orders, as shipfwd makes it
            if not todo:
                batch = next(batches, None)
                if batch is None: return
                ids = ",".join(map(str, batch))
                params = {"include": ids, "per_page": "100", "_fields": "id,number,status,meta_data"}
                session.get(f"{base}/wp-json/wc/v3/orders", params=params, timeout=30).json()
                todo.extend(batch)
            n = todo.pop()
        session.post(f"{base}/wp-json/wc-ast/v3/orders/{n}/shipment-trackings", timeout=30,
            json={"tracking_provider": "InPost", "tracking_number": f"62{n:022d}"}).json()
threads = [threading.Thread(target=work) for _ in range(threads)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def one(lines: list[str], base: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "one.db"
        env = {**os.environ, **register(database, lines, "woocommerce", "--set", "mode=ast", "--no-status-transfer")}
        seconds = []
        for n in range(9):
            begun = time.perf_counter()
            subprocess.run(
                [SHIPFWD, "-q", "--db", str(database), "add", f"{900000 + n}", f"62000000000000000000{n:04d}",
                 "-i", "sim-woocommerce", "--carrier", "inpost"], check=True, env=env, capture_output=True,
            )  # fmt: skip
            seconds.append(time.perf_counter() - begun)
        trips = 2 * LATENCY / 1000
        over = sorted(seconds)[4] - trips
        print(f"one shipment, add to forwarded: {over * 1000:.0f} ms more than its two round trips (goal 250 to 350)")
        return {"what": "add to forwarded, over its round trips", "seconds": over}


def many(lines: list[str], base: str, flight: int, count: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        database, csv = Path(folder) / "many.db", Path(folder) / "many.csv"
        env = {**os.environ, **register(database, lines, "woocommerce", "--set", "mode=ast", "--no-status-transfer")}
        subprocess.run([SHIPFWD, "-q", "--db", str(database), "config", "set", "concurrency", str(flight)], check=True)
        orders_csv(csv, count, first=flight * 100000)
        subprocess.run(
            [SHIPFWD, "-q", "--db", str(database), "import", str(csv), "-i", "sim-woocommerce", "--no-forward"],
            check=True, env=env,
        )  # fmt: skip
        cpu = cpu_of_children()
        begun = time.perf_counter()
        done = subprocess.run(
            [SHIPFWD, "--db", str(database), "forward", "--format", "json"], env=env, capture_output=True
        )
        ours, ours_cpu = time.perf_counter() - begun, cpu_of_children() - cpu
        assert json.loads(done.stdout)["forwarded"] == count, done.stdout + done.stderr
        key, secret = env["SIM_WOOCOMMERCE_CONSUMER_KEY"], env["SIM_WOOCOMMERCE_CONSUMER_SECRET"]
        cpu = cpu_of_children()
        begun = time.perf_counter()
        subprocess.run(
            [PYTHON, "-c", PEER, base + "/woocommerce", key, secret, str(10**7 * flight), str(count), str(flight)],
            check=True,
        )
        peer, peer_cpu = time.perf_counter() - begun, cpu_of_children() - cpu
        print(f"{count} shipments, {flight} in flight, {LATENCY} ms: {peer / ours:.0%} of bare requests (goal 90 %)")
        print(f"  CPU per shipment: {ours_cpu / peer_cpu:.2f} x bare requests (goal 1.5)")
        return report(f"forwarding, {flight} in flight", ours, peer, "bare requests", 1 / 0.9)


def main() -> list[dict[str, object]]:
    with stand_ins(LATENCY) as (base, lines):
        return [one(lines, base), many(lines, base, 16, 1500), many(lines, base, 64, 3000)]


if __name__ == "__main__":
    main()
    assert threading.active_count() == 1
