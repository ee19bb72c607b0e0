"""Old journal lines of finished shipments, and the room they leave; in steps that hold nobody up."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from shipfwd.models import stamp
from shipfwd.store.transactions import Connected

LINES = 2000  # of the journal, looked at in a step
PAGES = 500  # given back in a step
FOLD = 25  # steps, after which the write-ahead log is folded into the file, so that it stays small

# Finished, and nothing in its journal is as young as :before. A number that a look has still to prove is not finished.
_FINISHED = """
SELECT s.id FROM shipments AS s WHERE s.id IN (SELECT shipment_id FROM attempts WHERE id > :after AND id <= :upto)
    AND (s.state IN ('expired', 'dropped') OR (s.state = 'forwarded' AND s.confirmed_at IS NOT NULL))
    AND s.created_at < :before
    AND NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.shipment_id = s.id AND a.at >= :before)
"""


class Pruned(NamedTuple):
    """What was deleted: of how many shipments, how many lines, and by how many bytes the file shrank."""

    shipments: int
    lines: int
    bytes: int


class PruneStore(Connected):
    def prune(self, age: timedelta, pause: Callable[[float], None] = time.sleep) -> Pruned:
        """Delete the journal of shipments that were finished longer than `age` ago; the shipments stay.

        Broken off, it has deleted whole shipments' journals up to there. Between its steps it rests as long as they
        took, since SQLite's lock goes to whoever asks again first.
        """
        before, size = stamp(self.clock() - age), self._size()
        shipments = lines = after = steps = 0
        while True:
            begun = time.monotonic()
            few = "SELECT max(id), min(at) FROM (SELECT id, at FROM attempts WHERE id > ? ORDER BY id LIMIT ?)"
            upto, oldest = self._read(few, (after, LINES))[0]
            if upto is None or oldest >= before:
                break
            ids = [row[0] for row in self._read(_FINISHED, {"after": after, "upto": upto, "before": before})]
            if ids:
                lines += self._forget(ids)
                shipments += len(ids)
            after, steps = upto, self._step(steps)
            pause(time.monotonic() - begun)
        while self._free():
            begun = time.monotonic()
            with self._write() as db:
                db.execute(f"PRAGMA incremental_vacuum({PAGES})").fetchall()
            steps = self._step(steps)
            pause(time.monotonic() - begun)
        self.checkpoint()
        return Pruned(shipments, lines, max(0, size - self._size()))

    def _forget(self, ids: list[int]) -> int:
        """Delete these shipments' journals; the trigger that forbids it is away for this transaction alone."""
        with self._write() as db:
            trigger = db.execute("SELECT sql FROM sqlite_master WHERE name = 'attempts_never_deleted'").fetchone()[0]
            db.execute("DROP TRIGGER attempts_never_deleted")
            count = 0
            for one in ids:
                count += db.execute("DELETE FROM attempts WHERE shipment_id = ?", (one,)).rowcount
            db.execute(trigger)
        return count

    def _step(self, steps: int) -> int:
        if steps % FOLD == FOLD - 1:
            self.checkpoint()
        return steps + 1

    def _free(self) -> int:
        """Pages that can be given back; 0 in a database that was made without that."""
        if self._read("PRAGMA auto_vacuum")[0][0] != 2:
            return 0
        return int(self._read("PRAGMA freelist_count")[0][0])

    def _size(self) -> int:
        return int(self._read("PRAGMA page_count")[0][0]) * int(self._read("PRAGMA page_size")[0][0])
