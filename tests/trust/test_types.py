"""Answers with a value of another type: a sentence that names the field, never a bug, never a tick that was not shown.

The adapters alone, without the engine: each conversation of tests/platforms is held again and again, and each time one
value of one answer is of another type.
"""

from __future__ import annotations

import copy
import json
import traceback
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import park
import pytest
from contract import NOW, Player, platform_of, settings_of, sheet
from park import LONG

from shipfwd import carriers, platforms
from shipfwd.answers import by_status
from shipfwd.errors import OutcomeUnknown, ShipfwdError, Unavailable
from shipfwd.models import Item, Parcel, Reply, Seen, parse_stamp, tracking_key
from shipfwd.platforms.base import Token, Tools

OTHERS = (
    None, True, False, 0, -7, 10**30, 1.5, 1e300, float("inf"), "", "text", "7", "\ufffd", [], [None], ["text"], [7], [[]], [{}],
    {}, {"a": 1}, {"text": {"text": [[]]}},
)  # fmt: skip
KINDS = {"forward", "again", "verify", "prove", "correct", "check"}
A_PLATFORM = 1000 if LONG else 200


class Wire:
    """The far side of a case. Where a changed answer leads astray, the nearest step answers, or nobody."""

    def __init__(self, data, case, replies):
        self.player, self.replies, self.told = Player(data, case), replies, []

    def send(self, request, *, write, repeatable, operation, expect, accept, explain, sign):
        sign(request, NOW)
        step = self._step(request)
        if step is None or "broken" in step:
            raise (OutcomeUnknown if write and not repeatable else Unavailable)("nobody answers")
        body = self.replies.get(id(step), step.get("reply"))
        text = step.get("reply_text", json.dumps(body) if "reply" in step or id(step) in self.replies else "")
        try:
            data = copy.deepcopy(body) if "reply_text" not in step else json.loads(text)
        except ValueError:
            data = None
        reply = Reply(step.get("status", 200), data, text, _headers(step.get("reply_headers", {})), request.url)
        self.told.append((write, reply.text + json.dumps(step.get("reply_headers", {}))))
        if reply.status not in accept and (
            error := explain(reply) or by_status(reply, expect, Unavailable, f"{request.method} {request.url}", NOW)
        ):
            raise error
        return reply

    def _step(self, request):
        asked = SimpleNamespace(method=request.method, url=request.url, body=request.body, headers={})
        every = [*self.player.prelude, *self.player.talk]
        without = [{key: value for key, value in step.items() if key != "headers"} for step in every]
        exact = [n for n, step in enumerate(without) if self.player._differs(step, asked) is None]
        bare = [
            n for n, step in enumerate(every)
            if step["method"] == request.method and urlsplit(request.url).path.endswith(urlsplit(step["path"]).path)
        ]  # fmt: skip
        for n in [n for n in exact if id(every[n]) not in self.used] or exact or bare:
            self.used.add(id(every[n]))
            return every[n]
        return None

    used = property(lambda self: self.__dict__.setdefault("_used", set()))


def _headers(given):
    from requests.structures import CaseInsensitiveDict

    return CaseInsensitiveDict(given)


class Drawer:
    """A login that is good for an hour; one that is renewed is another story (test_tokens.py)."""

    def __init__(self, refresh):
        self.token = Token("SECRET-access-now", NOW + timedelta(hours=1), refresh) if refresh is not None else None

    def current(self):
        return self.token

    @contextmanager
    def locked(self):
        yield self.token

    def save(self, token):
        self.token = token


class Shelf(dict):
    def put(self, key, value, seconds):
        self[key] = json.loads(json.dumps(value))


def adapter(name, data, case, wire):
    settings = settings_of(data, case)
    cls = platform_of(name, data, case)
    values = {one.name: one.default for one in cls.settings if one.default is not None and not one.secret} | settings
    secrets = {k: v for k, v in {**data.get("secrets", {}), **case.get("secrets", {})}.items() if v is not None}
    mapped = {**data.get("carrier_map", {}), **case.get("carrier_map", {})}
    tools = Tools(
        values, secrets, wire, Drawer(secrets.get("refresh_token", "")), Shelf(), mapped, lambda: NOW,
        lambda seconds: None, lambda question: "", lambda words: None,
    )  # fmt: skip
    return cls(tools)


def parcels(data, case):
    found = []
    for n, extra in enumerate(case.get("shipments", [{}]), 1):
        one = {**data["shipment"], **extra}
        slug = carriers.fold(one.get("carrier", ""))
        items = tuple(Item(i.get("item_id", ""), i.get("sku", ""), i.get("quantity")) for i in one.get("items") or [])
        number = one["tracking_number"].upper()
        made = parse_stamp(one["created_at"])
        found.append((one["order_id"], Parcel(
            n, number, slug, carriers.NAMES.get(slug, ""), one.get("tracking_url", ""), made, items,
            case.get("remote_id", ""), bool(case.get("in_doubt")),
        )))  # fmt: skip
    return found


def hold(name, data, case, replies):
    """The conversation, as the engine leads it; yields what the adapter claims, with what stood on the wire by then."""
    wire = Wire(data, case, replies)
    platform = adapter(name, data, case, wire)
    do = case.get("do", "forward")
    if do == "check":
        yield "identity", platform.check(), "", wire.told
        return
    all_parcels = parcels(data, case)
    order = all_parcels[0][0]
    ours = [one for where, one in all_parcels if where == order]
    for one in ours:
        if do not in ("verify", "prove"):
            platform.check_number(one)
            platform.preflight(one)
    if do in ("verify", "prove"):
        found = platform.seen_again({order: NOW - timedelta(hours=1)}) if do == "prove" else platform.look([order])
        for one in found.values():
            yield "seen", one, "", wire.told
        return
    seen = Seen()
    if do == "correct" or case.get("in_doubt") or platform.needs_look(ours):
        found = platform.look([order])
        seen = found.get(order)
        for one in found.values():
            yield "seen", one, "", wire.told
        if seen is None:
            return
    if do == "correct" and platform.correct == "replace":
        new = case["number"].upper()
        yield "receipt", platform.replace(order, ours[0], new, seen), tracking_key(new), wire.told
        return
    if seen.refusal is None:
        parts = {}
        for one in ours:
            if not seen.has(one.tracking_number):
                parts.setdefault(platform.bundle(one) if platform.together else one.id, []).append(one)
        for part in parts.values():
            for receipt in platform.forward(order, part, seen):
                key = next(one.key for one in part if one.id == receipt.parcel_id)
                yield "receipt", receipt, key, wire.told
    if (
        platform.status_transfer == "separate"
        and seen.refusal is None
        and seen.state in platform.sent_from
        and not seen.sent
    ):
        platform.mark_sent(order, seen)


def untrue(kind, what, key, told):
    """What is wrong with a claim, or None: words of the right type, and no tick that no answer shows."""
    if kind == "identity":
        return None if isinstance(what, str) and what not in ("None", "True", "False") and "{" not in what else what
    if kind == "receipt":
        if not isinstance(what.remote_id, str) or any(sign in what.remote_id for sign in "{["):
            return f"remote id {what.remote_id!r}"
        shown = [text for write, text in told if key in tracking_key(text)]
        return "confirmed, and no answer shows it" if what.confirmed and what.refusal is None and not shown else None
    words = [*what.numbers, what.state, *(line.id for line in what.lines), *(line.sku for line in what.lines)]
    if not all(isinstance(one, str) for one in words) or any(one in ("None", "True") or "{" in one for one in words):
        return f"words {words}"
    if not all(type(count) is int for line in what.lines for count in (line.quantity, line.left)):
        return f"counts {what.lines}"
    if not isinstance(what.refusal, ShipfwdError | None) or not isinstance(what.sent, bool):
        return f"{what.refusal!r} {what.sent!r}"
    return None


def places(node, at=()):
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield (*at, key)
        if isinstance(node[key], dict | list):
            yield from places(node[key], (*at, key))


def changed(reply, place, value):
    """The answer with another value at that place."""
    top = [copy.deepcopy(reply)]
    node = top
    for step in (0, *place)[:-1]:
        node = node[step]
    node[(0, *place)[-1]] = value
    return top[0]


def mutations(data):
    """Every case, every answer that is a document, every place in it, every other value."""
    for case_name, case in data["cases"].items():
        if case.get("do", "forward") not in KINDS or case.get("known"):
            continue
        for step in case["talk"]:
            if "reply" in step and step.get("status", 200) < 600:
                for place in [(), *places(step["reply"] if isinstance(step["reply"], dict | list) else [])]:
                    yield case_name, step, place


@pytest.mark.parametrize("name", platforms.names())
def test_a_value_of_another_type_is_never_a_bug_and_never_a_tick(name):
    data = sheet(name)
    every = [(*one, value) for one in mutations(data) for value in OTHERS]
    chance = park.chance(f"types {name}")
    some = every if len(every) <= A_PLATFORM else chance.sample(every, A_PLATFORM)
    bugs, lies = {}, {}
    for case_name, step, place, value in some:
        case = data["cases"][case_name]
        where = f"{case_name}: {step['method']} {step['path']} {'.'.join(map(str, place))} = {str(value)[:40]}"
        try:
            for claim in hold(name, data, case, {id(step): changed(step["reply"], place, value)}):
                if (wrong := untrue(*claim)) is not None:
                    lies.setdefault(str(wrong)[:200], where)
        except ShipfwdError as error:
            if not str(error):
                lies[f"{type(error).__name__} without a word"] = where
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            ours = next(
                (f for f in reversed(traceback.extract_tb(error.__traceback__)) if "platforms/" in f.filename), frame
            )
            line = f"{ours.filename.rpartition('/')[2]}:{ours.lineno} {ours.line}: {type(error).__name__} {error}"[:220]
            bugs.setdefault(line.partition(": ")[0], f"{line}\n    {where}")
    park.figure("values of another type", platforms=name, faults=len(some))
    assert not bugs, f"{len(bugs)} bugs\n" + "\n".join(bugs.values())
    assert not lies, f"{len(lies)} lies\n" + "\n".join(f"{one}\n    {where}" for one, where in lies.items())


GOOD_XML = next(step["reply_text"] for step in sheet("prestashop")["cases"]["check_ok"]["talk"] if "reply_text" in step)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
BARE = GOOD_XML.removeprefix(HEAD)
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
ORDERS_NODE = '<orders xlink:href="https://elsewhere.test/api/orders" get="true"/>'
STRANGE_XML = {  # → (the document, who the shop is then, or a part of what is said)
    "as it is": (GOOD_XML, "shop.test"),
    "comments, a CDATA and an element nobody knows": (
        GOOD_XML.replace("</api>", "<!-- note --><![CDATA[<orders/>]]><more><orders/></more></api>"), "shop.test"),
    "a second orders element": (GOOD_XML.replace("</api>", ORDERS_NODE + "</api>"), "shop.test"),
    "white space before the declaration": ("\n\n  " + GOOD_XML, "shop.test"),
    "another encoding declared than it is in": (GOOD_XML.replace("UTF-8", "UTF-16"), "shop.test"),
    "an encoding that does not exist": (GOOD_XML.replace("UTF-8", "X-NONE"), "shop.test"),
    "a name of its own for every element": (
        GOOD_XML.replace("<prestashop ", '<prestashop xmlns="urn:other" '), "the key lacks GET orders"),
    "an element missing": (GOOD_XML.replace("<orders ", "<order ").replace("</orders>", "</order>"), "GET orders"),
    "an attribute missing": (GOOD_XML.replace("xlink:href", "xlink:to"), "href"),
    "another word for true": (GOOD_XML.replace('"true"', '"1"'), "the key lacks"),
    "not closed": (GOOD_XML[:-15], "without readable XML"),
    "two roots": (GOOD_XML + "<more/>", "without readable XML"),
    "an unknown entity": (GOOD_XML.replace("LocalPS", "&shop;"), "without readable XML"),
    "a billion laughs": (
        f'{HEAD}<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>{BARE.replace("LocalPS", "&l9;")}', "without readable XML"),
    "a file of the machine": (
        f'{HEAD}<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]>{BARE.replace("LocalPS", "&f;")}',
        "without readable XML"),
    "a definition elsewhere": (
        f'{HEAD}<!DOCTYPE a [<!ENTITY % d SYSTEM "http://127.0.0.1:9/d"> %d;]>{BARE}', "without readable XML"),
    "100,000 elements deep": ("<a>" * 100_000 + "</a>" * 100_000, "the key lacks"),
    "nothing but text": ("shop.test", "without readable XML"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE_XML)
def test_strange_xml_is_read_as_it_is_meant_or_refused_with_a_sentence(name):
    text, wanted = STRANGE_XML[name]
    data = sheet("prestashop")
    case = copy.deepcopy(data["cases"]["check_ok"])
    next(step for step in case["talk"] if "reply_text" in step)["reply_text"] = text
    try:
        said = next(what for _, what, _, _ in hold("prestashop", data, case, {}))
    except ShipfwdError as error:
        said = str(error)
    assert wanted in said
    assert "root:" not in said
