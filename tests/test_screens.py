"""What a person sees: the real command in a real terminal emulator, cell by cell."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from datetime import timedelta

import pyte
import pytest
from support import NOON, row

UUID = "a11e9000-0000-4000-8000-000000000001"
INPOST = "620022696408430119458408"
CANCELLED = "the order is 'cancelled' at the shop; nothing is sent for it"
# The real command line, with a clock that stands and a --watch that ends after its second picture.
CHILD = """
import sys
from datetime import UTC, datetime
from shipfwd import cli
from shipfwd.cli.app import App

class Still(App):
    pauses = 0

    def pause(self, seconds):
        self.pauses += 1
        if self.pauses == 2:
            raise KeyboardInterrupt

still = Still(lambda: datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
sys.exit(cli.cli.main(sys.argv[1:], prog_name="shipfwd", standalone_mode=False, obj=still))
"""


@dataclass
class Seen:
    """A terminal's screen after a command, and the bytes that made it so."""

    screen: pyte.Screen
    raw: bytes
    code: int

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def find(self, text: str) -> tuple[int, int]:
        """Line and column where a text begins."""
        for number, line in enumerate(self.lines):
            if text in line:
                return number, line.index(text)
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    def style(self, text: str) -> tuple[str, bool]:
        """Colour and boldness of its first letter."""
        line, column = self.find(text)
        cell = self.screen.buffer[line][column]
        return cell.fg, cell.bold

    @property
    def colours(self) -> set[str]:
        cells = (cell for line in self.screen.buffer.values() for cell in line.values())
        return {cell.fg for cell in cells if cell.data.strip()} - {"default"}


@pytest.fixture
def look(filled):
    """Run a command in a terminal so many columns wide."""

    def run(*words: str, columns: int = 100, lines: int = 60, **env: str) -> Seen:
        near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, "--db", str(filled.path), *words],
            stdin=far, stdout=far, stderr=far, close_fds=True,
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TERM": "xterm-256color",
                 "PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1", **env},
        )  # fmt: skip
        os.close(far)
        raw = b""
        while True:
            try:
                raw += (more := os.read(near, 65536))
            except OSError:  # Linux ends a pty with EIO
                break
            if not more:
                break
        os.close(near)
        screen = pyte.Screen(columns, lines)
        pyte.ByteStream(screen).feed(raw)
        return Seen(screen, raw, child.wait())

    return run


@pytest.fixture
def day(filled):
    """An ordinary day: two integrations, something in each state."""
    shop = filled.integration("shop", status_transfer="on", created_at=NOON - timedelta(days=9))
    allegro = filled.integration("allegro-main", "allegro", trigger="status:Shipped", status_transfer="off")
    filled.integration("old-shop", enabled=False)
    at = NOON - timedelta(hours=2)
    filled.put(shop, row("101", INPOST, carrier="inpost", created_at=at))
    filled.put(shop, row("104", "0000123456789U", created_at=at))
    filled.put(allegro, row(UUID, "620022696408430119458424", carrier="inpost", status="Packed", created_at=at))
    filled.put(shop, row("106", "0000123456790U", created_at=at))
    stamps = "forwarded_at = '2026-11-23T11:30:00Z', confirmed_at = '2026-11-23T11:30:00Z'"
    filled.change(f"UPDATE shipments SET state = 'forwarded', due_at = forwarded_at, {stamps} WHERE id = 1")
    filled.change("UPDATE shipments SET state = 'failed', kind = 'Rejected', reason = ? WHERE id = 2", CANCELLED)
    filled.change(
        "UPDATE shipments SET due_at = created_at, next_attempt_at = '2026-11-23T12:05:00Z', reason = ? WHERE id = 4",
        "the shop does not answer",
    )
    return filled


# ---- the status table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(look, day, columns):
    seen = look("status", columns=columns)
    assert seen.code == 0
    for text in (UUID, INPOST, "0000123456789U dpd", "2026-11-23 12:30", "retrying"):
        seen.find(text)
    assert " ".join(CANCELLED.split()[-4:]) in " ".join(seen.text.split())
    # A line that ran over would push its end to the next one's first column, where only signs and ids stand.
    for line in seen.lines[2:]:
        assert line[:1] in ("", " ", "✔", "✖", "↻", "─", "N"), line


@pytest.mark.parametrize("columns", [80, 100])
def test_where_it_is_narrow_a_shipment_takes_two_lines(look, day, columns):
    seen = look("status", columns=columns)
    order, number = seen.find(UUID), seen.find("620022696408430119458424 inpost")
    assert number == (order[0] + 1, order[1])
    words = seen.find("allegro-main waiting")
    assert words[0] == order[0]
    assert words[1] > order[1] + len(UUID)


def test_where_it_is_wide_a_shipment_takes_one_line(look, day):
    seen = look("status", columns=200)
    line, _ = seen.find(UUID)
    assert "allegro-main" in seen.lines[line]
    assert "620022696408430119458424 inpost" in seen.lines[line]
    assert "waits for its order to reach 'Shipped'; it is in 'Packed'" in seen.lines[line]
    assert seen.lines[0].split() == ["id", "integration", "order", "number", "sent", "what", "and", "why"]


def test_the_integration_is_left_out_where_only_one_is_shown(look, day):
    assert "shop" not in look("status", "-i", "shop", "--state", "forwarded", columns=200).text


def test_short_orders_get_one_line_also_at_100_columns(look, day):
    seen = look("status", "-i", "shop", columns=100)
    line, _ = seen.find("104")
    assert "0000123456789U dpd" in seen.lines[line]
    assert "failed" in seen.lines[line]


@pytest.mark.parametrize(
    ("text", "colour"),
    [("✔✔", "green"), ("✖", "red"), ("failed:", "red"), ("↻", "brown"), ("retrying", "brown"), (INPOST, "default")],
)
def test_states_have_their_colours(look, day, text, colour):
    assert look("status", columns=200).style(text)[0] == colour


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown"}], ids=lambda env: "-".join(env)
)
def test_colour_is_left_out_where_it_is_not_wanted(look, day, env):
    seen = look("status", **env)
    assert seen.colours == set() or env == {"TERM": "unknown"}
    assert seen.find(UUID)[1] > 0
    if env.get("TERM") == "dumb":
        assert b"\x1b" not in seen.raw


def test_letters_that_a_terminal_lacks_become_others(look, day):
    seen = look("status", PYTHONIOENCODING="ascii")
    assert seen.code == 0
    assert seen.raw.isascii()
    assert seen.find("++")[1] == 0
    assert seen.find("x ")[1] == 0
    assert "?" not in seen.text


@pytest.mark.parametrize("command", [("status",), ("show", "1"), ("order", "list"), ("status", "--watch")])
def test_a_terminal_without_a_merchants_letters_shows_a_question_mark_in_their_place(look, filled, command):
    shop = filled.integration(trigger="status:Wysłane")
    filled.put(shop, row("Zamówienie-ł", INPOST))
    seen = look(*command, columns=200, PYTHONIOENCODING="ascii")
    assert seen.code == 0
    assert "Zam?wienie-?" in seen.raw.decode("ascii")


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_data_in_a_pipe_is_utf_8_whatever_the_locale(filled, form):
    filled.put(filled.integration(), row("Zamówienie-ł", INPOST))
    plain = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "--db", str(filled.path), "status", "--format", form],
        capture_output=True, env={**plain, "PYTHONCOERCECLOCALE": "0"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Zamówienie-ł" in done.stdout.decode("utf-8")


def test_control_characters_never_reach_the_terminal(look, filled):
    shop = filled.integration()
    filled.put(shop, row("A\x1b[2J\x07‮1", INPOST))
    seen = look("status", columns=200)
    seen.find("A[2J1")
    assert b"\x1b[2J" not in seen.raw


def test_more_than_one_block_of_rows_is_one_table(look, filled):
    shop = filled.integration()
    filled.put(shop, *(row(f"{n}", f"00001234{n:05}U") for n in range(450)))
    seen = look("status", "--all", lines=480)
    assert sum("what and why" in line for line in seen.lines) == 1
    numbers = [line.index("00001234") for line in seen.lines if "00001234" in line]
    assert len(numbers) == 450
    assert len(set(numbers)) == 1


# ---- is anything on fire? -------------------------------------------------------------------------------------


def test_the_last_line_says_whether_anything_is_on_fire(look, day):
    seen = look("status")
    line, column = seen.find("Needs a person: 1 failed; 1 retrying, 1 waiting. Next sweep 13:30.")
    assert column == 0
    assert seen.style("Needs a person") == ("red", True)


def test_calm_is_green(look, filled):
    filled.integration()
    seen = look("status")
    assert seen.text == "Nothing is wrong; nothing waits. Next sweep 13:30."
    assert seen.style("Nothing is wrong") == ("green", True)


def test_what_leaves_its_window_before_the_next_sweep_is_named_with_its_cause(look, filled):
    allegro = filled.integration("allegro-main", "allegro", trigger="status:Shipped")
    filled.put(allegro, row("A-1", INPOST, status="Packed", created_at=NOON - timedelta(hours=71, minutes=50)))
    filled.put(allegro, row("A-2", "0000123456789U", created_at=NOON - timedelta(hours=80)))
    seen = look("status", columns=200)
    seen.find(
        "1 shipment of allegro-main leaves its window before the next sweep (at 2026-11-23 13:10): "
        "waits for its order to reach 'Shipped'; it is in 'Packed'. To send all the same: shipfwd forward 1"
    )
    seen.find("1 shipment of allegro-main is older than 72 hours; no sweep sends it: waits for its order")
    assert seen.style("Look at this") == ("brown", True)


def test_a_sweep_that_does_not_come_is_told(look, filled):
    filled.integration("allegro-main", "allegro", trigger="status:Shipped")
    filled.change("UPDATE integrations SET created_at = '2026-11-22T12:00:00Z'")
    look("status").find("The sweep of 2026-11-23 09:30 did not run (none ever ran): is cron on? See: shipfwd doctor")
    filled.change("INSERT INTO runs (command, started_at, pid) VALUES ('sweep --if-due', '2026-11-23T08:30:10Z', 1)")
    assert "did not run" not in look("status").text


# ---- by reason --------------------------------------------------------------------------------------------------


def test_failures_that_share_a_reason_are_shown_together_with_what_to_do(look, filled):
    shop = filled.integration()
    filled.put(shop, *(row(f"{n}", f"00001234{n:05}U") for n in range(101, 106)))
    filled.change(
        "UPDATE shipments SET state = 'failed', kind = 'OrderNotFound',"
        " reason = 'the shop knows no order ' || order_id || '; when that is mended: shipfwd forward ' || id"
    )
    filled.change("UPDATE shipments SET kind = 'Rejected', reason = 'the shop says no' WHERE id = 5")
    seen = look("status", "--state", "failed")
    assert seen.find("✖ 4 failed at shop: the shop knows no order …")[1] == 0
    assert seen.find("✖ 1 failed at shop: the shop says no")[0] > seen.find("0000123400101U")[0]
    text = " ".join(seen.text.split())
    assert "when it is mended: shipfwd forward --failed -i shop --reason OrderNotFound" in text
    assert "not to be sent at all: shipfwd drop 5" in text
    assert "Needs a person: 5 failed" in text


# ---- integrations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_integrations_that_are_on_are_green_and_those_that_are_off_grey(look, day, columns):
    seen = look("integration", "list", columns=columns)
    assert seen.style("●")[0] == "green"
    assert seen.style("○")[0] == "brightblack"
    for name in ("shop", "old-shop", "allegro-main"):
        seen.find(name)
    titles = seen.lines[0].split()
    assert titles[-2:] == ["pending", "failed"]
    assert all(line[:1] in ("", " ", "●", "○", "─") for line in seen.lines)
    assert "unavailable" in seen.lines[seen.find("old-shop")[0] + (columns == 80)]


def test_integrations_in_ascii(look, day):
    seen = look("integration", "list", PYTHONIOENCODING="ascii")
    assert seen.raw.isascii()
    assert {line[:1] for line in seen.lines[2:] if line.strip()} <= {"*", "o", " "}


# ---- --watch ------------------------------------------------------------------------------------------------------


def test_watch_draws_on_the_second_screen_and_leaves_the_first_as_it_was(look, day):
    seen = look("status", "--watch", lines=12)
    assert seen.code == 0
    assert seen.raw.startswith(b"\x1b[?1049h")
    assert seen.raw.endswith(b"\x1b[?25h\x1b[?1049l")
    assert seen.raw.count(b"\x1b[H") == 2
    assert "what and why" in seen.lines[0]
    assert not re.search(rb"\n\x1b\[K\x1b\[J", seen.raw)  # the last line never scrolls the first one away


@pytest.mark.parametrize("lines", [4, 9, 12])
def test_watch_says_whether_anything_is_on_fire_however_little_room_there_is(look, day, lines):
    pictures = look("status", "--watch", lines=lines, columns=80).raw.decode().split("\x1b[H")[1:]
    for picture in pictures:
        assert picture.count("\n") < lines
        assert "what and why" in picture
        assert "Needs a person: 1 failed" in picture


@pytest.mark.parametrize("words", [["--format", "json"], ["--output", "x"]])
def test_watch_is_for_a_table_on_a_terminal(look, day, words):
    seen = look("status", "--watch", *words)
    assert "--watch draws a table on a terminal" in seen.text


def test_watch_in_a_pipe_is_refused(shop):
    shop.add()
    assert shop.run("status", "--watch").code == 2
