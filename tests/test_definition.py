"""Definitions: what a file may say, how it says what is wrong, and that its templates and outcomes cannot be bent."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import shipfwd.platforms
from shipfwd import platforms
from shipfwd.errors import ConfigError, NotUnderstood, Rejected
from shipfwd.models import Reply, Request
from shipfwd.platforms._definition import Step, header_values, load, pick, tree
from shipfwd.platforms._document import document
from shipfwd.platforms._replay import replayed
from shipfwd.platforms._schema import is_todo, problems, todos
from shipfwd.platforms.base import Tools

SHIPPED = Path(shipfwd.platforms.__file__).parent
OURS = Path(__file__).parent / "platforms"
FILES = sorted([*SHIPPED.glob("*.toml"), *OURS.glob("*.toml")])
WHOLE = [path for path in FILES if path.name != "arena.toml"]
SCHEMA = json.loads((SHIPPED / "definition.schema.json").read_text())
EXAMPLE = (SHIPPED / "example.toml").read_text()
VALIDATOR = Draft202012Validator(SCHEMA)


def written(tmp_path, text):
    path = tmp_path / "d.toml"
    path.write_text(text)
    return str(path)


# ---- the files that are there --------------------------------------------------------------------------------


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_definition_here_keeps_the_vocabulary_and_its_examples_hold(path):
    definition = load(str(path))
    assert list(replayed(definition)) == []
    assert bool(definition.todo) == (path.name == "arena.toml")


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
def test_a_standard_validator_agrees(path):
    assert VALIDATOR.is_valid(document(path))


def test_arena_asks_for_what_nobody_published():
    definition = load("arena")
    asked = dict(definition.todo)
    assert {"base_url", "tracking.path", "tracking.method", "tracking.json", "readback", "outcomes"} <= set(asked)
    assert all(len(question) > 7 for question in asked.values())
    assert definition.table["auth"]["kind"] == "basic"


# ---- what is wrong, in words -----------------------------------------------------------------------------------

# what → (in the example, what stands there instead, what is said of it)
WRONG = {
    "unknown key": ("repeat =", "repaet =", "tracking has no key 'repaet'; did you mean 'repeat'?"),
    "missing key": ('repeat = "doubles"', "", "tracking needs 'repeat'"),
    "unknown word": ('"doubles"', '"double"', "one of harmless, doubles, not 'double'; did you mean 'doubles'?"),
    "unknown auth": ('"header"', '"heder"', "auth.kind must be one of none, basic, bearer, header, query"),
    "auth without its name": ('name = "X-Api-Key"', "", "auth needs 'name'"),
    "auth with another's key": ('name = "X-Api-Key"', 'name = "X"\ntoken = "x"', "auth has no key 'token'"),
    "wrong type": ('path = "/me"', "path = 7", "check.path must be text, not '7'"),
    "no TOML": ("rates = [{", "rates = {", "is not TOML"),
    "unknown outcome": ('then = "already" }', 'then = "allready" }', "did you mean 'already'?"),
    "impossible status": (
        "{ status = 201",
        "{ status = 99",
        "tracking.outcomes #1.status must be a status such as 404",
    ),
    "a redirect": ("{ status = 201", "{ status = [201, 302]", "an outcome of [tracking] names a redirect"),
    "a silent status": ('{ status = "2xx"', "{ status = 299", "no outcome of [check] says what 201 and 97 more of 2xx"),
    "no success": ('204, then = "ok"', '204, then = "refused"', "no outcome of [shipped] is ok"),
    "5xx as a verdict": ('"5xx", then = "later"', '"5xx", then = "refused"', "may be done although its answer is 5xx"),
    "where without a test": (', equals = "carrier"', "", "a path and one of exists, equals, in, contains"),
    "plain http": ("https://api.bazaar", "http://api.bazaar", "base_url must be https"),
    "user in the address": ("https://api.", "https://me:pw@api.", "base_url must be an address such as"),
    "query in the address": (
        "api.bazaar.example/v2",
        "api.bazaar.example/v2?a=1",
        "base_url must be an address such as",
    ),
    "path with a query": ('"/me"', '"/me?all=1"', "check.path cannot be '/me?all=1': it is a path that begins"),
    "path to another host": ('path = "/me"', 'path = "https://else.example/me"', "check.path cannot be"),
    "path that climbs": ('"/me"', '"/a/../../me"', "check.path must not hold . or .. as a part"),
    "unknown name": ('"{tracking}"', '"{traking}"', "cannot have {traking}; did you mean 'tracking'?"),
    "the environment": ('"{tracking}"', '"{env.home}"', "tracking.json cannot have {env.home}"),
    "a file": ('"{tracking}"', '"{file:/etc/passwd}"', "tracking.json cannot fill in {file:/etc/passwd}"),
    "an attribute": ('"{tracking}"', '"{tracking.__class__}"', "tracking.json cannot have {tracking.__class__}"),
    "a name where it is not known": ('"sent" }\n', '"{tracking}" }\n', "shipped.json cannot have {tracking}"),
    "a secret in a path": (
        "/orders/{order_id}/status",
        "/{secret.api_key}",
        "shipped.path cannot have {secret.api_key}",
    ),
    "an expression": ('"{tracking}"', '"{tracking[0]}"', "tracking.json cannot fill in {tracking[0]}"),
    "a format": ('"{tracking}"', '"{tracking!r:>40}"', "tracking.json cannot fill in"),
    "a lone brace": ('"{tracking}"', '"{tracking"', "tracking.json has a lone {; write {{ for the sign itself"),
    "a secret that is not named": ("{secret.api_key}", "{secret.apikey}", "does not name it; did you mean 'api_key'?"),
    "a secret that is not used": ("[secrets]", '[secrets]\nother = "x"', "secrets.other is used nowhere"),
    "a secret with a bad name": ("[secrets]", '[secrets]\n"Api Key" = "x"', "secrets: 'Api Key' cannot be a name"),
    "a carrier in capitals": ("dhl = ", "DHL = ", "carriers: 'DHL' cannot be a name"),
    "two bodies": ('answer = "empty" ', 'form = { a = "b" } ', "shipped has both json and form"),
    "both ways to sent": ('repeat = "doubles"', 'marks_sent = true\nrepeat = "doubles"', "nothing for [shipped] to do"),
    "shows in an empty answer": ('shows = "number"', 'answer = "empty"\nshows = "number"', "an answer that is json"),
    "joined words without joining": (
        'parcels = "many"',
        'joined_by = "+"\nparcels = "many"',
        "is for parcels = 'joined'",
    ),
    "a state twice": ('["sent", "delivered"]', '["sent", "paid"]', "readback.states names 'paid' twice"),
    "states without a state": ('state = "status"\n', "", "readback.state and readback.states belong together"),
    "a broken expression": ("[A-Z0-9-]+", "[A-Z", "number.pattern is no regular expression"),
    "a bad way to a value": ('shows = "number"', 'shows = "$.a[0]"', "'$.a[0]': it is the way to a value"),
    "another version": ("format = 1", "format = 2", "format must be 1, not '2'"),
    "too few": ("calls = 4", "calls = 0", "rates #1.calls is 0, less than 0.001"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_words(what, tmp_path):
    old, new, words = WRONG[what]
    assert old in EXAMPLE
    path = written(tmp_path, EXAMPLE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert path in str(caught.value)


BLIND = (OURS / "http_blind.toml").read_text()
SHIPPED_STEP = """[shipped]
method = "PUT"
path = "/s"
repeat = "doubles"
outcomes = [{ status = 200, then = "ok" }]

[[examples]]"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('parcels = "one"', 'parcels = "joined"', "parcels = 'joined' needs [readback]"),
        ("marks_sent = true\n", "", "shipped.repeat = 'doubles' needs [readback]"),
    ],
)
def test_what_needs_a_way_to_look(tmp_path, old, new, words):
    text = BLIND.replace(old, new)
    if old.startswith("marks"):
        text = text.replace("[[examples]]", SHIPPED_STEP, 1)
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
        load(written(tmp_path, text))


def test_a_name_that_does_not_ship():
    with pytest.raises(ConfigError, match="no definition is called 'bazar'; give the path of a file, such as ./bazar"):
        load("bazar")


def test_a_file_that_everybody_may_change_is_refused(tmp_path):
    path = written(tmp_path, EXAMPLE)
    Path(path).chmod(0o666)
    with pytest.raises(ConfigError, match="everybody on this machine may change .*: chmod o-w"):
        load(path)


def test_many_mistakes_are_told_at_once(tmp_path):
    text = EXAMPLE.replace("repeat =", "x =").replace("method =", "y =")
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert "tracking has no key 'y'" in str(caught.value)
    assert "; and " in str(caught.value)


# ---- our validator against a standard one ----------------------------------------------------------------------

DOCUMENTS = [document(path) for path in WHOLE]
JUNK = st.sampled_from(
    [None, True, False, 0, -1, 7, 404, 1000, 0.5, "", "x", "2xx", "/x", "ok", [], ["x"], [404], {}, {"kind": "none"}]
).map(copy.deepcopy)


def places(node, at=()):
    yield at
    rows = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, one in rows:
        yield from places(one, (*at, key))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_bent_document_is_judged_as_a_standard_validator_does(data):
    document = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from([at for at in places(document) if at] or [("format",)]))
        node = document
        for key in where[:-1]:
            node = node[key]
        what = data.draw(st.sampled_from(["drop", "junk", "add"]))
        if what == "drop":
            del node[where[-1]]
        elif what == "add" and isinstance(node, dict):
            node[data.draw(st.sampled_from(["kind", "x", "where", "path", "then", "token"]))] = data.draw(JUNK)
        else:
            node[where[-1]] = data.draw(JUNK)
    told = list(problems(document, SCHEMA, SCHEMA))
    assert bool(told) == (not VALIDATOR.is_valid(document)), told or next(VALIDATOR.iter_errors(document)).message


def test_a_todo_stands_for_anything_and_is_found():
    document = {"a": "TODO: who?", "b": [{"c": "TODO what"}], "d": "to do"}
    assert list(todos(document)) == [("a", "who?"), ("b #1.c", "what")]
    assert [is_todo("TODO"), is_todo(7)] == [True, False]


def test_a_word_of_json_schema_that_is_not_known_is_no_silence():
    with pytest.raises(NotImplementedError):
        list(problems("x", {"type": "string", "format": "uri"}, SCHEMA))


# ---- templates -------------------------------------------------------------------------------------------------

HOSTILE = [
    '"}', "{tracking}", "{{", "{secret.api_key}", "a/b", "../..", "a?b=c#d", "a&b=c", "%2e%2e", "a b", "ł€", "\\",
    "'; --", "\u202e", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_stays_one_value_wherever_it_is_put(value):
    made = tree(
        {"a": "{order_id}", "b": ["x{order_id}y", {"c": "{{{order_id}}}"}], "n": 1, "t": True}, lambda name: value
    )
    wanted = {"a": value, "b": [f"x{value}y", {"c": "{" + value + "}"}], "n": 1, "t": True}
    assert json.loads(json.dumps(made)) == wanted
    step = Step("tracking", {"path": "/o/{order_id}/x"}, [])
    whole = step.asked(lambda name: value).whole_path
    assert whole.startswith("/o/")
    assert whole.endswith("/x")
    assert whole.count("/") == 3
    assert not set(whole) & set("?#& \x00\\")


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_what_has_no_place_in_an_address_is_refused(value):
    with pytest.raises(Rejected):
        Step("tracking", {"path": "/o/{order_id}"}, []).asked(lambda name: value)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "ł", "\x00"])
def test_a_header_cannot_be_split(value):
    with pytest.raises(Rejected, match="the header X-Order"):
        header_values({"X-Order": "{order_id}"}, lambda name: value)


def test_typed_values():
    made = tree({"n": "{order_id:integer}", "s": "{order_id}", "m": "no {order_id:integer}"}, lambda name: "0042")
    assert made == {"n": 42, "s": "0042", "m": "no 0042"}
    with pytest.raises(Rejected):
        tree({"n": "{order_id:integer}"}, lambda name: "4 2")


def test_a_field_that_is_nothing_but_an_empty_value_is_left_out():
    assert tree({"a": "{x}", "b": "-{x}", "c": ["{x}", "d"]}, lambda name: "") == {"b": "-", "c": ["d"]}


# ---- ways to values, and outcomes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", [1]), ("b.*.c", [2, 3]), ("b.1.c", [3]), ("d", []), ("e?.f", []), ("b.*.g?", ["x"]), ("h", []),
    ],
)  # fmt: skip
def test_the_way_to_a_value(path, found):
    assert pick({"a": 1, "b": [{"c": 2}, {"c": 3, "g": "x"}], "d": None, "h": ""}, path) == found


@pytest.mark.parametrize("path", ["z", "a.b", "b.*.g", "b.7", "*"])
def test_a_way_that_ends_nowhere_is_no_value(path):
    with pytest.raises(NotUnderstood, match="answered without"):
        pick({"a": 1, "b": [{"c": 2}]}, path)


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
def test_every_status_means_something_whatever_the_answer_holds(path):
    for step in load(str(path)).steps.values():
        for status in (*range(200, 300), *range(400, 600)):
            for data in (None, {}, [], "x", {"error": {"code": None}}, {"errors": []}, [[]]):
                assert step.rule(status, data)["then"]


def test_a_truth_is_no_number():
    rules = [{"status": 200, "where": {"path": "a", "equals": 1}, "then": "ok"}, {"status": "2xx", "then": "refused"}]
    step = Step("tracking", {}, rules)
    assert [step.rule(200, {"a": value})["then"] for value in (1, True, "1")] == ["ok", "refused", "refused"]


# ---- credentials -----------------------------------------------------------------------------------------------

PAIR = b64encode(b"me:SECRET-k").decode()
AUTHS = {
    "none": ('kind = "none"', {}),
    "basic": ('kind = "basic"\nusername = "me"\npassword = "{secret.api_key}"', {"Authorization": f"Basic {PAIR}"}),
    "bearer": ('kind = "bearer"\ntoken = "{secret.api_key}"', {"Authorization": "Bearer SECRET-k"}),
    "header": ('kind = "header"\nname = "X-Key"\nvalue = "Key {secret.api_key}"', {"X-Key": "Key SECRET-k"}),
    "query": ('kind = "query"\nname = "key"\nvalue = "{secret.api_key}"', {}),
}


def adapter(tmp_path, auth):
    start, end = EXAMPLE.index("[auth]"), EXAMPLE.index("[carriers]")
    text = EXAMPLE[:start] + f"[auth]\n{auth}\n\n" + EXAMPLE[end:]
    if "secret.api_key" not in auth:
        text = text[: text.index("[secrets]")] + text[text.index("[auth]") :]
    cls = platforms.load("http").shaped({"definition": written(tmp_path, text)})
    values, secrets = {"base_url": "https://api.bazaar.example/v2"}, {"api_key": "SECRET-k"}
    tools = Tools(values, secrets, None, None, None, {}, None, None, None, None)
    return cls(tools)


@pytest.mark.parametrize("kind", AUTHS)
def test_credentials_go_where_the_file_says(tmp_path, kind):
    auth, headers = AUTHS[kind]
    assert dict(adapter(tmp_path, auth).headers()) == {"Accept-Language": "en", **headers}


@pytest.mark.parametrize(
    ("message", "encoding", "stamp", "text", "shown"),
    [
        ("{method}\\n{url}\\n{body}\\n{timestamp}", "hex", "seconds", "POST\n{U}\n{B}\n{T}", "1795435200"),
        ("{timestamp}.{body}", "base64", "milliseconds", "{T}.{B}", "1795435200000"),
        ("{method}{path}{timestamp}", "hex", "iso", "POST/x{T}", "2026-11-23T12:00:00Z"),
    ],
)
@pytest.mark.parametrize("name", ["sha256", "sha512", "sha1"])
def test_a_signature_is_made_over_the_bytes_that_leave(tmp_path, name, message, encoding, stamp, text, shown):
    auth = f'kind = "hmac"\nhash = "{name}"\nsecret = "{{secret.api_key}}"\nmessage = "{message}"\n'
    auth += f'encoding = "{encoding}"\nsignature_header = "X-Sign"\ntimestamp_header = "X-Time"\ntimestamp = "{stamp}"'
    text = text.replace("{U}", "https://a.example/x?y=1").replace("{B}", '{"ł":1}').replace("{T}", shown)
    request = Request("POST", "https://a.example/x?y=1", {}, '{"ł":1}'.encode())
    signed = adapter(tmp_path, auth).sign(request, datetime(2026, 11, 23, 12, tzinfo=UTC))
    digest = hmac.new(b"SECRET-k", text.encode(), getattr(hashlib, name))
    wanted = digest.hexdigest() if encoding == "hex" else b64encode(digest.digest()).decode()
    assert signed == {"X-Sign": wanted, "X-Time": shown}


def test_a_redirect_and_a_page_are_never_a_success(tmp_path):
    platform = adapter(tmp_path, AUTHS["none"][0])
    asking = platform._on(platform.steps["tracking"])
    assert asking.explain(Reply(302, None, "")) is None  # the core stops the integration
    assert type(asking.explain(Reply(200, None, "<html>"))).__name__ == "Unavailable"
    assert type(asking.explain(Reply(200, {}, "{}"))).__name__ == "NotUnderstood"
    assert asking.explain(Reply(201, {}, "{}")) is None
