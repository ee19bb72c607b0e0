"""The command line: verbs, options, exit codes. Decides nothing.

Only click is imported here; every command's module is loaded when the command is used.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from typing import Any

import click

import shipfwd
from shipfwd.cli.groups import Group
from shipfwd.errors import ShipfwdError
from shipfwd.signals import interrupted

COMMANDS = {
    "integration": "setup",
    "platforms": "catalogue",
    "carriers": "catalogue",
    "config": "config",
    "schedule": "config",
    "add": "intake",
    "import": "intake",
    "order": "orders",
    "forward": "sending",
    "sweep": "sending",
    "verify": "sending",
    "status": "reading",
    "show": "reading",
    "drop": "hands",
    "settle": "hands",
    "correct": "hands",
    "prune": "care",
    "doctor": "care",
    "demo": "care",
    "simulate": "care",
}
EXIT_CODES = """\b
Exit codes:
  0    all that was due was sent, or nothing was due
  1    a person must look: failed or blocked shipments, rejected rows, something about to be lost
  2    wrong arguments
  3    configuration, credentials, or a database, vault or file that cannot be used
  4    only passing trouble; a later run repairs it
  70   a bug in shipfwd
  130  interrupted; everything finished so far is recorded"""


class Root(Group):
    """Loads a command's module when it is needed; turns our errors into one line and their exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"shipfwd.cli.{COMMANDS[cmd_name]}")
        found: click.Command = getattr(module, cmd_name.replace("import", "import_"))
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ShipfwdError as error:
            app = ctx.obj
            if interrupted():
                app.complain(str(error))
                ctx.exit(130)
            # -q still says what needs a person; passing trouble (4) mends itself
            if error.exit_code != 4 or not app.quiet:
                app.complain(str(error))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(130)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # click would make it 1; the reader has simply seen enough
            from shipfwd.cli.app import nowhere

            nowhere(sys.stdout)
            ctx.exit(0)
        except Exception as error:
            from shipfwd.files import ran_out

            if interrupted():  # Python wraps a KeyboardInterrupt where a class is being made
                ctx.exit(130)
            if known := ran_out(error):
                ctx.obj.complain(str(known))
                ctx.exit(known.exit_code)
            ctx.obj.report_bug(error)
            ctx.exit(70)


def _files(*args: Any) -> Any:
    from shipfwd.cli.complete import files

    return files(*args)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.option(
    "--db",
    metavar="FILE",
    shell_complete=_files,
    help="The database; else $SHIPFWD_DB, else shipfwd.db in your data directory.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless a person is needed (for cron).")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option(
    "--trace",
    metavar="FILE",
    shell_complete=_files,
    help="Append the conversation with the platforms, secrets masked, as JSON lines.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar="SHIPFWD_LOG_FORMAT",
    help="json: what is said on stderr as one JSON object a line, for log collectors; or $SHIPFWD_LOG_FORMAT.",
)
@click.version_option(shipfwd.__version__, message="shipfwd %(version)s")
@click.pass_context
def cli(ctx: click.Context, db: str | None, quiet: bool, verbose: bool, trace: str | None, log_format: str) -> None:
    """Forward each tracking number to the sales channel its order came from.

    \b
    Set up:   shipfwd integration add shop --platform woocommerce --set base_url=https://shop.example …
    Bring in: shipfwd import parcels.csv -i shop
    Send:     shipfwd forward           (or cron: shipfwd -q sweep --if-due)
    Look:     shipfwd status
    """
    from shipfwd.cli.app import App, printable

    printable(sys.stdout)
    if quiet and verbose:
        raise click.UsageError("-q and -v contradict each other.")
    if ctx.obj is None:
        ctx.obj = App()
    ctx.obj.configure(db, quiet, verbose, trace, log_format)
    ctx.call_on_close(ctx.obj.close)


def main() -> int:
    """The command line, from the arguments to the exit code. A closed pipe (`shipfwd status | head`) is no error."""
    if "_SHIPFWD_COMPLETE" in os.environ:
        from shipfwd.cli.complete import mend_fish

        mend_fish()
    try:
        code = cli.main(prog_name="shipfwd", standalone_mode=False)  # what ctx.exit() was given
    except click.Abort:
        _last_words("interrupted")
        return 130
    except click.ClickException as error:
        app = error.ctx.find_root().obj if isinstance(error, click.UsageError) and error.ctx else None
        if app is not None and app.log is not None:
            app.complain(error.format_message())
        else:
            with suppress(OSError):
                error.show()
        return 2
    except BrokenPipeError:
        code = 0
    except OSError as error:  # what --help is written to
        _last_words(f"cannot write the output: {error.strerror}")
        code = 3
    code = code if isinstance(code, int) else 0
    try:
        sys.stdout.flush()
    except OSError as error:  # the reader has seen enough, or what is written to is full
        from shipfwd.cli.app import nowhere

        nowhere(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            _last_words(f"cannot write the output: {error.strerror}")
            code = code if code in (130, 70) else 3
    return code


def _last_words(text: str) -> None:
    with suppress(OSError):
        click.echo(f"shipfwd: {text}", err=True)
