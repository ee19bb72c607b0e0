"""Signals that must wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def signals_held() -> Iterator[None]:
    """Put off SIGINT, SIGTERM and SIGHUP until the block ends; then they do what they do.

    Why not pthread_sigmask: it covers one thread; the kernel hands the signal to another, and Python runs the
    handler (KeyboardInterrupt) in the main thread all the same. So the handlers are swapped, which only the main
    thread may do. In another thread this does nothing: no handler runs there, and a run with threads must have
    handlers for all three that only set a flag (by default SIGTERM and SIGHUP end a process from any thread).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for held in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            if (handler := signal.getsignal(held)) is not None:  # None: not set from Python, cannot be put back
                before[held] = handler
                signal.signal(held, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
