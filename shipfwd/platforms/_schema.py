"""Holds a document against a JSON Schema and says what is wrong in words for the person who wrote it.

Knows the part of JSON Schema that definition.schema.json uses, and raises for any other word. Why not a library:
jsonschema costs more to import than a whole run, and says "is not valid under any of the given schemas".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TODO = "TODO"  # a text that begins so stands for what nobody filled in yet
NAMES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
SAID = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a table",
    "array": "a list",
}
NOTES = {"$schema", "$defs", "title", "description"}
KNOWN = NOTES | {
    "$ref", "const", "enum", "type", "pattern", "minLength", "minimum", "maximum", "items", "minItems", "properties",
    "additionalProperties", "propertyNames", "required", "minProperties", "maxProperties", "oneOf", "anyOf",
}  # fmt: skip


def problems(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """What is wrong, one sentence each. `at`: where in the document, "" for the whole."""
    if unknown := set(schema) - KNOWN:
        raise NotImplementedError(f"the schema says {unknown}")
    if is_todo(value):
        return
    if "$ref" in schema:
        yield from problems(value, _target(schema["$ref"], root), root, at)
        return
    if "anyOf" in schema and not any(_fits(value, one, root) for one in schema["anyOf"]):
        yield f"{at or 'the file'} must be {schema['description']}, not {_shown(value)}"
        return
    if "oneOf" in schema:
        schema = _chosen(value, schema)
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        yield f"{at} must be {schema['const']}, not {_shown(value)}"
    if "enum" in schema and (value not in schema["enum"] or isinstance(value, bool)):
        yield f"{at} must be one of {', '.join(schema['enum'])}, not {_shown(value)}{nearest(value, schema['enum'])}"
    if "type" in schema and not _is(value, schema["type"]):
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        yield f"{at or 'the file'} must be {' or '.join(SAID[kind] for kind in kinds)}, not {_shown(value)}"
        return
    if isinstance(value, str):
        yield from _text(value, schema, at)
    elif isinstance(value, dict):
        yield from _table(value, schema, root, at)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{at} must not be empty"
        for place, one in enumerate(value if "items" in schema else (), 1):
            yield from problems(one, schema["items"], root, f"{at} #{place}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            yield f"{at} is {value}" + (f", less than {low}" if value < low else f", more than {high}")


def is_todo(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(TODO)


def todos(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """What is not filled in yet: where, and the words behind TODO."""
    if is_todo(value):
        yield at, value.removeprefix(TODO).lstrip(": ")
    if isinstance(value, dict):
        for key, one in value.items():
            yield from todos(one, _below(at, key))
    elif isinstance(value, list):
        for place, one in enumerate(value, 1):
            yield from todos(one, f"{at} #{place}")


def nearest(word: Any, words: Sequence[Any]) -> str:
    """ "; did you mean 'x'?", or nothing."""
    near = difflib.get_close_matches(str(word), [str(one) for one in words], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _text(value: str, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{at} must not be empty"
    elif "pattern" in schema and not _matches(schema["pattern"], value):
        yield f"{at} cannot be {_shown(value)}" + (
            f": it is {schema['description']}" if "description" in schema else ""
        )


def _table(value: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], at: str) -> Iterator[str]:
    known, rest, here = schema.get("properties", {}), schema.get("additionalProperties", True), at or "the file"
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{here} needs '{key}'"
    if len(value) < schema.get("minProperties", 0) or len(value) > schema.get("maxProperties", len(value)):
        yield f"{here} must be {schema['description']}"
    for key, one in value.items():
        if "propertyNames" in schema and not _matches(schema["propertyNames"]["pattern"], key):
            hint = schema["propertyNames"].get("description", "take small letters, digits and _")
            yield f"{here}: {_shown(key)} cannot be a name; {hint}"
        elif key in known:
            yield from problems(one, known[key], root, _below(at, key))
        elif rest is False:
            yield f"{here} has no key '{key}'" + (nearest(key, list(known)) or f"; there are {', '.join(known)}")
        elif isinstance(rest, dict):
            yield from problems(one, rest, root, _below(at, key))


def _matches(pattern: str, value: str) -> bool:
    """As JSON Schema means it: $ is the end, and not also the place before a line break."""
    return bool(re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), value))


def _chosen(value: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The alternative that the table's `kind` names; without one, what says which kinds there are."""
    kinds = {one["properties"]["kind"]["const"]: one for one in schema["oneOf"]}
    kind = value.get("kind") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind in kinds:
        return {"type": "object", **kinds[kind]}
    return {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": list(kinds)}}}


def _fits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    return next(problems(value, schema, root, "it"), None) is None


def _is(value: Any, kinds: str | Sequence[str]) -> bool:
    names = [kinds] if isinstance(kinds, str) else kinds
    return any(isinstance(value, NAMES[name]) and (name == "boolean") == isinstance(value, bool) for name in names)


def _target(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _below(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return SAID["object" if isinstance(value, dict) else "array"]
    return f"'{str(value)[:60]}'"
