"""What `status` says beyond its rows: what is about to leave its window, and whether the sweeps still come.

Reads only; sentences for people, the page and `--watch` alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shipfwd import schedule
from shipfwd.models import parse_stamp
from shipfwd.settings import Config
from shipfwd.store import Store

SLOT_GRACE = timedelta(minutes=30)
NAMED = 5  # shipments that a sentence names; the rest is counted


@dataclass(frozen=True)
class Radar:
    """counts: shown state → how many.   notes: sentences, the most urgent first; empty when all is well."""

    counts: dict[str, int]
    next_slot: datetime
    notes: tuple[str, ...]

    @property
    def on_fire(self) -> bool:
        return bool(self.counts.get("failed") or self.counts.get("blocked") or self.notes)


def look(store: Store | None, config: Config, now: datetime) -> Radar:
    slot = schedule.next_slots(now, config.times, config.zone, 1)[0]
    if store is None:
        return Radar({}, slot, ())
    notes = (*_late_sweep(store, config, now), *_leaving(store, config, now, slot))
    return Radar(store.summary(), slot, notes)


def _leaving(store: Store, config: Config, now: datetime, slot: datetime) -> list[str]:
    """What leaves its window before the next sweep, and why it still waits; one sentence a cause."""
    groups: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for one in store.integrations():
        for row in store.leaving_window(one, slot, config.window, told_too=True):
            groups.setdefault((row["integration"], row["reason"], row["ends_at"] <= now), []).append(row)
    found = []
    for (name, reason, gone), rows in groups.items():
        what = f"{len(rows)} shipment{'s' * (len(rows) > 1)} of {name}"
        ids = " ".join(str(row["id"]) for row in rows[:NAMED]) + (" …" if len(rows) > NAMED else "")
        ends = schedule.local(rows[0]["ends_at"], config.zone)
        hours = config.text("window_hours")
        if gone:
            when = f"{_verb(rows, 'is', 'are')} older than {hours} hours; no sweep sends {_verb(rows, 'it', 'them')}"
        else:
            first = "" if len(rows) == 1 else "the first "
            when = f"{_verb(rows, 'leaves its', 'leave their')} window before the next sweep ({first}at {ends})"
        found.append(f"{what} {when}: {reason}. To send all the same: shipfwd forward {ids}")
    return found


def _verb(rows: list[dict[str, Any]], one: str, many: str) -> str:
    return one if len(rows) == 1 else many


def _late_sweep(store: Store, config: Config, now: datetime) -> list[str]:
    """The sweep that should have run by now. Quiet before the first slot, and when nothing waits for sweeps."""
    on = [one for one in store.integrations() if one.enabled and one.trigger_key]
    since = min((one.created_at for one in on if one.created_at), default=now)
    slot = schedule.latest_slot(now - SLOT_GRACE, config.times, config.zone)
    last = store.last_sweep()
    began = parse_stamp(last["started_at"]) if last else None
    if since >= slot or (began is not None and began >= slot):
        return []
    ran = f"the last one ran at {schedule.local(began, config.zone)}" if began else "none ever ran"
    return [f"The sweep of {schedule.local(slot, config.zone)} did not run ({ran}): is cron on? See: shipfwd doctor"]
