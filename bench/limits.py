"""Declared limits: four `shipfwd forward` at once against a stand-in that answers 429 above the limit in any sliding
second. The peer is the limit itself."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from common import SHIPFWD, finish, row

LATENCY, SECONDS, PROCESSES = 0.05, 12, 4
# A platform with one call a shipment, so that shipments are counted as calls are.
DEFINITION = """
format = 1
title = "Strict"
source = "https://strict.example/v1"
read_on = 2026-11-24
where = "Strict > Orders > {{order_id}}"
base_url = "https://api.strict.example"
parcels = "one"
message = "error"
concurrency = 16
rates = [{{ calls = {rate}, seconds = 1 }}]
outcomes = [
    {{ status = 429, then = "throttled" }},
    {{ status = "4xx", then = "refused" }},
    {{ status = "5xx", then = "later" }},
    {{ status = "2xx", then = "not_understood" }},
]
[secrets]
token = "Strict > Token"
[auth]
kind = "bearer"
token = "{{secret.token}}"
[carriers]
inpost = "inpost"
[tracking]
method = "POST"
path = "/orders/{{order_id}}"
repeat = "harmless"
answer = "either"
json = {{ number = "{{tracking}}" }}
outcomes = [{{ status = 204, then = "ok" }}]
[[examples]]
name = "taken"
step = "tracking"
order_id = "17"
carrier = "inpost"
tracking = "JD1"
created_at = "2026-11-22T23:30:00Z"
status = 204
then = "ok"
request = {{ method = "POST", path = "/orders/17", json = {{ number = "JD1" }} }}
"""


@contextmanager
def strict(rate: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """A stand-in with that limit: its address, when it took a call, and when it refused one."""
    taken: list[float] = []
    refused: list[float] = []
    recent: deque[float] = deque()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with lock:
                now = time.monotonic()
                while recent and recent[0] <= now - 1.0:
                    recent.popleft()
                fits = len(recent) < rate
                if fits:
                    recent.append(now)
                (taken if fits else refused).append(now)
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(LATENCY)
            self.send_response(204 if fits else 429)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken, refused
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def densest(times: list[float], window: float = 1.0) -> int:
    most = first = 0
    for n, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, n - first + 1)
    return most


def held(rate: int) -> dict[str, str]:
    env = {**os.environ, "BENCH_TOKEN": "token-of-the-bench"}
    with tempfile.TemporaryDirectory() as folder, strict(rate) as (base, taken, refused):
        file, csv = Path(folder) / "strict.toml", Path(folder) / "due.csv"
        ours = [SHIPFWD, "-q", "--db", str(Path(folder) / "strict.db")]
        file.write_text(DEFINITION.format(rate=rate))
        rows = (f"A-{n},62{n:022d},inpost\n" for n in range(rate * SECONDS))
        csv.write_text("order_id,tracking_number,carrier\n" + "".join(rows))
        kind = ["--platform", "http", "--set", f"definition={file}", "--set", f"base_url={base}"]
        for words in (
            ["integration", "add", "strict", *kind, "--secret", "token=env:BENCH_TOKEN"],
            ["import", str(csv), "-i", "strict", "--no-forward"],
        ):
            subprocess.run([*ours, *words], check=True, env=env)
        running = [
            subprocess.Popen([*ours, "forward", "--format", "json"], env=env, stdout=subprocess.PIPE)
            for _ in range(PROCESSES)
        ]
        counts = [json.loads(one.communicate()[0])["forwarded"] for one in running]
    taken.sort()
    share = (len(taken) - 1) / (taken[-1] - taken[0]) / rate
    return row(
        f"at a limit of {rate}/s, {PROCESSES} processes",
        f"{share:.1%}, {len(refused)} x 429, densest second {densest(taken)} (they sent {', '.join(map(str, counts))})",
        ">= 95 %, no 429",
        share >= 0.95 and not refused,
        "the limit",
    )


def main() -> list[dict[str, str]]:
    return [held(rate) for rate in (10, 50, 150)]


if __name__ == "__main__":
    finish(main())
