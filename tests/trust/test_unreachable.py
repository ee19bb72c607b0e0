"""No name, or a dead proxy, before the look or just before the write: it is tried again, the words say why, all arrives once."""

from __future__ import annotations

import socket
from contextlib import contextmanager

import park
import pytest
from park import PLATFORMS
from test_network import impatient  # noqa: F401  (a fixture)

from shipfwd.http import Talk


@contextmanager
def no_name(monkeypatch):
    def unknown(*args, **more):
        raise socket.gaierror(-2, "Name or service not known")

    with monkeypatch.context() as broken:
        broken.setattr(socket, "getaddrinfo", unknown)
        yield


@contextmanager
def dead_proxy(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with monkeypatch.context() as broken:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            broken.setenv(name, f"http://someone:SECRET-proxy@127.0.0.1:{port}")
        yield


TROUBLES = {
    "a name that cannot be resolved": (no_name, "cannot be resolved; check base_url and the network"),
    "a dead proxy": (dead_proxy, "cannot be reached: the proxy does not answer; check HTTPS_PROXY and NO_PROXY"),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_name_and_a_dead_proxy_are_tried_again_and_lose_nothing(platform, sim, shop, monkeypatch, impatient):  # noqa: F811
    words, env = park.credentials(sim, platform)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    assert shop.run("integration", "add", *words).code == 0
    due = []
    onces = Talk._once
    for trouble, sentence in TROUBLES.values():
        for step in ("look", "write"):
            (one,) = park.dues(platform, len(due) + 1, 1, several=10**9)
            due.append(one)
            shop.run("import", "--no-forward", park.as_file(shop.folder / "due.csv", [one]))

            def once(talk, request, headers, write, *rest, trouble=trouble, step=step, sent=one.number):
                met = write and sent in request.url + request.body.decode() if step == "write" else not write
                if not met:
                    return onces(talk, request, headers, write, *rest)
                talk.channel.close()  # connections that are kept need neither a name nor a proxy
                talk.channel._adapters.clear()
                talk.channel._proxies.clear()
                with trouble(monkeypatch):
                    return onces(talk, request, headers, write, *rest)

            with monkeypatch.context() as broken:
                broken.setattr(Talk, "_once", once)
                said = shop.run("sweep")
            if step == "look" and not any("cannot be" in row["reason"] for row in shop.json("status")):
                assert platform == "amazon" and said.code == 0  # no look where a repeat is harmless; its token is kept
                continue
            row = next(row for row in shop.json("status", "-o", one.order))
            assert (said.code, row["state"]) == (4, "retrying"), f"{step}: {row['reason']} {said.err}"
            assert sentence in row["reason"] and "SECRET" not in row["reason"]
            assert "in doubt" not in row["reason"], "nothing left"
            shop.clock.forward(seconds=1801)
            sim.advance(1801)
            impatient.ahead += 1801
            assert shop.run("sweep").code == 0
    park.judge(sim, shop.json("status", "--all"), due).check()
    assert [sim.platform(platform).numbers(one.order) for one in due] == [[one.number] for one in due]
