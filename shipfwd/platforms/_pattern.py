"""How long a regular expression of a stranger's definition can take, before it is ever used.

Python's matcher goes back and tries again; `([A-Z0-9]+)+-` takes hours for a number of forty characters, and no signal
ends it. Here the ways that it may try are counted: a choice adds, what stands behind one another multiplies.
"""

from __future__ import annotations

import re
from typing import Any

MOST_WAYS = 1_000_000  # some tenths of a second
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def trouble(pattern: str, longest: int) -> str:
    """What is wrong with a pattern for texts of at most so many characters, or ""."""
    try:
        re.compile(pattern)
        # The standard library's own reading of it; re has no public one.
        ways = _ways(re._parser.parse(pattern), longest)  # type: ignore[attr-defined]
    except (re.error, OverflowError) as error:
        return f"is no regular expression: {error}"
    except RecursionError:
        return "is nested too deeply"
    if ways > MOST_WAYS:
        return (
            f"could take for ever on a number of {longest} characters: write it without a repeat inside a repeat, "
            "with fewer * and +, or make number.max smaller"
        )
    return ""


def _ways(node: Any, longest: int) -> int:
    """In how many ways a text can be tried; more than MOST_WAYS is one too many, whatever it is."""
    product = 1
    for word, rest in node:
        name = str(word)
        if name in _REPEATS:
            low, high, inner = rest
            product *= _repeated(low, min(int(high), max(longest, low)), _ways(inner, longest))
        elif name == "BRANCH":
            product *= sum(_ways(one, longest) for one in rest[1])
        else:  # a group, a look around, or a single sign
            parts = rest if isinstance(rest, tuple) else (rest,)
            for part in parts:
                product *= _ways(part, longest) if hasattr(part, "getwidth") else 1
        if product > MOST_WAYS:
            return MOST_WAYS + 1
    return product


def _repeated(low: int, high: int, inner: int) -> int:
    if inner <= 1:
        return max(1, high - low + 1)
    total = 0
    for count in range(low, high + 1):
        total += inner**count if count * (inner.bit_length() - 1) < 20 else MOST_WAYS + 1
        if total > MOST_WAYS:
            return MOST_WAYS + 1
    return total
