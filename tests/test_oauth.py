"""Logins: the shared part of every adapter that speaks OAuth, against a scripted token host and a drawer in memory."""

from __future__ import annotations

import threading
from base64 import b64decode, urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import pytest

from shipfwd.errors import AuthFailed, ConfigError, NotUnderstood, Unavailable
from shipfwd.models import Reply
from shipfwd.platforms._oauth import OAuth
from shipfwd.platforms.base import Token, Tools

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TOKENS = "https://login.shop.test/oauth/token"
FRESH = {"access_token": "SECRET-new", "expires_in": 3600, "refresh_token": "SECRET-r2"}
PENDING = (400, {"error": "authorization_pending"})
DEVICE = {
    "device_code": "SECRET-device",
    "user_code": "AB12",
    "verification_uri": "https://login.shop.test/device",
    "interval": 5,
    "expires_in": 60,
}


class Shop(OAuth):
    name, title = "shop", "Shop"

    def headers(self):
        return {"Authorization": f"Bearer {self.access_token()}"}


class Box:
    """A drawer in memory that notes what happens to it. `meanwhile` is stored by somebody else while we wait."""

    def __init__(self, token, events):
        self.token, self.events, self.meanwhile = token, events, None
        self.lock, self.held = threading.Lock(), False

    def current(self):
        return self.token

    @contextmanager
    def locked(self):
        with self.lock:
            self.held = True
            self.events.append("locked")
            self.token, self.meanwhile = self.meanwhile or self.token, None
            try:
                yield self.token
            finally:
                self.held = False
                self.events.append("unlocked")

    def save(self, token):
        assert self.held, "saved outside the lock"
        self.events.append("saved")
        self.token = token


class Desk:
    """A shop adapter, its drawer, and the far side: answers in order, a (status, document) or an exception each."""

    def __init__(self, *answers, token=None, cls=Shop, asked=""):
        self.now, self.events, self.requests, self.said, self.waited = NOON, [], [], [], []
        self.answers, self.pasted = list(answers), asked
        self.tokens = Box(token, self.events)
        hosts = {"base_url": "https://api.shop.test", "auth_url": "https://login.shop.test"}
        tools = Tools(
            values={**hosts, "client_id": "app"},
            secrets={"client_secret": "SECRET-client"},
            wire=self,
            tokens=self.tokens,
            cache=None,
            carrier_map={},
            now=lambda: self.now,
            wait=self.wait,
            ask=self.ask,
            tell=self.said.append,
        )
        self.shop = cls(tools)

    def send(self, request, *, write, repeatable, operation, expect, accept, explain, sign):
        self.events.append(f"{request.method} {urlsplit(request.url).path}")
        self.requests.append(request)
        if request.url.startswith("https://login."):
            assert not write, "a token request passes the dry run"
            assert repeatable
            assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, data = answer
        if status == 401 and status not in accept:
            raise AuthFailed("the shop answered 401")
        assert status < 400 or status in accept
        return Reply(status, data, url=request.url)

    def wait(self, seconds):
        self.waited.append(seconds)
        self.now += timedelta(seconds=seconds)

    def ask(self, question):
        state = parse_qs(urlsplit(self.said[-1].split()[-1]).query)["state"][0]
        return self.pasted.replace("{state}", state)

    def form(self, place=-1):
        return dict(parse_qsl(self.requests[place].body.decode()))


def stored(access="SECRET-old", seconds=3600, **more):
    return Token(access, NOON + timedelta(seconds=seconds), **{"refresh": "SECRET-r1", **more})


# ---- when a token is renewed -----------------------------------------------------------------------------------------


def test_a_token_that_lasts_is_used_without_asking_anybody():
    desk = Desk(token=stored(seconds=61))
    assert (desk.shop.access_token(), desk.events) == ("SECRET-old", [])


@pytest.mark.parametrize(
    "token", [stored(seconds=60), stored(seconds=-5), stored(access=""), stored(access="", seconds=0)]
)
def test_a_token_that_ends_within_a_minute_is_renewed_first(token):
    desk = Desk((200, FRESH), token=token)
    assert desk.shop.access_token() == "SECRET-new"
    assert desk.form() == {"grant_type": "refresh_token", "refresh_token": "SECRET-r1"}
    assert desk.requests[0].url == TOKENS
    assert b64decode(desk.requests[0].headers["Authorization"].removeprefix("Basic ")) == b"app:SECRET-client"


def test_a_new_token_is_saved_under_the_lock_before_it_is_used():
    desk = Desk((200, FRESH), (200, {"id": 1}), token=stored(seconds=0))
    desk.shop.get("/me")
    assert desk.events == ["locked", "POST /oauth/token", "saved", "unlocked", "GET /me"]
    assert desk.requests[-1].headers["Authorization"] == "Bearer SECRET-new"


def test_what_another_process_fetched_while_we_waited_is_used():
    desk = Desk(token=stored(seconds=0))
    desk.tokens.meanwhile = stored(access="SECRET-theirs")
    assert desk.shop.access_token() == "SECRET-theirs"
    assert desk.events == ["locked", "unlocked"]


def test_threads_renew_a_token_once():
    desk, found = Desk((200, FRESH), token=stored(seconds=0)), []
    threads = [threading.Thread(target=lambda: found.append(desk.shop.access_token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["SECRET-new"] * 8
    assert len(desk.requests) == 1


def test_a_refused_token_is_renewed_and_the_call_repeated_once():
    desk = Desk((401, {}), (200, FRESH), (200, {"id": 7}), token=stored())
    assert desk.shop.get("/me").data == {"id": 7}
    assert [one.headers["Authorization"] for one in desk.requests[::2]] == ["Bearer SECRET-old", "Bearer SECRET-new"]


def test_a_new_token_that_is_refused_too_is_the_end():
    desk = Desk((401, {}), (200, FRESH), (401, {}), token=stored())
    with pytest.raises(AuthFailed):
        desk.shop.get("/me")
    assert not desk.answers


def test_a_token_fetched_for_this_very_call_is_not_renewed_when_it_is_refused():
    desk = Desk((200, FRESH), (401, {}), token=stored(access="", seconds=0))
    with pytest.raises(AuthFailed):
        desk.shop.get("/me")
    assert not desk.answers


def test_a_refused_token_that_somebody_renewed_already_is_not_renewed_again():
    desk = Desk(token=stored(access="SECRET-theirs"))
    assert desk.shop.renew_access("SECRET-old")
    assert not desk.requests


# ---- what an answer means --------------------------------------------------------------------------------------------

ENDS = NOON + 90 * DAY
OLD = stored(seconds=0, obtained_at=NOON - 40 * DAY, login_expires_at=NOON + 50 * DAY)


class Rotating(Shop):
    login_seconds = 90 * 86400


@pytest.mark.parametrize(
    ("cls", "answer", "refresh", "obtained", "ends"),
    [
        (Rotating, FRESH, "SECRET-r2", NOON, ENDS),
        (Rotating, {"access_token": "a"}, "SECRET-r1", OLD.obtained_at, OLD.login_expires_at),
        (Rotating, FRESH | {"refresh_token": "SECRET-r1"}, "SECRET-r1", OLD.obtained_at, OLD.login_expires_at),
        (Rotating, {"access_token": "a", "refresh_token": None}, "SECRET-r1", OLD.obtained_at, OLD.login_expires_at),
        (Rotating, FRESH | {"refresh_token_expires_in": 86400}, "SECRET-r2", NOON, NOON + DAY),
        (Shop, FRESH | {"refresh_token_expires_in": "86400"}, "SECRET-r2", NOON, NOON + DAY),
        (Shop, FRESH, "SECRET-r2", NOON, None),
    ],
)
def test_the_old_refresh_token_stays_unless_a_new_one_comes(cls, answer, refresh, obtained, ends):
    desk = Desk((200, answer), token=OLD, cls=cls)
    desk.shop.access_token()
    token = desk.tokens.token
    assert (token.refresh, token.obtained_at, token.login_expires_at) == (refresh, obtained, ends)


def test_nobody_knows_when_a_login_from_elsewhere_ends():
    desk = Desk((200, {"access_token": "a"}), token=Token("", NOON, "SECRET-r1"), cls=Rotating)
    desk.shop.access_token()
    assert (desk.tokens.token.obtained_at, desk.tokens.token.login_expires_at) == (NOON, None)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(43199, 43199), ("43199", 43199), (None, 300), ("soon", 300), (0, 300), (-1, 300), (float("nan"), 300),
     (float("inf"), 300), (10**400, 300), ([], 300)],
)  # fmt: skip
def test_how_long_an_access_token_lasts(said, seconds):
    desk = Desk((200, FRESH | {"expires_in": said}), token=stored(seconds=0))
    desk.shop.access_token()
    assert desk.tokens.token.expires_at == NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "answer", [{}, [], {"access_token": ""}, {"access_token": 5}, {"access_token": "a", "refresh_token": 5}]
)
def test_an_answer_without_a_token_rests_the_integration_and_nothing_is_saved(answer):
    desk = Desk((200, answer), token=stored(seconds=0))
    with pytest.raises(ConfigError, match="answered 200 and gave no token; check auth_url"):
        desk.shop.access_token()
    assert "saved" not in desk.events


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (
            400,
            {"error": "invalid_grant"},
            AuthFailed,
            "ended or was withdrawn (invalid_grant); run: shipfwd integration",
        ),
        (401, {"error": "invalid_token"}, AuthFailed, "ended or was withdrawn"),
        (401, {"error": "invalid_client"}, AuthFailed, "(invalid_client); check client_id and client_secret"),
        (400, {"error": "unauthorized_client"}, AuthFailed, "check client_id"),
        (401, {"errors": [{"status": "401"}]}, AuthFailed, "(answered 401); check client_id"),
        (401, None, AuthFailed, "check client_id"),
        (400, {"error": "invalid_scope"}, AuthFailed, "refuses a token (invalid_scope)"),
        (400, {"error": "temporarily_unavailable"}, Unavailable, "cannot give a token now"),
        (403, None, ConfigError, "login.shop.test answered 403 and gave no token; check auth_url"),
        (404, {"message": "no such page"}, ConfigError, "check auth_url"),
        (400, {"error": "<b>Sorry</b>"}, ConfigError, "answered 400"),
    ],
)
def test_a_refusal_says_what_to_do_next(status, answer, kind, words):
    if isinstance(answer, dict):
        answer = {**answer, "error_description": "Invalid refresh token: SECRET-r1"}
    desk = Desk((status, answer), token=stored(seconds=0))
    with pytest.raises(kind) as caught:
        desk.shop.access_token()
    assert words in str(caught.value)
    assert type(caught.value) is kind
    assert "SECRET" not in str(caught.value)
    assert desk.tokens.token == stored(seconds=0)


@pytest.mark.parametrize("token", [None, stored(access="", refresh="")])
def test_without_a_refresh_token_a_person_must_log_in(token):
    desk = Desk(token=token)
    with pytest.raises(AuthFailed, match="needs a login; run: shipfwd integration login"):
        desk.shop.access_token()
    assert not desk.requests


def test_an_application_that_logs_in_by_itself_needs_no_refresh_token():
    class Own(Shop):
        grant, login_base, login_path, scope = "client_credentials", "base_url", "/api/token", "orders"

        def client(self):
            return {}, {"client_id": self.client_id, "client_secret": self.secret("client_secret")}

    desk = Desk((200, {"access_token": "SECRET-new", "expires_in": 600}), cls=Own)
    assert desk.shop.access_token() == "SECRET-new"
    assert desk.requests[0].url == "https://api.shop.test/api/token"
    assert "Authorization" not in desk.requests[0].headers
    assert desk.form() == {
        "grant_type": "client_credentials",
        "scope": "orders",
        "client_id": "app",
        "client_secret": "SECRET-client",
    }


# ---- logging in on another screen ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("polls", "waits"),
    [
        ([], [5]),
        ([PENDING, PENDING], [5, 5, 5]),
        ([PENDING, (400, {"error": "slow_down"}), PENDING], [5, 5, 10, 10]),
        ([Unavailable("unreachable"), PENDING], [5, 10, 10]),
    ],
)
def test_the_device_flow_waits_for_the_person(polls, waits):
    desk = Desk((200, DEVICE), *polls, (200, FRESH), cls=Rotating)
    desk.shop.device_login("/oauth/device")
    assert desk.waited == waits
    assert desk.form(0) == {"client_id": "app"}
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    assert desk.form() == {"grant_type": grant, "device_code": "SECRET-device"}
    assert desk.events[-3:] == ["locked", "saved", "unlocked"]
    assert (desk.tokens.token.refresh, desk.tokens.token.login_expires_at) == ("SECRET-r2", desk.now + 90 * DAY)


@pytest.mark.parametrize("page", [None, "https://login.shop.test/device?code=AB12"])
def test_the_device_flow_tells_the_page_and_the_code(page):
    desk = Desk((200, DEVICE | {"verification_uri_complete": page}), (200, FRESH))
    desk.shop.device_login("/oauth/device")
    assert "the code AB12" in desk.said[0]
    assert (page or DEVICE["verification_uri"]) in desk.said[0].split()
    assert "SECRET" not in desk.said[0]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(200, DEVICE), PENDING, (400, {"error": "access_denied"})], "was refused on Shop's page"),
        ([(200, DEVICE), (400, {"error": "expired_token"})], "nobody confirmed the code"),
        ([(200, DEVICE), *[PENDING] * 12], "nobody confirmed the code"),
        ([(200, DEVICE), (400, {"error": "invalid_grant"})], "run: shipfwd integration login"),
        ([(401, {"error": "invalid_client"})], "check client_id"),
    ],
)
def test_a_login_that_fails_keeps_the_old_one(answers, words):
    desk = Desk(*answers, token=OLD)
    with pytest.raises(AuthFailed, match=words.replace("(", r"\(")):
        desk.shop.device_login("/oauth/device")
    assert desk.tokens.token == OLD
    assert not desk.answers


def test_a_device_answer_without_a_code_is_not_understood():
    with pytest.raises(NotUnderstood, match="device_code"):
        Desk((200, {})).shop.device_login("/oauth/device")


# ---- logging in with a browser ---------------------------------------------------------------------------------------

BACK = "https://me.test/back"
CODE = "v^1.1#i^1#p^3 +100%"


class Coded(Shop):
    pkce, scope = True, "orders.read orders.write"


def by_code(pasted, cls=Coded, **more):
    desk = Desk((200, FRESH), cls=cls, asked=pasted)
    desk.shop.code_login("https://login.shop.test/consent", BACK, **more)
    return desk


def test_the_consent_page_is_asked_for_exactly_this():
    desk = by_code(f"{BACK}?code=c1&state={{state}}", prompt="login")
    asked = dict(parse_qsl(urlsplit(desk.said[0].split()[-1]).query))
    verifier = desk.form()["code_verifier"]
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert 43 <= len(verifier) <= 128
    assert len(asked.pop("state")) >= 20
    assert asked == {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": BACK,
        "scope": "orders.read orders.write",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "prompt": "login",
    }


def test_the_code_is_decoded_once_and_redeemed():
    desk = by_code(f"  {BACK}?state={{state}}&code={quote(CODE, safe='')}&expires_in=299#_=_\n", cls=Shop)
    assert desk.form() == {"grant_type": "authorization_code", "redirect_uri": BACK, "code": CODE}
    assert desk.tokens.token == replace(stored(), access="SECRET-new", refresh="SECRET-r2", obtained_at=NOON)


def test_two_logins_never_share_a_state_or_a_proof():
    first, second = (by_code(f"{BACK}?code=c1&state={{state}}") for _ in range(2))
    assert first.said != second.said
    assert first.form()["code_verifier"] != second.form()["code_verifier"]


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (f"{BACK}?code=c1&state=another", "does not belong"),
        (f"{BACK}?code=c1", "does not belong"),
        ("c1", "does not belong"),
        ("", "does not belong"),
        ("https://[bad?code=c1", "does not belong"),
        (f"{BACK}?error=access_denied&state={{state}}", "gave no code \\(access_denied\\)"),
        (f"{BACK}?error=%1b[31m&state={{state}}", "gave no code \\(none in the address\\)"),
    ],
)
def test_an_address_from_elsewhere_redeems_nothing(pasted, words):
    desk = Desk(cls=Coded, asked=pasted)
    with pytest.raises(AuthFailed, match=words):
        desk.shop.code_login("https://login.shop.test/consent", BACK)
    assert not desk.requests
