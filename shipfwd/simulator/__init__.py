"""Local stand-ins of the platforms, one file each, for the demo, for tests and for rehearsal."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from shipfwd.errors import UsageError
from shipfwd.simulator.base import Stand

_FRAME = {"base", "server"}


@cache
def names() -> list[str]:
    """Every stand-in's name: a file here is a registration; a leading underscore is none."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _FRAME and m.name[0] != "_")


@cache
def load(name: str) -> type[Stand]:
    """The stand-in's class. Imports that one module only. Raises UsageError for an unknown name."""
    if name not in names():
        raise UsageError(f"no stand-in is called '{name}'; there are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Stand) and vars(value).get("name") == name
    )
