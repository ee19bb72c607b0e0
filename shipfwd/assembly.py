"""Puts an integration together: its adapter, settings, secrets, tokens, cache and connections."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipfwd import platforms
from shipfwd.errors import ConfigError
from shipfwd.files import locks_folder
from shipfwd.models import Integration
from shipfwd.pacing import fingerprint
from shipfwd.platforms.base import Token, Tokens, Tools, host
from shipfwd.settings import Config, filled
from shipfwd.store import Store
from shipfwd.vault import Redactor, Reference, Vault, parse_reference, resolve

if TYPE_CHECKING:
    from shipfwd.http import Channel, Network
    from shipfwd.verdicts import Desk


class Secrets(Mapping[str, str]):
    """Secrets by name, resolved at first use and never stored; the redactor learns each."""

    def __init__(self, integration: Integration, vault: Vault, redactor: Redactor) -> None:
        self._integration, self._vault, self._redactor = integration, vault, redactor
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._known:
            reference: Reference = parse_reference(self._integration.secrets[name])
            value = resolve(
                reference,
                integration=self._integration.name,
                secret=name,
                prompted=self._vault.prompted(self._integration.id) if reference.kind == "prompt" else {},
            )
            self._redactor.add(value)
            self._known[name] = value
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._integration.secrets)

    def __len__(self) -> int:
        return len(self._integration.secrets)


def notify_addresses(config: Config, redactor: Redactor) -> str:
    """Where notifications go, as Apprise addresses; "" when nothing is set. Raises ConfigError."""
    if not (text := config.text("notify")):
        return ""
    try:
        value = resolve(parse_reference(text), integration="", secret="notify", prompted={})  # noqa: S106
    except ConfigError as error:
        raise ConfigError(f"config notify: {str(error).partition(': ')[2]}") from None
    redactor.add(value)
    return value


class Drawer:
    """Cached answers of one integration, in the store (platforms.base.Cache)."""

    def __init__(self, store: Store, integration_id: int, dry: bool = False) -> None:
        self._store, self._id, self._dry = store, integration_id, dry
        self._near: dict[str, tuple[float, Any]] = {}

    def get(self, key: str) -> Any:
        until, value = self._near.get(key, (0.0, None))
        if until > (now := self._store.clock().timestamp()):
            return value
        value = self._store.cached(self._id, key)
        # Also that there is none: some are asked for with every request.
        self._near[key] = (now + 60, value)
        return value

    def put(self, key: str, value: Any, seconds: float) -> None:
        if not self._dry:  # a dry run keeps what it learns to itself
            self._store.put_cached(self._id, key, value, seconds)
        self._near[key] = (self._store.clock().timestamp() + min(seconds, 60), value)


class Loose:
    """A login that is not kept yet (platforms.base.Tokens): `login` stores it once its account is known."""

    def __init__(self) -> None:
        self.token: Token | None = None

    def current(self) -> Token | None:
        return self.token

    @contextmanager
    def locked(self) -> Iterator[Token | None]:
        yield self.token

    def save(self, token: Token) -> None:
        self.token = token


class Assembly:
    """Builds desks for a run. Close it when the run is over."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        redactor: Redactor,
        clock: Callable[[], datetime],
        wait: Callable[[float], None],
        dry_run: bool = False,
        trace: Any = None,
        ask: Callable[[str], str] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.store, self.vault, self.redactor, self.clock, self.wait = store, vault, redactor, clock, wait
        self.config = Config(store.config())
        self._dry_run, self._trace = dry_run, trace
        self._ask, self._tell = ask or _nobody, tell or _nobody
        self._network: Network | None = None
        self._lock = threading.Lock()
        self._channels: list[Channel] = []

    @property
    def network(self) -> Network:
        from shipfwd.http import Network

        with self._lock:  # integrations are put together at once, and share one
            if self._network is None:
                folder = locks_folder(self.store.path)
                self._network = Network(self.redactor, self.clock, self.wait, folder, self._dry_run, self._trace)
            return self._network

    def login(self, integration: Integration) -> str:
        """Log in and keep the tokens; the identity. Another account than before is refused, and nothing is kept."""
        loose = Loose()
        identity = self.desk(integration, loose).platform.login()
        self.identify(integration, identity)
        drawer = self._drawer(integration, Secrets(integration, self.vault, self.redactor))
        with drawer.locked():
            assert loose.token is not None
            drawer.save(loose.token)
        return identity

    def desk(self, integration: Integration, tokens: Tokens | None = None) -> Desk:
        """The integration ready to work. Raises ConfigError or UsageError when its setup does not hold any more."""
        from shipfwd.http import Channel, Talk
        from shipfwd.verdicts import Desk

        cls = platforms.load(integration.platform).shaped(integration.settings)
        values = filled(cls, integration.settings)
        secrets = Secrets(integration, self.vault, self.redactor)
        concurrency = int(self.config.number("concurrency", cls.concurrency))
        folder = self.network.folder

        def key() -> str:
            """What the platform counts by: the same for all integrations of one app, key or shop."""
            parts = [values.get(name) or _mark(secrets.get(name), folder) for name in cls.host_key.split()]
            return "|".join(
                [host(values.get("base_url", "")), *(parts if any(parts) else [str(integration.id)])]
            ).lower()

        channel = Channel(self.network, cls.rates, key, cls.throttled_seconds, concurrency)
        self._channels.append(channel)
        platform = cls(
            Tools(
                values=values,
                secrets=secrets,
                wire=Talk(channel),
                tokens=tokens or self._drawer(integration, secrets),
                cache=Drawer(self.store, integration.id, self._dry_run),
                carrier_map=integration.carrier_map,
                now=self.clock,
                wait=self.wait,
                ask=self._ask,
                tell=self._tell,
            )
        )
        doubt = self.config.number("in_doubt_seconds", platform.doubt_seconds)
        return Desk(integration, platform, channel, doubt, concurrency, random.random)

    def _drawer(self, integration: Integration, secrets: Secrets) -> Tokens:
        return self.vault.tokens(integration.id, lambda: secrets.get("refresh_token"))

    def identify(self, integration: Integration, identity: str) -> None:
        """Keep the account's identity. Raises ConfigError when it is another one than before."""
        if integration.identity and integration.identity != identity:
            raise ConfigError(
                f"{integration.name} belongs to account {integration.identity}, but these credentials are "
                f"of {identity}; register the other account under a name of its own"
            )
        if not integration.identity:
            self.store.set_identity(integration.id, identity)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        if self._network is not None:
            self._network.close()


def _mark(secret: str | None, folder: Path) -> str:
    return fingerprint(secret, folder) if secret else ""


def _nobody(text: str) -> Any:
    raise ConfigError("this needs a person at a terminal")
