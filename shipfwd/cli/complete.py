"""What the shell offers on Tab beside commands, options and states: names of integrations, platforms and settings.

Reads only, and never complains: whatever goes wrong, there is nothing to offer.
"""

from __future__ import annotations

import click


def integrations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The integrations of the database that the line names, or of the usual one."""
    from shipfwd.cli.app import App
    from shipfwd.store.checkup import examined

    app = App()
    try:
        app.configure(ctx.find_root().params.get("db"), True, False, None)
        store = examined(app.db, app.clock)
        try:
            names = [one.name for one in store.integrations()]
        finally:
            store.close()
    except Exception:  # no database, or a broken one: that is for `doctor` to tell
        return []
    given = {*(ctx.params.get(param.name or "") or ())} if param.multiple or param.nargs == -1 else set()
    return [name for name in names if name.startswith(incomplete) and name not in given]


def platforms(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from shipfwd.platforms import names

    return [name for name in names() if name.startswith(incomplete)]


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from shipfwd.settings import CONFIG

    return [key for key in CONFIG if key.startswith(incomplete)]
