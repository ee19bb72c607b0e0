"""The stand-ins over real sockets: what they answer is what the vendors answered."""

from __future__ import annotations

import base64
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import requests

from shipfwd import simulator
from shipfwd.errors import UsageError
from shipfwd.simulator import _faults
from shipfwd.simulator.base import Answer, Stand, route
from shipfwd.simulator.server import Simulator, serve

ORDER = "29738e61-7f6a-11e8-ac45-09db60ede9d6"
SHIPMENTS = f"/order/checkout-forms/{ORDER}/shipments"
FULFILLMENT = f"/order/checkout-forms/{ORDER}/fulfillment"
MEDIA = "application/vnd.allegro.public.v1+json"
AGENT = "shipfwd-sim/1.0 (+https://shop.example.test)"
NUMBER = "620000000000000000000001"
ROW = {"carrierId": "INPOST", "waybill": NUMBER}


@pytest.fixture
def sim():
    with Simulator() as running:
        yield running


@pytest.fixture
def web():
    with requests.Session() as session:
        session.trust_env = False
        yield session


class Client:
    """Talks to one stand-in with good manners; keywords override."""

    def __init__(self, sim, web, name):
        self.web, self.base = web, sim.base_url(name)
        self.headers: dict[str, str | None] = {}

    def __call__(self, method, path, **more):
        more.setdefault("timeout", 5)
        return self.web.request(method, self.base + path, headers=self.headers, allow_redirects=False, **more)


@pytest.fixture
def stand(sim):
    return sim.platform("allegro")


@pytest.fixture
def allegro(sim, web, stand):
    stand.add_order(ORDER, lines=2)
    client = Client(sim, web, "allegro")
    token = stand.desk.sign_in(stand.user_id, stand.scope)["access_token"]
    client.headers = {
        "User-Agent": AGENT, "Accept": MEDIA, "Content-Type": MEDIA, "Authorization": f"Bearer {token}",
    }  # fmt: skip
    return client


def error(reply):
    return reply.status_code, reply.json()["errors"][0]["code"]


# ---- the server ---------------------------------------------------------------------------------------------


def test_every_file_here_is_a_stand_in_with_credentials_and_demo_orders(sim):
    assert {"allegro", "woocommerce"} <= set(simulator.names())
    for name in simulator.names():
        stand = sim.platform(name)
        settings, secrets = stand.credentials()
        assert stand.name == name
        assert settings.get("base_url", stand.base_url).startswith(f"{sim.url}/{name}")
        assert all("SECRET" in value for value in secrets.values())
        assert stand.seed()
        assert stand.describe()
        assert "\n" not in stand.describe()


def test_an_unknown_stand_in_is_a_usage_error_that_names_the_known_ones():
    with pytest.raises(UsageError, match="allegro"):
        simulator.load("bazaar")


def test_many_connections_are_kept_alive_and_every_request_is_recorded(sim, allegro, stand):
    def ten(place):
        with requests.Session() as session:
            session.trust_env = False
            for n in range(10):
                row = {"carrierId": "INPOST", "waybill": f"62{place:011d}{n:011d}"}
                reply = session.post(allegro.base + SHIPMENTS, json=row, headers=allegro.headers, timeout=5)
                assert reply.status_code == 201

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ten, range(8)))
    assert len(sim.calls("allegro", "POST .*shipments")) == 80
    assert len(set(stand.numbers(ORDER))) == 80
    assert not stand.doubles()
    recorded = sim.requests[0]
    assert recorded.header("User-Agent") == AGENT
    assert recorded.json()["carrierId"] == "INPOST"
    assert recorded.status == 201


def test_chunked_bodies_heads_and_pipelined_requests_are_understood(sim, allegro, stand):
    def pieces():
        yield b'{"carrierId":"INPOST",'
        yield b'"waybill":"%s"}' % NUMBER.encode()

    assert allegro("POST", SHIPMENTS, data=pieces()).status_code == 201
    with socket.create_connection(("127.0.0.1", sim.port)) as raw:
        raw.sendall(b"HEAD / HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n")
        said = b""
        while more := raw.recv(65536):
            said += more
    assert said.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 404" in said
    with socket.create_connection(("127.0.0.1", sim.port)) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 400")


def test_stopping_hangs_up_on_idle_and_silent_connections_and_the_port_is_free_again():
    before, came = threading.active_count(), threading.Event()
    sim = Simulator(watch=lambda request: came.set()).start()
    sim.fail_next("allegro", "silent")
    idle, silent = (socket.create_connection(("127.0.0.1", sim.port)) for _ in range(2))
    with idle, silent:
        silent.sendall(b"GET /allegro/me HTTP/1.1\r\n\r\n")
        assert came.wait(5)
        sim.stop()
        assert idle.recv(1) == silent.recv(1) == b""
    assert threading.active_count() == before
    again = Simulator(port=sim.port).start()
    again.stop()
    with Simulator() as other, pytest.raises(UsageError, match="cannot listen"):
        Simulator(port=other.port).start()


def test_a_stand_in_that_breaks_is_loud(web, monkeypatch):
    class Broken(Stand):
        name = "allegro"

        @route("GET", "/x/{id:[0-9]{2}}")
        def x(self, request, id):
            return Answer.text(str(1 / int(id)))

    monkeypatch.setattr("shipfwd.simulator.server.load", lambda name: Broken)
    sim = Simulator().start()
    assert web.get(sim.base_url("allegro") + "/x/10", timeout=5).text == "0.1"
    assert web.get(sim.base_url("allegro") + "/x/00", timeout=5).status_code == 500
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        sim.__exit__(None)


def test_the_state_can_be_watched_from_another_process(sim, web, allegro):
    allegro("POST", SHIPMENTS, json=ROW)
    state = web.get(sim.url + "/-/state", timeout=5).json()
    assert state["platforms"]["allegro"] == {"orders": {ORDER: [NUMBER]}, "mails": 0}
    assert "Allegro at" in web.get(sim.url, timeout=5).text


# ---- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raised", "processed"),
    [
        ("reset", requests.ConnectionError, False),
        ("close", requests.ConnectionError, False),
        ("drop", requests.ConnectionError, True),
        ("reset-after", requests.ConnectionError, True),
        ("cut", requests.exceptions.ChunkedEncodingError, True),
        ("silent", requests.ReadTimeout, False),
        ("timeout", requests.ReadTimeout, False),
        ("silent-after", requests.ReadTimeout, True),
    ],
)
def test_a_broken_connection_says_nothing_about_whether_the_number_stands(sim, allegro, stand, kind, raised, processed):
    sim.fail_next("allegro", kind, match="POST .*shipments")
    with pytest.raises(raised):
        allegro("POST", SHIPMENTS, json=ROW, timeout=0.1)
    assert stand.numbers(ORDER) == ([NUMBER] if processed else [])
    assert allegro("GET", SHIPMENTS).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "start", "processed"),
    [
        ("502", 502, "<!DOCTYPE", False),
        ("503-after", 503, "<!DOCTYPE", True),
        ("429", 429, '{"errors"', False),
        ("401", 401, '{"error"', False),
        ("302", 302, "<!DOCTYPE", False),
        ("html", 200, "<!DOCTYPE", False),
        ("html-after", 200, "<!DOCTYPE", True),
        ("slow", 201, '{"id"', True),
        (Answer.json([]), 200, "[]", False),
    ],
)
def test_a_fault_takes_the_place_of_the_answer_once(sim, allegro, stand, kind, status, start, processed):
    sim.slow_ms = 1
    sim.fail_next("allegro", kind, match="POST .*shipments")
    allegro("GET", SHIPMENTS)
    reply = allegro("POST", SHIPMENTS, json=ROW)
    assert reply.status_code == status
    assert reply.text.startswith(start)
    assert stand.numbers(ORDER) == ([NUMBER] if processed else [])
    assert [bool(request.fault) for request in sim.requests] == [False, True]
    assert allegro("POST", SHIPMENTS, json=ROW).status_code == 201


def test_planned_faults_wait_for_their_turn_and_repeat(sim, allegro):
    sim.fail_next("allegro", "500", times=2, skip=1)
    assert [allegro("GET", "/me").status_code for _ in range(4)] == [200, 500, 500, 200]


def test_the_same_seed_makes_the_same_faults(web):
    def series(seed):
        with Simulator(faults=["502:0.3", "503:0.2"], seed=seed) as sim:
            return [web.get(sim.base_url("allegro") + "/me", timeout=5).status_code for _ in range(40)]

    assert series(1) == series(1) != series(2)
    assert set(series(1)) == {502, 503, 403}


@pytest.mark.parametrize("spec", ["nonsense", "502:2", "502:x", "999"])
def test_an_unknown_fault_or_rate_is_a_usage_error(spec):
    with pytest.raises(UsageError):
        Simulator(faults=[spec])


def test_rates_above_one_together_are_refused():
    with pytest.raises(UsageError, match="more than 1"):
        Simulator(faults=["502:0.6", "reset:0.6"])


def test_a_strict_limit_answers_429_above_n_a_second(sim, allegro, stand):
    stand.retry_after = 7
    sim.strict("allegro", 3, match="GET ")
    replies = [allegro("GET", "/me") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    assert replies[-1].headers["Retry-After"] == "7"
    assert allegro("POST", SHIPMENTS, json=ROW).status_code == 201


def test_a_limit_counts_when_calls_arrived_not_when_they_were_looked_at(monkeypatch):
    """On a busy machine the first may lie there until those after it were answered."""
    monkeypatch.setattr(_faults, "time", SimpleNamespace(monotonic=lambda: 100.0))
    limit = _faults.Limit(2, 1.0, "")
    assert not limit.refuses("GET /", waited=0.0)
    assert not limit.refuses("GET /", waited=0.9)
    assert limit.refuses("GET /", waited=0.5), "with one before it and one after it they are three in a second"
    assert not limit.refuses("GET /", waited=1.5)


def test_a_request_knows_how_long_it_lay_there(sim):
    waited = []
    sim.watch = lambda request: waited.append(request.waited)
    requests.get(f"{sim.url}/erli/x", timeout=5)
    assert 0 <= waited[0] < 5
    assert sys.platform != "linux" or waited[0] > 0


def test_simulate_says_where_to_connect_and_how_and_what_came(web):
    said, listening, stop = [], threading.Event(), threading.Event()

    def say(line):
        said.append(line)
        if line.startswith("    shipfwd integration add sim-woocommerce"):
            listening.set()

    server = threading.Thread(target=serve, args=(0, 0, (), say), kwargs={"watch": True, "stop": stop})
    server.start()
    assert listening.wait(5)
    web.get(said[0].split()[2].strip(";") + "/allegro/me", timeout=5)
    stop.set()
    server.join()
    text = "\n".join(said)
    assert "shipfwd integration add sim-allegro --platform allegro --set base_url=http://127.0.0.1:" in text
    assert "--secret client_secret=env:SIM_ALLEGRO_CLIENT_SECRET" in text
    assert "GET /allegro/me 403" in text
    assert said[-1] == "1 requests, 0 of them made to fail"


# ---- Allegro ------------------------------------------------------------------------------------------------


def test_allegro_keeps_one_row_per_carrier_and_number(allegro, stand):
    first = allegro("POST", SHIPMENTS, json=ROW)
    again = allegro("POST", SHIPMENTS, json=ROW)
    other = allegro("POST", SHIPMENTS, json={**ROW, "carrierId": "OTHER", "carrierName": "Van"})
    assert [reply.status_code for reply in (first, again, other)] == [201] * 3
    assert first.json() == again.json()
    assert base64.b64decode(first.json()["id"]).decode() == f"INPOST:{NUMBER}"
    assert first.headers["Trace-Id"]
    assert stand.numbers(ORDER) == [NUMBER, NUMBER]
    assert stand.doubles() == {ORDER: [NUMBER]}
    rows = allegro("GET", SHIPMENTS).json()["shipments"]
    assert [row["carrierId"] for row in rows] == ["INPOST", "OTHER"]
    assert rows[1]["carrierName"] == "Van"


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({**ROW, "carrierId": None}, (400, "CarrierIdValidationException")),
        ({**ROW, "carrierId": "ALLEGRO"}, (400, "CarrierIdValidationException")),
        ({**ROW, "waybill": ""}, (400, "WaybillValidationException")),
        ({**ROW, "waybill": "1*2"}, (400, "WaybillValidationException")),
        ({**ROW, "waybill": "1,2"}, (400, "WaybillValidationException")),
        ({**ROW, "waybill": "1" * 65}, (400, "WaybillValidationException")),
        ({"carrierId": "DPD", "waybill": "AD0MF49SNM3FVRM8J"}, (400, "CarrierWaybillValidationException")),
        ({**ROW, "lineItems": [{"id": "none"}]}, (422, "LineItemsValidationException")),
        ([], (400, "ERROR")),
    ],
)
def test_allegro_refuses_what_its_validation_refuses(allegro, stand, row, answer):
    assert error(allegro("POST", SHIPMENTS, json=row)) == answer
    assert stand.numbers(ORDER) == []


def test_allegro_refuses_a_number_on_too_many_orders(allegro, stand):
    for place in range(stand.orders_per_waybill):
        stand.add_order(f"other-{place}")
        stand.put(f"other-{place}", "INPOST", NUMBER)
    assert allegro("POST", SHIPMENTS, json=ROW).status_code == 409


def test_allegro_tells_an_orders_state_and_lines(allegro, stand):
    stand.orders[ORDER].more["provider"] = "ALLEGRO"
    form = allegro("GET", f"/order/checkout-forms/{ORDER}").json()
    assert form["status"] == "READY_FOR_PROCESSING"
    assert form["fulfillment"] == {
        "status": "NEW", "shipmentSummary": {"lineItemsSent": "NONE"}, "provider": {"id": "ALLEGRO"},
    }  # fmt: skip
    line = form["lineItems"][1]["id"]
    allegro("POST", SHIPMENTS, json={**ROW, "lineItems": [{"id": line}]})
    form = allegro("GET", f"/order/checkout-forms/{ORDER}").json()
    assert form["fulfillment"]["shipmentSummary"] == {"lineItemsSent": "SOME"}


def test_allegro_does_not_know_foreign_orders(allegro):
    unknown = ORDER.replace("2", "3")
    assert error(allegro("GET", f"/order/checkout-forms/{unknown}")) == (404, "CheckoutFormNotFoundException")
    assert error(allegro("POST", f"/order/checkout-forms/{unknown}/shipments", json=ROW)) == (404, "ERROR")
    assert allegro("GET", "/order/checkout-forms/A-1").status_code == 422


def test_any_uuid_is_an_order_with_auto_orders(sim, allegro, stand):
    stand.auto_orders = True
    new = ORDER.replace("2", "3")
    assert allegro("POST", f"/order/checkout-forms/{new}/shipments", json=ROW).status_code == 201
    assert allegro("GET", "/order/checkout-forms/A-1/shipments").status_code == 404
    assert stand.numbers(new) == [NUMBER]


def test_allegros_seller_status_is_a_call_of_its_own(allegro, stand):
    revision = allegro("GET", f"/order/checkout-forms/{ORDER}").json()["revision"]
    done = allegro("PUT", FULFILLMENT, json={"status": "SENT"}, params={"checkoutForm.revision": revision})
    assert (done.status_code, done.content) == (204, b"")
    assert stand.orders[ORDER].more["fulfillment"] == "SENT"
    stale = allegro("PUT", FULFILLMENT, json={"status": "SENT"}, params={"checkoutForm.revision": revision})
    assert stale.status_code == 409
    assert allegro("PUT", FULFILLMENT, json={"status": "RETURNED"}).status_code == 422
    assert allegro("PUT", FULFILLMENT, json={"status": "GONE"}).status_code == 422
    assert error(allegro("POST", FULFILLMENT, json={})) == (405, "NotAllowedException")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"User-Agent": "python-requests/2.32"}, 403),
        ({"User-Agent": None}, 403),
        ({"User-Agent": "My Shop"}, 403),
        ({"Accept": None}, 403),
        ({"Accept": "application/json"}, 406),
        ({"Content-Type": "application/json"}, 415),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
    ],
)
def test_allegro_insists_on_its_headers(allegro, stand, headers, status):
    # None: the header is left out, or sent empty where urllib3 would fill in its own.
    allegro.web.headers.clear()
    allegro.headers = {key: value for key, value in {**allegro.headers, **headers}.items() if value}
    if headers.get("User-Agent", "") is None:
        allegro.headers["User-Agent"] = ""
    assert allegro("POST", SHIPMENTS, json=ROW).status_code == status
    assert stand.numbers(ORDER) == []


def test_allegro_asks_for_the_scope_of_what_is_done(allegro, stand):
    token = stand.desk.sign_in("1", "allegro:api:orders:read")["access_token"]
    allegro.headers["Authorization"] = f"Bearer {token}"
    assert allegro("GET", SHIPMENTS).status_code == 200
    assert error(allegro("POST", SHIPMENTS, json=ROW)) == (403, "AccessDenied")
    assert error(allegro("GET", "/me")) == (403, "AccessDenied")


def test_allegro_lists_its_carriers_with_a_nameless_other(allegro):
    reply = allegro("GET", "/order/carriers")
    carriers = reply.json()["carriers"]
    assert {"id": "INPOST", "name": "InPost"} in carriers
    assert carriers[-1] == {"id": "OTHER"}
    assert reply.headers["Cache-Control"] == "max-age=3600"
    assert allegro("GET", "/me").json()["id"]


def test_allegros_refresh_token_rotates_and_the_old_one_has_a_minute(sim, web, stand):
    settings, secrets = stand.credentials()
    client = (settings["client_id"], secrets["client_secret"])
    url = settings["auth_url"] + "/auth/oauth/token"

    def refresh(token, auth=client):
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return web.post(url, data=form, auth=auth, timeout=5)

    first = refresh(secrets["refresh_token"]).json()
    assert first["expires_in"] == 43199
    assert first["refresh_token"] != secrets["refresh_token"]
    sim.advance(59)
    assert refresh(secrets["refresh_token"]).status_code == 200
    sim.advance(2)
    late = refresh(secrets["refresh_token"])
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")
    assert refresh(first["refresh_token"]).status_code == 200
    assert refresh(first["refresh_token"], ("x", "y")).json()["error"] == "invalid_client"
    assert (stand.desk.refreshes, stand.desk.refused) == (3, 1)
    assert stand.desk.grant(first["access_token"])
    sim.advance(43199)
    assert stand.desk.grant(first["access_token"]) is None


def test_allegros_device_flow_is_pending_until_the_person_agrees(web, stand):
    settings, secrets = stand.credentials()
    client = (settings["client_id"], secrets["client_secret"])
    device = web.post(
        settings["auth_url"] + "/auth/oauth/device", params={"client_id": client[0]}, auth=client, timeout=5
    ).json()
    asked = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device["device_code"],
    }  # fmt: skip
    token_url = settings["auth_url"] + "/auth/oauth/token"
    polls = [web.post(token_url, params=asked, auth=client, timeout=5) for _ in range(3)]
    assert [poll.status_code for poll in polls] == [400, 400, 200]
    assert polls[0].json()["error"] == "authorization_pending"
    assert stand.desk.grant(polls[2].json()["access_token"]).user == stand.user_id
