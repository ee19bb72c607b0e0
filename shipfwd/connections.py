"""urllib3's connections, each known to the thread that uses it, so that a watchdog can cut them.

    with watchdog.over(left):  # the thread's next request; `left` runs when its last byte is written
        ...

No request lives longer than LIFE_SECONDS, however slowly its answer drips.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

LIFE_SECONDS = 45  # must stay below in_doubt_seconds
WATCH_SECONDS = 1.0  # how often somebody looks whether a request lives too long


class _Here(threading.local):
    """What this thread is at."""

    def __init__(self) -> None:
        self.box: list[Any] = []  # its connection, then the connection's socket
        self.left: Callable[[], None] = lambda: None
        self.dialling = False


_here = _Here()


def dialling() -> bool:
    """Whether this thread's request broke off before it left, while its connection was made."""
    return _here.dialling


@contextmanager
def _dial() -> Iterator[None]:
    """Until this is done, no byte of the request has left."""
    _here.dialling = True
    yield
    _here.dialling = False


class _Noted:
    def request(self, *args: Any, **kwargs: Any) -> None:
        _here.box.append(self)
        if self.sock is None:  # type: ignore[attr-defined]
            with _dial():
                self.connect()  # type: ignore[attr-defined]
        super().request(*args, **kwargs)  # type: ignore[misc]
        _here.box.append(self.sock)  # type: ignore[attr-defined]  # an answer may take it over and leave None
        _here.left()


class _Http(_Noted, HTTPConnection):
    pass


class _Https(_Noted, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https

    def _prepare_proxy(self, conn: Any) -> None:
        _here.box.append(conn)
        with _dial():
            super()._prepare_proxy(conn)

    def _validate_conn(self, conn: Any) -> None:
        """Connects and shakes hands."""
        _here.box.append(conn)
        with _dial():
            super()._validate_conn(conn)


POOLS = {"http": _HttpPool, "https": _HttpsPool}


class _Watchdog:
    """One sleeping thread a process."""

    def __init__(self) -> None:
        self._lives: dict[int, tuple[float, list[Any]]] = {}
        self._started = False
        self._lock = threading.Lock()

    @contextmanager
    def over(self, left: Callable[[], None]) -> Iterator[None]:
        if not self._started:
            with self._lock:
                if not self._started:
                    threading.Thread(target=self._watch, name="shipfwd-watchdog", daemon=True).start()
                    self._started = True
        _here.box, _here.left, _here.dialling = [], left, False
        ident = threading.get_ident()
        self._lives[ident] = (time.monotonic() + LIFE_SECONDS, _here.box)
        try:
            yield
        finally:
            self._lives.pop(ident, None)

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            now = time.monotonic()
            for ident, (end, box) in list(self._lives.items()):
                if now >= end and box:
                    self._lives.pop(ident, (end, box))
                    sock = getattr(box[-1], "sock", box[-1])
                    if isinstance(sock, socket.socket):
                        try:
                            sock.shutdown(socket.SHUT_RDWR)
                        except OSError:
                            pass


watchdog = _Watchdog()
