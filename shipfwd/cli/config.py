"""config and schedule: settings that hold for everything, and the times of the sweeps."""

from __future__ import annotations

import sys

import click

from shipfwd import views
from shipfwd.cli.app import App, formats
from shipfwd.errors import UsageError


@click.group()
def config() -> None:
    """Settings that hold for everything.

    \b
    shipfwd config set timezone Europe/Prague
    """


@config.command("list")
@formats()
@click.pass_obj
def config_list(app: App, form: str) -> None:
    """All settings, their values and defaults.

    \b
    shipfwd config list
    """
    from shipfwd.settings import CONFIG

    values = app.config()
    rows = [
        {"key": key, "value": values.text(key), "default": default, "what": what}
        for key, (default, _, what) in CONFIG.items()
    ]
    views.emit(rows, ("key", "value", "default", "what"), form, app.out)


@config.command("get")
@click.argument("key")
@click.pass_obj
def config_get(app: App, key: str) -> None:
    """One setting's value.

    \b
    shipfwd config get timezone
    """
    from shipfwd.settings import CONFIG, nearest

    if key not in CONFIG:
        raise UsageError(f"there is no setting '{key}'{nearest(key, CONFIG)}")
    click.echo(app.config().text(key))


@config.command("set")
@click.argument("key")
@click.argument("value")
@click.pass_obj
def config_set(app: App, key: str, value: str) -> None:
    """Change a setting.

    \b
    shipfwd config set sweep_times 09:30,16:30
    """
    from shipfwd.settings import check_config

    checked = check_config(key, value)
    store = app.store(create=True)
    assert store is not None
    store.set_config(key, checked)
    app.say(f"{key} is {checked or 'back to its default'}")


@click.command()
@click.option("--emit", type=click.Choice(["cron", "cronie", "systemd"]), help="Lines to install.")
@formats()
@click.pass_obj
def schedule(app: App, emit: str | None, form: str) -> None:
    """The next sweep times, in local time and UTC; or lines for your scheduler.

    \b
    shipfwd schedule --emit systemd
    """
    from shipfwd import schedule as times
    from shipfwd.models import stamp

    config = app.config()
    if emit:
        import shutil

        command = shutil.which("shipfwd") or sys.argv[0]
        click.echo(times.emit(emit, config.times, config.zone, command, str(app.db)).rstrip("\n"))
        return
    slots = times.next_slots(app.clock(), config.times, config.zone, 8)
    rows = [{"local": times.local(slot, config.zone), "utc": stamp(slot)} for slot in slots]
    views.emit(rows, ("local", "utc"), form, app.out, {"local": str(config.zone), "utc": "UTC"})
