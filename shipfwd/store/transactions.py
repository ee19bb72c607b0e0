"""The connection with its lock, and transactions: durable when they end, shared by threads that wait for each other."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shipfwd.store.schema import explain


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
            if self._inside:
                yield self._db
                return
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
