"""These tests need the vendors' API descriptions: SHIPFWD_SPECS=FOLDER pytest tests/conformance (make conformance).

Without it they are no part of a run of all tests; asked for by name they fail, so that nobody takes silence for proof.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SPECS = os.environ.get("SHIPFWD_SPECS", "")


@pytest.fixture(autouse=True)
def the_descriptions(no_real_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests alone see where the descriptions lie; every other setting of who runs them stays hidden."""
    monkeypatch.setenv("SHIPFWD_SPECS", SPECS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if os.environ.get("SHIPFWD_SPECS"):
        return None
    base = config.invocation_params.dir
    asked = [(base / str(arg).partition("::")[0]).resolve() for arg in config.invocation_params.args]
    if any(path == HERE or HERE in path.parents for path in asked):
        raise pytest.UsageError("tests/conformance needs SHIPFWD_SPECS=FOLDER, the vendors' API descriptions")
    return True
