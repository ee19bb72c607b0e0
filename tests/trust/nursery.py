"""Run by park.Nursery: loads everything once, then forks a child for each command that comes in as a line of JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
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
            _, status, used = os.wait4(order["reap"], 0)
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
        os.umask(order.get("umask", 0o022))
        for name, value in order["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, resource.getrlimit(getattr(resource, name))[1]))
        if order["hasty"]:
            hurry()
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


def hurry() -> None:
    from shipfwd import http

    http.CONNECT_SECONDS, http.READ_SECONDS, http.LIFE_SECONDS = 1, 1, 1
    for name in platforms.names():
        platform = platforms.load(name)
        platform.rates = tuple(Rate(one.calls * 1000, one.seconds, one.burst, one.operations) for one in platform.rates)


if __name__ == "__main__":
    main()
