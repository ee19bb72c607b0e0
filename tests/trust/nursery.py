"""Run by park.Nursery: loads everything once, then forks a child for each command that comes in as a line of JSON."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from shipfwd import platforms
from shipfwd.models import Rate

MODULES = (
    "shipfwd.cli.app", "shipfwd.cli.intake", "shipfwd.cli.sending", "shipfwd.cli.reading", "shipfwd.cli.setup",
    "shipfwd.cli.config", "shipfwd.cli.hands", "shipfwd.sweeper", "shipfwd.forwarder", "shipfwd.importer",
    "shipfwd.prover", "shipfwd.redactor", "shipfwd.settings", "sqlite_utils", "tenacity", "defusedxml.ElementTree",
)  # fmt: skip


def main() -> None:
    for module in MODULES:
        import_module(module)
    for name in platforms.names():
        platforms.load(name)
    for line in sys.stdin:
        order = json.loads(line)
        if "reap" in order:
            again = threading.Timer(order["again"], os.kill, (order["reap"], signal.SIGTERM))
            again.daemon = True
            again.start()
            _, status, used = os.wait4(order["reap"], 0)
            again.cancel()
            again.join()
            print(os.waitstatus_to_exitcode(status), used.ru_maxrss // 1024, flush=True)
            continue
        if not (pid := os.fork()):
            child(order)
        print(pid, 0, flush=True)


def child(order: dict[str, Any]) -> None:
    import shipfwd.cli

    code: Any = 99
    null, log = os.open(os.devnull, os.O_RDWR), os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for given, wanted in ((null, 0), (log, 1), (log, 2)):
        os.dup2(given, wanted)
    try:
        os.environ.update(order["env"])
        os.chdir(order.get("folder", "."))
        os.umask(order.get("umask", 0o022))
        for name, value in order["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, resource.getrlimit(getattr(resource, name))[1]))
        if order["hasty"]:
            hurry()
        if "whole" in order:
            whole(order)
        ahead = timedelta(seconds=order["ahead"])
        app = import_module("shipfwd.cli.app").App(lambda: datetime.now(UTC) + ahead)
        code = shipfwd.cli.cli.main(order["args"], obj=app, standalone_mode=False)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code or 0)


def whole(order: dict[str, Any]) -> None:
    """The command as its process runs it, from the first line to the exit code.

    files   number of a standard file → what it is: closed | full | pipe (nobody reads it any more).
    nohup   SIGHUP is ignored from the start.
    signal  sent to itself at the call of its `at`th function: the same moment every time, and no clock.
    """
    from shipfwd.__main__ import main

    os.setsid()
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, 0.02))
    if order["whole"].get("nohup"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.argv = ["shipfwd", *order["args"]]
    for number, what in order["whole"].get("files", {}).items():
        name = ("stdin", "stdout", "stderr")[int(number)]
        if what == "closed":
            os.close(int(number))
            setattr(sys, name, None)  # as Python finds it
            continue
        if what == "full":
            fd = os.open("/dev/full", os.O_WRONLY)
        else:
            read, fd = os.pipe()
            os.close(read)
        os.dup2(fd, int(number))
    if number := order["whole"].get("signal"):
        left = order["whole"]["at"]

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal left
            if event == "call" and (left := left - 1) == 0:
                sys.setprofile(None)
                os.kill(os.getpid(), number)

        from shipfwd.signals import interruptible

        interruptible()
        sys.setprofile(count)
    try:
        main()
    except SystemExit as ended:
        sys.setprofile(None)
        code: Any = ended.code
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = 120  # what Python ends with then
        os._exit(code or 0)


def hurry() -> None:
    from shipfwd import connections, http

    http.CONNECT_SECONDS, http.READ_SECONDS, connections.LIFE_SECONDS = 1, 1, 1
    for name in platforms.names():
        platform = platforms.load(name)
        platform.rates = tuple(Rate(one.calls * 1000, one.seconds, one.burst, one.operations) for one in platform.rates)


if __name__ == "__main__":
    main()
