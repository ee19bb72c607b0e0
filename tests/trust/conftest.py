"""What the proofs of trust share, and the table of figures at their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import park
import pytest


@pytest.fixture(scope="session")
def _nursery(tmp_path_factory) -> Iterator[park.Nursery]:
    nursery = park.Nursery(tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.close()


@pytest.fixture
def nursery(_nursery, tmp_path) -> park.Nursery:
    _nursery.folder, _nursery.env = tmp_path, {}
    return _nursery


@pytest.fixture
def shop(shop, sim) -> Any:
    """The merchant's clock and the platforms' show the same time."""
    sim.advance(shop.clock().timestamp() - sim.now())
    return shop


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not park.FIGURES:
        return
    names = list(dict.fromkeys(name for line in park.FIGURES for name in line))
    rows = [names, *([str(line.get(name, "")) for name in names] for line in park.FIGURES)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(names))]
    form = "long" if park.LONG else "short"
    terminalreporter.section(f"trust, {form} form; SHIPFWD_TRUST_SEED={park.SEED} repeats it")
    for row in rows:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
