"""The wire: what every fault of the network means, on real sockets; and what never leaves."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import stat
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from support import NOON, Clock

from shipfwd import connections, errors, http
from shipfwd.answers import retry_after
from shipfwd.http import Channel, Network, Talk, WouldSend
from shipfwd.models import Rate, Reply, Request
from shipfwd.redactor import Redactor

SECRET = "SECRET-wire-token"
KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGZ3nid6IQH14xZU4ivZNyqGHmsLPMkZ1J9XWribCgU1oAoGCCqGSM49
AwEHoUQDQgAEy9ZS2DGiGmqDW3Y5Ea9FpsMtIr1yGNadrzTdxuNkG530ajAXTDJv
ZHGxMQPkGSu0cV7YQm/tH0LxWXp/nyafbw==
-----END EC PRIVATE KEY-----
"""  # of nobody; made for these tests
CERTIFICATES = {
    "good": """\
-----BEGIN CERTIFICATE-----
MIIBZTCCAQqgAwIBAgIBBzAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1zaGlwZndk
IHRlc3RzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1zaGlwZndkIHRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEy9ZS
2DGiGmqDW3Y5Ea9FpsMtIr1yGNadrzTdxuNkG530ajAXTDJvZHGxMQPkGSu0cV7Y
Qm/tH0LxWXp/nyafb6NDMEEwDwYDVR0RBAgwBocEfwAAATAPBgNVHRMBAf8EBTAD
AQH/MB0GA1UdDgQWBBTKYMEq6VsV1x0yXXX03XxFXsLPzjAKBggqhkjOPQQDAgNJ
ADBGAiEA+mejhPtxAmT60EhqP5jQJ/DU6PAOMi/BVuTFslAqDp4CIQDSwwmx6kz+
bvJWvQJoWjSBZna3aKgBRzujh3JDqPSaWA==
-----END CERTIFICATE-----
""",
    "wrong host": """\
-----BEGIN CERTIFICATE-----
MIIBajCCARCgAwIBAgIBBzAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1zaGlwZndk
IHRlc3RzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1zaGlwZndkIHRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEy9ZS
2DGiGmqDW3Y5Ea9FpsMtIr1yGNadrzTdxuNkG530ajAXTDJvZHGxMQPkGSu0cV7Y
Qm/tH0LxWXp/nyafb6NJMEcwFQYDVR0RBA4wDIIKd3JvbmcudGVzdDAPBgNVHRMB
Af8EBTADAQH/MB0GA1UdDgQWBBTKYMEq6VsV1x0yXXX03XxFXsLPzjAKBggqhkjO
PQQDAgNIADBFAiEAiRVsjLs6s0gM2V/dTGYi+W10CIdmfEAmptG3IhhGMB4CIHZ5
3VYgwUsahn3zWL0pC5fT9Qq1uNWYXDait44raKii
-----END CERTIFICATE-----
""",
    "expired": """\
-----BEGIN CERTIFICATE-----
MIIBYTCCAQigAwIBAgIBBzAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1zaGlwZndk
IHRlc3RzMB4XDTEwMDEwMTAwMDAwMFoXDTExMDEwMTAwMDAwMFowGDEWMBQGA1UE
AwwNc2hpcGZ3ZCB0ZXN0czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMvWUtgx
ohpqg1t2ORGvRabDLSK9chjWna803cbjZBud9GowF0wyb2RxsTED5BkrtHFe2EJv
7R9C8Vl6f58mn2+jQzBBMA8GA1UdEQQIMAaHBH8AAAEwDwYDVR0TAQH/BAUwAwEB
/zAdBgNVHQ4EFgQUymDBKulbFdcdMl119N18RV7Cz84wCgYIKoZIzj0EAwIDRwAw
RAIgD6LC/ee7+hTV0Pj3fohzxwREjcpCofrWyQKcQ8Oq3YACIFR0etBd7YUEx6i3
fNA9TdiPSWs03DAf0NCqqEBl3kuz
-----END CERTIFICATE-----
""",
}


def answer(status: int = 200, body: bytes | str = b"{}", **headers: str) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} Some Reason", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


class Server:
    """Answers each request with the next of `answers` (bytes, or a function); the last one again and again."""

    def __init__(self, *answers: Any, tls: ssl.SSLContext | None = None, greet: bytes = b"") -> None:
        self.answers, self.tls, self.greet = list(answers), tls, greet
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(sock)
            sock.sendall(self.greet)
            while data := read_request(sock):
                self.asked.append(data)
                what = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(what):
                    what(sock)
                else:
                    sock.sendall(what)
        except OSError:
            pass
        finally:
            sock.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        self._thread.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*answers: Any, **more: Any) -> Server:
        made.append(Server(*answers, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Line:
    """A channel with a clock that stands and pauses that are only noted."""

    def __init__(self, folder, dry_run: bool = False, rates: tuple[Rate, ...] = ()) -> None:
        self.clock, self.slept = Clock(), []
        self.redactor = Redactor()
        self.redactor.add(SECRET)
        self.trace = folder / "trace.jsonl"
        self.network = Network(self.redactor, self.clock, self.slept.append, folder, dry_run, self.trace)
        self.channel = Channel(self.network, rates, "key")
        self.left: list[str] = []
        self.talk = Talk(self.channel, lambda exchange: self.left.append(exchange.url))

    def send(self, url: str, method: str = "GET", body: bytes = b"", write: bool | None = None, **more: Any) -> Reply:
        writes = method != "GET" if write is None else write
        given: dict[str, Any] = {
            "write": writes,
            "repeatable": not writes,
            "operation": "",
            "expect": "json",
            "accept": (),
            "explain": lambda reply: None,
            "sign": lambda request, now: {"X-Signature": "SECRET-signature"},
            **more,
        }
        headers = {"Authorization": f"Bearer {SECRET}", "Accept": "application/json"}
        return self.talk.send(Request(method, url, headers, body), **given)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.trace.read_text().splitlines()]

    def close(self) -> None:
        self.channel.close()
        self.network.close()


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(http, "random", SimpleNamespace(uniform=lambda low, high: low))


@pytest.fixture
def line(tmp_path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


# ---- what goes wrong on the way -----------------------------------------------------------------------------


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def hang_up(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def silent(sock: socket.socket) -> None:
    read_request(sock)


def half(sock: socket.socket) -> None:
    sock.sendall(answer(200, b'{"id": "12345678"}')[:-9])
    hang_up(sock)


def garbage(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    hang_up(sock)


BROKEN = {
    "reset": reset, "hung up": hang_up, "silent": silent, "half an answer": half, "no HTTP": garbage,
    "a page": answer(200, "<html>maintenance</html>", Content_Type="text/html"), "nothing": answer(200, b""),
    "cut JSON": answer(200, b'{"id": '), "500": answer(500), "502": answer(502, "<html>"), "503": answer(503),
    "408": answer(408),
    "too long": answer(200, b'{"x": "' + b"y" * (http.MAX_ANSWER + 10) + b'"}'),
    "deep JSON": answer(200, b"[" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_read_that_fails_is_tried_three_times_and_is_unavailable(serve, line, name, monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.2 if name == "silent" else 20)
    server = serve(BROKEN[name])
    with pytest.raises(errors.Unavailable) as caught:
        line.send(server.url)
    assert len(server.asked) == 3
    assert len(line.slept) == 2
    assert "127.0.0.1" in str(caught.value)
    assert line.left == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_write_whose_answer_is_lost_leaves_once_and_is_in_doubt(serve, line, name, monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.2 if name == "silent" else 20)
    server = serve(BROKEN[name])
    with pytest.raises(errors.OutcomeUnknown):
        line.send(server.url, "POST", b"{}")
    assert len(server.asked) == 1
    assert len(line.left) == 1
    assert line.slept == []


@pytest.mark.parametrize("name", ["reset", "503", "half an answer"])
def test_a_harmless_write_is_repeated(serve, line, name):
    server = serve(BROKEN[name], answer(200, b'{"id": 1}'))
    assert line.send(server.url, "PUT", b"{}", repeatable=True).data == {"id": 1}
    assert len(server.asked) == 2


@pytest.mark.parametrize("name", ["reset", "503", "half an answer"])
def test_a_harmless_write_whose_answers_were_all_lost_may_have_arrived(serve, line, name):
    server = serve(*[BROKEN[name]] * 3)
    with pytest.raises(errors.AnswerLost):
        line.send(server.url, "PUT", b"{}", repeatable=True)
    assert len(server.asked) == 3


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unreachable_host_got_nothing_so_it_is_tried_again(line, method, scheme):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(errors.Unavailable, match=f"127.0.0.1:{port} cannot be reached: connection refused") as met:
        line.send(f"{scheme}://127.0.0.1:{port}", method, repeatable=True)
    assert not isinstance(met.value, errors.AnswerLost)
    assert len(line.talk.exchanges) == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_that_does_not_resolve_got_nothing(line, method, monkeypatch):
    def unknown(*args, **more):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(errors.Unavailable, match="shop.invalid cannot be resolved; check base_url"):
        line.send("https://shop.invalid/x", method)


STATUSES = [
    (400, errors.Rejected), (404, errors.Rejected), (409, errors.Rejected), (422, errors.Rejected),
    (401, errors.AuthFailed), (403, errors.AuthFailed), (301, errors.ConfigError), (302, errors.ConfigError),
    (307, errors.ConfigError), (308, errors.ConfigError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), STATUSES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_status_means_is_not_tried_again(serve, line, status, kind, method):
    server = serve(
        answer(status, b'{"message": "so it is"}', Location="http://elsewhere.test/x?token=SECRET-in-location")
    )
    with pytest.raises(kind) as caught:
        line.send(server.url, method)
    assert type(caught.value) is kind
    assert len(server.asked) == 1
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_is_never_followed_and_no_credentials_reach_the_other_host(serve, line, status, method):
    other = serve(answer(200))
    server = serve(answer(status, b"", Location=f"{other.url}/login"))
    with pytest.raises(errors.ConfigError, match="redirects to .*login; set base_url"):
        line.send(server.url, method)
    assert other.asked == []


def test_accepted_statuses_and_the_platforms_own_words_come_first(serve, line):
    server = serve(answer(404, b'{"code": "gone"}'))
    assert line.send(server.url, accept=(404,)).status == 404
    with pytest.raises(errors.NotOurs):
        line.send(server.url, explain=lambda reply: errors.NotOurs("ours") if reply.data["code"] == "gone" else None)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_platforms_own_unavailable_is_doubt_for_a_write(serve, line, method):
    server = serve(answer(200, b'{"code": "later"}'))
    with pytest.raises(errors.OutcomeUnknown if method == "POST" else errors.Unavailable):
        line.send(server.url, method, explain=lambda reply: errors.Unavailable("they say later"))


# ---- pauses that were asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-5", 0.0), (" 12 ", 12.0), ("1.5", 1.5), ("soon", None), ("", None),
     (format_datetime(datetime(2026, 11, 23, 12, 1, tzinfo=UTC), usegmt=True), 60.0),
     (format_datetime(datetime(2026, 11, 23, 11, 0, tzinfo=UTC), usegmt=True), 0.0),
     ("Mon, 23 Nov 2026 12:01:00", None), ("nan", 0.0), ("Wed, 99 Foo 2026 99:99:99 GMT", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(given, seconds):
    assert retry_after({"Retry-After": given}, NOON) == seconds


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_short_pause_is_waited_for_within_the_run_writes_too(serve, line, method):
    server = serve(answer(429, Retry_After="7"), answer(200, b'{"id": 1}'))
    assert line.send(server.url, method, b"{}").data == {"id": 1}
    assert any(6 < pause <= 7 for pause in line.slept), line.slept
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "given", ["21", "3600", format_datetime(datetime(2026, 11, 23, 13, 0, tzinfo=UTC), usegmt=True)]
)
def test_a_long_pause_is_left_to_a_later_run_and_holds_everybody(serve, line, given):
    server = serve(answer(429, Retry_After=given))
    with pytest.raises(errors.Throttled) as caught:
        line.send(server.url, "POST")
    assert caught.value.after in (21.0, 3600.0)
    with pytest.raises(errors.Throttled, match="asked for a pause"):
        line.send(server.url)
    assert len(server.asked) == 1


def test_a_503_with_a_long_pause_is_not_tried_again_now(serve, line):
    server = serve(answer(503, Retry_After="60"))
    with pytest.raises(errors.Unavailable) as caught:
        line.send(server.url)
    assert caught.value.after == 60
    assert len(server.asked) == 1


def test_a_429_without_a_word_doubles_its_pause(serve, line):
    server = serve(answer(429))
    with pytest.raises(errors.Throttled):
        line.send(server.url)
    assert len(server.asked) == 3
    assert line.channel.strikes == 3
    pushed = line.channel.pacer._paces[0].pushed()
    assert 3.5 < pushed <= 4


# ---- time and size ------------------------------------------------------------------------------------------


def drip(head: bytes, gap: float = 0.01):
    def dripping(sock: socket.socket) -> None:
        sock.sendall(head)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            sock.sendall(b" ")
            time.sleep(gap)

    return dripping


DRIPS = {
    "a long body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
    "a body until the end": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{",
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", DRIPS)
def test_an_answer_that_drips_ends_with_the_life_of_its_request(serve, line, name, tls, monkeypatch, tmp_path):
    monkeypatch.setattr(connections, "LIFE_SECONDS", 0.15)
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.05)
    context = certified(tmp_path, "good", monkeypatch) if tls else None
    server = serve(drip(DRIPS[name]), tls=context)
    begun = time.monotonic()
    with pytest.raises(errors.OutcomeUnknown):
        line.send(server.url, "POST")
    assert 0.1 < time.monotonic() - begun < 3


def test_an_answer_that_drips_through_a_proxy_ends_too(serve, line, monkeypatch):
    monkeypatch.setattr(connections, "LIFE_SECONDS", 0.15)
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.05)
    proxy = serve(drip(DRIPS["headers"]))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with pytest.raises(errors.OutcomeUnknown):
        line.send("http://shop.test/orders", "POST")
    assert proxy.asked[0].startswith(b"POST http://shop.test/orders ")


def test_a_proxy_that_drips_before_the_tunnel_stands_ends_too_and_nothing_has_left(serve, line, monkeypatch):
    monkeypatch.setattr(connections, "LIFE_SECONDS", 0.15)
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.05)
    monkeypatch.setenv("HTTPS_PROXY", serve(drip(DRIPS["headers"])).url)
    with pytest.raises(errors.Unavailable, match="cannot be reached"):
        line.send("https://shop.test/orders", "POST")


def test_the_watch_leaves_quick_requests_alone(serve, line, monkeypatch):
    monkeypatch.setattr(connections, "LIFE_SECONDS", 0.1)
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.02)
    server = serve(answer(200, b'{"id": 1}'))
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        assert line.send(server.url).data == {"id": 1}
        time.sleep(0.03)


def test_a_gzip_bomb_is_bounded(serve, line):
    bomb = gzip.compress(b"0" * (24 * 2**20), 1)
    assert len(bomb) < 2**18
    server = serve(answer(200, bomb, Content_Encoding="gzip"))
    tracemalloc.start()
    try:
        with pytest.raises(errors.OutcomeUnknown, match="more than 8 MB"):
            line.send(server.url, "POST")
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_a_compressed_answer_is_read(serve, line):
    server = serve(answer(200, gzip.compress(b'{"id": 1}'), Content_Encoding="gzip"))
    assert line.send(server.url).data == {"id": 1}


def test_connections_are_kept_alive(serve, line):
    ports = set()
    server = serve(lambda sock: (ports.add(sock.getpeername()[1]), sock.sendall(answer(200)))[1])
    for _ in range(4):
        line.send(server.url)
    assert len(ports) == 1


# ---- TLS ----------------------------------------------------------------------------------------------------


def certified(folder, name: str, monkeypatch, trusted: str = "") -> ssl.SSLContext:
    """The server's side; ours trusts the certificate `trusted` (default: the same)."""
    (folder / "server.pem").write_text(KEY + CERTIFICATES[name])
    (folder / "trusted.pem").write_text(CERTIFICATES[trusted or name])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "trusted.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_a_trusted_certificate_is_good(serve, line, tmp_path, monkeypatch):
    server = serve(answer(200, b'{"id": 1}'), tls=certified(tmp_path, "good", monkeypatch))
    assert line.send(server.url).data == {"id": 1}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["expired", "wrong host", "unknown"])
def test_a_certificate_that_cannot_be_trusted_stops_everything(serve, line, name, method, tmp_path, monkeypatch):
    if name == "unknown":
        context = certified(tmp_path, "good", monkeypatch)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    else:
        context = certified(tmp_path, name, monkeypatch)
    server = serve(answer(200), tls=context)
    with pytest.raises(errors.ConfigError, match="cannot be trusted .*; nothing was sent"):
        line.send(server.url, method)
    assert server.asked == []


@pytest.mark.parametrize("end", [reset, hang_up])
def test_a_write_that_a_proxy_passed_on_and_whose_answer_is_lost_is_sent_once(serve, line, end, tmp_path, monkeypatch):
    """urllib3 calls it a ProxyError, like that of a proxy which nothing reached: it was sent three times."""
    context, passed = certified(tmp_path, "good", monkeypatch), []

    def tunnel(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = context.wrap_socket(sock, server_side=True)
        passed.append(read_request(inner))
        end(inner)

    monkeypatch.setenv("HTTPS_PROXY", serve(tunnel).url)
    with pytest.raises(errors.OutcomeUnknown):
        line.send("https://127.0.0.1:1/orders", "POST")
    assert len(passed) == 1


@pytest.mark.parametrize(
    ("answered", "error", "said"),
    [
        (answer(407), errors.ConfigError, "asks for a login"),
        (answer(503), errors.Unavailable, "the proxy answered 503"),
        (hang_up, errors.Unavailable, "cannot be reached"),
        (garbage, errors.Unavailable, "cannot be reached"),
    ],
)
def test_a_proxy_that_opens_no_way_got_no_write(serve, line, answered, error, said, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", serve(answered).url)
    with pytest.raises(error, match=said):
        line.send("https://shop.test/orders", "POST")


@pytest.mark.parametrize(
    ("proxy", "error", "said"),
    [
        ("socks5://u:p@127.0.0.1:1", errors.ConfigError, "the proxy in .* needs the package PySocks"),
        ("ftp://127.0.0.1:1", errors.ConfigError, "the proxy in HTTPS_PROXY or ALL_PROXY cannot be used"),
        ("http://127.0.0.1:99999", errors.ConfigError, "the proxy in HTTPS_PROXY or ALL_PROXY cannot be used"),
        ("http://proxy.invalid:1", errors.Unavailable, "the name of the proxy cannot be resolved"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_what_the_sentence_names(line, proxy, error, said, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(error, match=said):
        line.send("https://shop.test/orders", "POST")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_host_that_speaks_no_tls_got_nothing(serve, line, method):
    server = serve(answer(400), greet=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(errors.Unavailable, match="secure connection"):
        line.send(server.url.replace("http:", "https:"), method, b"{}")
    assert all(b"SECRET" not in one for one in server.asked)


def test_a_bundle_that_cannot_be_read_is_named(line, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "no.pem"))
    with pytest.raises(errors.ConfigError, match=r"cannot read the certificates in .*no\.pem"):
        line.send("https://127.0.0.1:1/")


# ---- what leaves, and what is kept of it --------------------------------------------------------------------


def test_the_trace_tells_all_and_no_secret(serve, line):
    server = serve(
        answer(200, json.dumps({"access_token": "SECRET-fresh", "echo": SECRET}), Set_Cookie="id=SECRET-cookie"),
        hang_up,
    )
    line.send(server.url + f"/orders/1?consumer_secret={SECRET}&page=2")
    with pytest.raises(errors.OutcomeUnknown):
        line.send(server.url + "/orders/1", "POST", json.dumps({"number": "62", "api_key": "SECRET-body"}).encode())
    text = line.trace.read_text()
    assert "SECRET" not in text
    read, write = line.lines()
    assert (read["method"], read["path"], read["status"], read["query"]) == (
        "GET", "/orders/1", 200, "consumer_secret=***&page=2",
    )  # fmt: skip
    assert read["headers"]["Authorization"] == "Bearer ***"
    assert read["headers"]["X-Signature"] == "***"
    assert write["sent"]["number"] == "62"
    assert (write["status"], "broke off" in write["note"]) == (None, True)
    assert stat.S_IMODE(line.trace.stat().st_mode) == 0o600
    assert all("SECRET" not in str(one) for one in line.talk.exchanges)


def test_a_trace_that_was_there_is_added_to_and_made_private(tmp_path):
    (tmp_path / "trace.jsonl").write_text('{"old": 1}\n')
    (tmp_path / "trace.jsonl").chmod(0o644)
    made = Line(tmp_path)
    made.close()
    assert stat.S_IMODE(made.trace.stat().st_mode) == 0o600
    assert made.lines() == [{"old": 1}]


def test_a_trace_that_cannot_be_written_is_3(tmp_path):
    with pytest.raises(errors.ConfigError, match="cannot write .*: there is no folder"):
        Network(Redactor(), Clock(), trace=tmp_path / "nowhere" / "t.jsonl")


def test_an_error_that_holds_a_secret_is_redacted(serve, line):
    server = serve(answer(400, json.dumps({"message": f"bad token {SECRET}"})))
    with pytest.raises(errors.Rejected) as caught:
        line.send(server.url)
    assert "bad token ***" in str(caught.value)


def test_a_dry_run_lets_reads_out_and_stops_the_first_write(serve, tmp_path):
    dry = Line(tmp_path, dry_run=True)
    server = serve(answer(200, b'{"id": 1}'))
    assert dry.send(server.url).data == {"id": 1}
    assert dry.send(server.url, "POST", write=False).data == {"id": 1}, "a token request is no write"
    with pytest.raises(WouldSend) as caught:
        dry.send(server.url, "PUT", b'{"number": "62"}')
    assert caught.value.request.body == b'{"number": "62"}'
    assert caught.value.request.headers["X-Signature"]
    with pytest.raises(WouldSend):
        dry.send(server.url, write=True)
    assert len(server.asked) == 2
    assert dry.left == []
    dry.close()


def test_every_write_is_recorded_just_before_it_leaves(serve, line):
    asked_at_record: list[int] = []
    server = serve(answer(200))
    line.talk.intent = lambda exchange: asked_at_record.append(len(server.asked))
    line.send(server.url, "POST")
    line.clock.forward(seconds=5)
    line.send(server.url, "POST")
    line.send(server.url)
    assert asked_at_record == [0, 1]


def test_a_record_that_cannot_be_made_keeps_the_write_from_leaving(serve, line):
    def full(exchange):
        raise errors.StoreFailed("the disk is full")

    server = serve(answer(200))
    line.talk.intent = full
    with pytest.raises(errors.StoreFailed):
        line.send(server.url, "POST")
    assert server.asked == []


def test_a_write_that_waited_for_its_turn_is_recorded_when_it_leaves(serve, tmp_path):
    """The time of doubt counts from the record: it must not begin while the write still waits for its slot."""
    slow = Line(tmp_path, rates=(Rate(1, 10),))
    server = serve(answer(200))
    records: list[datetime] = []
    slow.talk.intent = lambda exchange: records.append(exchange.at)
    slow.network.sleep = slow.channel.pacer._sleep = lambda seconds: slow.clock.forward(seconds=seconds)
    slow.send(server.url)
    slow.send(server.url, "POST")
    assert (records[-1] - NOON).total_seconds() > 9
    slow.close()


def test_each_attempt_is_signed_anew_and_says_who_we_are(serve, line):
    server = serve(answer(503), answer(200))
    times: list[datetime] = []

    def sign(request, now):
        times.append(line.clock.forward(seconds=1))
        return {"X-Time": now.isoformat()}

    line.send(server.url, sign=sign)
    assert len(times) == 2
    assert server.asked[0] != server.asked[1]
    assert b"User-Agent: shipfwd/" in server.asked[0]


def test_no_password_file_is_read_and_no_cookie_kept(serve, line, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login SECRET-user password SECRET-netrc\n")
    server = serve(answer(200, b"{}", Set_Cookie="id=1"))
    line.send(server.url)
    line.send(server.url)
    assert b"Basic" not in b"".join(server.asked)
    assert b"Cookie" not in b"".join(server.asked)
