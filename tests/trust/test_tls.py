"""Certificates that do not hold: nothing is sent, nothing is written, and the sentence says why."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import park
import pytest
import trustme
from park import PLATFORMS

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


def certificate(kind):
    if kind == "expired":
        now = datetime.now(UTC)
        return AUTHORITY.issue_cert("127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2))
    if kind == "of another host":
        return AUTHORITY.issue_cert("shop.example")
    return (STRANGER if kind == "of an unknown authority" else AUTHORITY).issue_cert("127.0.0.1")


@contextmanager
def behind_tls(sim, kind):
    """A TLS door in front of the stand-ins; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(kind).configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    threads, socks, closing = [], [], threading.Event()

    def pump(source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def serve(raw):
        try:
            secure = context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()
            return
        inner = socket.create_connection(("127.0.0.1", sim.port))
        socks.extend([secure, inner])
        back = threading.Thread(target=pump, args=(inner, secure))
        back.start()
        pump(secure, inner)
        back.join()

    def accept():
        while not closing.is_set():
            raw, _ = listener.accept()
            if closing.is_set():
                raw.close()
                return
            threads.append(threading.Thread(target=serve, args=(raw,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        socket.create_connection(listener.getsockname()).close()
        acceptor.join()
        for sock in socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for sock in (*socks, listener):
            sock.close()


def send_through(url, platform, sim, shop, monkeypatch):
    bundle = shop.folder / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    stand = sim.platform(platform)
    words, env = park.credentials(sim, platform)
    stand.base_url = stand.base_url.replace(sim.url, url)  # an address may be part of a signature
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    assert shop.run("integration", "add", *(word.replace(sim.url, url) for word in words)).code == 0
    (one,) = park.dues(platform, 1, 1, several=10**9)
    return one, shop.run("add", one.order, one.number, "-i", platform, "--carrier", park.carrier(platform))


@pytest.mark.parametrize("kind", ["expired", "of another host", "of an unknown authority"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_certificate_that_does_not_hold_sends_nothing(platform, kind, sim, shop, monkeypatch):
    with behind_tls(sim, kind) as url:
        _, said = send_through(url, platform, sim, shop, monkeypatch)
    assert said.code == 3
    assert "certificate" in said.err and "cannot be trusted" in said.err
    assert sim.requests == []
    assert [row["state"] for row in shop.json("status")] == ["pending"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_certificate_that_holds_lets_the_number_through(platform, sim, shop, monkeypatch):
    with behind_tls(sim, "good") as url:
        one, said = send_through(url, platform, sim, shop, monkeypatch)
    assert said.code == 0, said
    assert sim.platform(platform).numbers(one.order) == [one.number]
