"""Secrets: references to where they lie, and the vault for what must be kept.

A secret is a reference, resolved when it is used and never copied:

  env:NAME      an environment variable. Cron passes none but its own.
  file:PATH     a file that only its owner may read; a line break at its end is cut off.
  cmd:COMMAND   what COMMAND prints first. It is given to /bin/sh, so pipes, ~ and $VARIABLES work as at a prompt;
                it cannot ask anything (no input, no terminal) and has 10 seconds.
  prompt        asked once without echo and kept in the vault.

The vault (`<db>.vault`) holds what was prompted and what OAuth hands out, keyed by the integration's id.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipfwd.errors import ConfigError, Unavailable, UsageError
from shipfwd.files import atomic_write, flocked, private_dir, refuse_shared
from shipfwd.models import parse_stamp, stamp
from shipfwd.redactor import Redactor as Redactor
from shipfwd.signals import signals_held

if TYPE_CHECKING:
    from shipfwd.platforms.base import Token, Tokens

COMMAND_SECONDS = 10
LOCK_SECONDS = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reference:
    """Where a secret lies; `kind` is env, file, cmd or prompt. Holds no secret, so it may be stored and shown."""

    kind: str
    target: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}" if self.target else self.kind

    def absolute(self) -> Reference:
        """The same with ~ and a relative path of `file:` written out: cron runs in another folder."""
        return Reference("file", os.path.abspath(os.path.expanduser(self.target))) if self.kind == "file" else self


def parse_reference(text: str) -> Reference:
    """Raises UsageError for a literal secret, without repeating it."""
    if text.strip() == "prompt":
        return Reference("prompt")
    kind, _, target = (part.strip() for part in text.partition(":"))
    if kind not in ("env", "file", "cmd"):
        raise UsageError(
            "a secret is not written on the command line: every user of this machine sees it in the process list, and "
            "the shell's history keeps it; say where it lies: env:NAME, file:PATH, cmd:COMMAND, or prompt to be asked"
        )
    if not target or "\0" in target:
        raise UsageError(f"{kind}: names nothing; write env:NAME, file:PATH or cmd:COMMAND")
    if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", target):
        raise UsageError("env: takes the name of an environment variable, such as env:SHOP_KEY, not its value")
    return Reference(kind, target)


def resolve(reference: Reference, *, integration: str, secret: str, prompted: Mapping[str, str]) -> str:
    """The secret's value now; never empty, one line. Raises ConfigError with the next step.

    integration, secret   their names, for messages; who shows one says whose integration it is.
    prompted              `Vault.prompted()` of that integration.
    """
    try:
        value = _value(reference, integration, secret, prompted)
        if any(ord(sign) < 32 for sign in value):
            raise ConfigError(f"{reference} holds more than one line, or control characters; a secret is one line")
    except ConfigError as error:
        raise ConfigError(f"secret {secret}: {error}") from None
    return value


def _value(reference: Reference, integration: str, secret: str, prompted: Mapping[str, str]) -> str:
    if reference.kind == "file":
        return _read_file(Path(os.path.expanduser(reference.target)))
    if reference.kind == "cmd":
        return _run(reference.target)
    if value := (os.environ.get(reference.target) if reference.kind == "env" else prompted.get(secret)):
        return value
    if reference.kind == "env":
        hint = "cron passes no environment of yours: use file: or set it in the crontab"
        raise ConfigError(f"environment variable {reference.target} is not set; {hint}")
    raise ConfigError(f"it is not in the vault; run: shipfwd integration edit {integration} --secret {secret}=prompt")


def _read_file(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            refuse_shared(path, os.fstat(file.fileno()).st_mode, 0o022 if _handed_in(path) else 0o077)
            value = file.read(65536).decode("utf-8-sig")  # Windows editors put a mark in front
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise ConfigError(f"{path} is empty; write the secret into it")
    return value


def _handed_in(path: Path) -> bool:
    """Whether a container or systemd put the file there: they guard the folder, and nobody inside can chmod it."""
    folders = ("/run/secrets", "/run/credentials", os.environ.get("CREDENTIALS_DIRECTORY"))
    return any(os.path.realpath(path).startswith(os.path.realpath(folder) + "/") for folder in folders if folder)


def _run(command: str) -> str:
    """The first line that a command prints. Its output is never shown; the end of its complaints is, cleaned."""
    from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

    # The merchant's own command; nothing is pasted into it. In a session of its own it cannot reach the terminal,
    # and can be killed together with what it started.
    with Popen(command, shell=True, start_new_session=True, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:  # noqa: S602
        try:
            out, err = (text.decode(errors="replace") for text in process.communicate(timeout=COMMAND_SECONDS))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, TimeoutExpired):
                late = f"cmd:{command} did not end within {COMMAND_SECONDS} seconds; it cannot ask for anything"
                raise ConfigError(late) from None
            raise
    printed = out.splitlines()
    if process.returncode == 0 and printed and printed[0]:
        return printed[0]
    for line in sorted(filter(None, printed), key=len, reverse=True):
        err = err.replace(line, "***")
    last = "".join(c if c.isprintable() else " " for c in (err.strip().splitlines() or [""])[-1])[:200]
    what = f"ended with {process.returncode}" if process.returncode else "printed nothing"
    raise ConfigError(f"cmd:{command} {what}" + (f": {last}" if last else "; run it by hand to see why"))


class Vault:
    """A JSON file, 0600, replaced in one step; missing is empty, and reading does not create it.

    path    `<db>.vault`; its folder must be there.
    locks   the folder of the lock files; made when needed.
    learn   told every secret that passes, before anybody else gets it: `Redactor.add`.

    Every method raises ConfigError when the file cannot be used. Writers of any process take turns and read again
    inside the lock, so that they lose nothing of each other.
    """

    def __init__(self, path: Path, locks: Path, learn: Callable[[str], None] = lambda value: None) -> None:
        self.path = path
        self.locks = locks
        self.learn = learn
        self._seen: tuple[tuple[int, ...], dict[str, Any]] = ((), {})

    def prompted(self, id: int) -> dict[str, str]:
        """Values that were asked for, by the secret's name."""
        values: dict[str, str] = dict(self._entry(id).get("prompted", {}))
        for value in values.values():
            self.learn(value)
        return values

    def set_prompted(self, id: int, name: str, value: str) -> None:
        """Keep a value; an empty one is forgotten."""
        self.learn(value)
        with self._editing(id) as entry:
            kept = {**entry.get("prompted", {}), name: value}
            entry["prompted"] = {key: text for key, text in kept.items() if text}

    def wipe(self, id: int) -> None:
        """Forget everything of an integration."""
        with self._editing(id) as entry:
            entry.clear()

    def wipe_tokens(self, id: int) -> None:
        """Forget the login of an integration; what was prompted stays."""
        with self._editing(id) as entry:
            entry.pop("token", None)

    def tokens(self, id: int, reference_value: Callable[[], str | None]) -> Tokens:
        """The OAuth drawer of an integration.

        reference_value   resolves its `refresh_token` reference; None when it has none. Asked once, at first use
                          (it may run a command); `current` raises its ConfigError when no login is stored either.
        """
        return Drawer(self, id, reference_value)

    def login_expires_at(self, id: int) -> datetime | None:
        """When the stored login ends, as far as the platform said."""
        return _moment(self._entry(id).get("token", {}).get("login_expires_at"))

    def token_ages(self) -> dict[int, datetime]:
        """When each stored login was obtained, by integration id."""
        stored = {int(id): entry.get("token", {}).get("obtained_at") for id, entry in self._load().items()}
        return {id: parse_stamp(moment) for id, moment in stored.items() if moment}

    def _entry(self, id: int) -> dict[str, Any]:
        entry: dict[str, Any] = self._load().get(str(id), {})
        return entry

    def _load(self) -> dict[str, Any]:
        """What is in the file now, not to be changed: parsed once per file, which each write replaces."""
        try:
            info = os.stat(self.path)
            refuse_shared(self.path, info.st_mode)
            version = (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)
            seen, entries = self._seen
            if seen != version:
                entries = _checked(json.loads(self.path.read_bytes()))
                self._seen = (version, entries)
            return entries
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"cannot read the vault {self.path}: {error.strerror}") from None
        except (ValueError, TypeError, AttributeError, KeyError):
            raise ConfigError(
                f"the vault {self.path} is damaged; restore it from a backup, or move it away, then give what was "
                "prompted again (integration edit NAME --secret KEY=prompt) and log in again (integration login NAME)"
            ) from None

    @contextmanager
    def _editing(self, id: int) -> Iterator[dict[str, Any]]:
        """An integration's entry to change; written, durably, when the block ends well and changed something."""
        with flocked(private_dir(self.locks) / "vault.lock", seconds=LOCK_SECONDS) as fd:
            if fd is None:
                raise ConfigError(f"another process holds {self.locks}/vault.lock; end it and try again")
            before = json.dumps(self._load())
            entries = json.loads(before)
            entry = entries.setdefault(str(id), {})
            yield entry
            if not entry:
                del entries[str(id)]
            if (after := json.dumps(entries)) != before:
                atomic_write(self.path, f'{{"version": 1, "integrations": {after}}}\n'.encode(), alone=True)


def _checked(data: Any) -> dict[str, Any]:
    """The integrations in a vault's document; whatever a wrong shape raises is caught by `_load`."""
    if data["version"] != 1:
        raise ConfigError("the vault was written by a newer shipfwd; use that one")
    entries: dict[str, Any] = data["integrations"]
    for id, entry in entries.items():
        int(id)
        _token(entry.get("token", {}))
        "".join(entry.get("prompted", {}).values())
    return entries


def _moment(text: str | None) -> datetime | None:
    return parse_stamp(text) if text else None


def _token(kept: Mapping[str, str]) -> Token:
    from shipfwd.platforms.base import Token

    return Token(
        access=kept.get("access", ""),
        expires_at=_moment(kept.get("expires_at")) or _EPOCH,
        refresh=kept.get("refresh", ""),
        obtained_at=_moment(kept.get("obtained_at")),
        login_expires_at=_moment(kept.get("login_expires_at")),
    )


class Drawer:
    """`Tokens` of one integration, kept in the vault."""

    def __init__(self, vault: Vault, id: int, reference_value: Callable[[], str | None]) -> None:
        self._vault = vault
        self._id = id
        self._ask = reference_value
        self._asked = False
        self._value: str | None = None
        self._trouble: ConfigError | None = None
        self._holder: int | None = None

    def current(self) -> Token | None:
        token = self._current()
        if token is None and self._trouble:
            raise self._trouble
        return token

    @contextmanager
    def locked(self) -> Iterator[Token | None]:
        """Raises Unavailable when another process has held it for a minute."""
        assert self._holder != threading.get_ident(), "locked() inside itself"
        self._current()  # may run a command: before others have to wait for us
        with flocked(private_dir(self._vault.locks) / f"token-{self._id}", seconds=LOCK_SECONDS) as fd:
            if fd is None:
                raise Unavailable("another process has been renewing this login for a minute; tried again later")
            with signals_held():
                self._holder = threading.get_ident()
                try:
                    yield self._current()
                finally:
                    self._holder = None

    def save(self, token: Token) -> None:
        """An answer without a refresh token keeps the old one, and when its login ends."""
        assert self._holder == threading.get_ident(), "save() outside locked()"
        self._learned(token)
        before = self._current()
        refresh = token.refresh or (before.refresh if before else "")
        ends = token.login_expires_at
        if ends is None and before and before.refresh == refresh:
            ends = before.login_expires_at
        moments = {"expires_at": token.expires_at, "obtained_at": token.obtained_at, "login_expires_at": ends}
        with self._vault._editing(self._id) as entry:
            # Without the reference at hand (no such variable under cron) the old mark stays: with none, the value
            # that was rotated away would win when it is at hand again.
            old = entry.get("token", {}).get("grew_from")
            mark = _fingerprint(self._value, old) if self._value else old
            entry["token"] = {
                "access": token.access,
                "refresh": refresh,
                **{name: stamp(moment) for name, moment in moments.items() if moment},
                **({"grew_from": mark} if mark else {}),
            }

    def _current(self) -> Token | None:
        if not self._asked:
            try:
                self._value = self._ask()
            except ConfigError as error:
                self._trouble = error
            self._vault.learn(self._value or "")
            self._asked = True
        kept = self._vault._entry(self._id).get("token")
        mark = kept.get("grew_from") if kept else None
        if self._value and (not kept or mark != _fingerprint(self._value, mark)):
            return _token({"refresh": self._value})
        return self._learned(_token(kept)) if kept else None

    def _learned(self, token: Token) -> Token:
        self._vault.learn(token.access)
        self._vault.learn(token.refresh)
        return token


def _fingerprint(value: str, like: str | None = None) -> str:
    """`SALT:HASH` of a secret, with the salt of `like` if given: tells whether it is still the same."""
    import hashlib

    salt = like.partition(":")[0] if like else os.urandom(8).hex()
    return f"{salt}:{hashlib.sha256(f'{salt}{value}'.encode()).hexdigest()[:16]}"
