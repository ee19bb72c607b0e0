"""What all integrations of a process share: the TLS context, the trace file, the dry-run switch."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from shipfwd.answers import document
from shipfwd.errors import ConfigError
from shipfwd.files import unwritable
from shipfwd.models import Exchange


class Redacting(Protocol):
    def redact(self, text: str) -> str: ...
    def redact_headers(self, headers: Mapping[str, str]) -> dict[str, str]: ...
    def redact_url(self, url: str) -> str: ...


@functools.cache
def _trusting(bundle: str) -> Any:
    """Made once for the process: reading the certificates costs 17 ms of CPU, more than a whole request."""
    import ssl

    try:
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot read the certificates in {bundle}: {error}") from None


class Network:
    """What all integrations of a process share.

    redactor   knows every secret of the process.
    clock      UTC now.  sleep  seconds; ends early when the run is asked to stop.
    dry_run    the gate: the first write of a talk raises WouldSend instead of leaving.
    trace      a path for the redacted conversation, one JSON object a line, or None.
    """

    def __init__(
        self,
        redactor: Redacting,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        folder: Path = Path("."),
        dry_run: bool = False,
        trace: Path | None = None,
    ) -> None:
        self.redactor, self.clock, self.sleep, self.folder, self.dry_run = redactor, clock, sleep, folder, dry_run
        self._lock = threading.Lock()
        self._trace: IO[str] | None = None
        if trace is not None:
            try:
                fd = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                os.fchmod(fd, 0o600)
                self._trace = os.fdopen(fd, "a", encoding="utf-8")
            except OSError as error:
                raise unwritable(trace, error) from None

    def context(self) -> Any:
        """The TLS context of the process; REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE count."""
        import certifi

        with self._lock:
            return _trusting(
                os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
            )

    @property
    def tracing(self) -> bool:
        return self._trace is not None

    def write_trace(self, exchange: Exchange, headers: Mapping[str, str], answer_headers: Mapping[str, str]) -> None:
        if self._trace is None:
            return
        parts = urlsplit(exchange.url)
        line = {
            "at": exchange.at.isoformat(),
            "method": exchange.method,
            "host": parts.netloc,
            "path": parts.path,
            "query": parts.query,
            "headers": dict(headers),
            "sent": document(exchange.request),
            "status": exchange.status,
            "reply": document(exchange.answer),
            "reply_headers": dict(answer_headers),
            "note": exchange.note,
        }
        with self._lock:
            self._trace.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._trace.flush()

    def close(self) -> None:
        if self._trace is not None:
            self._trace.close()
            self._trace = None
