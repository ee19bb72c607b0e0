"""The house's rules that prose cannot hold: who may import whom, who knows what, how big a file may be.

Nothing is imported here; the sources are read.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "shipfwd"

# Who stands below whom: a module imports only from lines above its own (and, in the lines of SHARED, from its own).
# "" is shipfwd/__init__.py; a package's name is its __init__.py. A new module takes its place here.
ORDER = (
    "",
    "errors",
    "models",
    "signals", "redactor", "files", "digits", "carriers", "schedule",
    "rows", "readers", "spreadsheet", "importer", "rejects",
    "platforms._fields",
    "platforms._pieces",
    "platforms.base",
    "platforms._*",
    "platforms",
    "platforms.*",
    "pacing", "answers", "network", "connections", "http",
    "vault",
    "settings",
    "store.schema", "store.transactions",
    "store.registry", "store.intake", "store.orders", "store.due", "store.queue", "store.foresight", "store.after", "store.reports", "store.shared", "store.pruning", "store",
    "store.checkup",
    "runs",
    "unseen",
    "verdicts", "marking", "forwarder",
    "assembly",
    "prover", "corrector",
    "sweeper",
    "radar", "preview",
    "views",
    "terminal", "story", "page", "metrics", "notify",
    "doctor",
    "simulator._http", "simulator._oauth", "simulator._faults", "simulator.base", "simulator",
    "simulator._*",
    "simulator.server",
    "simulator.*",
    "cli.log",
    "cli.app",
    "cli.complete", "cli.groups", "cli.progress", "cli.ending",
    "cli.setup", "cli.catalogue", "cli.config", "cli.reading", "cli.sending", "cli.intake", "cli.orders", "cli.hands", "cli.care",
    "cli",
    "demo",
    "__main__",
)  # fmt: skip
SHARED = ("platforms._*", "simulator._*")
# The one door upwards, opened inside a function: `shipfwd demo` plays the command line.
DOORS = {("cli.care", "demo")}

HEAVY = {
    "requests",
    "urllib3",
    "rich",
    "sqlite_utils",
    "openpyxl",
    "jinja2",
    "tenacity",
    "prometheus_client",
    "apprise",
}
ADAPTER_LIBRARIES = {"defusedxml", "oauthlib"}
# What touches the world behind the core's back; an adapter gets clock, wait and wire handed in.
WORLDLY = {
    "os", "time", "sys", "io", "pathlib", "shutil", "tempfile", "glob", "subprocess", "socket", "ssl", "select",
    "threading", "multiprocessing", "asyncio", "concurrent", "signal", "logging", "sqlite3", "http",
    "ftplib", "smtplib", "urllib.request", "random", "importlib", "pickle", "getpass",
}  # fmt: skip
READS_FILES = {
    "platforms._definition": {"pathlib.Path"},
    "platforms._document": {"pathlib.Path"},
}  # what a declarative target is made of
SQL = re.compile(
    r"\b(SELECT\s+\S|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+(TABLE|INDEX|TRIGGER)|PRAGMA\s"
    r"|BEGIN\s+IMMEDIATE)"
)

MOST_LINES = 420


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
ADAPTERS = [name for name in FILES if name.startswith("platforms.")]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are run when a module is imported: no function bodies, nothing for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import(child)


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names of all that is imported; `from a import b` gives a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out: from shipfwd.x import y"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(name: str) -> set[str]:
    return set(imported(ast.walk(tree(name))))


def ours(name: str) -> set[str]:
    """The modules of shipfwd that a module imports, wherever in it."""
    found = set()
    for dotted in imports(name):
        if dotted.partition(".")[0] == "shipfwd":
            inner = dotted.partition(".")[2]
            found.add(inner if inner in FILES else inner.rpartition(".")[0])
    return found


def others(name: str) -> set[str]:
    return {dotted.partition(".")[0] for dotted in imports(name)} - {"shipfwd", "__future__"}


def line_of(name: str) -> int:
    """Where a module stands in ORDER; its own name first, then the pattern that fits."""
    if name in ORDER:
        return ORDER.index(name)
    place = next((place for place, known in enumerate(ORDER) if "*" in known and fnmatchcase(name, known)), None)
    assert place is not None, f"shipfwd/{name.replace('.', '/')}.py has no place in ORDER (tests/test_layers.py) yet"
    return place


# ---- who imports whom -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES, ids=lambda name: name or "shipfwd")
def test_imports_point_down_only(name):
    place = line_of(name)
    for below in ours(name) - {name}:
        if (name, below) in DOORS:
            continue
        shared = ORDER[place] in SHARED and line_of(below) == place
        assert line_of(below) < place or shared, f"{name} imports {below}, which stands above or beside it"


def test_every_line_of_the_order_is_a_module():
    for known in ORDER:
        assert any(fnmatchcase(name, known) for name in FILES), f"{known} is gone; take it out of ORDER"
    for module, below in DOORS:
        assert below in ours(module), f"{module} does not import {below} any more; take it out of DOORS"


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_know_only_what_an_api_means(name):
    allowed = {"", "errors", "models", "platforms.base"}
    strange = {one for one in ours(name) - allowed if not one.startswith("platforms._")}
    assert not strange, f"{name} imports {strange}"
    libraries = {one for one in others(name) if one not in sys.stdlib_module_names}
    assert libraries <= ADAPTER_LIBRARIES, f"{name} imports {libraries - ADAPTER_LIBRARIES}"
    known = imports(name) - READS_FILES.get(name, set())
    worldly = {one for one in known if WORLDLY & {one, one.partition(".")[0], one.rpartition(".")[0]}}
    assert not worldly, f"{name} imports {worldly}"


@pytest.mark.parametrize("name", [name for name in FILES if name.partition(".")[0] == "simulator"])
def test_stand_ins_are_not_made_of_the_adapters_they_contradict(name):
    assert {one.partition(".")[0] for one in ours(name)} <= {"errors", "simulator"}
    assert others(name) <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", FILES, ids=lambda name: name or "shipfwd")
def test_heavy_imports_happen_where_they_are_used(name):
    top = {dotted.partition(".")[0] for dotted in imported(at_import(tree(name)))}
    allowed = {"http": {"requests", "urllib3"}, "connections": {"urllib3"}}.get(name, set())
    assert not (top & HEAVY) - allowed


def test_errors_import_nothing():
    assert imports("errors") == {"__future__.annotations"}


# ---- who knows what -------------------------------------------------------------------------------------


def test_only_the_store_knows_sql():
    for name in FILES:
        if name.partition(".")[0] == "store":
            continue
        assert not others(name) & {"sqlite3", "sqlite_utils"}, name
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not SQL.search(node.value), f"{name}, line {node.lineno}: {node.value!r}"


def test_only_http_knows_requests():
    for name in FILES:
        if name != "http":
            assert not others(name) & {"requests", "httpx", "aiohttp"}, name
            assert name == "connections" or "urllib3" not in others(name), name
            assert not any(dotted.startswith(("urllib.request", "http.client")) for dotted in imports(name)), name


def test_only_the_command_line_and_the_views_print():
    for name in FILES:
        speaks = name.partition(".")[0] in ("cli", "views")
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Call) and not speaks:
                called = ast.unparse(node.func)
                assert called not in ("print", "click.echo", "click.secho", "input"), f"{name}, line {node.lineno}"
                assert not called.startswith(("sys.stdout.", "sys.stderr.")), f"{name}, line {node.lineno}"


def test_only_the_vault_opens_secrets():
    """Whoever else wants one gets it from the assembly; the doctor tries whether it is there."""
    for name in FILES:
        if "shipfwd.vault.resolve" in imports(name):
            assert name in ("assembly", "doctor"), name
        text = FILES[name].read_text(encoding="utf-8")
        if "os.environ" in text or "getenv" in text:
            assert name in ("vault", "network", "cli", "cli.app", "views", "demo"), f"{name} reads the environment"
        if "subprocess" in others(name):
            assert name in ("vault", "doctor"), f"{name} runs programs"


# ---- how big, how fast ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES, ids=lambda name: name or "shipfwd")
def test_a_file_is_no_longer_than_one_can_read(name):
    lines = len(FILES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{FILES[name].name} has {lines} lines; it is two files"


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A database with one integration and nothing to do."""
    from datetime import UTC, datetime

    from shipfwd.models import Integration
    from shipfwd.store import Store, create, opened

    path = tmp_path_factory.mktemp("idle") / "idle.db"
    create(path)
    connection = opened(path, may_create=True)
    assert connection is not None
    store = Store(path, connection, lambda: datetime.now(UTC))
    settings, secrets = {"base_url": "https://shop.example"}, {"consumer_key": "env:A", "consumer_secret": "env:B"}
    store.add_integration(Integration(0, "shop", "woocommerce", settings=settings, secrets=secrets))
    store.close()
    return path


@pytest.mark.parametrize(
    "command",
    ["--version", "--help", "-q sweep", "-q sweep --if-due", "-q forward", "status --format json"],
)
def test_what_is_not_needed_is_not_imported(idle, command):
    code = (
        "import sys, shipfwd.cli\n"
        f"shipfwd.cli.cli.main(['--db', {str(idle)!r}, *{command.split()!r}], standalone_mode=False)\n"
        f"sys.stderr.write(' '.join(sorted({HEAVY!r} & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
