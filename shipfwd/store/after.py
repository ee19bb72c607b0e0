"""What follows a write: marking the order as sent, the proof that a number is there, and what a person decides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from shipfwd.models import Attempt, Claimed, Integration, parse_stamp, stamp
from shipfwd.store.due import FAR, READY, claimed
from shipfwd.store.queue import HOLDS_BACK, WANT_SENT, QueueStore

DROPPED_AT_ONCE = 1000
_WANTED = f"""
SELECT order_id, sent_tries FROM orders INDEXED BY orders_wanted
WHERE integration_id = :integration AND sent_state = 'wanted' AND (sent_next_at IS NULL OR sent_next_at <= :now
    OR sent_next_at > :far) AND NOT EXISTS ({HOLDS_BACK}) LIMIT :n
"""
_TURN = f"""
UPDATE orders SET sent_next_at = :turn WHERE integration_id = :integration AND order_id = :order
    AND sent_state = 'wanted' AND (sent_next_at = :mine OR :mine IS NULL AND (sent_next_at IS NULL
    OR sent_next_at <= :now OR sent_next_at > :far) AND NOT EXISTS ({HOLDS_BACK})) RETURNING sent_tries
"""

_HOLD_BACK = f"""
UPDATE shipments SET next_attempt_at = until, kind = 'InDoubt',
    reason = 'waits for shipment ' || other || ' of its order, whose write was lost and may still arrive'
FROM (SELECT id AS other, order_id AS its_order, next_attempt_at AS until FROM shipments
    WHERE integration_id = :integration AND state = 'pending' AND in_doubt_since IS NOT NULL
        AND next_attempt_at > :now AND next_attempt_at <= :far)
WHERE integration_id = :integration AND order_id = its_order AND state = 'pending' AND in_doubt_since IS NULL
    AND due_at IS NOT NULL AND {READY} AND (:only IS NULL OR added_run = :only)
RETURNING id
"""
_BEHIND = f"""
SELECT id FROM shipments WHERE integration_id = :integration AND state = 'pending' AND in_doubt_since IS NULL
    AND due_at IS NOT NULL AND {READY} AND (:only IS NULL OR added_run = :only) AND order_id IN
    (SELECT order_id FROM shipments INDEXED BY shipments_sending WHERE state = 'sending'
        AND +integration_id = :integration)
"""


class AfterStore(QueueStore):
    # ---- marking as sent --------------------------------------------------------------------------------

    def has_work(self, integration: Integration) -> bool:
        """Is there anything that a run would touch? Answered from the partial indexes alone."""
        now = self.clock()
        names = {"i": integration.id, "now": stamp(now), "far": stamp(now + FAR)}
        pending = "SELECT 1 FROM shipments WHERE integration_id = :i AND state = 'pending'"
        due = f"{pending} AND due_at IS NOT NULL AND {READY}"
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

    def wanted_sent(self, integration: Integration, limit: int) -> list[str]:
        """Orders whose status transfer may be tried now."""
        now = self.clock()
        names = {"integration": integration.id, "now": stamp(now), "far": stamp(now + FAR), "n": limit}
        return [row["order_id"] for row in self._read(_WANTED, names)]

    def hold_back(self, integration: Integration, only_run: int | None = None) -> list[int]:
        """What is due and was not claimed, since a parcel of its order is in doubt, waits with that one and says so;
        or since another run is sending one: then it is only named.

        only_run   only what that run added.
        """
        if not integration.enabled:
            return []
        now = self.clock()
        names = {"integration": integration.id, "now": stamp(now), "far": stamp(now + FAR), "only": only_run}
        with self._write() as db:
            held = db.execute(_HOLD_BACK, names).fetchall() + db.execute(_BEHIND, names).fetchall()
        return [row["id"] for row in held]

    def take_turn(
        self, integration: Integration, order: str, until: datetime, mine: datetime | None = None
    ) -> int | None:
        """Take the status step of an order until a time; how often it was tried, None when another run has it.

        mine   until when it is this run's: keep it longer.
        """
        now = self.clock()
        names = {
            "integration": integration.id, "order": order, "turn": stamp(until), "now": stamp(now),
            "far": stamp(now + FAR), "mine": stamp(mine) if mine else None,
        }  # fmt: skip
        with self._write() as db:
            rows = db.execute(_TURN, names).fetchall()
        return int(rows[0]["sent_tries"]) if rows else None

    def status_step(self, integration: Integration, order: str) -> tuple[bool, datetime | None]:
        """Is the order still to be marked as sent, and until when is that somebody's turn (or not to be tried)?"""
        where = "integration_id = ? AND order_id = ? AND sent_state = 'wanted'"
        for row in self._read(f"SELECT sent_next_at FROM orders WHERE {where}", (integration.id, order)):
            return True, parse_stamp(row["sent_next_at"]) if row["sent_next_at"] else None
        return False, None

    def settle_sent(
        self,
        run_id: int,
        integration_id: int,
        order: str,
        state: str,
        reason: str = "",
        next_at: datetime | None = None,
        attempts: Sequence[Attempt] = (),
        parcels: int = 0,
    ) -> None:
        """Record the status step of an order: done, wanted (tried again at `next_at`), refused, or "": not now.

        parcels   how many the order had when "" was found; with more of them it is asked again at once.
        """
        now = stamp(self.clock())
        with self._write() as db:
            if not state:
                where = "integration_id = ? AND order_id = ? AND state <> 'dropped'"
                rows = db.execute(f"SELECT count(*) FROM shipments WHERE {where}", (integration_id, order))  # noqa: S608
                state = "wanted" if rows.fetchone()[0] > parcels else ""
            db.execute(
                "UPDATE orders SET sent_state = ?, sent_reason = ?, sent_next_at = ?, sent_tries = sent_tries + 1"
                " WHERE integration_id = ? AND order_id = ?",
                (state or None, reason, stamp(next_at) if next_at else None, integration_id, order),
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
        return [claimed(row, "forwarded") for row in rows]

    def parcels_of(self, integration_id: int, order: str) -> list[Claimed]:
        """All parcels of the order but those that were taken back."""
        rows = self._read(
            "SELECT * FROM shipments WHERE integration_id = ? AND order_id = ? AND state <> 'dropped' ORDER BY id",
            (integration_id, order),
        )
        return [claimed(row) for row in rows]

    # ---- proof ------------------------------------------------------------------------------------------

    def unproven(self, integration_id: int, size: int) -> Iterator[list[tuple[Claimed, datetime]]]:
        """Accepted shipments that nobody saw there yet, with when they were accepted last; pages, oldest first."""
        after = ("", 0)
        while rows := self._read(
            "SELECT s.*, (SELECT max(a.at) FROM attempts AS a WHERE a.shipment_id = s.id AND a.outcome = 'accepted')"
            " AS accepted_at FROM shipments AS s WHERE s.integration_id = ? AND s.state = 'forwarded'"
            " AND s.confirmed_at IS NULL AND (s.forwarded_at, s.id) > (?, ?) ORDER BY s.forwarded_at, s.id LIMIT ?",
            (integration_id, *after, size),
        ):
            after = rows[-1]["forwarded_at"], rows[-1]["id"]
            yield [
                (claimed(row, "forwarded"), parse_stamp(max(row["forwarded_at"], row["accepted_at"] or "")))
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
        return [(claimed(row, "forwarded"), row["confirmed_at"] is not None) for row in rows]

    def count_forwarded_since(self, integration_id: int, since: datetime | None) -> int:
        """How many `forwarded_since` will hand out."""
        [(count,)] = self._read(
            "SELECT count(*) FROM shipments WHERE integration_id = ? AND state = 'forwarded'"
            " AND (? IS NULL OR forwarded_at >= ?)",
            (integration_id, *(2 * [stamp(since) if since else None])),
        )
        return int(count)

    def prove(self, run_id: int, one: Claimed) -> bool:
        """A look showed this number on its order; False when the shipment has another one by now, or is not there."""
        with self._write() as db:
            changed = db.execute(
                "UPDATE shipments SET confirmed_at = coalesce(confirmed_at, ?),"
                " reason = iif(confirmed_at IS NULL AND reason NOT LIKE 'number is there; %', '', reason)"
                " WHERE id = ? AND state = 'forwarded' AND tracking_key = ?",
                (stamp(self.clock()), one.id, one.parcel.key),
            ).rowcount
            if changed:
                self._journal(db, run_id, [Attempt(one.id, "verify", "confirmed")])
        return bool(changed)

    def missed_before(self, shipment_id: int) -> bool:
        """Was this shipment found missing once already?"""
        return bool(
            self._read(
                "SELECT 1 FROM attempts WHERE shipment_id = ? AND step = 'verify' AND outcome = 'missing' LIMIT 1",
                (shipment_id,),
            )
        )

    def disprove(self, run_id: int, one: Claimed, state: str, reason: str) -> bool:
        """A number that was accepted is not there: pending (once more) or failed. False as in `prove`."""
        with self._write() as db:
            changed = db.execute(
                "UPDATE shipments SET state = :state, reason = :reason, kind = 'Missing', next_attempt_at = NULL,"
                " told = '', due_at = iif(:state = 'pending', :now, due_at)"
                " WHERE id = :id AND state = 'forwarded' AND confirmed_at IS NULL AND tracking_key = :key",
                {"state": state, "reason": reason, "now": stamp(self.clock()), "id": one.id, "key": one.parcel.key},
            ).rowcount
            if changed:
                self._journal(db, run_id, [Attempt(one.id, "verify", "missing", reason)])
        return bool(changed)

    def newest_id(self) -> int:
        return int(self._read("SELECT coalesce(max(id), 0) FROM shipments")[0][0])

    # ---- by hand ----------------------------------------------------------------------------------------

    def drop(self, ids: Sequence[int], reason: str) -> list[int]:
        """A person takes them back; which of them. Not what a run holds, or what is sent or in doubt by now.

        Why in parts: nobody else can store while one is written.
        """
        dropped: list[int] = []
        for start in range(0, len(ids), DROPPED_AT_ONCE):
            with self._write() as db:
                some = [
                    row["id"]
                    for row in db.execute(
                        "UPDATE shipments SET state = 'dropped', reason = :reason, kind = '', next_attempt_at = NULL"
                        " WHERE id IN (SELECT value FROM json_each(:ids)) AND state NOT IN ('sending', 'forwarded')"
                        " AND in_doubt_since IS NULL RETURNING id",
                        {"reason": reason, "ids": json.dumps(ids[start : start + DROPPED_AT_ONCE])},
                    ).fetchall()
                ]
                self._journal(db, None, [Attempt(one, "person", "dropped", reason) for one in some])
            dropped += some
        return dropped

    def by_hand(
        self,
        shipment_id: int,
        state: str,
        reason: str,
        *,
        status_sent: bool = False,
        wants_sent: bool = False,
        number: str = "",
    ) -> bool:
        """A person settles one that is in doubt. False when a run holds it, or has ended it meanwhile.

        status_sent, wants_sent, number   as in Settlement.
        """
        now = stamp(self.clock())
        with self._write() as db:
            changed = db.execute(
                "UPDATE shipments SET state = :state, reason = :reason, kind = '', next_attempt_at = NULL,"
                " in_doubt_since = NULL,"
                " forwarded_at = iif(:state = 'forwarded', coalesce(forwarded_at, :now), forwarded_at),"
                " status_sent_at = iif(:sent, coalesce(status_sent_at, forwarded_at, :now), status_sent_at)"
                " WHERE id = :id AND state NOT IN ('sending', 'forwarded')"
                " AND in_doubt_since IS NOT NULL",
                {"state": state, "reason": reason, "now": now, "id": shipment_id, "sent": status_sent},
            ).rowcount
            if changed:
                if number:
                    self._renumber(db, shipment_id, number, None)
                self._journal(db, None, [Attempt(shipment_id, "person", state, reason)])
                if wants_sent:
                    key = db.execute(
                        'SELECT integration_id AS integration, order_id AS "order", NULL AS turn FROM shipments'
                        " WHERE id = ?",
                        (shipment_id,),
                    )
                    db.execute(WANT_SENT, {**dict(key.fetchone()), "now": now, "far": stamp(self.clock() + FAR)})
        return bool(changed)
