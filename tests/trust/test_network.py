"""Every platform under every fault of the network: nothing is lost, nothing is written twice, no tick is untrue."""

from __future__ import annotations

import gzip
import json
import time
from datetime import timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from urllib.parse import unquote

import park
import pytest
from park import LONG, PLATFORMS

from shipfwd.runs import Run
from shipfwd.simulator._faults import Fault, parse_kind
from shipfwd.simulator._http import Answer, Connection
from shipfwd.simulator.server import Simulator


def said(answer, after=False):
    return Fault("answer", after, answer)


def bomb():
    """1 GB of zeros would be 1 MB; a tenth of that does."""
    return Answer(
        200, gzip.compress(bytes(100 << 20)), {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )


def answers():
    """Answers that are not the promised document, by name."""
    yield "429, Retry-After in seconds", Answer(429, b"{}", {"Retry-After": "30"})
    yield "429, Retry-After nonsense", Answer(429, b"{}", {"Retry-After": "soon"})
    for text in (
        "{}",
        "[]",
        "null",
        '"text"',
        "7",
        '{"data": null}',
        "[[]]",
        "[null]",
        '{"id": {"a": 1}, "shipments": 3}',
    ):
        yield f"200 {text}", Answer.json(json.loads(text))
    yield "200, 10 MB", Answer.json("x" * (10 << 20))
    yield "200, a gzip bomb", bomb()
    yield "200, broken gzip", Answer(200, b"no gzip at all", {"Content-Encoding": "gzip"})
    yield "200, JSON 100,000 deep", Answer(200, b"[" * 100_000, {"Content-Type": "application/json"})
    yield "200, empty", Answer(200)


def faults():
    found = {"refused": None, "drips": Fault("slow")} | {f"another type {n}": Fault("slow") for n in range(6)}
    kinds = ["reset", "close", "reset-after", "close-after", "cut", "silent", "silent-after", "html", "html-after",
             "429",
             *(f"{status}{after}" for status in (500, 502, 503, 504) for after in ("", "-after"))]  # fmt: skip
    found |= {kind: parse_kind(kind) for kind in kinds}
    for name, answer in answers():
        found[name] = said(answer)
        if name.startswith("200"):
            found[f"{name}, after"] = said(answer, True)
    found["redirect"] = found["redirect, after"] = found["429, Retry-After a date"] = None
    return found


FAULTS = faults()
NO_LOGIN = r"^\S+ (?!.*token)"  # a login that is renewed meanwhile is another story


class Ticks:
    """The machine's own clock, for pauses and pushed rates: a pause moves it."""

    def __init__(self, monkeypatch):
        self.ahead, self.twist = 0.0, None
        waits, ticks = Run.wait, self

        def wait(run, seconds):
            waits(run, 0)
            ticks.ahead += seconds

        monkeypatch.setattr(Run, "wait", wait)
        monkeypatch.setattr("shipfwd.pacing.time", SimpleNamespace(monotonic=lambda: time.monotonic() + self.ahead))


@pytest.fixture
def impatient(monkeypatch):
    """Time limits that a test can wait for."""
    monkeypatch.setattr("shipfwd.http.READ_SECONDS", 0.25)
    monkeypatch.setattr("shipfwd.connections.LIFE_SECONDS", 0.5)
    quick = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
    monkeypatch.setattr("shipfwd.connections.time", quick)
    park.hurry(monkeypatch)
    writes = Connection.write

    def drip(connection, request, answer, *rest):
        if request.fault != "slow":
            writes(connection, request, answer, *rest)
            return
        if ticks.twist:
            writes(connection, request, ticks.twist(answer), *rest)
            return
        whole = []
        connection_like = SimpleNamespace(sock=SimpleNamespace(sendall=whole.append, send=whole.append))
        writes(connection_like, request, answer, *rest)
        for at in range(len(raw := b"".join(whole))):
            connection.sock.sendall(raw[at : at + 1])
            time.sleep(0.01)

    ticks = Ticks(monkeypatch)
    monkeypatch.setattr(Connection, "write", drip)
    return ticks


def twisted(answer, chance):
    """The vendor's own answer with one value of another type."""
    try:
        data = json.loads(answer.body)
    except ValueError:
        return answer
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(top := [data])
    node, key = chance.choice(places)
    node[key] = chance.choice([other for other in (None, 7, "text", [], {}, [7], {"a": 1}, True) if other != node[key]])
    return Answer(answer.status, json.dumps(top[0]).encode(), answer.headers)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_fault_of_the_network_loses_or_doubles_a_number(platform, sim, shop, monkeypatch, impatient):
    sim.slow_ms = 0
    chance = park.chance(f"network {platform}")
    words, env = park.credentials(sim, platform)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    assert shop.run("integration", "add", *words).code == 0
    assert shop.run("config", "set", "concurrency", "1").code == 0
    due, trouble, persons = [], [], {}

    def pass_time(seconds):
        shop.clock.forward(seconds=seconds)
        sim.advance(seconds)
        impatient.ahead += seconds

    with Simulator(auto_orders=True) as elsewhere:

        def send(n, name="", fault=None, skip=0):
            (one,) = park.dues(platform, n, 1, several=10**9)
            due.append(one)
            shop.run("import", "--no-forward", park.as_file(shop.folder / "due.csv", [one]))
            if name == "refused":
                sim.stop()
            elif name.startswith("redirect"):
                fault = said(Answer.redirect(elsewhere.base_url(platform)), name.endswith("after"))
            elif name.endswith("a date"):
                date = format_datetime(shop.clock() + timedelta(seconds=30), usegmt=True)
                fault = said(Answer(429, b"{}", {"Retry-After": date}))
            impatient.twist = (lambda answer: twisted(answer, chance)) if name.startswith("another") else None
            if fault:
                sim._faults.plan(platform, fault, 1, NO_LOGIN, skip)
            done = shop.run("sweep")
            if name == "refused":
                sim.start()
            sim.clear_faults()
            return one, done

        send(1)  # tokens and carrier lists are there from now on
        sim.clear_requests()
        one, _ = send(2)
        calls = [f"{call.method} {unquote(call.target)} {call.body.decode()}" for call in sim.requests]
        write = next(at for at, call in enumerate(calls) if one.number in call and not call.startswith("GET"))
        places = range(len(calls)) if LONG else (0, write)
        cases = [(name, skip) for name in FAULTS for skip in places]
        if not LONG:
            few = [*chance.sample(list(FAULTS), 6), *(f"another type {n}" for n in range(2))]
            cases = [(name, write) for name in few] + [(name, 0) for name in few[5:]]
        for n, (name, skip) in enumerate(cases, 3):
            one, done = send(n, name, FAULTS[name], skip)
            where = f"{name} at {calls[skip][:60]}"
            if done.code == 70:
                trouble.append(f"{where}: exit {done.code}: {done.err[-600:]}")
            row = next(row for row in shop.json("status", "-o", one.order))
            if row["confirmed_at"] and one.number not in sim.platform(platform).numbers(one.order):
                trouble.append(f"{where}: confirmed, and not there")
            for _ in range(2):
                pass_time(1801)
                done = shop.run("sweep")
                if done.code == 70:
                    trouble.append(f"after {where}: {done.err[-600:]}")
            row = next(row for row in shop.json("status", "-o", one.order))
            if row["state"] != "forwarded":
                persons.setdefault(row["state"], []).append(f"{where}: {row['reason']}")
        rows = shop.json("status", "--all")
        first = park.judge(sim, rows, due)
        for _ in range(4):  # a person mends them; a limit of the platform may want a second time
            shop.run("forward", "--failed")
            pass_time(1801)
            shop.run("sweep")
        verdict = park.judge(sim, shop.json("status", "--all"), due)
        assert elsewhere.requests == []
    park.figure(
        "faults of the network",
        first,
        platforms=platform,
        faults=len(cases),
        shipments=len(due),
    )
    assert not trouble, "\n".join(trouble)
    first.check()
    verdict.check()
    assert set(persons) <= {"failed", "blocked"}, json.dumps(persons, indent=1)
    assert not verdict.unsettled, json.dumps(verdict.unsettled, indent=1)
    assert park.incomplete_journal(shop.db) == []
