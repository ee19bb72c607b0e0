"""How big a million shipments with their journal are, and what `prune` gives back while others write.

100,000 shipments are forwarded in the store itself, with a journal as a look and a write leave it; the size of a
million is ten times that.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common import finish, row
from history import filled

from shipfwd.models import Attempt, Exchange
from shipfwd.store import Store, opened

SHIPMENTS = 100_000
QUESTION = '{"tracking_provider":"InPost","tracking_number":"620000000000000000000001"}'
ANSWER = '{"tracking_id":"a1b2c3","tracking_provider":"InPost","tracking_number":"6200000000000000000001","_links":{}}'
FIELDS = "POST", "https://shop.example/wp-json/wc-ast/v3/orders/100001/shipment-trackings", QUESTION


def journal(path: Path, store: Store) -> None:
    """The lines that a shipment gets: the look, the write that left, its answer, the outcome."""
    then = datetime.now(UTC) - timedelta(days=9)
    run = store.begin_run("bench")
    look = Exchange(then, "GET", FIELDS[1], "", 200, "(one answer for 100 orders)", False)
    left = Exchange(then, *FIELDS, None, "", True, "about to leave")
    answer = Exchange(then, *FIELDS, 201, ANSWER, True)
    for first in range(1, SHIPMENTS + 1, 5000):
        store.leave(
            run,
            [
                line
                for one in range(first, first + 5000)
                for line in (
                    Attempt(one, "look", "answered", "", look),
                    Attempt(one, "forward", "left", "", left),
                    Attempt(one, "forward", "answered", "", answer),
                    Attempt(one, "forward", "accepted", "", Exchange(then, "", "", "", None, "", True)),
                )
            ],
        )
    store.checkpoint()


def main() -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "size.db"
        filled(path, SHIPMENTS)
        bare = path.stat().st_size
        store = Store(path, opened(path), lambda: datetime.now(UTC))
        journal(path, store)
        whole = path.stat().st_size
        waits, over = [], threading.Event()

        def write() -> None:
            """What another process sees: a commit every few milliseconds."""
            other = sqlite3.connect(path, timeout=30, isolation_level=None)
            while not over.is_set():
                begun = time.perf_counter()
                other.execute("INSERT OR REPLACE INTO config VALUES ('bench', ?)", (str(begun),))
                waits.append(time.perf_counter() - begun)
                time.sleep(0.005)
            other.close()

        writer = threading.Thread(target=write)
        writer.start()
        begun = time.perf_counter()
        done = store.prune(timedelta(days=7))
        took = time.perf_counter() - begun
        over.set()
        writer.join()
        store.checkpoint()
        after = path.stat().st_size
        store.close()
    per = 10**6 / SHIPMENTS / 1e6
    waits.sort()
    held = f"longest commit of a busy writer beside it {waits[-1]:.2f} s, median {waits[len(waits) // 2] * 1000:.1f} ms"
    return [
        row("a million shipments in the database", f"{bare * per:.0f} MB, with their journal {whole * per:.0f} MB"),
        row(f"prune of {done.lines:,} journal lines", f"{took:.1f} s, {(whole - after) / 1e6:.0f} MB smaller; {held}"),
    ]


if __name__ == "__main__":
    finish(main())
