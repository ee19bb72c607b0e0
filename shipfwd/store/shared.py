"""One number on several orders: legal for a parcel that holds two orders, and often a slip. It only warns.

Measured, 1,000,000 rows with random numbers: an index on the number made an import take 60 % more CPU, one on six
characters of it 22 %, for every import there is. Reading the key's own index through once costs nothing where nothing
is new or nothing was there before, 0.05 s a million rows for one number and 0.25 s for a thousand.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from shipfwd.store.transactions import Connected

MOST = 500  # shipments that are looked at closer; more of one kind is a wrong column, and `overused` said so

# Rows of the key's own index: it holds all that is asked for, and the table is not touched.
_OLD = """
SELECT DISTINCT tracking_key FROM shipments INDEXED BY sqlite_autoindex_shipments_1
WHERE tracking_key IN ({new}) AND id <= :before LIMIT :most
"""
_NEW = "SELECT tracking_key FROM shipments WHERE id > :before AND added_run = :run"
_COMING = "SELECT tracking_key FROM temp.incoming WHERE tracking_key <> ''"
_REPEATED = "SELECT tracking_key FROM temp.repeated LIMIT :most"
_WHERE_USED = """
SELECT s.id, s.integration_id, s.order_id, s.tracking_key, s.tracking_number, i.name AS integration,
    s.id > :before AS new
FROM shipments AS s INDEXED BY sqlite_autoindex_shipments_1 JOIN integrations AS i ON i.id = s.integration_id
WHERE s.tracking_key IN (SELECT value FROM json_each(:keys)) AND s.state <> 'dropped' ORDER BY s.id
"""
_WHERE_COMING = """
SELECT DISTINCT 0 AS id, n.integration_id, n.order_id, n.tracking_key, n.tracking_number, i.name AS integration,
    1 AS new
FROM temp.incoming AS n JOIN integrations AS i ON i.id = n.integration_id
WHERE n.tracking_key IN (SELECT value FROM json_each(:keys))
"""


class Use(NamedTuple):
    """A number on an order. id: the shipment's, 0 before it is stored. new: came in just now."""

    id: int
    integration: str
    order_id: str
    tracking_number: str
    new: bool


class SharedStore(Connected):
    def shared_numbers(self, run_id: int, before: int, stored: bool = True) -> list[list[Use]]:
        """Numbers of what just came in that stand on other orders too, each with all its uses, the oldest first.

        before   the newest shipment's id before.   stored   False: a dry run, whose rows are only staged.
        """
        names = {"before": before, "run": run_id, "most": MOST}
        keys = {row["tracking_key"] for row in self._read(_REPEATED, names)}
        if before and (not stored or self._read(f"{_NEW} LIMIT 1", names)):
            keys |= {row["tracking_key"] for row in self._read(_OLD.format(new=_NEW if stored else _COMING), names)}
        found = self._uses(keys, before, staged=not stored) if keys else []
        return [uses for uses in found if len(uses) > 1 and any(one.new for one in uses)]

    def other_uses(self, shipment_id: int, tracking_key: str) -> list[Use]:
        """The other orders that a shipment's number stands on."""
        return [one for uses in self._uses({tracking_key}, 0) for one in uses if one.id != shipment_id]

    def _uses(self, keys: set[str], before: int, staged: bool = False) -> list[list[Use]]:
        names = {"keys": json.dumps(sorted(keys)), "before": before}
        rows = [*self._read(_WHERE_USED, names), *(self._read(_WHERE_COMING, names) if staged else ())]
        found: dict[str, dict[tuple[int, str], Use]] = {}
        for row in rows:
            use = Use(row["id"], row["integration"], row["order_id"], row["tracking_number"], bool(row["new"]))
            found.setdefault(row["tracking_key"], {}).setdefault((row["integration_id"], row["order_id"]), use)
        return [list(uses.values()) for uses in found.values()]
