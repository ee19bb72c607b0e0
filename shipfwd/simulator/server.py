"""Simulator: one local server that carries every platform's stand-in under a prefix of its own.

    with Simulator(auto_orders=True) as sim:
        sim.platform("allegro").add_order("29738e61-7f6a-11e8-ac45-09db60ede9d6")
        sim.fail_next("allegro", "drop", match="POST .*shipments")
        …                                       # talk to sim.base_url("allegro")
        assert sim.platform("allegro").numbers("29738e61-…") == ["620000000000000000000001"]

State lives as long as the server, whatever happens to its clients.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import urlsplit

from shipfwd.errors import UsageError
from shipfwd.simulator import load, names
from shipfwd.simulator._faults import Fault, Faults, Limit, parse_kind
from shipfwd.simulator._http import Answer, BadRequest, Connection, Request, reason, tell_arrivals
from shipfwd.simulator.base import Stand

HOST = "127.0.0.1"
CONTROL = "-"  # the prefix of the simulator's own pages


class Simulator:
    """port          0: any free one.
    latency_ms    waited before each request is worked on.
    faults        KIND or KIND:RATE, drawn for every request; see `_faults`. `seed` repeats a series.
    strict        platform → calls allowed in any sliding second; more is answered 429.
    auto_orders   any plausible order id exists; otherwise only those that were added.
    demo          the stand-ins' own demo orders are there.
    slow_ms       how late the fault "slow" answers.
    keep          how many requests are remembered.
    watch         called with each request just before its answer leaves.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency_ms: float = 0,
        faults: Sequence[str] = (),
        seed: int = 0,
        strict: Mapping[str, int] | None = None,
        auto_orders: bool = False,
        demo: bool = False,
        slow_ms: float = 1000,
        keep: int = 100_000,
        watch: Callable[[Request], None] | None = None,
    ) -> None:
        self.port, self.latency_ms, self.slow_ms = port, latency_ms, slow_ms
        self.auto_orders, self.demo, self.watch = auto_orders, demo, watch
        self.crashes: list[str] = []  # tracebacks of stand-ins that broke; raised when the simulator is left
        self._faults = Faults(faults, seed)
        self._limits: dict[str, list[Limit]] = {}
        for name, calls in (strict or {}).items():
            self.strict(name, calls)
        self._stands: dict[str, Stand] = {}
        self._requests: deque[Request] = deque(maxlen=keep)
        self._lock = threading.RLock()
        self._talks: dict[threading.Thread, socket.socket] = {}
        self._ahead = 0.0
        self._date = (0, "")
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    # ---- life -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, *rest: object) -> None:
        self.stop()
        if self.crashes and kind is None:
            raise RuntimeError("a stand-in broke:\n" + self.crashes[0])

    def start(self) -> Self:
        """Listen. Raises UsageError when the port is taken."""
        self._stopping.clear()
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.port))
            tell_arrivals(listener)
            listener.listen(512)
        except OSError as error:
            listener.close()
            raise UsageError(f"cannot listen on {HOST}:{self.port}: {error.strerror}") from None
        self._listener = listener
        self.port = listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Hang up on everybody and wait for the threads; the state stays readable."""
        if self._listener is None or self._acceptor is None:
            return
        self._stopping.set()
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()  # wakes accept()
        except OSError:
            pass
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        with self._lock:
            talks = list(self._talks.items())
        for _, sock in talks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread, _ in talks:
            thread.join(5)

    # ---- for tests --------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def base_url(self, name: str) -> str:
        """What goes into an integration's base_url."""
        return f"{self.url}/{name}"

    def platform(self, name: str) -> Any:
        """The stand-in at a prefix; its platform's name unless mounted elsewhere. Raises UsageError."""
        with self._lock:
            return self._stands.get(name) or self.mount(name)

    def mount(self, name: str, at: str = "", **options: Any) -> Any:
        """Another stand-in of a platform under the prefix `at`; `options` set its attributes."""
        if not self.port:
            raise RuntimeError("start the simulator first: a stand-in needs to know its address")
        kind, prefix = load(name), at or name
        stand = kind(prefix, self.base_url(prefix), self.now, self.auto_orders)
        for option, value in options.items():
            if not hasattr(stand, option):
                raise UsageError(f"the stand-in '{name}' has no '{option}'")
            setattr(stand, option, value)
        if self.demo:
            stand.seed()
        with self._lock:
            self._stands[prefix] = stand
        return stand

    def fail_next(self, name: str, kind: str | Answer, *, times: int = 1, match: str = "", skip: int = 0) -> None:
        """Do `kind` to the next `times` requests to a stand-in whose "METHOD /path" contains the regex `match`,
        after letting `skip` of them through. An Answer is said instead of the vendor's.
        """
        fault = Fault("answer", answer=kind) if isinstance(kind, Answer) else parse_kind(kind)
        self._faults.plan(name, fault, times, match, skip)

    def clear_faults(self) -> None:
        """Nothing goes wrong from now on."""
        self._faults.clear()

    def strict(self, name: str, calls: int, *, seconds: float = 1.0, match: str = "") -> None:
        """Answer 429 above `calls` in any sliding `seconds`, counted over the requests that match."""
        self._limits.setdefault(name, []).append(Limit(calls, seconds, match))

    def now(self) -> float:
        """Seconds since 1970 on the stand-ins' clock."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the stand-ins' clock forward: tokens expire, graces end."""
        self._ahead += seconds

    @property
    def requests(self) -> list[Request]:
        """Every request so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def calls(self, name: str, match: str = "") -> list[Request]:
        """The requests to a stand-in whose "METHOD /path" contains the regex `match`."""
        return [r for r in self.requests if r.stand == name and re.search(match, r.label)]

    def clear_requests(self) -> None:
        with self._lock:
            self._requests.clear()

    # ---- serving ----------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            sock, _ = listener.accept()
            if self._stopping.is_set():
                sock.close()
                return
            thread = threading.Thread(target=self._talk, args=(sock,), daemon=True)
            with self._lock:
                self._talks[thread] = sock
            thread.start()

    def _talk(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        try:
            while request := connection.read():
                outcome = self._outcome(request)
                answer = outcome.answer if isinstance(outcome, Fault) else outcome
                request.status = answer.status if answer else None
                if self.watch:
                    self.watch(request)
                if answer:
                    cut = isinstance(outcome, Fault)
                    connection.write(request, answer, self._http_date(), cut)
                    if not cut and request.keep_alive and not self._stopping.is_set():
                        continue
                if isinstance(outcome, Fault):
                    self._hang_up(connection, outcome)
                break
        except BadRequest as error:
            bad = Request("GET", "/", {"connection": "close"})
            self._try_to_say(connection, bad, Answer.text(f"Bad request: {error}\n", 400))
        except OSError:
            pass  # the client is gone; what was processed stays processed
        finally:
            sock.close()
            with self._lock:
                self._talks.pop(threading.current_thread(), None)

    def _outcome(self, request: Request) -> Answer | Fault:
        """The answer, or the fault that takes its place on the wire."""
        _, prefix, *rest = urlsplit(request.target).path.split("/", 2)
        request.at, request.stand, request.path = self.now(), prefix, "/" + "".join(rest)
        if prefix in ("", CONTROL):
            return self._own_page(request)
        with self._lock:
            self._requests.append(request)
        too_many = any(limit.refuses(request.label, request.waited) for limit in self._limits.get(prefix, ()))
        if self.latency_ms:
            self._stopping.wait(self.latency_ms / 1000)
        try:
            stand: Stand = self.platform(prefix)
        except UsageError as error:
            return Answer.text(f"{error}\n", 404)
        if too_many:
            return _too_many(stand, request)
        fault = self._faults.pick(prefix, request.label)
        if fault is None:
            return self._ask(stand, request)
        request.fault = str(fault)
        answer = self._ask(stand, request) if fault.after else None
        if fault.kind == "cut":
            return Fault("cut", answer=answer)
        if fault.kind == "slow":
            self._stopping.wait(self.slow_ms / 1000)
            return self._ask(stand, request)
        return fault.answer or _fault_answer(stand, request, fault) or fault

    def _ask(self, stand: Stand, request: Request) -> Answer:
        try:
            return stand.handle(request)
        except Exception:
            self.crashes.append(traceback.format_exc())
            return Answer.text(self.crashes[-1], 500)

    def _hang_up(self, connection: Connection, fault: Fault) -> None:
        if fault.kind == "silent":
            connection.wait_for_hangup()
        elif fault.kind == "reset":
            linger = struct.pack("ii", 1, 0)  # closing sends RST
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _try_to_say(self, connection: Connection, request: Request, answer: Answer) -> None:
        try:
            connection.write(request, answer, self._http_date())
        except OSError:
            pass

    def _http_date(self) -> str:
        second, text = self._date
        if second != (now := int(self.now())):
            second, text = self._date = (now, formatdate(now, usegmt=True))
        return text

    def _own_page(self, request: Request) -> Answer:
        """/ says what is here; /-/state what stands on the orders, for watchers in another process."""
        if request.stand == CONTROL and request.path == "/state":
            with self._lock:
                stands = dict(self._stands)
            state = {prefix: stand.state() for prefix, stand in stands.items()}
            return Answer.json({"platforms": state, "requests": len(self._requests)})
        if request.target == "/":
            return Answer.text("".join(line + "\n" for line in introduce(self)))
        return Answer.text("not found\n", 404)


def _too_many(stand: Stand, request: Request) -> Answer:
    answer = stand.too_many(request)
    if stand.retry_after is not None:
        answer.headers.setdefault("Retry-After", str(stand.retry_after))
    return stand.finish(request, answer)


def _fault_answer(stand: Stand, request: Request, fault: Fault) -> Answer | None:
    """What a fault says: the vendor's words where the vendor would say it, a gateway's page otherwise."""
    if fault.kind == "html":
        return Answer.html("Briefly unavailable for scheduled maintenance. Check back in a minute.")
    if fault.status == 429:
        return _too_many(stand, request)
    if fault.status == 401:
        return stand.finish(request, stand.unauthorised(request))
    if 300 <= fault.status < 400:
        return Answer.redirect(f"{stand.base_url}-moved{request.path}", fault.status)
    if fault.status:
        return Answer.html(f"{fault.status} {reason(fault.status)}", fault.status)
    return None


def introduce(sim: Simulator, commands: bool = False) -> Iterator[str]:
    """Lines that tell a person what is here and, on request, how to add it."""
    for name in names():
        try:
            stand: Stand = sim.platform(name)
        except Exception as error:
            yield f"{name}: not available ({error})"
            continue
        yield stand.describe()
        if commands:
            yield from (f"    {line}" for line in stand.commands())


def serve(
    port: int = 0,
    latency_ms: float = 0,
    faults: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    *,
    seed: int = 0,
    watch: bool = False,
    stop: threading.Event | None = None,
) -> None:
    """Run the stand-ins until Ctrl-C or `stop`, for `shipfwd simulate`. `say` gets each line for the person.

    watch   also say each request.
    Raises UsageError for a taken port or an unknown fault.
    """

    def tell(request: Request) -> None:
        status = request.status if request.status is not None else "-"
        note = f" ({request.fault})" if request.fault else ""
        say(f"{request.method} {urlsplit(request.target).path} {status}{note}")

    sim = Simulator(
        port=port,
        latency_ms=latency_ms,
        faults=faults,
        seed=seed,
        auto_orders=True,
        demo=True,
        watch=tell if watch else None,
    )
    with sim:
        say(f"listening on {sim.url}; stop with Ctrl-C")
        for line in introduce(sim, commands=True):
            say(line)
        try:
            (stop or threading.Event()).wait()
        except KeyboardInterrupt:
            pass
    wrong = sum(1 for request in sim.requests if request.fault)
    say(f"{len(sim.requests)} requests, {wrong} of them made to fail")
