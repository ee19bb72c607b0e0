"""Claim and settle in PostgreSQL, a prototype, against the SQLite store's own; 1, 4 and 16 processes at once.

What it must show: an order is one run's alone (FOR UPDATE SKIP LOCKED on the order's row), a run lives as long as its
session holds an advisory lock, what a killed run held is taken back, and nothing is settled twice.

Needs Debian's postgresql and psycopg (pip install 'psycopg[binary]'); the cluster lies in a temporary folder, listens on a socket
there alone, and ends with the bench.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import finish, row
from history import filled, put

from shipfwd.models import Attempt, Exchange, Settlement, stamp
from shipfwd.store import Store, opened

SHIPMENTS, HISTORY, AT_ONCE, TIMES = 3000, 100_000, 16, 3
ANSWER = '{"tracking_id":"a1b2c3","tracking_provider":"InPost","tracking_number":"6200000000000000000001","_links":{}}'
TABLES = """
CREATE TABLE integrations (id bigint PRIMARY KEY, last_success_at timestamptz);
CREATE TABLE orders (integration_id bigint NOT NULL REFERENCES integrations, order_id text NOT NULL,
    status text NOT NULL DEFAULT '', status_key text NOT NULL DEFAULT '', PRIMARY KEY (integration_id, order_id));
CREATE TABLE runs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, command text, started_at timestamptz);
CREATE TABLE shipments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, integration_id bigint NOT NULL,
    order_id text NOT NULL, carrier text NOT NULL, tracking_number text NOT NULL, tracking_key text NOT NULL,
    state text NOT NULL, reason text NOT NULL DEFAULT '', created_at timestamptz NOT NULL, due_at timestamptz,
    next_attempt_at timestamptz, in_doubt_since timestamptz, forwarded_at timestamptz, confirmed_at timestamptz,
    attempts int NOT NULL DEFAULT 0, run_id bigint, remote_id text NOT NULL DEFAULT '',
    FOREIGN KEY (integration_id, order_id) REFERENCES orders, UNIQUE (integration_id, order_id, tracking_key));
CREATE INDEX shipments_due ON shipments (integration_id, (coalesce(next_attempt_at, due_at)))
    WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX shipments_sending ON shipments (run_id) WHERE state = 'sending';
CREATE INDEX shipments_unproven ON shipments (integration_id, forwarded_at)
    WHERE state = 'forwarded' AND confirmed_at IS NULL;
CREATE TABLE attempts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shipment_id bigint NOT NULL
    REFERENCES shipments, run_id bigint, at timestamptz NOT NULL, step text NOT NULL, outcome text NOT NULL,
    method text, url text, status int, request text, answer text);
CREATE INDEX attempts_shipment ON attempts (shipment_id, id);
INSERT INTO integrations VALUES (1);
"""
FILL = """
INSERT INTO orders SELECT 1, 'ORD-' || i, 'New', 'new' FROM generate_series(%(first)s, %(end)s - 1) i;
INSERT INTO shipments (integration_id, order_id, carrier, tracking_number, tracking_key, state, created_at, due_at,
    forwarded_at, confirmed_at) SELECT 1, 'ORD-' || i, 'inpost', '62' || i, '62' || i, %(state)s, now(), now(),
    CASE WHEN %(state)s = 'forwarded' THEN now() END, CASE WHEN %(state)s = 'forwarded' THEN now() END
    FROM generate_series(%(first)s, %(end)s - 1) i;
"""
# Whoever locks the order's row first has the order. Its shipments are looked at again by the UPDATE: another run may
# have taken them, and ended its transaction, between this question and the lock.
CHOOSE = """
SELECT o.order_id FROM shipments s JOIN orders o USING (integration_id, order_id)
WHERE s.integration_id = 1 AND s.state = 'pending' AND s.due_at IS NOT NULL
    AND coalesce(s.next_attempt_at, s.due_at) <= now()
ORDER BY coalesce(s.next_attempt_at, s.due_at) LIMIT %s FOR UPDATE OF o SKIP LOCKED
"""
TAKE = """
UPDATE shipments s SET state = 'sending', run_id = %s, attempts = attempts + 1
WHERE integration_id = 1 AND order_id = ANY(%s) AND state = 'pending' AND due_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM shipments b WHERE b.integration_id = 1 AND b.order_id = s.order_id AND b.state = 'sending')
RETURNING id, order_id
"""
JOURNAL = """
INSERT INTO attempts (shipment_id, run_id, at, step, outcome, method, url, status, request, answer)
VALUES (%s, %s, now(), %s, %s, %s, %s, %s, %s, %s)
"""
SETTLE = """
UPDATE shipments SET state = 'forwarded', run_id = NULL, forwarded_at = coalesce(forwarded_at, now()),
    confirmed_at = coalesce(confirmed_at, now()), remote_id = 'a1b2c3' WHERE id = %s AND run_id = %s AND state = 'sending'
"""
SUCCESS = """
UPDATE integrations SET last_success_at = date_trunc('second', now())
WHERE id = 1 AND last_success_at IS DISTINCT FROM date_trunc('second', now())
"""
URL = "https://shop.example/wp-json/wc-ast/v3/orders/100001/shipment-trackings"
QUESTION = '{"tracking_provider":"InPost","tracking_number":"620000000000000000000001"}'


class Postgres:
    """The four methods that decide who sends what."""

    def __init__(self, place: str) -> None:
        import psycopg

        self.db = psycopg.connect(place, autocommit=True)

    def begin_run(self) -> int:
        run = self.db.execute(
            "INSERT INTO runs (command, started_at) VALUES ('forward', now()) RETURNING id"
        ).fetchone()
        self.db.execute("SELECT pg_advisory_lock(%s)", run)
        return int(run[0])

    def lives(self, run: int) -> bool:
        """Does a session hold this run's lock? It ends with its process, or its host's last word."""
        return not self.db.execute(
            "SELECT CASE WHEN pg_try_advisory_lock(%s) THEN pg_advisory_unlock(%s) ELSE false END", (run, run)
        ).fetchone()[0]

    def take_back(self) -> int:
        """Shipments of dead runs are pending again, in doubt where a write left."""
        held = self.db.execute("SELECT DISTINCT run_id FROM shipments WHERE state = 'sending'").fetchall()
        dead = [run for (run,) in held if not self.lives(run)]
        return self.db.execute(
            "UPDATE shipments s SET state = 'pending', run_id = NULL, in_doubt_since = (SELECT max(at) FROM attempts a"
            " WHERE a.shipment_id = s.id AND a.run_id = s.run_id AND a.outcome = 'left')"
            " WHERE state = 'sending' AND run_id = ANY(%s)",
            (dead,),
        ).rowcount

    def claim(self, run: int) -> list[Any]:
        with self.db.transaction():
            orders = [order for (order,) in self.db.execute(CHOOSE, (AT_ONCE,))]
            return self.db.execute(TAKE, (run, orders)).fetchall() if orders else []

    def leave(self, run: int, one: Any) -> None:
        with self.db.transaction():
            self._journal(run, one[0], [("look", "answered", 200, ""), ("forward", "left", None, "")])

    def settle(self, run: int, one: Any) -> bool:
        with self.db.transaction():
            held = self.db.execute(SETTLE, (one[0], run)).rowcount
            self._journal(run, one[0], [("forward", "answered", 201, ANSWER), ("forward", "accepted", None, "")])
            self.db.execute(SUCCESS)
        return bool(held)

    def _journal(self, run: int, one: int, lines: list[tuple[str, str, int | None, str]]) -> None:
        with self.db.pipeline():
            for step, outcome, status, answer in lines:
                self.db.execute(JOURNAL, (one, run, step, outcome, "POST", URL, status, QUESTION, answer))


class Sqlite:
    """The store as it is, asked the way the engine asks it."""

    def __init__(self, place: str) -> None:
        self.store = Store(Path(place), opened(Path(place)), lambda: datetime.now(UTC))
        (self.integration,) = self.store.integrations()
        self.waiting: list[Any] = []

    def begin_run(self) -> int:
        return self.store.begin_run("forward")

    def claim(self, run: int) -> list[Any]:
        return [one for group in self.store.claim(run, self.integration, AT_ONCE) for one in group]

    def leave(self, run: int, one: Any) -> None:
        left = Exchange(datetime.now(UTC), "POST", URL, QUESTION, None, "", True, "about to leave")
        look = Exchange(datetime.now(UTC), "GET", URL, "", 200, "", False)
        lines = [Attempt(one.id, "look", "answered", "", look), Attempt(one.id, "forward", "left", "", left)]
        self.store.leave(run, lines)

    def settle(self, run: int, one: Any) -> bool:
        answer = Exchange(datetime.now(UTC), "POST", URL, QUESTION, 201, ANSWER, True)
        lines = [Attempt(one.id, "forward", "answered", "", answer), Attempt(one.id, "forward", "accepted")]
        outcome = Settlement(one.id, "forwarded", confirmed=True, remote_id="a1b2c3")
        return bool(self.store.settle(run, self.integration.id, [outcome], lines, one.order_id))


def work(kind: type[Any], place: str, start: Any, done: Any) -> None:
    """One process: claim, settle, until nothing is due. Says what it settled and when it ended."""
    store = kind(place)
    run, settled = store.begin_run(), 0
    start.wait()
    while claimed := store.claim(run):
        for one in claimed:
            store.leave(run, one)
            settled += store.settle(run, one)
    done.put((settled, time.monotonic()))


def rate(kind: type[Any], place: str, workers: int) -> float:
    """Shipments a second, claimed and settled by so many processes."""
    context = multiprocessing.get_context("spawn")
    start, done = context.Barrier(workers + 1), context.Queue()
    running = [context.Process(target=work, args=(kind, place, start, done)) for _ in range(workers)]
    for one in running:
        one.start()
    start.wait()
    begun = time.monotonic()
    said = [done.get() for _ in running]
    for one in running:
        one.join()
    settled = sum(count for count, _ in said)
    assert settled == SHIPMENTS, f"{settled} of {SHIPMENTS} settled"
    return SHIPMENTS / (max(end for _, end in said) - begun)


@contextmanager
def cluster() -> Iterator[str]:
    """Debian's PostgreSQL as it comes, in a folder of its own; what to connect to."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name), default=None)
    if programs is None:
        raise FileNotFoundError("no /usr/lib/postgresql: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as folder:
        whose: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres")
            whose = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        data = f"{folder}/data"
        quiet = {"stdout": subprocess.DEVNULL, "check": True, "cwd": "/"}
        subprocess.run([*whose, programs / "initdb", "-A", "trust", "-U", "bench", "-D", data], **quiet)
        control = [*whose, programs / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        subprocess.run([*control, "-o", f"-c listen_addresses= -k {folder}", "start"], **quiet)
        try:
            yield f"host={folder} user=bench dbname=postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)


def killed(place: str) -> None:
    """A run that is killed holding shipments: living ones are left alone, its own are taken back and sent by others."""
    context = multiprocessing.get_context("spawn")
    start, done = context.Barrier(3), context.Queue()
    victim, other = (context.Process(target=work, args=(Postgres, place, start, done)) for _ in range(2))
    victim.start(), other.start()
    start.wait()
    time.sleep(0.5)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    watcher = Postgres(place)
    while (
        watcher.db.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").fetchone()[0]
        > 2
    ):
        time.sleep(0.01)  # its session ends when the server notices
    taken_back = watcher.take_back()
    other.join()
    run = watcher.begin_run()
    while claimed := watcher.claim(run):
        for one in claimed:
            watcher.settle(run, one)
    ask = "SELECT count(*) FILTER (WHERE state = 'forwarded'), count(*) FROM shipments"
    forwarded, whole = watcher.db.execute(ask).fetchone()
    ask = "SELECT count(*) FROM (SELECT FROM attempts WHERE outcome = 'accepted' GROUP BY shipment_id HAVING count(*) > 1) t"
    twice = watcher.db.execute(ask).fetchone()[0]
    if not taken_back or forwarded != whole or twice:
        raise SystemExit(f"{taken_back} taken back, {forwarded} of {whole} forwarded, {twice} twice")
    print(f"a run was killed: {taken_back} shipments of it taken back, all {whole:,} settled, none twice")
    watcher.db.close()


def main() -> list[dict[str, str]]:
    try:
        import psycopg
    except ImportError:
        print("NOT MEASURED: PostgreSQL's part needs psycopg: pip install 'psycopg[binary]'", file=sys.stderr)
        return []
    results: list[dict[str, str]] = []
    try:
        with cluster() as place, tempfile.TemporaryDirectory() as folder:
            path, end = Path(folder) / "sqlite.db", HISTORY

            def more(first: int, end: int, state: str) -> None:
                now = stamp(datetime.now(UTC))
                with psycopg.connect(place) as db:
                    for statement in FILL.strip().split(";\n"):
                        names = {"first": first, "end": end, "state": state}
                        db.execute(psycopg.ClientCursor(db).mogrify(statement, names))
                if state == "pending":
                    names = {"run": 1, "old": now, "created": now, "due": now, "forwarded": None, "state": state}
                    put(path, [names | {"first": first, "end": end}])

            with psycopg.connect(place) as db:
                db.execute(TABLES)
                version = db.execute("SHOW server_version").fetchone()[0]
            more(0, HISTORY, "forwarded")
            filled(path, HISTORY)
            with psycopg.connect(place, autocommit=True) as db:
                db.execute("ANALYZE")  # a server that runs for a while has done so by itself
            print(f"PostgreSQL {version}; shipments a second, claimed {AT_ONCE} orders at a time, two commits each")
            for workers in (1, 4, 16):
                rates: list[tuple[float, float]] = []
                for _ in range(TIMES):
                    more(end, end + SHIPMENTS, "pending")
                    end += SHIPMENTS
                    rates.append((rate(Postgres, place, workers), rate(Sqlite, str(path), workers)))
                theirs, ours = (statistics.median(one) for one in zip(*rates, strict=True))
                said = f"PostgreSQL {theirs:,.0f} a second, SQLite {ours:,.0f}"
                results.append(row(f"claim and settle, {workers} processes", said))
            more(end, end + SHIPMENTS, "pending")
            killed(place)
    except FileNotFoundError as error:
        print(f"NOT MEASURED: PostgreSQL's part: {error}", file=sys.stderr)
    return results


if __name__ == "__main__":
    finish(main())
