"""Every platform's stand-in with orders for it, real processes to work at them, and the verdict: lost, doubled, untrue.

SHIPFWD_TRUST=long is the long form; SHIPFWD_TRUST_SEED=N repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipfwd import platforms, simulator
from shipfwd.models import Rate

LONG = os.environ.get("SHIPFWD_TRUST") == "long"
SEED = int(os.environ.get("SHIPFWD_TRUST_SEED", "20261124"))
UNFINISHED = {"arena"}  # http with a definition that still says TODO; http is here
PLATFORMS = sorted(set(simulator.names()) & set(platforms.names()) - UNFINISHED)
ROOT = Path(__file__).parents[2]

FIGURES: list[dict[str, Any]] = []  # what `pytest` prints at the end, see conftest.py


def figure(what: str, *verdicts: Verdict, **more: Any) -> None:
    """A line of the table at the end, with what the verdicts found."""
    found = {name: sum(len(getattr(one, name)) for one in verdicts) for name in ("lost", "doubled", "untrue", "person")}
    FIGURES.append({"what": what, **more, **(found if verdicts else {})})


def chance(what: str) -> random.Random:
    """Random numbers of one test, the same for the same seed whichever tests run."""
    return random.Random(f"{SEED} {what}")


# ---- orders that every stand-in takes for its own ------------------------------------------------------------

_ORDERS = {
    "allegro": lambda n: str(uuid.uuid5(uuid.NAMESPACE_URL, f"order {n}")),
    "amazon": lambda n: f"902-1106328-{n:07d}",
    "ebay": lambda n: f"12-{n // 100000:05d}-{n % 100000:05d}",
    "erli": lambda n: f"240101x{n:06d}",
    "kaufland": lambda n: f"M{n:06d}",
    "etsy": lambda n: str(3_000_000_000 + n),
    "shopify": lambda n: f"#{n}",
}


def order_id(platform: str, n: int) -> str:
    found: str = _ORDERS.get(platform, lambda n: str(500_000 + n))(n)
    assert re.fullmatch(simulator.load(platform).plausible, found), f"{platform}: '{found}' is no order id of its kind"
    return found


def number(platform: str, n: int, parcel: int = 0) -> str:
    """DPD's kind: 13 digits and a letter."""
    return f"{PLATFORMS.index(platform):02d}{n:010d}{parcel}U"


CARRIERS = {"mirakl": "ups", "magento": "ups", "kaufland": "ups"}


def carrier(platform: str) -> str:
    return CARRIERS.get(platform, "dpd")


def takes_several(platform: str) -> bool:
    """Can an order of this platform hold parcels that do not say what lies in them?"""
    return platforms.load(platform).parcels in ("many", "joined")


@dataclass(frozen=True)
class Due:
    """A number that must come to stand on an order."""

    platform: str
    order: str
    number: str

    @property
    def line(self) -> str:
        return f"{self.platform},{self.order},{self.number},{carrier(self.platform)}"


def dues(platform: str, first: int, count: int, several: int = 5) -> list[Due]:
    """Parcels of `count` orders; every `several`th order has two, where the platform takes that."""
    return [
        Due(platform, order_id(platform, n), number(platform, n, parcel))
        for n in range(first, first + count)
        for parcel in range(2 if n % several == 0 and takes_several(platform) else 1)
    ]


def as_file(path: Path, some: Iterable[Due]) -> Path:
    lines = ["integration,order_id,tracking_number,carrier", *(one.line for one in some)]
    path.write_text("\n".join(lines) + "\n")
    return path


def credentials(sim: Any, platform: str, name: str = "") -> tuple[list[str], dict[str, str]]:
    """Words for `integration add`, and the environment they name."""
    settings, secrets = sim.platform(platform).credentials()
    words = [name or platform, "--platform", platform]
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    env = {}
    for key, value in secrets.items():
        variable = f"P_{name or platform}_{key}".upper().replace("-", "_").replace("SECRET", "HIDDEN")
        env[variable] = value
        words += ["--secret", f"{key}=env:{variable}"]
    if platforms.load(platform).status_transfer == "separate":
        words.append("--status-transfer")
    return words, env


def hurry(monkeypatch: Any) -> None:
    """Rates a thousand times what they are: these tests move the clock, and do not wait for it."""
    for name in PLATFORMS:
        kind = platforms.load(name)
        rates = tuple(Rate(one.calls * 1000, one.seconds, one.burst, one.operations) for one in kind.rates)
        monkeypatch.setattr(kind, "rates", rates)


# ---- the verdict ---------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """What became of what was due.

    lost      not on the order, and nobody is told: the promise is broken.
    doubled   on the order twice.
    untrue    a state that says something else than the order shows.
    person    not there, and red: a person is told why.
    doubt     in doubt still.
    """

    lost: list[Any] = field(default_factory=list)
    doubled: dict[str, Any] = field(default_factory=dict)
    untrue: list[Any] = field(default_factory=list)
    person: list[Any] = field(default_factory=list)
    doubt: list[Any] = field(default_factory=list)

    @property
    def unsettled(self) -> list[Any]:
        """Red or in doubt where the platform could be asked; where nothing can be read only a person can tell."""
        return [one for one in self.person + self.doubt if platforms.load(one[0]).read_back]

    def check(self) -> None:
        assert not self.lost, self.lost[:5]
        assert not self.doubled, self.doubled
        assert not self.untrue, self.untrue[:5]


def judge(sim: Any, rows: Sequence[Mapping[str, Any]], due: Iterable[Due]) -> Verdict:
    """Compare the stand-ins with what `status` shows, when no work is left."""
    found = Verdict()
    shown = {(row["integration"], row["order_id"], row["tracking_number"]): row for row in rows}
    there: dict[str, dict[str, list[str]]] = {}
    for one in due:
        if one.platform not in there:
            stand = sim.platform(one.platform)
            there[one.platform] = stand.all_numbers()
            if twice := stand.doubles():
                found.doubled[one.platform] = twice
        row = shown.get((one.platform, one.order, one.number))
        is_there = one.number in there[one.platform].get(one.order, [])
        state, reason = (row["state"], row["reason"]) if row else ("not stored", "")
        line = (one.platform, one.order, one.number, state, reason)
        if is_there != (state == "forwarded"):
            if state in ("failed", "blocked"):
                found.person.append(line)
            elif state == "retrying":
                found.doubt.append(line)
            elif is_there or state == "forwarded":
                found.untrue.append(line)
        if not is_there and state not in ("failed", "blocked", "retrying"):
            found.lost.append(line)
    return found


def incomplete_journal(db: Path) -> list[str]:
    """Shipments whose journal does not tell how they came to be as they are."""
    found = []
    with closing(sqlite3.connect(db)) as store:
        if (said := store.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            found.append(said)
        for id_, state in store.execute("SELECT id, state FROM shipments").fetchall():
            outcomes = [row[0] for row in store.execute(
                "SELECT outcome FROM attempts WHERE shipment_id = ? ORDER BY id", (id_,))]  # fmt: skip
            if state == "forwarded" and not {"accepted", "adopted"} & set(outcomes):
                found.append(f"{id_} is forwarded without an outcome: {outcomes}")
            if outcomes and outcomes[-1] == "left":
                found.append(f"{id_} left and never settled: {outcomes}")
    return found


# ---- real processes ------------------------------------------------------------------------------------------


class Nursery:
    """A process that has loaded everything and forks a child per command: what happens to a child hits its work.

    hasty   limits in seconds are small, and rates a thousand times what they are: the clock is moved, not waited for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self.started = 0
        self.megabytes = 0  # at the most, of the child that was reaped last
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SHIPFWD_")}
        self._parent = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**clean, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        )  # fmt: skip

    def _ask(self, order: Mapping[str, Any]) -> int:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        answer, self.megabytes = map(int, self._parent.stdout.readline().split())
        return answer

    def start(
        self, db: Path, *args: object, ahead: float = 0.0, hasty: bool = True, log: Path | None = None, **more: Any
    ) -> int:
        """The child's process id. `more`: limits, umask."""
        self.started += 1
        words = ["--db", str(db), *(str(one) for one in args)]
        log = log or self.folder / "children.log"
        return self._ask(
            {"args": words, "log": str(log), "ahead": ahead, "hasty": hasty, "env": self.env, "limits": {}, **more}
        )

    def reap(self, pid: int, again: float = 600.0) -> int:
        """The exit code; negative: the signal. again: seconds after which it is asked to end, as a person would."""
        return self._ask({"reap": pid, "again": again})

    def run(self, db: Path, *args: object, **more: Any) -> int:
        return self.reap(self.start(db, *args, **more))

    def add(self, db: Path, sim: Any, platform: str, *more: str, name: str = "") -> None:
        words, env = credentials(sim, platform, name)
        self.env.update(env)
        assert self.run(db, "integration", "add", *words, *more) == 0, self.said

    def status(self, db: Path) -> list[dict[str, Any]]:
        out = self.folder / "status.json"
        assert self.run(db, "status", "--format", "json", "--output", out) == 0, self.said
        found: list[dict[str, Any]] = json.loads(out.read_text())
        return found

    @property
    def said(self) -> str:
        log = self.folder / "children.log"
        return log.read_text() if log.exists() else ""

    def close(self) -> None:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(10)
        self._parent.stdout.close()
