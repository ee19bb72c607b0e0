"""Does a request, or an answer, keep a vendor's own API description? OpenAPI 3.0, 3.1 and Swagger 2.0.

A description stays as it is; what a request touches is looked up. Stricter than the standard in one way: a field
that the description does not name is a problem, because vendors ignore it in silence.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import yaml
from jsonschema import Draft4Validator
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator, OAS31Validator
from referencing import Registry, Resource

Json = Any
FOLDER = Path(os.environ["SHIPFWD_SPECS"])  # read here, for a test sees none of our settings
NOT_PARAMETERS = ("accept", "authorization", "content-type")  # OpenAPI describes these elsewhere


# Descriptions whose generator writes conditions as `oneOf` though several of its schemas fit at once, and a type beside
# a `$ref`, which OpenAPI 3.0 ignores.
ANY_OF = {"erli.json"}


def _any_of(node: Json) -> Json:
    if isinstance(node, list):
        return [_any_of(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    return {"anyOf" if key == "oneOf" else key: _any_of(one) for key, one in node.items()}


class Description:
    """One vendor's file, in the folder that SHIPFWD_SPECS names."""

    def __init__(self, file: str) -> None:
        path = FOLDER / file
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        is_json = raw.lstrip()[:1] == b"{"
        self.document = json.loads(raw) if is_json else yaml.load(raw, Loader=yaml.CSafeLoader)
        if file in ANY_OF:
            self.document = _any_of(self.document)
        self.swagger = "swagger" in self.document
        version = str(self.document.get("openapi", "2"))
        both = Draft4Validator if self.swagger else OAS31Validator if version.startswith("3.1") else None
        self.write_validator, self.read_validator = both or OAS30WriteValidator, both or OAS30ReadValidator
        self._registry = Registry().with_resource("urn:api", Resource.opaque(self.document))
        paths = sorted(self.document["paths"], key=lambda path: path.count("{"))  # literal ones first
        # Made once: Shopware has more of them than `re` keeps.
        self._paths = [(path, re.compile(re.sub(r"\\{[^/]*?\\}", "([^/]+)", re.escape(path)))) for path in paths]

    def operation(self, method: str, path: str) -> tuple[list[str], Json, dict[str, str]] | None:
        """The pointer to an operation, the operation, and what the path fills in; or None."""
        for template, pattern in self._paths:
            if (match := pattern.fullmatch(path)) and method.lower() in self.document["paths"][template]:
                filled = dict(zip(re.findall("{(.*?)}", template), map(unquote, match.groups()), strict=True))
                return ["paths", template, method.lower()], self.document["paths"][template][method.lower()], filled
        return None

    def holds(self, path: str) -> bool:
        return any(self.operation(method, path) for method in ("GET", "POST", "PUT", "PATCH", "DELETE"))

    def resolve(self, node: Json, at: list[str]) -> tuple[Json, list[str]]:
        """Follow `$ref`; what stands there, and the pointer to it."""
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            at = [part.replace("~1", "/").replace("~0", "~") for part in node["$ref"].removeprefix("#/").split("/")]
            node = self.document
            for part in at:
                node = node[part]
        return node, at

    def errors(self, value: Json, at: list[str], what: str, validator: Any) -> Iterator[str]:
        """How a value breaks the schema at a pointer."""
        pointer = "/".join(quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in at)
        for error in validator({"$ref": f"urn:api#/{pointer}"}, registry=self._registry).iter_errors(value):
            yield f"{what}{''.join(f'.{part}' for part in error.absolute_path)}: {error.message[:300]}"
        node: Json = self.document
        for part in at:
            node = node[int(part)] if isinstance(node, list) else node[part]
        yield from self._unnamed(value, node, at, what)

    def _unnamed(self, value: Json, schema: Json, at: list[str], what: str) -> Iterator[str]:
        schema, at = self.resolve(schema, at)
        if isinstance(value, list) and isinstance(schema, dict) and "items" in schema:
            for place, one in enumerate(value):
                yield from self._unnamed(one, schema["items"], at, f"{what}.{place}")
        if not isinstance(value, dict) or (fields := self._fields(schema)) is None:
            return
        for name, one in value.items():
            if name not in fields:
                yield f"{what}.{name}: the description has no such field"
            else:
                yield from self._unnamed(one, fields[name], at, f"{what}.{name}")

    def _fields(self, schema: Json) -> dict[str, Json] | None:
        """An object's fields by name; None where others are allowed on purpose, or alternatives decide."""
        schema, _ = self.resolve(schema, [])
        if not isinstance(schema, dict) or {"oneOf", "anyOf"} & set(schema) or schema.get("additionalProperties"):
            return None
        found = dict(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            more = self._fields(part)
            if more is None:
                return None
            found |= more
        return found or None


@cache
def description(file: str) -> Description:
    return Description(file)


def problems(
    file: str,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Json = None,
    form: Mapping[str, str] | None = None,
) -> list[str]:
    """How a request breaks the description; [] = it keeps it.

    file      a name in the folder SHIPFWD_SPECS.
    path      below the description's own base.
    query     None: not known, so not looked at.
    headers   those that are known; Content-Type says what `body` is (default: application/json).
    body      the JSON document; a str for anything else, of which only the kind is checked. `form`: form fields.
    """
    api = description(file)
    found = api.operation(method, path)
    if found is None:
        return [f"{method} {path}: the description has no such operation"]
    at, operation, filled = found
    parameters = _parameters(api, at, operation)
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    wrong = list(_values(api, parameters, "path", filled, strict=False))
    if query is not None:
        wrong += _values(api, parameters, "query", query, strict=True)
    wrong += _values(api, parameters, "header", sent, strict=False)
    kind = sent.get("content-type", "application/x-www-form-urlencoded" if form is not None else "application/json")
    kind = kind.partition(";")[0].strip()
    if api.swagger:
        return wrong + _swagger_body(api, operation, parameters, kind, body, form)
    return wrong + _body(api, at, operation, kind, body, form)


def answer_problems(file: str, method: str, path: str, status: int, body: Json) -> list[str]:
    """How a JSON answer breaks the description; [] also for a status of which it says nothing."""
    api = description(file)
    found = api.operation(method, path)
    described = found[1]["responses"] if found else {}
    code = next((one for one in (str(status), f"{status // 100}XX") if one in described), "")
    if found is None or not code:
        return []
    at = found[0]
    answer, at = api.resolve(described[code], [*at, "responses", code])
    if "schema" in answer:
        return list(api.errors(body, [*at, "schema"], "answer", api.read_validator))
    kinds = answer.get("content", {})
    for kind in sorted(kinds, key=lambda one: one != "application/json"):  # what we ask for, if there
        if "json" in kind and "schema" in kinds[kind]:
            return list(api.errors(body, [*at, "content", kind, "schema"], "answer", api.read_validator))
    return (
        [] if body is None or not 200 <= status < 300 else [f"answer {status}: the description has no document there"]
    )


def _parameters(api: Description, at: list[str], operation: Json) -> list[tuple[Json, list[str]]]:
    """The parameters of an operation and of its path, each with the pointer to it."""
    shared = api.document["paths"][at[1]].get("parameters", [])
    every = [(one, [*at[:2], "parameters", str(place)]) for place, one in enumerate(shared)]
    every += [(one, [*at, "parameters", str(place)]) for place, one in enumerate(operation.get("parameters", []))]
    return [api.resolve(one, where) for one, where in every]


def _values(
    api: Description, parameters: list[tuple[Json, list[str]]], place: str, values: Mapping[str, str], strict: bool
) -> Iterator[str]:
    known: set[str] = set()
    for one, at in parameters:
        if one["in"] != place or place == "header" and one["name"].lower() in NOT_PARAMETERS:
            continue
        name = one["name"].lower() if place == "header" else one["name"]
        known.add(name)
        if name not in values:
            if one.get("required"):
                yield f"{place} {one['name']}: is required"
            continue
        schema, where = (one, at) if api.swagger else api.resolve(one.get("schema", {}), [*at, "schema"])
        if api.swagger or "schema" in one:
            value = _typed(values[name], schema)
            if api.swagger:  # a parameter is its own schema there, with "required" in another sense
                schema = {key: what for key, what in schema.items() if key in ("type", "enum", "items", "format")}
                yield from (f"{place} {name}: {error.message}" for error in Draft4Validator(schema).iter_errors(value))
            else:
                yield from api.errors(value, where, f"{place} {name}", api.write_validator)
    for name in sorted(set(values) - known) if strict else ():
        yield f"{place} {name}: the description has no such parameter"


def _body(
    api: Description, at: list[str], operation: Json, kind: str, body: Json, form: Mapping[str, str] | None
) -> list[str]:
    if body is None and form is None:
        required = api.resolve(operation.get("requestBody", {}), [])[0].get("required")
        return ["body: is required"] if required else []
    if "requestBody" not in operation:
        return ["body: the description has none"]
    promised, at = api.resolve(operation["requestBody"], [*at, "requestBody"])
    if kind not in promised["content"]:
        return [f"body: {kind} is none of {', '.join(promised['content'])}"]
    content = promised["content"][kind]
    if isinstance(body, str) or "schema" not in content:
        return []
    schema, _ = api.resolve(content["schema"], [])
    value = body if form is None else {name: _typed(text, _field(api, schema, name)) for name, text in form.items()}
    return list(api.errors(value, [*at, "content", kind, "schema"], "body", api.write_validator))


def _swagger_body(
    api: Description,
    operation: Json,
    parameters: list[tuple[Json, list[str]]],
    kind: str,
    body: Json,
    form: Mapping[str, str] | None,
) -> list[str]:
    if form is not None:
        return list(_values(api, parameters, "formData", form, strict=True))
    promised = next(((one, at) for one, at in parameters if one["in"] == "body"), None)
    if body is None or promised is None:
        if body is not None:
            return ["body: the description has none"]
        return ["body: is required"] if promised and promised[0].get("required") else []
    kinds = operation.get("consumes", api.document.get("consumes", [kind]))
    if kind not in kinds:
        return [f"body: {kind} is none of {', '.join(kinds)}"]
    return (
        [] if isinstance(body, str) else list(api.errors(body, [*promised[1], "schema"], "body", api.write_validator))
    )


def _field(api: Description, schema: Json, name: str) -> Json:
    return api.resolve((api._fields(schema) or {}).get(name, {}), [])[0]


def _typed(text: str, schema: Json) -> Json:
    """A value of a query, header or form as the schema's type; as it is where it cannot be."""
    kind = schema.get("type")
    if kind == "array":
        return [_typed(part, schema.get("items", {})) for part in text.split(",")]
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if kind == "integer" else float(text) if kind == "number" else text
    except ValueError:
        return text
