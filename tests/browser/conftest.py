"""These tests need a browser: `make browser` brings playwright and Debian's chromium.

They are no part of a run of all tests; asked for by name without a browser they fail, so that nobody takes silence
for proof. CHROMIUM names another executable.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def chromium() -> str:
    """The browser's executable; "" when there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    base = config.invocation_params.dir
    asked = [(base / str(arg).partition("::")[0]).resolve() for arg in config.invocation_params.args]
    if not any(path == HERE or HERE in path.parents for path in asked):
        return True
    try:
        import playwright  # noqa: F401
    except ImportError:
        raise pytest.UsageError("tests/browser needs playwright; run: make browser") from None
    if not chromium():
        raise pytest.UsageError("tests/browser needs chromium; run: make browser, or name one by CHROMIUM=PATH")
    return None


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield running
        running.close()
