"""What SIGINT, SIGTERM and SIGHUP do: end a command in order, wait for a moment, or nothing any more."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hung_up_is_nothing() -> bool:
    """nohup: who started us wants a closed terminal to mean nothing."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


_came = False


def interruptible() -> None:
    """All three end what runs as Ctrl-C does, so that what it began to write is cleared away; a second one at once."""
    for one in ENDING:
        if one != signal.SIGHUP or not hung_up_is_nothing():
            signal.signal(one, _interrupt)
    sys.unraisablehook = _unraisable


def interrupted() -> bool:
    """One came, and became a KeyboardInterrupt. Whoever swallowed or wrapped that cannot hide it here."""
    return _came


def over() -> None:
    """The work is done and its exit code is known: no signal changes that any more."""
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)


def _interrupt(number: int, frame: object) -> None:
    global _came
    if _came:
        os._exit(130)
    _came = True
    raise KeyboardInterrupt


def _unraisable(what: Any) -> None:
    """The signal came while something was being thrown away: nobody wants to read where that was."""
    if not issubclass(what.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(what)


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
        for held in ENDING:
            if (handler := signal.getsignal(held)) is not None:  # None: not set from Python, cannot be put back
                before[held] = handler
                signal.signal(held, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
