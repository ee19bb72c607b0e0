"""Orders and the statuses that a person gives them: `order move` and `order list`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shipfwd.errors import UsageError
from shipfwd.models import fold, stamp
from shipfwd.store.transactions import Connected


class OrderStore(Connected):
    def move_orders(self, integration_id: int, orders: Iterable[str], status: str) -> int:
        """Give known orders a status; how many changed. Raises UsageError for an unknown one: nothing is moved then."""
        now, key, moved = stamp(self.clock()), fold(status), 0
        with self._write() as db:
            for order in orders:
                row = db.execute(
                    "SELECT status FROM orders WHERE integration_id = ? AND order_id = ?", (integration_id, order)
                ).fetchone()
                if row is None:
                    raise UsageError(self._unknown_order(integration_id, order))
                if row["status"] == status:
                    continue
                names = {"status": status, "key": key, "now": now, "id": integration_id, "order": order}
                db.execute(
                    "UPDATE orders SET status = :status, status_key = :key, status_at = :now"
                    " WHERE integration_id = :id AND order_id = :order",
                    names,
                )
                db.execute(
                    "UPDATE shipments SET status_key = :key WHERE integration_id = :id AND order_id = :order", names
                )
                moved += 1
        return moved

    def _unknown_order(self, integration_id: int, order: str) -> str:
        import difflib

        near = self._read(
            "SELECT order_id FROM (SELECT order_id FROM orders WHERE integration_id = :i AND order_id >= :o"
            " ORDER BY order_id LIMIT 200) UNION SELECT order_id FROM (SELECT order_id FROM orders"
            " WHERE integration_id = :i AND order_id < :o ORDER BY order_id DESC LIMIT 200)",
            {"i": integration_id, "o": order},
        )
        best = difflib.get_close_matches(order, [row["order_id"] for row in near], n=1, cutoff=0.4)
        hint = f"did you mean '{best[0]}'? " if best else "see: shipfwd order list. "
        return f"no order '{order}' is known at this integration; {hint}Nothing was moved"

    def orders(self, integration_id: int | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """The newest orders, as `order list` shows them."""
        rows = self._read(
            "SELECT i.name AS integration, o.order_id, o.status AS order_status, o.status_at, o.created_at,"
            " (SELECT count(*) FROM shipments AS s WHERE s.integration_id = o.integration_id"
            "  AND s.order_id = o.order_id) AS shipments, coalesce(o.sent_state, '') AS marked_as_sent"
            " FROM orders AS o JOIN integrations AS i ON i.id = o.integration_id"
            " WHERE :i IS NULL OR o.integration_id = :i ORDER BY o.created_at DESC, o.order_id LIMIT :n",
            {"i": integration_id, "n": -1 if limit is None else limit},
        )
        return [dict(row) for row in rows]
