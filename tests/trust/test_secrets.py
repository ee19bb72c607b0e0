"""No secret leaves: planted ones are searched for in all that shipfwd writes, says and hands to other programs."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import park
import pytest
from park import PLATFORMS

from shipfwd.simulator._http import Answer
from shipfwd.simulator.server import Simulator

# The word stands in every secret of a stand-in; a variable's name or a page of ours may hold "secret" in small letters.
PLANTED = "SECRET"


def everything(shop, said):
    """All that a run of this shop left behind, by name."""
    found = {f"what was said {n}": one.out + one.err for n, one in enumerate(said)}
    for path in shop.folder.rglob("*"):
        if path.is_file() and not path.name.endswith(".vault"):
            found[str(path)] = path.read_bytes().decode("latin-1")
    with closing(sqlite3.connect(shop.db)) as db:
        found["a dump of the database"] = "\n".join(db.iterdump())
    return found


def echoes(request):
    """A platform that says back all it was sent, secrets among it."""
    words = " ".join([*request.headers.values(), request.body.decode()])
    return Answer.json({"error": words, "message": words, "errors": [words], "headers": request.headers}, 400)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_secret_is_in_anything_that_shipfwd_writes_or_says(platform, sim, shop, monkeypatch, caplog):
    park.hurry(monkeypatch)
    words, env = park.credentials(sim, platform)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    assert any(PLANTED in value for value in env.values())
    orders = [park.order_id(platform, n) for n in range(6)]
    trace, page = shop.folder / "trace.jsonl", shop.folder / "page.html"
    carrier = park.carrier(platform)

    def add(n, *more):
        return shop.run("--trace", trace, "-v", "add", orders[n], park.number(platform, n), "-i", platform,
                        "--carrier", carrier, *more)  # fmt: skip

    said = [shop.run("integration", "add", *words), shop.run("integration", "check"), add(0)]
    with monkeypatch.context() as parrot:
        parrot.setattr(sim, "_ask", lambda stand, request: echoes(request))
        said += [add(1), shop.run("forward")]
    said += [add(2, "--no-forward"), shop.run("-v", "forward", "--dry-run"), shop.run("sweep", "--report", page)]

    def bug(platform, *args, **more):
        raise ValueError(f"{dict(platform.headers())} {dict(platform.secrets)}")

    kind = park.platforms.load(platform)
    with monkeypatch.context() as broken:
        broken.setattr(kind, "forward", bug)
        said.append(add(3))
        assert said[-1].code in (70, 1), said[-1]
    shop.clock.forward(seconds=1801)
    sim.advance(1801)
    said += [shop.run("sweep", "--metrics", shop.folder / "metrics"), shop.run("verify"), shop.run("doctor")]
    said += [shop.run("status", "--all", "--format", form) for form in ("table", "json", "csv", "html")]
    said += [shop.run("-v", "show", n) for n in (1, 2, 3, 4)]
    said += [shop.run("integration", "list"), shop.run("integration", "show", platform), shop.run("config", "list")]
    assert trace.read_text()
    leaks = {
        name: text[max(0, text.index(PLANTED) - 80) :][:160]
        for name, text in everything(shop, said).items()
        if PLANTED in text
    }
    assert not leaks
    assert PLANTED not in caplog.text


def test_no_secret_is_in_the_arguments_or_the_environment_of_anything_it_starts(sim, shop, monkeypatch):
    """A secret by command: what is started gets it neither as an argument nor on its input."""
    settings, secrets = sim.platform("woocommerce").credentials()
    monkeypatch.setenv("T_KEY", secrets["consumer_key"])
    helper = shop.file("helper.sh", f"tr '\\0' ' ' < /proc/$PPID/cmdline > {shop.folder}/argv; cat {shop.folder}/kept")
    shop.file("kept", secrets["consumer_secret"] + "\n")
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert shop.run("integration", "add", "shop", "--platform", "woocommerce", *given, "--secret", "consumer_key=env:T_KEY",
                    "--secret", f"consumer_secret=cmd:sh {helper}").code == 0  # fmt: skip
    assert shop.run("add", "1001", "0000123456789U", "-i", "shop", "--carrier", "dpd").code == 0
    assert PLANTED not in (shop.folder / "argv").read_text()
    assert PLANTED not in Path("/proc/self/cmdline").read_text()


@pytest.mark.parametrize(
    "words", [("--secret", "consumer_key=SECRET-literal"), ("--set", "consumer_key=SECRET-literal")]
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(words, shop):
    said = shop.run(
        "integration", "add", "shop", "--platform", "woocommerce", "--set", "base_url=http://127.0.0.1:9", *words
    )
    assert said.code == 2
    assert PLANTED not in said.out + said.err
    assert not shop.db.exists() or PLANTED not in shop.db.read_bytes().decode("latin-1")


def test_every_file_is_its_owners_alone_whatever_the_umask(nursery, tmp_path):
    """Looked at while a run is killed, so that -wal, -shm, run and token locks are there."""
    folder = tmp_path / "new" / "data"
    db, trace, rejects = folder / "t.db", folder / "trace.jsonl", folder / "rejects.csv"
    with Simulator(latency_ms=50, auto_orders=True) as sim:
        for platform in ("allegro", "shopware"):
            words, env = park.credentials(sim, platform)
            nursery.env.update(env)
            assert nursery.run(db, "integration", "add", *words, umask=0) == 0, nursery.said
        due = park.dues("allegro", 1, 40) + park.dues("shopware", 1, 10)
        file = park.as_file(tmp_path / "a.csv", due)
        with file.open("a") as out:
            out.write("allegro,,,\n")
        assert nursery.run(db, "import", "--no-forward", "--rejects", rejects, file, umask=0) == 1
        pid = nursery.start(db, "--trace", trace, "sweep", umask=0)
        time.sleep(0.6)
        os.kill(pid, signal.SIGKILL)
        nursery.reap(pid)
    seen = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in [folder.parent, *folder.parent.rglob("*")]
    }
    open_to_others = {name: oct(mode) for name, mode in seen.items() if mode & 0o077}
    assert not open_to_others
    for wanted in ("t.db", "t.db-wal", "t.db-shm", "t.db.vault", "trace.jsonl", "rejects.csv", "t.db.locks"):
        assert f"new/data/{wanted}" in seen
    assert any("/run-" in name for name in seen) and any("/token-" in name for name in seen)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_vault_that_others_can_read_is_refused_with_the_command_that_helps(mode, sim, shop):
    shop.add("shop", "allegro")
    assert shop.run("integration", "check").code == 0
    vault = shop.db.with_name(shop.db.name + ".vault")
    vault.chmod(mode)
    said = shop.run("add", park.order_id("allegro", 1), "0000123456789U", "-i", "shop", "--carrier", "dpd")
    assert said.code == 3
    assert f"chmod 600 {vault}" in said.err
    assert sim.platform("allegro").all_numbers() in ({}, {park.order_id("allegro", 1): []})


HOSTILE = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(cell, shop):
    shop.add("shop", "woocommerce", "--trigger", "status:Packed")
    shop.run("add", "1001", "0000123456789U", "-i", "shop", "--status", cell)
    out = shop.run("status", "--format", "csv").out + shop.run("order", "list", "--format", "csv").out
    cells = [one.strip('"') for line in out.splitlines() for one in line.split(",")]
    assert not [one for one in cells if one[:1] in ("=", "+", "@", "-") and len(one) > 1]


def test_escape_sequences_from_files_and_platforms_never_reach_the_terminal(sim, shop):
    nasty = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\u202eevil"
    shop.add("shop", "woocommerce")
    row = f"order_id,tracking_number,order_status\n1001,0000123456789U,{nasty}\nx{nasty},0000123456790U,\n"
    said = [shop.run("import", "-i", "shop", "--no-forward", shop.file("a.csv", row))]
    sim.fail_next("woocommerce", Answer.json({"code": "no", "message": nasty}, 400), times=50)
    said += [shop.run("forward"), shop.run("status", "--all"), shop.run("order", "list"), shop.run("-v", "show", 1),
             shop.run("status", "--all", "--format", "html"), shop.run("status", "--all", "--format", "csv")]  # fmt: skip
    for one in said:
        assert not set("\x1b\x07\x9b\x08\u202e") & set(one.out + one.err), one
