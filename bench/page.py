"""The status page of 50,000 shipments: how long it takes to write, and until a browser can be used with it.

Needs what `make browser` brings; without a browser only the writing is measured.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))

from common import finish, row
from conftest import chromium
from test_browser import write

ROWS = 50_000
WRITTEN, READY = 3.0, 1.5  # seconds: the goals
TIMES = 5


def ready(file: Path) -> list[float]:
    """Seconds from opening the page until its script has drawn and a filter answers; each in a fresh browser tab."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for _ in range(TIMES + 1):
            page = browser.new_page()
            begun = time.perf_counter()
            page.goto(file.as_uri())
            page.locator("#said", has_text=f"of {ROWS}").wait_for()
            page.locator("input[name=state][value=failed]").check()
            page.locator("#said", has_text="page 1 of").wait_for()
            found.append(time.perf_counter() - begun)
            page.close()
        browser.close()
    return found[1:]


def main() -> list[dict[str, str]]:
    results: list[dict[str, str]] = []

    def report(what: str, seconds: float, goal: float) -> None:
        results.append(row(what, f"{seconds:.2f} s", f"<= {goal:g} s", seconds <= goal))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "status.html"
        took = []
        for _ in range(TIMES):
            begun = time.perf_counter()
            write(file, ROWS)
            took.append(time.perf_counter() - begun)
        report(f"page of {ROWS:,} shipments, written", statistics.median(took), WRITTEN)
        results.append(row("its size", f"{file.stat().st_size / 1e6:.1f} MB"))
        try:
            report("the same, until a filter has answered in chromium", statistics.median(ready(file)), READY)
        except ImportError:
            print("NOT MEASURED: no browser here: run make browser first", file=sys.stderr)
    return results


if __name__ == "__main__":
    finish(main())
