"""OAuth: logins for adapters. Subclass it in Platform's place, name the paths, ask for `access_token()`.

    class Bazaar(OAuth):
        login_path = "/oauth/token"

        def headers(self):
            return {"Authorization": f"Bearer {self.access_token()}"}

        def login(self):
            self.device_login("/oauth/device")
            return self.check()

Sources: RFC 6749 (grants, error words), RFC 7636 (PKCE), RFC 8628 (device flow).
Messages carry a platform's error word, never its description: Allegro's repeats the refresh token.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode

from shipfwd.errors import AuthFailed, ConfigError, ShipfwdError, TryLater, Unavailable
from shipfwd.models import Reply
from shipfwd.platforms.base import Platform, Token, host

MARGIN = timedelta(seconds=60)  # an access token that ends sooner is renewed before it is used
LOGIN = "run: shipfwd integration login"
_REFUSALS = tuple(status for status in range(300, 500) if status not in (408, 429))


class OAuth(Platform):
    """A platform whose calls need an access token."""

    login_base: ClassVar[str] = "auth_url"  # the setting that names the token host
    login_path: ClassVar[str] = "/oauth/token"  # where tokens come from
    grant: ClassVar[str] = "refresh_token"  # or client_credentials: no person, no refresh token
    scope: ClassVar[str] = ""  # what a login asks for; "" = all that the application has
    pkce: ClassVar[bool] = False  # code_login proves itself by S256
    rotates: ClassVar[bool] = False  # a refresh gives a new refresh token; such a login dies when it is never renewed
    login_seconds: ClassVar[float] = 0.0  # how long a refresh token lives where no answer says it; 0 = unknown
    client_advice: ClassVar[str] = "check client_id and client_secret"
    json_tokens: ClassVar[bool] = False  # the token host documents JSON in place of a form
    login_advice: ClassVar[str] = LOGIN  # where a refresh token comes from, for who has none that works

    @property
    def client_id(self) -> str:
        return self.values["client_id"]

    def client(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Headers and form fields by which the application names itself at the token host; here HTTP Basic."""
        pair = f"{self.client_id}:{self.secret('client_secret')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, {}

    def access_token(self) -> str:
        """An access token that lasts for another minute. Raises AuthFailed when a person must log in."""
        token = self.tokens.current()
        return token.access if token and self._lasts(token) else self._renewed(token.access if token else "").access

    def renew_access(self, stale: str) -> bool:
        """Fetch another access token unless `stale` is no longer the stored one. "" was fetched a moment ago."""
        return bool(stale and self._renewed(stale).access)

    def device_login(self, path: str) -> None:
        """A person consents on another screen; waits for it and keeps the tokens."""
        started = self._post(path, {"client_id": self.client_id, **self._scope()})
        if started.status >= 300:
            raise self._refusal(started)
        data = started.data
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
        form["device_code"] = self.field(data, "device_code")
        page = self.field(data, "verification_uri")
        ends = self.now() + timedelta(seconds=_seconds(data.get("expires_in"), 600))
        pause = _seconds(data.get("interval"), 5)
        self.tools.tell(
            f"Open this page, sign in to {self.title} and confirm the code {self.field(data, 'user_code')}:\n"
            f"{data.get('verification_uri_complete') or page}\nWaiting …"
        )
        while self.now() < ends:
            self.tools.wait(pause)
            try:
                reply = self._post(self.login_path, form)
            except TryLater:  # the person is still typing; RFC 8628 asks for longer pauses
                pause += 5
                continue
            word = _word(reply)
            if word in ("authorization_pending", "slow_down"):
                pause += 5 if word == "slow_down" else 0
                continue
            if word == "access_denied":
                raise AuthFailed(f"the login was refused on {self.title}'s page; to try again {LOGIN}")
            if word == "expired_token":
                break
            self._keep(reply)
            return
        raise AuthFailed(f"nobody confirmed the code at {self.title} in time; {LOGIN}")

    def code_login(self, consent_url: str, redirect_uri: str, **more: str) -> None:
        """A person consents in a browser and pastes the address where it ends; keeps the tokens.

        more   further parameters of the consent page.
        """
        state = secrets.token_urlsafe(16)
        asked = {"response_type": "code", "client_id": self.client_id, "redirect_uri": redirect_uri, "state": state}
        form = {"grant_type": "authorization_code", "redirect_uri": redirect_uri}
        if self.pkce:
            form["code_verifier"] = secrets.token_urlsafe(48)
            challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
            asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        query = urlencode(asked | self._scope() | more, quote_via=quote)
        self.tools.tell(f"Open this page, sign in to {self.title} and agree:\n{consent_url}?{query}")
        pasted = self.tools.ask("Paste the whole address of the page that you are sent to")
        came = dict(parse_qsl(pasted.partition("?")[2].partition("#")[0].strip()))  # decodes, once
        if came.get("state") != state:
            raise AuthFailed(f"this address does not belong to the page that was opened just now; {LOGIN}")
        if not came.get("code"):
            why = _safe(came.get("error")) or "none in the address"
            raise AuthFailed(f"{self.title} gave no code ({why}); {LOGIN}")
        self._keep(self._post(self.login_path, form | {"code": came["code"]}))

    # ---- the token host ---------------------------------------------------------------------------------

    def _lasts(self, token: Token) -> bool:
        return bool(token.access) and token.expires_at - self.now() > MARGIN

    def _renewed(self, stale: str) -> Token:
        """What is stored once it is no longer `stale`. Saved before anybody uses it: a rotated token exists once."""
        with self.tokens.locked() as stored:
            if stored and stored.access != stale and self._lasts(stored):
                return stored  # another thread or process was faster
            form = {"grant_type": self.grant}
            if self.grant == "client_credentials":
                form |= self._scope()
            elif stored and stored.refresh:
                form["refresh_token"] = stored.refresh
            else:
                raise AuthFailed(f"{self.title} needs a login; {self.login_advice}")
            token = self._read(self._post(self.login_path, form), stored)
            self.tokens.save(token)
            return token

    def _keep(self, reply: Reply) -> None:
        token = self._read(reply, None)
        with self.tokens.locked():
            self.tokens.save(token)

    def _post(self, path: str, form: Mapping[str, str]) -> Reply:
        """No write in the sense of the dry run. Repeated when its answer is lost: the old token has its grace then."""
        headers, fields = self.client()
        options: dict[str, Any] = {"base": self.login_base, "auth": False, "write": False, "repeatable": True}
        options["json" if self.json_tokens else "form"] = {**form, **fields}
        return self.post(path, headers=headers, accept=_REFUSALS, **options)

    def _scope(self) -> dict[str, str]:
        return {"scope": self.scope} if self.scope else {}

    def _read(self, reply: Reply, before: Token | None) -> Token:
        """The answer as a login; what it leaves out of a refresh token stays as it was.

        Any other document rests the integration: that nobody can log in is no shipment's fault, and none is failed.
        """
        if reply.status >= 300:
            raise self._refusal(reply)
        data, now = reply.data if isinstance(reply.data, dict) else {}, self.now()
        access, refresh = data.get("access_token"), data.get("refresh_token") or ""
        if not isinstance(access, str) or not isinstance(refresh, str) or not access:
            raise ConfigError(self._gave_none(reply))
        old = before or Token("", now)
        new = bool(refresh) and refresh != old.refresh
        life = _seconds(data.get("refresh_token_expires_in"), self.login_seconds if new else 0)
        return Token(
            access=access,
            expires_at=now + timedelta(seconds=_seconds(data.get("expires_in"), 300)),
            refresh=refresh or old.refresh,
            obtained_at=now if new else old.obtained_at or now,
            login_expires_at=now + timedelta(seconds=life) if life else None if new else old.login_expires_at,
        )

    def _refusal(self, reply: Reply) -> ShipfwdError:
        word, where = _word(reply), host(self.values[self.login_base])
        if reply.status < 400:  # credentials follow nobody
            return ConfigError(f"{where} redirects; set {self.login_base} to the address that answers")
        if word in ("temporarily_unavailable", "server_error"):
            return Unavailable(f"{where} cannot give a token now ({word})")
        if word in ("invalid_client", "unauthorized_client") or not word and reply.status == 401:
            return AuthFailed(f"{self.title} refuses the application ({word or 'answered 401'}); {self.client_advice}")
        if word in ("invalid_grant", "invalid_token"):
            return AuthFailed(f"the login at {self.title} ended or was withdrawn ({word}); {self.login_advice}")
        if word:
            return AuthFailed(f"{self.title} refuses a token ({word}); check its settings and secrets")
        return ConfigError(self._gave_none(reply))

    def _gave_none(self, reply: Reply) -> str:
        where = host(self.values[self.login_base])
        return f"{where} answered {reply.status} and gave no token; check {self.login_base}"


def _word(reply: Reply) -> str:
    """The error word of an OAuth refusal; "" when there is none."""
    return _safe(reply.data.get("error")) if reply.status >= 400 and isinstance(reply.data, dict) else ""


def _safe(word: Any) -> str:
    return word if isinstance(word, str) and re.fullmatch("[a-z_]{3,40}", word) else ""


def _seconds(value: Any, otherwise: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return seconds if 0 < seconds < 1e9 else otherwise
