"""Group: commands under one word, and what is said to a misspelt one."""

from __future__ import annotations

import click


class Group(click.Group):
    """Names the nearest command for one that there is not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        there = self.list_commands(ctx)
        if args and args[0] not in there and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(args[0], there, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"See: {ctx.command_path} --help"
            ctx.fail(f"No such command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)
