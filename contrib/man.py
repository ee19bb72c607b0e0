"""shipfwd(1), from the commands themselves: python contrib/man.py > shipfwd.1 (make man).

One page for all commands, so that `man shipfwd` and its search find everything. Why not click-man: it makes a page a
command, without the examples' line breaks and the exit codes.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from shipfwd import __version__
from shipfwd.cli import EXIT_CODES, cli

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"
FILES = """\
.TP
.I shipfwd.db
In the user's data directory, unless \\-\\-db or SHIPFWD_DB name another. Holds no secret.
.TP
.I shipfwd.db.vault
Beside it: prompted secrets and login tokens; readable by its owner only.
.SH ENVIRONMENT
.TP
.B SHIPFWD_DB
The database.
.TP
.B SHIPFWD_LOG_FORMAT
As \\-\\-log\\-format.
.TP
.B NO_COLOR
No colours, whatever the terminal.
"""


def escaped(text: str) -> str:
    """Plain text for roff: no line is taken for a request, no hyphen for a dash."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def body(text: str) -> Iterator[str]:
    """A help text; blocks that begin with \\b keep their lines."""
    for number, block in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        if number:  # the first one follows its heading
            yield ".PP"
        if block.startswith("\b"):
            yield ".nf"
            yield escaped("\n".join(line.rstrip() for line in block.split("\n")[1:]))
            yield ".fi"
        else:
            yield escaped(" ".join(block.split()))


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option) or "--help" in parameter.opts and context.parent:
            continue
        if (shown := parameter.get_help_record(context)) is not None:
            yield ".TP"
            yield f".B {escaped(shown[0])}"
            yield escaped(" ".join(shown[1].split()))


def commands(command: click.Command, context: click.Context) -> Iterator[str]:
    """Each command below this one, with what is below it."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is None or found.hidden:
            continue
        below = click.Context(found, info_name=name, parent=context)
        usage = " ".join(found.collect_usage_pieces(below))
        yield f".SS {escaped(below.command_path)} {escaped(usage)}".rstrip()
        yield from body(found.help or "")
        yield from options(found, below)
        yield from commands(found, below)


def page() -> str:
    context = click.Context(cli, info_name="shipfwd", help_option_names=["-h", "--help"])
    codes = EXIT_CODES.split("\n")[2:]
    (date,) = re.findall(
        rf"^## \[{re.escape(__version__)}\] - (\S+)$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE
    )
    lines = [
        f'.TH SHIPFWD 1 "{date}" "shipfwd {__version__}" "User Commands"',
        ".SH NAME",
        "shipfwd \\- forward tracking numbers to the sales channels that orders came from",
        ".SH SYNOPSIS",
        ".B shipfwd",
        "[OPTIONS] COMMAND [ARGS]...",
        ".SH DESCRIPTION",
        *body(cli.help or ""),
        ".SH OPTIONS",
        *options(cli, context),
        ".SH COMMANDS",
        *commands(cli, context),
        ".SH EXIT STATUS",
    ]
    for line in codes:
        code, _, meaning = line.strip().partition(" ")
        lines += [".TP", f".B {code}", escaped(meaning.strip())]
    return "\n".join(lines) + "\n.SH FILES\n" + FILES


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "80")
    sys.stdout.write(page())
