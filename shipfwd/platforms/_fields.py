"""Fields: how an adapter reads an answer. What stands there is of the promised type, or the field is named and refused.

A null is like a field that is not there. Numbers come as text and text as numbers, from PHP and others; that is no
drift. Everything else is: a document that is well-formed and means something else than its API promises.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from shipfwd.errors import NotUnderstood

NEEDED: Any = object()  # `absent` of a field that must be there
MOST = 10**15  # of anything that is counted, and of ids that are numbers; exact as a float


class Fields:
    """Helpers of Platform. path   the steps into the document: data[path[0]][path[1]]…

    absent   what a field counts as that is null or not there; without it, that is drift too.
    """

    title: ClassVar[str]

    def field(self, data: Any, *path: str | int) -> Any:
        """Whatever stands there; raises NotUnderstood naming the first step that is not there."""
        for depth, step in enumerate(path):
            try:
                if isinstance(step, int) != isinstance(data, list):
                    raise KeyError(step)
                data = data[step]
            except (KeyError, IndexError, TypeError):
                raise NotUnderstood(f"{self.title} answered without '{_way(path[: depth + 1])}'") from None
        return data

    def text(self, data: Any, *path: str | int, absent: Any = NEEDED, null: Any = NEEDED) -> str:
        """A word or a number, as text. `null`: what a null counts as, of a field that must be there."""
        if null is not NEEDED:
            self.field(data, *path)
            absent = null
        found = self._there(data, path, absent)
        if found is absent:
            return str(absent)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise self._drift(found, path, "a word")
        return str(found)

    def count(self, data: Any, *path: str | int, absent: Any = NEEDED) -> int:
        """How many; half a one is one."""
        return math.ceil(self.amount(data, *path, absent=absent))

    def amount(self, data: Any, *path: str | int, absent: Any = NEEDED) -> float:
        found = self._there(data, path, absent)
        if found is absent:
            return float(absent)
        try:
            number = float("nan" if isinstance(found, bool) else found)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not 0 <= number <= MOST:
            raise self._drift(found, path, "a count")
        return number

    def table(self, data: Any, *path: str | int, absent: Any = NEEDED) -> dict[str, Any]:
        found = self._there(data, path, absent)
        if found is absent:
            return dict(absent)
        if not isinstance(found, dict):
            raise self._drift(found, path, "an object")
        return found

    def rows(self, data: Any, *path: str | int, absent: Any = NEEDED) -> list[dict[str, Any]]:
        """A list of objects."""
        found = self._there(data, path, absent)
        if found is absent:
            return list(absent)
        if not isinstance(found, list):
            raise self._drift(found, path, "a list")
        for place, one in enumerate(found):
            if not isinstance(one, dict):
                raise self._drift(one, (*path, place), "an object")
        return found

    def words(self, data: Any, *path: str | int, absent: Any = NEEDED) -> list[str]:
        """A list of words."""
        found = self._there(data, path, absent)
        if found is absent:
            return list(absent)
        if not isinstance(found, list):
            raise self._drift(found, path, "a list")
        return [self.text(found, place) for place in range(len(found))]

    def _there(self, data: Any, path: tuple[str | int, ...], absent: Any) -> Any:
        if absent is NEEDED:
            return self.field(data, *path)
        for depth, step in enumerate(path):
            if data is None or isinstance(data, dict) and step not in data:
                return absent
            if not isinstance(data, list if isinstance(step, int) else dict):
                raise self._drift(data, path[:depth], "a list" if isinstance(step, int) else "an object")
            data = self.field(data, step)
        return absent if data is None else data

    def _drift(self, found: Any, path: tuple[str | int, ...], wanted: str) -> NotUnderstood:
        where = f"in '{_way(path)}'" if path else "in its answer"
        return NotUnderstood(f"{self.title} answered with {_kind(found)} {where}, where {wanted} belongs")


def _way(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    kinds: dict[type, str] = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something")
