"""--log-format json: one line an event on stderr, for journald, Loki and their like.

Levels say who must act: error needs a person, warning mends itself, info is the course of things.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from shipfwd.models import stamp
from shipfwd.views import safe_json


class Log:
    """Writes events. quiet: only what needs a person.

    redact   masks secrets in a text; every text of an event goes through it.
    """

    def __init__(self, clock: Callable[[], datetime], quiet: bool, redact: Callable[[str], str]) -> None:
        self._clock, self._quiet, self._redact = clock, quiet, redact
        self._lock = threading.Lock()

    def __call__(self, event: str, level: str = "info", /, **fields: Any) -> None:
        if self._quiet and level != "error":
            return
        line = {"time": stamp(self._clock()), "level": level, "event": event, **self._masked(fields)}
        with self._lock:
            sys.stderr.write(safe_json(line) + "\n")
            sys.stderr.flush()

    def _masked(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._redact(one) if isinstance(one, str) else one for name, one in fields.items()}
