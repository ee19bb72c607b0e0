"""integration: what is set up once."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from shipfwd import views
from shipfwd.cli import complete
from shipfwd.cli.app import App, formats, key_values
from shipfwd.cli.groups import Group
from shipfwd.errors import PlatformError, ShipfwdError, UsageError

if TYPE_CHECKING:
    from shipfwd.models import Integration
    from shipfwd.platforms.base import Platform
    from shipfwd.store import Store


def _trigger(text: str) -> str:
    kind, colon, name = text.partition(":")
    if text.strip().lower() == "created":
        return "created"
    if kind.strip().lower() == "status" and colon and name.strip():
        return f"status:{name.strip()}"
    raise UsageError(f"--trigger is created, or status:NAME with your own name of the order status, not '{text}'")


def _transfer(cls: type[Platform], wanted: bool | None, before: str = "") -> str:
    """on | off | unavailable, as the platform allows it; what was `before` stays where nobody wants another."""
    if wanted is None and before and (before == "unavailable") == (cls.status_transfer is None):
        return before
    if cls.status_transfer is None:
        if wanted:
            raise UsageError(f"{cls.title} cannot mark an order as sent through its API; leave --status-transfer out")
        return "unavailable"
    if cls.status_transfer == "with-tracking":
        if wanted is False:
            raise UsageError(f"{cls.title} marks the order as sent with the number itself; it cannot be switched off")
        return "on"
    return "on" if (cls.status_transfer_default if wanted is None else wanted) else "off"


def _secrets(app: App, texts: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Secret references to store, and values that were asked for. Asks for `prompt` without echo."""
    from shipfwd.vault import parse_reference

    references: dict[str, str] = {}
    prompted: dict[str, str] = {}
    for name, text in key_values(texts, "--secret").items():
        reference = parse_reference(text).absolute()
        references[name] = str(reference)
        if reference.kind == "prompt":
            if not sys.stdin.isatty():
                raise UsageError(
                    f"there is no terminal to ask for {name}; give --secret {name}=env:NAME, file:PATH or cmd:COMMAND"
                )
            prompted[name] = click.prompt(name, hide_input=True, err=True)
    return references, prompted


@click.group(cls=Group)
def integration() -> None:
    """The accounts at platforms that numbers are forwarded to.

    \b
    shipfwd integration add shop --platform woocommerce --set base_url=https://shop.example \\
        --secret consumer_key=env:SHOP_KEY --secret consumer_secret=file:/etc/shipfwd/shop.secret
    """


@integration.command("add")
@click.argument("name")
@click.option(
    "--platform",
    "platform_name",
    required=True,
    shell_complete=complete.platforms,
    help="What kind of channel; see: shipfwd platforms",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting; see: shipfwd platforms NAME")
@click.option(
    "--secret", "secrets", multiple=True, metavar="KEY=REF", help="env:NAME, file:PATH, cmd:COMMAND or prompt."
)
@click.option(
    "--trigger", default="created", help="created (default), or status:NAME: once the order is in that status."
)
@click.option(
    "--status-transfer/--no-status-transfer", default=None, help="Mark the order as sent too, where the API can."
)
@click.option("--disabled", is_flag=True, help="Register it with forwarding switched off.")
@click.pass_obj
def integration_add(
    app: App,
    name: str,
    platform_name: str,
    settings: tuple[str, ...],
    secrets: tuple[str, ...],
    trigger: str,
    status_transfer: bool | None,
    disabled: bool,
) -> None:
    """Register an account.

    \b
    shipfwd integration add allegro-main --platform allegro --set client_id=… --set app_name=MyShop \\
        --secret client_secret=env:ALLEGRO_SECRET --trigger status:Shipped
    """
    from shipfwd import platforms
    from shipfwd.models import Integration
    from shipfwd.settings import check_settings

    name = _name(name)
    cls = platforms.load(platform_name)
    checked = check_settings(cls, key_values(settings, "--set"), key_values(secrets, "--secret"))
    cls = cls.shaped(checked)
    new = Integration(0, name, cls.name, _trigger(trigger), not disabled, _transfer(cls, status_transfer), checked)
    references, prompted = _secrets(app, secrets)
    store = app.store(create=True)
    assert store is not None
    added = store.add_integration(replace(new, secrets=references))
    for key, value in prompted.items():
        app.vault().set_prompted(added.id, key, value)
    app.say(f"registered {name} ({cls.title}), forwarding {'off' if disabled else 'on'}")
    if _can_login(cls) and "refresh_token" not in references:
        app.say(f"now log in: shipfwd integration login {name}")
    else:
        app.say(f"now try it: shipfwd integration check {name}")


def _can_login(cls: type[Platform]) -> bool:
    return any(one.name == "refresh_token" for one in cls.settings)


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > 64 or not name.isprintable() or name.startswith("-"):
        raise UsageError("an integration's name is 1 to 64 printable characters, such as allegro-main")
    return name


@integration.command("list")
@formats()
@click.pass_obj
def integration_list(app: App, form: str) -> None:
    """Show which are on (green) and off (grey), and whether they mark orders as sent.

    \b
    shipfwd integration list --format json
    """
    fields = (
        "name", "platform", "forwarding", "trigger", "status_transfer", "last_success_at", "login_expires_at",
        "pending", "failed",
    )  # fmt: skip
    store, rows = app.store(), []
    zone = app.config().zone
    for one in store.integrations() if store is not None else []:
        assert store is not None
        rows.append(list_row(app, one, store))
    if form != "table":
        views.emit(rows, fields, form, app.out)
        return
    if app.out.isatty() and rows:
        from shipfwd.terminal import integration_table

        integration_table(rows, zone, app.out)
    elif rows or not app.out.isatty():
        shown = [
            {
                **row,
                "forwarding": "on" if row["forwarding"] else "off",
                "last_success_at": views.local(row["last_success_at"], zone),
                "login_expires_at": views.local(row["login_expires_at"], zone),
            }
            for row in rows
        ]
        headings = {name: name.removesuffix("_at").replace("_", " ") for name in fields}
        views.emit(shown, fields, form, app.out, headings)
    if not rows:
        app.say("no integration yet; begin with: shipfwd integration add NAME --platform PLATFORM")


def list_row(app: App, one: Integration, store: Store) -> dict[str, Any]:
    from shipfwd.models import stamp

    ends = app.vault().login_expires_at(one.id)
    return {
        "name": one.name,
        "platform": one.platform,
        "forwarding": one.enabled,
        "trigger": one.trigger,
        "status_transfer": one.status_transfer,
        "last_success_at": stamp(one.last_success_at) if one.last_success_at else None,
        "login_expires_at": stamp(ends) if ends else None,
        "pending": store.to_send(one),
        "failed": store.under_way(one.id)["failed"],
    }


@integration.command("show")
@click.argument("name", shell_complete=complete.integrations)
@formats()
@click.pass_obj
def integration_show(app: App, name: str, form: str) -> None:
    """Show one integration with its settings; of secrets only where they lie.

    \b
    shipfwd integration show shop
    """
    from shipfwd import platforms
    from shipfwd.settings import filled

    store = app.existing_store()
    one = store.integration(name)
    row = list_row(app, one, store) | {"identity": one.identity}
    for key, value in filled(platforms.load(one.platform), one.settings).items():
        row[f"set {key}"] = value
    for key, reference in one.secrets.items():
        row[f"secret {key}"] = reference
    for ours, theirs in one.carrier_map.items():
        row[f"carrier {ours}"] = theirs
    if form == "table":
        lines = [{"what": key, "value": value} for key, value in row.items()]
        views.emit(lines, ("what", "value"), form, app.out)
    else:
        views.emit([row], tuple(row), form, app.out)


@integration.command("edit")
@click.argument("name", shell_complete=complete.integrations)
@click.option("--name", "new_name", help="A new name; shipments stay with it.")
@click.option("--platform", "platform_name", hidden=True)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="KEY= (empty) goes back to the default.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="KEY=REF", help="env:NAME, file:PATH, cmd:COMMAND or prompt."
)
@click.option("--trigger", help="created, or status:NAME.")
@click.option("--status-transfer/--no-status-transfer", default=None, help="Mark the order as sent too.")
@click.pass_obj
def integration_edit(
    app: App,
    name: str,
    new_name: str | None,
    platform_name: str | None,
    settings: tuple[str, ...],
    secrets: tuple[str, ...],
    trigger: str | None,
    status_transfer: bool | None,
) -> None:
    """Change an integration; what is not named stays.

    \b
    shipfwd integration edit shop --trigger status:Shipped --set notify_buyer=true
    """
    from shipfwd import platforms
    from shipfwd.settings import check_settings, kept_secrets

    if platform_name:
        raise UsageError("an integration cannot change its platform; remove it and add another")
    store = app.existing_store()
    one = store.integration(name)
    if not (new_name or settings or secrets or trigger) and status_transfer is None:
        raise UsageError("say what to change: --set, --secret, --trigger, --status-transfer or --name")
    cls, merged = platforms.load(one.platform), {**one.settings, **key_values(settings, "--set")}
    kept = kept_secrets(cls, merged, one.secrets)
    merged = check_settings(cls, merged, {**kept, **key_values(secrets, "--secret")})
    cls = cls.shaped(merged)
    references, prompted = _secrets(app, secrets)
    changed = replace(
        one,
        name=_name(new_name) if new_name else one.name,
        settings=merged,
        secrets={**kept, **references},
        trigger=_trigger(trigger) if trigger else one.trigger,
        status_transfer=_transfer(cls, status_transfer, one.status_transfer),
    )
    store.save_integration(changed)
    store.forget_cached(one.id)
    for key, value in prompted.items():
        app.vault().set_prompted(one.id, key, value)
    app.say(f"changed {changed.name}")


def _switch(app: App, names: tuple[str, ...], on: bool) -> None:
    store = app.existing_store()
    for one in [store.integration(name) for name in names]:
        store.save_integration(replace(one, enabled=on))
        app.say(f"{one.name}: forwarding {'on' if on else 'off'}")


@integration.command("enable")
@click.argument("names", shell_complete=complete.integrations, nargs=-1, required=True, metavar="NAME…")
@click.pass_obj
def integration_enable(app: App, names: tuple[str, ...]) -> None:
    """Switch forwarding on.

    \b
    shipfwd integration enable shop
    """
    _switch(app, names, True)


@integration.command("disable")
@click.argument("names", shell_complete=complete.integrations, nargs=-1, required=True, metavar="NAME…")
@click.pass_obj
def integration_disable(app: App, names: tuple[str, ...]) -> None:
    """Switch forwarding off; what waits keeps waiting, within its window.

    \b
    shipfwd integration disable shop
    """
    _switch(app, names, False)


@integration.command("check")
@click.argument("names", shell_complete=complete.integrations, nargs=-1, metavar="[NAME]…")
@formats()
@click.pass_obj
def integration_check(app: App, names: tuple[str, ...], form: str) -> None:
    """Ask the platform who we are, with the stored credentials. Writes nothing there.

    \b
    shipfwd integration check shop
    """
    from shipfwd.settings import named

    store = app.working_store()
    rows, codes = [], set()
    with app.assembly(store) as assembly:
        for one in app.pick(names):
            row = {"name": one.name, "platform": one.platform, "ok": True, "identity": None, "message": ""}
            try:
                identity = assembly.desk(one).platform.check()
                assembly.identify(one, identity)
                row["identity"] = identity
            except ShipfwdError as error:
                row |= {"ok": False, "message": named(str(error), one.name)}
                codes.add(
                    error.exit_code if error.exit_code in (3, 4) else 1 if isinstance(error, PlatformError) else 3
                )
                app.complain(f"{one.name}: {row['message']}")
            rows.append(row)
    if form != "table" or not app.quiet:
        shown = rows if form != "table" else [{**row, "_style": "green" if row["ok"] else "red"} for row in rows]
        views.emit(shown, ("name", "platform", "ok", "identity", "message"), form, app.out)
    click.get_current_context().exit(next((code for code in (3, 1, 4) if code in codes), 0))


@integration.command("login")
@click.argument("name", shell_complete=complete.integrations)
@click.pass_obj
def integration_login(app: App, name: str) -> None:
    """Log in at the platform (OAuth): prints what to open, keeps the tokens in the vault.

    \b
    shipfwd integration login allegro-main
    """
    store = app.working_store()
    one = store.integration(name)
    with app.assembly(store) as assembly:
        identity = assembly.login(one)
    app.say(f"{name} is logged in as {identity}")


@integration.command("remove")
@click.argument("name", shell_complete=complete.integrations)
@click.option("--yes", is_flag=True, help="Do not ask; drops what is still under way.")
@click.pass_obj
def integration_remove(app: App, name: str, yes: bool) -> None:
    """Remove an integration and its secrets; shipments and journal stay readable.

    \b
    shipfwd integration remove old-shop
    """
    store = app.existing_store()
    one = store.integration(name)

    def refuse() -> None:
        counts = store.under_way(one.id)
        if counts["sending"]:
            raise UsageError(f"{name} has shipments that are being sent right now; try again in a minute")
        live = max(counts["due"] + counts["in_doubt"], store.to_send(one))
        if live and not yes:
            raise UsageError(
                f"{name} has {live} shipments pending, retrying or in doubt; --yes drops them and removes it"
            )
        if (doubtful := counts["may_have_arrived"]) and not yes:
            raise UsageError(
                f"{name} has {doubtful} failed shipments that may have arrived; look there and end them "
                f"(shipfwd status --state failed -i {name}), for nobody can look once it is removed. "
                "--yes removes it all the same"
            )

    refuse()
    app.confirm(f"Remove {name} and its secrets? Its shipments and journal stay readable.", yes)
    dropped = store.remove_integration(one.id, f"integration {name} was removed", refuse)
    app.vault().wipe(one.id)
    app.say(f"removed {name}" + (f"; {dropped} shipments dropped" if dropped else ""))
