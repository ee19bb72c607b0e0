"""drop, settle and correct: what a person decides about a shipment."""

from __future__ import annotations

from typing import Any

import click

from shipfwd.cli.app import App, ShipmentId, formats
from shipfwd.cli.ending import finish
from shipfwd.errors import ConfigError, UsageError


def _rows(app: App, ids: tuple[int, ...]) -> list[dict[str, Any]]:
    """The named shipments; UsageError when one is not there."""
    store = app.existing_store()
    found = {row["id"]: row for row in store.status(ids=ids)}
    missing = [str(one) for one in ids if one not in found]
    if missing:
        raise UsageError(f"no shipment {', '.join(missing)}; see: shipfwd status. Nothing was changed")
    return [found[one] for one in dict.fromkeys(ids)]


def _log(app: App, row: dict[str, Any], state: str, reason: str) -> None:
    names = {name: row[name] for name in ("id", "integration", "order_id")}
    app.event("shipment", **names, state=state, outcome="by hand", reason=reason)


@click.command()
@click.argument("ids", nargs=-1, required=True, type=ShipmentId(), metavar="ID…")
@click.option("--reason", default="dropped by hand", help="Why, for the table.")
@click.pass_obj
def drop(app: App, ids: tuple[int, ...], reason: str) -> None:
    """Never send these (a cancelled label). `shipfwd forward ID` revives one.

    \b
    shipfwd drop 17 --reason "label cancelled"
    """
    store, rows = app.existing_store(), _rows(app, ids)
    for row in rows:
        if row["state"] == "forwarded":
            raise UsageError(
                f"shipment {row['id']} is forwarded already; replace it with: shipfwd correct {row['id']} NUMBER"
            )
        if row["in_doubt_since"]:
            raise UsageError(
                f"a write for shipment {row['id']} may have arrived; look there, then: shipfwd settle {row['id']} "
                f"--arrived (or --not-arrived, and drop it then); shipfwd forward {row['id']} looks for you"
            )
    dropped = set(store.drop([row["id"] for row in rows], reason))
    for row in rows:
        if row["id"] in dropped:
            _log(app, row, "dropped", reason)
            app.say(f"shipment {row['id']} will not be sent")
    if sending := [str(row["id"]) for row in rows if row["id"] not in dropped]:
        verb = "is" if len(sending) == 1 else "are"
        raise UsageError(f"shipment {', '.join(sending)} {verb} being sent right now; look again in a minute")


@click.command()
@click.argument("shipment_id", metavar="ID", type=ShipmentId())
@click.option("--arrived/--not-arrived", default=None, help="What you saw at the platform.")
@click.pass_obj
def settle(app: App, shipment_id: int, arrived: bool | None) -> None:
    """End an in-doubt shipment by hand, after a look at the platform.

    \b
    shipfwd settle 17 --arrived        the number is there: forwarded
    shipfwd settle 17 --not-arrived    it is not: pending, sent by the next run (after a lost `correct`: as before)
    """
    from shipfwd import platforms
    from shipfwd.models import INSTEAD, normalise, tracking_key

    if arrived is None:
        raise UsageError("say what you saw there: --arrived or --not-arrived")
    store = app.existing_store()
    (row,) = _rows(app, (shipment_id,))
    if not row["in_doubt_since"]:
        raise UsageError(
            f"shipment {shipment_id} is not in doubt, it is {row['state']}; see: shipfwd show {shipment_id}"
        )
    state, reason = (
        ("forwarded", "settled by hand: seen there") if arrived else ("pending", "settled by hand: not there")
    )
    cls = platforms.load(row["platform"])
    if new := store.correction(shipment_id):
        there = INSTEAD.get(str(cls.correct), "replaces {old}").replace("{old}", row["tracking_number"])
        state, reason = "forwarded", f"settled by hand: {there if arrived else f'{normalise(new)} is not there'}"
        if arrived and store.taken(row["integration_id"], row["order_id"], tracking_key(new)):
            raise UsageError(f"{new} is another shipment of order {row['order_id']}; settle this one: --not-arrived")
    kind, transfer = cls.status_transfer, row["status_transfer"]
    if not store.by_hand(
        shipment_id,
        state,
        reason,
        status_sent=bool(arrived) and kind == "with-tracking",
        wants_sent=bool(arrived) and kind == "separate" and transfer == "on",
        number=new if arrived else "",
    ):
        raise UsageError(
            f"shipment {shipment_id} is being looked up right now; see in a minute: shipfwd show {shipment_id}"
        )
    _log(app, row, state, reason)
    app.say(f"shipment {shipment_id} is {state}")


@click.command()
@click.argument("shipment_id", metavar="ID", type=ShipmentId())
@click.argument("number", metavar="NEW-NUMBER")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@formats()
@click.pass_obj
def correct(app: App, shipment_id: int, number: str, yes: bool, dry_run: bool, form: str) -> None:
    """Replace a number that was forwarded, where the platform can; otherwise say how to do it by hand.

    \b
    shipfwd correct 17 620022696408430119458408
    """
    from shipfwd import platforms
    from shipfwd.models import tracking_key

    store = app.working_store()
    (row,) = _rows(app, (shipment_id,))
    if row["in_doubt_since"]:
        raise UsageError(
            f"a write for shipment {shipment_id} was lost and may have arrived; that is looked up first, "
            f"by the next run or with: shipfwd forward {shipment_id}"
        )
    if row["state"] != "forwarded":
        raise UsageError(f"shipment {shipment_id} is {row['state']}, not forwarded; there is nothing to replace yet")
    if not tracking_key(number):
        raise UsageError(f"'{number}' is no tracking number")
    cls = platforms.load(row["platform"])
    if not dry_run:
        app.confirm(
            f"Replace {row['tracking_number']} by {number} on order {row['order_id']} "
            f"of {row['integration']} ({cls.title})?",
            yes,
        )
    with app.run("correct", dry=dry_run) as (run, assembly):
        from shipfwd.corrector import correct as replace_number

        integration = next((one for one in store.integrations() if one.id == row["integration_id"]), None)
        if integration is None:
            raise ConfigError(f"the integration of shipment {shipment_id} was removed")
        replace_number(run, assembly.desk(integration), shipment_id, number)
        code = finish(app, run, assembly, form, run.counts() if not dry_run else {}, nothing="nothing was replaced")
    click.get_current_context().exit(code)
