"""What a person at a terminal sees of `status` and `integration list`: laid out for its width, streamed, in colour.

Two layouts. One line a shipment where the words about it get enough room; otherwise two: what was sent on the left,
what became of it on the right. Colour, signs and rules degrade to what the terminal has (NO_COLOR, TERM=dumb, ASCII).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from shipfwd.models import STAY_BLOCKED
from shipfwd.views import ICONS, clean, console, icon, local

if TYPE_CHECKING:
    from shipfwd.radar import Radar

BLOCK = 200  # rows that are laid out together; the first ones set the widths
ROOM = 32  # columns that the words about a shipment need at least beside the rest of its line
WORDS = 28  # and beside two lines
NATURAL = 44  # columns of an order or a number before it is folded
FRAME_LINES = 5  # of --watch around its rows: heading, rule, blank lines, summary


def status_table(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo, out: IO[str], width: int = 0) -> int:
    """The status table; how many rows it had. width: 0 = the terminal's."""
    screen = console(out, width)
    every = iter(rows)
    first = list(islice(every, BLOCK))
    if not first:
        return 0
    layout = _Layout(first, zone, out, screen.width)
    count = 0
    for block in _blocks(chain(first, every)):
        screen.print(layout.grid(block, heading=not count))
        count += len(block)
    return count


def _blocks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    every = iter(rows)
    while block := list(islice(every, BLOCK)):
        yield block


class _Layout:
    """Which columns there are and how wide, from the first rows and the terminal's width."""

    def __init__(self, first: Sequence[Mapping[str, Any]], zone: ZoneInfo, out: IO[str], width: int) -> None:
        self._zone, self._out, self._width = zone, out, width
        self._several = len({row["integration"] for row in first}) > 1
        signs = max(2, *(_cells(icon(row, out)) for row in first))
        ids = max(2, *(len(str(row["id"])) for row in first))
        names = min(16, max(11, *(_cells(row["integration"]) for row in first))) if self._several else 0
        orders = min(NATURAL, max(5, *(_cells(row["order_id"]) for row in first)))
        numbers = min(NATURAL, max(6, *(_cells(_number(row)) for row in first)))
        sent = 16 if any(row["forwarded_at"] for row in first) else 4
        self._one_line = [("", signs), ("id", ids), ("integration", names), ("order", orders), ("number", numbers)]
        self._one_line = [column for column in (*self._one_line, ("sent", sent)) if column[1]]
        rest = width - sum(size + 2 for _, size in self._one_line)
        self.stacked = rest < ROOM
        self._columns = self._one_line
        if self.stacked:
            left = max(12, min(max(orders, numbers), width - signs - ids - 6 - WORDS))
            self._columns = [("", signs), ("id", ids), ("order, number", left)]

    def grid(self, rows: Iterable[Mapping[str, Any]], heading: bool) -> Any:
        grid = _grid(heading, expand=True, width=self._width)
        for title, size in self._columns:
            grid.add_column(title, width=size, overflow="fold")
        grid.add_column("what and why", ratio=1, overflow="fold")
        for row in rows:
            grid.add_row(*(self._stacked if self.stacked else self._line)(row))
        return grid

    def _line(self, row: Mapping[str, Any]) -> list[Any]:
        cells = [icon(row, self._out), row["id"], row["order_id"], _number(row), local(row["forwarded_at"], self._zone)]
        if self._several:
            cells.insert(2, row["integration"])
        style = ICONS[row["state"]][1]
        faded = "dim" if style == "dim" else ""
        return [_text(cells[0], style), *(_text(cell, faded) for cell in cells[1:]), self._words(row, style)]

    def _stacked(self, row: Mapping[str, Any]) -> list[Any]:
        style = ICONS[row["state"]][1]
        faded = "dim" if style == "dim" else ""
        left = _text(row["order_id"], faded).append("\n").append_text(_text(_number(row), "dim"))
        words = self._words(row, style)
        if row["forwarded_at"]:
            words.append(" " if words.plain.endswith(row["state"]) else ", sent ")
            words.append(local(row["forwarded_at"], self._zone), "green" if style == "green" else faded)
        if self._several:
            words = _text(row["integration"], faded or "bold").append(" ").append_text(words)
        return [_text(icon(row, self._out), style), _text(row["id"], faded), left, words]

    def _words(self, row: Mapping[str, Any], style: str) -> Any:
        """The state in its colour, and the reason."""
        words = _text(row["state"], style)
        if row["reason"]:
            words.append(": ", style).append(clean(row["reason"]), style if style != "green" else "")
        if row["next_attempt_at"] and row["state"] == "retrying":
            words.append(f" (again {local(row['next_attempt_at'], self._zone)})")
        return words


def _text(value: Any, style: str = "") -> Any:
    from rich.text import Text

    return Text(clean(value), style=style, overflow="fold")


def _cells(value: Any) -> int:
    from rich.cells import cell_len

    return cell_len(clean(value))


def _number(row: Mapping[str, Any]) -> str:
    return f"{row['tracking_number']} {row['carrier']}".rstrip()


# ---- many with one reason -----------------------------------------------------------------------------------------


# What a person does about a failure, by its class: DESIGN 7.
_MEND = {
    "OrderNotFound": "see whether the order id is the platform's own; a wrong one: shipfwd drop {ids}",
    "OutcomeUnknown": "look there, then for each: shipfwd settle ID --arrived (or --not-arrived)",
    "NotUnderstood": "the platform answered what shipfwd does not know; please report it: shipfwd show {id}",
    "GaveUp": "see what stood in the way: shipfwd show {id}",
    "Missing": "look there; to send it again: shipfwd forward {ids}",
    "NumberNotAccepted": "correct the numbers and import the file again; a wrong one: shipfwd drop {ids}",
}
_AGAIN = "when it is mended: shipfwd forward --failed -i {name}{reason}; not to be sent at all: shipfwd drop {ids}"
_UNBLOCK = "each run examines them again; "
_DROP = "not to be sent at all: shipfwd drop {ids}"


def groups(rows: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows that share integration, state and reason, the largest group first. Names of their own do not count."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(group_of(row), []).append(row)
    return sorted(found.values(), key=lambda group: -len(group))


def group_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What rows of one group have in common."""
    return str(row["integration"]), str(row["state"]), str(row["kind"]), general(row)


def general(row: Mapping[str, Any]) -> str:
    """A reason without what belongs to its own shipment: id, order and number become …"""
    text = clean(row["reason"])
    for own in (str(row["tracking_number"]), str(row["order_id"]), str(row["id"])):
        if own:
            text = re.sub(rf"(?<![\w.:-]){re.escape(own)}(?![\w-])", "…", text)
    return text


def grouped_table(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo, out: IO[str], width: int = 0) -> int:
    """Shipments by reason, each reason with what to do about it; how many rows there were."""
    from rich.padding import Padding

    screen, count = console(out, width), 0
    for group in groups(rows):
        if count:
            screen.print()
        first = group[0]
        style = ICONS[first["state"]][1]
        several = len(group) > 1
        reason = general(first) if several else clean(first["reason"])
        head = _text(f"{icon(first, out)} {len(group)} {first['state']} at {first['integration']}", f"bold {style}")
        screen.print(head.append(": ").append(reason, "not bold" if style == "dim" else ""), soft_wrap=False)
        for sentence in advice(group):
            screen.print(Padding(_text(sentence), (0, 0, 0, 2)))
        cells = [(row["id"], row["order_id"], _number(row), local(row["created_at"], zone)) for row in group]
        for line in _aligned(cells, screen.width - 4):
            screen.print(Padding(_text(line, "dim"), (0, 0, 0, 4)))
        count += len(group)
    return count


def advice(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a person does about shipments that share a reason: the next step first, unless the reason has it."""
    first = group[0]
    ids = " ".join(str(row["id"]) for row in group) if len(group) <= 8 else "ID…"
    names = {
        "name": _word(first["integration"]),
        "ids": ids,
        "id": first["id"],
        "reason": f" --reason {first['kind']}" if first["kind"] else "",
    }
    said = []
    if template := _MEND.get(str(first["kind"])):
        said.append(template.format(**names))
    if first["state"] == "failed" and first["kind"] != "OutcomeUnknown":
        said.append(_AGAIN.format(**names))
    if first["state"] == "blocked":
        said.append(("" if first["kind"] in STAY_BLOCKED else _UNBLOCK) + _DROP.format(**names))
    return said


def _word(name: str) -> str:
    import shlex

    return shlex.quote(name)


def _aligned(rows: Sequence[Sequence[Any]], width: int) -> Iterator[str]:
    texts = [[clean(cell) for cell in row] for row in rows]
    sizes = [min(NATURAL, max(_cells(row[place]) for row in texts)) for place in range(len(texts[0]))]
    for row in texts:
        line = "  ".join(cell + " " * (size - _cells(cell)) for cell, size in zip(row, sizes, strict=True)).rstrip()
        yield line if _cells(line) <= width else "  ".join(row)


# ---- integrations ---------------------------------------------------------------------------------------------


def integration_table(rows: Sequence[Mapping[str, Any]], zone: ZoneInfo, out: IO[str], width: int = 0) -> None:
    """Green is on, grey is off. Where one line an integration does not fit, it takes two."""
    screen = console(out, width)
    lines = [_integration(row, zone, out) for row in rows]
    titles = ["", "name", "platform", "sent when", "marks sent", "last success", "login ends", "pending", "failed"]
    if not any(line[6] for line in lines):
        del titles[6]
        lines = [line[:6] + line[7:] for line in lines]
    sizes = [max(_cells(cell) for cell in column) for column in zip(titles, *lines, strict=True)]
    if sum(sizes) + 2 * (len(sizes) - 1) > screen.width:
        titles = ["", "name, platform", "sent when", "last success", "pending", "failed"]
        lines = [
            [on, f"{name}\n{platform}", f"{when}\nmarks: {marks}",
             "\n".join([last, *(f"login {end}" for end in login)]),
             pending, failed]
            for on, name, platform, when, marks, last, *login, pending, failed in lines
        ]  # fmt: skip
    grid = _grid()
    for title in titles:
        grid.add_column(title, overflow="fold", justify="right" if title in ("pending", "failed") else "left")
    for row, line in zip(rows, lines, strict=True):
        style = "green" if row["forwarding"] else "bright_black"
        failed = _text(line[-1], "red" if row["failed"] else style)
        grid.add_row(*(_lines(cell, style) for cell in line[:-1]), failed)
    screen.print(grid)


def _integration(row: Mapping[str, Any], zone: ZoneInfo, out: IO[str]) -> list[str]:
    on = f"{_switch(row, out)} {'on' if row['forwarding'] else 'off'}"
    words = [clean(row[name]) for name in ("name", "platform", "trigger", "status_transfer")]
    times = [local(row["last_success_at"], zone), local(row["login_expires_at"], zone)[:10]]
    return [on, *words, *times, str(row["pending"]), str(row["failed"])]


def _lines(text: str, style: str) -> Any:
    from rich.text import Text

    return Text("\n").join(_text(line, style) for line in text.split("\n"))


def _grid(heading: bool = True, **more: Any) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(
        box=SIMPLE_HEAD, show_header=heading, show_edge=False, pad_edge=False,
        header_style="bold", padding=(0, 1, 0, 0), **more,
    )  # fmt: skip


def _switch(row: Mapping[str, Any], out: IO[str]) -> str:
    sign = "●" if row["forwarding"] else "○"
    try:
        sign.encode(getattr(out, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "*" if row["forwarding"] else "o"
    return sign


# ---- is anything on fire? ---------------------------------------------------------------------------------------


def summary(radar: Radar, zone: ZoneInfo, out: IO[str], width: int = 0) -> None:
    """One line: is anything on fire? Under it what is about to be."""
    screen = console(out, width)
    bad = radar.counts.get("failed") or radar.counts.get("blocked")
    style = "bold red" if bad else "bold yellow" if radar.notes or radar.counts.get("retrying") else "bold green"
    screen.print(_text(summary_line(radar, zone), style))
    for note in radar.notes:
        screen.print(_text(note, "yellow"))


def summary_line(radar: Radar, zone: ZoneInfo) -> str:
    counts = radar.counts
    fire = [f"{counts[name]} {name}" for name in ("failed", "blocked") if counts.get(name)]
    calm = [f"{counts[name]} {name}" for name in ("retrying", "pending", "sending", "waiting") if counts.get(name)]
    head = "Nothing is wrong"
    if fire:
        head = "Needs a person: " + ", ".join(fire)
    elif radar.notes:
        head = "Look at this"
    return f"{head}; {', '.join(calm) or 'nothing waits'}. Next sweep {radar.next_slot.astimezone(zone):%H:%M}."


# ---- --watch ------------------------------------------------------------------------------------------------------


def watch(frame: Callable[[IO[str], int], None], out: IO[str], wait: Callable[[float], object], seconds: float) -> None:
    """Draw again and again on the terminal's second screen, until Ctrl-C. `frame` gets the number of lines there."""
    import io
    import shutil

    class Frame(io.StringIO):
        encoding = getattr(out, "encoding", None) or "utf-8"

        def isatty(self) -> bool:
            return True

    out.write("\x1b[?1049h\x1b[?25l")
    try:
        while True:
            size = shutil.get_terminal_size()
            drawn = Frame()
            frame(drawn, size.lines)
            table, blank, foot = drawn.getvalue().rstrip("\n").rpartition("\n\n")
            last = foot.split("\n")  # whether anything is on fire; rows that take several lines must not hide it
            above = [*table.split("\n")[: max(0, size.lines - len(last) - 1)], ""] if blank else []
            lines = [*above, *last][: size.lines]
            out.write("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J")
            out.flush()
            wait(seconds)
    except KeyboardInterrupt:
        pass
    finally:
        with suppress(OSError):  # the terminal may be gone
            out.write("\x1b[?25h\x1b[?1049l")
            out.flush()
