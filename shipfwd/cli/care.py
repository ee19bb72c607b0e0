"""prune, doctor, demo and simulate."""

from __future__ import annotations

import click

from shipfwd import views
from shipfwd.cli.app import App, Number, formats


@click.command()
@click.option(
    "--older-than",
    type=Number(int, 1, "a whole number of days from 1"),
    required=True,
    metavar="DAYS",
    help="Keep what is younger.",
)
@formats()
@click.pass_obj
def prune(app: App, older_than: int, form: str) -> None:
    """Delete the journal of shipments that were finished (forwarded, expired, dropped) so many days ago.

    The shipments stay, with their numbers, states and dates; `show` has no story of them any more. Runs at the same
    time are not held up.

    \b
    shipfwd prune --older-than 365
    """
    from datetime import timedelta

    store = app.existing_store()
    run = store.begin_run("prune")
    done = store.prune(timedelta(days=older_than))
    store.end_run(run, 0, done._asdict())
    if form != "table":
        views.emit_one(done._asdict(), form, app.out)
    else:
        app.say(
            f"{done.lines} journal lines of {done.shipments} shipments deleted, {done.bytes / 1e6:.1f} MB given back"
        )


@click.command()
@formats()
@click.pass_obj
def doctor(app: App, form: str) -> None:
    """Look for everything that could be wrong, without side effects. 0: all well; 1 or 3: see the list.

    \b
    shipfwd doctor
    """
    from shipfwd.doctor import examine

    findings = examine(app)
    shown = findings
    if form == "table":
        styles = {"ok": "green", "note": "", "warning": "yellow", "trouble": "red"}
        shown = [{**one, "_style": styles[str(one["level"])]} for one in findings]
    if form != "table" or not app.quiet:
        views.emit(shown, ("level", "what", "finding"), form, app.out)
    levels = {str(one["level"]) for one in findings}
    code = 3 if "trouble" in levels else 1 if "warning" in levels else 0
    if app.quiet:
        for one in findings:
            if one["level"] in ("warning", "trouble"):
                app.complain(f"{one['what']}: {one['finding']}")
    click.get_current_context().exit(code)


@click.command()
@click.pass_obj
def demo(app: App) -> None:
    """The whole job against local stand-ins in a temporary folder; touches no real database.

    \b
    shipfwd demo
    """
    from shipfwd.demo import play

    click.get_current_context().exit(play(click.echo))


@click.command()
@click.option(
    "--port", type=Number(int, 0, "a port: 0 to 65535", 65535), default=0, metavar="N", help="Default: any free one."
)
@click.option(
    "--latency-ms",
    type=Number(float, 0, "a number of milliseconds from 0"),
    default=0,
    metavar="N",
    help="How long every answer takes.",
)
@click.option(
    "--fault", "faults", multiple=True, metavar="KIND:RATE", help="Such as 502:0.1, drop:0.05, 429; may be repeated."
)
@click.pass_obj
def simulate(app: App, port: int, latency_ms: float, faults: tuple[str, ...]) -> None:
    """Run the stand-ins of all platforms on 127.0.0.1, to rehearse against. Ctrl-C ends it.

    \b
    shipfwd simulate --port 8080 --latency-ms 50 --fault drop:0.05
    """
    from shipfwd.simulator.server import serve

    serve(port, latency_ms, list(faults), click.echo, watch=app.verbose)
