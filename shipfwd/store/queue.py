"""The engine's side of the store: what is due, who holds it, what became of it.

A run claims shipments in one transaction before any request leaves, and settles each outcome together with
its journal. Dead runs are told from living ones by `runs.py`'s kernel locks, never by time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shipfwd.errors import brief
from shipfwd.models import (
    LOST,
    Attempt,
    Claimed,
    Integration,
    Settlement,
    normalise,
    parse_stamp,
    stamp,
    tracking_key,
)
from shipfwd.store.due import FAR, READY, DueStore, claimed

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
HELD = """
SELECT 1 FROM shipments WHERE integration_id = :integration AND order_id = :order AND (state = 'sending' OR
    (state = 'pending' AND in_doubt_since IS NOT NULL AND next_attempt_at > :now AND next_attempt_at <= :far)) LIMIT 1
"""
_TAKE = f"""
UPDATE shipments SET state = 'sending', run_id = :run, attempts = attempts + 1
WHERE integration_id = :integration AND order_id = :order AND state = 'pending' AND (
    (in_doubt_since IS NOT NULL AND (next_attempt_at IS NULL OR next_attempt_at <= :now OR next_attempt_at > :far))
    OR (:live AND due_at IS NOT NULL AND {READY} AND (:only IS NULL OR added_run = :only)))
RETURNING *
"""
# What is told stands in `told`; one that is under way again is news when it fails, even for the reason it had.
_SETTLE = """
UPDATE shipments SET state = :state, reason = :reason, kind = :kind, next_attempt_at = :next_attempt_at,
    in_doubt_since = :in_doubt_since, run_id = NULL,
    told = iif(:state IN ('failed', 'blocked') AND told <> :state || '|' || :reason
        OR :state = 'pending' AND told LIKE '%|%', '', told),
    forwarded_at = iif(:state = 'forwarded', coalesce(forwarded_at, :now), forwarded_at),
    confirmed_at = iif(:confirmed, coalesce(confirmed_at, :now), iif(:kind = 'Correction', NULL, confirmed_at)),
    status_sent_at = iif(:status_sent, coalesce(status_sent_at, forwarded_at, :now), status_sent_at),
    remote_id = iif(:remote_id <> '', :remote_id, remote_id)
WHERE id = :id AND run_id = :run AND state = 'sending'
"""
_LOST = """
SELECT a.shipment_id, a.at FROM shipments AS one JOIN shipments AS s USING (integration_id, order_id)
    JOIN attempts AS a ON a.shipment_id = s.id
WHERE one.id = :id AND a.outcome = :lost AND a.at > :after AND (s.id = :id) = :own
    AND (:own OR NOT EXISTS
        (SELECT 1 FROM attempts AS b WHERE b.shipment_id = :id AND b.outcome = :lost AND b.at = a.at))
"""
_JOURNAL = """
INSERT INTO attempts (shipment_id, run_id, at, step, outcome, detail, method, url, status, request, answer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_BROKEN_CORRECTION = """
UPDATE shipments SET run_id = NULL, attempts = attempts - (:left IS NULL),
    state = iif(:left IS NULL, 'forwarded', 'pending'), kind = iif(:left IS NULL, kind, 'Correction'),
    in_doubt_since = strftime('%Y-%m-%dT%H:%M:%SZ', :left, '+1 second'), next_attempt_at = NULL,
    confirmed_at = iif(:left IS NULL, confirmed_at, NULL),
    reason = iif(:left IS NULL, reason, 'a correction broke off; the platform is asked which number stands there')
WHERE id = :id
"""
# An order may be marked as sent once no parcel of it is still on its way or in trouble. One that is blocked
# because the platform shows a single number will never be on its way.
HOLDS_BACK = """
SELECT 1 FROM shipments AS h WHERE h.integration_id = orders.integration_id AND h.order_id = orders.order_id
    AND (h.state IN ('pending', 'sending', 'failed') OR (h.state = 'blocked' AND h.kind <> 'OneNumber'))
"""
# With :turn the status step is taken at once, for whoever settles the last parcel. A step that is somebody's, or whose
# lost answer is waited out, stays his: a parcel that comes meanwhile must not mark the order a second time.
WANT_SENT = f"""
UPDATE orders SET sent_state = 'wanted', sent_tries = 0, sent_reason = '',
    sent_next_at = iif(EXISTS ({HOLDS_BACK}), NULL, :turn)
WHERE integration_id = :integration AND order_id = :order
    AND NOT (sent_state IS 'wanted' AND sent_next_at IS NOT NULL AND sent_next_at > :now AND sent_next_at <= :far)
    AND EXISTS (SELECT 1 FROM shipments AS s
    WHERE s.integration_id = orders.integration_id AND s.order_id = orders.order_id
        AND s.state = 'forwarded' AND s.status_sent_at IS NULL)
"""


class QueueStore(DueStore):
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
                if corrects:  # it was forwarded, and is so still unless its write left; which number stands there then?
                    db.execute(_BROKEN_CORRECTION, {"id": row["id"], "left": row["left_at"]})
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

    # ---- claim and settle -------------------------------------------------------------------------------

    def claim(
        self, run_id: int, integration: Integration, orders: int, only_run: int | None = None
    ) -> list[list[Claimed]]:
        """Take the due and doubtful parcels of up to `orders` orders, longest due first, grouped by order.

        only_run   only what that run added.
        """
        now = self.clock()
        names: dict[str, Any] = {
            "run": run_id,
            "integration": integration.id,
            "now": stamp(now),
            "far": stamp(now + FAR),
            "only": only_run,
        }
        with self._write() as db:
            chosen: dict[str, None] = {}
            queries = [_DOUBT] if only_run is None else []
            # As it is now: switched off or removed in the middle of a run, it sends no more.
            switch = db.execute(
                "SELECT enabled FROM integrations WHERE id = ? AND removed_at IS NULL", (integration.id,)
            )
            if not (row := switch.fetchone()):
                return []
            names["live"] = bool(row["enabled"])
            if names["live"]:
                queries += [_DUE.format(when="<= :now"), _DUE.format(when="> :far")]
            for query in queries:
                for row in db.execute(query, names):
                    if len(chosen) >= orders:
                        break
                    order = row["order_id"]
                    if order not in chosen and not db.execute(HELD, {**names, "order": order}).fetchone():
                        chosen[order] = None
            groups = [
                [claimed(row) for row in db.execute(_TAKE, {**names, "order": order}).fetchall()] for order in chosen
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
                    taken.setdefault(key, []).append(claimed(row, rows[one]["state"], by_hand=True))
        groups: dict[int, list[list[Claimed]]] = {}
        for (integration_id, _), group in taken.items():
            groups.setdefault(integration_id, []).append(sorted(group, key=lambda one: (one.parcel.created_at, one.id)))
        return groups, left

    def release(self, run_id: int, claims: Iterable[Claimed], revive: bool = False) -> None:
        """Give back what was claimed and not begun, as it was; `revive`: what a person chose is pending now."""
        with self._write() as db:
            db.executemany(
                "UPDATE shipments SET state = ?1, run_id = NULL, attempts = attempts - 1,"
                " told = iif(?1 = 'pending' AND told LIKE '%|%', '', told)"
                " WHERE id = ?2 AND run_id = ?3 AND state = 'sending'",
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
        turn: datetime | None = None,
    ) -> tuple[set[int], bool]:
        """Record what became of shipments that this run holds, with the journal, in one transaction.

        turn   until when the order's status step is this run's, should nothing hold it back (after.py).
        Returns the ids it settled (one that this run does not hold any more stays as it is), and whether the turn is
        this run's: by its time alone two that took it in one second would both think so.
        """
        now, far = stamp(self.clock()), stamp(self.clock() + FAR)
        held: set[int] = set()
        mine = False
        with self._write() as db:
            for one in outcomes:
                if one.number:
                    one = replace(one, reason=self._renumber(db, one.shipment_id, one.number, run_id, one.reason))
                changed = db.execute(
                    _SETTLE,
                    {
                        "state": one.state,
                        "reason": brief(one.reason),
                        "kind": one.kind,
                        "next_attempt_at": stamp(one.next_attempt_at) if one.next_attempt_at else None,
                        "in_doubt_since": stamp(one.in_doubt_since) if one.in_doubt_since else None,
                        "confirmed": one.confirmed,
                        "status_sent": one.status_sent,
                        "remote_id": one.remote_id[:200],
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
                names = {"integration": integration_id, "order": order, "turn": stamp(turn) if turn else None}
                mine = db.execute(WANT_SENT, {**names, "now": now, "far": far}).rowcount > 0
        return held, mine

    @staticmethod
    def _renumber(db: sqlite3.Connection, shipment_id: int, number: str, run_id: int | None, words: str = "") -> str:
        """Give a shipment that is held (by nobody: None) another number; what replaces what, "" where nothing does.

        words   what is said of the {old} one, if not that it is replaced.
        """
        names = {"id": shipment_id, "run": run_id, "number": normalise(number), "original": number}
        before = db.execute("SELECT tracking_number, reason FROM shipments WHERE id = :id", names).fetchone()
        changed = db.execute(
            "UPDATE shipments SET tracking_number = :number, tracking_original = :original, tracking_key = :key,"
            " tracking_url = '', confirmed_at = NULL WHERE id = :id AND run_id IS :run",
            names | {"key": tracking_key(number)},
        ).rowcount
        marked = f"; {before['reason']}" if "marking as sent" in before["reason"] else ""
        said = (words or "replaces {old}").replace("{old}", before["tracking_number"])
        return f"{said}{marked}" if changed else ""

    def correction(self, shipment_id: int) -> str:
        """The new number of a correction whose write left last and that is in doubt; "" when it was another write."""
        rows = self._read(
            "SELECT step, detail FROM attempts WHERE shipment_id = ? AND outcome = 'left' ORDER BY id DESC LIMIT 1",
            (shipment_id,),
        )
        return str(rows[0]["detail"]) if rows and rows[0]["step"] == "correct" else ""

    def taken(self, integration_id: int, order: str, key: str) -> bool:
        """Is a number a shipment of this order already?"""
        return key in self.ours(integration_id, order)

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

    def doubts(self, integration_id: int, order: str) -> list[tuple[int, datetime]]:
        """The order's shipments that are in doubt, whatever their state, with when their write left."""
        rows = self._read(
            "SELECT id, in_doubt_since FROM shipments WHERE integration_id = ? AND order_id = ?"
            " AND in_doubt_since IS NOT NULL",
            (integration_id, order),
        )
        return [(row["id"], parse_stamp(row["in_doubt_since"])) for row in rows]

    def lost(self, shipment_id: int, after: datetime, own: bool = False) -> list[tuple[int, datetime]]:
        """Other shipments of its order whose writes were lost and sent again at once, with when that was noticed.

        Not those that left in one write with it.   own   its own, and no others.
        """
        rows = self._read(_LOST, {"id": shipment_id, "after": stamp(after), "lost": LOST, "own": own})
        return [(row["shipment_id"], parse_stamp(row["at"])) for row in rows]

    def ours(self, integration_id: int, order: str) -> set[str]:
        """Keys of the numbers of all our shipments of this order: any of them may stand there."""
        rows = self._read(
            "SELECT tracking_key FROM shipments WHERE integration_id = ? AND order_id = ?",
            (integration_id, order),
        )
        return {row["tracking_key"] for row in rows}
