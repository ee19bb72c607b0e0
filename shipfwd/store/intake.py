"""What comes in: shipments and order statuses from imports and `add`.

Rows are staged in a temporary table (on disk, so that memory stays flat), examined as a whole, and then
merged in the order of the unique key, in transactions of at most about 250 ms, so that a long import
neither holds up a sweep nor is half a row anywhere. Orders about which the rows say nothing new are left out
before that: most of a file that is imported again and again is known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from shipfwd.models import stamp
from shipfwd.store.transactions import Connected

CHUNK = 2000  # rows of a merge step; a transaction takes as many steps as fit in COMMIT_SECONDS
COMMIT_SECONDS = 0.2
LATELY = 5000  # shipments, of all integrations, whose carriers count as in use
FEW = 20_000  # orders with news: a table of them stays in SQLite's cache
MAX_ORDERS = 3  # orders that one number may serve in one file

# The columns of rows.Plain, then those that only a Row has; `incoming` fills in the numbers that are not given. Every
# value that Python hands over costs, and a NULL most.
_STAGE = """
CREATE TEMP TABLE staged (
    integration_id INTEGER, line INTEGER, order_id TEXT, tracking_key TEXT, carrier TEXT, status TEXT, status_key TEXT,
    created_at TEXT, tracking_number TEXT DEFAULT '', tracking_original TEXT DEFAULT '', tracking_url TEXT DEFAULT '',
    item_id TEXT DEFAULT '', sku TEXT DEFAULT '', quantity INTEGER DEFAULT 0
)
"""
_INCOMING = """
CREATE TEMP VIEW incoming AS
SELECT rowid AS place, integration_id, line, order_id, tracking_key, carrier, status, status_key, created_at,
    iif(tracking_number = '', tracking_key, tracking_number) AS tracking_number,
    iif(tracking_original = '', tracking_key, tracking_original) AS tracking_original,
    tracking_url, item_id, sku, quantity
FROM temp.staged
"""
_PUT_PLAIN = (
    "INSERT INTO temp.staged (integration_id, line, order_id, tracking_key, carrier, status, status_key, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = 14
_PUT = f"INSERT INTO temp.staged VALUES ({', '.join('?' * _COLUMNS)})"
# What can differ from what is known, in the tables' own order, so that both are read from beginning to end. A sort
# whose first column is text takes two thirds of the time of one that begins with the integration.
_COMPARED = """
CREATE TEMP TABLE compared AS
SELECT integration_id, order_id, tracking_key, carrier, status, tracking_url, item_id <> '' OR sku <> '' AS items
FROM temp.incoming ORDER BY order_id, integration_id, tracking_key
"""
# Orders with a row that could change something. All rows of such an order go on, since the last one of them wins.
_NEWS = """
CREATE TEMP TABLE news (integration_id INTEGER, order_id TEXT, PRIMARY KEY (integration_id, order_id)) WITHOUT ROWID
"""
_FIND_NEWS = """
INSERT OR IGNORE INTO temp.news SELECT n.integration_id, n.order_id FROM temp.compared AS n
LEFT JOIN orders AS o ON o.integration_id = n.integration_id AND o.order_id = n.order_id
LEFT JOIN shipments AS s ON s.integration_id = n.integration_id AND s.order_id = n.order_id
    AND s.tracking_key = n.tracking_key
WHERE o.order_id IS NULL OR n.status NOT IN ('', o.status) OR n.tracking_key <> '' AND (s.id IS NULL
    OR n.carrier NOT IN ('', s.carrier) OR n.tracking_url NOT IN ('', s.tracking_url) OR n.items)
"""
_IS_NEWS = "EXISTS (SELECT 1 FROM temp.news AS n WHERE n.integration_id = r.integration_id AND n.order_id = r.order_id)"
# Sorted, so that all that follows goes through it, and through the tables, from beginning to end.
_SORTED = """
CREATE TEMP TABLE sorted (
    integration_id INTEGER, order_id TEXT, tracking_key TEXT, place INTEGER, line INTEGER, tracking_number TEXT,
    tracking_original TEXT, carrier TEXT, status TEXT, status_key TEXT, created_at TEXT, tracking_url TEXT,
    item_id TEXT, sku TEXT, quantity INTEGER, PRIMARY KEY (integration_id, order_id, tracking_key, place)
) WITHOUT ROWID
"""
_SORT = """
INSERT INTO temp.sorted
SELECT integration_id, order_id, tracking_key, place, line, tracking_number, tracking_original, carrier, status,
    status_key, created_at, tracking_url, item_id, sku, quantity
FROM temp.incoming AS r WHERE {which} ORDER BY integration_id, order_id, tracking_key, place
"""
# SQLite takes the other columns from the row that has the max(): the last row of a shipment wins.
_SHIPMENTS = f"""
CREATE TEMP TABLE merged AS
SELECT max(place) AS place, count(*) AS rows, line, integration_id, order_id, tracking_key, tracking_number,
    tracking_original, carrier, created_at, tracking_url, '' AS items
FROM temp.sorted AS r WHERE tracking_key <> '' AND {_IS_NEWS} GROUP BY integration_id, order_id, tracking_key
"""
# Few numbers can stand on several orders: to tell all rows apart only to find none took a fifth of an import's time.
_REPEATED = """
INSERT INTO temp.repeated
SELECT tracking_key, max(tracking_number), count(*) AS n FROM (
    SELECT DISTINCT tracking_key, integration_id, order_id, tracking_number FROM temp.incoming
    WHERE tracking_key IN (SELECT tracking_key FROM temp.incoming WHERE tracking_key <> ''
        GROUP BY tracking_key HAVING count(*) > 1)
) GROUP BY tracking_key HAVING n > 1
"""
# Of a shipment's rows the last may leave a cell empty that another one filled.
_OTHER_ROWS = """
r.integration_id = m.integration_id AND r.order_id = m.order_id AND r.tracking_key = m.tracking_key
"""
_KEEP = f"""
UPDATE temp.merged AS m SET {{column}} = coalesce((SELECT {{column}} FROM temp.sorted AS r
    WHERE {_OTHER_ROWS} AND {{column}} <> '' ORDER BY place DESC LIMIT 1), '')
WHERE rows > 1 AND {{column}} = ''
"""
_TWO_CARRIERS = f"""
SELECT m.order_id, m.tracking_number, group_concat(DISTINCT r.carrier) AS named
FROM temp.merged AS m CROSS JOIN temp.sorted AS r ON {_OTHER_ROWS}
WHERE m.rows > 1 AND r.carrier <> '' GROUP BY m.rowid HAVING min(r.carrier) <> max(r.carrier) LIMIT 20
"""
_WITHOUT_CARRIER = """
SELECT n.place, n.integration_id, n.tracking_number FROM temp.incoming AS n
WHERE n.place > :after AND n.carrier = '' AND n.tracking_key <> '' AND NOT EXISTS (SELECT 1 FROM shipments AS s
    WHERE s.integration_id = n.integration_id AND s.order_id = n.order_id AND s.tracking_key = n.tracking_key)
ORDER BY n.place LIMIT :n
"""
_STATUSES = f"""
CREATE TEMP TABLE statuses AS
SELECT max(place) AS place, integration_id, order_id, status, status_key
FROM temp.sorted AS r WHERE status <> '' AND {_IS_NEWS} GROUP BY integration_id, order_id
"""
_ALL = """
SELECT count(*) FROM (
    SELECT DISTINCT order_id, integration_id, tracking_key FROM temp.compared WHERE tracking_key <> ''
)
"""
_PUT_STATUS = """
INSERT INTO orders (integration_id, order_id, status, status_key, status_at, created_at)
SELECT integration_id, order_id, status, status_key, :now, :now FROM temp.statuses
WHERE rowid > :after AND rowid <= :upto
ON CONFLICT (integration_id, order_id) DO UPDATE
SET status = excluded.status, status_key = excluded.status_key, status_at = excluded.status_at
WHERE status <> excluded.status
"""
_SPREAD_STATUS = """
UPDATE shipments SET status_key = new.status_key FROM temp.statuses AS new
WHERE new.rowid > :after AND new.rowid <= :upto
    AND shipments.integration_id = new.integration_id AND shipments.order_id = new.order_id
    AND shipments.status_key <> new.status_key
"""
_PUT_ORDERS = """
INSERT INTO orders (integration_id, order_id, created_at)
SELECT integration_id, order_id, :now FROM temp.merged WHERE rowid > :after AND rowid <= :upto
ON CONFLICT (integration_id, order_id) DO NOTHING
"""
_PUT_SHIPMENTS = """
INSERT INTO shipments (integration_id, order_id, carrier, tracking_number, tracking_original, tracking_key,
    tracking_url, items, status_key, created_at, added_at, added_run)
SELECT m.integration_id, m.order_id, m.carrier, m.tracking_number, m.tracking_original, m.tracking_key,
    m.tracking_url, m.items, o.status_key, iif(m.created_at <> '', m.created_at, :now), :now, :run
FROM temp.merged AS m JOIN orders AS o ON o.integration_id = m.integration_id AND o.order_id = m.order_id
WHERE m.rowid > :after AND m.rowid <= :upto
ON CONFLICT (integration_id, order_id, tracking_key) DO UPDATE
SET carrier = iif(excluded.carrier <> '', excluded.carrier, carrier),
    tracking_url = iif(excluded.tracking_url <> '', excluded.tracking_url, tracking_url),
    items = iif(excluded.items <> '', excluded.items, items)
WHERE state NOT IN ('forwarded', 'sending') AND (
    excluded.carrier NOT IN ('', carrier) OR excluded.tracking_url NOT IN ('', tracking_url)
    OR excluded.items NOT IN ('', items))
"""
_TOO_LATE = """
SELECT s.id, s.order_id, s.tracking_number, s.carrier, m.carrier AS new_carrier, m.line
FROM temp.merged AS m CROSS JOIN shipments AS s ON s.integration_id = m.integration_id
    AND s.order_id = m.order_id AND s.tracking_key = m.tracking_key
WHERE s.state IN ('forwarded', 'sending')
    AND (m.carrier NOT IN ('', s.carrier) OR m.items NOT IN ('', s.items)) LIMIT 20
"""
_UNDATED = """
SELECT count(*) FROM temp.merged AS m CROSS JOIN shipments AS s ON s.integration_id = m.integration_id
    AND s.order_id = m.order_id AND s.tracking_key = m.tracking_key
WHERE m.created_at = '' AND s.id > ?
"""


@dataclass(frozen=True)
class Arrived:
    """What an intake did.

    added      shipments that are new.   known   shipments that were there already.
    undated    new ones without a ship date: time of import.
    too_late   sentences about forwarded shipments whose carrier or items would have changed.
    """

    added: int
    known: int
    undated: int
    too_late: list[str] = field(default_factory=list)


class Intake:
    """One import or `add`: put rows, look at them as a whole, merge them. Use it inside `store.intake()`."""

    def __init__(self, store: IntakeStore, run_id: int) -> None:
        self._store, self._run, self._db = store, run_id, store._db
        for table in ("staged", "repeated", "compared", "news", "sorted", "merged", "statuses"):
            self._db.execute(f"DROP TABLE IF EXISTS temp.{table}")  # noqa: S608
        self._db.execute("DROP VIEW IF EXISTS temp.incoming")
        self._db.execute(_STAGE)
        self._db.execute(_INCOMING)
        self._db.execute("CREATE TEMP TABLE repeated (tracking_key TEXT, tracking_number TEXT, n INTEGER)")

    def put(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Stage rows: rows.Row and rows.Plain."""
        with self._store._stage() as db:
            for columns, some in groupby(rows, len):
                if columns < _COLUMNS:
                    db.executemany(_PUT_PLAIN, some)
                else:
                    db.executemany(_PUT, (row[:_COLUMNS] for row in some))

    def overused(self) -> list[tuple[str, int]]:
        """Numbers that serve more than MAX_ORDERS orders in what was put, with how many; the worst five."""
        with self._store._stage() as db:
            db.execute(_REPEATED)
        rows = self._store._read(
            "SELECT tracking_number, n FROM temp.repeated WHERE n > ? ORDER BY n DESC LIMIT 5", (MAX_ORDERS,)
        )
        return [(row["tracking_number"], row["n"]) for row in rows]

    def foresee(self) -> tuple[int, int]:
        """How many shipments would be new and how many are known, without storing anything."""
        total, known = self._store._read(
            "SELECT count(*), count(s.id) FROM (SELECT DISTINCT integration_id, order_id, tracking_key"
            " FROM temp.incoming WHERE tracking_key <> '') AS m LEFT JOIN shipments AS s USING"
            " (integration_id, order_id, tracking_key)"
        )[0]
        return total - known, known

    def foresee_first(self, limit: int) -> list[dict[str, Any]]:
        """The first rows as they were put, each with the shipment that is there already (`id`, `state`), if any."""
        rows = self._store._read(
            "SELECT n.line, n.integration_id, n.order_id, n.carrier, n.tracking_number, n.status, n.status_key,"
            " n.created_at, s.id, s.state, o.status_key AS known_status"
            " FROM (SELECT * FROM temp.incoming ORDER BY place LIMIT ?) AS n"
            " LEFT JOIN shipments AS s ON s.integration_id = n.integration_id AND s.order_id = n.order_id"
            " AND s.tracking_key = n.tracking_key"
            " LEFT JOIN orders AS o ON o.integration_id = n.integration_id AND o.order_id = n.order_id",
            (limit,),
        )
        return [dict(row) for row in rows]

    def fill_carriers(self, guess: Callable[[str, frozenset[str]], str]) -> dict[str, int]:
        """Give rows without a carrier the one that `guess` is sure of; how many of each. Never overrides one.

        guess   (number, the carriers that this integration used lately) → its carrier, or "".
        """
        used: dict[int, frozenset[str]] = {}
        counts: dict[str, int] = {}
        after = 0
        while missing := self._store._read(_WITHOUT_CARRIER, {"after": after, "n": CHUNK}):
            after = missing[-1]["place"]
            filled = []
            for row in missing:
                one = row["integration_id"]
                if one not in used:
                    used[one] = self._used_lately(one)
                if used[one] and (carrier := guess(row["tracking_number"], used[one])):
                    filled.append((carrier, row["place"]))
                    counts[carrier] = counts.get(carrier, 0) + 1
            with self._store._stage() as db:
                db.executemany("UPDATE temp.staged SET carrier = ? WHERE rowid = ?", filled)
        return counts

    def _used_lately(self, integration_id: int) -> frozenset[str]:
        """Carriers of its newest shipments and of these rows."""
        names = {"i": integration_id, "n": LATELY}
        rows = self._store._read(
            "SELECT DISTINCT carrier FROM (SELECT carrier, integration_id FROM shipments ORDER BY id DESC LIMIT :n)"
            " WHERE integration_id = :i AND carrier <> ''"
            " UNION SELECT DISTINCT carrier FROM temp.incoming WHERE integration_id = :i AND carrier <> ''",
            names,
        )
        return frozenset(row["carrier"] for row in rows)

    def group(self) -> list[str]:
        """Make shipments of rows: the last row that says something wins, items of one shipment come together.

        Returns what rows of one shipment contradict each other in.
        """
        said: list[str] = []
        with self._store._stage() as db:
            for statement in (_COMPARED, _NEWS, _FIND_NEWS, _SORTED):
                db.execute(statement)
            # Few are picked before the sort; to look up many there, in no order, would cost more than to sort all.
            if news := db.execute("SELECT count(*) FROM temp.news").fetchone()[0]:
                db.execute(_SORT.format(which=_IS_NEWS if news <= FEW else "TRUE"))
            db.execute(_SHIPMENTS)
            db.execute(_STATUSES)
            if db.execute("SELECT 1 FROM temp.merged WHERE rows > 1 LIMIT 1").fetchone():
                for column in ("carrier", "tracking_url", "created_at"):
                    db.execute(_KEEP.format(column=column))
                said = [
                    f"order {row['order_id']}, {row['tracking_number']}: its rows name different carriers"
                    f" ({row['named']}); the last one counts"
                    for row in db.execute(_TWO_CARRIERS)
                ]
            with_items = db.execute(
                "SELECT integration_id, order_id, tracking_key, item_id, sku, quantity FROM temp.sorted"
                " WHERE tracking_key <> '' AND (item_id <> '' OR sku <> '')"
                " ORDER BY integration_id, order_id, tracking_key, place"
            )
            if first := with_items.fetchone():
                db.execute("CREATE INDEX temp.merged_key ON merged (integration_id, order_id, tracking_key)")
                db.executemany(
                    "UPDATE temp.merged SET items = ? WHERE integration_id = ? AND order_id = ? AND tracking_key = ?",
                    _items([first, *with_items.fetchall()]),
                )
        return said

    def merge(self, told: Callable[[float], None] = lambda share: None) -> Arrived:
        """Bring it all in. Durable when it returns; run again after a crash it ends the same.

        told   called after each commit with the share that is stored, of 1.
        """
        store, now = self._store, stamp(self._store.clock())
        names = {"now": now, "run": self._run}
        before = store._read("SELECT coalesce(max(id), 0) FROM shipments")[0][0]
        too_late = [
            f"line {row['line']}: shipment {row['id']} (order {row['order_id']}, {row['tracking_number']}) is"
            " forwarded; its carrier and items stay as they were sent"
            for row in store._read(_TOO_LATE)
        ]
        tables = {"statuses": (_PUT_STATUS, _SPREAD_STATUS), "merged": (_PUT_ORDERS, _PUT_SHIPMENTS)}
        ends = {
            table: store._read(f"SELECT coalesce(max(rowid), 0) FROM temp.{table}")[0][0]  # noqa: S608
            for table in tables
        }
        stored, shipments = 0, ends["merged"]
        for table, statements in tables.items():
            for after in self._in_steps(ends[table], statements, names):
                told((stored + after) / sum(ends.values()))
            stored += ends[table]
        added = store._read("SELECT count(*) FROM shipments WHERE id > ? AND added_run = ?", (before, self._run))[0][0]
        undated = store._read("SELECT count(*) FROM temp.merged WHERE created_at = ''")[0][0]
        if undated and added < shipments:  # some may be of those that were known
            undated = store._read(_UNDATED, (before,))[0][0]
        return Arrived(added, store._read(_ALL)[0][0] - added, undated, too_late)

    def _in_steps(self, last: int, statements: tuple[str, ...], names: dict[str, Any]) -> Iterator[int]:
        """Run the statements on rows 1 to `last`, committing now and then; how far that is."""
        after = 0
        while after < last:
            end = time.monotonic() + COMMIT_SECONDS
            with self._store._write() as db:
                while True:
                    step = {**names, "after": after, "upto": after + CHUNK}
                    for statement in statements:
                        db.execute(statement, step)
                    after += CHUNK
                    if after >= last or time.monotonic() >= end:
                        break
            yield min(after, last)


def _items(rows: Iterable[Any]) -> Iterator[tuple[str, int, str, str]]:
    """Items of each shipment as JSON; the same item twice is replaced, never added up."""
    for key, lines in groupby(rows, key=lambda row: (row[0], row[1], row[2])):
        items = {
            (row["item_id"], row["sku"]): {
                "item_id": row["item_id"],
                "sku": row["sku"],
                "quantity": row["quantity"] or None,
            }
            for row in lines
        }
        yield json.dumps(list(items.values()), ensure_ascii=False), *key


class IntakeStore(Connected):
    def intake(self, run_id: int) -> Intake:
        return Intake(self, run_id)
