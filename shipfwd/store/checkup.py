"""What `doctor` reads: the database, looked at without leaving a trace beside it or in it.

Why not `opened()`: it migrates, and SQLite makes -wal and -shm files for any ordinary reader. Measured on 3.40: with
both files there, `mode=ro&readonly_shm=1` reads what they hold and changes nothing; without them only `immutable=1`
makes none.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from shipfwd.errors import ConfigError
from shipfwd.models import parse_stamp, stamp
from shipfwd.store.registry import RegistryStore
from shipfwd.store.reports import ReportStore
from shipfwd.store.schema import APPLICATION_ID, SCHEMA, _quoted, explain


@dataclass(frozen=True)
class Wanted:
    """Shipments that are not sent yet and name the same carrier. blocked: how many of them are."""

    integration_id: int
    carrier: str
    count: int
    blocked: int


def sqlite_version() -> tuple[int, int, int]:
    return sqlite3.sqlite_version_info


def examined(path: Path, clock: Callable[[], datetime]) -> Checkup:
    """The database for reading. Raises ConfigError when it is damaged, not ours, or from another shipfwd."""
    beside = [Path(f"{path}{end}") for end in ("-wal", "-shm")]
    how = "readonly_shm=1" if all(one.exists() for one in beside) else "immutable=1"
    try:
        connection = sqlite3.connect(
            f"file:{_quoted(path)}?mode=ro&{how}", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            version, ours = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
            )
            if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ConfigError(f"{path} holds no tables yet; the next shipfwd integration add makes them")
            if version == 0 or ours != APPLICATION_ID:
                raise ConfigError(f"{path} is a database of another program; give shipfwd its own with --db")
            if version > SCHEMA:
                raise ConfigError(f"{path} was made by a newer shipfwd (schema {version}); upgrade this one ({SCHEMA})")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(error, path) from None
    return Checkup(path, connection, clock)


class Checkup(RegistryStore, ReportStore):
    """Reports that only `doctor` asks for."""

    def damage(self) -> str:
        """What is broken in the file, in SQLite's words; "" when it is whole."""
        for _ in range(3):
            before = os.stat(self.path)
            try:
                said = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
            except sqlite3.Error as error:
                said = str(error)
            if said == "ok":
                return ""
            after = os.stat(self.path)
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
                return said
        return ""  # a run writes all the time: what was read was half of the old and half of the new

    def newest_run_at(self) -> datetime | None:
        """When the run with the latest start began, whatever it was."""
        (row,) = self._read("SELECT max(started_at) FROM runs")
        return parse_stamp(row[0]) if row[0] else None

    def carriers_to_come(self) -> list[Wanted]:
        """The carriers of all that may still be sent, by integration."""
        rows = self._read(
            "SELECT integration_id, carrier, sum(n) AS n, sum(blocked) AS blocked FROM ("
            " SELECT integration_id, carrier, count(*) AS n, 0 AS blocked FROM shipments"
            "  WHERE state = 'pending' AND due_at IS NULL GROUP BY 1, 2"
            " UNION ALL SELECT integration_id, carrier, count(*), 0 FROM shipments"
            "  WHERE state = 'pending' AND due_at IS NOT NULL GROUP BY 1, 2"
            " UNION ALL SELECT integration_id, carrier, count(*), count(*) FROM shipments"
            "  WHERE state = 'blocked' GROUP BY 1, 2) GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return [Wanted(row["integration_id"], row["carrier"], row["n"], row["blocked"]) for row in rows]

    def late(self, integration_id: int, since: timedelta) -> int:
        """How many have been due for longer than `since` without success, told or not."""
        names = {"i": integration_id, "late": stamp(self.clock() - since)}
        return self._count("state = 'pending' AND due_at IS NOT NULL AND due_at < :late", names)

    def leaving(self, integration_id: int, next_slot: datetime, window: timedelta) -> int:
        """How many wait that the next slot finds too old."""
        names = {"i": integration_id, "oldest": stamp(next_slot - window)}
        return self._count("state = 'pending' AND due_at IS NULL AND created_at < :oldest", names)

    def _count(self, where: str, names: dict[str, object]) -> int:
        sql = f"SELECT count(*) FROM shipments WHERE integration_id = :i AND {where}"
        return int(self._read(sql, names)[0][0])
