"""The demo plays the whole job, ends well, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

import pytest

from shipfwd import demo


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """What `shipfwd demo` printed in a pipe, and the folders it could have written to."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("home", "tmp", "here")}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folders["home"]),
        "TMPDIR": str(folders["tmp"]),
        "SHIPFWD_DB": str(folders["home"] / "real.db"),
        "HTTP_PROXY": "http://127.0.0.1:9",  # a proxy must not get between the demo and its stand-ins
        "http_proxy": "http://127.0.0.1:9",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", "from shipfwd.__main__ import main; main()", "demo"],
        env=environment,
        cwd=folders["here"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done, folders


def test_it_ends_with_0_and_says_what_to_do_next(played):
    done, _ = played
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "shipfwd integration add NAME" in done.stdout.rpartition("Next")[2]


def test_nothing_is_written_outside_its_own_folder(played):
    _, folders = played
    assert {name: os.listdir(folder) for name, folder in folders.items()} == {"home": [], "tmp": [], "here": []}


@pytest.mark.parametrize(
    "line",
    [
        r"\$ shipfwd integration add allegro-main --platform allegro .*--trigger status:Shipped",
        r"\$ shipfwd integration add old-shop .*--disabled",
        r"\$ shipfwd import parcels.csv -i shop",
        r"parcels.csv, line 3: a spreadsheet shortened the number",
        r"8 rows, 7 added, 1 rejected, 3 waiting, 2 forwarded, 1 failed, 1 blocked, 1 adopted",
        r"\(exit code 1: a person must look\)",
        r"\$ shipfwd order move a11e9000-0000-4000-8000-000000000001 --to Shipped -i allegro-main",
        r"\$ shipfwd sweep\n1 forwarded",
        r"○ off +old-shop +woocommerce +created +on",
        r"● on +shop +woocommerce +created +on",
        r"✔✔ +4 +101 +shop forwarded \d{4}-\d\d-\d\d \d\d:\d\d *\n +620022696408430119458408 inpost",
        r"✖ +6 +104 +shop failed: the order is",
        r"⊘ +5 +103 +shop blocked: WooCommerce has",
        r"⌛ +3 +a11e9000\S+ +allegro-main expired: its order did",
        r" 2 +a11e9000\S+ +allegro-main waiting: waits for its",
        r"✔✔ +1 +a11e9000\S+ +allegro-main forwarded",
        r"Needs a person: 1 failed, 1 blocked; 1 waiting. Next sweep",
        r"shop, order 105, .*: 620022696408430119458416 \(written once\)",
        r"shop, order 101: 620022696408430119458408; its state: completed",
        r"Sent; Allegro accepted the number\.",
        r"POST http://127.0.0.1:\d+/allegro/order/checkout-forms/.*/shipments → 201",
    ],
)
def test_it_shows_each_outcome(played, line):
    shown = played[0].stdout.replace(" \\\n    ", " ")
    assert re.search(line, shown), shown


def test_no_secret_and_no_colour_code_is_shown_in_a_pipe(played):
    assert not re.search("SECRET[-_]", played[0].stdout)  # how every secret of a stand-in begins; the names only end so
    assert "\x1b" not in played[0].stdout
    assert "\r" not in played[0].stdout


def test_the_environment_and_the_folder_are_what_they_were(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    said: list[str] = []
    assert demo.play(said.append) == 0
    assert dict(os.environ) == before
    assert os.getcwd() == str(tmp_path)
    assert os.listdir(tmp_path) == []
    assert any(line.startswith("$ shipfwd sweep") for line in said)
    assert "1 forwarded" in capsys.readouterr().out


def test_a_demo_that_went_wrong_says_so(monkeypatch, capsys):
    monkeypatch.setitem(demo.ENDS, "101", "failed")
    said: list[str] = []
    assert demo.play(said.append) == 70
    assert said[-1] == "The demo went wrong, please report it: order 101 is forwarded, not failed"


def test_an_interrupted_command_ends_it(monkeypatch, capsys):
    calls = []

    def interrupted(self, arguments, out):
        calls.append(arguments)
        raise demo.Stopped

    monkeypatch.setattr(demo.Stage, "_call", interrupted)
    assert demo.play(lambda line: None) == 130
    assert len(calls) == 1


def test_a_screen_that_lacks_letters_gets_question_marks(tmp_path):
    with open(tmp_path / "out", "w", encoding="ascii") as file, contextlib.redirect_stdout(file):
        screen = demo.Screen(sys.stdout)
        screen.write("\x1b[32m✔\x1b[0m done\r\n")
        screen.flush()
    assert (tmp_path / "out").read_text() == "? done\n"
    assert screen.isatty()
