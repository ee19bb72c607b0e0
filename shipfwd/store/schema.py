"""Tables, indexes, migrations, and the connection with its transactions and error sentences."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from shipfwd.errors import ConfigError, StoreFailed

SCHEMA = 1

APPLICATION_ID = 0x53484657  # "SHFW"

# The partial indexes hold only what is under way, so that the cost of a run does not grow with history
# (measured up to 10,000,000 rows). Their WHERE must stand in a query word for word to be used.
TABLES = """
CREATE TABLE integrations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    platform TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    status_transfer TEXT NOT NULL CHECK (status_transfer IN ('on', 'off', 'unavailable')),
    settings TEXT NOT NULL,
    secrets TEXT NOT NULL,
    carrier_map TEXT NOT NULL DEFAULT '{}',
    identity TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    last_pass_at TEXT,
    last_success_at TEXT,
    login_warned TEXT,
    removed_at TEXT
) STRICT;
CREATE UNIQUE INDEX integrations_name ON integrations (name) WHERE removed_at IS NULL;

CREATE TABLE orders (
    integration_id INTEGER NOT NULL REFERENCES integrations (id),
    order_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '',
    status_key TEXT NOT NULL DEFAULT '',
    status_at TEXT,
    created_at TEXT NOT NULL,
    sent_state TEXT CHECK (sent_state IN ('wanted', 'done', 'refused')),
    sent_tries INTEGER NOT NULL DEFAULT 0,
    sent_next_at TEXT,
    sent_reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (integration_id, order_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_wanted ON orders (integration_id, order_id) WHERE sent_state = 'wanted';

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    command TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    exit_code INTEGER,
    counts TEXT NOT NULL DEFAULT '{}',
    pid INTEGER NOT NULL
) STRICT;

CREATE TABLE shipments (
    id INTEGER PRIMARY KEY,
    integration_id INTEGER NOT NULL,
    order_id TEXT NOT NULL,
    carrier TEXT NOT NULL DEFAULT '',
    tracking_number TEXT NOT NULL,
    tracking_original TEXT NOT NULL,
    tracking_key TEXT NOT NULL,
    tracking_url TEXT NOT NULL DEFAULT '',
    items TEXT NOT NULL DEFAULT '',
    status_key TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'pending' CHECK
        (state IN ('pending', 'sending', 'forwarded', 'failed', 'blocked', 'expired', 'dropped')),
    reason TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    added_at TEXT NOT NULL,
    added_run INTEGER NOT NULL,
    due_at TEXT,
    next_attempt_at TEXT,
    in_doubt_since TEXT,
    forwarded_at TEXT,
    confirmed_at TEXT,
    status_sent_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    remote_id TEXT NOT NULL DEFAULT '',
    run_id INTEGER REFERENCES runs (id),
    told TEXT NOT NULL DEFAULT '',
    FOREIGN KEY (integration_id, order_id) REFERENCES orders (integration_id, order_id),
    UNIQUE (integration_id, order_id, tracking_key)
) STRICT;
CREATE INDEX shipments_fresh ON shipments (integration_id, status_key, created_at)
    WHERE state = 'pending' AND due_at IS NULL;
CREATE INDEX shipments_aging ON shipments (integration_id, created_at)
    WHERE state = 'pending' AND due_at IS NULL;
CREATE INDEX shipments_due ON shipments (integration_id, coalesce(next_attempt_at, due_at))
    WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX shipments_doubt ON shipments (integration_id, next_attempt_at)
    WHERE state = 'pending' AND in_doubt_since IS NOT NULL;
CREATE INDEX shipments_sending ON shipments (run_id) WHERE state = 'sending';
CREATE INDEX shipments_blocked ON shipments (integration_id, id) WHERE state = 'blocked';
CREATE INDEX shipments_failed ON shipments (integration_id, id) WHERE state = 'failed';
CREATE INDEX shipments_untold ON shipments (id) WHERE state IN ('failed', 'blocked', 'expired') AND told = '';
CREATE INDEX shipments_unproven ON shipments (integration_id, forwarded_at)
    WHERE state = 'forwarded' AND confirmed_at IS NULL;

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    shipment_id INTEGER NOT NULL REFERENCES shipments (id),
    run_id INTEGER,
    at TEXT NOT NULL,
    step TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    method TEXT,
    url TEXT,
    status INTEGER,
    request TEXT,
    answer TEXT
) STRICT;
CREATE INDEX attempts_shipment ON attempts (shipment_id, id);
CREATE TRIGGER attempts_append_only BEFORE UPDATE ON attempts
BEGIN
    SELECT RAISE (ABORT, 'the journal is append-only');
END;
CREATE TRIGGER attempts_never_deleted BEFORE DELETE ON attempts
BEGIN
    SELECT RAISE (ABORT, 'the journal is append-only');
END;

CREATE TABLE config (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE cache (
    integration_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (integration_id, key)
) STRICT, WITHOUT ROWID;
"""


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to SCHEMA. One transaction for all, since two processes migrating at once collide."""
    import sqlite_utils

    migrations = sqlite_utils.Migrations("shipfwd")

    @migrations()
    def tables(db: sqlite_utils.Database) -> None:
        for statement in _statements(TABLES):
            db.execute(statement)

    connection.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(sqlite_utils.Database(connection, execute_plugins=False))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def explain(error: sqlite3.Error, path: Path) -> StoreFailed:
    """A database error as a sentence with the next step."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return StoreFailed(
            f"the database {path} is damaged ({text}); keep a copy, then try: "
            f"sqlite3 {path} .recover | sqlite3 repaired.db, and run: shipfwd doctor"
        )
    if "full" in text:
        return StoreFailed(f"the disk of {path} is full; make room and run again, nothing is half-written")
    if "readonly" in text:
        return StoreFailed(f"the database {path} cannot be written; check its owner and rights: ls -l {path}*")
    if "locked" in text or "busy" in text:
        return StoreFailed(
            f"another program has kept the database {path} locked for 30 seconds; close it and run again"
        )
    if "unable to open" in text:
        return StoreFailed(f"the database {path} cannot be opened; check that the folder exists and is yours")
    return StoreFailed(f"the database {path} cannot be used: {text}")


def create(path: Path) -> None:
    """Make the database (0600) and its folder (0700) if they are not there yet."""
    from shipfwd.files import private_dir

    if not path.parent.is_dir():
        private_dir(path.parent)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(fd, 0o600)  # an empty file may have been there
        os.close(fd)
    except OSError as error:
        raise ConfigError(f"cannot create the database {path}: {error.strerror}") from None


def opened(path: Path, may_create: bool = False) -> sqlite3.Connection | None:
    """A connection to our database, migrated; None when there is none. Raises ConfigError when it is not usable."""
    from shipfwd.files import is_network_file_system

    try:
        there = path.exists() and (may_create or path.stat().st_size > 0)
    except OSError as error:
        raise ConfigError(f"the database {path} cannot be opened: {error.strerror}") from None
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it: --db {path / 'shipfwd.db'}")
    if not there:
        if not may_create:
            return None
        create(path)
    if kind := is_network_file_system(path):
        raise ConfigError(f"{path} is on {kind}: locks do not hold there; keep the database on a local disk")
    try:
        connection = sqlite3.connect(
            f"file:{_quoted(path)}?mode=rw", uri=True, isolation_level=None, timeout=30, check_same_thread=False
        )
        try:
            version = _version(connection, path)
            if version == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before all else, or it does not take
                _to_wal(connection)
                _migrate(connection)
            elif connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise ConfigError(f"{path} is a database of another program; give shipfwd its own with --db")
            elif version > SCHEMA:
                raise ConfigError(
                    f"{path} was made by a newer shipfwd (schema {version}, this one knows {SCHEMA}); "
                    "upgrade shipfwd, nothing was changed"
                )
            elif version < SCHEMA:
                _migrate(connection)
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "wal_autocheckpoint = 0", "temp_store = FILE"):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(error, path) from None
    return connection


def _to_wal(connection: sqlite3.Connection) -> None:
    """Switch the journal. SQLite does not wait for others here, whatever its timeout: who is second tries again."""
    import time

    for left in range(100, -1, -1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            time.sleep(0.02)


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version; 0 for an empty file. Raises ConfigError for tables that are not ours."""
    for _ in range(2):  # twice: another process may make the tables between the two questions
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version or not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return version
    raise ConfigError(f"{path} is a database of another program; give shipfwd its own with --db")
