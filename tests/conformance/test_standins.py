"""The stand-ins answer like the vendors: one that says what the real one never says makes every test beside it worthless.

One conversation with each: its demo orders sent, looked at again, verified and corrected, and an order that nobody
knows. A stand-in may leave out what nobody here reads; what it shows has the vendor's names, kinds and words.
"""

from __future__ import annotations

import json
import re

import pytest
import test_shopify
from openapi import answer_problems, description, problems
from test_requests import APIS, ELSEWHERE, OBSERVED, PARTIAL, PROSE, STEPS, api

from shipfwd import platforms
from shipfwd.simulator.base import Stand

# Beside what contract cases know of (OBSERVED): what the real ones answer in spite of their descriptions.
SHOWN = OBSERVED | {
    "ebay": "answer: None is not of type 'object'|answer: None for not nullable",  # 201 has a Location and no body
    "empik": "None is not of type",  # fields without a value are null
    "etsy": r"answer.status: '(Paid|Completed|Canceled|Open|(Fully|Partially) Refunded)' is not one of"
    r"|answer.error_description: the description has no such field",  # the words of OAuth's own refusals
    "mirakl": "None is not of type",
    # PHP's empty list for an empty object; what every answer of Symfony's JSON has; `ship` is left open.
    "shopware": r"(apiAlias|aggregations): the description has no such field|\.meta: {.*} is not of type 'array'"
    r"|payload: \[\] is not of type|None is not of type 'string'|answer 200: the description has no document there",
}
LEFT_OUT = "is a required property"
# Token hosts, and an operation whose pattern of a shop's name is no regular expression of Python's.
BESIDE = {"erli": "/me$"}
TOKENS = "/(auth|identity|oauth)/|/v3/public/"
# The shapes that a stand-in comes in, and what its integration is told.
SHAPES = {
    "mirakl": [{}, {"multi_shipment": True}],
    "woocommerce": [{"flavour": one} for one in ("ast", "shipment-tracking", "fulfillments", "core")],
}
OPTIONS = {"allegro": ["--status-transfer"]}
NUMBERS = [f"62000000000000000000{place:04}" for place in range(20)]


@pytest.fixture
def play(sim, shop, monkeypatch):
    """Has the conversation with a platform's stand-in, in each of its shapes; gives what was asked and answered."""
    heard, handle = [], Stand.handle

    def listen(stand, request):
        heard.append((request, answer := handle(stand, request)))
        return answer

    def add(account, order, number, *more):
        return shop.run("add", order, number, "-i", account, *more)

    def converse(stand, account, name):
        orders = [*stand.seed(), "999999"]
        shop.add(account, name, *OPTIONS.get(name, ()), stand=account)
        shop.run("integration", "check", account)
        add(account, orders[0], NUMBERS[0], "--carrier", "dhl", "--item", f"{stand.orders[orders[0]].lines[0].id}:1")
        for order, number in zip(orders[1:], NUMBERS[1:], strict=False):
            add(account, order, number, "--carrier", "dhl", "--no-forward")
        shop.run("forward")
        add(account, orders[0], NUMBERS[-1], "--carrier", "dpd")
        add(account, orders[0], "AB620", "--carrier", "dpd")
        shop.clock.forward(hours=1)
        shop.run("sweep")
        shop.run("verify")
        for row in shop.json("status", "-i", account, "--state", "forwarded"):
            shop.run("forward", row["id"], "--again")
            shop.run("correct", row["id"], f"62000000000000000001{row['id']:04}", "--yes")

    def every(name):
        monkeypatch.setattr(Stand, "handle", listen)
        monkeypatch.setattr(platforms.load(name), "rates", ())
        monkeypatch.setattr(sim, "now", lambda: shop.clock().timestamp())
        sim.auto_orders = False
        for shape in SHAPES.get(name, [{}]):
            account = "-".join([name, *map(str, shape.values())]).lower()
            stand = sim.mount(name, at=account, **shape)
            converse(stand, account, name)
            asked = {(request.method, request.path): request for request, _ in heard}.values()
            heard.extend([(one, say(one)) for one in asked for say in (stand.unauthorised, stand.too_many)])
        return heard

    return every


def operation_of(name, method, path):
    """The description's file, the path in it and its template; None for what the description leaves out."""
    path = re.sub("^/stores/[^/]+", "", path)
    if any(re.match(one, path) for one in (BESIDE.get(name), ELSEWHERE.get(name)) if one) or re.search(TOKENS, path):
        return None
    file, path = api(name, path)
    found = description(file).operation(method, path)
    assert found, f"{method} {path} is asked for, and no operation of {file}"
    return file, path, found[0][1]


def wrong_in(name, request, answer, file, path):
    """How a request and its answer break the description, but for what is known."""
    found = []
    if name not in PARTIAL:
        form = request.form or None
        body = None if form or not request.body else request.json()
        query = {key: value for key, value in request.query.items() if key not in PROSE.get(name, ())}
        found += problems(file, request.method, path, query=query, headers=request.headers, body=body, form=form)
    said = json.loads(answer.body) if "json" in answer.headers.get("Content-Type", "") else None
    if said is not None or answer.status < 300:  # a page in place of a refusal is nobody's document
        found += answer_problems(file, request.method, path, answer.status, said)
    return [one for one in found if LEFT_OUT not in one and not re.search(SHOWN.get(name, "(?!)"), one)]


@pytest.mark.parametrize("name", APIS)
def test_a_stand_in_is_asked_and_answers_as_the_vendor_describes(play, name):
    wrong, answered = set(), set()
    for request, answer in play(name):
        if where := operation_of(name, request.method, request.path):
            file, path, template = where
            answered |= {(request.method, template)} if answer.status < 300 else set()
            wrong |= {
                re.sub(r"\.[0-9]+", "", f"{request.method} {template} {answer.status}: {one}")
                for one in wrong_in(name, request, answer, file, path)
            }
    assert not wrong
    steps = [step for who, step in (one.values for one in STEPS) if who == name]
    asked = {(step["method"], operation_of(name, step["method"], step["path"])) for step in steps}
    assert {(method, where[2]) for method, where in asked if where} - answered == set()  # all that contract cases ask


def test_shopifys_stand_in_answers_what_its_schema_says(play):
    talk = [(json.loads(request.body), document) for request, answer in play("shopify")
            if request.path.endswith("graphql.json") and "errors" not in (document := json.loads(answer.body))]  # fmt: skip
    assert talk
    for asked, said in talk:
        assert test_shopify.problems(asked["query"], asked["variables"]) == []
        assert test_shopify.answer_problems(asked["query"], asked["variables"], said["data"]) == []
