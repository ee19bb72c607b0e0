"""The engine's side of the store: what is due, who holds it, what became of it.

A run claims shipments in one transaction before any request leaves, and settles each outcome together with
its journal. Dead runs are told from living ones by `runs.py`'s kernel locks, never by time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from shipfwd.carriers import name as carrier_name
from shipfwd.carriers import tracking_url
from shipfwd.models import Attempt, Claimed, Integration, Item, Parcel, Settlement, parse_stamp, stamp, tracking_key
from shipfwd.store.transactions import Connected

FAR = timedelta(hours=25)  # a next_attempt_at further ahead comes from a clock that jumped: it has come
GIVE_UP = timedelta(days=7)
STEP = 5000  # rows a transaction that marks many

_READY = "(coalesce(next_attempt_at, due_at) <= :now OR coalesce(next_attempt_at, due_at) > :far)"
_DUE = """
SELECT order_id FROM shipments
WHERE integration_id = :integration AND state = 'pending' AND due_at IS NOT NULL
    AND coalesce(next_attempt_at, due_at) {when} AND (:only IS NULL OR added_run = :only)
ORDER BY coalesce(next_attempt_at, due_at)
"""
_DOUBT = """
SELECT order_id FROM shipments
WHERE integration_id = :integration AND state = 'pending' AND in_doubt_since IS NOT NULL
    AND (next_attempt_at IS NULL OR next_attempt_at <= :now OR next_attempt_at > :far)
ORDER BY next_attempt_at
"""
_BUSY = "SELECT 1 FROM shipments WHERE integration_id = ? AND order_id = ? AND state = 'sending' LIMIT 1"
# A parcel whose write may still arrive holds back the others of its order: where numbers share a field, or only one
# fits, what is written meanwhile would be lost.
_HELD = """
SELECT 1 FROM shipments WHERE integration_id = :integration AND order_id = :order AND (state = 'sending' OR
    (state = 'pending' AND in_doubt_since IS NOT NULL AND next_attempt_at > :now AND next_attempt_at <= :far)) LIMIT 1
"""
_TAKE = f"""
UPDATE shipments SET state = 'sending', run_id = :run, attempts = attempts + 1
WHERE integration_id = :integration AND order_id = :order AND state = 'pending' AND (
    (in_doubt_since IS NOT NULL AND (next_attempt_at IS NULL OR next_attempt_at <= :now OR next_attempt_at > :far))
    OR (:live AND due_at IS NOT NULL AND {_READY} AND (:only IS NULL OR added_run = :only)))
RETURNING *
"""
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
"""
_STATUS_NOW = """
(SELECT iif(o.status <> '', ' (it is in ''' || o.status || ''')', ' (it has no status)') FROM orders AS o
    WHERE o.integration_id = shipments.integration_id AND o.order_id = shipments.order_id)
"""
_SETTLE = """
UPDATE shipments SET state = :state, reason = :reason, kind = :kind, next_attempt_at = :next_attempt_at,
    in_doubt_since = :in_doubt_since, run_id = NULL,
    told = iif(:state IN ('failed', 'blocked') AND told <> :state || '|' || :reason, '', told),
    forwarded_at = iif(:state = 'forwarded', coalesce(forwarded_at, :now), forwarded_at),
    confirmed_at = iif(:confirmed, coalesce(confirmed_at, :now), confirmed_at),
    status_sent_at = iif(:status_sent, coalesce(status_sent_at, forwarded_at, :now), status_sent_at),
    remote_id = iif(:remote_id <> '', :remote_id, remote_id)
WHERE id = :id AND run_id = :run AND state = 'sending'
"""
_JOURNAL = """
INSERT INTO attempts (shipment_id, run_id, at, step, outcome, detail, method, url, status, request, answer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_WANT_SENT = """
UPDATE orders SET sent_state = 'wanted', sent_tries = 0, sent_next_at = NULL, sent_reason = ''
WHERE integration_id = ? AND order_id = ? AND EXISTS (SELECT 1 FROM shipments AS s
    WHERE s.integration_id = orders.integration_id AND s.order_id = orders.order_id
        AND s.state = 'forwarded' AND s.status_sent_at IS NULL)
"""
# An order may be marked as sent once no parcel of it is still on its way or in trouble. One that is blocked
# because the platform shows a single number will never be on its way.
_HOLDS_BACK = """
SELECT 1 FROM shipments AS s WHERE s.integration_id = o.integration_id AND s.order_id = o.order_id
    AND (s.state IN ('pending', 'sending', 'failed') OR (s.state = 'blocked' AND s.kind <> 'OneNumber'))
"""
_WANTED = f"""
SELECT o.order_id, o.sent_tries FROM orders AS o INDEXED BY orders_wanted
WHERE o.integration_id = :integration AND o.sent_state = 'wanted'
    AND (o.sent_next_at IS NULL OR o.sent_next_at <= :now OR o.sent_next_at > :far)
    AND NOT EXISTS ({_HOLDS_BACK}) LIMIT :n
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


def _claimed(row: sqlite3.Row, before: str = "pending", by_hand: bool = False) -> Claimed:
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


class QueueStore(Connected):
    # ---- runs -------------------------------------------------------------------------------------------

    def begin_run(self, command: str) -> int:
        with self._write() as db:
            cursor = db.execute(
                "INSERT INTO runs (command, started_at, pid) VALUES (?, ?, ?)",
                (command, stamp(self.clock()), os.getpid()),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def end_run(self, run_id: int, exit_code: int, counts: dict[str, Any]) -> None:
        with self._write() as db:
            db.execute(
                "UPDATE runs SET ended_at = ?, exit_code = ?, counts = ? WHERE id = ?",
                (stamp(self.clock()), exit_code, json.dumps(counts), run_id),
            )

    def holding_runs(self) -> list[int]:
        """Runs that hold shipments now; the caller knows which of them live."""
        rows = self._read("SELECT DISTINCT run_id FROM shipments WHERE state = 'sending'")
        return [row["run_id"] for row in rows]

    def take_back(self, run_id: int) -> int:
        """Shipments of a dead run are pending again; in doubt where its journal says that a write may have left."""
        with self._write() as db:
            rows = db.execute(
                "SELECT s.id, (SELECT a.at FROM attempts AS a WHERE a.shipment_id = s.id AND a.run_id = s.run_id"
                "  AND a.outcome = 'left' ORDER BY a.id DESC LIMIT 1) AS left_at"
                " FROM shipments AS s WHERE s.run_id = ? AND s.state = 'sending'",
                (run_id,),
            ).fetchall()
            corrects = db.execute("SELECT 1 FROM runs WHERE id = ? AND command = 'correct'", (run_id,)).fetchone()
            for row in rows:
                if corrects:  # it was forwarded; sending its number again could bring back the one that was replaced
                    db.execute(
                        "UPDATE shipments SET state = 'forwarded', run_id = NULL, reason = ? WHERE id = ?",
                        ("a correction broke off; run it again, or look there with: shipfwd verify", row["id"]),
                    )
                    continue
                db.execute(
                    "UPDATE shipments SET state = 'pending', run_id = NULL, next_attempt_at = NULL,"
                    # The journal keeps whole seconds: it left up to one later.
                    " in_doubt_since = coalesce(strftime('%Y-%m-%dT%H:%M:%SZ', ?1, '+1 second'), in_doubt_since),"
                    # What never left was no attempt.
                    " attempts = attempts - iif(?1 IS NULL, 1, 0), reason = ?2 WHERE id = ?3",
                    (
                        row["left_at"],
                        "a run ended while sending; the platform is asked first" if row["left_at"] else "",
                        row["id"],
                    ),
                )
                self._journal(
                    db,
                    run_id,
                    [Attempt(row["id"], "forward", "taken back", "its run ended without settling it")],
                )
        return len(rows)

    # ---- due and expired --------------------------------------------------------------------------------

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
            "late": f"its order reached '{integration.trigger_status}' later than {hours} after its creation",
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
        return self._stepwise(sql, names)

    def _stepwise(self, sql: str, names: dict[str, Any]) -> int:
        done = 0
        while True:
            with self._write() as db:
                count = db.execute(sql, names).rowcount
            done += count
            if names["step"] < 0 or count < names["step"]:
                return done

    def give_up(self, integration_id: int) -> list[int]:
        """Fail what has been due for GIVE_UP without success and is not in doubt; their ids."""
        with self._write() as db:
            rows = db.execute(
                "UPDATE shipments SET state = 'failed', kind = 'GaveUp', next_attempt_at = NULL, told = '',"
                " reason = 'due since ' || due_at || ' without success' || iif(reason <> '', ': ' || reason, '')"
                " WHERE integration_id = ? AND state = 'pending' AND due_at IS NOT NULL AND due_at < ?"
                " AND in_doubt_since IS NULL RETURNING id",
                (integration_id, stamp(self.clock() - GIVE_UP)),
            ).fetchall()
        return [row["id"] for row in rows]

    def has_work(self, integration: Integration) -> bool:
        """Is there anything that a run would touch? Answered from the partial indexes alone."""
        now = self.clock()
        names = {"i": integration.id, "now": stamp(now), "far": stamp(now + FAR)}
        pending = "SELECT 1 FROM shipments WHERE integration_id = :i AND state = 'pending'"
        due = f"{pending} AND due_at IS NOT NULL AND {_READY}"
        doubt = f"{pending} AND in_doubt_since IS NOT NULL"
        doubt += " AND (next_attempt_at IS NULL OR next_attempt_at <= :now OR next_attempt_at > :far)"
        live = (
            due,
            "SELECT 1 FROM shipments WHERE integration_id = :i AND state = 'blocked'",
        )
        always = (
            doubt,
            "SELECT 1 FROM shipments WHERE integration_id = :i AND state = 'forwarded' AND confirmed_at IS NULL",
        )
        queries = always + (live if integration.enabled else ())
        if any(self._read(f"{query} LIMIT 1", names) for query in queries):
            return True
        return integration.enabled and bool(self.wanted_sent(integration, 1))

    def blocked(self, integration_id: int) -> list[Claimed]:
        """The blocked shipments, to be examined again."""
        rows = self._read("SELECT * FROM shipments WHERE integration_id = ? AND state = 'blocked'", (integration_id,))
        return [_claimed(row, "blocked") for row in rows]

    def unblock(self, ids: Sequence[int]) -> None:
        with self._write() as db:
            db.executemany(
                "UPDATE shipments SET state = 'pending', reason = '', kind = '', next_attempt_at = NULL,"
                " due_at = coalesce(due_at, ?) WHERE id = ? AND state = 'blocked'",
                [(stamp(self.clock()), one) for one in ids],
            )

    # ---- claim and settle -------------------------------------------------------------------------------

    def claim(
        self, run_id: int, integration: Integration, orders: int, only_run: int | None = None, peek: bool = False
    ) -> list[list[Claimed]]:
        """Take the due and doubtful parcels of up to `orders` orders, longest due first, grouped by order.

        only_run   only what that run added.
        peek       a dry run: look at them without taking them.
        """
        now = self.clock()
        names: dict[str, Any] = {
            "run": run_id,
            "integration": integration.id,
            "now": stamp(now),
            "far": stamp(now + FAR),
            "only": only_run,
            "live": integration.enabled,
        }
        with self._write() as db:
            chosen: dict[str, None] = {}
            queries = [_DOUBT] if only_run is None else []
            if integration.enabled:
                queries += [_DUE.format(when="<= :now"), _DUE.format(when="> :far")]
            for query in queries:
                for row in db.execute(query, names):
                    if len(chosen) >= orders:
                        break
                    order = row["order_id"]
                    if order not in chosen and not db.execute(_HELD, {**names, "order": order}).fetchone():
                        chosen[order] = None
            take = _TAKE
            if peek:
                take = "SELECT * FROM shipments WHERE " + _TAKE.partition("WHERE")[2].replace("RETURNING *", "")
            groups = [
                [_claimed(row) for row in db.execute(take, {**names, "order": order}).fetchall()] for order in chosen
            ]
        return [sorted(group, key=lambda one: (one.parcel.created_at, one.id)) for group in groups if group]

    def claim_by_hand(
        self, run_id: int, ids: Sequence[int], again: bool = False, peek: bool = False
    ) -> tuple[dict[int, list[list[Claimed]]], dict[int, str]]:
        """Take what a person chose, whatever its trigger, window and next_attempt_at; in their integrations' groups.

        Also returns why others were left alone: {id: reason}.
        """
        taken: dict[tuple[int, str], list[Claimed]] = {}
        left: dict[int, str] = {}
        with self._write() as db:
            rows = {
                row["id"]: row
                for one in ids
                for row in db.execute("SELECT * FROM shipments WHERE id = ?", (one,)).fetchall()
            }
            busy: set[tuple[int, str]] = set()
            for one in ids:
                row = rows.get(one)
                if row is None:
                    left[one] = "no such shipment"
                    continue
                key = (row["integration_id"], row["order_id"])
                if key not in taken and db.execute(_BUSY, key).fetchone():
                    busy.add(key)
                if key in busy:
                    left[one] = "another run is sending a parcel of its order"
                elif row["state"] == "forwarded" and not again:
                    left[one] = "it is forwarded already; --again looks whether it is still there"
                else:
                    if not peek:
                        # What had ended is due anew: GIVE_UP counts from the person's word, not from then.
                        row = db.execute(
                            "UPDATE shipments SET state = 'sending', run_id = ?, attempts = attempts + 1,"
                            " due_at = iif(state IN ('failed', 'expired', 'dropped') OR due_at IS NULL, ?, due_at)"
                            " WHERE id = ? RETURNING *",
                            (run_id, stamp(self.clock()), one),
                        ).fetchall()[0]
                    taken.setdefault(key, []).append(_claimed(row, rows[one]["state"], by_hand=True))
        groups: dict[int, list[list[Claimed]]] = {}
        for (integration_id, _), group in taken.items():
            groups.setdefault(integration_id, []).append(sorted(group, key=lambda one: (one.parcel.created_at, one.id)))
        return groups, left

    def release(self, run_id: int, claims: Iterable[Claimed], revive: bool = False) -> None:
        """Give back what was claimed and not begun, as it was; `revive`: what a person chose is pending now."""
        with self._write() as db:
            db.executemany(
                "UPDATE shipments SET state = ?, run_id = NULL, attempts = attempts - 1"
                " WHERE id = ? AND run_id = ? AND state = 'sending'",
                [
                    ("pending" if revive and one.by_hand and one.before != "forwarded" else one.before, one.id, run_id)
                    for one in claims
                ],
            )

    def leave(self, run_id: int, attempts: Sequence[Attempt]) -> None:
        """Commit that a write is about to leave. Whoever finds this record without an outcome is in doubt."""
        with self._write() as db:
            self._journal(db, run_id, attempts)

    def settle(
        self,
        run_id: int,
        integration_id: int,
        outcomes: Sequence[Settlement],
        attempts: Sequence[Attempt],
        order: str | None = None,
    ) -> set[int]:
        """Record what became of shipments that this run holds, with the journal, in one transaction.

        Returns the ids it settled; one that this run does not hold any more stays as it is.
        """
        now = stamp(self.clock())
        held: set[int] = set()
        with self._write() as db:
            for one in outcomes:
                changed = db.execute(
                    _SETTLE,
                    {
                        "state": one.state,
                        "reason": one.reason,
                        "kind": one.kind,
                        "next_attempt_at": stamp(one.next_attempt_at) if one.next_attempt_at else None,
                        "in_doubt_since": stamp(one.in_doubt_since) if one.in_doubt_since else None,
                        "confirmed": one.confirmed,
                        "status_sent": one.status_sent,
                        "remote_id": one.remote_id,
                        "now": now,
                        "id": one.shipment_id,
                        "run": run_id,
                    },
                ).rowcount
                if changed:
                    held.add(one.shipment_id)
            self._journal(db, run_id, [line for line in attempts if line.exchange or line.shipment_id in held])
            outcomes = [one for one in outcomes if one.shipment_id in held]
            if any(one.state == "forwarded" for one in outcomes):
                success = "UPDATE integrations SET last_success_at = ?1 WHERE id = ?2 AND last_success_at IS NOT ?1"
                db.execute(success, (now, integration_id))
            if order is not None and any(one.wants_sent for one in outcomes):
                db.execute(
                    _WANT_SENT,
                    (integration_id, order),
                )
        return held

    def _journal(self, db: sqlite3.Connection, run_id: int | None, attempts: Iterable[Attempt]) -> None:
        db.executemany(
            _JOURNAL,
            [
                (
                    one.shipment_id,
                    run_id,
                    stamp(one.exchange.at if one.exchange else self.clock()),
                    one.step,
                    one.outcome,
                    one.detail,
                    *(
                        (
                            one.exchange.method,
                            one.exchange.url,
                            one.exchange.status,
                            one.exchange.request,
                            one.exchange.answer,
                        )
                        if one.exchange
                        else (None,) * 5
                    ),
                )
                for one in attempts
            ],
        )

    def ours(self, integration_id: int, order: str) -> set[str]:
        """Keys of the numbers of all our shipments of this order: any of them may stand there."""
        rows = self._read(
            "SELECT tracking_key FROM shipments WHERE integration_id = ? AND order_id = ?",
            (integration_id, order),
        )
        return {row["tracking_key"] for row in rows}

    # ---- marking as sent --------------------------------------------------------------------------------

    def wanted_sent(self, integration: Integration, limit: int, order: str | None = None) -> list[tuple[str, int]]:
        """Orders whose status transfer may be tried now, with how often it was."""
        now = self.clock()
        sql = _WANTED.replace("WHERE o.", "WHERE (:order IS NULL OR o.order_id = :order) AND o.", 1)
        rows = self._read(
            sql,
            {"integration": integration.id, "now": stamp(now), "far": stamp(now + FAR), "n": limit, "order": order},
        )
        return [(row["order_id"], row["sent_tries"]) for row in rows]

    def settle_sent(
        self,
        run_id: int,
        integration_id: int,
        order: str,
        state: str,
        reason: str = "",
        next_at: datetime | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        """Record the status step of an order: done, wanted (tried again at `next_at`) or refused."""
        now = stamp(self.clock())
        with self._write() as db:
            db.execute(
                "UPDATE orders SET sent_state = ?, sent_reason = ?, sent_next_at = ?, sent_tries = sent_tries + 1"
                " WHERE integration_id = ? AND order_id = ?",
                (state, reason, stamp(next_at) if next_at else None, integration_id, order),
            )
            db.execute(
                "UPDATE shipments SET status_sent_at = iif(:done, coalesce(status_sent_at,"
                " (SELECT min(s.status_sent_at) FROM shipments AS s"
                "  WHERE s.integration_id = :i AND s.order_id = :order), :now), status_sent_at),"
                " reason = :reason WHERE integration_id = :i AND order_id = :order AND state = 'forwarded'",
                {"done": state == "done", "now": now, "reason": reason, "i": integration_id, "order": order},
            )
            self._journal(db, run_id, attempts)

    def forwarded_of(self, integration_id: int, order: str, may_be: bool = False) -> list[Claimed]:
        """The order's forwarded parcels; with `may_be` all that ever were, and those in doubt."""
        which = "forwarded_at IS NOT NULL OR in_doubt_since IS NOT NULL" if may_be else "state = 'forwarded'"
        rows = self._read(
            f"SELECT * FROM shipments WHERE integration_id = ? AND order_id = ? AND ({which}) ORDER BY id",
            (integration_id, order),
        )
        return [_claimed(row, "forwarded") for row in rows]

    # ---- proof ------------------------------------------------------------------------------------------

    def unproven(self, integration_id: int, limit: int, after_id: int = 0) -> list[tuple[Claimed, datetime]]:
        """Accepted shipments that nobody saw there yet, with when they were accepted last."""
        rows = self._read(
            "SELECT s.*, (SELECT max(a.at) FROM attempts AS a WHERE a.shipment_id = s.id AND a.outcome = 'accepted')"
            " AS accepted_at FROM shipments AS s WHERE s.integration_id = ? AND s.state = 'forwarded'"
            " AND s.confirmed_at IS NULL AND s.id > ? ORDER BY s.id LIMIT ?",
            (integration_id, after_id, limit),
        )
        return [
            (_claimed(row, "forwarded"), parse_stamp(max(row["forwarded_at"], row["accepted_at"] or "")))
            for row in rows
        ]

    def forwarded_since(
        self, integration_id: int, since: datetime | None, limit: int, after_id: int
    ) -> list[tuple[Claimed, bool]]:
        """Forwarded shipments for `verify`, in pages by id, with whether they were confirmed once."""
        rows = self._read(
            "SELECT * FROM shipments WHERE integration_id = ? AND state = 'forwarded' AND id > ?"
            " AND (? IS NULL OR forwarded_at >= ?) ORDER BY id LIMIT ?",
            (integration_id, after_id, *(2 * [stamp(since) if since else None]), limit),
        )
        return [(_claimed(row, "forwarded"), row["confirmed_at"] is not None) for row in rows]

    def prove(self, run_id: int, confirmed: Sequence[int], attempts: Sequence[Attempt]) -> None:
        """A look showed these numbers on their orders."""
        now = stamp(self.clock())
        with self._write() as db:
            db.executemany(
                "UPDATE shipments SET confirmed_at = coalesce(confirmed_at, ?),"
                " reason = iif(confirmed_at IS NULL AND reason NOT LIKE 'number is there; %', '', reason)"
                " WHERE id = ? AND state = 'forwarded'",
                [(now, one) for one in confirmed],
            )
            self._journal(db, run_id, attempts)

    def missed_before(self, shipment_id: int) -> bool:
        """Was this shipment found missing once already?"""
        return bool(
            self._read(
                "SELECT 1 FROM attempts WHERE shipment_id = ? AND step = 'verify' AND outcome = 'missing' LIMIT 1",
                (shipment_id,),
            )
        )

    def disprove(self, run_id: int, shipment_id: int, state: str, reason: str, attempts: Sequence[Attempt]) -> None:
        """A number that was accepted is not there: pending (once more) or failed."""
        with self._write() as db:
            db.execute(
                "UPDATE shipments SET state = :state, reason = :reason, kind = 'Missing', next_attempt_at = NULL,"
                " told = '', due_at = iif(:state = 'pending', :now, due_at)"
                " WHERE id = :id AND state = 'forwarded' AND confirmed_at IS NULL",
                {"state": state, "reason": reason, "now": stamp(self.clock()), "id": shipment_id},
            )
            self._journal(db, run_id, attempts)

    def newest_id(self) -> int:
        return int(self._read("SELECT coalesce(max(id), 0) FROM shipments")[0][0])

    def taken(self, integration_id: int, order: str, key: str) -> bool:
        """Is a number a shipment of this order already?"""
        return bool(
            self._read(
                "SELECT 1 FROM shipments WHERE integration_id = ? AND order_id = ? AND tracking_key = ?",
                (integration_id, order, key),
            )
        )

    def corrected(
        self,
        run_id: int,
        one: Claimed,
        number: str,
        original: str,
        attempts: Sequence[Attempt],
        confirmed: bool = True,
        remote_id: str = "",
    ) -> None:
        """A forwarded shipment has a new number; the journal keeps the old one.

        confirmed   the answer, or a look, showed the new number.
        """
        with self._write() as db:
            before = db.execute("SELECT reason FROM shipments WHERE id = ?", (one.id,)).fetchone()["reason"]
            db.execute(
                "UPDATE shipments SET tracking_number = ?, tracking_original = ?, tracking_key = ?, tracking_url = '',"
                " reason = ?, confirmed_at = iif(?, ?, NULL), remote_id = iif(?7 <> '', ?7, remote_id)"
                " WHERE id = ? AND run_id = ?",
                (
                    number,
                    original,
                    tracking_key(number),
                    f"replaces {one.parcel.tracking_number}" + (f"; {before}" if "marking as sent" in before else ""),
                    confirmed,
                    stamp(self.clock()),
                    remote_id,
                    one.id,
                    run_id,
                ),
            )
            self._journal(db, run_id, attempts)

    # ---- by hand ----------------------------------------------------------------------------------------

    def by_hand(
        self, shipment_id: int, state: str, reason: str, *, status_sent: bool = False, wants_sent: bool = False
    ) -> bool:
        """A person ends it: dropped, or an in-doubt one settled. False when a run holds it.

        status_sent, wants_sent   as in Settlement.
        """
        now = stamp(self.clock())
        with self._write() as db:
            changed = db.execute(
                "UPDATE shipments SET state = :state, reason = :reason, kind = '', next_attempt_at = NULL,"
                " in_doubt_since = NULL,"
                " forwarded_at = iif(:state = 'forwarded', coalesce(forwarded_at, :now), forwarded_at),"
                " status_sent_at = iif(:sent, coalesce(status_sent_at, forwarded_at, :now), status_sent_at)"
                " WHERE id = :id AND state <> 'sending'",
                {"state": state, "reason": reason, "now": now, "id": shipment_id, "sent": status_sent},
            ).rowcount
            if changed:
                self._journal(db, None, [Attempt(shipment_id, "person", state, reason)])
                if wants_sent:
                    key = db.execute("SELECT integration_id, order_id FROM shipments WHERE id = ?", (shipment_id,))
                    db.execute(_WANT_SENT, tuple(key.fetchone()))
        return bool(changed)
