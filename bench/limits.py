"""Declared limits: four processes forward at once against a stand-in that answers 429 above the limit in any
sliding second. The peer is the limit itself."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from common import PYTHON

# The pacer alone, in processes of its own: what a platform with such a limit would see.
CALLER = """
import sys, time
from pathlib import Path
from shipfwd.models import Rate
from shipfwd.pacing import Pacer
rate, seconds, folder, out = float(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
pacer = Pacer((Rate(rate),), "bench", folder, time.sleep)
end = time.monotonic() + seconds
import threading
times = []
def work():
    while True:
        pacer.wait("", lambda: None)
        now = time.monotonic()
        if now >= end: return
        times.append(now)
        time.sleep(0.02)
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
open(out, "w").write("\\n".join(map(repr, times)))
"""


def densest(times: list[float], window: float = 1.0) -> int:
    most = first = 0
    for n, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, n - first + 1)
    return most


def main() -> list[dict[str, object]]:
    rows = []
    for rate in (10, 50, 150):
        seconds = 10.0
        with tempfile.TemporaryDirectory() as folder:
            outs = [str(Path(folder) / f"out-{n}") for n in range(4)]
            processes = [
                subprocess.Popen([PYTHON, "-c", CALLER, str(rate), str(seconds), folder, out], env=os.environ)
                for out in outs
            ]
            for process in processes:
                process.wait()
            times = sorted(float(line) for out in outs for line in Path(out).read_text().split())
        share = (len(times) - 1) / (times[-1] - times[0]) / rate
        print(
            f"limit {rate}/s, 4 processes: {share:.1%} of it (goal 95 %), "
            f"densest second {densest(times)} (at most {rate})"
        )
        rows.append({"what": f"at a limit of {rate}/s", "share": share, "densest": densest(times)})
    return rows


if __name__ == "__main__":
    main()
