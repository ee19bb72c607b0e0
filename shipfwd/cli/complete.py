"""What the shell offers on Tab beside commands, options and states: names of integrations, platforms and settings.

Reads only, and never complains: whatever goes wrong, there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from shipfwd.store.checkup import Checkup


# What a failed shipment can be filtered by: the classes of errors.py, and the engine's own words.
REASONS = (
    "OrderNotFound", "Rejected", "CarrierNotAccepted", "NumberNotAccepted", "NotUnderstood", "OutcomeUnknown",
    "Missing", "GaveUp", "Correction", "Bug",
)  # fmt: skip


def integrations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The integrations of the database that the line names, or of the usual one."""
    names = _read(ctx, lambda store: [one.name for one in store.integrations()])
    given = {*(ctx.params.get(param.name or "") or ())} if param.multiple or param.nargs == -1 else set()
    return [name for name in names if name.startswith(incomplete) and name not in given]


def _read(ctx: click.Context, ask: Callable[[Checkup], list[str]]) -> list[str]:
    """What the database says; nothing when there is none, or a broken one: that is for `doctor` to tell."""
    from shipfwd.cli.app import App
    from shipfwd.store.checkup import examined

    app = App()
    try:
        app.configure(ctx.find_root().params.get("db"), True, False, None)
        store = examined(app.db, app.clock)
        try:
            return ask(store)
        finally:
            store.close()
    except Exception:
        return []


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    start = f"profile.{incomplete}"
    return _read(ctx, lambda store: [key.partition(".")[2] for key in store.config() if key.startswith(start)])


def reasons(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The classes that `forward --failed --reason` takes."""
    return [name for name in REASONS if name.casefold().startswith(incomplete.casefold())]


def platforms(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from shipfwd.platforms import names

    return [name for name in names() if name.startswith(incomplete)]


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from shipfwd.settings import CONFIG

    return [key for key in CONFIG if key.startswith(incomplete)]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell's own files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, "file")]


def mend_fish() -> None:
    """click's script for fish cuts each description, and each name, at its first comma."""
    from click.shell_completion import FishComplete, add_completion_class

    class Fish(FishComplete):
        source_template = FishComplete.source_template.replace("string split", "string split --max 1")

    add_completion_class(Fish)
