"""Start-up: what every command pays before it does anything."""

from __future__ import annotations

from common import PYTHON, SHIPFWD, against, finish, report


def main() -> list[dict[str, str]]:
    ours, peer = against([SHIPFWD, "--version"], [PYTHON, "-c", "import click"], 25)
    return [report("shipfwd --version", ours, peer, "import click", 1.5)]


if __name__ == "__main__":
    finish(main())
