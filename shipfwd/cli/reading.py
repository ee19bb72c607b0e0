"""status and show."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from typing import Any

import click

from shipfwd import views
from shipfwd.cli.app import App, formats
from shipfwd.errors import UsageError
from shipfwd.models import STATES


def moment(app: App, text: str) -> datetime:
    """A time that a person wrote: a date is its beginning, a time without a zone is the merchant's."""
    from datetime import UTC

    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"'{text}' is no time; write 2026-11-23, 2026-11-23T08:30 or 2026-11-23T08:30:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=app.config().zone)).astimezone(UTC)


@click.command()
@click.option("-i", "--integration", "names", multiple=True, help="Only this integration; may be repeated.")
@click.option("-o", "--order", "orders", multiple=True, help="Only this order; may be repeated.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only this state; may be repeated.")
@click.option("--since", metavar="T", help="Created at or after this time.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many, newest first (a table: 50).")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--output", metavar="FILE", help="Write there instead of stdout.")
@formats("html")
@click.pass_obj
def status(
    app: App,
    names: tuple[str, ...],
    orders: tuple[str, ...],
    states: tuple[str, ...],
    since: str | None,
    limit: int | None,
    every: bool,
    output: str | None,
    form: str,
) -> None:
    """Show for each shipment whether its number arrived, when, and if not, why.

    \b
    ✔  forwarded (✔✔ once seen there)    ✖  failed: needs a person
    ↻  tried again later                 ⊘  blocked before sending: map its carrier, mend its number
    …  being sent now                    ⌛  expired    –  dropped    (none)  waiting or pending

    JSON, CSV and the page hold all shipments unless --limit says otherwise.

    \b
    shipfwd status --state failed
    shipfwd status -i shop --since 2026-11-23 --format json
    shipfwd status --format html --output /var/www/html/shipments.html
    """
    from shipfwd.files import replacing
    from shipfwd.store.reports import STATUS_FIELDS

    if limit is not None and every:
        raise UsageError("--limit and --all contradict each other")
    store = app.store()
    config = app.config()
    rows: Any = []
    if store is not None:
        most = None if every or (limit is None and form != "table") else 50 if limit is None else limit
        chosen = [store.integration(name).id for name in names]
        start = moment(app, since) if since else None
        rows = store.status(chosen, [order.strip() for order in orders], states, start, most)
    with replacing(output) if output else nullcontext(app.out) as out:
        if form == "html":
            write_page(app, rows, out)
            return
        if form != "table":
            views.emit(rows, STATUS_FIELDS, form, out)
            return
        count = views.status_table(rows, config.zone, out)
    if store is None:
        app.say(f"no database at {app.db}; begin with: shipfwd integration add NAME --platform PLATFORM")
    elif views.is_terminal(app.out) and not output:
        from shipfwd.schedule import next_slots

        slot = next_slots(app.clock(), config.times, config.zone, 1)[0]
        click.echo(views.summary_line(store.summary(), slot, config.zone))
        if count == 50 and limit is None and not every:
            app.say("the newest 50; --all shows every one")


def write_page(app: App, rows: Any, out: Any) -> None:
    """The status page, also for `sweep --report`."""
    from shipfwd import page
    from shipfwd.cli.setup import list_row
    from shipfwd.schedule import next_slots

    store, config = app.store(), app.config()
    integrations = [list_row(app, one, store.under_way(one.id)) for one in store.integrations()] if store else []
    slot = next_slots(app.clock(), config.times, config.zone, 1)[0]
    counts = store.summary() if store else {}
    on_fire = bool(counts.get("failed") or counts.get("blocked"))
    fire = views.summary_line(counts, slot, config.zone)
    page.write(out, rows, integrations, fire, on_fire, app.clock(), config.zone)


@click.command()
@click.argument("shipment_id", metavar="ID", type=int)
@formats()
@click.pass_obj
def show(app: App, shipment_id: int, form: str) -> None:
    """Tell one shipment's story: every attempt, request and answer, secrets masked.

    \b
    shipfwd show 17
    """
    store = app.store()
    found = store.story(shipment_id) if store is not None else None
    if found is None:
        raise UsageError(f"no shipment {shipment_id}; see: shipfwd status")
    row, lines = found
    if form == "table":
        click.echo(views.story(row, lines, app.config().zone))
        return
    fields = ("id", "at", "run_id", "step", "outcome", "detail", "method", "url", "status", "request", "answer")
    views.emit(lines, fields, form, app.out)
