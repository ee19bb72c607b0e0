"""What is due, what never will be, what is blocked; and rows as the engine sees them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from shipfwd.carriers import name as carrier_name
from shipfwd.carriers import tracking_url
from shipfwd.models import Claimed, Integration, Item, Parcel, parse_stamp, stamp
from shipfwd.store.transactions import Connected

FAR = timedelta(hours=25)  # a next_attempt_at further ahead comes from a clock that jumped: it has come
GIVE_UP = timedelta(days=7)
STEP = 5000  # rows a transaction that marks many

READY = "(coalesce(next_attempt_at, due_at) <= :now OR coalesce(next_attempt_at, due_at) > :far)"
_MARK_DUE = """
UPDATE shipments SET due_at = :now WHERE id IN (
    SELECT id FROM shipments WHERE integration_id = :integration AND state = 'pending' AND due_at IS NULL
        AND {which} AND created_at >= :oldest {narrow} LIMIT :step)
"""
_EXPIRE = """
UPDATE shipments SET state = 'expired', next_attempt_at = NULL,
    reason = iif(:key <> '' AND status_key = :key, :late, :start || {tail})
WHERE id IN (SELECT id FROM shipments WHERE integration_id = :integration AND state = 'pending' AND due_at IS NULL
    AND created_at < :oldest {narrow} AND in_doubt_since IS NULL LIMIT :step)
RETURNING order_id
"""
# What waits for a parcel of its order before it is marked as sent is asked again when that parcel will not come.
ASK_AGAIN = """
UPDATE orders SET sent_state = 'wanted', sent_next_at = NULL
WHERE integration_id = ? AND order_id = ? AND sent_state IS NULL AND sent_reason <> ''
"""
_STATUS_NOW = """
(SELECT iif(o.status <> '', ' (it is in ''' || o.status || ''')', ' (it has no status)') FROM orders AS o
    WHERE o.integration_id = shipments.integration_id AND o.order_id = shipments.order_id)
"""


def _parcel(row: sqlite3.Row) -> Parcel:
    items = tuple(Item(i["item_id"], i["sku"], i["quantity"]) for i in json.loads(row["items"])) if row["items"] else ()
    return Parcel(
        row["id"],
        row["tracking_number"],
        row["carrier"],
        carrier_name(row["carrier"]),
        row["tracking_url"] or tracking_url(row["carrier"], row["tracking_number"]),
        parse_stamp(row["created_at"]),
        items,
        row["remote_id"],
        row["in_doubt_since"] is not None,
    )


def _moment(text: str | None) -> datetime | None:
    return parse_stamp(text) if text else None


def claimed(row: sqlite3.Row, before: str = "pending", by_hand: bool = False) -> Claimed:
    return Claimed(
        _parcel(row),
        row["order_id"],
        before,
        row["due_at"] is not None,
        _moment(row["in_doubt_since"]),
        row["attempts"],
        _moment(row["next_attempt_at"]),
        by_hand,
        row["kind"],
    )


class DueStore(Connected):
    def full_pass(self, integration: Integration, window: timedelta, slot: datetime | None = None) -> bool:
        """Mark what has become due and expire what never will, if nobody did so for this slot yet.

        slot   None: now, whatever happened before. False when another run was first.
        """
        now = self.clock()
        with self._write() as db:
            if slot is not None:
                won = db.execute(
                    "UPDATE integrations SET last_pass_at = :now WHERE id = :id"
                    " AND (last_pass_at IS NULL OR last_pass_at < :slot OR last_pass_at > :now)",
                    {"now": stamp(now), "id": integration.id, "slot": stamp(slot)},
                ).rowcount
                if not won:
                    return False
            else:
                db.execute("UPDATE integrations SET last_pass_at = ? WHERE id = ?", (stamp(now), integration.id))
            # With the slot in one transaction: a crash in between must not lose the slot's shipments.
            if integration.trigger_key and integration.enabled:
                self._mark_due(integration, window, whole=True)
        self.mark_created(integration, window)
        return True

    def mark_created(self, integration: Integration, window: timedelta, only_run: int | None = None) -> int:
        """Mark what is due because it exists; `only_run` narrows it to what that run added."""
        if integration.trigger_key or not integration.enabled:
            return 0
        return self._mark_due(integration, window, only_run)

    def _mark_due(
        self, integration: Integration, window: timedelta, only_run: int | None = None, whole: bool = False
    ) -> int:
        by_status = bool(integration.trigger_key)
        sql = _MARK_DUE.format(
            which="status_key = :key" if by_status else "1", narrow="AND added_run = :only" if only_run else ""
        )
        names = {
            "now": stamp(self.clock()),
            "integration": integration.id,
            "key": integration.trigger_key,
            "oldest": stamp(self.clock() - window),
            "only": only_run,
            "step": -1 if whole else STEP,
        }
        return self._stepwise(sql, names)

    def expire(self, integration: Integration, window: timedelta, only_run: int | None = None) -> int:
        """Shipments that never became due within the window; how many."""
        hours = f"{window.total_seconds() / 3600:g} hours"
        if not integration.enabled:
            start = f"forwarding was off for the {hours} after its creation"
        elif integration.trigger_key:
            start = f"its order did not reach '{integration.trigger_status}' within {hours}"
        else:
            start = f"it was older than {hours} when it came to be sent"
        names = {
            "start": start,
            "late": f"no sweep found it in '{integration.trigger_status}' within {hours} of its creation",
            "key": integration.trigger_key if integration.enabled else "",
            "integration": integration.id,
            "oldest": stamp(self.clock() - window),
            "only": only_run,
            "step": STEP,
        }
        sql = _EXPIRE.format(
            narrow="AND added_run = :only" if only_run else "",
            tail=_STATUS_NOW if integration.trigger_key and integration.enabled else "''",
        )
        done = 0
        while True:
            with self._write() as db:
                orders = [row["order_id"] for row in db.execute(sql, names).fetchall()]
                db.executemany(ASK_AGAIN, ((integration.id, order) for order in orders))
            done += len(orders)
            if len(orders) < STEP:
                return done

    def _stepwise(self, sql: str, names: dict[str, Any]) -> int:
        done = 0
        while True:
            with self._write() as db:
                count = db.execute(sql, names).rowcount
            done += count
            if names["step"] < 0 or count < names["step"]:
                return done

    def give_up(self, integration_id: int, wall: Callable[[datetime], str] = stamp) -> list[int]:
        """Fail what has been due for GIVE_UP without success and is not in doubt; their ids.

        wall   a time as people are shown it: reasons are read by people.
        """
        with self._write() as db:
            rows = db.execute(
                "SELECT id, due_at FROM shipments WHERE integration_id = ? AND state = 'pending'"
                " AND due_at IS NOT NULL AND due_at < ? AND in_doubt_since IS NULL",
                (integration_id, stamp(self.clock() - GIVE_UP)),
            ).fetchall()
            db.executemany(
                "UPDATE shipments SET state = 'failed', kind = 'GaveUp', next_attempt_at = NULL, told = '',"
                " reason = 'due since ' || ? || ' without success' || iif(reason <> '', ': ' || reason, '')"
                " WHERE id = ?",
                ((wall(parse_stamp(row["due_at"])), row["id"]) for row in rows),
            )
        return [row["id"] for row in rows]

    def blocked(self, integration_id: int, size: int = 500) -> Iterator[list[Claimed]]:
        """The blocked shipments, to be examined again; pages, oldest first."""
        after = 0
        while rows := self._read(
            "SELECT * FROM shipments WHERE integration_id = ? AND state = 'blocked' AND id > ? ORDER BY id LIMIT ?",
            (integration_id, after, size),
        ):
            after = rows[-1]["id"]
            yield [claimed(row, "blocked") for row in rows]

    def unblock(self, ids: Sequence[int]) -> None:
        with self._write() as db:
            db.executemany(
                "UPDATE shipments SET state = 'pending', reason = '', kind = '', next_attempt_at = NULL,"
                " due_at = coalesce(due_at, ?) WHERE id = ? AND state = 'blocked'",
                [(stamp(self.clock()), one) for one in ids],
            )
