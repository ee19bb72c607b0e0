"""What a dry run would take: the orders noted on disk, their parcels read a few at a time. Nobody waits for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from shipfwd.models import Claimed, Integration, stamp
from shipfwd.store.due import FAR, GIVE_UP, READY, claimed
from shipfwd.store.queue import HELD, QueueStore

_TABLE = """
CREATE TEMP TABLE IF NOT EXISTS foreseen (
    place INTEGER PRIMARY KEY, integration_id INTEGER, order_id TEXT, UNIQUE (integration_id, order_id)
)
"""
_START = "SELECT integration_id, order_id FROM shipments WHERE integration_id = :integration AND state = 'pending'"
_DOUBTFUL = """
in_doubt_since IS NOT NULL AND (next_attempt_at IS NULL OR next_attempt_at <= :now OR next_attempt_at > :far)
"""
# The longest due first, as `claim` takes them; then what this run would mark as due.
_DOUBT = f"{_START} AND {_DOUBTFUL} ORDER BY next_attempt_at"
# What has been due for GIVE_UP is sent by no run.
_DUE = f"{_START} AND due_at IS NOT NULL AND due_at >= :week AND {READY} ORDER BY coalesce(next_attempt_at, due_at)"
_FRESH = f"{_START} AND due_at IS NULL AND created_at >= :oldest ORDER BY created_at"
_REACHED = f"{_START} AND due_at IS NULL AND status_key = :key AND created_at >= :oldest ORDER BY created_at"
_PARCELS = f"""
SELECT * FROM (SELECT *, :live AND (due_at >= :week
        OR due_at IS NULL AND :fresh AND created_at >= :oldest AND (:key = '' OR status_key = :key)) AS is_due
    FROM shipments WHERE integration_id = :integration AND order_id = :order AND state = 'pending')
WHERE {_DOUBTFUL} OR is_due AND (due_at IS NULL OR {READY}) ORDER BY created_at, id
"""


class Foresight:
    """One integration's share of a dry run, as it stood when this was made.

    full   what waits for a status is due too, as at a sweep time.
    """

    def __init__(self, store: QueueStore, integration: Integration, window: timedelta, full: bool) -> None:
        now, live = store.clock(), integration.enabled
        fresh = live and (full or not integration.trigger_key)
        self._store = store
        self._names: dict[str, Any] = {
            "integration": integration.id, "key": integration.trigger_key, "now": stamp(now), "far": stamp(now + FAR),
            "oldest": stamp(now - window), "week": stamp(now - GIVE_UP), "live": live, "fresh": fresh,
        }  # fmt: skip
        reached = _REACHED if integration.trigger_key else _FRESH
        with store._stage() as db:
            db.execute(_TABLE)
            db.execute("DELETE FROM temp.foreseen WHERE integration_id = :integration", self._names)
            self._place = db.execute("SELECT coalesce(max(place), 0) FROM temp.foreseen").fetchone()[0]
            for query in (_DOUBT, *([_DUE] if live else ()), *([reached] if fresh else ())):
                fill = f"INSERT OR IGNORE INTO temp.foreseen (integration_id, order_id) {query}"  # noqa: S608
                db.execute(fill, self._names)

    @property
    def any(self) -> bool:
        """Is there an order to look at?"""
        there = "SELECT 1 FROM temp.foreseen WHERE integration_id = ? LIMIT 1"
        return bool(self._store._read(there, (self._names["integration"],)))

    def next(self, orders: int) -> list[list[Claimed]]:
        """The parcels of the next orders, as `claim` would take them; none: that was all."""
        names, groups = self._names, list[list[Claimed]]()
        # The + keeps SQLite to the order of the table: by the other index it would sort all that is left for each page.
        page = (
            "SELECT place, order_id FROM temp.foreseen WHERE +integration_id = ? AND place > ? ORDER BY place LIMIT ?"
        )
        while not groups and (rows := self._store._read(page, (names["integration"], self._place, orders))):
            self._place = rows[-1]["place"]
            for row in rows:
                order = {**names, "order": row["order_id"]}
                if not self._store._read(HELD, order):
                    parcels = self._store._read(_PARCELS, order)
                    groups.append([replace(claimed(one), due=bool(one["is_due"])) for one in parcels])
        return [group for group in groups if group]


class ForesightStore(QueueStore):
    def foresight(self, integration: Integration, window: timedelta, full: bool) -> Foresight:
        return Foresight(self, integration, window, full)
