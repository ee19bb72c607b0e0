"""order: the statuses that shipments wait for."""

from __future__ import annotations

from typing import Any

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import WHOLE, App, formats
from shipfwd.cli.groups import Group
from shipfwd.errors import UsageError


@click.group(cls=Group)
def order() -> None:
    """Orders and the statuses that shipments wait for.

    \b
    shipfwd order move A-1001 --to Shipped -i shop
    """


@order.command("move")
@click.argument("orders", nargs=-1, required=True, metavar="ORDER…")
@click.option("--to", "to_status", required=True, help="The status, in your own words.")
@click.option(
    "-i",
    "--integration",
    "name",
    shell_complete=complete.integrations,
    required=True,
    help="Where the orders came from.",
)
@click.pass_obj
def order_move(app: App, orders: tuple[str, ...], to_status: str, name: str) -> None:
    """Give orders a status. Shipments that wait for it go out with the next sweep.

    \b
    shipfwd order move A-1001 A-1002 --to Shipped -i shop
    """
    store = app.working_store()
    if not to_status.strip():
        raise UsageError("--to needs a status, such as Shipped")
    ids = [one.strip() for one in orders]
    moved = store.move_orders(store.integration(name).id, ids, to_status.strip())
    app.say(f"{moved} of {len(ids)} orders moved to {to_status.strip()}")


@order.command("list")
@click.option("-i", "--integration", "name", shell_complete=complete.integrations, help="Only this integration.")
@click.option("--limit", type=WHOLE, metavar="N", help="At most so many, newest first (a table: 50).")
@formats()
@click.pass_obj
def order_list(app: App, name: str | None, limit: int | None, form: str) -> None:
    """The orders and their statuses, newest first.

    \b
    shipfwd order list -i shop --limit 20
    """
    store = app.store()
    fields = ("integration", "order_id", "order_status", "status_at", "shipments", "marked_as_sent")
    rows: list[dict[str, Any]] = []
    if store is not None:
        most = 50 if limit is None and form == "table" else limit
        rows = store.orders(store.integration(name).id if name else None, most)
    if form == "table":
        zone = app.config().zone
        rows = [{**row, "status_at": views.local(row["status_at"], zone)} for row in rows]
    views.emit(rows, fields, form, app.out)
