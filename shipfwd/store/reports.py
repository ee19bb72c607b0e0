"""What people and scripts are shown: status rows with their derived states, stories, and what is about to be lost."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from shipfwd.files import lives, locks_folder
from shipfwd.models import Integration, parse_stamp, stamp
from shipfwd.store.due import STEP
from shipfwd.store.schema import explain
from shipfwd.store.transactions import Connected

STATUS_FIELDS = (
    "id", "integration", "platform", "order_id", "order_status", "carrier", "tracking_number", "state", "reason",
    "created_at", "due_at", "forwarded_at", "confirmed_at", "status_sent_at", "attempts", "next_attempt_at",
    "remote_id",
)  # fmt: skip
_STATUS = """
SELECT s.id, i.name AS integration, i.platform, s.order_id, o.status AS order_status, o.status_key, s.carrier,
    s.tracking_number, s.tracking_original, s.tracking_url, s.items, s.state, s.reason, s.kind, s.created_at, s.due_at,
    s.forwarded_at, s.confirmed_at, s.status_sent_at, s.attempts, s.next_attempt_at, s.in_doubt_since, s.remote_id,
    s.told, s.added_at, s.added_run, i.status_transfer, i.enabled, i."trigger",
    i.id AS integration_id, s.run_id, o.sent_state, o.sent_next_at
FROM shipments AS s JOIN integrations AS i ON i.id = s.integration_id
JOIN orders AS o ON o.integration_id = s.integration_id AND o.order_id = s.order_id
"""
# Which stored rows can show as a state. Each WHERE is a partial index's, so that a filter never reads history.
_FRESH, _DUE = "state = 'pending' AND due_at IS NULL", "state = 'pending' AND due_at IS NOT NULL"
_INDEXED = {
    "waiting": (_FRESH, _DUE),
    "pending": (_FRESH, _DUE),
    "retrying": (_DUE, "state = 'pending' AND in_doubt_since IS NOT NULL", "state = 'sending'"),
    "sending": ("state = 'sending'",),
    "failed": ("state = 'failed'",),
    "blocked": ("state = 'blocked'",),
}
# Grouped by all that `derive` looks at, so that a million rows are counted by the database.
_COUNTS = """
SELECT i.name, i.enabled, i."trigger", s.state, s.reason, s.status_key, '' AS order_status, s.confirmed_at,
    s.in_doubt_since, s.due_at, s.next_attempt_at, s.created_at, count(*) AS n
FROM shipments AS s JOIN integrations AS i ON i.id = s.integration_id
WHERE {where}
GROUP BY s.integration_id, s.state, s.status_key, s.due_at IS NULL, s.next_attempt_at IS NULL,
    s.in_doubt_since IS NULL, s.confirmed_at IS NULL, s.created_at < :oldest
"""
_HELD_BY = """
SELECT integration_id, count(*) AS n FROM shipments WHERE state = 'sending' AND run_id = :run GROUP BY integration_id
"""
_DUE_NOW = f"""
SELECT integration_id, count(*) AS n FROM shipments
WHERE {_DUE} AND coalesce(next_attempt_at, due_at) <= :now AND (:only IS NULL OR added_run = :only)
GROUP BY integration_id
"""
MOST_TOLD = 1000  # shipments that one run tells of
_COUNTED = ("sending", "failed", "blocked")


def derive(row: sqlite3.Row, oldest: str = "") -> tuple[str, str]:
    """The state and reason that a stored row shows as (DESIGN 3); `oldest`: when the window of today began."""
    state, reason = row["state"], row["reason"]
    if state == "forwarded" and not row["confirmed_at"] and not reason:
        return state, "accepted, not read back yet"
    if state != "pending":
        return state, reason
    if row["in_doubt_since"]:
        return "retrying", reason
    if not row["enabled"]:
        return "waiting", "forwarding is off for this integration"
    if row["due_at"]:
        return ("retrying", reason) if row["next_attempt_at"] else ("pending", reason)
    if row["created_at"] < oldest:
        return "waiting", "too old for a sweep; to send it all the same: shipfwd forward ID"
    wanted = row["trigger"].partition(":")[2].strip()
    if not wanted or row["status_key"] == " ".join(wanted.split()).casefold():
        return "pending", reason or ("the order is in '" + wanted + "'; sent at the next sweep" if wanted else "")
    now = f"it is in '{row['order_status']}'" if row["order_status"] else "it has no status yet"
    return "waiting", f"waits for its order to reach '{wanted}'; {now}"


def _in_states(states: Sequence[str]) -> str:
    """A condition that holds for all rows that can show as one of these states."""
    if all(state in _INDEXED for state in states):
        parts = dict.fromkeys(where for state in states for where in _INDEXED[state])
        return "s.id IN (" + " UNION ".join(f"SELECT id FROM shipments WHERE {where}" for where in parts) + ")"
    stored = dict.fromkeys("pending" if state in ("waiting", "retrying") else state for state in states)
    if "retrying" in states:
        stored["sending"] = None  # of a run that died
    return "s.state IN (" + ", ".join(f"'{state}'" for state in stored) + ")"


class ReportStore(Connected):
    def status(
        self,
        integrations: Sequence[int] = (),
        orders: Sequence[str] = (),
        states: Sequence[str] = (),
        since: datetime | None = None,
        limit: int | None = None,
        ids: Sequence[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Shipments, newest first, as `status` shows them. A generator: a million rows need no memory."""
        if ids is not None and not ids:
            return  # none of none; () elsewhere means that nothing narrows
        where, names = ["1"], {}
        every = list(integrations)
        if orders and not every:
            every = [row["id"] for row in self._read("SELECT id FROM integrations")]
        # The + keeps the planner from reading all of an integration where a state narrows it to a few.
        owner = "+s.integration_id" if states and not orders else "s.integration_id"
        for name, column, values in (("i", owner, every), ("o", "s.order_id", orders), ("d", "s.id", ids or ())):
            if values:
                marks = [f":{name}{n}" for n in range(len(values))]
                where.append(f"{column} IN ({', '.join(marks)})")
                names.update({f"{name}{n}": value for n, value in enumerate(values)})
        if states:
            where.append(_in_states(states))
        if since is not None:
            where.append("s.created_at >= :since")
            names["since"] = stamp(since)
        sql = f"{_STATUS} WHERE {' AND '.join(where)} ORDER BY s.id DESC"
        shown, oldest, folder = 0, self.oldest(), locks_folder(self.path)
        for row in self._pages(sql, names):
            state, reason = derive(row, oldest)
            if state == "waiting":
                reason = reason.replace("forward ID", f"forward {row['id']}")
            if state == "sending" and not lives(folder, row["run_id"]):
                state, reason = "retrying", "its run died; the next run asks the platform first"
            if states and state not in states:
                continue
            if limit is not None and shown >= limit:
                return
            shown += 1
            yield {**dict(row), "state": state, "reason": reason}

    def oldest(self) -> str:
        """When a shipment must have been created to become due now."""
        rows = self._read("SELECT value FROM config WHERE key = 'window_hours'")
        return stamp(self.clock() - timedelta(hours=float(rows[0]["value"] or 72 if rows else 72)))

    def due_ids(self, integration_id: int, limit: int = 100_000) -> list[int]:
        """What is due and not done at an integration."""
        where = "integration_id = ? AND state = 'pending' AND due_at IS NOT NULL"
        return [
            row["id"] for row in self._read(f"SELECT id FROM shipments WHERE {where} LIMIT ?", (integration_id, limit))
        ]

    def left(self, run_id: int, only_run: int | None = None, chosen: bool = False) -> dict[int, int]:
        """What a run still has to send, by integration: what it holds, and unless it was chosen, what is due now."""
        counts: dict[int, int] = {}
        for sql in (_HELD_BY, *(() if chosen else (_DUE_NOW,))):
            for row in self._read(sql, {"run": run_id, "only": only_run, "now": stamp(self.clock())}):
                counts[row["integration_id"]] = counts.get(row["integration_id"], 0) + row["n"]
        return counts

    def _pages(self, sql: str, names: dict[str, Any]) -> Iterator[sqlite3.Row]:
        """Rows of a query in pages, so that nobody waits for the lock while they are printed."""
        cursor: sqlite3.Cursor | None = None
        while True:
            with self._lock:
                try:
                    cursor = cursor or self._db.execute(sql, names)
                    rows = cursor.fetchmany(500)
                except sqlite3.Error as error:
                    raise explain(error, self.path) from error
            if not rows:
                return
            yield from rows

    def summary(self) -> dict[str, int]:
        """How many shipments are under way or in trouble, from the partial indexes; history is not counted."""
        counts = {
            state: self._read(f"SELECT count(*) FROM shipments WHERE state = '{state}'")[0][0]  # noqa: S608
            for state in _COUNTED
        }
        counts |= {"waiting": 0, "pending": 0, "retrying": 0}
        for where in (_FRESH, _DUE):
            sql = _COUNTS.format(where=f"s.id IN (SELECT id FROM shipments WHERE {where})")
            for row in self._read(sql, {"oldest": self.oldest()}):
                counts[derive(row, self.oldest())[0]] += row["n"]
        return counts

    def counts_by_state(self) -> list[tuple[str, str, int]]:
        """(integration, shown state, how many) over all shipments; reads the whole history."""
        found: dict[tuple[str, str], int] = {}
        for row in self._read(_COUNTS.format(where="1"), {"oldest": self.oldest()}):
            key = (row["name"], derive(row, self.oldest())[0])
            found[key] = found.get(key, 0) + row["n"]
        return [(name, state, count) for (name, state), count in sorted(found.items())]

    def run_counts(self, ids: Sequence[int]) -> dict[str, int]:
        """How the shipments of a run stand now, by shown state."""
        counts: dict[str, int] = {}
        for start in range(0, len(ids), 500):
            for row in self.status(ids=ids[start : start + 500]):
                counts[row["state"]] = counts.get(row["state"], 0) + 1
        return counts

    def added_by(self, run_id: int, after_id: int = 0) -> dict[str, int]:
        """How what a run added stands now, by shown state; counted by the database, since it may be a million."""
        counts: dict[str, int] = {}
        sql = _COUNTS.format(where="s.id > :after AND s.added_run = :run")
        for row in self._read(sql, {"run": run_id, "after": after_id, "oldest": self.oldest()}):
            state = derive(row, self.oldest())[0]
            counts[state] = counts.get(state, 0) + row["n"]
        return counts

    def story(self, shipment_id: int) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """One shipment and its journal, oldest line first; None when there is no such shipment."""
        for row in self.status(ids=[shipment_id]):
            lines = self._read("SELECT * FROM attempts WHERE shipment_id = ? ORDER BY id", (shipment_id,))
            return row, [dict(line) for line in lines]
        return None

    def shipments_of(self, orders: Sequence[str], integrations: Sequence[int]) -> list[int]:
        """Ids of all shipments of these orders, oldest first; of no order, none."""
        if not orders:
            return []
        return sorted(row["id"] for row in self.status(integrations=integrations, orders=orders))

    def failed_ids(self, integrations: Sequence[int] = (), kinds: Sequence[str] = ()) -> array[int]:
        """Failed shipments, oldest first. kinds: only those that failed by one of these error classes, folded."""
        rows = self.status(integrations=integrations, states=["failed"])
        found = array("q", (row["id"] for row in rows if not kinds or row["kind"].casefold() in kinds))
        found.reverse()  # they come newest first
        return found

    def owners(self, ids: Sequence[int]) -> dict[int, array[int]]:
        """Shipments by their integrations, in the order given; an unknown one is left out."""
        found: dict[int, array[int]] = {}
        for start in range(0, len(ids), STEP):
            rows = self._read(
                "SELECT s.integration_id, s.id FROM json_each(?) AS given JOIN shipments AS s ON s.id = given.value"
                " ORDER BY given.key",
                (json.dumps(list(ids[start : start + STEP])),),
            )
            for row in rows:
                found.setdefault(row["integration_id"], array("q")).append(row["id"])
        return found

    # ---- nothing is lost in silence ---------------------------------------------------------------------

    def newly_in_trouble(self) -> tuple[list[dict[str, Any]], Sequence[int]]:
        """Failed, blocked and expired shipments whose reason nobody was told yet: the newest, and the others' ids.

        Also those of a run that was killed before it could say so.
        """
        untold = "SELECT id FROM shipments WHERE state IN ('failed', 'blocked', 'expired') AND told = ''"
        ids = array("q", (row["id"] for row in self._pages(f"{untold} ORDER BY id DESC", {})))
        first = ids[:MOST_TOLD]
        rows = [row for start in range(0, len(first), 500) for row in self.status(ids=first[start : start + 500])]
        return rows, ids[MOST_TOLD:]

    def mark_troubled(self, rows: Sequence[dict[str, Any]], more: Sequence[int]) -> None:
        """They count as told, those whose reason is another by now do not."""
        mark = "UPDATE shipments SET told = state || '|' || reason WHERE id = ? AND told = '' AND state IN"
        mark += " ('failed', 'blocked', 'expired')"
        with self._write() as db:
            db.executemany(f"{mark} AND reason = ?", [(row["id"], row["reason"]) for row in rows])
        for start in range(0, len(more), STEP):  # nobody waits for a million
            with self._write() as db:
                db.executemany(mark, ((one,) for one in more[start : start + STEP]))

    def overdue(self, since: timedelta = timedelta(hours=6), limit: int = 1000) -> list[dict[str, Any]]:
        """Due for longer than `since` without success, not told yet."""
        late = stamp(self.clock() - since)
        rows = self._read(
            _STATUS + " WHERE s.state = 'pending' AND s.due_at IS NOT NULL AND s.due_at < ? AND i.enabled"
            " AND s.told <> 'overdue' LIMIT ?",
            (late, limit),
        )
        none = "no run has come to it"  # or each was ended first
        return [
            {**dict(row), "state": derive(row)[0], "reason": row["reason"] or none, "told": "overdue"} for row in rows
        ]

    def leaving_window(
        self, integration: Integration, next_slot: datetime, window: timedelta, told_too: bool = False
    ) -> list[dict[str, Any]]:
        """Waiting shipments that no later slot can reach, not told yet (or told too), the oldest first."""
        untold = "" if told_too else " AND s.told <> 'leaving'"
        rows = self._read(
            f"{_STATUS} WHERE s.integration_id = :i AND s.state = 'pending' AND s.due_at IS NULL"
            f" AND s.created_at < :oldest{untold} ORDER BY s.created_at LIMIT 1000",
            {"i": integration.id, "oldest": stamp(next_slot - window)},
        )
        found = []
        for row in rows:
            state, reason = derive(row)
            if state == "pending":
                reason = (
                    f"its order is in '{row['order_status']}'" if integration.trigger_key else "nobody sent it in time"
                )
            if state == "waiting" or integration.trigger_key or row["created_at"] < self.oldest():
                ends = parse_stamp(row["created_at"]) + window
                found.append({**dict(row), "state": "waiting", "reason": reason, "ends_at": ends, "told": "leaving"})
        return found

    def mark_told(self, rows: Sequence[dict[str, Any]]) -> None:
        with self._write() as db:
            db.executemany(
                "UPDATE shipments SET told = ? WHERE id = ?",
                [(row["told"], row["id"]) for row in rows],
            )

    def login_warned(self, integration_id: int, login_expires_at: str) -> bool:
        """Was the end of this login told before?"""
        told = "SELECT 1 FROM integrations WHERE id = ? AND login_warned = ?"
        return bool(self._read(told, (integration_id, login_expires_at)))

    def warned_of_login(self, integration_id: int, login_expires_at: str) -> None:
        with self._write() as db:
            db.execute("UPDATE integrations SET login_warned = ? WHERE id = ?", (login_expires_at, integration_id))

    def last_sweep(self) -> dict[str, Any] | None:
        rows = self._read("SELECT * FROM runs WHERE command LIKE 'sweep%' ORDER BY id DESC LIMIT 1")
        return dict(rows[0]) if rows else None
