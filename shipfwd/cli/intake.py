"""add and import: what comes in."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import App, formats, key_values
from shipfwd.cli.ending import finish, say_outcomes
from shipfwd.cli.progress import due_left, file_left, progress
from shipfwd.errors import UsageError

if TYPE_CHECKING:
    from shipfwd.importer import Source
    from shipfwd.rejects import Rejects
    from shipfwd.rows import Plain, Reject, Row
    from shipfwd.runs import Run
    from shipfwd.store.intake import Arrived, Intake
    from shipfwd.store.shared import Use

MOST_REJECTS, MOST_KINDS = 10, 20  # rows shown one by one; reasons that the others are counted by
_QUOTED = re.compile("'[^']*'")
MOST_WARNINGS = 10  # shown of a file; the rest is counted


@click.command()
@click.argument("order")
@click.argument("tracking")
@click.option(
    "-i",
    "--integration",
    "name",
    shell_complete=complete.integrations,
    required=True,
    help="Where the order came from.",
)
@click.option("--carrier", default="", help="Who carries it: a name or alias; see: shipfwd carriers")
@click.option("--status", "order_status", default="", help="The order's status, in your own words.")
@click.option("--created-at", default="", metavar="T", help="The ship date; default: now.")
@click.option(
    "--item", "items", multiple=True, metavar="ID[:QTY]", help="A line of the order in this parcel; may be repeated."
)
@click.option("--no-forward", is_flag=True, help="Only store it.")
@formats()
@click.pass_obj
def add(
    app: App,
    order: str,
    tracking: str,
    name: str,
    carrier: str,
    order_status: str,
    created_at: str,
    items: tuple[str, ...],
    no_forward: bool,
    form: str,
) -> None:
    """Add one shipment, and forward it at once where the trigger is its creation.

    \b
    shipfwd add A-1001 620022696408430119458408 -i shop --carrier inpost
    """
    from shipfwd.rows import make_row
    from shipfwd.sweeper import forward_added

    store = app.working_store()
    integration = store.integration(name)
    values = {
        "integration": name,
        "order_id": order,
        "tracking_number": tracking,
        "carrier": carrier,
        "order_status": order_status,
        "created_at": created_at,
    }
    rows = []
    if not tracking.strip():
        raise UsageError("a tracking number is needed; to give an order a status: shipfwd order move ORDER --to STATUS")
    for item in items or ("",):
        item_id, _, quantity = item.rpartition(":") if ":" in item else (item, "", "")
        try:
            cells = {**values, "item_id": item_id, "quantity": quantity}
            known = {name: integration.id}
            rows.append(make_row(cells, zone=app.config().zone, now=app.clock(), integrations=known))
        except ValueError as error:
            raise UsageError(str(error)) from None
    with app.run("add") as (run, assembly):
        intake = store.intake(run.id)
        intake.put(rows)
        _fill_carriers(app, intake)
        intake.group()
        before = store.newest_id()
        arrived = intake.merge()
        for warning in rows[0].warnings:
            app.say(f"order {order}: {warning}")
        _say_known(app, arrived)
        _say_shared(app, run, before)
        if arrived.added and not no_forward:
            forward_added(run, assembly, [integration], run.id)
            say_outcomes(app, run)
        code = finish(app, run, assembly, form, _counts(run, before, {}))
    click.get_current_context().exit(code)


def _say_known(app: App, arrived: Arrived) -> None:
    for sentence in arrived.too_late:
        app.say(sentence.removeprefix("line 0: "))
    if arrived.known and not arrived.added:
        app.say(f"{arrived.known} known already; nothing new")


def _say_shared(app: App, run: Run, before: int, where: str = "", stored: bool = True) -> None:
    """Warn of numbers that other orders have too: right for one parcel with two orders, otherwise a slip."""
    shared = run.store.shared_numbers(run.id, before, stored)
    for uses in shared[:MOST_WARNINGS]:
        new = next(one for one in uses if one.new)
        others = ", ".join(_use(one) for one in uses if one is not new)
        what = (
            f"right if they are in one parcel; if not: shipfwd drop {new.id}" if stored else "are they in one parcel?"
        )
        app.say(f"{where}{new.tracking_number} of {_use(new)} is also used on {others}; {what}")
    if len(shared) > MOST_WARNINGS:
        app.say(f"{where}{len(shared)} numbers are used on several orders")


def _use(one: Use) -> str:
    return f"order {one.order_id} of {one.integration}" + (f" (shipment {one.id})" if one.id else "")


def _counts(run: Run, before: int, more: dict[str, int]) -> dict[str, int]:
    """How what this run added stands now, by state."""
    from shipfwd.models import STATES

    found = run.store.added_by(run.id, before)
    adopted = sum(1 for one in run.tally.adopted if one > before)  # an older one in doubt is looked up on the way
    return {**more, **{state: found.get(state, 0) for state in STATES}, "adopted": adopted}


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", shell_complete=complete.files)
@click.option("-i", "--integration", "name", shell_complete=complete.integrations, help="For rows that name none.")
@click.option(
    "--file-format",
    type=click.Choice(["csv", "tsv", "json", "jsonl", "xlsx"]),
    help="Default: found out from the file.",
)
@click.option(
    "--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="Which column holds a field; may be repeated."
)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete.profiles,
    help="Remember --map, --file-format and -i by this name; alone: use them.",
)
@click.option(
    "--rejects",
    metavar="FILE",
    shell_complete=complete.files,
    help="Write rejected rows there, in the file's own format (those of XLSX as CSV).",
)
@click.option("--no-forward", is_flag=True, help="Only store them.")
@click.option("--dry-run", is_flag=True, help="Read and examine; store and send nothing.")
@click.option("--yes", is_flag=True, help="Take a file although one number serves more than 3 orders.")
@formats()
@click.pass_obj
def import_(
    app: App,
    files: tuple[str, ...],
    name: str | None,
    file_format: str | None,
    mapping: tuple[str, ...],
    profile: str | None,
    rejects: str | None,
    no_forward: bool,
    dry_run: bool,
    yes: bool,
    form: str,
) -> None:
    """Import shipments and order statuses from CSV, TSV, JSON, JSON Lines or XLSX (- is standard input).

    Columns are found by their usual names, English or Polish: order_id, tracking_number, carrier, order_status,
    created_at, item_id, sku, quantity, tracking_url, integration. The same file again changes nothing.

    A missing carrier is filled in only where the number surely belongs to one that this integration uses.
    --dry-run shows the columns that were found and what would happen to the first rows.

    \b
    shipfwd import parcels.csv -i shop
    shipfwd import export.csv -i allegro-main --map order_id=Referencja --map "tracking_number=Numer przesyłki"
    shipfwd import export.csv --map order_id=Referencja -i allegro-main --profile dpd     remembers these
    shipfwd import another.csv --profile dpd                                              uses them
    """
    from shipfwd.importer import Source
    from shipfwd.rejects import Rejects
    from shipfwd.sweeper import forward_added

    store = app.working_store()
    app.outside(rejects)
    columns = key_values(mapping, "--map")
    if name:
        store.integration(name)
    if profile:
        columns, file_format, name = _profile(app, profile, columns, file_format, name, dry_run)
    with app.run("import", dry=dry_run) as (run, assembly):
        totals = {"rows": 0, "added": 0, "known": 0, "rejected": 0}
        before = store.newest_id()
        ids = {one.name: one.id for one in store.integrations()}
        bad = Rejects(rejects) if rejects else None
        try:
            for path in files:
                source = Source(
                    path,
                    zone=app.config().zone,
                    now=app.clock(),
                    default_integration=name or "",
                    file_format=file_format or "",
                    mapping=columns,
                    integrations=ids,
                    ending=lambda: run.interrupted,
                )
                with source, progress(app, run, source.name, file_left(source), source.size):
                    first = _one_file(app, run, source, bad, dry_run, yes, totals)
                if dry_run and form == "table":
                    _show_file(app, run, source, first, not no_forward)
        finally:
            if bad is not None:
                bad.close()
                if bad.paths:
                    app.say(
                        f"rejected rows are in {', '.join(str(one) for one in bad.paths)}; mend and import them again"
                    )
        if totals["rejected"]:
            run.tally.codes.add(1)
        if not no_forward and not dry_run and totals["added"]:
            with progress(app, run, "forward", due_left(run, store.integrations(), run.id)):
                forward_added(run, assembly, store.integrations(), run.id)
            say_outcomes(app, run)
        counts = _counts(run, before, totals) if not dry_run else totals
        if dry_run:
            run.tally.rehearsed.clear()
            views.emit_one(counts, form, app.out)
            code = run.tally.exit_code
        else:
            code = finish(app, run, assembly, form, counts)
    click.get_current_context().exit(code)


def _profile(
    app: App, profile: str, columns: dict[str, str], file_format: str | None, name: str | None, dry_run: bool
) -> tuple[dict[str, str], str | None, str | None]:
    """What a profile says, changed by what was given now; remembered when anything was."""
    store = app.working_store()
    kept = {key.removeprefix("profile."): text for key, text in store.config().items() if key.startswith("profile.")}
    if profile not in kept and not (columns or file_format or name):
        from shipfwd.settings import nearest

        there = nearest(profile, list(kept)) if kept else "; give --map, --file-format or -i once to remember them"
        raise UsageError(f"no profile is called '{profile}'{there}")
    before: dict[str, Any] = json.loads(kept.get(profile, "{}"))
    after: dict[str, Any] = {
        "columns": {**before.get("columns", {}), **columns},
        "file_format": file_format or before.get("file_format"),
        "integration": name or before.get("integration"),
    }
    if after != before and not dry_run:
        store.set_config(f"profile.{profile}", json.dumps(after))
        app.say(f"profile {profile} is remembered")
    if after["integration"]:
        store.integration(after["integration"])
    return after["columns"], after["file_format"], after["integration"]


def _one_file(
    app: App,
    run: Run,
    source: Source,
    rejects: Rejects | None,
    dry_run: bool,
    yes: bool,
    totals: dict[str, int],
) -> tuple[Intake, list[Reject]]:
    """Bring one file in, or only look at it; what was put, and its first rejects."""
    from shipfwd.preview import FIRST
    from shipfwd.rows import Row

    name, warned, refused = source.name, 0, 0
    others: Counter[str] = Counter()  # reasons of the rejected rows that are not shown one by one
    intake = run.store.intake(run.id)
    bad: list[Reject] = []

    def good() -> Iterator[Row | Plain]:
        nonlocal warned, refused
        for row in source:
            run.done += 1
            if isinstance(row, tuple):
                if isinstance(row, Row):
                    for warning in row.warnings:
                        warned += 1
                        if warned <= MOST_WARNINGS:
                            app.say(f"{name}, line {row.line}: {warning}")
                yield row
                continue
            if (refused := refused + 1) <= MOST_REJECTS:
                app.complain(f"{name}, line {row.line}: {row.reason}")
            else:
                kind = _QUOTED.sub("'…'", row.reason)
                others[kind if kind in others or len(others) < MOST_KINDS else "other reasons"] += 1
            if rejects is not None:
                rejects.add(source, row)
            if len(bad) < FIRST:
                bad.append(row)

    before = run.done
    intake.put(good())
    totals["rows"] += run.done - before
    totals["rejected"] += refused
    if source.unread:
        app.complain(
            f"{name}: only its first sheet was read, not {', '.join(source.unread)}; save it as a file of its own"
        )
        run.tally.codes.add(1)
    if others:
        most = "; ".join(f"{count} x {kind}" for kind, count in others.most_common())
        where = "" if rejects is not None else "; to get all of them in a file: --rejects FILE"
        app.complain(f"{name}: {sum(others.values())} more rows rejected: {most}{where}")
    if warned > MOST_WARNINGS:
        app.say(f"{name}: {warned - MOST_WARNINGS} more warnings")
    _refuse_overused(app, name, intake.overused(), yes)
    _fill_carriers(app, intake, f"{name}: ")
    before = run.store.newest_id()
    if dry_run:
        _say_shared(app, run, before, f"{name}: ", stored=False)
        added, known = intake.foresee()
        totals["added"] += added
        totals["known"] += known
        return intake, bad
    run.stage = "sorting them"
    for contradiction in intake.group():
        app.say(f"{name}: {contradiction}")

    def told(share: float) -> None:
        run.stage = f"storing them, {share * 100:.0f} % done"

    told(0)
    arrived = intake.merge(told)
    run.stage = ""
    totals["added"] += arrived.added
    totals["known"] += arrived.known
    _say_known(app, arrived)
    _say_shared(app, run, before, f"{name}: ")
    if arrived.undated:
        app.say(f"{name}: {arrived.undated} without a ship date; taken as shipped now")
    return intake, bad


def _fill_carriers(app: App, intake: Intake, where: str = "") -> None:
    """A missing carrier, where the number surely belongs to one that this integration uses; said."""
    from shipfwd import carriers
    from shipfwd.rows import sure_carrier

    for carrier, count in intake.fill_carriers(sure_carrier).items():
        app.say(f"{where}{count} without a carrier; by their numbers they are {carriers.name(carrier)}'s")


def _show_file(app: App, run: Run, source: Source, first: tuple[Intake, list[Reject]], forward: bool) -> None:
    """A dry run's answer on a file: its columns, and what would happen to its first rows."""
    from shipfwd import preview

    intake, bad = first
    columns = [{"field": ours, "column": theirs} for ours, theirs in source.columns.items()]
    columns += [{"field": "(not used)", "column": theirs} for theirs in source.unused]
    views.emit(columns, ("field", "column"), "table", app.out)
    integrations = {one.id: one for one in run.store.integrations()}
    rows = preview.rows(intake.foresee_first(preview.FIRST), bad, integrations, app.config(), app.clock(), forward)
    views.emit(rows, preview.FIELDS, "table", app.out)


def _refuse_overused(app: App, path: str, numbers: list[tuple[str, int]], yes: bool) -> None:
    if not numbers:
        return
    worst = ", ".join(f"{number} ({count} orders)" for number, count in numbers)
    app.confirm(
        f"{path} was not imported: one number serves more than 3 orders: {worst}. "
        "Is the right column mapped (--map tracking_number=COLUMN)?",
        yes,
    )
