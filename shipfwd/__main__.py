"""Where a process begins: signals and the three standard files are made sound before anything else is loaded."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from shipfwd.signals import interrupted, interruptible, over


def standard_files() -> None:
    """What was closed before the start is nowhere (`>&-`): no database or vault may get its number.

    Python knows such a file as None, and whoever writes to it would fail with a bug.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            os.set_inheritable(number, True)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  (stays open)
            setattr(sys, name, stream)


def main() -> None:
    """The console script, also for python -m shipfwd."""
    try:
        interruptible()
        standard_files()
        from shipfwd.cli import main as command

        code = command()
        over()
    except KeyboardInterrupt:
        code = 130
        over()
    if interrupted():  # sys.exit would end with SIGINT where the signal came during an exec (namedtuple, dataclass)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
