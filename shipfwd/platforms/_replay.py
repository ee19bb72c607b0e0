"""A definition's own examples, played without sending: does the file ask what it says, and read the answer so?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from shipfwd.errors import PlatformError
from shipfwd.platforms._definition import GOOD, Definition, pick


def replayed(definition: Definition) -> Iterator[str]:
    """What is wrong with the examples, one sentence each. In them a secret shows as <its name>."""
    for example in definition.get("examples", []):
        for wrong in _example(definition, example):
            yield f"example '{example['name']}': {wrong}"


def _example(definition: Definition, example: Mapping[str, Any]) -> Iterator[str]:
    step = definition.steps.get(example["step"])
    if step is None:
        yield f"the file has no [{example['step']}]"
        return
    try:
        asked = step.asked(lambda name: _value(definition, example, name))
    except PlatformError as error:
        yield str(error)
        return
    if wanted := example.get("request"):
        made = {"method": asked.method, "path": asked.whole_path, **asked.options}
        made["query"] = made.pop("params", {})
        for key, value in wanted.items():
            if made.get(key, {}) != value and not (key == "headers" and value.items() <= made[key].items()):
                yield f"the file makes {json.dumps(made.get(key), ensure_ascii=False)} of its {key}"
        for key in ("json", "form", "query"):
            if made.get(key) and key not in wanted:
                yield f"the file sends {key} {json.dumps(made[key], ensure_ascii=False)} that the example leaves out"
    data, text = example.get("reply"), example.get("reply_text", "")
    rule = step.rule(example["status"], data)
    if rule["then"] != example["then"]:
        yield f"the file reads {example['status']} as {rule['then']}, the example says {example['then']}"
        return
    if rule["then"] not in GOOD:
        return
    if step.expect == "json" and data is None or step.expect == "empty" and (data is not None or text):
        yield f"the file expects an answer that is {step.table.get('answer', 'json')}"
        return
    yield from _read(step.table, data, example)


def _read(table: Mapping[str, Any], data: Any, example: Mapping[str, Any]) -> Iterator[str]:
    """What the file takes out of a good answer."""
    wanted = {"numbers": example.get("numbers"), "state": example.get("state"), "identity": example.get("identity")}
    if example["step"] == "tracking" and example["then"] == "ok" and "shows" in table:
        wanted["shows"] = example.get("tracking")
    for key, value in wanted.items():
        if key not in table:
            if value is not None:
                yield f"the file takes no {key} out of the answer"
            continue
        try:
            found: Any = [str(one) for one in pick(data, table[key])]
        except PlatformError as error:
            yield str(error)
            continue
        if key == "numbers" and "split" in table:
            found = [part.strip() for one in found for part in one.split(table["split"]) if part.strip()]
        if value is not None and found != (value if key == "numbers" else [value]):
            yield f"the file reads {key} {', '.join(found) or 'none'}"


def _value(definition: Definition, example: Mapping[str, Any], name: str) -> str:
    if name.startswith("secret."):
        return f"<{name.partition('.')[2]}>"
    carriers, moment = definition.get("carriers", {}), example.get("created_at", "2026-11-23T10:00:00Z")
    given = {
        "carrier.code": carriers.get(example.get("carrier", ""), carriers.get("*", "")),
        "carrier.name": example.get("carrier", ""),
        "date": moment[:10],
        "time": moment,
    }
    return str(given.get(name, example.get(name, "")))
