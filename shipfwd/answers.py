"""What an answer means by its status and its kind of document, before any platform's own words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from shipfwd.errors import AuthFailed, ConfigError, NotUnderstood, Rejected, Throttled, TryLater
from shipfwd.models import Reply


def parsed(body: bytes) -> Any:
    """The JSON document, or None where it is none; NaN and Infinity are none, half a character is a question mark."""
    if not (body[:1].strip() or body.strip()):
        return None
    try:
        data = json.loads(body, parse_constant=_none)
        if b"\\ud" in body or b"\\uD" in body:  # one that stands alone cannot be stored, sent or shown
            data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
        return data
    except (ValueError, RecursionError):
        return None


def _none(name: str) -> Any:
    raise ValueError(name)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date; None when absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def by_status(reply: Reply, expect: str, lost: type[TryLater], where: str, now: datetime) -> Exception | None:
    """The error that a status means where the platform's own words said nothing; None for a kept promise.

    expect   json | empty | maybe | text, as in Platform.call.
    lost     what a broken-off exchange means: OutcomeUnknown or AnswerLost for a write, Unavailable for a read.
    where    "METHOD url", redacted.
    """
    status, host = reply.status, urlsplit(where.partition(" ")[2]).netloc
    if 200 <= status < 300:
        return by_document(reply, expect, lost, f"{host} answered {status}")
    after = retry_after(reply.headers, now) if status in (429, 503) else None
    said = f"{host} answered {status}" + (f": {told}" if (told := words(reply)) else "")
    if 300 <= status < 400:
        target = reply.headers.get("Location", "").partition("?")[0][:200]
        return ConfigError(
            f"{host} redirects to {target or 'another address'}; set base_url to the address that answers"
        )
    if status in (401, 403):
        return AuthFailed(f"{said}; check the credentials, then: shipfwd integration check")
    if status == 429:
        return Throttled(f"{host} asks for fewer calls", after=after)
    if status == 408 or status >= 500:
        return lost(said, after=after)
    return Rejected(said)


def by_document(reply: Reply, expect: str, lost: type[TryLater], said: str) -> Exception | None:
    empty, is_json = not reply.text.strip(), reply.data is not None or reply.text.strip() == "null"
    if expect == "empty":
        if is_json:
            return NotUnderstood(f"{said} with a document where none belongs")
        return None if empty else lost(f"{said} with something that is no answer of its API")
    if expect == "maybe" and (empty or is_json) or expect == "json" and is_json:
        return None
    if expect == "text" and not empty and not reply.text.lstrip()[:15].lower().startswith(("<html", "<!doctype html")):
        return None
    return lost(f"{said} with " + ("nothing" if empty else "a page") + " instead of the document its API promises")


def words(reply: Reply) -> str:
    """The first human words of an error document, for a message."""
    data = reply.data
    while isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, dict):
        for name in (
            "userMessage",
            "message",
            "longMessage",
            "error_description",
            "detail",
            "title",
            "error",
            "errors",
        ):
            value = data.get(name)
            if isinstance(value, str) and value:
                return " ".join(re.sub("<[^>]*>", " ", value).split())[:200]  # WordPress says it in HTML
            if isinstance(value, (list, dict)) and value:
                return words(replace(reply, data=value))
    return ""


def document(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
