"""The only place with requests: connections, time limits, pacing, retry, redaction, dry run, trace.

What an answer means by its status alone is in answers.py.

Network      one per process: TLS context, trace file, dry-run switch.
Channel      one per integration: its connections and its pacer.
Talk         one per order: sends for an adapter (platforms.base.Wire), keeps the record for the journal.
"""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

import shipfwd
from shipfwd.answers import by_status, parsed
from shipfwd.connections import POOLS, dialling, watchdog
from shipfwd.errors import AnswerLost, ConfigError, OutcomeUnknown, PlatformError, Throttled, TryLater, Unavailable
from shipfwd.models import Exchange, Rate, Reply, Request
from shipfwd.network import Network
from shipfwd.pacing import PATIENCE, Key, Pacer

CONNECT_SECONDS, READ_SECONDS = 10, 30
MAX_ANSWER = 8 * 2**20  # bytes after decompression
TRIES = 3
KEEP = 2000  # characters of a body that the journal keeps
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)")
REFERENCES = ("Trace-Id", "x-amzn-RequestId", "X-Request-Id")  # Allegro's, Amazon's, and what most others send


class WouldSend(Exception):  # noqa: N818  (not an error: the dry run's answer)
    """The first write of a dry run, instead of being sent."""

    def __init__(self, request: Request) -> None:
        super().__init__(f"{request.method} {request.url}")
        self.request = request


class _Adapter(HTTPAdapter):
    """Connections with the process's one TLS context: loading the CA bundle anew costs 30 ms of CPU each time."""

    def __init__(self, context: Any, size: int) -> None:
        self._context = context
        self._pools: dict[str, Any] = {}
        super().__init__(pool_connections=4, pool_maxsize=size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # the context has the bundle

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The connections of the request's host, found once."""
        host = urlsplit(request.url).netloc
        if host not in self._pools:
            self._pools[host] = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return self._pools[host]

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """What `_read` reads: no cookie jar, no guess at an encoding."""
        response = requests.Response()
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        response.url, response.request = req.url, req
        return response


class Channel:
    """One integration's connections and pace. Usable from many threads."""

    def __init__(
        self, network: Network, rates: tuple[Rate, ...], key: Key, throttled_seconds: float = 1.0, size: int = 16
    ) -> None:
        self.network = network
        self.pacer = Pacer(rates, key, network.folder, network.sleep)
        self.throttled_seconds = throttled_seconds
        self.strikes = 0
        self._size = size
        self._adapters: dict[str, _Adapter] = {}
        self._proxies: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def adapter(self, url: str) -> tuple[_Adapter, dict[str, str]]:
        """The connections for this URL's scheme and the proxies for its host, both found once."""
        parts = urlsplit(url)
        try:
            return self._adapters[parts.scheme], self._proxies[parts.netloc]
        except KeyError:
            context = self.network.context() if parts.scheme == "https" else None
            with self._lock:
                self._adapters.setdefault(parts.scheme, _Adapter(context, self._size))
                self._proxies[parts.netloc] = requests.utils.get_environ_proxies(url)
            return self._adapters[parts.scheme], self._proxies[parts.netloc]

    def close(self) -> None:
        for adapter in self._adapters.values():
            adapter.close()
        self.pacer.close()


class Talk:
    """One order's conversation. Keeps `exchanges` for the journal.

    intent   called just before a write leaves, with what is about to leave; its commit is what makes a crash
             recognisable. Called again when the write had to wait: what it records is when the write left.
    """

    def __init__(self, channel: Channel, intent: Callable[[Exchange], None] | None = None) -> None:
        self.channel = channel
        self.intent = intent
        self.exchanges: list[Exchange] = []
        self._noted: tuple[Callable[[Exchange], None], datetime] | None = None
        self._told: tuple[Request, str, str] | None = None

    def _leave(self, request: Request) -> None:
        now = self.channel.network.clock()
        if self.intent is None:
            return
        if self._noted and self._noted[0] is self.intent and abs((now - self._noted[1]).total_seconds()) < 1:
            return
        self._noted = (self.intent, now)
        self.intent(self._exchange(request, None, "", True, "about to leave"))

    def send(
        self,
        request: Request,
        *,
        write: bool,
        repeatable: bool,
        operation: str,
        expect: str,
        accept: tuple[int, ...],
        explain: Callable[[Reply], Exception | None],
        sign: Callable[[Request, datetime], Mapping[str, str]],
    ) -> Reply:
        """Send one request, again where that is safe. Raises what errors.py names, nothing else."""
        network = self.channel.network
        if write and network.dry_run:
            signed = {**request.headers, **sign(request, network.clock())}
            raise WouldSend(replace(request, headers=signed))

        def once() -> Reply:
            def leave() -> None:
                if write:
                    self._leave(request)

            self.channel.adapter(request.url)  # made now: a call leaves as soon as it has its slot
            left = self.channel.pacer.wait(operation, leave)
            leave()  # it may have waited for its slot
            signed = {**request.headers, **sign(request, network.clock())}
            return self._once(request, signed, write, repeatable, operation, expect, accept, explain, left)

        try:
            return once()
        except TryLater as error:
            if not _safe_to_repeat(error):
                raise
        return self._again(once)

    def _again(self, once: Callable[[], Reply]) -> Reply:
        import tenacity  # 46 ms, so only once something went wrong

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after if isinstance(error, TryLater) and error.after else 0.0
            return asked + random.uniform(0.2, 1.0) * state.attempt_number  # noqa: S311

        network = self.channel.network
        network.sleep(random.uniform(0.2, 1.0))  # noqa: S311
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_safe_to_repeat),
            wait=pause,
            stop=tenacity.stop_after_attempt(TRIES - 1),
            sleep=network.sleep,
            reraise=True,
        )(once)

    def _once(
        self,
        request: Request,
        headers: Mapping[str, str],
        write: bool,
        repeatable: bool,
        operation: str,
        expect: str,
        accept: tuple[int, ...],
        explain: Callable[[Reply], Exception | None],
        left: Callable[[], None],
    ) -> Reply:
        network = self.channel.network
        where = f"{request.method} {self._shown(request)[0]}"
        lost = Unavailable if not write else AnswerLost if repeatable else OutcomeUnknown
        adapter, proxies = self.channel.adapter(request.url)
        prepared = _prepare(request, headers)
        try:
            with watchdog.over(left):
                response = adapter.send(
                    prepared, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS), verify=True, proxies=proxies
                )
                reply = _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, _TooLarge) as error:
            problem = _broken(error, lost, where, requests.utils.select_proxy(request.url, proxies) or "")
            problem.args = (network.redactor.redact(str(problem)),)
            self._record(request, headers, None, "", write, str(problem), isinstance(problem, AnswerLost))
            raise problem from None
        verdict = self._judge(reply, expect, accept, explain, lost, where, operation)
        note, gone = type(verdict).__name__ if verdict else "", isinstance(verdict, AnswerLost)
        self._record(request, headers, reply, reply.text, write, note, gone)
        if verdict is None:
            self.channel.strikes = 0
            return reply
        verdict.args = (network.redactor.redact(str(verdict)), *verdict.args[1:])
        raise verdict

    def _judge(
        self,
        reply: Reply,
        expect: str,
        accept: tuple[int, ...],
        explain: Callable[[Reply], Exception | None],
        lost: type[TryLater],
        where: str,
        operation: str,
    ) -> Exception | None:
        """The error that a reply means, or None. A write's 5xx may come after the deed, so it is in doubt."""
        if reply.status in accept:
            return None
        error = explain(reply) or by_status(reply, expect, lost, where, self.channel.network.clock())
        if isinstance(error, Unavailable) and not isinstance(error, lost):
            error = lost(str(error), after=error.after)
        if isinstance(error, Throttled):
            if error.after is None:
                error.after = self.channel.throttled_seconds * 2.0 ** min(self.channel.strikes, 6)
            self.channel.strikes += 1
            self.channel.pacer.push(operation, min(error.after, 86400.0))
        return error

    def _exchange(
        self, request: Request, reply: Reply | None, answer: str, write: bool, note: str, lost: bool = False
    ) -> Exchange:
        network, (url, body) = self.channel.network, self._shown(request)
        told = network.redactor.redact(answer[: KEEP * 4])[:KEEP] if answer else ""
        status, reference = reply.status if reply else None, network.redactor.redact(_reference(reply, write))
        return Exchange(network.clock(), request.method, url, body, status, told, write, note, lost, reference)

    def _shown(self, request: Request) -> tuple[str, str]:
        """The request's URL and body as the journal keeps them; redacted once, however often they are told."""
        if self._told is None or self._told[0] is not request:
            redactor = self.channel.network.redactor
            body = redactor.redact(request.body[: KEEP * 4].decode("utf-8", "replace"))[:KEEP] if request.body else ""
            self._told = (request, redactor.redact_url(request.url), body)
        return self._told[1:]

    def _record(
        self,
        request: Request,
        headers: Mapping[str, str],
        reply: Reply | None,
        answer: str,
        write: bool,
        note: str,
        lost: bool,
    ) -> None:
        exchange = self._exchange(request, reply, answer, write, note, lost)
        self.exchanges.append(exchange)
        if self.channel.network.tracing:
            redact_headers = self.channel.network.redactor.redact_headers
            answered = redact_headers(reply.headers) if reply else {}
            self.channel.network.write_trace(exchange, redact_headers(headers), answered)


# ---- what an answer, or none, means ------------------------------------------------------------------------


class _TooLarge(Exception):
    pass


def _safe_to_repeat(error: BaseException) -> bool:
    """Certain that nothing was done or that a repeat is harmless, and worth waiting for within this run."""
    return isinstance(error, (Throttled, Unavailable)) and (error.after or 0) <= PATIENCE


def _prepare(request: Request, headers: Mapping[str, str]) -> requests.PreparedRequest:
    for name, value in headers.items():
        if not f"{name}{value}".isprintable() or max(value, default=" ") > "\xff":
            raise ConfigError(f"the header {name} would hold signs that no header can; check the secrets and settings")
    prepared = requests.PreparedRequest()
    prepared.method, prepared.url = request.method, request.url
    prepared.headers = CaseInsensitiveDict(headers)
    prepared.headers.setdefault("User-Agent", f"shipfwd/{shipfwd.__version__}")
    prepared.headers["Accept-Encoding"] = "gzip, deflate"
    prepared.headers["Connection"] = "keep-alive"
    if request.body or request.method not in ("GET", "HEAD"):
        prepared.headers["Content-Length"] = str(len(request.body))
    prepared.body = request.body or None
    return prepared


def _reference(reply: Reply | None, write: bool) -> str:
    """What support asks for, of a write or a refusal: "Trace-Id 5ed4773c"; "" where the answer has none."""
    if reply is not None and (write or reply.status >= 400):
        for name in REFERENCES:
            if value := reply.headers.get(name):
                return f"{name} {value[:100]}"
    return ""


def _read(response: requests.Response) -> Reply:
    size, pieces = 0, []
    try:
        for piece in response.iter_content(65536):
            size += len(piece)
            if size > MAX_ANSWER:
                raise _TooLarge(f"sent an answer of more than {MAX_ANSWER >> 20} MB")
            pieces.append(piece)
    except BaseException:
        response.close()
        raise
    body = b"".join(pieces)
    text = body.decode("utf-8", "replace")
    return Reply(response.status_code, parsed(body), text, response.headers, response.url or "")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        one = queue.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            queue += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _broken(error: Exception, lost: type[TryLater], where: str, proxy: str) -> PlatformError | ConfigError:
    """An exception of the transport as ours: certain that nothing left, or not."""
    import ssl
    from http.client import HTTPException

    host = urlsplit(where.partition(" ")[2]).netloc
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigError(
                f"the certificate of {host} cannot be trusted ({cause.verify_message}); nothing was sent"
            )
        if isinstance(cause, (urllib3.exceptions.NameResolutionError, socket.gaierror)):
            name, setting = ("of the proxy", "HTTPS_PROXY") if proxy else (host, "base_url")
            return Unavailable(f"the name {name} cannot be resolved; check {setting} and the network")
    unsent = dialling() and any(isinstance(cause, (OSError, HTTPException)) for cause in causes)
    # Not by ProxyError alone: a request that a proxy passed on, and whose answer was cut off, ends in one as well.
    if unsent and any(isinstance(cause, requests.exceptions.ProxyError) for cause in causes):
        if not (refused := next(filter(None, map(_TUNNEL.search, map(str, causes))), None)):
            return Unavailable(f"{host} cannot be reached: the proxy does not answer; check HTTPS_PROXY and NO_PROXY")
        if refused[1] == "407":
            return ConfigError("the proxy asks for a login (407); give name and password in the address in HTTPS_PROXY")
        return Unavailable(f"{host} cannot be reached: the proxy answered {refused[1]}; check HTTPS_PROXY and NO_PROXY")
    before = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, requests.ConnectTimeout)
    if unsent or any(isinstance(cause, before) for cause in causes):
        told = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        why = told.strerror.lower() if told and told.strerror else "no answer"
        why = f"no secure connection ({told.reason})" if isinstance(told, ssl.SSLError) else why
        return Unavailable(f"{host} cannot be reached: {why}")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        if proxy:
            socks = "; a SOCKS proxy needs the package PySocks" if proxy.lower().startswith("socks") else ""
            return ConfigError(f"the proxy in HTTPS_PROXY or ALL_PROXY cannot be used for {host}{socks}")
        return ConfigError(f"{where}: not a usable address; check base_url")
    what = "did not answer in time" if any(isinstance(c, (TimeoutError, requests.Timeout)) for c in causes) else (
        str(error) if isinstance(error, _TooLarge) else "broke off before its answer was complete"
    )  # fmt: skip
    return lost(f"{host} {what} ({where})")


def ping(url: str) -> str:
    """Call a dead man's switch; what went wrong, or "". Never raises: a monitor must not fail what it watches."""
    try:
        for left in (1, 0):
            try:
                answer = requests.get(url, timeout=10, allow_redirects=False)
                return "" if answer.ok else f"it answered {answer.status_code}"
            except requests.ConnectionError:
                if not left:
                    raise
    except (requests.RequestException, ValueError) as error:
        return type(error).__name__
    return ""
