"""What can be set: config keys with their defaults, and an integration's settings held against its platform."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from shipfwd import carriers, schedule
from shipfwd.errors import ConfigError, UsageError
from shipfwd.models import Setting
from shipfwd.platforms.base import Platform
from shipfwd.vault import parse_reference


def _number(low: float, high: float, unit: str) -> Callable[[str], object]:
    def check(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"'{text}' is not a number of {unit}") from None
        if not low <= value <= high:
            raise UsageError(f"{text} {unit} is out of range; {low:g} to {high:g} make sense")
        return value

    return check


def _reference(text: str) -> str:
    """A reference to a secret, as it is stored. Raises UsageError for a literal one, without repeating it."""
    found = parse_reference(text)
    if found.kind == "prompt":
        raise UsageError("say where the addresses lie: env:NAME, file:PATH or cmd:COMMAND")
    return str(found.absolute())


# key → (default, check, what it is). "" as a default: the platform's own value. A check that gives text gives what
# is stored.
CONFIG: dict[str, tuple[str, Callable[[str], object], str]] = {
    "timezone": ("Europe/Warsaw", schedule.zone, "zone of the sweep times, of shown times and of dates without one"),
    "sweep_times": ("09:30,13:30,16:30,23:30", schedule.parse_times, "when orders are checked for their status"),
    "window_hours": ("72", _number(1, 24 * 365, "hours"), "how old a shipment may be when it becomes due"),
    "in_doubt_seconds": ("", _number(0, 86400, "seconds"), "how long a lost write may still arrive; overrides all"),
    "deadline_minutes": ("20", _number(0.05, 1440, "minutes"), "how long a run may take"),
    "notify": ("", _reference, "Apprise addresses that are told what needs a person: env:NAME, file:PATH, cmd:COMMAND"),
    "concurrency": ("", _number(1, 128, "orders at once"), "orders in flight per integration; overrides all"),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """The config with defaults filled in, and its values in use."""

    stored: Mapping[str, str]

    def text(self, key: str) -> str:
        return self.stored.get(key) or CONFIG[key][0]

    @property
    def zone(self) -> schedule.ZoneInfo:
        return schedule.zone(self.text("timezone"))

    @property
    def times(self) -> tuple[schedule.time, ...]:
        return schedule.parse_times(self.text("sweep_times"))

    @property
    def window(self) -> timedelta:
        return timedelta(hours=float(self.text("window_hours")))

    @property
    def deadline(self) -> float:
        """Seconds."""
        return float(self.text("deadline_minutes")) * 60

    def number(self, key: str, otherwise: float) -> float:
        return float(self.text(key) or otherwise)


def check_config(key: str, value: str) -> str:
    """The value as it is stored. Raises UsageError for an unknown key or a value that makes no sense."""
    if key not in CONFIG:
        raise UsageError(f"there is no setting '{key}'{nearest(key, CONFIG)}")
    value = value.strip()
    if value:
        checked = CONFIG[key][1](value)
        return checked if isinstance(checked, str) else value
    return value


def named(text: str, integration: str) -> str:
    """A sentence whose next step is about an integration, with its name: adapters do not know it."""
    import re
    import shlex

    step = r"(shipfwd integration (?:login|check))(?=$|[;,.)])"
    return re.sub(step, lambda found: f"{found[1]} {shlex.quote(integration)}", text)


def nearest(word: str, words: Mapping[str, object] | list[str]) -> str:
    """ "; did you mean 'x'?", or the list of what there is."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(words)}"


def check_settings(platform: type[Platform], settings: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """Settings as they are stored. Raises UsageError for an unknown key, a missing or a senseless value.

    Defaults are not stored: a later shipfwd may know a better one.
    """
    known = _known(platform, settings)
    for key in (*settings, *secrets):
        if key not in known:
            raise UsageError(f"{platform.title} has no setting '{key}'{nearest(key, list(known))}")
    for key in settings:
        if known[key].secret:
            raise UsageError(
                f"{key} is a secret: give it as --secret {key}=env:NAME (or file:PATH, cmd:COMMAND, prompt); "
                "on the command line everybody on this machine can read it, and the shell keeps it in its history"
            )
    for key in secrets:
        if not known[key].secret:
            raise UsageError(f"{key} is no secret; give it as --set {key}=VALUE")
    missing = [
        one.name
        for one in known.values()
        if not (one.secret or one.optional or one.login or one.default is not None or settings.get(one.name))
    ]
    missing_secrets = [
        one.name
        for one in known.values()
        if one.secret and not one.optional and not one.login and one.name not in secrets
    ]
    if missing or missing_secrets:
        give = " ".join(
            [f"--set {name}=…" for name in missing] + [f"--secret {name}=env:…" for name in missing_secrets]
        )
        raise UsageError(f"{platform.title} needs {', '.join(missing + missing_secrets)}; add: {give}")
    platform.complete({key: value for key, value in settings.items() if value.strip()}, secrets)
    return {key: _checked(known[key], value.strip()) for key, value in settings.items() if value.strip()}


def declared(platform: type[Platform], settings: Mapping[str, str]) -> tuple[Setting, ...]:
    """The platform's settings; a declarative target's depend on the definition that `settings` name."""
    more = getattr(platform, "settings_for", None)
    return more(settings) if more else platform.settings


def kept_secrets(platform: type[Platform], settings: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """Those of the stored secrets that these settings still ask for: another definition may name others."""
    known = _known(platform, settings)
    return {name: reference for name, reference in secrets.items() if name in known}


def _known(platform: type[Platform], settings: Mapping[str, str]) -> dict[str, Setting]:
    try:
        return {one.name: one for one in declared(platform, settings)}
    except ConfigError as error:  # a definition that cannot be used, while somebody is there to give another
        raise UsageError(str(error)) from None


def filled(platform: type[Platform], settings: Mapping[str, str]) -> dict[str, str]:
    """Settings with the platform's defaults."""
    defaults = {one.name: one.default for one in declared(platform, settings) if one.default is not None}
    return {**defaults, **settings}


def takes(platform: type[Platform], settings: Mapping[str, str], mapped: Mapping[str, str], carrier: str) -> bool:
    """Whether the platform has a word for a carrier, as far as its declarations tell."""
    words, other = platform.carriers, platform.other_carrier
    if not platform.needs_carrier or not isinstance(words, Mapping) or carrier in mapped or carrier in words:
        return True
    allowed = filled(platform, settings).get("other_carrier", "true") == "true"
    return other is not None and allowed and bool(carriers.name(carrier))


def _checked(setting: Setting, value: str) -> str:
    if setting.flag:
        if value.lower() not in ("true", "false"):
            raise UsageError(f"{setting.name} is true or false, not '{value}'")
        return value.lower()
    if setting.choices and value not in setting.choices:
        raise UsageError(f"{setting.name} cannot be '{value}'{nearest(value, list(setting.choices))}")
    if getattr(setting, "path", False) and ("/" in value or "." in value):  # cron runs in another folder
        return str(Path(value).expanduser().absolute())
    if not setting.url:
        return value
    url = _checked_url(setting.name, value)
    for api in ("/wp-json", "/api", "/rest"):
        if f"without {api}" in setting.help and url.endswith(api):
            raise UsageError(f"{setting.name} is {setting.help}: {url.removesuffix(api)}")
    return url


def _checked_url(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise UsageError(f"{name} must be an address such as https://example.com, not '{value}'") from None
    if any(not sign.isprintable() or sign in " \\" for sign in value):
        raise UsageError(f"{name} must be an address without spaces, line breaks or \\")
    if parts.scheme not in ("http", "https") or not host or not port_ok:
        raise UsageError(f"{name} must be an address such as https://example.com, not '{value}'")
    if parts.username or parts.password:
        raise UsageError(f"{name} must not hold a user name or password; secrets go to --secret")
    if parts.query or parts.fragment:
        raise UsageError(f"{name} must be scheme, host and optional path, without ? or #")
    if parts.scheme == "http" and not loopback(host):
        raise UsageError(f"{name} must be https: over plain http anybody on the way reads the credentials of {host}")
    return value.rstrip("/")


def loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
