"""Opt in: `make woocommerce`. They are no part of a run of all tests; what is not tested is said LOUDLY.

WOOCOMMERCE and AST name the plugins (a ZIP or a folder), WORDPRESS another WordPress than Debian's.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from wordpress import NEEDED, WordPress

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    base = config.invocation_params.dir
    asked = [(base / str(arg).partition("::")[0]).resolve() for arg in config.invocation_params.args]
    if not any(path == HERE or HERE in path.parents for path in asked):
        return True
    if collection_path.name == "test_plugin.py" and not os.environ.get("WOOCOMMERCE"):
        return True
    return None


def pytest_report_header() -> list[str]:
    given = os.environ.get("WOOCOMMERCE")
    if given:
        return [f"WooCommerce from {given}, Advanced Shipment Tracking from {os.environ.get('AST') or 'NOWHERE'}"]
    return ["!" * 100, "WOOCOMMERCE=PATH (a ZIP or a folder of the plugin) is not given: the plugin itself is NOT TESTED,",
            "only WordPress around it, with a double of WooCommerce's routes.", "!" * 100]  # fmt: skip


@pytest.fixture(scope="session")
def wordpress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WordPress]:
    """One site for all tests; each puts back what it changes."""
    missing = [
        name for name in ("php", "mariadbd", "mariadb-install-db", "my_print_defaults") if not shutil.which(name)
    ]
    assert not missing, f"{', '.join(missing)} not found; {NEEDED}"
    with WordPress(tmp_path_factory.mktemp("wordpress"), "/shop") as site:
        yield site


@pytest.fixture
def merchant(shop, wordpress, monkeypatch):
    monkeypatch.setenv("T_CK", "SECRET-ck")
    monkeypatch.setenv("T_CS", "SECRET-cs")

    def register(*more, base=""):
        given = ["--set", f"base_url={base or wordpress.url}", "--secret", "consumer_key=env:T_CK"]
        given += ["--secret", "consumer_secret=env:T_CS", *more]
        assert shop.run("integration", "add", "woo", "--platform", "woocommerce", *given).code == 0
        return shop

    return register
