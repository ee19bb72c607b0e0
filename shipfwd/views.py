"""What people and scripts read: tables, tab-separated text, JSON, CSV, sentences. Decides nothing.

A terminal gets a rich table; a pipe gets tab-separated lines that are never cut; NO_COLOR and dumb terminals
are respected. Control characters from files and platforms never reach either.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from shipfwd.models import parse_stamp

if TYPE_CHECKING:
    from shipfwd.models import Request

ICONS = {
    "waiting": ("", "dim"),
    "pending": ("", ""),
    "retrying": ("↻", "yellow"),
    "sending": ("…", "cyan"),
    "forwarded": ("✔", "green"),
    "failed": ("✖", "red"),
    "blocked": ("⊘", "dim"),
    "expired": ("⌛", "dim"),
    "dropped": ("–", "dim"),
}
_ASCII = {"↻": "~", "…": "..", "✔": "+", "✔✔": "++", "✖": "x", "⊘": "o", "⌛": "!", "–": "-"}
# C0, DEL, C1, and the marks that turn text around or hide it.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RUNS_IN_A_SPREADSHEET = ("=", "+", "-", "@", "\t", "\r")


def clean(value: Any) -> str:
    """Text for a terminal: no control characters, None as nothing, booleans as yes and no."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _CONTROL.sub(lambda found: " " if found.group() in "\t\r\n" else "", str(value))


def local(text: str | None, zone: ZoneInfo) -> str:
    """A stored time as it is shown: 2026-11-23 09:30 in the merchant's zone."""
    return parse_stamp(text).astimezone(zone).strftime("%Y-%m-%d %H:%M") if text else ""


def emit(
    rows: Iterable[Mapping[str, Any]],
    fields: Sequence[str],
    form: str,
    out: IO[str],
    columns: Mapping[str, str] | None = None,
) -> None:
    """Write rows as JSON (one array), CSV or a table.

    fields    the public names, in order: JSON and CSV have exactly these.
    columns   field → heading for a table; default: the fields.
    """
    if form != "table":
        stream = Stream(fields, form, out)
        stream.rows(rows)
        stream.end()
    else:
        _table(rows, columns or {name: name.replace("_", " ") for name in fields}, out)


def emit_one(counts: Mapping[str, Any], form: str, out: IO[str], nothing: str = "nothing was due") -> None:
    """A run's counts: one JSON object, one CSV row, or the words for what is not 0."""
    if form == "json":
        out.write(safe_json(dict(counts)) + "\n")
    elif form == "csv":
        emit([counts], list(counts), "csv", out)
    else:
        words = [f"{count} {name}" for name, count in counts.items() if count]
        out.write((", ".join(words) or nothing) + "\n")


class Stream:
    """JSON (one array) or CSV, row by row, so that a million rows need no memory."""

    def __init__(self, fields: Sequence[str], form: str, out: IO[str]) -> None:
        self._fields, self._out, self._count = fields, out, 0
        self._writer = csv.writer(out, lineterminator="\n") if form == "csv" else None
        if self._writer:
            self._writer.writerow(fields)

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            if self._writer:
                self._writer.writerow([_cell(row.get(name)) for name in self._fields])
            else:
                text = safe_json({name: row.get(name) for name in self._fields})
                self._out.write((",\n " if self._count else "[\n ") + text)
            self._count += 1

    def end(self) -> None:
        if not self._writer:
            self._out.write("\n]\n" if self._count else "[]\n")


def safe_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _cell(value: Any) -> str:
    """A CSV cell that no spreadsheet runs."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else clean(value)
    return "'" + text if text.startswith(_RUNS_IN_A_SPREADSHEET) else text


def is_terminal(out: IO[str]) -> bool:
    """A terminal that can redraw and colour; a dumb one gets plain tables."""
    return out.isatty() and os.environ.get("TERM", "") != "dumb"


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], out: IO[str]) -> None:
    if not out.isatty():
        out.write("\t".join(columns.values()) + "\n")
        for row in rows:
            out.write("\t".join(clean(row.get(name)) for name in columns) + "\n")
        return
    from rich.text import Text

    grid = _grid(columns.values())
    count = 0
    for row in rows:
        style = str(row.get("_style") or "")
        grid.add_row(*(Text(clean(row.get(name)), style=style, overflow="fold") for name in columns))
        count += 1
    if count:
        console(out).print(grid)


def _grid(headings: Iterable[str]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    return grid


def console(out: IO[str], width: int = 0) -> Any:
    """Where tables are printed. width: 0 = the terminal's."""
    import shutil

    from rich.console import Console

    dumb = not is_terminal(out)  # for such rich would take 80 columns whatever there are
    return Console(
        file=out,
        highlight=False,
        no_color=bool(os.environ.get("NO_COLOR")) or None,
        color_system=None if dumb else "auto",
        width=width or (shutil.get_terminal_size().columns if dumb else None),
        soft_wrap=False,
    )


def icon(row: Mapping[str, Any], out: IO[str]) -> str:
    """The state's sign (DESIGN 3); twice when a look or the answer confirmed it; ASCII where UTF-8 does not go."""
    sign = ICONS[row["state"]][0]
    if row["state"] == "forwarded" and row["confirmed_at"]:
        sign += sign
    try:
        sign.encode(getattr(out, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _ASCII[sign]
    return sign


def status_lines(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo, out: IO[str]) -> None:
    """The status table for a pipe: tab-separated, never cut. For a terminal: terminal.py."""
    names = ("id", "integration", "order_id", "carrier", "tracking_number", "state", "forwarded_at", "reason")
    shown = ({**row, "forwarded_at": local(row["forwarded_at"], zone)} for row in rows)
    _table(shown, {name: name.replace("_", " ") for name in names}, out)


def request_row(request: Request | None, redact_headers: Any, redact: Any, redact_url: Any) -> dict[str, str]:
    """The parts of a request that a dry run would send; secrets masked."""
    if request is None:
        return {}
    headers = "\n".join(f"{name}: {value}" for name, value in redact_headers(request.headers).items())
    text = request_text(request, redact_headers, redact, redact_url)
    return {
        "method": request.method,
        "url": redact_url(request.url),
        "headers": headers,
        "body": redact(request.body.decode("utf-8", "replace")),
        "curl": text.rpartition("\n")[2],
    }


def request_text(request: Request, redact_headers: Any, redact: Any, redact_url: Any) -> str:
    """What a dry run would send, and the same as a curl line; secrets masked."""
    import shlex

    url, body = redact_url(request.url), redact(request.body.decode("utf-8", "replace"))
    headers = redact_headers(request.headers)
    lines = [f"{request.method} {url}", *(f"{name}: {value}" for name, value in headers.items()), "", body]
    parts = ["curl", "-X", request.method, url]
    for name, value in headers.items():
        parts += ["-H", f"{name}: {value}"]
    if body:
        parts += ["--data-raw", body]
    return "\n".join(clean(line) for line in [*lines, "", shlex.join(parts)])


def clean_lines(text: str) -> str:
    """`clean`, but line breaks stay."""
    return "\n".join(clean(line) for line in text.split("\n"))


def wrapped(text: str, out: IO[str]) -> str:
    """Sentences broken between words at a terminal's width; what is indented (addresses, answers) stays whole."""
    import shutil
    import textwrap

    if not out.isatty():
        return text
    width = shutil.get_terminal_size().columns

    def fill(line: str) -> str:
        return textwrap.fill(
            line, width, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
        )  # fmt: skip

    return "\n".join(line if line.startswith("  ") else fill(line) for line in text.split("\n"))
