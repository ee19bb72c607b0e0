"""A definition's file as a table: whatever lies at that path, a sentence or a document of TOML that JSON can hold."""

from __future__ import annotations

import math
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

from shipfwd.errors import ConfigError

MOST_BYTES = 200_000  # the longest that ships with shipfwd has 8,000
DEEPEST = 30  # tables and lists in each other


def document(file: Path) -> dict[str, Any]:
    """Raises ConfigError for what is no file, too long, too deep, or no TOML."""
    try:
        if file.exists() and not file.is_file():  # a pipe or a device may have no end
            raise ConfigError(f"cannot read the definition {file}: it is no file")
        if (size := file.stat().st_size) > MOST_BYTES:
            raise ConfigError(f"the definition {file} has {size} bytes; at most {MOST_BYTES} are read")
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the definition {file}: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"the definition {file} is nested too deeply") from None
    except ValueError as error:  # TOML's, and that of a number with thousands of digits
        raise ConfigError(f"the definition {file} is not TOML: {error}") from None
    try:
        found: dict[str, Any] = _plain(table, 0)
    except ValueError as error:
        raise ConfigError(f"the definition {file} {error}") from None
    return found


def _plain(value: Any, depth: int) -> Any:
    """TOML's dates and times as the text they were written in. Raises ValueError for what JSON cannot say."""
    if depth > DEEPEST:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        return {key: _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"holds {value}, which is no number in JSON")
    return value.isoformat() if isinstance(value, date | time) else value
