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
from datetime import datetime
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
    if form == "json":
        _emit_json(({name: row.get(name) for name in fields} for row in rows), out)
    elif form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(fields)
        writer.writerows([_cell(row.get(name)) for name in fields] for row in rows)
    else:
        _table(rows, columns or {name: name.replace("_", " ") for name in fields}, out)


def emit_one(counts: Mapping[str, Any], form: str, out: IO[str]) -> None:
    """A run's counts: one JSON object, one CSV row, or the words for what is not 0."""
    if form == "json":
        out.write(_safe_json(dict(counts)) + "\n")
    elif form == "csv":
        emit([counts], list(counts), "csv", out)
    else:
        words = [f"{count} {name}" for name, count in counts.items() if count]
        out.write((", ".join(words) or "nothing was due") + "\n")


def _emit_json(rows: Iterable[Mapping[str, Any]], out: IO[str]) -> None:
    """An array, row by row, so that a million rows need no memory."""
    first = True
    for row in rows:
        out.write(("[\n " if first else ",\n ") + _safe_json(row))
        first = False
    out.write("[]\n" if first else "\n]\n")


def _safe_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _cell(value: Any) -> str:
    """A CSV cell that no spreadsheet runs."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else clean(value)
    return "'" + text if text.startswith(_RUNS_IN_A_SPREADSHEET) else text


def is_terminal(out: IO[str]) -> bool:
    return out.isatty() and os.environ.get("TERM", "") != "dumb"


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], out: IO[str]) -> None:
    if not is_terminal(out):
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


def console(out: IO[str]) -> Any:
    from rich.console import Console

    return Console(file=out, highlight=False, no_color=bool(os.environ.get("NO_COLOR")) or None, soft_wrap=False)


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


def status_table(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo, out: IO[str]) -> int:
    """The status table; how many rows it had."""
    if not is_terminal(out):
        names = ("id", "integration", "order_id", "carrier", "tracking_number", "state", "forwarded_at", "reason")
        count = 0
        out.write("\t".join(name.replace("_", " ") for name in names) + "\n")
        for row in rows:
            shown = {**row, "forwarded_at": local(row["forwarded_at"], zone)}
            out.write("\t".join(clean(shown[name]) for name in names) + "\n")
            count += 1
        return count
    from rich.text import Text

    grid = _grid(("", "id", "integration", "order", "number", "sent", "what and why"))
    grid.columns[0].no_wrap = grid.columns[1].no_wrap = True
    grid.columns[5].min_width = 10
    grid.columns[6].ratio, grid.columns[6].min_width = 1, 24
    for column, widest in ((2, 16), (3, 20), (4, 24)):
        grid.columns[column].max_width = widest
    grid.expand = True
    count = 0
    for row in rows:
        style = ICONS[row["state"]][1]
        why = row["state"] + (f": {row['reason']}" if row["reason"] else "")
        if row["next_attempt_at"] and row["state"] == "retrying":
            why += f" (again {local(row['next_attempt_at'], zone)})"
        number = f"{row['tracking_number']} {row['carrier']}"
        cells = (row["id"], row["integration"], row["order_id"], number, local(row["forwarded_at"], zone), why)
        faded = "dim" if style == "dim" else ""
        texts = [Text(clean(cell), style=faded, overflow="fold") for cell in cells[:-1]]
        texts.append(Text(clean(cells[-1]), style=style if style != "green" else "", overflow="fold"))
        grid.add_row(Text(icon(row, out), style=style), *texts)
        count += 1
    if count:
        console(out).print(grid)
    return count


def summary_line(counts: Mapping[str, int], next_slot: datetime, zone: ZoneInfo) -> str:
    """Is anything on fire? One line."""
    fire = [f"{counts[name]} {name}" for name in ("failed", "blocked", "retrying") if counts.get(name)]
    calm = [f"{counts[name]} {name}" for name in ("pending", "sending", "waiting") if counts.get(name)]
    head = "Needs a person: " + ", ".join(fire[:]) if counts.get("failed") or counts.get("blocked") else (
        ", ".join(fire) or "Nothing is wrong"
    )  # fmt: skip
    return f"{head}; {', '.join(calm) or 'nothing waits'}. Next sweep {next_slot.astimezone(zone):%H:%M}."


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


def story(row: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> str:
    """One shipment's story in sentences, oldest first."""
    said = [
        f"Shipment {row['id']}: {row['tracking_number']} ({row['carrier'] or 'no carrier'}) for order {row['order_id']} "
        f"of {row['integration']} ({row['platform']})",
    ]
    if row["tracking_original"] != row["tracking_number"]:
        said.append(f"  given as {row['tracking_original']!r}")
    if row["tracking_url"]:
        said.append(f"  {row['tracking_url']}")
    if row["items"]:
        items = [f"{i['item_id'] or i['sku']}×{i['quantity'] or 'all'}" for i in json.loads(row["items"])]
        said.append(f"  holds {', '.join(items)}")
    said.append(f"  shipped {local(row['created_at'], zone)}; order status {row['order_status'] or '(none)'}")
    for name, word in (
        ("due_at", "became due"),
        ("forwarded_at", "forwarded"),
        ("confirmed_at", "confirmed"),
        ("status_sent_at", "order marked as sent"),
        ("in_doubt_since", "in doubt since"),
        ("next_attempt_at", "next attempt"),
    ):
        if row[name]:
            said.append(f"  {word} {local(row[name], zone)}")
    said.append(f"  now {row['state']}" + (f": {row['reason']}" if row["reason"] else ""))
    for line in lines:
        moment = parse_stamp(line["at"]).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
        answer = f" → {line['status']}" if line["status"] else ""
        call = f"  {line['method']} {line['url']}{answer}" if line["method"] else ""
        detail = f": {line['detail']}" if line["detail"] else ""
        said.append(f"{moment}  {line['step']}, {line['outcome']}{detail}{call}")
        said += [f"    {mark} {line[name]}" for name, mark in (("request", ">"), ("answer", "<")) if line[name]]
    return "\n".join(clean(line) for line in said)


def clean_lines(text: str) -> str:
    """`clean`, but line breaks stay."""
    return "\n".join(clean(line) for line in text.split("\n"))
