"""`import --dry-run`: what would happen to the first rows of a file. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shipfwd import platforms, schedule
from shipfwd.models import Integration, parse_stamp
from shipfwd.rows import Reject
from shipfwd.settings import Config, takes

FIRST = 10  # rows that are shown
FIELDS = ("line", "order_id", "tracking_number", "carrier", "what would happen")


def rows(
    staged: Sequence[Mapping[str, Any]],
    rejects: Sequence[Reject],
    integrations: Mapping[int, Integration],
    config: Config,
    now: datetime,
    forward: bool,
) -> Iterator[dict[str, Any]]:
    """The first rows of the file, good and rejected, in its order.

    staged    as the store's `foresee_first` gives them.
    forward   what is due would be sent at once.
    """
    good = [
        {
            "line": row["line"],
            "order_id": row["order_id"],
            "tracking_number": row["tracking_number"],
            "carrier": row["carrier"],
            "what would happen": _becomes(row, integrations[row["integration_id"]], config, now, forward),
        }
        for row in staged
    ]
    bad = [{"line": one.line, "what would happen": f"rejected: {one.reason}", "_style": "red"} for one in rejects]
    yield from sorted([*good, *bad], key=lambda row: row["line"])[:FIRST]


def _becomes(row: Mapping[str, Any], integration: Integration, config: Config, now: datetime, forward: bool) -> str:
    if not row["tracking_number"]:
        return f"its order moves to '{row['status']}'"
    if row["id"] is not None:
        return f"known as shipment {row['id']}, {row['state']}"
    created = min(parse_stamp(row["created_at"]) if row["created_at"] else now, now)
    if not schedule.in_window(created, now, config.window.total_seconds() / 3600):
        return f"new, but older than {config.text('window_hours')} hours: it would not be sent"
    cls = platforms.load(integration.platform)
    if not takes(cls, integration.settings, integration.carrier_map, row["carrier"]):
        if not row["carrier"]:
            return f"new; blocked: {cls.title} asks for a carrier"
        return f"new; blocked: {cls.title} has no name for carrier '{row['carrier']}' (shipfwd carriers map)"
    if not integration.enabled:
        return "new; waits, forwarding is off"
    if not integration.trigger_key:
        return "new; sent at once" if forward else "new; sent by the next run"
    if integration.trigger_key == (row["status_key"] or row["known_status"]):
        return "new; sent by the next sweep"
    return f"new; waits for its order to reach '{integration.trigger_status}'"
