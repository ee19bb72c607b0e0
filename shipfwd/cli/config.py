"""config and schedule: settings that hold for everything, and the times of the sweeps."""

from __future__ import annotations

import sys

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import App, formats
from shipfwd.cli.groups import Group
from shipfwd.errors import ConfigError, UsageError


@click.group(cls=Group)
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
@click.argument("key", shell_complete=complete.keys)
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


@config.command("set", context_settings={"ignore_unknown_options": True})  # -1 is a wrong value, not an option
@click.argument("key", shell_complete=complete.keys)
@click.argument("value")
@click.pass_obj
def config_set(app: App, key: str, value: str) -> None:
    """Change a setting. An empty value goes back to the default.

    notify takes env:NAME, file:PATH or cmd:COMMAND, where Apprise addresses lie (mail, chat, push; they hold
    secrets): a run then sends one digest of what needs a person, each problem once a day.

    \b
    shipfwd config set sweep_times 09:30,16:30
    shipfwd config set notify file:/etc/shipfwd/notify
    """
    from shipfwd.settings import check_config

    checked = check_config(key, value)
    store = app.store(create=True)
    assert store is not None
    store.set_config(key, checked)
    app.say(f"{key} is {checked or 'back to its default'}")


@config.command("test-notify")
@click.pass_obj
def config_test_notify(app: App) -> None:
    """Send a test message to where `notify` points.

    \b
    shipfwd config set notify file:/etc/shipfwd/notify
    shipfwd config test-notify
    """
    from shipfwd import notify
    from shipfwd.assembly import notify_addresses

    if not (addresses := notify_addresses(app.config(), app.redactor)):
        raise ConfigError("nobody is to be notified yet; see: shipfwd config set --help")
    if trouble := notify.send(addresses, "shipfwd: a test", "This is how shipfwd tells what needs a person."):
        raise ConfigError(trouble)
    app.say("sent; see whether it arrived")


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
        import os
        import shutil

        command = shutil.which("shipfwd") or os.path.abspath(sys.argv[0])
        click.echo(times.emit(emit, config.times, config.zone, command, str(app.db)).rstrip("\n"))
        return
    slots = times.next_slots(app.clock(), config.times, config.zone, 8)
    rows = [{"local": times.local(slot, config.zone), "utc": stamp(slot)} for slot in slots]
    views.emit(rows, ("local", "utc"), form, app.out, {"local": str(config.zone), "utc": "UTC"})
