"""GraphQL for stand-ins: as much of it as a client with variables, aliases and nested fields uses.

No fragments, no directives. A schema is a table, type → field → type of what it returns ("" for a scalar); a field
that is not in it is refused before anything runs, as a real server does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Mapping[str, str]]
_TOKEN = re.compile(
    r'[\s,\ufeff]+|#[^\n]*|("(?:[^"\\\n]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?|[_A-Za-z]\w*|\.\.\.|[!$():=@\[\]{}|])'
)


class Refused(Exception):
    """The request is not run. `code` and `more` stand in the error's extensions."""

    def __init__(self, message: str, code: str = "", **more: Any) -> None:
        super().__init__(message)
        self.code, self.more = code, more


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Field:
    """One field that is asked for; `key` is its alias or its name."""

    key: str
    name: str
    arguments: Mapping[str, Any]
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Operation:
    """kind: query or mutation. variables: name → (type as written, default or None)."""

    kind: str
    name: str
    variables: Mapping[str, tuple[str, Any]]
    fields: tuple[Field, ...]

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The variables' values. Raises Refused for one that is missing or null where it must not be."""
        values = {}
        for name, (kind, default) in self.variables.items():
            value = given.get(name, default)
            if value is None and kind.endswith("!"):
                raise Refused(f"Variable ${name} of type {kind} was provided invalid value", "INVALID_VARIABLE")
            values[name] = value
        return values


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens, at = [], 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise Refused(f"Parse error on {text[at : at + 10]!r}", "parseError")
            self.tokens += [found[1]] if found[1] else []
            at = found.end()
        self.tokens.reverse()

    def peek(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def take(self, wanted: str = "") -> str:
        token = self.tokens.pop() if self.tokens else ""
        if not token or wanted and token != wanted:
            raise Refused(f"Parse error on {token or 'end of file'!r}, expected {wanted or 'more'!r}", "parseError")
        return token

    def skip(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.tokens.pop()
        return True

    def operation(self) -> Operation:
        kind = self.take() if self.peek() != "{" else "query"
        name = self.take() if self.peek() not in "({" else ""
        variables: dict[str, tuple[str, Any]] = {}
        if self.skip("("):
            while not self.skip(")"):
                self.take("$")
                variable = self.take()
                self.take(":")
                variables[variable] = (self.type(), self.value() if self.skip("=") else None)
        operation = Operation(kind, name, variables, self.selection())
        if kind not in ("query", "mutation") or self.tokens:
            raise Refused(f"Parse error on {self.peek() or kind!r}", "parseError")
        return operation

    def type(self) -> str:
        text = f"[{self.type()}{self.take(']')}" if self.skip("[") else self.take()
        return text + ("!" if self.skip("!") else "")

    def selection(self) -> tuple[Field, ...]:
        fields = []
        self.take("{")
        while not self.skip("}"):
            name = key = self.take()
            if self.skip(":"):
                name = self.take()
            arguments = {}
            if self.skip("("):
                while not self.skip(")"):
                    argument = self.take()
                    self.take(":")
                    arguments[argument] = self.value()
            fields.append(Field(key, name, arguments, self.selection() if self.peek() == "{" else ()))
        return tuple(fields)

    def value(self) -> Any:
        word = self.take()
        if word == "$":
            return Variable(self.take())
        if word == "[":
            items = []
            while not self.skip("]"):
                items.append(self.value())
            return items
        if word == "{":
            found = {}
            while not self.skip("}"):
                name = self.take()
                self.take(":")
                found[name] = self.value()
            return found
        if word[0] in '"-0123456789' or word in ("true", "false", "null"):
            return json.loads(word)
        return word


def parse(text: str) -> Operation:
    """The one operation of a document. Raises Refused."""
    return _Parser(text).operation()


def check(operation: Operation, schema: Schema, root: str) -> None:
    """Raise Refused for a field that the schema does not have, or for fields where there are none."""

    def walk(fields: tuple[Field, ...], kind: str, path: list[str]) -> None:
        for field in fields:
            here = [*path, field.key]
            if field.name not in schema[kind]:
                message = f"Field '{field.name}' doesn't exist on type '{kind}'"
                raise Refused(message, "undefinedField", typeName=kind, fieldName=field.name)
            below = schema[kind][field.name]
            if bool(below) != bool(field.fields):
                must = "must have" if below else "can't have"
                raise Refused(f"Field '{'.'.join(here)}' {must} selections", "selectionMismatch")
            for one in _variables(field.arguments):
                if one.name not in operation.variables:
                    raise Refused(f"Variable ${one.name} is used but not declared", "variableNotDefined")
            walk(field.fields, below, here)

    walk(operation.fields, root, [operation.kind])


def _variables(value: Any) -> Iterator[Variable]:
    if isinstance(value, Variable):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _variables(inner)


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with its variables put in."""
    if isinstance(value, Variable):
        return variables[value.name]
    if isinstance(value, Mapping):
        return {name: filled(one, variables) for name, one in value.items()}
    return [filled(one, variables) for one in value] if isinstance(value, list) else value


def run(fields: tuple[Field, ...], source: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields find in `source`: values, or functions that are called with the arguments."""
    found = {}
    for field in fields:
        value = source[field.name]
        if callable(value):
            given = {name: filled(one, variables) for name, one in field.arguments.items()}
            value = value(**{name: one for name, one in given.items() if one is not None})
        if field.fields and isinstance(value, list):
            value = [run(field.fields, one, variables) for one in value]
        elif field.fields and value is not None:
            value = run(field.fields, value, variables)
        found[field.key] = value
    return found
