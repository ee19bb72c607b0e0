"""Plays a platform's conversations through the whole engine; only the far side of the wire is scripted."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests
import responses
from support import row

from shipfwd import platforms, sweeper
from shipfwd.assembly import Assembly
from shipfwd.corrector import correct
from shipfwd.errors import ShipfwdError
from shipfwd.files import locks_folder
from shipfwd.models import Integration, Settlement, parse_stamp
from shipfwd.prover import prove, verify
from shipfwd.redactor import Redactor
from shipfwd.runs import Run
from shipfwd.store import Store, create, opened
from shipfwd.vault import Vault

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FOLDER = Path(__file__).parent / "platforms"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def sheet(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def is_write(step: dict) -> bool:
    return step.get("write", step["method"] != "GET")


def settings_of(data: dict, case: dict) -> dict:
    """The settings of a case; {folder} is where the data files lie."""
    given = {**data["settings"], **case.get("settings", {})}
    return {key: value.replace("{folder}", str(FOLDER)) for key, value in given.items() if value is not None}


def platform_of(name: str, data: dict, case: dict | None = None):
    """The platform's class as the settings make it."""
    return platforms.load(name).shaped(settings_of(data, case or {}))


class Player:
    """The far side: answers the talk in order, and notes what was asked and should not have been.

    break_at, fault   the step that is broken, and how: an answer, or a function that raises.
    """

    def __init__(self, data: dict, case: dict, break_at: int | None = None, fault=None) -> None:
        self.talk = case["talk"]
        self.prelude = data.get("prelude", [])
        self.settings = settings_of(data, case)
        self.break_at, self.fault = break_at, fault
        self.at = 0
        self.problems: list[str] = []
        self.writes = 0
        self.asked: list[requests.PreparedRequest] = []

    def __call__(self, request: requests.PreparedRequest):
        self.asked.append(request)
        step = self._step(request)
        if step is None:
            return 599, {}, ""
        if is_write(step):
            self.writes += 1
        if self.break_at is not None and self.talk[self.break_at] is step:
            return self._answer(self.fault, request)
        if "broken" in step:
            return self._answer(step["broken"], request)
        body = step.get("reply_text", json.dumps(step["reply"]) if "reply" in step else "")
        headers = {"Content-Type": "application/json", **step.get("reply_headers", {})}
        return step.get("status", 200), headers, body

    def _step(self, request: requests.PreparedRequest) -> dict | None:
        broken = self.talk[self.break_at] if self.break_at is not None else None
        if broken is not None and self.at > self.break_at and self._differs(broken, request) is None:
            return broken  # asked again: still broken
        if self.at < len(self.talk):
            wrong = self._differs(self.talk[self.at], request)
            if wrong is None:
                self.at += 1
                return self.talk[self.at - 1]
        else:
            wrong = "nothing was to be asked any more"
        for step in self.prelude:
            if self._differs(step, request) is None:
                return step
        if broken is None or self.at <= self.break_at:
            self.problems.append(f"step {self.at}: {request.method} {request.url} {request.body!r}: {wrong}")
        return None

    def _differs(self, step: dict, request: requests.PreparedRequest) -> str | None:
        """What does not fit, or None."""
        url = urlsplit(request.url)
        bare = f"{url.scheme}://{url.netloc}{url.path}"
        wanted = (
            step["path"] if step["path"].startswith("http") else self.settings["base_url"].rstrip("/") + step["path"]
        )
        if request.method != step["method"] or bare != wanted:
            return f"wanted {step['method']} {wanted}"
        if "query" in step and dict(parse_qsl(url.query, keep_blank_values=True)) != step["query"]:
            return f"wanted query {step['query']}"
        body = request.body or b""
        if "sent" in step:
            try:
                sent = json.loads(body)
            except ValueError:
                return "wanted a JSON body"
            if sent != step["sent"]:
                return f"wanted {json.dumps(step['sent'])}"
        if "form" in step and dict(parse_qsl(body.decode(), keep_blank_values=True)) != step["form"]:
            return f"wanted form {step['form']}"
        if "text" in step and body.decode() != step["text"]:
            return f"wanted body {step['text']!r}"
        for name, value in step.get("headers", {}).items():
            if request.headers.get(name) != value:
                return f"wanted header {name}: {value}, not {request.headers.get(name)}"
        return None

    @staticmethod
    def _answer(fault, request):
        if isinstance(fault, str):
            fault = {"cut off": requests.ConnectionError("Connection aborted.")}[fault]
        if isinstance(fault, Exception):
            raise fault
        return fault


@cache
def _fresh_database() -> bytes:
    """An empty database of ours, made once: two thousand cases begin with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        create(path)
        store = Store(path, opened(path, may_create=True), lambda: NOW)
        store.checkpoint()
        store.close()
        return path.read_bytes()


class Stage:
    """A store, a vault and one integration of the platform, as a case wants them."""

    def __init__(self, folder: Path, data: dict, name: str, case: dict, monkeypatch) -> None:
        self.data, self.name, self.case = data, name, case
        path = folder / "t.db"
        path.write_bytes(_fresh_database())
        self.store = Store(path, opened(path), lambda: NOW)
        self.redactor = Redactor()
        self.vault = Vault(folder / "t.db.vault", locks_folder(path), self.redactor.add)
        self.trace = folder / "trace.jsonl"
        settings = settings_of(data, case)
        cls = platform_of(name, data, case)
        secrets = {**data.get("secrets", {}), **case.get("secrets", {})}
        references = {}
        for key, value in secrets.items():
            if value is not None:
                variable = f"T_{key.upper().replace('SECRET', 'HIDDEN')}"  # stored as it is, and SECRET is searched for
                monkeypatch.setenv(variable, value)
                references[key] = f"env:{variable}"
        transfer = "unavailable"
        if cls.status_transfer is not None:
            wanted = case.get("status_transfer", cls.status_transfer == "with-tracking" or cls.status_transfer_default)
            transfer = "on" if wanted else "off"
        self.integration = self.store.add_integration(
            Integration(0, "main", name, "created", True, transfer, settings, references)
        )
        if data.get("carrier_map") or case.get("carrier_map"):
            from dataclasses import replace

            merged = {**data.get("carrier_map", {}), **case.get("carrier_map", {})}
            self.integration = replace(self.integration, carrier_map=merged)
            self.store.save_integration(self.integration)
        self.run: Run | None = None
        self.asked: list[str] = list(case.get("ask", []))
        self.told: list[str] = []

    @contextmanager
    def working(self, command: str = "forward"):
        with (
            Run(self.store, command, lambda: NOW) as run,
            _closing(
                Assembly(
                    self.store,
                    self.vault,
                    self.redactor,
                    lambda: NOW,
                    lambda seconds: None,
                    False,
                    self.trace,
                    self._ask,
                    self.told.append,
                )  # fmt: skip
            ) as assembly,
        ):
            self.run = run
            yield run, assembly

    def _ask(self, question: str) -> str:
        """The person's answers, in order; {state} is what the consent address carried."""
        answer = self.asked.pop(0)
        address = next((word for line in self.told for word in line.split() if "state=" in word), "")
        state = dict(parse_qsl(urlsplit(address).query)).get("state", "")
        return answer.replace("{state}", state)

    def put(self, shipments: list[dict]) -> list[int]:
        """Store parcels; their ids."""
        with self.working("add") as (run, _):
            intake = self.store.intake(run.id)
            rows = []
            for extra in shipments:
                one = {**self.data["shipment"], **extra}
                for item in one.get("items") or [{}]:
                    rows.append(
                        row(
                            one["order_id"],
                            one["tracking_number"],
                            integration_id=self.integration.id,
                            carrier=one.get("carrier", ""),
                            created_at=parse_stamp(one["created_at"]),
                            url=one.get("tracking_url", ""),
                            item_id=item.get("item_id", ""),
                            sku=item.get("sku", ""),
                            quantity=item.get("quantity"),
                        )
                    )
            intake.put(rows)
            before = self.store.newest_id()
            intake.group()
            intake.merge()
        return list(range(before + 1, self.store.newest_id() + 1))

    def hold(self, ids: list[int]) -> Run:
        run = Run(self.store, "setup", lambda: NOW)
        with run:
            groups, _ = self.store.claim_by_hand(run.id, ids)
            for group in groups[self.integration.id]:
                yield run, group

    def make_known(self, ids: list[int], remote_id: str, confirmed: bool = True, at=None) -> None:
        for run, group in self.hold(ids):
            done = [Settlement(one.id, "forwarded", confirmed=confirmed, remote_id=remote_id) for one in group]
            clock, self.store.clock = self.store.clock, at or self.store.clock
            self.store.settle(run.id, self.integration.id, done, [], group[0].order_id)
            self.store.clock = clock

    def make_doubtful(self, shipment_id: int, since: datetime) -> None:
        for run, group in self.hold([shipment_id]):
            lost = [Settlement(one.id, "pending", "lost", "OutcomeUnknown", None, since) for one in group]
            self.store.settle(run.id, self.integration.id, lost, [], group[0].order_id)

    def everything_said(self) -> str:
        dump = "\n".join(self.store._db.iterdump())
        trace = self.trace.read_text() if self.trace.exists() else ""
        tally = self.run.tally
        return "\n".join([dump, trace, *tally.told, *tally.talk, *self.told])


@contextmanager
def _closing(assembly):
    try:
        yield assembly
    finally:
        assembly.close()


def play(stage: Stage, player: Player) -> dict:
    """Run a case; what came out: rows, exit code, identity, adopted."""
    case = stage.case
    do = case.get("do", "forward")
    known = [stage.put([extra]) for extra in case.get("known", [])]
    for ids, extra in zip(known, case.get("known", []), strict=True):
        stage.make_known(ids, extra.get("remote_id", ""))
    ids = stage.put(case.get("shipments", [{}])) if do not in ("check", "login") else []
    if do in ("correct", "again", "verify", "prove"):
        earlier = NOW - timedelta(hours=2)
        stage.make_known(ids, case.get("remote_id", ""), confirmed=do != "prove", at=lambda: earlier)
    if case.get("in_doubt"):
        stage.make_doubtful(ids[0], NOW - timedelta(hours=1))
    out: dict = {"identity": None, "error": None}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in METHODS:
            mock.add_callback(method, re.compile(".*"), callback=player)
        with stage.working() as (run, assembly):
            if do in ("check", "login"):
                try:
                    platform = assembly.desk(stage.integration).platform
                    out["identity"] = platform.check() if do == "check" else platform.login()
                except ShipfwdError as error:
                    run.tally.codes.add(error.exit_code)
                    run.tally.told.append(str(error))
                    out["error"] = type(error).__name__
            elif do == "correct":
                correct(run, assembly.desk(stage.integration), ids[0], case["number"])
            elif do == "verify":
                out["verdicts"] = [row["verdict"] for row in verify(run, assembly.desk(stage.integration), None)]
            elif do == "prove":
                prove(run, assembly.desk(stage.integration))
            elif do == "again":
                sweeper.forward_chosen(run, assembly, ids, again=True)
            else:
                sweeper.forward_all(run, assembly, [stage.integration])
            sweeper.warn(run, assembly, [stage.integration])
    found = {row["id"]: row for row in stage.store.status()}
    out["rows"] = [found[one] for one in ids]
    out["exit"] = run.tally.exit_code
    out["adopted"] = run.tally.adopted
    return out
