"""Tables, indexes, migrations, and the connection with its transactions and error sentences."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
CREATE INDEX shipments_untold ON shipments (id) WHERE state IN ('failed', 'blocked') AND told = '';
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
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigError(f"cannot create the database {path}: {error.strerror}") from None


def opened(path: Path, may_create: bool = False) -> sqlite3.Connection | None:
    """A connection to our database, migrated; None when there is none. Raises ConfigError when it is not usable."""
    from shipfwd.files import is_network_file_system

    try:
        there = path.exists() and (may_create or path.stat().st_size > 0)
    except OSError as error:
        raise ConfigError(f"the database {path} cannot be opened: {error.strerror}") from None
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
                connection.execute("PRAGMA journal_mode = WAL")
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


class Batch:
    """Changes of several threads that one commit makes durable."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: sqlite3.Error | None = None


class Connected:
    """The connection, its lock, and transactions whose errors are sentences."""

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Callable[[], Any]) -> None:
        self.path = path
        self.clock = clock
        self._db = connection
        self._db.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._queue: set[int] = set()  # threads that wait for the lock in order to write
        self._batch: Batch | None = None  # the transaction that is open
        self._inside = False  # the thread that holds the lock is within a transaction of its own

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is durable when it ends, or was never there.

        Threads that wait to write bring their changes into the open one, each behind a savepoint, and the last of
        them commits for all: with 16 threads that is a quarter of the syncs. Nobody returns before its commit.
        """
        me = threading.get_ident()
        self._queue.add(me)
        batch = None
        try:
            with self._lock:
                self._queue.discard(me)
                if self._inside:
                    yield self._db
                    return
                self._inside, joins = True, self._batch is not None
                try:
                    self._db.execute("SAVEPOINT change" if joins else "BEGIN IMMEDIATE")
                    batch = self._batch = self._batch or Batch()
                    try:
                        yield self._db
                        if joins:
                            self._db.execute("RELEASE change")
                    except BaseException:
                        self._undo(joins)
                        raise
                finally:
                    self._inside = False
                    if self._batch is not None and not self._queue:
                        self._commit()
            while not batch.done.wait(0.1):  # a thread that was to commit for us may have been ended
                with self._lock:
                    if self._batch is batch:
                        self._commit()
            if batch.error is not None:
                raise batch.error
        except sqlite3.IntegrityError:
            raise  # a bug of ours, not the file's
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        finally:
            self._queue.discard(me)

    def _undo(self, joins: bool) -> None:
        """Take one thread's changes back; the others' stay, unless SQLite gives up the whole transaction."""
        try:
            if joins and self._db.in_transaction:
                self._db.execute("ROLLBACK TO change")
                self._db.execute("RELEASE change")
                return
        except sqlite3.Error:
            pass
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._end(sqlite3.OperationalError("the transaction was given up"))

    def _commit(self) -> None:
        error = None
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as failed:
            error = failed
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._end(error)

    def _end(self, error: sqlite3.Error | None) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.error = error
            batch.done.set()

    @contextmanager
    def _alone(self, begin: str, end: str) -> Iterator[sqlite3.Connection]:
        """A transaction that no other thread's changes come into."""
        with self._lock:
            if self._batch is not None:
                self._commit()
            self._inside = True
            try:
                self._db.execute(begin)
                try:
                    yield self._db
                    self._db.execute(end)
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise explain(error, self.path) from error
            finally:
                self._inside = False

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Everything inside happens and then never did: what a dry run decides by."""
        with self._alone("BEGIN IMMEDIATE", "ROLLBACK"):
            yield

    @contextmanager
    def _stage(self) -> Iterator[sqlite3.Connection]:
        """A transaction on temporary tables alone: it keeps nobody from writing, however long a file is read."""
        with self._alone("BEGIN", "COMMIT") as db:
            yield db

    def _read(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._db.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise explain(error, self.path) from error

    def plan(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> str:
        """How SQLite would run a query, for the tests that guard the indexes."""
        return "; ".join(row["detail"] for row in self._read("EXPLAIN QUERY PLAN " + sql, parameters))

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file. TRUNCATE holds the writers' lock, which keeps SQLite
        before 3.51.3 clear of its WAL-reset bug; skipped when somebody else is busy."""
        with self._lock:
            try:
                self._db.execute("PRAGMA busy_timeout = 200")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error:
                pass
            finally:
                self._db.execute("PRAGMA busy_timeout = 30000")

    def close(self) -> None:
        with self._lock:
            self._db.close()
