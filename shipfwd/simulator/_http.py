"""HTTP/1.1 on a socket, for the stand-ins: read a request, write an answer in one send.

Why not http.server: it parses headers as e-mail, which costs more than all the rest of a request here.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD = 64 * 1024
_SO_TIMESTAMPNS = 35  # Linux's number, which Python's socket does not know
_STAMP = struct.Struct("qq")  # seconds since 1970 and nanoseconds
_REASONS = {status.value: status.phrase for status in HTTPStatus}


def reason(status: int) -> str:
    return _REASONS.get(status, "Unknown")


class BadRequest(Exception):
    """What came in is no HTTP request."""


def tell_arrivals(listener: socket.socket) -> None:
    """Let the system note when each piece arrives: a busy machine gets to it later than a client sent it."""
    if sys.platform == "linux":
        listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


@dataclass
class Request:
    """One request as it came in.

    target    as sent: path and query, percent-encoded.
    headers   names in lower case.
    at        seconds since 1970 on the simulator's clock.
    stand     the prefix it was sent to; `path` is what follows it, still percent-encoded.
    fault     what was done to it instead of (or after) answering; "" for nothing.
    status    what was answered; None while it is worked on, and when nothing was said.
    waited    seconds from its arrival until this process got to it; 0.0 where the system does not tell.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    at: float = 0.0
    stand: str = ""
    path: str = ""
    fault: str = ""
    status: int | None = None
    waited: float = 0.0

    @property
    def label(self) -> str:
        """What `match` patterns are searched in: "POST /order/checkout-forms/…"."""
        return f"{self.method} {self.path}"

    def header(self, name: str) -> str:
        """A header's value; "" when it is absent."""
        return self.headers.get(name.lower(), "")

    @property
    def keep_alive(self) -> bool:
        return "close" not in self.header("connection").lower()

    @cached_property
    def params(self) -> list[tuple[str, str]]:
        """The query's pairs, in order."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        """The query by name; the last value of a name wins."""
        return dict(self.params)

    @cached_property
    def form(self) -> dict[str, str]:
        """The body's form fields; empty when it is not a form."""
        if "x-www-form-urlencoded" not in self.header("content-type"):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> Any:
        """The body's document. Raises ValueError when it is not JSON."""
        return json.loads(self.body)


@dataclass
class Answer:
    """One answer. `headers` need no Content-Length, Date or Connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(
        cls,
        data: Any,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> Answer:
        body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status, body, {"Content-Type": kind, **(headers or {})})

    @classmethod
    def empty(cls, status: int = 204, headers: Mapping[str, str] | None = None) -> Answer:
        return cls(status, b"", dict(headers or {}))

    @classmethod
    def text(
        cls,
        text: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        kind: str = "text/plain; charset=utf-8",
    ) -> Answer:
        return cls(status, text.encode(), {"Content-Type": kind, **(headers or {})})

    @classmethod
    def html(cls, title: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
        return cls.text(page, status, headers, "text/html; charset=utf-8")

    @classmethod
    def xml(cls, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        return cls.text(text, status, headers, "text/xml; charset=utf-8")

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Answer:
        return cls.html("Moved", status, {"Location": url})


class Connection:
    """One client's connection; kept alive, answers in the order of the requests."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""
        self._waited = 0.0  # seconds that what was read last had lain there

    def read(self) -> Request | None:
        """The next request, or None when the client has hung up. Raises BadRequest."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest("head too long")
            if not self._more():
                return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        try:
            method, target, version = lines[0].split(" ")
        except ValueError:
            raise BadRequest("request line") from None
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadRequest("header")
            headers[name.lower()] = value.strip()
        if version == "HTTP/1.0" and "keep-alive" not in headers.get("connection", "").lower():
            headers["connection"] = "close"
        if headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(method, target, headers, self._body(headers), waited=self._waited)

    def write(self, request: Request, answer: Answer, date: str, cut: bool = False) -> None:
        """Send an answer; `cut`: break off in the middle of it."""
        status, body = answer.status, answer.body
        lines = [f"HTTP/1.1 {status} {reason(status)}", f"Date: {date}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if status not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        if not request.keep_alive:
            lines.append("Connection: close")
        if request.method == "HEAD" or status in (204, 304):
            body = b""
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if cut:
            self.sock.sendall(head + body[: len(body) // 2] if body else head[: len(head) // 2])
        else:
            self.sock.sendall(head + body)

    def wait_for_hangup(self) -> None:
        while self.sock.recv(65536):
            pass

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            whole = b""
            while size := self._chunk_size():
                whole += self._take(size)
                self._take(2)
            self._take(2)
            return whole
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise BadRequest("content-length")
        return self._take(int(length))

    def _chunk_size(self) -> int:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not self._more():
                raise BadRequest("body cut off")
        size, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        try:
            return int(size.split(b";")[0], 16)
        except ValueError:
            raise BadRequest("chunk size") from None

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            if not self._more():
                raise BadRequest("body cut off")
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken

    def _more(self) -> bool:
        data, told, *_ = self.sock.recvmsg(65536, socket.CMSG_SPACE(_STAMP.size))
        self._waited = 0.0
        for *_, stamp in told:
            seconds, nanoseconds = _STAMP.unpack(stamp)
            self._waited = max(0.0, time.time() - seconds - nanoseconds / 1e9)
        self._buffer += data
        return bool(data)
