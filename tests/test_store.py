"""The database: what may be in it, who may take what, and that no question reads history."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace

import pytest
from support import NOON, Clock, Filled, row

from shipfwd import errors
from shipfwd.files import lives, locks_folder
from shipfwd.models import Attempt, Settlement
from shipfwd.runs import Run
from shipfwd.store import SCHEMA, after, intake, opened, queue
from shipfwd.store.schema import APPLICATION_ID

WINDOW = timedelta(hours=72)


# ---- no question reads history ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_shop(tmp_path_factory):
    """10,000 shipments, nearly all of them history; no ANALYZE was ever run."""
    filled = Filled(tmp_path_factory.mktemp("old") / "t.db", Clock())
    shop = filled.integration("shop")
    filled.integration("status", trigger="status:Shipped")
    with filled.store._write() as db:
        for n in range(10_000):
            state = "forwarded" if n % 100 else ("pending", "failed", "blocked", "sending", "pending")[n // 100 % 5]
            due = None if n % 200 == 0 and state == "pending" else "2026-11-20T12:00:00Z"
            db.execute("INSERT INTO orders (integration_id, order_id, created_at) VALUES (?, ?, '')", (shop.id, str(n)))
            db.execute(
                "INSERT INTO shipments (integration_id, order_id, tracking_number, tracking_original, tracking_key,"
                " state, created_at, added_at, added_run, due_at, forwarded_at, confirmed_at)"
                " VALUES (?, ?, ?, ?, ?, ?, '2026-11-20T12:00:00Z', '', 1, ?, ?, ?)",
                (
                    shop.id,
                    str(n),
                    f"N{n}",
                    f"N{n}",
                    f"N{n}",
                    state,
                    due,
                    *(2 * [due if state == "forwarded" else None]),
                ),
            )
    yield filled
    filled.store.close()


WATCHED = {
    "due": lambda s, i: s.claim(s.begin_run("t"), i, 10),
    "due of a run": lambda s, i: s.claim(s.begin_run("t"), i, 10, only_run=1),
    "due in a dry run": lambda s, i: s.foresight(i, WINDOW, True).next(10),
    "work": lambda s, i: s.has_work(i),
    "fresh": lambda s, i: s._mark_due(i, WINDOW),
    "expired": lambda s, i: s.expire(i, WINDOW),
    "blocked": lambda s, i: list(s.blocked(i.id)),
    "unproven": lambda s, i: list(s.unproven(i.id, 100)),
    "failed": lambda s, i: s.failed_ids([i.id]),
    "given up": lambda s, i: s.give_up(i.id),
    "wanted": lambda s, i: s.wanted_sent(i, 10),
    "held back": lambda s, i: s.hold_back(i),
    "sending": lambda s, i: s.holding_runs(),
    "taken back": lambda s, i: s.take_back(77),
    "under way": lambda s, i: s.under_way(i.id),
    "to send": lambda s, i: s.to_send(i),
    "untold": lambda s, i: s.newly_in_trouble(),
    "overdue": lambda s, i: s.overdue(),
    "leaving": lambda s, i: s.leaving_window(i, NOON, WINDOW),
    "summary": lambda s, i: s.summary(),
    "full pass": lambda s, i: s.full_pass(i, WINDOW),
    "one order": lambda s, i: s.forwarded_of(i.id, "7"),
    "ours": lambda s, i: s.ours(i.id, "7"),
    "a story": lambda s, i: s.story(7),
    "status of waiting ones": lambda s, i: list(s.status(states=["waiting"])),
    "status of retrying ones": lambda s, i: list(s.status(states=["pending", "retrying"])),
    "status of failed ones": lambda s, i: list(s.status(states=["failed", "blocked"])),
    "status of sending ones": lambda s, i: list(s.status(states=["sending"])),
    "status of an order": lambda s, i: list(s.status(orders=["7"])),
    "metrics": lambda s, i: s.last_sweep(),
}


@pytest.mark.parametrize("trigger", ["created", "status"])
@pytest.mark.parametrize("name", WATCHED)
def test_no_question_of_a_run_reads_history(old_shop, name, trigger):
    """Every statement that the store runs for it uses an index, and never one over all shipments or orders."""
    store = old_shop.store
    shop = store.integration("shop")
    if trigger == "status":
        from dataclasses import replace

        shop = replace(shop, trigger="status:Shipped")
    asked: list[str] = []
    with store._alone("BEGIN IMMEDIATE", "ROLLBACK"):
        store._db.set_trace_callback(asked.append)
        try:
            WATCHED[name](store, shop)
        finally:
            store._db.set_trace_callback(None)
        plans = {
            sql: [line["detail"] for line in store._db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
            for sql in asked
            if sql.split()[0] in ("SELECT", "UPDATE", "WITH", "INSERT")
        }
    assert plans
    for sql, plan in plans.items():
        for step in plan:
            if not step.startswith(("SCAN", "SEARCH")) or "VIRTUAL" in step or "CONSTANT" in step:
                continue
            table = step.split()[1]
            if table in ("runs", "attempts", "a", "config", "i", "integrations", "temp.foreseen"):
                continue  # few rows, or searched by key
            by_key = "order_id=?" in step or "INTEGER PRIMARY KEY (rowid=?)" in step or "tracking_key=?" in step
            partial = "USING INDEX shipments_" in step or "USING COVERING INDEX shipments_" in step
            partial = partial or "INDEX orders_wanted" in step
            assert partial or by_key and step.startswith("SEARCH"), f"{step}\n{sql}"


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (queue._DUE.format(when="<= :now"), "shipments_due"),
        (queue._DUE.format(when="> :far"), "shipments_due"),
        (queue._DOUBT, "shipments_doubt"),
        (after._WANTED, "orders_wanted"),
    ],
)
def test_the_claims_own_queries_use_the_index_made_for_them(old_shop, sql, index):
    names = {"integration": 1, "now": "2026", "far": "2027", "only": None, "n": 10, "order": None}
    assert index in old_shop.store.plan(sql, names)


@pytest.mark.parametrize("sql", [intake._FIND_NEWS, intake._TOO_LATE, intake._UNDATED])
def test_a_file_is_compared_with_what_is_known_by_key(old_shop, sql):
    """And not by reading all that is known, however long the file is."""
    shop = old_shop.store.integration("shop")
    held = old_shop.store.intake(1)
    held.put([row("7", "N7", integration_id=shop.id)])
    held.group()
    plan = old_shop.store.plan(sql, (0,) if "?" in sql else ())
    assert "sqlite_autoindex_shipments_1 (integration_id=? AND order_id=? AND tracking_key=?" in plan
    assert "SCAN s;" not in f"{plan};"
    assert "orders AS o" not in sql or "SEARCH o USING PRIMARY KEY (integration_id=? AND order_id=?)" in plan


# ---- the file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_database_and_what_lies_beside_it_are_its_owners_alone(tmp_path, umask, clock):
    before = os.umask(umask)
    try:
        filled = Filled(tmp_path / "new" / "deep" / "t.db", clock)
        filled.put(filled.integration(), row("101", "NO1010000"))
        with Run(filled.store, "forward", clock):
            modes = {one: stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "new").rglob("*")}
    finally:
        os.umask(before)
    assert {path.name: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    assert {path.name for path in modes} >= {"t.db", "t.db-wal", "t.db-shm", "t.db.locks"}
    filled.store.close()


def test_it_is_durable_and_strict(filled):
    ask = filled.store._db.execute
    assert ask("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert ask("PRAGMA synchronous").fetchone()[0] == 2
    assert ask("PRAGMA foreign_keys").fetchone()[0] == 1
    assert ask("PRAGMA wal_autocheckpoint").fetchone()[0] == 0
    assert ask("PRAGMA busy_timeout").fetchone()[0] == 30000
    tables = ask("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'").fetchall()
    named = {name: strict for name, strict in tables if not name.startswith(("sqlite_", "_sqlite"))}
    assert set(named) >= {"integrations", "orders", "shipments", "attempts", "runs", "config"}
    assert set(named.values()) == {1}


def test_a_checkpoint_leaves_the_patience_as_it_was(filled):
    filled.store.checkpoint()
    assert filled.store._db.execute("PRAGMA busy_timeout").fetchone()[0] == 30000


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("INSERT INTO shipments (integration_id, order_id, tracking_number, tracking_original, tracking_key,"
         " created_at, added_at, added_run) VALUES (1, 'nowhere', 'N', 'N', 'N', '', '', 1)", "FOREIGN KEY"),
        ("INSERT INTO orders (integration_id, order_id, created_at) VALUES (99, 'a', '')", "FOREIGN KEY"),
        ("UPDATE shipments SET state = 'retrying'", "CHECK"),
        ("UPDATE shipments SET attempts = 'many'", "cannot store TEXT"),
        ("UPDATE orders SET sent_state = 'perhaps'", "CHECK"),
        ("INSERT INTO attempts (shipment_id, at, step, outcome) VALUES (99, '', '', '')", "FOREIGN KEY"),
        ("UPDATE attempts SET outcome = 'better'", "append-only"),
        ("DELETE FROM attempts", "append-only"),
        ("DELETE FROM shipments", "FOREIGN KEY"),
    ],
)  # fmt: skip
def test_what_must_not_be_is_refused_by_the_database_itself(filled, sql, problem):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "NO1010000"))
    filled.store.leave(1, [Attempt(one, "forward", "left")])
    with pytest.raises(sqlite3.IntegrityError, match=problem):
        filled.change(sql)


def test_a_newer_database_is_refused_and_stays_untouched(filled):
    filled.change(f"PRAGMA user_version = {SCHEMA + 1}")
    filled.store.close()
    before = filled.path.read_bytes()
    with pytest.raises(errors.ConfigError, match="made by a newer shipfwd.*upgrade"):
        opened(filled.path, may_create=True)
    assert filled.path.read_bytes() == before


@pytest.mark.parametrize("marked", [False, True])
def test_another_programs_database_is_refused_and_stays_untouched(tmp_path, marked):
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
        if marked:
            other.execute("PRAGMA application_id = 42")
            other.execute("PRAGMA user_version = 1")
        other.commit()
    before = path.read_bytes()
    for may_create in (True, False):
        with pytest.raises(errors.ConfigError, match="another program"):
            opened(path, may_create)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["notes.db"]


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"x" * 5000, "damaged"), (b"SQLite format 3\0" + b"\xff" * 4080, "damaged|cannot be used")],
)
def test_a_damaged_file_is_named_with_a_way_out(tmp_path, content, word):
    (tmp_path / "t.db").write_bytes(content)
    with pytest.raises(errors.StoreFailed, match=word) as caught:
        opened(tmp_path / "t.db")
    assert "t.db" in str(caught.value)


def test_damage_in_the_middle_is_a_sentence_wherever_it_is_met(filled):
    shop = filled.integration()
    filled.put(shop, *(row(str(n), f"NO{n:07}", line=n) for n in range(3000)))
    filled.store.checkpoint()
    filled.store.close()
    with open(filled.path, "r+b") as file:
        file.seek(4096 * 40)
        file.write(b"\xa5" * 4096 * 60)
    broken = Filled(filled.path, filled.clock)
    with pytest.raises(errors.StoreFailed):
        list(broken.store.status())
    with pytest.raises(errors.StoreFailed):
        broken.store.full_pass(shop, WINDOW) and broken.store.claim(1, shop, 5000)
    broken.store.close()


def test_an_empty_file_is_no_database_to_read_and_one_to_create(tmp_path):
    (tmp_path / "t.db").touch()
    assert opened(tmp_path / "t.db") is None
    connection = opened(tmp_path / "t.db", may_create=True)
    assert connection is not None
    connection.close()


def test_a_full_disk_loses_nothing_and_says_so(filled):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "NO1010000"))
    pages = filled.store._db.execute("PRAGMA page_count").fetchone()[0]
    filled.store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(errors.StoreFailed, match="disk .* is full; make room"):
        filled.put(shop, *(row(str(n), f"NO{n:07}", line=n) for n in range(3000)), run=1)
    filled.store._db.execute("PRAGMA max_page_count = 1000000")
    ids = filled.put(shop, *(row(str(n), f"NO{n:07}", line=n) for n in range(3000)), run=1)
    assert len(ids) == 3000
    assert filled.shown(one)["state"] == "pending"


def test_a_locked_database_is_a_sentence(filled):
    filled.store._db.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(filled.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.StoreFailed, match="another program has kept the database .* locked"):
            filled.integration()
        with pytest.raises(errors.StoreFailed, match="locked"), filled.store._alone("BEGIN IMMEDIATE", "ROLLBACK"):
            pass


def _make(path, barrier, answers):
    barrier.wait()
    try:
        filled = Filled(path, Clock())
        answers.put(len(filled.store.integrations()))
        filled.store.close()
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("round", range(3))
def test_processes_that_make_the_database_at_once_agree(tmp_path, round):
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    made = [context.Process(target=_make, args=(tmp_path / "t.db", barrier, answers)) for _ in range(4)]
    for one in made:
        one.start()
    assert [answers.get(timeout=20) for _ in made] == [0, 0, 0, 0]
    for one in made:
        one.join()
    with closing(sqlite3.connect(tmp_path / "t.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA
        assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID


# ---- what comes in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["6200 2269-6408", "620022696408", " 62002269​6408 ", "6200.2269.6408"])
def test_a_shipment_is_known_by_its_number_reduced(filled, again):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "620022696408"))
    assert filled.put(shop, row("101", again)) == []
    assert (filled.arrived.added, filled.arrived.known) == (0, 1)
    assert filled.shown(one)["tracking_number"] == "620022696408"


def test_letters_of_a_number_compare_in_any_case(filled):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "jd0146"))
    assert filled.put(shop, row("101", "JD-0146")) == []
    assert filled.stored(one)["tracking_number"] == "JD0146"
    assert filled.stored(one)["tracking_original"] == "jd0146"


def test_the_same_number_on_another_order_or_integration_is_another_shipment(filled):
    shop, other = filled.integration("shop"), filled.integration("other")
    filled.put(shop, row("101", "NO1010000"), row("102", "NO1010000", line=2))
    assert len(filled.put(other, row("101", "NO1010000"))) == 1
    assert len(list(filled.store.status())) == 3


@pytest.mark.parametrize(
    ("state", "changes"),
    [("pending", True), ("failed", True), ("blocked", True), ("expired", True), ("dropped", True),
     ("forwarded", False), ("sending", False)],
)  # fmt: skip
def test_a_known_row_changes_carrier_and_items_until_it_is_forwarded(filled, state, changes):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "NO1010000", item_id="1", quantity=2))
    filled.change("UPDATE shipments SET state = ?, run_id = iif(? = 'sending', 1, NULL)", state, state)
    filled.put(shop, row("101", "NO1010000", carrier="inpost", item_id="2", quantity=1, url="https://t.test/1"))
    after = filled.stored(one)
    assert after["carrier"] == ("inpost" if changes else "dpd")
    assert ('"2"' in after["items"], '"1"' in after["items"]) == (changes, not changes), "replaced, never added up"
    assert bool(after["tracking_url"]) == changes
    assert len(filled.arrived.too_late) == (0 if changes else 1)
    assert after["state"] == state


def test_a_known_row_without_carrier_or_items_changes_nothing(filled):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "NO1010000", item_id="1"))
    before = filled.stored(one)
    filled.put(shop, row("101", "NO1010000", carrier=""))
    assert filled.stored(one) == before


def test_the_ship_date_keeps_its_first_value(filled, clock):
    shop = filled.integration()
    first = NOON - timedelta(hours=5)
    (one,) = filled.put(shop, row("101", "NO1010000", created_at=first))
    filled.put(shop, row("101", "NO1010000", created_at=NOON))
    assert filled.shown(one)["created_at"] == "2026-11-23T07:00:00Z"
    (two,) = filled.put(shop, row("102", "NO1020000"))
    assert filled.arrived.undated == 1
    clock.forward(hours=3)
    filled.put(shop, row("102", "NO1020000", created_at=first))
    assert filled.shown(two)["created_at"] == "2026-11-23T12:00:00Z"


@pytest.mark.parametrize("state", ["pending", "forwarded", "failed", "dropped"])
def test_an_order_status_always_applies(filled, state):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "NO1010000", status="New"))
    filled.change("UPDATE shipments SET state = ?", state)
    filled.put(shop, row("101", status="Shipped"))
    assert filled.shown(one)["order_status"] == "Shipped"
    assert filled.stored(one)["status_key"] == "shipped"
    filled.put(shop, row("101", "NO1010000"))
    assert filled.shown(one)["order_status"] == "Shipped", "a row without a status leaves it"


def test_a_status_that_came_before_its_number_counts(filled):
    shop = filled.integration(trigger="status:Shipped")
    filled.put(shop, row("101", status=" SHIPPED "))
    (one,) = filled.put(shop, row("101", "NO1010000"))
    filled.store.full_pass(shop, WINDOW)
    assert filled.shown(one)["due_at"]


def test_the_last_row_of_a_shipment_wins_and_its_items_come_together(filled):
    shop = filled.integration()
    (one,) = filled.put(
        shop,
        row("101", "NO1010000", line=2, item_id="A", quantity=1, carrier="dpd"),
        row("101", "NO-101-0000", line=3, item_id="B", quantity=2, carrier="inpost"),
        row("101", "NO1010000", line=4, item_id="A", quantity=3, carrier="inpost"),
    )
    found = filled.store.claim_by_hand(filled.store.begin_run("t"), [one])[0][shop.id][0][0]
    assert [(item.item_id, item.quantity) for item in found.parcel.items] == [("A", 3), ("B", 2)]
    assert found.parcel.carrier == "inpost"


def test_a_row_that_changes_nothing_wins_over_an_earlier_one_of_its_file(filled):
    shop = filled.integration()
    one, _ = filled.put(shop, row("101", "NO1010000", status="New"), row("102", "NO1020000", status="New", line=2))
    filled.put(
        shop,
        row("101", "NO1010000", line=2, carrier="inpost", status="Shipped"),
        row("101", "NO1010000", line=3, status="New"),
        row("102", "NO1020000", line=4, status="New"),
        row("102", "NO1020000", line=5),
    )
    assert (filled.stored(one)["carrier"], filled.shown(one)["order_status"]) == ("dpd", "New")
    assert (filled.arrived.added, filled.arrived.known) == (0, 2)


def test_a_file_that_says_nothing_new_writes_nothing(filled):
    shop = filled.integration()
    rows = [row(str(n), f"NO{n:07}", line=n, status="New") for n in range(20)]
    filled.put(shop, *rows)
    intake = filled.store.intake(filled.store.begin_run("import"))
    intake.put(one._replace(integration_id=shop.id) for one in rows)
    intake.group()
    before = filled.store._db.total_changes
    assert intake.merge().known == 20
    assert filled.store._db.total_changes == before


def test_what_can_be_dropped_is_dropped_whatever_stands_beside_it(filled, monkeypatch):
    monkeypatch.setattr(after, "DROPPED_AT_ONCE", 2)
    shop = filled.integration()
    ids = filled.put(shop, *(row(str(n), f"NO{n:07}", line=n) for n in range(5)))
    filled.change("UPDATE shipments SET state = 'sending' WHERE id = ?", ids[0])
    filled.change("UPDATE shipments SET in_doubt_since = created_at WHERE id = ?", ids[3])
    assert filled.store.drop(ids, "cancelled") == [ids[1], ids[2], ids[4]]
    assert [filled.stored(one)["state"] for one in ids] == ["sending", "dropped", "dropped", "pending", "dropped"]


def test_storing_tells_how_far_it_is_after_each_commit(filled, monkeypatch):
    monkeypatch.setattr(intake, "CHUNK", 5)
    monkeypatch.setattr(intake, "COMMIT_SECONDS", 0)
    shop = filled.integration()
    put = filled.store.intake(filled.store.begin_run("import"))
    rows = (row(str(n), f"NO{n:07}", line=n, status="New" if n < 2 else "") for n in range(8))
    put.put(one._replace(integration_id=shop.id) for one in rows)
    put.group()
    shares: list[float] = []
    assert put.merge(shares.append).added == 8
    assert shares == [0.2, 0.7, 1.0]  # two statuses, and eight shipments in steps of five


@pytest.mark.parametrize(("orders", "refused"), [(3, False), (4, True)])
def test_a_number_on_more_than_three_orders_is_noticed(filled, orders, refused):
    shop = filled.integration()
    intake = filled.store.intake(1)
    numbers = ["SAME-0001", "same0001", "SAME 0001", "SAME0001"]
    intake.put(row(str(n), numbers[n % 4], line=n, integration_id=shop.id) for n in range(orders))
    assert bool(intake.overused()) == refused


def test_a_long_import_keeps_nobody_from_writing(filled, make_store):
    """While a file is read, a sweep beside it must be able to store."""
    shop = filled.integration()
    other = make_store(filled.path)
    other.store._db.execute("PRAGMA busy_timeout = 50")

    def rows():
        for n in range(5):
            yield row(str(n), f"NO{n:07}", line=n, integration_id=shop.id)
            other.change("INSERT OR REPLACE INTO config VALUES ('beside', ?)", str(n))

    intake = filled.store.intake(filled.store.begin_run("import"))
    intake.put(rows())
    intake.group()
    assert intake.merge().added == 5


def test_an_import_broken_off_and_run_again_ends_the_same(filled, monkeypatch):
    from shipfwd.store import intake as module

    shop = filled.integration()
    rows = [row(str(n), f"NO{n:07}", line=n) for n in range(50)]
    monkeypatch.setattr(module, "CHUNK", 7)
    ticks = itertools.count()  # each transaction takes one step
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks) * 0.3))
    steps = []
    real = filled.store._write

    def breaks():
        steps.append(1)
        if len(steps) > 5:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(filled.store, "_write", breaks)
    with pytest.raises(KeyboardInterrupt):
        filled.put(shop, *rows, run=1)
    monkeypatch.setattr(filled.store, "_write", real)
    got = len(list(filled.store.status()))
    assert 0 < got < 50
    filled.put(shop, *rows)
    assert (filled.arrived.added, filled.arrived.known) == (50 - got, got)


# ---- orders -------------------------------------------------------------------------------------------------


def test_moving_an_order_reaches_all_its_shipments(filled):
    shop = filled.integration(trigger="status:Shipped")
    ids = filled.put(shop, row("101", "ONE0001"), row("101", "TWO0002", line=2), row("102", "THREE03", line=3))
    assert filled.store.move_orders(shop.id, ["101"], "shipped") == 1
    assert filled.store.move_orders(shop.id, ["101"], "shipped") == 0
    filled.store.full_pass(shop, WINDOW)
    assert [bool(filled.shown(one)["due_at"]) for one in ids] == [True, True, False]


def test_an_unknown_order_moves_nothing_and_names_the_nearest(filled):
    shop = filled.integration()
    (one,) = filled.put(shop, row("A-1001", "ONE0001", status="New"))
    with pytest.raises(errors.UsageError, match="no order 'A-1010'.*did you mean 'A-1001'"):
        filled.store.move_orders(shop.id, ["A-1001", "A-1010"], "Shipped")
    assert filled.shown(one)["order_status"] == "New"


# ---- due and expired ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", ["created", "status:Shipped"])
@pytest.mark.parametrize(
    ("age", "state"),
    [(timedelta(hours=72), "pending"), (timedelta(hours=72, seconds=1), "expired"), (timedelta(0), "pending"),
     (timedelta(hours=72, microseconds=-1), "pending")],
)  # fmt: skip
def test_the_window_ends_to_the_second(filled, clock, trigger, age, state):
    shop = filled.integration(trigger=trigger)
    (one,) = filled.put(shop, row("101", "NO1010000", created_at=clock.now - age, status="Shipped"))
    filled.store.full_pass(shop, WINDOW)
    filled.store.expire(shop, WINDOW)
    assert filled.stored(one)["state"] == state
    assert (filled.stored(one)["due_at"] is not None) == (state == "pending")


def test_within_the_last_second_a_shipment_still_becomes_due(filled, clock):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "NO1010000", created_at=clock.now - timedelta(hours=72)))
    clock.forward(milliseconds=999)
    filled.store.full_pass(shop, WINDOW)
    filled.store.expire(shop, WINDOW)
    assert filled.stored(one)["due_at"]


def test_what_is_due_stays_due_however_old_it_gets(filled, clock):
    shop = filled.integration(trigger="status:Shipped")
    (one,) = filled.put(shop, row("101", "NO1010000", status="Shipped"))
    filled.store.full_pass(shop, WINDOW)
    filled.store.move_orders(shop.id, ["101"], "Returned")
    clock.forward(hours=100)
    filled.store.full_pass(shop, WINDOW)
    filled.store.expire(shop, WINDOW)
    assert filled.stored(one)["state"] == "pending"
    assert filled.stored(one)["due_at"] == "2026-11-23T12:00:00Z"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"trigger": "status:Shipped"}, "its order did not reach 'Shipped' within 72 hours (it is in 'New')"),
        ({"enabled": False}, "forwarding was off for the 72 hours after its creation"),
        ({}, "it was older than 72 hours when it came to be sent"),
    ],
)
def test_an_expired_shipment_says_why(filled, clock, more, words):
    shop = filled.integration(**more)
    (one,) = filled.put(shop, row("101", "NO1010000", status="New"))
    clock.forward(hours=73)
    filled.store.full_pass(shop, WINDOW)
    assert filled.store.expire(shop, WINDOW) == 1
    assert filled.shown(one)["reason"] == words


@pytest.mark.parametrize(
    ("trigger", "enabled", "status", "state"),
    [
        ("created", True, "", "pending"),
        ("created", False, "", "waiting"),
        ("status:Shipped", True, "", "waiting"),
        ("status:Shipped", True, "New", "waiting"),
        ("status: SHIPPED  today ", True, "shipped Today", "pending"),
        ("status:Shipped", False, "Shipped", "waiting"),
    ],
)
def test_waiting_says_for_what(filled, trigger, enabled, status, state):
    shop = filled.integration(trigger=trigger, enabled=enabled)
    (one,) = filled.put(shop, row("101", "NO1010000", status=status))
    shown = filled.shown(one)
    assert shown["state"] == state
    if not enabled:
        assert "forwarding is off" in shown["reason"]
    elif state == "waiting":
        assert "to reach 'Shipped'" in shown["reason"]
    assert filled.store.to_send(shop) == (1 if state == "pending" else 0)


# ---- full passes --------------------------------------------------------------------------------------------


def test_a_slot_is_worked_once_by_whoever_comes_first(filled, make_store, clock):
    shop = filled.integration(trigger="status:Shipped")
    other = make_store(filled.path)
    slot = NOON - timedelta(minutes=30)
    clock.forward(minutes=1)
    results: list[bool] = []
    barrier = threading.Barrier(2)

    def go(store):
        barrier.wait()
        results.append(store.full_pass(shop, WINDOW, slot))

    threads = [threading.Thread(target=go, args=(one.store,)) for one in (filled, other)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(results) == [False, True]
    assert filled.store.full_pass(shop, WINDOW, slot) is False
    clock.forward(hours=4)
    assert filled.store.full_pass(shop, WINDOW, slot + timedelta(hours=4)) is True


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=-1), timedelta(days=1), timedelta(days=30)])
def test_a_clock_that_jumps_costs_no_slot(filled, clock, jump):
    from shipfwd import schedule
    from shipfwd.settings import Config

    config = Config({})
    shop = filled.integration()
    filled.change("UPDATE integrations SET created_at = '2026-01-01T00:00:00Z'")

    def slot():
        one = filled.store.integration("shop")
        return schedule.slot_due(one.last_pass_at, one.created_at, clock(), config.times, config.zone)

    assert filled.store.full_pass(shop, WINDOW, slot())
    assert slot() is None
    clock.now += jump
    if due := slot():
        assert filled.store.full_pass(shop, WINDOW, due)
    assert slot() is None, "each slot at most once"
    clock.now = NOON + timedelta(hours=28)
    due = slot()
    assert due is not None, "after the clock is right again, slots come as ever"
    assert filled.store.full_pass(shop, WINDOW, due)


# ---- claiming -----------------------------------------------------------------------------------------------


def claim(filled, shop, orders=10, run=None):
    run = run or filled.store.begin_run("t")
    return [
        (group[0].order_id, [one.parcel.tracking_number for one in group])
        for group in filled.store.claim(run, shop, orders)
    ]


def test_an_order_is_claimed_whole_oldest_parcel_first(filled):
    shop = filled.integration()
    filled.put(
        shop,
        row("101", "NEW0001", created_at=NOON - timedelta(hours=1)),
        row("101", "OLD0001", line=2, created_at=NOON - timedelta(hours=9)),
        row("102", "TWO0001", line=3),
    )
    filled.store.full_pass(shop, WINDOW)
    assert claim(filled, shop, 1) == [("101", ["OLD0001", "NEW0001"])]
    assert claim(filled, shop) == [("102", ["TWO0001"])]
    assert claim(filled, shop) == []


def test_an_order_with_a_parcel_being_sent_is_left_alone(filled):
    shop = filled.integration()
    filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    run = filled.store.begin_run("t")
    assert claim(filled, shop, run=run)
    filled.put(shop, row("101", "TWO0001"), row("102", "THREE01", line=2))
    filled.store.full_pass(shop, WINDOW)
    assert claim(filled, shop) == [("102", ["THREE01"])]
    two = next(one["id"] for one in filled.store.status() if one["tracking_number"] == "TWO0001")
    _, left = filled.store.claim_by_hand(filled.store.begin_run("t"), [two])
    assert "another run" in left[two]


def test_what_is_not_due_or_switched_off_is_not_claimed(filled):
    from dataclasses import replace

    shop = filled.integration(trigger="status:Shipped")
    filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    assert claim(filled, shop) == []
    filled.store.move_orders(shop.id, ["101"], "Shipped")
    filled.store.full_pass(shop, WINDOW)
    filled.store.save_integration(replace(shop, enabled=False))
    assert claim(filled, shop) == [], "as it is now, not as it was when the run began"
    filled.store.save_integration(shop)
    assert claim(filled, shop) == [("101", ["ONE0001"])]


@pytest.mark.parametrize(
    ("ahead", "taken"),
    [(timedelta(seconds=-1), True), (timedelta(0), True), (timedelta(seconds=1), False), (timedelta(hours=25), False),
     (timedelta(hours=25, seconds=1), True), (timedelta(days=400), True)],
)  # fmt: skip
def test_a_retry_comes_at_its_time_and_one_too_far_ahead_has_come(filled, ahead, taken):
    shop = filled.integration()
    filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    filled.change("UPDATE shipments SET next_attempt_at = ?", (NOON + ahead).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert filled.store.has_work(shop) == taken
    assert bool(claim(filled, shop)) == taken


def _claims(path, answers, barrier):
    filled = Filled(path, Clock())
    shop = filled.store.integration("shop")
    run = filled.store.begin_run("t")
    barrier.wait()
    mine: list[int] = []
    while groups := filled.store.claim(run, shop, 7):
        mine += [one.id for group in groups for one in group]
    answers.put(mine)
    filled.store.close()


def test_two_processes_never_claim_the_same(filled):
    shop = filled.integration()
    ids = filled.put(shop, *(row(str(n // 2), f"NO{n:07}", line=n) for n in range(600)))
    filled.store.full_pass(shop, WINDOW)
    context = multiprocessing.get_context("fork")
    answers, barrier = context.Queue(), context.Barrier(3)
    made = [context.Process(target=_claims, args=(filled.path, answers, barrier)) for _ in range(3)]
    for one in made:
        one.start()
    got = [answers.get(timeout=30) for _ in made]
    for one in made:
        one.join()
    assert sorted(sum(got, [])) == sorted(ids)
    for mine in got:
        orders = {filled.shown(one)["order_id"] for one in mine}
        assert all(sum(filled.shown(i)["order_id"] == o for i in mine) == 2 for o in list(orders)[:20])


def test_settling_is_for_the_run_that_holds_it(filled):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    first, second = filled.store.begin_run("t"), filled.store.begin_run("t")
    claim(filled, shop, run=first)
    done = [Settlement(one, "forwarded", confirmed=True, wants_sent=True)]
    lines = [Attempt(one, "forward", "accepted")]
    assert filled.store.settle(second, shop.id, done, lines, "101")[0] == set()
    assert filled.stored(one)["state"] == "sending"
    assert filled.store.story(one)[1] == [], "the journal holds no outcome that was none"
    assert filled.store.settle(first, shop.id, done, lines, "101")[0] == {one}
    assert filled.store.settle(first, shop.id, [Settlement(one, "failed", "late")], [], "101")[0] == set()
    assert filled.stored(one)["state"] == "forwarded"
    assert filled.store.integration("shop").last_success_at == NOON


def test_what_is_given_back_is_as_it_was(filled):
    shop = filled.integration()
    ids = filled.put(shop, row("101", "ONE0001"), row("102", "TWO0001", line=2))
    filled.store.drop([ids[1]], "cancelled")
    filled.store.full_pass(shop, WINDOW)
    before = [filled.stored(one)["state"] for one in ids]
    run = filled.store.begin_run("t")
    groups, _ = filled.store.claim_by_hand(run, ids)
    assert {filled.stored(one)["state"] for one in ids} == {"sending"}
    filled.store.release(run, [one for group in groups[shop.id] for one in group])
    assert [filled.stored(one)["state"] for one in ids] == before
    assert [filled.stored(one)["attempts"] for one in ids] == [0, 0]


# ---- dead runs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [False, True])
def test_what_a_dead_run_held_is_taken_back_in_doubt_if_a_write_may_have_left(filled, left, clock):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    dead = filled.store.begin_run("forward")
    claim(filled, shop, run=dead)
    if left:
        filled.store.leave(dead, [Attempt(one, "forward", "left")])
    clock.forward(seconds=5)
    with Run(filled.store, "sweep", clock) as run:
        assert run.take_back_dead() == 1
        assert run.take_back_dead() == 0
        shown = filled.shown(one)
        assert shown["state"] == ("retrying" if left else "pending")
        assert (shown["in_doubt_since"] is not None) == left
        assert shown["next_attempt_at"] is None
        assert claim(filled, shop, run=run.id) == [("101", ["ONE0001"])], "looked up by the next run"


def test_a_living_runs_shipments_stay_its_own(filled, clock):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    with Run(filled.store, "forward", clock) as living:
        claim(filled, shop, run=living.id)
        with Run(filled.store, "sweep", clock) as other:
            assert other.take_back_dead() == 0
        assert filled.stored(one)["state"] == "sending"
        assert lives(locks_folder(filled.path), living.id)
    assert not lives(locks_folder(filled.path), living.id)


def test_a_correction_that_died_never_brings_the_old_number_back(filled, clock):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    run = filled.store.begin_run("forward")
    claim(filled, shop, run=run)
    filled.store.settle(run, shop.id, [Settlement(one, "forwarded", confirmed=True)], [], "101")
    dead = filled.store.begin_run("correct")
    filled.store.claim_by_hand(dead, [one], again=True)
    with Run(filled.store, "sweep", clock) as run:
        run.take_back_dead()
    assert filled.shown(one)["state"] == "forwarded", "nothing had left; what had: test_correct.py"
    assert claim(filled, shop) == []


def test_run_files_do_not_pile_up(filled, clock):
    for _ in range(3):
        with Run(filled.store, "forward", clock):
            pass
    assert list(locks_folder(filled.path).iterdir()) == []


def test_a_store_that_fails_at_a_runs_end_still_frees_its_lock(filled, clock, monkeypatch):
    def full(*args):
        raise errors.StoreFailed("the disk is full")

    monkeypatch.setattr(filled.store, "end_run", full)
    with pytest.raises(errors.StoreFailed), Run(filled.store, "forward", clock) as run:
        pass
    assert not lives(locks_folder(filled.path), run.id)


# ---- nothing is lost in silence -----------------------------------------------------------------------------


def test_trouble_is_told_once_per_shipment_and_reason(filled):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "ONE0001"))

    def fail(reason):
        run = filled.store.begin_run("t")
        filled.store.claim_by_hand(run, [one])
        filled.store.settle(run, shop.id, [Settlement(one, "failed", reason, "Rejected")], [], "101")
        return told()

    def told():
        rows, more = filled.store.newly_in_trouble()
        filled.store.mark_troubled(rows, more)
        return [row["reason"] for row in rows]

    assert fail("no") == ["no"]
    assert told() == []
    assert fail("no") == []
    assert fail("never") == ["never"]


def test_what_leaves_its_window_before_the_next_sweep_is_told_once(filled):
    shop = filled.integration(trigger="status:Shipped")
    early, late = filled.put(
        shop,
        row("101", "ONE0001", created_at=NOON - timedelta(hours=71, minutes=45)),
        row("102", "TWO0001", line=2, created_at=NOON - timedelta(hours=71)),
    )
    slot = NOON + timedelta(minutes=30)
    leaving = filled.store.leaving_window(shop, slot, WINDOW)
    assert [line["id"] for line in leaving] == [early]
    filled.store.mark_told(leaving)
    assert filled.store.leaving_window(shop, slot, WINDOW) == []


@pytest.mark.parametrize(("age", "given_up"), [(timedelta(days=7), False), (timedelta(days=7, seconds=1), True)])
def test_after_seven_days_a_due_shipment_is_given_up(filled, clock, age, given_up):
    shop = filled.integration()
    (one,) = filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    clock.now += age
    assert filled.store.give_up(shop.id) == ([one] if given_up else [])
    assert ("due since 2026-11-23T12:00:00Z" in filled.shown(one)["reason"]) == given_up


def test_a_shipment_in_doubt_is_never_given_up(filled, clock):
    shop = filled.integration()
    filled.put(shop, row("101", "ONE0001"))
    filled.store.full_pass(shop, WINDOW)
    filled.change("UPDATE shipments SET in_doubt_since = '2026-11-23T12:00:00Z'")
    clock.forward(days=9)
    assert filled.store.give_up(shop.id) == []


def test_an_order_that_may_not_be_marked_yet_is_no_work(filled):
    """Else every sweep would load all that it needs to talk to the platform, for nothing."""
    shop = filled.integration(status_transfer="on")
    one, two = filled.put(shop, row("101", "ONE0001"), row("101", "TWO0001", line=2))
    filled.change("UPDATE orders SET sent_state = 'wanted'")
    filled.change("UPDATE shipments SET state = 'forwarded', confirmed_at = '', forwarded_at = '' WHERE id = ?", one)
    filled.change("UPDATE shipments SET state = 'failed' WHERE id = ?", two)
    assert not filled.store.has_work(shop)
    filled.store.drop([two], "cancelled")
    assert filled.store.has_work(shop)


def test_a_settled_shipment_still_wants_its_order_marked(filled):
    shop = filled.integration(status_transfer="on")
    (one,) = filled.put(shop, row("101", "ONE0001"))
    filled.change("UPDATE shipments SET in_doubt_since = '2026-11-23T11:00:00Z', state = 'failed'")
    assert filled.store.by_hand(one, "forwarded", "seen there", wants_sent=True)
    assert filled.store.wanted_sent(shop, 10) == ["101"]


# ---- removing -----------------------------------------------------------------------------------------------


def test_a_removed_integration_keeps_its_history_readable_and_frees_its_name(filled):
    shop = filled.integration(secrets={"api_key": "env:KEY"})
    filled.put(shop, row("101", "ONE0001"), row("102", "TWO0001", line=2))
    assert filled.store.remove_integration(shop.id, "integration shop was removed") == 2
    assert {row["state"] for row in filled.store.status()} == {"dropped"}
    assert filled.store.integrations() == []
    assert filled.store._read("SELECT secrets FROM integrations")[0][0] == "{}"
    again = filled.integration()
    assert again.id != shop.id
    assert filled.put(again, row("101", "ONE0001"))


@pytest.mark.parametrize("trigger", ["created", "status:Shipped"])
@pytest.mark.parametrize("full", [True, False])
def test_a_dry_run_foresees_what_a_run_would_take(filled, trigger, full):
    shop = filled.integration(trigger=trigger)
    ids = filled.put(
        shop,
        *(row(str(100 + n), f"NO{n}0001", line=n, status="Shipped" if n % 2 else "New") for n in range(1, 7)),
        row("101", "NO10002", line=8, status="Shipped"),
    )
    filled.change("UPDATE shipments SET due_at = created_at WHERE id = ?", ids[1])
    filled.change("UPDATE shipments SET in_doubt_since = created_at WHERE id = ?", ids[3])
    filled.change(
        "UPDATE shipments SET due_at = created_at, next_attempt_at = '2026-11-23T12:05:00Z' WHERE id = ?", ids[2]
    )
    filled.change("UPDATE shipments SET created_at = '2026-11-01T00:00:00Z' WHERE id = ?", ids[5])
    foresight, foreseen = filled.store.foresight(shop, WINDOW, full), []
    assert foresight.any
    while groups := foresight.next(2):
        foreseen += groups
    (filled.store.full_pass if full else filled.store.mark_created)(shop, WINDOW)
    taken = filled.store.claim(filled.store.begin_run("t"), shop, 99)
    look = {group[0].order_id: [(one.id, one.due, one.in_doubt_since) for one in group] for group in taken}
    assert {group[0].order_id: [(one.id, one.due, one.in_doubt_since) for one in group] for group in foreseen} == look
    assert look


def test_an_empty_cell_of_a_shipments_last_row_erases_nothing(filled):
    shop = filled.integration()
    intake = filled.store.intake(filled.store.begin_run("import"))
    rows = [
        row("101", "ONE0001", line=1, carrier="dpd", url="https://t.example/1", item_id="A"),
        row("101", "ONE0001", line=2, carrier="", item_id="B"),
        row("102", "TWO0001", line=3, carrier="dpd", item_id="A"),
        row("102", "TWO0001", line=4, carrier="inpost", item_id="B"),
    ]
    intake.put(one._replace(integration_id=shop.id) for one in rows)
    said = intake.group()
    intake.merge()
    shown = {one["order_id"]: one for one in filled.store.status()}
    assert (shown["101"]["carrier"], shown["101"]["tracking_url"]) == ("dpd", "https://t.example/1")
    assert shown["102"]["carrier"] == "inpost"
    assert said == ["order 102, TWO0001: its rows name different carriers (dpd,inpost); the last one counts"]


def test_a_failed_shipment_that_may_have_arrived_counts_as_under_way(filled):
    shop = filled.integration()
    filled.put(shop, row("101", "ONE0001"), row("102", "TWO0001", line=2))
    filled.change("UPDATE shipments SET state = 'failed', in_doubt_since = created_at WHERE order_id = '101'")
    assert filled.store.under_way(shop.id)["may_have_arrived"] == 1
