"""Tab in bash, zsh and fish offers commands, options, states and the names of integrations."""

from __future__ import annotations

import pytest
from click import shell_completion
from click.shell_completion import ShellComplete

from shipfwd.cli import COMMANDS, cli
from shipfwd.cli.complete import mend_fish


def offered(*words: str, incomplete: str = "") -> list[str]:
    return [item.value for item in ShellComplete(cli, {}, "shipfwd", "_X").get_completions(list(words), incomplete)]


@pytest.fixture
def named(filled, monkeypatch):
    """Three integrations in the usual database."""
    monkeypatch.setenv("SHIPFWD_DB", str(filled.path))
    for name in ("shop", "shop-two", "allegro main"):
        filled.integration(name)
    return filled


def test_commands_are_offered():
    assert set(offered()) == set(COMMANDS)
    assert offered(incomplete="st") == ["status"]
    assert "add" in offered("integration")


@pytest.mark.parametrize(
    "words",
    [
        ("status", "-i"), ("status", "--integration"), ("add", "1", "2", "-i"), ("import", "a.csv", "-i"),
        ("order", "move", "1", "-i"), ("order", "list", "-i"), ("forward", "-i"), ("sweep", "-i"), ("verify", "-i"),
        ("carriers", "map", "-i"), ("integration", "show"), ("integration", "edit"), ("integration", "enable"),
        ("integration", "disable"), ("integration", "check"), ("integration", "login"), ("integration", "remove"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_integrations_are_offered_where_one_is_asked_for(named, words):
    assert offered(*words) == ["allegro main", "shop", "shop-two"]
    assert offered(*words, incomplete="shop-") == ["shop-two"]


def test_reasons_and_profiles_are_offered(named):
    assert offered("forward", "--failed", "--reason", incomplete="num") == ["NumberNotAccepted"]
    named.store.set_config("profile.dpd", "{}")
    named.store.set_config("profile.gls-new", "{}")
    assert offered("import", "a.csv", "--profile") == ["dpd", "gls-new"]
    assert offered("import", "a.csv", "--profile", incomplete="g") == ["gls-new"]


def test_every_reason_that_is_offered_stands_in_the_help():
    from shipfwd.cli.complete import REASONS
    from shipfwd.cli.sending import forward

    assert all(name in forward.help for name in REASONS)


def test_what_was_named_is_not_offered_again(named):
    assert offered("status", "-i", "shop", "-i") == ["allegro main", "shop-two"]
    assert offered("integration", "enable", "shop") == ["allegro main", "shop-two"]


def test_the_database_of_the_line_counts(named, make_store, tmp_path):
    make_store(tmp_path / "other.db").integration("elsewhere")
    assert offered("--db", str(tmp_path / "other.db"), "status", "-i") == ["elsewhere"]


@pytest.mark.parametrize("content", [None, b"", b"rubbish that is no database"])
def test_without_a_database_nothing_is_offered_or_made(monkeypatch, tmp_path, content):
    path = tmp_path / "no.db"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SHIPFWD_DB", str(path))
    assert offered("status", "-i") == []
    assert path.exists() is (content is not None)


@pytest.mark.parametrize(
    ("words", "incomplete", "wanted"),
    [
        (("status", "--state"), "f", ["forwarded", "failed"]),
        (("integration", "add", "x", "--platform"), "woo", ["woocommerce"]),
        (("platforms",), "all", ["allegro"]),
        (("carriers", "--platform"), "woo", ["woocommerce"]),
        (("config", "get"), "sw", ["sweep_times"]),
        (("config", "set"), "tim", ["timezone"]),
        (("schedule", "--emit"), "s", ["systemd"]),
        (("import", "a", "--file-format"), "x", ["xlsx"]),
        (("status",), "--w", ["--watch"]),
    ],
)
def test_states_platforms_settings_and_options_are_offered(words, incomplete, wanted):
    assert offered(*words, incomplete=incomplete) == wanted


@pytest.mark.parametrize(
    "words",
    [("import",), ("import", "a.csv"), ("import", "--rejects"), ("sweep", "--report"), ("sweep", "--metrics"),
     ("status", "--output"), ("--db",), ("--trace",)],
    ids=" ".join,
)  # fmt: skip
def test_a_files_name_is_left_to_the_shell(words):
    (item,) = ShellComplete(cli, {}, "shipfwd", "_X").get_completions(list(words), "par")
    assert (item.type, item.value) == ("file", "par")


def test_a_comma_in_a_description_is_no_end_of_it_in_fish(monkeypatch, capsys):
    monkeypatch.setattr("click.shell_completion._available_shells", dict(shell_completion._available_shells))
    mend_fish()
    monkeypatch.setenv("_SHIPFWD_COMPLETE", "fish_source")
    with pytest.raises(SystemExit):
        cli.main(prog_name="shipfwd")
    assert 'string split --max 1 "," $completion' in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(monkeypatch, capsys, shell):
    monkeypatch.setenv("_SHIPFWD_COMPLETE", f"{shell}_source")
    if shell == "bash":  # click asks the installed bash for its version
        monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(prog_name="shipfwd")
    assert ended.value.code == 0
    assert f"{shell}_complete" in capsys.readouterr().out
