"""What is written agrees with what runs: help, README, the pages, the crontab, the exit codes."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from click.testing import CliRunner

from shipfwd import __version__, errors, platforms, schedule, settings
from shipfwd.cli import COMMANDS, EXIT_CODES, cli
from shipfwd.runs import PRECEDENCE

HOME = Path(__file__).parent.parent
README = HOME / "README.md"
CRONTAB = HOME / "crontab.example"
PAGES = [README, HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md", *sorted((HOME / "docs").glob("*.md"))]

# The public command line: other people's scripts rely on it. "+" in front: promised for later, may be missing.
CONTRACT = {
    "": "--db -q -v --trace --version",
    "integration": "",
    "integration add": "--platform --set --secret --trigger --status-transfer --no-status-transfer --disabled",
    "integration list": "--format",
    "integration show": "--format",
    "integration edit": "--name --set --secret --trigger --status-transfer --no-status-transfer",
    "integration enable": "",
    "integration disable": "",
    "integration check": "--format",
    "integration login": "",
    "integration remove": "--yes",
    "platforms": "--format",
    "add": "-i --integration --carrier --status --created-at --item --no-forward --format",
    "import": "-i --integration --file-format --map +--profile --rejects --no-forward --dry-run --yes --format",
    "order": "",
    "order move": "--to -i --integration",
    "order list": "--format",
    "forward": "-o --order -i --integration --failed --reason --again --dry-run --deadline --format",
    "sweep": "--if-due -i --integration --dry-run --deadline +--metrics +--ping +--report --format",
    "status": "-i --integration -o --order --state --since --limit --all --format --output --watch",
    "show": "--format",
    "verify": "-i --integration --since --format",
    "drop": "--reason",
    "settle": "--arrived --not-arrived",
    "correct": "--yes --dry-run",
    "carriers": "--platform --format",
    "carriers map": "-i --integration",
    "carriers detect": "--format",
    "config": "",
    "config list": "--format",
    "config get": "",
    "config set": "",
    "config test-notify": "",
    "schedule": "--emit",
    "prune": "--older-than --format",
    "doctor": "--format",
    "demo": "",
    "simulate": "--port --latency-ms --fault",
}


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))


TREE = dict(walk(cli))


# ---- the command line itself ----------------------------------------------------------------------------


def test_every_public_command_is_there():
    assert set(CONTRACT) <= set(TREE)
    assert {path for path in TREE if path and " " not in path} == set(COMMANDS)


@pytest.mark.parametrize("path", CONTRACT, ids=lambda path: path or "shipfwd")
def test_every_public_option_is_in_the_help(path):
    done = CliRunner().invoke(cli, [*path.split(), "--help"])
    assert done.exit_code == 0
    shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.output))
    promised = {option for option in CONTRACT[path].split() if not option.startswith("+")}
    assert promised <= shown


@pytest.mark.parametrize("path", TREE, ids=lambda path: path or "shipfwd")
def test_every_command_and_option_explains_itself(path):
    command = TREE[path]
    assert command.help
    assert len(command.help.split("\n")[0]) > 10
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.opts[0]} has no help"
    if not isinstance(command, click.Group):
        own = [line for line in commands_in_help(command) if line.split()[: len(path.split())] == path.split()]
        assert own or path == "sweep", f"the help of {path} has no example of it"


# ---- lines that people copy -----------------------------------------------------------------------------

STANDS_FOR = {"ID": "17", "DAYS": "30", "N": "3", "MIN": "5", "PORT": "8080"}  # what a page writes where a number goes
SHELL = ("|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1")
CALL = re.compile(r"(?:^|[\s/(\"'])shipfwd\s+(?=[\w\"'\[-])")


def words_of(line: str) -> list[str]:
    """The arguments of the first `shipfwd …` in a line, as a shell would give them; [] when there is none."""
    found = CALL.search(line)
    if not found:
        return []
    words = []
    for word in shlex.split(line[found.end() :].replace("…", ""), comments=True):
        if word in SHELL or word.startswith((">", "2>")):
            break
        word = word.strip("[]").partition("|")[0] if re.match(r"\[|\S+\|", word) else word
        if word:
            words.append(STANDS_FOR.get(word, word))
    return words


def understood(words: list[str], named_only: bool = False) -> None:
    """Parse a command line without running it. Raises click.UsageError.

    named_only   in prose, where what a command needs may be left out.
    """
    command: click.Command = cli
    rest, context = words, None
    name = "shipfwd"
    try:
        while True:
            context = command.make_context(name, list(rest), parent=context)
            if not isinstance(command, click.Group):
                return
            rest = [*context._protected_args, *context.args]
            if not rest:
                if command.invoke_without_command or named_only:
                    return
                raise click.UsageError("a command is missing")
            found, below, rest = command.resolve_command(context, rest)
            assert below is not None
            name, command = str(found), below
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        if not named_only:
            raise
    except click.exceptions.Exit:  # --help, --version
        pass


def commands_in_help(command: click.Command) -> list[str]:
    """The example lines of a command's help, without `shipfwd` and without their explanation."""
    text = re.sub(r"\s*\\\n\s*", " ", command.help or "")
    lines = []
    for line in text.split("\n"):
        found = CALL.search(line)
        if found and re.match(r"\s*(\w[\w ]*:\s+)?(shipfwd |\*)", line):
            lines.append(re.split(r"\s{2,}", line[found.end() :])[0].rstrip(" ."))
    return lines


def fenced(text: str) -> Iterator[str]:
    """The lines of a page's code blocks that a person would type; of a transcript those behind a $."""
    for block in re.findall(r"^[ \t]*```[a-z]*\n(.*?)^[ \t]*```", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").split("\n")
        typed = [line.strip()[2:] for line in lines if line.strip().startswith("$ ")]
        yield from typed or (line for line in lines if not line.strip().startswith("#"))


def inline(text: str) -> Iterator[str]:
    """What stands between backticks outside code blocks."""
    prose = re.sub(r"^[ \t]*```.*?^[ \t]*```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose) if code.startswith("shipfwd "))


@pytest.mark.parametrize("path", TREE, ids=lambda path: path or "shipfwd")
def test_the_examples_in_the_help_are_understood(path):
    for line in commands_in_help(TREE[path]):
        understood(words_of("shipfwd " + line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_lines_on_the_pages_are_understood(page):
    text = page.read_text(encoding="utf-8")
    for lines, in_prose in ((fenced(text), False), (inline(text), True)):
        for line in lines:
            try:
                if words := words_of(line):
                    understood(words, in_prose)
            except (click.UsageError, ValueError) as error:
                pytest.fail(f"{page.name}: {line.strip()}\n{error}")


def cron_lines(text: str) -> list[str]:
    """The commands of a crontab's lines, also of those that are switched off by a #."""
    found = re.findall(r"^#?\s*(?:[\d*/,]+\s+){5}(\S*shipfwd\s.*)$", text, re.MULTILINE)
    return [line.replace(r"\%", "%") for line in found]


def test_the_crontab_is_understood():
    text = CRONTAB.read_text(encoding="utf-8")
    lines = cron_lines(text)
    assert len(lines) >= 2
    for line in lines:
        understood(words_of(line))
        assert words_of(line)[0] == "-q", "cron mails what is said"
    for line in re.findall(r"`(shipfwd [^`]+)`", text):
        understood(words_of(line), named_only=True)


@pytest.mark.parametrize("kind", schedule.EMITTED)
def test_what_schedule_emits_is_understood(kind):
    config = settings.Config({})
    text = schedule.emit(kind, config.times, config.zone, "/opt/my shops/bin/shipfwd", "/data/100 %/ship$fwd.db")
    lines = cron_lines(text) or re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    lines = lines or re.findall(r"^(?:[\d*/,]+\s+){5}(.*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line.replace(r"\%", "%").replace("%%", "%").replace("$$", "$"))
        assert words[0] == "/opt/my shops/bin/shipfwd"
        assert words[3] == "/data/100 %/ship$fwd.db"
        understood(words[1:])


def test_the_advice_in_messages_names_commands_that_exist():
    """ "…; see: shipfwd status" in any string of the program."""
    advice = re.compile(r"(?:: |; |\()shipfwd ((?:-\w+ )*)([a-z]+)(?: ([a-z]+))?")
    for path in sorted((HOME / "shipfwd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            for _, first, second in advice.findall(node.value):
                if first not in COMMANDS:
                    assert first in ("does", "keeps", "shows", "must", "is", "upgrade"), f"{path.name}: shipfwd {first}"
                elif second and isinstance(TREE[first], click.Group) and f"{first} {second}" not in TREE:
                    assert first == "carriers", f"{path.name}: shipfwd {first} {second}"


# ---- exit codes, times, settings ------------------------------------------------------------------------


def exit_codes() -> set[int]:
    """What the classes in errors.py end with, and 0, bugs and signals."""
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ShipfwdError)]
    return {0, *(one.exit_code for one in classes)}


def test_the_exit_codes_in_the_help_are_those_of_the_errors():
    in_help = {int(code) for code in re.findall(r"^ +(\d+) ", EXIT_CODES, re.MULTILINE)}
    assert in_help == exit_codes()
    assert set(PRECEDENCE) == in_help - {0, 2}


def test_the_readme_has_the_same_exit_codes():
    rows = re.findall(r"^\| *`?(\d+)`? *\|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(code) for code in rows} == exit_codes()


def test_the_readme_begins_with_what_a_newcomer_types():
    text = README.read_text(encoding="utf-8")
    first = next(iter(fenced(text)))
    assert "make demo" in text[: text.index("make test")]
    assert first


def test_readme_and_crontab_have_the_same_line():
    (line,) = [line for line in CRONTAB.read_text().splitlines() if line.startswith("*/10 ")]
    words = words_of(line)
    assert words[:2] == ["-q", "--db"]
    assert words[3:] == ["sweep", "--if-due"]
    assert any(
        "-q" in words_of(line) and words_of(line)[-2:] == ["sweep", "--if-due"]
        for line in fenced(README.read_text(encoding="utf-8"))
    )


def test_the_crontabs_hours_are_the_default_sweep_times():
    times = settings.Config({}).times
    ((minute, hours),) = re.findall(r"^#(\d+) ([\d,]+) \* \* \*", CRONTAB.read_text(), re.MULTILINE)
    assert [f"{time.hour}:{time.minute}" for time in times] == [f"{hour}:{minute}" for hour in hours.split(",")]
    named = ", ".join(f"{time:%H:%M}" for time in times[:-1]) + f" and {times[-1]:%H:%M}"
    assert named in " ".join(CRONTAB.read_text().replace("\n#", "").split())
    assert settings.Config({}).zone == ZoneInfo("Europe/Warsaw")


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in platforms.names()], ids=lambda page: page.stem)
def test_every_setting_stands_on_its_platforms_page(page):
    name = page.stem  # that every platform has its page is a matter of the contract
    text = page.read_text(encoding="utf-8")
    for setting in platforms.load(name).settings:
        assert re.search(rf"[`\s]{setting.name}[`=\s]", text), f"{page.name} does not mention {setting.name}"


def test_the_changelog_knows_this_version():
    text = (HOME / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert versions[1][0] == __version__
    assert versions[1][1]


def test_the_licence_is_apache_2():
    text = (HOME / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "license = Apache-2.0" in (HOME / "setup.cfg").read_text(encoding="utf-8")


def test_the_page_on_scale_speaks_of_the_store_as_it_is():
    """Its table says method by method what a second store needs."""
    from shipfwd.store import Store

    table = (HOME / "docs" / "scale.md").read_text(encoding="utf-8").partition("| method | SQLite now")[2]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    named = {name for first in firsts for name in re.findall(r"`([a-z_]+)`", first)}
    assert {"claim", "settle", "take_back", "intake"} <= named
    assert {name for name in named if not hasattr(Store, name)} == set()
