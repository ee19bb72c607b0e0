"""Integrations, config and cached answers: the part of the store that people set up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shipfwd.errors import UsageError
from shipfwd.models import Integration, parse_stamp, stamp
from shipfwd.store.transactions import Connected

_UNDER_WAY = """
    SELECT count(*) FROM shipments WHERE integration_id = :id AND state = 'pending' AND due_at IS NOT NULL
    UNION ALL SELECT count(*) FROM shipments WHERE integration_id = :id AND state = 'pending' AND due_at IS NULL
    UNION ALL SELECT count(*) FROM shipments
        WHERE integration_id = :id AND state = 'pending' AND in_doubt_since IS NOT NULL AND due_at IS NULL
    UNION ALL SELECT count(*) FROM shipments WHERE integration_id = :id AND state = 'failed'
    UNION ALL SELECT count(*) FROM shipments
        WHERE integration_id = :id AND state = 'failed' AND in_doubt_since IS NOT NULL
    UNION ALL SELECT count(*) FROM shipments INDEXED BY shipments_sending
        WHERE state = 'sending' AND integration_id = :id
"""


def _integration(row: sqlite3.Row) -> Integration:
    return Integration(
        row["id"],
        row["name"],
        row["platform"],
        row["trigger"],
        bool(row["enabled"]),
        row["status_transfer"],
        json.loads(row["settings"]),
        json.loads(row["secrets"]),
        json.loads(row["carrier_map"]),
        row["identity"],
        parse_stamp(row["created_at"]),
        parse_stamp(row["last_pass_at"]) if row["last_pass_at"] else None,
        parse_stamp(row["last_success_at"]) if row["last_success_at"] else None,
    )


class RegistryStore(Connected):
    def integrations(self) -> list[Integration]:
        """All that are not removed, by name."""
        return [
            _integration(row) for row in self._read("SELECT * FROM integrations WHERE removed_at IS NULL ORDER BY name")
        ]

    def integration(self, name: str) -> Integration:
        """Raises UsageError for an unknown name, with the nearest one."""
        for one in (every := self.integrations()):
            if one.name == name:
                return one
        import difflib

        near = difflib.get_close_matches(name, [one.name for one in every], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; see: shipfwd integration list"
        raise UsageError(f"no integration is called '{name}'{hint}")

    def add_integration(self, new: Integration) -> Integration:
        """Raises UsageError when the name is taken."""
        with self._write() as db:
            self._refuse_taken(new.name)
            cursor = db.execute(
                'INSERT INTO integrations (name, platform, "trigger", enabled, status_transfer, settings, secrets,'
                " identity, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    new.name,
                    new.platform,
                    new.trigger,
                    int(new.enabled),
                    new.status_transfer,
                    json.dumps(dict(new.settings)),
                    json.dumps(dict(new.secrets)),
                    new.identity,
                    stamp(self.clock()),
                ),
            )
            assert cursor.lastrowid is not None
            return replace(new, id=cursor.lastrowid)

    def _refuse_taken(self, name: str) -> None:
        if self._read("SELECT 1 FROM integrations WHERE name = ? AND removed_at IS NULL", (name,)):
            raise UsageError(
                f"an integration is already called '{name}'; change it with: shipfwd integration edit {name}"
            )

    def save_integration(self, changed: Integration) -> None:
        """Store every field that a person may edit; rows hang on the id, so a new name is only a new name."""
        with self._write() as db:
            if self._read(
                "SELECT 1 FROM integrations WHERE name = ? AND removed_at IS NULL AND id <> ?",
                (changed.name, changed.id),
            ):
                self._refuse_taken(changed.name)
            db.execute(
                'UPDATE integrations SET name = ?, "trigger" = ?, enabled = ?, status_transfer = ?, settings = ?,'
                " secrets = ?, carrier_map = ?, identity = ? WHERE id = ?",
                (
                    changed.name,
                    changed.trigger,
                    int(changed.enabled),
                    changed.status_transfer,
                    json.dumps(dict(changed.settings)),
                    json.dumps(dict(changed.secrets)),
                    json.dumps(dict(changed.carrier_map)),
                    changed.identity,
                    changed.id,
                ),
            )

    def set_identity(self, integration_id: int, identity: str) -> None:
        with self._write() as db:
            db.execute("UPDATE integrations SET identity = ? WHERE id = ?", (identity, integration_id))

    def remove_integration(self, integration_id: int, reason: str, unless: Callable[[], None] = lambda: None) -> int:
        """Drop what is still under way, forget settings and secrets, keep shipments and journal; how many dropped.

        unless   raises what speaks against it. Asked when nobody can claim any more: a run may have meanwhile.
        """
        now = stamp(self.clock())
        with self._write() as db:
            unless()
            dropped = db.execute(
                "UPDATE shipments SET state = 'dropped', reason = ?, next_attempt_at = NULL, in_doubt_since = NULL,"
                " run_id = NULL WHERE integration_id = ? AND state IN ('pending', 'sending')",
                (reason, integration_id),
            ).rowcount
            db.execute(
                "UPDATE orders SET sent_state = NULL WHERE integration_id = ? AND sent_state = 'wanted'",
                (integration_id,),
            )
            db.execute("DELETE FROM cache WHERE integration_id = ?", (integration_id,))
            db.execute(
                "UPDATE integrations SET removed_at = ?, enabled = 0, secrets = '{}' WHERE id = ?",
                (now, integration_id),
            )
        return dropped

    def under_way(self, integration_id: int) -> dict[str, int]:
        """How many are due, waiting, failed or being sent, from the partial indexes alone."""
        names = ("due", "waiting", "in_doubt", "failed", "may_have_arrived", "sending")
        return dict(zip(names, (row[0] for row in self._read(_UNDER_WAY, {"id": integration_id})), strict=True))

    def to_send(self, integration: Integration) -> int:
        """How many `status` shows as pending or retrying."""
        doubt = "in_doubt_since IS NOT NULL"
        queries = {
            False: (doubt,),
            True: (
                f"{doubt} AND due_at IS NULL AND status_key <> :key",
                "due_at IS NOT NULL",
                "due_at IS NULL AND status_key = :key",
            )
            if integration.trigger_key
            else ("due_at IS NULL", "due_at IS NOT NULL"),
        }[integration.enabled]
        names = {"i": integration.id, "key": integration.trigger_key}
        start = "SELECT count(*) FROM shipments WHERE integration_id = :i AND state = 'pending' AND "
        return sum(int(self._read(start + one, names)[0][0]) for one in queries)

    # ---- config -----------------------------------------------------------------------------------------

    def config(self) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self._read("SELECT key, value FROM config")}

    def set_config(self, key: str, value: str) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO config (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    # ---- cached answers of platforms --------------------------------------------------------------------

    def cached(self, integration_id: int, key: str) -> Any:
        rows = self._read(
            "SELECT value FROM cache WHERE integration_id = ? AND key = ? AND until > ? AND until < ?",
            (integration_id, key, self.clock().timestamp(), (self.clock() + timedelta(days=8)).timestamp()),
        )
        return json.loads(rows[0]["value"]) if rows else None

    def put_cached(self, integration_id: int, key: str, value: Any, seconds: float) -> None:
        until = self.clock().timestamp() + min(seconds, 7 * 86400)
        with self._write() as db:
            db.execute(
                "INSERT INTO cache (integration_id, key, value, until) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (integration_id, key) DO UPDATE SET value = excluded.value, until = excluded.until",
                (integration_id, key, json.dumps(value), until),
            )

    def forget_cached(self, integration_id: int) -> None:
        with self._write() as db:
            db.execute("DELETE FROM cache WHERE integration_id = ?", (integration_id,))
