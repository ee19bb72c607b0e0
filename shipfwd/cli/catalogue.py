"""platforms and carriers: what shipfwd knows, and the words that an integration has for carriers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import App, formats, key_values
from shipfwd.cli.groups import Group

if TYPE_CHECKING:
    from shipfwd.platforms.base import Platform


@click.command()
@click.argument("name", required=False, shell_complete=complete.platforms)
@formats()
@click.pass_obj
def platforms(app: App, name: str | None, form: str) -> None:
    """What each platform can do; with a NAME also its settings.

    \b
    shipfwd platforms woocommerce
    """
    from shipfwd import platforms as known

    fields = (
        "name", "title", "tracking", "status_transfer", "read_back", "parcels", "correct", "rate", "carriers",
        "read_on",
    )  # fmt: skip
    rows = [_platform_row(known.load(one)) for one in ([name] if name else known.names())]
    views.emit(rows, fields, form, app.out)
    if name and form == "table":
        cls = known.load(name)
        settings = [
            {
                "setting": one.name,
                "kind": "secret" if one.secret else "setting",
                "default": one.default
                if one.default is not None
                else "(may be left out)"
                if one.optional or one.login
                else "(needed)",
                "help": one.help,
            }
            for one in cls.settings
        ]
        click.echo()
        views.emit(settings, ("setting", "kind", "default", "help"), form, app.out)
        if not cls.knows_lines:
            app.say(
                f"{cls.title} tells no lines of an order: what marks it as sent marks all of it, whatever --item says"
            )


PARCELS = ("many", "joined", "items", "one")


def _platform_row(cls: type[Platform]) -> dict[str, Any]:
    rates = (f"{one.calls:g} per {one.seconds:g} s" + f" ({one.burst} at once)" * (one.burst > 1) for one in cls.rates)
    rate = ", ".join(rates) or "not published"
    status_transfer = "unavailable" if cls.status_transfer is None else cls.status_transfer
    return {
        "name": cls.name,
        "title": cls.title,
        "tracking": True,
        "status_transfer": status_transfer,
        "read_back": cls.read_back is True,
        "parcels": cls.parcels if cls.parcels in PARCELS else cls.parcels_usual,
        "correct": cls.correct if cls.correct is None or isinstance(cls.correct, str) else "replace",
        "rate": rate,
        "carriers": len(cls.carriers) if isinstance(cls.carriers, dict) else 0,
        "read_on": cls.read_on,
    }


@click.group(cls=Group, invoke_without_command=True)
@click.option("--platform", "platform_name", shell_complete=complete.platforms, help="Their words for our carriers.")
@formats()
@click.pass_context
def carriers(ctx: click.Context, platform_name: str | None, form: str) -> None:
    """Our carriers and what platforms call them.

    \b
    shipfwd carriers --platform allegro
    shipfwd carriers map -i shop dpd="DPD Polska"
    shipfwd carriers detect 620022696408430119458408
    """
    if ctx.invoked_subcommand is not None:
        return
    from shipfwd import carriers as ours
    from shipfwd import platforms as known

    theirs: Any = {}
    if platform_name:
        theirs = known.load(platform_name).carriers
        theirs = theirs if isinstance(theirs, dict) else {}
    rows = [{"carrier": slug, "name": ours.NAMES[slug], "theirs": theirs.get(slug)} for slug in sorted(ours.NAMES)]
    fields = ("carrier", "name", "theirs") if platform_name else ("carrier", "name")
    views.emit(rows, fields, form, ctx.obj.out)


@carriers.command("map")
@click.option(
    "-i", "--integration", "name", shell_complete=complete.integrations, required=True, help="On this integration."
)
@click.argument("pairs", nargs=-1, required=True, metavar="OURS=THEIRS…")
@click.pass_obj
def carriers_map(app: App, name: str, pairs: tuple[str, ...]) -> None:
    """Say what this integration's platform calls a carrier; OURS= (empty) forgets it.

    \b
    shipfwd carriers map -i shop dpd="DPD Polska"
    """
    from shipfwd.carriers import fold

    store = app.existing_store()
    one = store.integration(name)
    mapped = dict(one.carrier_map)
    for ours, theirs in key_values(pairs, "carriers map").items():
        mapped[fold(ours)] = theirs.strip()
    store.save_integration(replace(one, carrier_map={ours: theirs for ours, theirs in mapped.items() if theirs}))
    app.say(f"{name}: {len(pairs)} mapped; blocked shipments are examined again by the next run")


@carriers.command("detect")
@click.argument("number")
@formats()
@click.pass_obj
def carriers_detect(app: App, number: str, form: str) -> None:
    """Whose number could this be? Best guess first; a shape is never proof.

    \b
    shipfwd carriers detect 620022696408430119458408
    """
    from shipfwd import carriers as ours

    guesses = [{"carrier": one.carrier, "certainty": one.certainty, "why": one.why} for one in ours.detect(number)]
    views.emit(guesses, ("carrier", "certainty", "why"), form, app.out)
    if not guesses:
        app.say("no carrier we know has such numbers")
