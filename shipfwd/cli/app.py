"""What every command shares: where things lie, the clock, the store, and how to talk."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipfwd import views
from shipfwd.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from shipfwd.assembly import Assembly
    from shipfwd.cli.log import Log
    from shipfwd.models import Integration
    from shipfwd.redactor import Redactor
    from shipfwd.runs import Run
    from shipfwd.settings import Config
    from shipfwd.store import Store
    from shipfwd.vault import Vault


def formats(*more: str, what: str = "table") -> Callable[[Any], Any]:
    return click.option(
        "--format", "form", type=click.Choice(["table", "json", "csv", *more]), default=what, help="How to print it."
    )


def printable(out: Any) -> None:
    """Nothing that a platform or a merchant writes can fail to be printed.

    A terminal without UTF-8 shows ? for what it has not; data in a pipe or a file is UTF-8 whatever the locale, since
    JSON is, unless PYTHONIOENCODING wants otherwise.
    """
    if not hasattr(out, "reconfigure"):
        return
    if out.isatty() or os.environ.get("PYTHONIOENCODING"):
        out.reconfigure(errors="replace")
    else:
        out.reconfigure(encoding="utf-8", errors="backslashreplace")


def nowhere(stream: Any) -> None:
    """What still comes to a broken stdout or stderr is thrown away, the rest in its buffer too."""
    with suppress(OSError):  # it is no file at all, as in a test
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


class ShipmentId(click.ParamType):
    """A shipment's number; whoever writes an order's is told how to name that."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(value)
        except ValueError:
            raise UsageError(
                f"'{value}' is no shipment's number; those of an order: shipfwd status -o {shlex.quote(str(value))}"
            ) from None


class Number(click.ParamType):
    """A number of an option; a wrong one is told what is taken, in words."""

    name = "number"

    def __init__(self, kind: type[int] | type[float], least: float, words: str, most: float = math.inf) -> None:
        self.kind, self.least, self.words, self.most = kind, least, words, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = self.kind(value)
        except ValueError:
            number = math.nan
        if not (self.least <= number <= self.most and math.isfinite(number)):
            self.fail(f"'{value}' is not {self.words}", param, ctx)
        return number


WHOLE = Number(int, 0, "a whole number from 0")
MINUTES = Number(float, 1e-9, "a number of minutes above 0")


def key_values(texts: Iterable[str], option: str) -> dict[str, str]:
    """KEY=VALUE options as a dict. Raises UsageError."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            given = "" if option == "--secret" else f", not '{text}'"  # it may be the secret itself
            raise UsageError(f"{option} takes KEY=VALUE{given}")
        pairs[key.strip()] = value
    return pairs


class App:
    """One invocation of shipfwd. Tests hand in another clock."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self.db = Path()
        self.quiet = self.verbose = False
        self.trace: Path | None = None
        self.log: Log | None = None
        self.unheard = False  # something that was said came nowhere
        self._store: Store | None = None
        self._redactor: Redactor | None = None

    def configure(
        self, db: str | None, quiet: bool, verbose: bool, trace: str | None, log_format: str = "text"
    ) -> None:
        given = db or os.environ.get("SHIPFWD_DB")
        if given:
            self.db = Path(given).expanduser().absolute()
        else:
            import platformdirs

            self.db = Path(platformdirs.user_data_dir("shipfwd")) / "shipfwd.db"
        self.quiet, self.verbose = quiet, verbose
        self.trace = Path(trace) if self.outside(trace) and trace else None
        if log_format == "json":
            from shipfwd.cli.log import Log

            self.log = Log(self.clock, quiet, lambda text: self.redactor.redact(text))

    # ---- the store --------------------------------------------------------------------------------------

    def store(self, create: bool = False) -> Store | None:
        """The store; None when there is no database and none is to be made."""
        if self._store is None:
            from shipfwd.store import Store, opened

            connection = opened(self.db, may_create=create)
            if connection is None:
                return None
            self._store = Store(self.db, connection, self.clock)
        return self._store

    def working_store(self) -> Store:
        """The store with at least one integration, for what sends or imports. Raises ConfigError otherwise."""
        store = self.store()
        if store is None or not store.integrations():
            what = "" if store is None else " with an integration in it"
            raise ConfigError(
                f"no database at {self.db}{what}; begin with: shipfwd integration add NAME --platform PLATFORM"
            )
        return store

    def existing_store(self) -> Store:
        store = self.store()
        if store is None:
            raise ConfigError(f"no database at {self.db}; begin with: shipfwd integration add NAME --platform PLATFORM")
        return store

    def config(self) -> Config:
        from shipfwd.settings import Config

        store = self.store()
        return Config(store.config() if store else {})

    def pick(self, names: tuple[str, ...]) -> list[Integration]:
        """The named integrations, or all of them."""
        store = self.existing_store()
        return [store.integration(name) for name in dict.fromkeys(names)] if names else store.integrations()

    # ---- secrets and platforms --------------------------------------------------------------------------

    @property
    def redactor(self) -> Redactor:
        if self._redactor is None:
            from shipfwd.redactor import Redactor

            self._redactor = Redactor()
        return self._redactor

    def vault(self) -> Vault:
        from shipfwd.files import locks_folder
        from shipfwd.vault import Vault

        return Vault(self.db.with_name(self.db.name + ".vault"), locks_folder(self.db), self.redactor.add)

    @contextmanager
    def assembly(
        self, store: Store, wait: Callable[[float], None] | None = None, dry_run: bool = False
    ) -> Iterator[Assembly]:
        import time

        from shipfwd.assembly import Assembly

        assembly = Assembly(
            store, self.vault(), self.redactor, self.clock, wait or time.sleep, dry_run, self.trace, self.ask, self.note
        )
        try:
            yield assembly
        finally:
            assembly.close()

    @contextmanager
    def run(self, command: str, deadline: float | None = None, dry: bool = False) -> Iterator[tuple[Run, Assembly]]:
        """A run from its first claim to its last word; its exit code ends the command.

        deadline   minutes; None: the config's.
        """
        from shipfwd.runs import Run

        store = self.working_store()
        seconds = deadline * 60 if deadline is not None else self.config().deadline
        run = Run(store, command, self.clock, dry, seconds, self.event)
        with run.signals(), run, self.assembly(store, run.wait, dry) as assembly:
            yield run, assembly

    def outside(self, path: str | None) -> str | None:
        """A file that a person named to be written to. Raises UsageError where it is one of shipfwd's own."""
        if path is not None:
            ours = {self.db.with_name(self.db.name + end).resolve() for end in ("", "-wal", "-shm", ".vault")}
            if Path(path).expanduser().resolve() in ours:
                raise UsageError(f"{path} belongs to shipfwd's database; name another file to write to")
        return path

    # ---- talking ----------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Talk on stderr; -q leaves it out."""
        if not self.quiet:
            self._talk(text)

    def note(self, text: str) -> None:
        """Talk that a person at a terminal must see."""
        self._talk(text)

    def _talk(self, text: str) -> None:
        if self.log is None:
            self._voice(lambda: click.echo(views.clean_lines(text), err=True))
        self.event("message", message=text)

    def complain(self, text: str) -> None:
        """What needs a person; said with -q too."""
        if self._redactor is not None:
            text = self._redactor.redact(text)
        if self.log is None:
            self._voice(lambda: click.echo(f"shipfwd: {views.clean_lines(text)}", err=True))
        self.event("message", "error", message=text)

    def event(self, event: str, level: str = "info", /, **fields: Any) -> None:
        """A line of the JSON log, where one is wanted."""
        if self.log is not None:
            log = self.log
            self._voice(lambda: log(event, level, **fields))

    def _voice(self, speak: Callable[[], None]) -> None:
        """Say it where that can be: a closed pipe or full disk behind stderr stops no work. `unheard` tells of it."""
        try:
            speak()
        except OSError:
            self.unheard = True
            nowhere(sys.stderr)

    def report_bug(self, error: Exception) -> None:
        import traceback

        text = "".join(traceback.format_exception(error))
        if self.verbose:
            self.complain("a bug in shipfwd:\n" + text)
        else:
            self.complain(
                f"a bug in shipfwd: {type(error).__name__}: {error}; shipfwd -v shows where. Please report it"
            )

    def ask(self, question: str) -> str:
        """Ask a person; without a terminal nothing asks."""
        if not sys.stdin.isatty():
            raise UsageError(f"there is no terminal to ask at: {question}")
        answer: str = click.prompt(question, err=True)
        return answer

    def confirm(self, question: str, yes: bool) -> None:
        """Go on only when a person says so, or --yes did. Raises UsageError without a terminal."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Nobody is there to ask; give --yes if it is meant")
        if not click.confirm(question, err=True):
            raise click.Abort

    @property
    def out(self) -> Any:
        return sys.stdout

    def pause(self, seconds: float) -> None:
        """Wait between two drawings of --watch."""
        import time

        time.sleep(seconds)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
