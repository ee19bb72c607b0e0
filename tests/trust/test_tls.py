"""Certificates that do not hold: nothing is sent, nothing is written, and the sentence says why."""

from __future__ import annotations

import select
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


def relay(one, other):
    """One thread both ways: a TLS object of this Python is not for two at once."""
    with suppress(OSError):
        while True:
            ready = (
                [one] if isinstance(one, ssl.SSLSocket) and one.pending() else select.select([one, other], [], [])[0]
            )
            for source in ready:
                if not (data := source.recv(65536)):
                    return
                (other if source is one else one).sendall(data)


def end(sock):
    """Not SSLSocket.shutdown: it takes the TLS object away from a thread that may be reading with it, which crashes."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


@contextmanager
def door(receive):
    """Something in front of the stand-ins: `receive` makes of a caller's socket the two that belong together."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads, socks, closing = [], [], threading.Event()

    def serve(raw):
        try:
            outer, inner = receive(raw)
        except OSError:
            raw.close()
            return
        socks.extend([outer, inner])
        relay(outer, inner)
        end(outer)
        end(inner)

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
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        socket.create_connection(listener.getsockname()).close()
        acceptor.join()
        for sock in socks:
            end(sock)
        for thread in threads:
            thread.join()
        for sock in (*socks, listener):
            sock.close()


@contextmanager
def behind_tls(sim, kind):
    """A TLS door in front of the stand-ins; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(kind).configure_cert(context)

    def receive(raw):
        return context.wrap_socket(raw, server_side=True), socket.create_connection(("127.0.0.1", sim.port))

    with door(receive) as address:
        yield f"https://{address}"


@contextmanager
def through_a_proxy(monkeypatch):
    """The proxy of a shop's network, for https; yields the hosts that it was asked for."""
    asked = []

    def receive(raw):
        head = raw.recv(65536).decode()
        asked.append(head.split()[1])
        host, port = asked[-1].split(":")
        inner = socket.create_connection((host, int(port)))
        raw.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return raw, inner

    with door(receive) as address:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
        yield asked


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


def test_a_proxy_leads_to_a_host_whose_certificate_our_bundle_trusts(sim, shop, monkeypatch):
    with behind_tls(sim, "good") as url, through_a_proxy(monkeypatch) as asked:
        one, said = send_through(url, "erli", sim, shop, monkeypatch)
    assert said.code == 0, said
    assert set(asked) == {url.removeprefix("https://")}
    assert sim.platform("erli").numbers(one.order) == [one.number]
