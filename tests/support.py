"""Plain helpers of the tests: a clock to move, a filled store, a merchant at a keyboard; fixtures: conftest.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from shipfwd import carriers
from shipfwd.models import Integration, fold, normalise, stamp, tracking_key
from shipfwd.rows import Row
from shipfwd.store import Store, opened

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday, 13:00 in Warsaw


class Clock:
    """UTC now, as long as nobody moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **more: float) -> datetime:
        self.now += timedelta(**more)
        return self.now


def row(order: str, number: str = "", **more: Any) -> Row:
    """A row as the importer makes it."""
    given = {"integration_id": 0, "carrier": "dpd", "status": "", "created_at": None, "url": "", **more}
    return Row(
        given["integration_id"], given.get("line", 1), order, tracking_key(number), carriers.fold(given["carrier"]),
        given["status"].strip(), fold(given["status"]), stamp(given["created_at"]) if given["created_at"] else "",
        normalise(number), number, given["url"], given.get("item_id", ""), given.get("sku", ""),
        given.get("quantity") or 0,
    )  # fmt: skip


class Filled:
    """A store with helpers that put things into it the way commands do."""

    def __init__(self, path: Path, clock: Clock) -> None:
        connection = opened(path, may_create=True)
        assert connection is not None
        self.store = Store(path, connection, clock)
        self.path, self.clock = path, clock

    def integration(self, name: str = "shop", platform: str = "woocommerce", **more: Any) -> Integration:
        return self.store.add_integration(Integration(0, name, platform, **more))

    def put(self, integration: Integration, *rows: Row, run: int | None = None) -> list[int]:
        """Bring rows in; the ids of the new shipments."""
        before = self.store.newest_id()
        intake = self.store.intake(self.store.begin_run("import") if run is None else run)
        intake.put(one._replace(integration_id=integration.id) for one in rows)
        intake.group()
        self.arrived = intake.merge()
        return list(range(before + 1, self.store.newest_id() + 1))

    def stored(self, shipment_id: int) -> dict[str, Any]:
        """The row as it stands in the table."""
        return dict(self.store._read("SELECT * FROM shipments WHERE id = ?", (shipment_id,))[0])

    def shown(self, shipment_id: int) -> dict[str, Any]:
        """The row as `status` shows it."""
        return next(iter(self.store.status(ids=[shipment_id])))

    def change(self, sql: str, *values: Any) -> None:
        with self.store._write() as db:
            db.execute(sql, values)


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Shop:
    """A merchant at a keyboard: registers integrations at the stand-ins and runs commands.

    shop.add("shop", "woocommerce", "--trigger", "status:Shipped")
    shop.run("add", "101", "620000000000000000000001", "-i", "shop", "--carrier", "inpost").code
    shop.json("status")[0]["state"]
    """

    def __init__(self, sim: Any, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sim, self.folder, self.clock, self._monkeypatch = sim, folder, clock, monkeypatch
        self.db = folder / "shop.db"
        monkeypatch.setenv("SHIPFWD_DB", str(self.db))
        # Pauses between two tries are for real shops.
        monkeypatch.setattr("shipfwd.http.random", SimpleNamespace(uniform=lambda low, high: 0.0))

    def run(self, *args: object, stdin: str | bytes | None = None) -> Said:
        """One command in this process, with this shop's clock."""
        from shipfwd.cli import cli
        from shipfwd.cli.app import App

        done = CliRunner().invoke(cli, [str(one) for one in args], input=stdin, obj=App(self.clock))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def json(self, *args: object) -> Any:
        """The document that a command prints with --format json."""
        said = self.run(*args, "--format", "json")
        return said.data

    def add(self, name: str = "shop", platform: str = "woocommerce", *options: str, stand: str = "") -> Said:
        """Register an integration at a stand-in."""
        settings, secrets = self.sim.platform(stand or platform).credentials()
        given = ["--platform", platform]
        for key, value in settings.items():
            given += ["--set", f"{key}={value}"]
        for key, value in secrets.items():
            self._monkeypatch.setenv(variable := f"T_{name}_{key}".upper().replace("-", "_"), value)
            given += ["--secret", f"{key}=env:{variable}"]
        said = self.run("integration", "add", name, *given, *options)
        assert said.code == 0, said
        return said

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def status(self, *options: object) -> dict[int, dict[str, Any]]:
        return {one["id"]: one for one in self.json("status", *options)}

    def states(self) -> dict[str, str]:
        """order → state; one shipment an order."""
        return {one["order_id"]: one["state"] for one in self.json("status")}
