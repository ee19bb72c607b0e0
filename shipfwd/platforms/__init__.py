"""Platforms by name: one file each in this folder, and other people's through the entry point group."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from shipfwd.errors import UsageError
from shipfwd.platforms.base import Platform

GROUP = "shipfwd.platforms"


@cache
def _others() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=GROUP)}


@cache
def _ours() -> frozenset[str]:
    return frozenset(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base" and m.name[0] != "_")


def names() -> list[str]:
    """Every platform's name: a file here is a registration."""
    return sorted({*_ours(), *_others()})


@cache
def load(name: str) -> type[Platform]:
    """The adapter's class. Imports that one module only, so that a broken neighbour breaks nobody.

    Raises UsageError for an unknown name, with the nearest one.
    """
    if name not in _ours() and name not in _others():
        import difflib

        near = difflib.get_close_matches(name.lower(), names(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(names())}"
        raise UsageError(f"no platform is called '{name}'{hint}")
    module, _, attribute = f"{__name__}.{name}".partition(":") if name in _ours() else _others()[name].partition(":")
    found = importlib.import_module(module)
    if attribute:
        return getattr(found, attribute)
    return next(
        value
        for value in vars(found).values()
        if isinstance(value, type) and issubclass(value, Platform) and vars(value).get("name") == name
    )
