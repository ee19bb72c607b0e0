"""Threads that share a commit: each is durable when it returns, and one's trouble is its own."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from shipfwd.errors import StoreFailed

PUT = "INSERT INTO config VALUES (?, 'x')"


class Counted:
    """A connection that counts commits, and can be made to fail one."""

    def __init__(self, connection):
        self.connection, self.commits, self.broken = connection, 0, ""

    def execute(self, sql, *more):
        self.commits += sql == "COMMIT"
        if sql == self.broken:
            self.broken = ""
            raise sqlite3.OperationalError("disk I/O error")
        return self.connection.execute(sql, *more)

    def __getattr__(self, name):
        return getattr(self.connection, name)


@pytest.fixture
def store(filled):
    filled.store._db = Counted(filled.store._db)
    return filled.store


def keys(path):
    with closing(sqlite3.connect(path)) as other:
        return {row[0] for row in other.execute("SELECT key FROM config")}


def at_once(store, *works):
    """Let all of them queue behind a writer that holds the lock; what each raised, or None."""
    raised = [None] * len(works)

    def run(n, work):
        try:
            with store._write() as db:
                work(db)
            assert f"k{n}" in keys(store.path), "it returned before its commit"
        except Exception as error:
            raised[n] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    with store._lock:
        for thread in threads:
            thread.start()
        while len(store._queue) < len(works):
            pass
    for thread in threads:
        thread.join()
    return raised


def put(n):
    return lambda db: db.execute(PUT, (f"k{n}",))


def bad(n):
    def work(db):
        db.execute(PUT, (f"k{n}",))
        raise ValueError(n)

    return work


def test_those_who_wait_share_a_commit(store):
    before = store._db.commits
    assert at_once(store, *(put(n) for n in range(8))) == [None] * 8
    assert keys(store.path) >= {f"k{n}" for n in range(8)}
    assert store._db.commits == before + 1


@pytest.mark.parametrize("wrong", range(4))
def test_one_that_fails_takes_back_its_own_changes_alone(store, wrong):
    raised = at_once(store, *(bad(n) if n == wrong else put(n) for n in range(4)))
    assert [type(error) for error in raised] == [ValueError if n == wrong else type(None) for n in range(4)]
    assert {f"k{n}" for n in range(4)} - keys(store.path) == {f"k{wrong}"}


def test_all_of_them_fail_when_their_commit_does(store):
    store._db.broken = "COMMIT"
    raised = at_once(store, *(put(n) for n in range(4)))
    assert [type(error) for error in raised] == [StoreFailed] * 4
    assert not {f"k{n}" for n in range(4)} & keys(store.path)
    assert at_once(store, put(0)) == [None]


def test_a_transaction_that_sqlite_gave_up_fails_everybody_in_it(store):
    def lost(db):
        db.execute(PUT, ("k2",))
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    raised = at_once(store, put(0), put(1), lost)
    stored = {f"k{n}" for n in range(3)} & keys(store.path)
    assert stored == {f"k{n}" for n, error in enumerate(raised) if error is None}
    assert isinstance(raised[2], StoreFailed)


def test_a_transaction_within_one_is_the_same_one(store):
    def outer():
        with store._write() as db:
            with store._write() as inner:
                inner.execute(PUT, ("inner",))
            db.execute(PUT, ("outer",))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        outer()
    assert not {"inner", "outer"} & keys(store.path)


def test_whoever_was_to_commit_may_be_gone(store):
    store._queue.add(-1)  # a thread that queued and was ended
    assert at_once(store) == []
    with store._write() as db:
        db.execute(PUT, ("k0",))
    assert "k0" in keys(store.path)
