"""The status as a page: one file that asks nobody for anything, for file:// and any web server.

Its script and style are named by their hashes in a strict Content-Security-Policy. The rows lie in it as JSON and
are drawn a page at a time, so that 50,000 of them open quickly; the first ones stand in it as HTML for those
without scripts.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

from shipfwd.models import STATES
from shipfwd.views import ICONS, clean, local

FIRST = 100  # rows that stand in the page as HTML
TEMPLATES = Path(__file__).parent / "templates"
# Heading and the column it sorts by (None: not sorted by), as in status.js.
HEADINGS = (
    ("", 5),
    ("Id", 0),
    ("Integration", 1),
    ("Order", 2),
    ("Number", 4),
    ("Shipped", 7),
    ("Sent", 8),
    ("State", 5),
)


def write(
    out: IO[str],
    rows: Iterable[Mapping[str, Any]],
    integrations: Sequence[Mapping[str, Any]],
    fire: str,
    on_fire: bool,
    made: datetime,
    zone: ZoneInfo,
    notes: Sequence[str] = (),
) -> None:
    """Write the page. `rows` as the store's `status` gives them; memory does not grow with them.

    fire, notes   the summary line, and sentences on what is about to be lost (radar.py).
    """
    style, script = (_read(name) for name in ("status.css", "status.js"))
    every = iter(rows)
    first = [_row(row, zone) for row in islice(every, FIRST)]
    head, tail = _read("status.html").split("@ROWS@")
    parts = {
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        "STYLE": style,
        "MADE": f"As of {made.astimezone(zone):%Y-%m-%d %H:%M} ({escape(str(zone))}), by shipfwd.",
        "FIRE": _text(fire),
        "FIRE_CLASS": " bad" if on_fire else "",
        "NOTES": "\n".join(f"<li>{_text(note)}</li>" for note in notes),
        "NOTES_HIDDEN": "" if notes else " hidden",
        "INTEGRATIONS": "\n".join(_integration(one, zone) for one in integrations),
        "OPTIONS": "".join(f"<option>{_text(one['name'])}</option>" for one in integrations),
        "BOXES": "".join(f'<label><input type="checkbox" name="state" value="{s}"> {s}</label>' for s in STATES),
        "HEADINGS": "".join(_heading(title, column) for title, column in HEADINGS),
        "FIRST": "\n".join(_line(row) for row in first),
        "FIRST_COUNT": str(len(first)),
    }
    out.write(_fill(head, parts))
    out.write("[")
    comma = ""
    for row in first:
        out.write(comma + _json(row))
        comma = ",\n"
    for plain in every:
        out.write(comma + _json(_row(plain, zone)))
        comma = ",\n"
    out.write("]")
    out.write(_fill(tail, {"SCRIPT": script}))


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _fill(template: str, parts: Mapping[str, str]) -> str:
    """Fill @NAME@ marks, each once, left to right, so that no value is ever read as a mark."""
    import re

    return re.sub("@([A-Z_]+)@", lambda mark: parts[mark[1]], template)


def _text(value: Any) -> str:
    return escape(clean(value))


def _json(row: list[Any]) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _row(row: Mapping[str, Any], zone: ZoneInfo) -> list[Any]:
    """A shipment as status.js knows it: id, integration, order, carrier, number, state, reason, times, sign, tip."""
    state, sign = row["state"], ICONS[row["state"]][0]
    sent, confirmed = local(row["forwarded_at"], zone), local(row["confirmed_at"], zone)
    tip = f"{state} {sent}".strip()
    if state == "forwarded":
        sign += sign if confirmed else ""
        tip += f"; seen there {confirmed}" if confirmed else "; not read back yet"
    elif row["reason"]:
        tip += f": {clean(row['reason'])}"
    reason = clean(row["reason"])
    if state == "retrying" and row["next_attempt_at"]:
        reason += f" (again {local(row['next_attempt_at'], zone)})"
    words = (row["integration"], row["order_id"], row["carrier"], row["tracking_number"])
    return [
        row["id"],
        *(clean(w) for w in words),
        state,
        reason,
        local(row["created_at"], zone),
        sent,
        confirmed,
        sign,
        tip,
    ]


def _line(row: Sequence[Any]) -> str:
    number, integration, order, carrier, tracking, state, reason, shipped, sent, _, sign, tip = (
        escape(str(value)) for value in row
    )
    small = [f"<small>{text}</small>" if text else "" for text in (carrier, reason)]
    cells = (
        ("sign", f'{sign}<span class="hidden">{tip}</span>'),
        ("id", number),
        ("", integration),
        ("number", order),
        ("number tracking", tracking + small[0]),
        ("time", shipped),
        ("time", sent),
        ("why", state + small[1]),
    )
    line = "".join(f'<td role="cell" class="{name}">{text}</td>' for name, text in cells)
    return f'<tr role="row" class="{state}">' + line.replace('class="sign"', f'class="sign" title="{tip}"', 1) + "</tr>"


def _heading(title: str, column: int) -> str:
    sort = "descending" if column == 0 else "none"
    spoken = title or '<span class="hidden">Sign</span>●'
    button = f'<button type="button" data-column="{column}">{spoken}</button>'
    return f'<th role="columnheader" scope="col" aria-sort="{sort}">{button}</th>'


def _integration(one: Mapping[str, Any], zone: ZoneInfo) -> str:
    on = "on" if one["forwarding"] else "off"
    cells = (
        one["trigger"],
        one["status_transfer"],
        local(one["last_success_at"], zone),
        local(one["login_expires_at"], zone),
    )
    more = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
    failed = "count some" if one["failed"] else "count"
    sign = "●" if one["forwarding"] else "○"
    return (
        f'<tr class="{on}"><td>{_text(one["name"])}</td><td>{_text(one["platform"])}</td><td>{sign} {on}</td>{more}'
        f'<td class="count">{one["pending"]}</td><td class="{failed}">{one["failed"]}</td></tr>'
    )
