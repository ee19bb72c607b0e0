"""The line that counts while a run works: what it claims about the time left, and how it looks on a screen."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pyte
import pytest
from support import NOON

from shipfwd.cli import progress as module
from shipfwd.cli.progress import Meter, due_left, file_left, looks_left, progress, spoken
from shipfwd.importer import Source


def line(looks, held=False, deadline=1200.0, step=1.0):
    """The meter's last line after one look a second; looks: (done, left)."""
    meter = Meter("sweep", 0.0)
    for number, (done, left) in enumerate(looks):
        said = meter.look((number + 1) * step, done, left, held, deadline)
    return said


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        # the total is unknown: no word about time
        ([(n * 10, None) for n in range(9)], "sweep: 80 done, 10.0 a second"),
        # too early to tell
        ([(n * 10, {1: 1000 - n * 10}) for n in range(3)], "sweep: 20 done, 980 left, 10.0 a second"),
        ([(n * 10, {1: 1000 - n * 10}) for n in range(11)], "sweep: 100 done, 900 left, about 90 s, 10.0 a second"),
        # the slowest of them sets the time
        (
            [(n * 11, {1: 1000 - n * 10, 2: 600 - n}) for n in range(11)],
            "sweep: 110 done, 1,490 left, about 10 min, 11.0 a second",
        ),
        # one of them does not move: nobody knows
        ([(n * 10, {1: 1000 - n * 10, 2: 5}) for n in range(11)], "sweep: 100 done, 905 left, 10.0 a second"),
        # more comes in than goes out
        ([(n * 10, {1: 1000 + n}) for n in range(11)], "sweep: 100 done, 1,010 left, 10.0 a second"),
        # others help: what they do counts for the time, not for what we did
        ([(n * 5, {1: 1000 - n * 50}) for n in range(11)], "sweep: 50 done, 500 left, about 10 s, 5.0 a second"),
        ([(100, {})] * 9, "sweep: 100 done, 0 left, 0.0 a second"),
    ],
)
def test_the_line_says_what_can_be_known_and_no_more(looks, said):
    assert line(looks) == said


def test_a_burst_that_is_over_is_forgotten():
    burst = [(n * 100, {1: 10_000 - n * 100}) for n in range(10)]
    after = [(1000 + n, {1: 9000 - n}) for n in range(60)]
    assert line(burst + after) == "sweep: 1,059 done, 8,941 left, not all before the deadline in 20 min, 1.0 a second"


def test_the_platforms_limit_is_named_as_what_sets_the_pace():
    looks = [(n, {1: 500 - n}) for n in range(11)]
    assert line(looks, held=True).endswith("about 8 min, 1.0 a second, the platform sets the pace")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "5 s"), (38, "40 s"), (89, "90 s"), (91, "2 min"), (3000, "50 min"), (5400, "1 h 30 min"), (7900, "2 h 10 min")],
)  # fmt: skip
def test_a_duration_is_as_round_as_it_is_sure(seconds, said):
    assert spoken(seconds) == said


@pytest.fixture
def on_screen(monkeypatch):
    """Show a run's line in a terminal so many columns wide until it has counted; the screen then, and afterwards."""
    monkeypatch.setattr(module, "TICK", 0.001)

    def show(columns, left=None, **app):
        drawn = threading.Event()

        class Terminal(io.StringIO):
            def isatty(self):
                return True

            def flush(self):
                drawn.set()

        out = Terminal()
        monkeypatch.setattr("sys.stderr", out)
        monkeypatch.setenv("COLUMNS", str(columns))
        run = SimpleNamespace(done=7, held=True, seconds_left=60.0, stage="")
        with progress(SimpleNamespace(quiet=False, log=None, **app), run, "forward", left):
            run.done += 1234
            while "1,234" not in out.getvalue() and drawn.wait(0.1 if app or left is None else 10):
                drawn.clear()  # a line from before it had counted
            text = out.getvalue()
        screens = []
        for part in (text, out.getvalue()):
            screen = pyte.Screen(columns, 5)
            pyte.Stream(screen).feed(part)
            screens.append("\n".join(screen.display).strip())
        return screens

    return show


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (120, "forward: 1,234 done, 2,500 left, {} a second, the platform sets the pace"),
        (50, "forward: 1,234 done, 2,500 left"),
    ],
)
def test_it_is_one_line_of_a_terminal_and_gone_at_the_end(on_screen, columns, said):
    during, after = on_screen(columns, lambda: {1: 2500})
    before, _, behind = said.partition("{}")
    assert during.startswith(before)
    assert during.endswith(behind)
    assert "\n" not in during
    assert after == ""


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([(n * 50, 10_000 - n * 100) for n in range(3)], "f.csv: 100 done, 2 % read, 50.0 a second"),
        (
            [(n * 50, 10_000 - n * 100) for n in range(11)],
            "f.csv: 500 done, 10 % read, about 90 s to the end of the file, 50.0 a second",
        ),
        # less than a byte of a hundred is not "100 % read"
        ([(n * 50, 10_000 - n * 999) for n in range(11)], "f.csv: 500 done, 99 % read, about 5 s to the end of the file, 50.0 a second"),
        ([(900, 10), (1_000, 0)], "f.csv: 1,000 rows, all read, now going through them"),
    ],
)  # fmt: skip
def test_a_files_line_counts_rows_and_measures_bytes(looks, said):
    meter = Meter("f.csv", 0.0, 10_000)
    lines = [meter.look(n + 1.0, done, {"f": left}, False, 1.0) for n, (done, left) in enumerate(looks)]
    assert lines[-1] == said


def test_a_file_that_is_read_says_what_is_done_with_it():
    for left in ({"f": 0}, None):  # None: from a pipe
        line = Meter("f.csv", 0.0, 10_000).look(1.0, 1_000, left, False, 1.0, "storing them, 40 % done")
        assert line == "f.csv: 1,000 rows, all read, now storing them, 40 % done"


def test_what_a_file_still_holds_is_known_only_where_its_size_tells(tmp_path):
    import openpyxl

    rows = "order_id,tracking_number\n" + "1,0000123456789U\n" * 20_000
    (tmp_path / "a.csv").write_text(rows)
    book = openpyxl.Workbook()
    book.active.append(["order_id", "tracking_number"])
    book.save(tmp_path / "a.xlsx")

    def opened(path, stdin=None):
        return Source(path, zone=ZoneInfo("UTC"), now=NOON, default_integration="shop", stdin=stdin)

    assert file_left(opened("-", io.BytesIO(rows.encode()))) is None
    with opened(tmp_path / "a.xlsx") as table:
        assert file_left(table) is None
    with opened(tmp_path / "a.csv") as source:
        left = file_left(source)
        looks = [sum(left().values())] + [sum(left().values()) for _ in source]
    assert source.size == len(rows)
    assert looks == sorted(looks, reverse=True)
    assert looks[0] > looks[10_000] > looks[-1] == 0


def test_what_verify_has_still_to_compare_is_of_those_it_is_at(filled):
    from support import row

    ids = {name: filled.integration(name) for name in ("one", "other", "third")}
    for integration in ids.values():
        filled.put(integration, *(row(f"{n}", f"62{n}") for n in range(4)))
    with filled.store._write() as db:
        db.execute("UPDATE shipments SET state = 'forwarded', forwarded_at = '2026-11-01T00:00:00Z' WHERE id % 4 > 0")
    one, other, third = (integration.id for integration in ids.values())
    run = SimpleNamespace(store=filled.store, looked={one: 0, other: 2})
    left = looks_left(run, None)
    assert left() == {one: 3, other: 1}
    run.looked = {one: 9, third: 1}
    assert left() == {one: 0, third: 2}
    assert looks_left(run, NOON.replace(year=2099))() == {one: 0, third: 0}


def test_what_cannot_be_asked_just_now_ends_no_run(on_screen):
    def broken():
        raise RuntimeError("locked")

    assert on_screen(100, broken)[0].startswith("forward: 1,234 done, ")


def test_what_is_left_is_what_this_run_will_send(filled):
    one = filled.integration("one", trigger="created")
    other = filled.integration("other", trigger="created")
    from support import row

    for integration in (one, other):
        filled.put(integration, *(row(f"{n}", f"62{n}") for n in range(5)))
        filled.store.full_pass(integration, window=filled.clock.now - filled.clock.now.replace(year=2020))
    run = SimpleNamespace(store=filled.store, id=filled.store.begin_run("forward"), resting=set(), ahead={})
    filled.store.claim(run.id, one, 2)
    assert due_left(run, [one, other])() == {one.id: 5, other.id: 5}
    assert due_left(run, [one])() == {one.id: 5}
    assert due_left(run, [one, other], chosen=True)() == {one.id: 2}
    assert due_left(run, [one, other], only_run=99)() == {one.id: 2}
    run.resting.add(one.id)
    assert due_left(run, [one, other])() == {other.id: 5}
