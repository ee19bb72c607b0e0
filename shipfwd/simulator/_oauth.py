"""An OAuth token desk for stand-ins: issues, rotates and forgets tokens. Every token holds the word SECRET."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Grant:
    """What a token stands for; `user` is "" for an application's own token."""

    user: str
    scope: str
    ends: float
    first_used: float | None = None


class TokenDesk:
    """The tokens of one stand-in.

    access_seconds, refresh_seconds   how long they live.
    rotates         each refresh gives a new refresh token, the old one works for `grace_seconds` after its
                    first use; otherwise the answer holds no refresh token and the old one stays.
    newest_only     a new pair kills the access tokens of the pairs before it.
    refreshes       how many refreshes succeeded; `refused` how many did not.
    """

    def __init__(
        self,
        name: str,
        now: Callable[[], float],
        *,
        access_seconds: int = 3600,
        refresh_seconds: float = 90 * 86400,
        rotates: bool = True,
        grace_seconds: float = 0,
        scope: str = "",
        newest_only: bool = False,
    ) -> None:
        self.name, self.now, self.scope = name, now, scope
        self.access_seconds, self.refresh_seconds = access_seconds, refresh_seconds
        self.rotates, self.grace_seconds, self.newest_only = rotates, grace_seconds, newest_only
        self.refreshes = self.refused = 0
        self._count = 0
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}
        self._codes: dict[str, Grant] = {}

    def sign_in(self, user: str = "seller", scope: str | None = None) -> dict[str, Any]:
        """The token answer after a person's consent."""
        return self._issue(user, self.scope if scope is None else scope, with_refresh=True)

    def application(self, scope: str = "") -> dict[str, Any]:
        """The token answer of client_credentials: no user, no refresh token."""
        return self._issue("", scope, with_refresh=False)

    def code(self, user: str = "seller", scope: str | None = None, seconds: float = 300) -> str:
        """An authorisation code, as the consent page hands it out; good once."""
        code = self._new("code")
        self._codes[code] = Grant(user, self.scope if scope is None else scope, self.now() + seconds)
        return code

    def redeem(self, code: str) -> dict[str, Any] | None:
        """The token answer for an authorisation code; None when it is unknown, used or too old."""
        grant = self._codes.pop(code, None)
        return self.sign_in(grant.user, grant.scope) if grant and grant.ends > self.now() else None

    def refresh(self, token: str) -> dict[str, Any] | None:
        """The token answer for a refresh token; None when it no longer works."""
        grant, now = self._refresh.get(token), self.now()
        spent = grant is not None and grant.first_used is not None and now > grant.first_used + self.grace_seconds
        if grant is None or grant.ends <= now or spent:
            self.refused += 1
            return None
        if self.rotates and grant.first_used is None:
            grant.first_used = now
        self.refreshes += 1
        return self._issue(grant.user, grant.scope, with_refresh=self.rotates)

    def grant(self, access: str) -> Grant | None:
        """What an access token stands for; None when it is unknown or expired."""
        grant = self._access.get(access)
        return grant if grant and grant.ends > self.now() else None

    def expire_access(self) -> None:
        """All access tokens end now; refresh tokens stay."""
        self._access.clear()

    def revoke(self) -> None:
        """The person withdrew the consent: nothing works any more."""
        self._access.clear()
        self._refresh.clear()

    def _issue(self, user: str, scope: str, with_refresh: bool) -> dict[str, Any]:
        now = self.now()
        if self.newest_only and user:
            self._access = {token: grant for token, grant in self._access.items() if grant.user != user}
        access = self._new("access")
        self._access[access] = Grant(user, scope, now + self.access_seconds)
        answer: dict[str, Any] = {"access_token": access, "token_type": "bearer", "expires_in": self.access_seconds}
        if with_refresh:
            refresh = self._new("refresh")
            self._refresh[refresh] = Grant(user, scope, now + self.refresh_seconds)
            answer["refresh_token"] = refresh
        if scope:
            answer["scope"] = scope
        return answer

    def _new(self, what: str) -> str:
        self._count += 1
        return f"SECRET-{self.name}-{what}-{self._count}-{secrets.token_hex(6)}"
