"""What is shipped beside the program is what the program itself says."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from shipfwd import schedule, settings
from shipfwd.cli import COMMANDS, EXIT_CODES, cli

CONTRIB = Path(__file__).parent.parent / "contrib"


def test_the_units_are_what_schedule_emits():
    config = settings.Config({})
    text = schedule.emit("systemd", config.times, config.zone, "/usr/local/bin/shipfwd", "/var/lib/shipfwd/shipfwd.db")
    _, *parts = re.split(r"^# ~/.config/systemd/user/shipfwd\.(?:service|timer)\n", text, flags=re.MULTILINE)
    service, timer = (part.strip() + "\n" for part in parts)
    assert (CONTRIB / "shipfwd.service").read_text() == service
    assert (CONTRIB / "shipfwd.timer").read_text() == timer


@pytest.fixture(scope="module")
def page() -> str:
    spec = importlib.util.spec_from_file_location("man", CONTRIB / "man.py")
    assert spec is not None
    assert spec.loader is not None
    man = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(man)
    return man.page()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_manual_page_has_every_command_and_option(page, name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    section = re.split(r"^\.SS ", page[page.index(f".SS shipfwd {name} ") :], flags=re.MULTILINE)[1]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[-1].replace("-", "\\-") in section


def test_the_manual_page_has_every_exit_code(page):
    codes = re.findall(r"^ +(\d+) ", EXIT_CODES, re.MULTILINE)
    assert re.findall(r"^\.B (\d+)$", page, re.MULTILINE) == codes


def test_no_line_of_the_manual_page_is_taken_for_a_request_that_is_none(page):
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".nf", ".fi"}
    assert page.count(".nf\n") == page.count(".fi\n") > 20
    assert "\b" not in page


def test_man_has_nothing_to_complain_of(page, tmp_path):
    if not (groff := shutil.which("groff")):
        return  # not everybody has one; what is above holds without
    file = tmp_path / "shipfwd.1"
    file.write_text(page, encoding="utf-8")
    done = subprocess.run([groff, "-ww", "-man", "-Kutf8", "-Tutf8", file], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "adjust" not in line and "can't break" not in line] == []
