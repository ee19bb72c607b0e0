"""The token host under every fault: nothing is lost or doubled, passing trouble passes, and a dead login says what to do."""

from __future__ import annotations

import errno
import os

import park
import pytest
from park import LONG
from test_network import FAULTS, impatient, said  # noqa: F401  (impatient is a fixture)

from shipfwd import platforms
from shipfwd.platforms._oauth import OAuth
from shipfwd.simulator._faults import parse_kind
from shipfwd.simulator._http import Answer
from shipfwd.simulator.server import Simulator
from shipfwd.vault import Drawer

LOGINS = [name for name in park.PLATFORMS if issubclass(platforms.load(name), OAuth) and name != "http"]
TOKEN = r"token"  # noqa: S105  the word in the address of every token host
DEAD = {"allegro": "shipfwd integration login allegro", "ebay": "shipfwd integration login ebay",
        "etsy": "shipfwd integration login etsy", "amazon": "--secret refresh_token=prompt",
        "shopify": "shipfwd integration check", "shopware": "check client_id"}  # fmt: skip
PASSING = [
    "refused", "reset", "close", "reset-after", "close-after", "cut", "silent", "silent-after", "html", "html-after",
    "429", "500", "500-after", "502", "503", "504-after", "429, Retry-After in seconds", "429, Retry-After nonsense",
    "200, 10 MB", "200, a gzip bomb", "200, broken gzip", "200, JSON 100,000 deep", "200, empty",
]  # fmt: skip
STRANGE = [name for name in FAULTS if name.startswith("200 ") and not name.endswith("after")] + [
    f"200 {text}" for text in ('{"access_token": 7}', '{"access_token": ""}', '{"access_token": {"a": 1}}',
                               '{"access_token": "SECRET-t", "refresh_token": [7]}')
]  # fmt: skip
VARIABLE = {"refresh_token": "P_REFRESH_TOKEN", "shared_secret": "P_SHARED"}
SECONDS = 25 * 3600  # later, no access token lasts


@pytest.fixture
def login(sim, shop, monkeypatch, impatient):  # noqa: F811
    """A platform with a token that has ended, and a way to send one more number."""
    sim.slow_ms = 0

    def setup(platform):
        stand = sim.platform(platform)
        settings, secrets = stand.app_credentials() if platform == "shopify" else stand.credentials()
        given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        for key, value in secrets.items():
            monkeypatch.setenv(variable := VARIABLE.get(key, "P_HIDDEN"), value)
            given += ["--secret", f"{key}=env:{variable}"]
        assert shop.run("integration", "add", platform, "--platform", platform, *given).code == 0
        return Login(platform, sim, shop, impatient)

    return setup


class Login:
    def __init__(self, platform, sim, shop, ticks):
        self.platform, self.sim, self.shop, self.ticks = platform, sim, shop, ticks
        self.due, self.heard = [], []

    def run(self, *words):
        done = self.shop.run("--trace", self.shop.folder / "trace", *words)
        self.heard.append(done.out + done.err)
        return done

    def put(self):
        (one,) = park.dues(self.platform, len(self.due) + 1, 1, several=10**9)
        self.due.append(one)
        self.run("import", "--no-forward", park.as_file(self.shop.folder / "due.csv", [one]))
        return one

    def sweep(self, fault=None, times=9):
        if fault == "refused":
            self.sim.stop()
        elif fault:
            self.sim._faults.plan(self.platform, fault, times, TOKEN, 0)
        done = self.run("sweep")
        if fault == "refused":
            self.sim.start()
        self.sim.clear_faults()
        return done

    def later(self, seconds=SECONDS):
        self.shop.clock.forward(seconds=seconds)
        self.sim.advance(seconds)
        self.ticks.ahead += seconds

    def row(self, one):
        return next(row for row in self.shop.json("status", "-o", one.order))

    def numbers(self, one):
        return self.sim.platform(self.platform).numbers(one.order)

    def check(self):
        """All are there once, and nobody told a secret."""
        verdict = park.judge(self.sim, self.shop.json("status", "--all"), self.due)
        verdict.check()
        assert [self.numbers(one) for one in self.due] == [[one.number] for one in self.due]
        kept = [path for path in self.shop.folder.iterdir() if path.is_file() and not path.name.endswith(".vault")]
        told = "\n".join([*self.heard, *(path.read_bytes().decode("latin-1") for path in kept)])
        assert len(kept) > 2 and "SECRET" not in told


KNOWN = {name: fault for name, fault in FAULTS.items() if fault}  # made once: the bomb takes half a second


def fault_of(name):
    if name == "refused" or name in KNOWN:
        return KNOWN.get(name, name)
    if name.startswith("200 "):
        return said(Answer(200, name[4:].encode(), {"Content-Type": "application/json"}))
    return parse_kind(name)


@pytest.mark.parametrize("platform", LOGINS)
def test_trouble_at_the_token_host_passes_and_the_number_arrives_once(platform, login):
    ours = login(platform)
    names = PASSING if LONG else park.chance(f"tokens {platform}").sample(PASSING, 4)
    for name in names:
        one = ours.put()
        done = ours.sweep(fault_of(name))
        row = ours.row(one)
        assert (done.code, row["state"]) == (4, "retrying"), f"{name}: {row['reason']} {done.err}"
        ours.later(4 * 3600)  # eBay without a Retry-After: an hour
        done = ours.sweep()
        if platform in ("etsy", "allegro") and (
            "after" in name or name == "cut"
        ):  # the new one was lost, the old is spent
            assert (done.code, ours.row(one)["state"]) == (3, "retrying"), f"after {name}: {done}"
            assert DEAD[platform] in done.err
            sign_in(ours)
            done = ours.run("forward", "-o", one.order)
        assert (done.code, ours.row(one)["state"]) == (0, "forwarded"), f"after {name}: {done}"
        ours.later()
    ours.check()
    park.figure("faults of the token host", platforms=platform, faults=len(names), shipments=len(ours.due))


def sign_in(ours):
    """A person logs in: the reference to the refresh token has another value now."""
    fresh = ours.sim.platform(ours.platform).credentials()[1]["refresh_token"]
    ours.shop._monkeypatch.setenv("P_REFRESH_TOKEN", fresh)


@pytest.mark.parametrize("platform", LOGINS)
def test_an_answer_of_the_token_host_that_is_no_token_fails_no_shipment_however_many_are_due(platform, login):
    """A login is the account's: the integration rests, all stays pending, and the next run asks again."""
    ours = login(platform)
    ours.due = park.dues(platform, 1, 9, several=10**9)
    ours.run("import", "--no-forward", park.as_file(ours.shop.folder / "due.csv", ours.due))
    for name in STRANGE if LONG else park.chance(f"strange {platform}").sample(STRANGE, 2):
        done = ours.sweep(fault_of(name))
        states = {row["state"] for row in ours.shop.json("status", "--all")}
        assert (done.code, states) == (3, {"pending"}), f"{name}: {done.err}"
        assert f"gave no token; check {platforms.load(platform).login_base}" in done.err
    assert ours.sweep().code == 0, ours.heard[-1]
    ours.check()


REFUSALS = [
    (400, '{"error": "invalid_grant", "error_description": "TOKEN is spent"}'), (400, '{"error": "invalid_client"}'),
    (401, "{}"), (400, "no"), (403, '{"error": "access_denied"}'), (404, "[7]"),
]  # fmt: skip


@pytest.mark.parametrize("platform", LOGINS)
def test_a_login_that_is_dead_says_what_to_do(platform, login):
    ours = login(platform)
    for status, body in REFUSALS:
        one = ours.put()
        body = body.replace("TOKEN", os.environ.get("P_REFRESH_TOKEN", ""))  # as Allegro does
        done = ours.sweep(said(Answer(status, body.encode(), {"Content-Type": "application/json"})))
        assert (done.code, ours.row(one)["state"]) == (3, "pending"), f"{status} {body}: {done}"
        if "invalid_grant" in body and "refresh_token" in {one.name for one in platforms.load(platform).settings}:
            assert DEAD[platform] in done.err
    assert ours.sweep().code == 0
    ours.check()


@pytest.mark.parametrize("platform", LOGINS)
def test_a_token_host_that_points_elsewhere_is_not_followed(platform, login):
    ours = login(platform)
    with Simulator(auto_orders=True) as elsewhere:
        one = ours.put()
        done = ours.sweep(said(Answer.redirect(elsewhere.base_url(platform) + "/token")))
        assert elsewhere.requests == []
    assert (done.code, ours.row(one)["state"]) == (3, "pending")
    assert f"set {platforms.load(platform).login_base} to the address that answers" in done.err
    assert ours.sweep().code == 0
    ours.check()


@pytest.mark.parametrize("minutes", [0.5, 30])
@pytest.mark.parametrize("platform", LOGINS)
def test_a_token_that_was_given_and_not_kept_loses_no_number(platform, minutes, login, monkeypatch):
    """The disk is full in the moment between the answer and its storing; then a run soon, or much later."""
    ours = login(platform)
    one = ours.put()

    def full(drawer, token):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Drawer, "save", full)
        assert (ours.sweep().code, ours.row(one)["state"]) == (3, "retrying")  # the run ended where it stood
    ours.later(60 * minutes)
    done = ours.sweep()
    if platform == "etsy" or platform == "allegro" and minutes == 30:  # the old one is spent, the new one is lost
        assert (done.code, ours.row(one)["state"]) == (3, "pending")
        assert DEAD[platform] in done.err
        sign_in(ours)
        done = ours.sweep()
    assert done.code == 0, done
    ours.check()
