"""Forwarding against a stand-in with 50 ms latency: many in flight, and one shipment from `add` to forwarded.

The peer makes the same calls with bare requests in the same number of threads, in the same run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from common import PYTHON, SHIPFWD, finish, orders_csv, register, report, row, stand_ins

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


def one(lines: list[str], base: str) -> dict[str, str]:
    """`add` until it is forwarded, against one curl that makes the same two requests; by turns."""
    shop = f"{base}/woocommerce/wp-json"
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "one.db"
        env = {**os.environ, **register(database, lines, "woocommerce", "--set", "mode=ast", "--no-status-transfer")}
        login = ["-s", "-o", "/dev/null", "-u", f"{env['SIM_WOOCOMMERCE_CONSUMER_KEY']}:"]
        login[-1] += env["SIM_WOOCOMMERCE_CONSUMER_SECRET"]
        ours, peer = [], []
        for n in range(900001, 900012):
            number = f"62000000000000000000{n % 10000:04d}"
            words = ["add", f"{n}", number, "-i", "sim-woocommerce", "--carrier", "inpost"]
            sent = json.dumps({"tracking_provider": "InPost", "tracking_number": number})
            look = [*login, f"{shop}/wc/v3/orders/{n + 100}"]
            write = [*login, "-H", "Content-Type: application/json", "-d", sent]
            write.append(f"{shop}/wc-ast/v3/orders/{n + 100}/shipment-trackings")
            for seconds, command in (
                (ours, [SHIPFWD, "-q", "--db", str(database), *words]),
                (peer, ["curl", *look, "--next", *write]),
            ):
                begun = time.perf_counter()
                subprocess.run(command, check=True, env=env, capture_output=True)
                seconds.append(time.perf_counter() - begun)
    over = statistics.median(ours[1:]) - statistics.median(peer[1:])  # the first asks for the shop's carriers, too
    return row("one shipment, add to forwarded", f"+ {over:.2f} s", "<= + 0.25 s", over <= 0.25, "curl, same requests")


def many(lines: list[str], base: str, flight: int, count: int) -> list[dict[str, str]]:
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
    what, share = (
        f"{count} shipments, {LATENCY} ms, {flight} in flight",
        f"{peer / ours:.0%}, {count / ours:.0f} a second",
    )
    return [
        row(what, share, ">= 90 %", peer / ours >= 0.9, "bare requests"),
        report(f"CPU of one, {flight} in flight", ours_cpu / count, peer_cpu / count, "bare requests", 1.5),
    ]


def main() -> list[dict[str, str]]:
    with stand_ins(LATENCY) as (base, lines):
        return [one(lines, base), *many(lines, base, 16, 6000), *many(lines, base, 64, 6000)]


if __name__ == "__main__":
    finish(main())
