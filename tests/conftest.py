"""What every test gets: a home of its own, a clock to move, a real store, and a shop to run commands against."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support import Clock, Filled, Shop

# The same examples each time, however slow the machine is.
hypothesis.settings.register_profile("shipfwd", derandomize=True, deadline=None)
hypothesis.settings.load_profile("shipfwd")

_OURS = re.compile("SHIPFWD_|XDG_|NO_COLOR|FORCE_COLOR|COLUMNS|.*_PROXY$|.*_CA_BUNDLE$", re.IGNORECASE)


def pytest_configure(config: pytest.Config) -> None:
    """Every commit is synced, and a suite makes many thousands: in memory they do not wait for a disk."""
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and os.access("/dev/shm", os.W_OK):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = "/dev/shm"


@pytest.fixture(scope="session")
def nobody_home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def no_real_home(nobody_home, monkeypatch) -> None:
    """No test sees the real home, or the settings of whoever runs the tests."""
    for name in list(os.environ):
        if _OURS.fullmatch(name) or _OURS.match(name) and name.startswith(("SHIPFWD_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(nobody_home))
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_store(tmp_path, clock) -> Iterator[Callable[..., Filled]]:
    """Opens the database of this test, as often as wanted; each with a connection of its own."""
    made: list[Filled] = []

    def make(path: Path | None = None, at: Clock | None = None) -> Filled:
        made.append(Filled(path or tmp_path / "t.db", at or clock))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.fixture
def filled(make_store) -> Filled:
    return make_store()


@pytest.fixture
def sim() -> Iterator[Any]:
    """The stand-ins; any plausible order id exists."""
    from shipfwd.simulator.server import Simulator

    with Simulator(auto_orders=True) as running:
        yield running


@pytest.fixture
def shop(sim, tmp_path, clock, monkeypatch) -> Shop:
    return Shop(sim, tmp_path, clock, monkeypatch)


@pytest.fixture(autouse=True)
def _threads_end() -> Iterator[None]:
    """No test leaves a worker behind."""
    yield
    left = [one.name for one in threading.enumerate() if one.name.startswith("shop-")]
    assert not left, left
