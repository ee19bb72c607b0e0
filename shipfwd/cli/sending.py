"""forward, sweep and verify."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import MINUTES, App, ShipmentId, formats
from shipfwd.cli.ending import Rehearsal, finish, say_outcomes, write_figures
from shipfwd.cli.progress import due_left, looks_left, progress
from shipfwd.errors import ShipfwdError, UsageError

if TYPE_CHECKING:
    from shipfwd.verdicts import Desk

MOST_ROWS = 10_000  # of a table, which is sorted before it is shown; JSON and CSV come as they are found


@click.command()
@click.argument("ids", nargs=-1, type=ShipmentId(), metavar="[ID]…")
@click.option("-o", "--order", "orders", multiple=True, help="All shipments of this order; may be repeated.")
@click.option(
    "-i",
    "--integration",
    "names",
    shell_complete=complete.integrations,
    multiple=True,
    help="Only this integration; may be repeated.",
)
@click.option("--failed", is_flag=True, help="Failed ones, of any age, once more.")
@click.option(
    "--reason",
    "kinds",
    multiple=True,
    metavar="CLASS",
    shell_complete=complete.reasons,
    help="With --failed: only what failed so; may be repeated.",
)
@click.option("--again", is_flag=True, help="Look at forwarded ones too; write only what is absent.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--deadline", type=MINUTES, metavar="MIN", help="End after so many minutes.")
@formats()
@click.pass_obj
def forward(
    app: App,
    ids: tuple[int, ...],
    orders: tuple[str, ...],
    names: tuple[str, ...],
    failed: bool,
    kinds: tuple[str, ...],
    again: bool,
    dry_run: bool,
    deadline: float | None,
    form: str,
) -> None:
    """Send now: the shipments you name, or all that is due.

    Named shipments (IDs, -o, --failed) are sent whatever their trigger, age or state; forwarded ones only with --again.
    --reason takes a class that `status --state failed` names: OrderNotFound, Rejected, CarrierNotAccepted,
    NumberNotAccepted, NotUnderstood, OutcomeUnknown, Missing, GaveUp, Correction, Bug.

    \b
    shipfwd forward                   all that is due
    shipfwd forward 17 18             these two, whatever they wait for
    shipfwd forward -o A-1001         every parcel of an order
    shipfwd forward --failed -i shop  what failed at one integration, after the cause is mended
    shipfwd forward --failed --reason CarrierNotAccepted
    """
    from shipfwd import sweeper

    store = app.working_store()
    chosen = app.pick(names)
    if failed and (ids or orders):
        raise UsageError("--failed takes all failed ones; leave out the IDs and -o")
    if kinds and not failed:
        raise UsageError("--reason narrows --failed; give that too")
    by_hand = bool(ids or orders or failed or again)
    if again and not (ids or orders or names):
        raise UsageError("--again looks at forwarded shipments; say which: IDs, -o ORDER or -i INTEGRATION")
    with app.run("forward", deadline, dry_run) as (run, assembly):
        shown = Rehearsal(app, run, form) if dry_run else None
        if not dry_run:
            run.take_back_dead()
        left: dict[int, str] = {}
        if by_hand:
            among = [one.id for one in chosen] if names else []
            orders = tuple(order.strip() for order in orders)
            wanted: Sequence[int] = list(dict.fromkeys([*ids, *(store.shipments_of(orders, among) if orders else ())]))
            if failed:
                wanted = store.failed_ids(among, [kind.casefold() for kind in kinds])
                if kinds and not wanted:
                    app.say(f"nothing failed as {', '.join(kinds)}; see: shipfwd status --state failed")
            elif again and not wanted:
                wanted = sorted(row["id"] for row in store.status(integrations=among, states=["forwarded"]))
            unknown = [order for order in orders if not store.shipments_of([order], among)]
            if unknown:
                raise UsageError(f"no shipment of order {', '.join(unknown)} is known; see: shipfwd status --all")
            known = {one for some in store.owners(ids).values() for one in some}
            unknown = [str(one) for one in dict.fromkeys(ids) if one not in known]
            if unknown:
                raise UsageError(f"no shipment {', '.join(unknown)}; see: shipfwd status. Nothing was sent")
            with progress(app, run, "forward", due_left(run, store.integrations(), chosen=True)):
                left = sweeper.forward_chosen(run, assembly, wanted, again)
        else:
            with progress(app, run, "forward", due_left(run, [one for one in chosen if one.enabled])):
                sweeper.forward_all(run, assembly, chosen)
        for one, why in left.items():
            app.say(f"shipment {one}: {why}")
            if "another run" in why:
                run.tally.codes.add(4)
        if not dry_run:
            say_outcomes(app, run)
        code = finish(app, run, assembly, form, run.counts() if not dry_run else {}, shown)
    click.get_current_context().exit(code)


@click.command()
@click.option("--if-due", is_flag=True, help="A full pass only when a sweep time has come since the last one.")
@click.option(
    "-i",
    "--integration",
    "names",
    shell_complete=complete.integrations,
    multiple=True,
    help="Only this integration; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--deadline", type=MINUTES, metavar="MIN", help="End after so many minutes.")
@click.option(
    "--metrics",
    metavar="FILE",
    shell_complete=complete.files,
    help="Write Prometheus metrics there, for a textfile collector.",
)
@click.option(
    "--ping",
    metavar="URL",
    help="Call URL/start, then URL (codes 0 and 4) or URL/fail (healthchecks.io); never fails the run.",
)
@click.option(
    "--report", metavar="FILE", shell_complete=complete.files, help="Refresh the status page there, in one step."
)
@formats()
@click.pass_obj
def sweep(
    app: App,
    if_due: bool,
    names: tuple[str, ...],
    dry_run: bool,
    deadline: float | None,
    metrics: str | None,
    ping: str | None,
    report: str | None,
    form: str,
) -> None:
    """Forward all that is due, then prove and tidy. Made for cron.

    With --if-due cron may run it every ten minutes, whatever the machine's time zone: orders are checked for
    their status once per sweep time (config sweep_times), everything else goes out at once.

    \b
    */10 * * * *  /usr/local/bin/shipfwd -q sweep --if-due
    """
    if ping is not None and not ping.startswith(("https://", "http://")):
        raise UsageError(f"--ping takes an address that begins with https://, not '{ping}'")
    app.outside(metrics), app.outside(report)
    if ping and not dry_run:
        _ping(app, ping.rstrip("/") + "/start")
    try:
        code = _sweep(app, if_due, names, dry_run, deadline, form)
    except ShipfwdError as error:
        code = error.exit_code
        raise
    except BaseException:
        code = 70
        raise
    finally:
        if not dry_run:
            _after_sweep(app, code, metrics, ping, report)
    click.get_current_context().exit(code)


def _sweep(app: App, if_due: bool, names: tuple[str, ...], dry_run: bool, deadline: float | None, form: str) -> int:
    from shipfwd import sweeper

    chosen = app.pick(names) if app.working_store() else []
    with app.run("sweep --if-due" if if_due else "sweep", deadline, dry_run) as (run, assembly):
        shown = Rehearsal(app, run, form) if dry_run else None
        if not dry_run:
            run.take_back_dead()
        with progress(app, run, "sweep", due_left(run, [one for one in chosen if one.enabled])):
            sweeper.sweep(run, assembly, chosen, if_due)
        return finish(app, run, assembly, form, run.counts() if not dry_run else {}, shown)


def _after_sweep(app: App, code: int, metrics: str | None, ping: str | None, report: str | None) -> None:
    """Tell others how it went. What fails here is said, and changes nothing of the run."""
    from shipfwd.files import replacing

    store = app.store() if metrics or report else None
    try:
        if report and store is not None:
            from shipfwd.cli.reading import write_page

            with replacing(report) as out:
                write_page(app, store.status(), out)
        if metrics and store is not None:
            from shipfwd.metrics import write_textfile

            write_textfile(metrics, store, app.vault(), app.clock(), code)
    except ShipfwdError as error:
        app.complain(str(error))
    if ping:
        _ping(app, ping.rstrip("/") + ("" if code in (0, 4) else "/fail"))


def _ping(app: App, url: str) -> None:
    from shipfwd.http import ping

    if trouble := ping(url):
        app.say(f"the ping did not get through: {trouble}")


@click.command()
@click.option(
    "-i",
    "--integration",
    "names",
    shell_complete=complete.integrations,
    multiple=True,
    help="Only this integration; may be repeated.",
)
@click.option("--since", metavar="T", help="Forwarded at or after this time.")
@formats()
@click.pass_obj
def verify(app: App, names: tuple[str, ...], since: str | None, form: str) -> None:
    """Ask the platforms whether forwarded numbers still stand there. Reads only.

    Exit code 0: all confirmed; 1: differences; 4: some could not be read.

    \b
    shipfwd verify --since 2026-11-01
    """
    from shipfwd.cli.reading import moment

    chosen = app.pick(names) if app.working_store() else []
    start = moment(app, since) if since else None
    fields = ("id", "integration", "order_id", "tracking_number", "verdict", "there")
    rows: list[dict[str, Any]] = []
    found: dict[str, int] = {}
    broken: list[OSError] = []
    with app.run("verify") as (run, assembly):
        from shipfwd import prover, sweeper

        stream = views.Stream(fields, form, app.out) if form != "table" else None
        turn = Lock()  # integrations are looked at side by side

        def look(desk: Desk) -> None:
            for row in prover.verify(run, desk, start):
                with turn:
                    found[row["verdict"]] = found.get(row["verdict"], 0) + 1
                    try:
                        if stream is not None:
                            stream.rows([row])
                        elif (app.verbose or row["verdict"] != "confirmed") and len(rows) < MOST_ROWS:
                            rows.append(row)
                    except OSError as error:  # the reader has seen enough
                        broken.append(error)
                        run.stop()
                        return

        with progress(app, run, "verify", looks_left(run, start)):
            sweeper.each(run, assembly, chosen, look)
        for sentence in run.tally.told:
            app.complain(sentence)
        rows.sort(key=lambda row: (row["integration"], row["order_id"], row["id"] or 0))

        def end() -> None:
            if broken:
                run.tally.codes.add(4)  # not all was compared, so it must not be 0
                raise broken[0]
            if stream is not None:
                stream.end()
            else:
                views.emit(rows, fields, form, app.out)

        write_figures(app, run, end)
        more = sum(count for verdict, count in found.items() if app.verbose or verdict != "confirmed") - len(rows)
        if stream is None and more:
            app.say(f"and {more:,} more; all of them: shipfwd verify --format csv")
        summary = ", ".join(f"{count} {verdict}" for verdict, count in found.items())
        app.say(summary or ("nothing could be compared" if run.tally.told else "nothing was forwarded yet"))
        code = run.tally.exit_code
    click.get_current_context().exit(code)
