"""status and show."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from typing import Any

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import WHOLE, App, ShipmentId, formats
from shipfwd.errors import UsageError
from shipfwd.models import STATES

MOST = 50  # shipments that a table shows
WATCH_SECONDS = 3.0


def moment(app: App, text: str) -> datetime:
    """A time that a person wrote: a date is its beginning, a time without a zone is the merchant's."""
    from datetime import UTC

    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"'{text}' is no time; write 2026-11-23, 2026-11-23T08:30 or 2026-11-23T08:30:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=app.config().zone)).astimezone(UTC)


@click.command()
@click.option(
    "-i",
    "--integration",
    "names",
    shell_complete=complete.integrations,
    multiple=True,
    help="Only this integration; may be repeated.",
)
@click.option("-o", "--order", "orders", multiple=True, help="Only this order; may be repeated.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only this state; may be repeated.")
@click.option("--since", metavar="T", help="Created at or after this time.")
@click.option("--limit", type=WHOLE, metavar="N", help="At most so many, newest first (a table: 50).")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--output", metavar="FILE", shell_complete=complete.files, help="Write there instead of stdout.")
@click.option("--watch", is_flag=True, help="Draw it again every few seconds, until Ctrl-C; on a terminal.")
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
    watch: bool,
    form: str,
) -> None:
    """Show for each shipment whether its number arrived, when, and if not, why.

    \b
    ✔  forwarded (✔✔ once seen there)    ✖  failed: needs a person
    ↻  tried again later                 ⊘  blocked before sending: map its carrier, mend its number
    …  being sent now                    ⌛  expired    –  dropped    (none)  waiting or pending

    JSON, CSV and the page hold all shipments unless --limit says otherwise. On a terminal, --state failed and
    --state blocked are shown by reason, with what to do about it.

    \b
    shipfwd status --state failed
    shipfwd status --watch
    shipfwd status -i shop --since 2026-11-23 --format json
    shipfwd status --format html --output /var/www/html/shipments.html
    """
    from shipfwd.files import replacing
    from shipfwd.store.reports import STATUS_FIELDS

    if limit is not None and every:
        raise UsageError("--limit and --all contradict each other")
    if watch and (form != "table" or output):
        raise UsageError("--watch draws a table on a terminal; leave out --format and --output")
    if watch and not views.is_terminal(app.out):
        raise UsageError("--watch draws on a terminal, and this is none (a pipe, a file, or TERM=dumb)")
    app.outside(output)
    most = None if every or (limit is None and form != "table") else MOST if limit is None else limit
    start = moment(app, since) if since else None

    def rows(at_most: int | None) -> Any:
        store = app.store()
        if store is None:
            return []
        chosen = [store.integration(name).id for name in names]
        return store.status(chosen, [order.strip() for order in orders], states, start, at_most)

    if watch:
        _watch(app, rows, states, most)
        return
    with replacing(output) if output else nullcontext(app.out) as out:
        if form == "html":
            write_page(app, rows(most), out)
        elif form != "table":
            views.emit(rows(most), STATUS_FIELDS, form, out)
        elif not out.isatty():
            views.status_lines(rows(most), app.config().zone, out)
        elif draw(app, rows(most), states, out) == most == MOST and limit is None:
            app.say(f"the newest {MOST}; --all shows every one")
    if form == "table" and app.store() is None:
        app.say(f"no database at {app.db}; begin with: shipfwd integration add NAME --platform PLATFORM")


def draw(app: App, rows: Any, states: tuple[str, ...], out: Any) -> int:
    """Status for a person: the shipments, and whether anything is on fire; how many shipments."""
    from shipfwd import radar, terminal

    store, config = app.store(), app.config()
    by_reason = states and set(states) <= {"failed", "blocked"}
    count = (terminal.grouped_table if by_reason else terminal.status_table)(rows, config.zone, out)
    if store is not None:
        out.write("\n" * bool(count))
        terminal.summary(radar.look(store, config, app.clock()), config.zone, out)
    return count


def _watch(app: App, rows: Any, states: tuple[str, ...], most: int | None) -> None:
    from shipfwd import terminal

    def frame(out: Any, lines: int) -> None:
        fitting = max(1, lines - terminal.FRAME_LINES)
        draw(app, rows(fitting if most is None else min(most, fitting)), states, out)

    terminal.watch(frame, app.out, app.pause, WATCH_SECONDS)


def write_page(app: App, rows: Any, out: Any) -> None:
    """The status page, also for `sweep --report`."""
    from shipfwd import page, radar, terminal
    from shipfwd.cli.setup import list_row

    store, config = app.store(), app.config()
    integrations = [list_row(app, one, store) for one in store.integrations()] if store else []
    seen = radar.look(store, config, app.clock())
    fire = terminal.summary_line(seen, config.zone)
    page.write(out, rows, integrations, fire, seen.on_fire, app.clock(), config.zone, seen.notes)


@click.command()
@click.argument("shipment_id", metavar="ID", type=ShipmentId())
@formats()
@click.pass_obj
def show(app: App, shipment_id: int, form: str) -> None:
    """Tell one shipment's story: every attempt, request and answer, secrets masked; what comes next, what you can do.

    Long requests and answers are shortened; -v shows them whole.

    \b
    shipfwd show 17
    shipfwd -v show 17
    """
    store = app.store()
    found = store.story(shipment_id) if store is not None else None
    if found is None:
        raise UsageError(f"no shipment {shipment_id}; see: shipfwd status")
    row, lines = found
    if form == "table":
        from shipfwd import platforms, story
        from shipfwd.models import tracking_key

        cls = platforms.load(row["platform"]) if row["platform"] in platforms.names() else None
        title, readable = (cls.title, cls.read_back is not False) if cls else (row["platform"], True)
        assert store is not None
        uses = store.other_uses(row["id"], tracking_key(row["tracking_number"]))
        told = story.tell(row, lines, app.config(), app.clock(), title, app.verbose, uses, readable)
        app.out.write(views.wrapped(told, app.out) + "\n")  # click.echo takes an ASCII terminal for a UTF-8 one
        return
    fields = ("id", "at", "run_id", "step", "outcome", "detail", "method", "url", "status", "request", "answer")
    views.emit(lines, fields, form, app.out)
