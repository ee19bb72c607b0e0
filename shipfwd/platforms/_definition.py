"""A marketplace described in a TOML file: read, checked, and turned into requests and verdicts. No language inside.

The vocabulary is definition.schema.json; docs/http.md explains it. What a schema cannot say is checked here: that
every status means something, that templates name what there is, that nothing leads to another host.

Templates are filled in in the parsed tree, never in text: a value cannot become a key, a path or a second header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from shipfwd.errors import ConfigError, NotUnderstood, Rejected
from shipfwd.models import Reply
from shipfwd.platforms._document import document
from shipfwd.platforms._pattern import trouble
from shipfwd.platforms._schema import is_todo, nearest, problems, todos

HERE = Path(__file__).parent
Fill = Callable[[str], str]  # what a name in a template stands for

ORDER = ("order_id", "date", "time")
PARCEL = (*ORDER, "tracking", "tracking_url", "carrier.code", "carrier.name")
SIGNED = ("method", "url", "path", "body", "timestamp")
WORDS: dict[str, tuple[str, ...]] = {"tracking": PARCEL, "shipped": ORDER, "readback": ("order_id",), "check": ()}
CLASSES = {"2xx": range(200, 300), "4xx": range(400, 500), "5xx": range(500, 600)}
GOOD = ("ok", "already")
NUMBER_MAX = 64
_PIECE = re.compile(r"(\{\{|\}\})|\{([^{}]*)\}|([{}])")
_NAME = re.compile(r"[a-z_]+(\.[a-z0-9_]+)?")


# ---- templates -------------------------------------------------------------------------------------------------------


def pieces(template: str) -> Iterator[tuple[str, str]]:
    """The template in pieces: ("text", …), or (the value's name, its kind: "" or integer). Raises ValueError."""
    end = 0
    for match in _PIECE.finditer(template):
        if match.start() > end:
            yield "text", template[end : match.start()]
        end = match.end()
        if match[3]:
            raise ValueError(f"has a lone {match[3]}; write {match[3] * 2} for the sign itself")
        name, _, kind = (match[2] or "").partition(":")
        if match[1]:
            yield "text", match[1][0]
        elif not _NAME.fullmatch(name) or kind not in ("", "integer"):
            raise ValueError(f"cannot fill in {match[0]}")
        else:
            yield name, kind
    if end < len(template):
        yield "text", template[end:]


def filled(template: str, fill: Fill) -> str:
    return "".join(word if name == "text" else value(name, word, fill) for name, word in pieces(template))


def value(name: str, kind: str, fill: Fill) -> str:
    """What a name stands for. Raises Rejected for text where an integer is wanted."""
    text = fill(name)
    if kind == "integer" and not re.fullmatch("[0-9]{1,18}", text):
        raise Rejected(f"'{text}' is no whole number, and the definition wants one for {{{name}}}")
    return text


def tree(node: Any, fill: Fill) -> Any:
    """A JSON tree with its texts filled in. A field that is nothing but one empty value is left out."""
    if isinstance(node, dict):
        done = {key: tree(one, fill) for key, one in node.items()}
        return {key: one for key, one in done.items() if one is not None}
    if isinstance(node, list):
        return [one for one in (tree(one, fill) for one in node) if one is not None]
    if not isinstance(node, str):
        return node
    whole = list(pieces(node))
    if len(whole) != 1 or whole[0][0] == "text":
        return filled(node, fill)
    text = value(*whole[0], fill)
    return int(text) if whole[0][1] == "integer" else text or None


def header_values(texts: Mapping[str, str], fill: Fill) -> dict[str, str]:
    done = {name: filled(text, fill) for name, text in texts.items()}
    for name, text in done.items():
        if not (text.isascii() and text.isprintable()):
            raise Rejected(f"the header {name} would hold signs that no header can, such as letters beyond ASCII")
    return {name: text for name, text in done.items() if text}


# ---- the way to a value ----------------------------------------------------------------------------------------------


def pick(data: Any, path: str, title: str = "the marketplace") -> list[Any]:
    """The values at a path, `*` being each of a list; nulls and empty texts are none. Raises NotUnderstood.

    A step with ? behind it may be missing.
    """
    found = [data]
    for step in path.split("."):
        name, maybe, after = step.rstrip("?"), step.endswith("?"), []
        for one in found:
            if name == "*" and isinstance(one, list):
                after += one
            elif isinstance(one, dict) and name in one:
                after.append(one[name])
            elif isinstance(one, list) and name.isdigit() and int(name) < len(one):
                after.append(one[int(name)])
            elif not maybe:
                raise NotUnderstood(f"{title} answered without '{path}'")
        found = [one for one in after if one is not None and one != ""]
    return found


def texts(data: Any, path: str, title: str) -> list[str]:
    """What `pick` finds, as words. Raises NotUnderstood for a list or an object."""
    found = pick(data, path, title)
    if any(isinstance(one, list | dict) for one in found):
        raise NotUnderstood(f"{title} answered with a list or an object in '{path}', where a word belongs")
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in found]


def _matches(where: Mapping[str, Any], data: Any) -> bool:
    try:
        found = pick(data, where["path"])
    except NotUnderstood:
        found = []
    if "exists" in where:
        return bool(found) == where["exists"]
    if "contains" in where:
        return any(where["contains"].casefold() in str(one).casefold() for one in found)
    wanted = where.get("in", [where.get("equals")])
    return any(one == other and isinstance(one, bool) == isinstance(other, bool) for one in found for other in wanted)


# ---- the document ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request as a step makes it; `path` and `parts` as Platform.call takes them."""

    method: str
    path: str
    parts: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def whole_path(self) -> str:
        return self.path.format(*(quote(part, safe="") for part in self.parts))


@dataclass(frozen=True)
class Step:
    """tracking, shipped, readback or check."""

    name: str
    table: Mapping[str, Any]
    rules: Sequence[Mapping[str, Any]]

    @property
    def expect(self) -> str:
        return {"json": "json", "empty": "empty", "either": "maybe"}[self.table.get("answer", "json")]

    @cached_property
    def odd(self) -> tuple[int, ...]:
        """Statuses that are a success though they do not look like one."""
        return tuple(s for rule in self.rules if rule["then"] in GOOD for s in _statuses(rule) if s >= 300)

    def asked(self, fill: Fill) -> Asked:
        """Raises Rejected for a value that has no place in a path, a header or a number."""
        path, parts = "", list[str]()
        for name, word in pieces(self.table["path"]):
            if name == "text":
                path += word.replace("{", "{{").replace("}", "}}")
            elif (part := value(name, word, fill)) in ("", ".", ".."):
                raise Rejected(f"'{part}' cannot stand for {{{name}}} in an address")
            else:
                path, parts = path + "{}", [*parts, part]
        options: dict[str, Any] = {"headers": header_values(self.table.get("headers", {}), fill)}
        for given, option in (("query", "params"), ("form", "form"), ("json", "json")):
            if given in self.table:
                options[option] = tree(self.table[given], fill)
        return Asked(self.table.get("method", "GET"), path, tuple(parts), options)

    def rule(self, status: int, data: Any) -> Mapping[str, Any]:
        """The first outcome that fits; there always is one."""
        fitting = (one for one in self.rules if status in _statuses(one))
        return next(one for one in fitting if "where" not in one or _matches(one["where"], data))


@dataclass(frozen=True)
class Definition:
    """A file that keeps the vocabulary. `todo`: what in it is not filled in yet."""

    file: Path
    table: Mapping[str, Any]
    todo: tuple[tuple[str, str], ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)

    def get(self, key: str, otherwise: Any = None) -> Any:
        """A value of the file; `otherwise` where it is missing or not filled in."""
        value = self.table.get(key, otherwise)
        return otherwise if is_todo(value) else value

    def said(self, rule: Mapping[str, Any], reply: Reply) -> str:
        """The marketplace's own words in a refusal, or its status."""
        path = rule.get("message") or self.get("message")
        try:
            words = ", ".join(str(one) for one in pick(reply.data, path)[:3])[:200] if path else ""
        except NotUnderstood:
            words = ""
        return words or f"it answered {reply.status}"


def load(word: str) -> Definition:
    """The definition in a file, or one that ships with shipfwd by its name. Raises ConfigError with what is wrong."""
    file = Path(word).expanduser()
    if "/" not in word and "." not in word:
        file = HERE / f"{word}.toml"
        if not file.exists():
            raise ConfigError(f"no definition is called '{word}'; give the path of a file, such as ./{word}.toml")
    table = document(file)
    if file.parent != HERE and file.stat().st_mode & 0o002:
        raise ConfigError(
            f"everybody on this machine may change {file}, and with it where secrets go: chmod o-w {file}"
        )
    schema = json.loads((HERE / "definition.schema.json").read_text(encoding="utf-8"))
    wrong = list(problems(table, schema, schema))
    common = table.get("outcomes", [])
    steps = {
        name: Step(name, table[name], [*_list(table[name].get("outcomes")), *_list(common)])
        for name in WORDS
        if isinstance(table.get(name), dict)
    }
    definition = Definition(file, table, tuple(todos(table)), steps)
    if wrong := wrong or list(_sense(definition)):
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ConfigError(f"the definition {file}: " + "; ".join(wrong[:5]) + more)
    return definition


def unfinished(definition: Definition) -> str:
    """The sentence for a definition with open questions."""
    title, asked = definition.get("title"), "; ".join(f"{at}: {question}" for at, question in definition.todo)
    return (
        f"{title} cannot be used yet. Ask {title} for what {definition.file} leaves open, write the answers into a "
        f"copy and give that: shipfwd integration edit NAME --set definition=FILE. What to ask for: {asked}"
    )


def secret_names(definition: Definition) -> set[str]:
    """The secrets that the file's templates use."""
    return {name.partition(".")[2] for _, name in _used(definition.table) if name.startswith("secret.")}


# ---- what a schema cannot say ----------------------------------------------------------------------------------------


def _sense(definition: Definition) -> Iterator[str]:
    table, steps = definition.table, definition.steps
    yield from _addresses(definition)
    yield from _templates(definition)
    known = definition.get("secrets", {})
    for name in sorted(secret_names(definition) - set(known)):
        yield f"{{secret.{name}}} is used, but [secrets] does not name it{nearest(name, list(known))}"
    for name in sorted(set(known) - secret_names(definition)):
        yield f"secrets.{name} is used nowhere"
    for name, step in steps.items():
        if not is_todo(table.get("outcomes")) and not is_todo(step.table.get("outcomes")):
            yield from _silence(name, step)
        if any(300 <= status < 400 for rule in step.rules for status in _statuses(rule)):
            yield f"an outcome of [{name}] names a redirect; those are never followed and always stop the integration"
        if name in ("tracking", "shipped") and any(_hasty(rule) for rule in step.rules):
            yield f"[{name}]: a write may be done although its answer is 5xx; then = 'later' (or add a where)"
        if "json" in step.table and "form" in step.table:
            yield f"{name} has both json and form; a request has one body"
    tracking, readback = steps.get("tracking"), steps.get("readback")
    if tracking and tracking.table.get("marks_sent") and "shipped" in table:
        yield "tracking.marks_sent is true, so there is nothing for [shipped] to do"
    if tracking and (("shows" in tracking.table or "id" in tracking.table) and tracking.expect != "json"):
        yield f"tracking.shows and tracking.id need an answer that is json, not {tracking.table['answer']}"
    if definition.get("parcels") == "joined" and "readback" not in table:
        yield "parcels = 'joined' needs [readback]: to add a number, those that are there must be known"
    if "joined_by" in table and definition.get("parcels") != "joined":
        yield "joined_by is for parcels = 'joined'"
    if "shipped" in steps and steps["shipped"].table.get("repeat") == "doubles" and "readback" not in table:
        yield "shipped.repeat = 'doubles' needs [readback]: nobody could tell whether a lost one arrived"
    if readback and ("state" in readback.table) != ("states" in readback.table):
        yield "readback.state and readback.states belong together"
    if readback:
        words = [word for every in _dict(readback.table.get("states")).values() for word in _list(every)]
        for word in sorted({word for word in words if words.count(word) > 1}):
            yield f"readback.states names '{word}' twice"
    number = _dict(table.get("number"))
    if wrong := trouble(number.get("pattern", ""), number.get("max", NUMBER_MAX)):
        yield f"number.pattern {wrong}"


def _addresses(definition: Definition) -> Iterator[str]:
    auth = _dict(definition.table.get("auth"))
    for at, url in (("base_url", definition.get("base_url")), ("auth.token_url", auth.get("token_url"))):
        if not url or is_todo(url):
            continue
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host, parts = "", urlsplit("")
        if not host or parts.username or parts.password or parts.query or parts.fragment:
            yield f"{at} must be an address such as https://api.example.com/v1, without user, ? or #"
        elif parts.scheme != "https" and not _loopback(host):
            yield f"{at} must be https: over plain http anybody on the way reads the credentials"
    for name, step in definition.steps.items():
        if not is_todo(path := step.table.get("path", "")) and {".", ".."} & set(path.split("/")):
            yield f"{name}.path must not hold . or .. as a part"


def _templates(definition: Definition) -> Iterator[str]:
    for at, name in _used(definition.table):
        top, _, rest = at.partition(".")
        if name.startswith("!"):
            yield f"{at} {name[1:]}"
            continue
        allowed = WORDS.get(top, SIGNED if at == "auth.message" else ("order_id",) if at == "where" else ())
        secret = name.startswith("secret.") and rest != "path" and at not in ("auth.message", "where")
        if not secret and name not in allowed:
            there = [*allowed, *(["secret.NAME"] if rest != "path" and at not in ("auth.message", "where") else [])]
            yield f"{at} cannot have {{{name}}}{nearest(name, there) or '; there are ' + ', '.join(there)}"


def _used(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the templates are and what they name; a "!" and words for one that is broken."""
    inside = {"path", "query", "headers", "json", "form"}
    rows: list[tuple[str, Any]] = [("headers", table.get("headers")), ("where", table.get("where"))]
    rows += [(f"auth.{key}", one) for key, one in _dict(table.get("auth")).items() if key not in ("kind", "token_url")]
    rows += [(f"{name}.{key}", one) for name in WORDS for key, one in _dict(table.get(name)).items() if key in inside]
    for at, value in rows:
        for text in _texts(value):
            try:
                yield from ((at, name) for name, _ in pieces(text) if name != "text")
            except ValueError as error:
                yield at, f"!{error}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and not is_todo(value):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(one)


def _silence(name: str, step: Step) -> Iterator[str]:
    """Statuses of which no outcome says what they mean."""
    said = {status for rule in step.rules if "where" not in rule for status in _statuses(rule)}
    for word, statuses in CLASSES.items():
        left = [status for status in statuses if status not in said]
        if left:
            which = f"{word}" if len(left) == 100 else f"{left[0]} and {len(left) - 1} more of {word}"
            yield f'no outcome of [{name}] says what {which} means; end with {{status = "{word}", then = "…"}}'
    if not any(rule["then"] in GOOD for rule in step.rules if not is_todo(rule.get("then", ""))):
        yield f"no outcome of [{name}] is ok: nothing counts as a success unless the file says so"


def _hasty(rule: Mapping[str, Any]) -> bool:
    """Takes a broken server's answer for a verdict."""
    failed = any(status >= 500 for status in _statuses(rule))
    return failed and "where" not in rule and rule["then"] not in ("later", "throttled") and not is_todo(rule["then"])


def _statuses(rule: Mapping[str, Any]) -> set[int]:
    given = rule["status"] if isinstance(rule["status"], list) else [rule["status"]]
    return {status for one in given for status in (CLASSES.get(one, ()) if isinstance(one, str) else (one,))}


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
