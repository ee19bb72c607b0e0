"""Secret references, the vault, OAuth tokens under many processes, and the redactor."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipfwd import vault as vault_module
from shipfwd.errors import ConfigError, Unavailable, UsageError
from shipfwd.files import flocked
from shipfwd.platforms.base import Token
from shipfwd.redactor import MASK
from shipfwd.signals import signals_held
from shipfwd.vault import Redactor, Reference, Vault, parse_reference, resolve

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "shipfwd.db.vault", tmp_path / "locks")


def value_of(text: str, prompted: dict[str, str] | None = None) -> str:
    return resolve(parse_reference(text), integration="shop", secret="api_key", prompted=prompted or {})


def none() -> None:
    return None


# ---- references -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("env:SHOP_KEY", "env", "SHOP_KEY"),
        ("file:/etc/shop key", "file", "/etc/shop key"),
        ("file:C:odd", "file", "C:odd"),
        ("cmd:pass show shop | head -1", "cmd", "pass show shop | head -1"),
        (" prompt ", "prompt", ""),
    ],
)
def test_a_reference_is_read_and_shown_as_it_was_written(text, kind, target):
    reference = parse_reference(text)
    assert reference == Reference(kind, target)
    assert str(reference) == text.strip()
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize("text", ["SECRET-literal", "", "ck_SECRET", "ENV:SECRET", "SECRET:x", "prompt:SECRET"])
def test_a_literal_is_refused_with_the_reason_and_never_repeated(text):
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    for word in ("process list", "history", "env:NAME", "file:PATH", "cmd:COMMAND", "prompt"):
        assert word in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["env:", "file: ", "cmd:", "env:SECRET VALUE", "env:9SECRET", "env:SECRET-x", "file:a\0b"]
)
def test_a_reference_to_nothing_is_refused_and_never_repeated(text):
    with pytest.raises(UsageError, match=r"names nothing|name of an environment variable") as caught:
        parse_reference(text)
    assert "SECRET" not in str(caught.value)


def test_a_file_reference_is_made_absolute_where_it_is_added(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/shop")
    assert Reference("file", "keys/a").absolute() == Reference("file", f"{tmp_path}/keys/a")
    assert Reference("file", "~/a").absolute() == Reference("file", "/home/shop/a")
    assert Reference("cmd", "cat ~/a").absolute() == Reference("cmd", "cat ~/a")


def test_a_variable_is_read_when_it_is_used(monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "SECRET-1")
    assert value_of("env:SHOP_KEY") == "SECRET-1"
    monkeypatch.setenv("SHOP_KEY", "SECRET-2")
    assert value_of("env:SHOP_KEY") == "SECRET-2"


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_names_secret_integration_and_next_step(monkeypatch, value):
    monkeypatch.delenv("SHOP_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SHOP_KEY", value)
    with pytest.raises(ConfigError) as caught:
        value_of("env:SHOP_KEY")
    assert str(caught.value) == (
        "secret api_key: environment variable SHOP_KEY is not set; "
        "cron passes no environment of yours: use file: or set it in the crontab"
    )


def secret_file(tmp_path, content: bytes, mode: int = 0o600):
    path = tmp_path / "key file"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"SECRET", "SECRET"),
        (b"SECRET\n", "SECRET"),
        (b"SECRET\r\n", "SECRET"),
        (b" SECRET ", " SECRET "),
        (b"\xef\xbb\xbfSECRET\n", "SECRET"),
        ("zażółć\n".encode(), "zażółć"),
    ],
)
def test_a_secret_file_is_read_without_the_line_break_at_its_end(tmp_path, content, value):
    assert value_of(f"file:{secret_file(tmp_path, content)}") == value


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_secret_file_that_others_may_use_is_refused_with_the_command_that_helps(tmp_path, mode):
    path = secret_file(tmp_path, b"SECRET", mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600 '{path}'") as caught:
        value_of(f"file:{path}")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(("mode", "fine"), [(0o444, True), (0o440, True), (0o400, True), (0o644, True), (0o664, False)])
def test_a_file_that_systemd_handed_in_may_be_readable_but_not_writable_by_others(tmp_path, monkeypatch, mode, fine):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path = secret_file(tmp_path, b"SECRET", mode)
    if fine:
        assert value_of(f"file:{path}") == "SECRET"
    else:
        with pytest.raises(ConfigError, match="chmod 600"):
            value_of(f"file:{path}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"SECRET\n\n", "more than one line"),
        (b"SECRET\nmore\n", "more than one line"),
        (b"SEC\0RET", "control characters"),
    ],
)
def test_a_file_that_holds_no_secret_in_one_line_is_refused(tmp_path, content, message):
    with pytest.raises(ConfigError, match=f"secret api_key: .*{message}") as caught:
        value_of(f"file:{secret_file(tmp_path, content)}")
    assert "SECRET" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/none: No such file"):
        value_of(f"file:{tmp_path}/none")
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}: Is a directory"):
        value_of(f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("echo SECRET", "SECRET"),
        ("printf 'SECRET\\nuser: me\\n'", "SECRET"),
        ("echo secret | tr a-z A-Z", "SECRET"),
        ("cat; echo SECRET", "SECRET"),  # there is no input to wait for
        ("echo noise >&2; printf SECRET", "SECRET"),
        ("test -t 0 || test -e /dev/tty && (: </dev/tty) 2>/dev/null || echo SECRET", "SECRET"),  # nor a terminal
    ],
)
def test_a_command_gives_the_first_line_it_prints(command, value):
    assert value_of(f"cmd:{command}") == value


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo SECRET; echo no such key >&2; exit 3", "ended with 3: no such key"),
        ("echo SECRET; echo bad: SECRET >&2; exit 3", "ended with 3: bad: "),
        ("false", "ended with 1; run it by hand to see why"),
        ("true", "printed nothing; run it by hand"),
        ("echo; echo SECRET", "printed nothing"),
        ("no-such-command-here", "ended with 127: "),
        ("printf 'a\\033[31mb' >&2; exit 1", r"ended with 1: a \[31mb"),
    ],
)
def test_a_command_that_fails_is_told_by_its_complaint_and_never_by_its_output(command, message):
    with pytest.raises(ConfigError, match=f"secret api_key: .*{message}") as caught:
        value_of(f"cmd:{command}")
    assert "SECRET" not in str(caught.value).replace(command, "")


def test_a_command_that_does_not_end_is_killed_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(vault_module, "COMMAND_SECONDS", 0.3)
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ConfigError, match=r"did not end within 0\.3 seconds"):
            value_of(f"cmd:exec 3>{tmp_path}/pipe; echo started >&3; sleep 60 & wait")
        assert os.read(pipe, 100) == b"started\n"
        assert select.select([pipe], [], [], 5)[0]
        assert os.read(pipe, 100) == b""  # the end: nobody holds the other side any more
    finally:
        os.close(pipe)


def test_a_prompted_secret_comes_from_the_vault_or_names_the_command_that_asks():
    assert value_of("prompt", {"api_key": "SECRET"}) == "SECRET"
    with pytest.raises(ConfigError, match="run: shipfwd integration edit shop --secret api_key=prompt"):
        value_of("prompt", {"other": "x"})


# ---- the vault ------------------------------------------------------------------------------------------


def test_a_missing_vault_is_empty_and_reading_makes_no_file(vault, tmp_path):
    assert vault.prompted(1) == {}
    assert vault.login_expires_at(1) is None
    assert vault.token_ages() == {}
    assert vault.tokens(1, none).current() is None
    vault.wipe(1)
    assert not vault.path.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o377])
def test_the_vault_and_its_locks_are_private_whatever_the_umask(vault, umask):
    before = os.umask(umask)
    try:
        vault.set_prompted(1, "api_key", "SECRET")
        with vault.tokens(1, none).locked():
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (vault.path, vault.locks, *vault.locks.iterdir())}
    assert modes == {"shipfwd.db.vault": 0o600, "locks": 0o700, "vault.lock": 0o600, "token-1": 0o600}


def test_prompted_values_are_kept_by_integration_until_they_are_forgotten(vault):
    vault.set_prompted(1, "api_key", "a")
    vault.set_prompted(1, "other", "b")
    vault.set_prompted(2, "api_key", "c")
    assert Vault(vault.path, vault.locks).prompted(1) == {"api_key": "a", "other": "b"}
    vault.set_prompted(1, "other", "")
    assert vault.prompted(1) == {"api_key": "a"}
    vault.wipe(1)
    assert (vault.prompted(1), vault.prompted(2)) == ({}, {"api_key": "c"})
    assert json.loads(vault.path.read_text()) == {"version": 1, "integrations": {"2": {"prompted": {"api_key": "c"}}}}


def test_what_another_process_wrote_is_seen_at_once(vault):
    vault.set_prompted(1, "a", "x")
    assert vault.prompted(1) == {"a": "x"}
    Vault(vault.path, vault.locks).set_prompted(1, "a", "y")
    assert vault.prompted(1) == {"a": "y"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_vault_that_others_may_use_is_refused_with_the_command_that_helps(vault, mode):
    vault.set_prompted(1, "api_key", "SECRET")
    vault.path.chmod(mode)
    for use in (lambda: vault.prompted(1), lambda: vault.set_prompted(1, "a", "b"), vault.token_ages):
        with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600 {vault.path}"):
            use()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '"x"', "{}", '{"version": 1}', '{"version": 1, "integrations": []}',
     '{"version": 1, "integrations": {"x": {}}}', '{"version": 1, "integrations": {"1": []}}',
     '{"version": 1, "integrations": {"1": {"prompted": {"a": 1}}}}',
     '{"version": 1, "integrations": {"1": {"token": {"expires_at": "soon"}}}}', "\0\0\0\0"],
)  # fmt: skip
def test_a_damaged_vault_is_refused_untouched_with_the_next_step(vault, content):
    vault.path.write_text(content)
    vault.path.chmod(0o600)
    for use in (lambda: vault.prompted(1), lambda: vault.set_prompted(1, "a", "b"), vault.token_ages):
        with pytest.raises(ConfigError, match="is damaged; restore it from a backup"):
            use()
    assert vault.path.read_text() == content


def test_a_vault_of_a_newer_shipfwd_is_refused(vault):
    vault.path.write_text('{"version": 2, "vault": "?"}')
    vault.path.chmod(0o600)
    with pytest.raises(ConfigError, match="newer shipfwd"):
        vault.prompted(1)


def test_an_unchanged_vault_is_not_written_again(vault):
    vault.set_prompted(1, "a", "x")
    before = vault.path.stat().st_ino
    vault.set_prompted(1, "a", "x")
    vault.wipe(7)
    assert vault.path.stat().st_ino == before


def test_a_write_deletes_what_a_killed_one_left_behind(vault, tmp_path):
    (tmp_path / ".shipfwd.db.vault.12ab.tmp").write_text("SECRET")
    vault.set_prompted(1, "a", "x")
    assert sorted(os.listdir(tmp_path)) == ["locks", "shipfwd.db.vault"]


def test_every_secret_that_passes_is_made_known_to_the_redactor(tmp_path):
    redactor = Redactor()
    vault = Vault(tmp_path / "v", tmp_path / "locks", redactor.add)
    vault.set_prompted(1, "a", "SECRET-prompted")
    drawer = vault.tokens(1, lambda: "SECRET-reference")
    with drawer.locked():
        drawer.save(Token("SECRET-access", NOW, "SECRET-refresh"))
    for word in ("prompted", "reference", "access", "refresh"):
        assert redactor.redact(f"<SECRET-{word}>") == f"<{MASK}>"
    again = Redactor()
    vault = Vault(tmp_path / "v", tmp_path / "locks", again.add)
    vault.prompted(1)
    vault.tokens(1, none).current()
    for word in ("prompted", "access", "refresh"):
        assert again.redact(f"<SECRET-{word}>") == f"<{MASK}>"


# ---- tokens ---------------------------------------------------------------------------------------------


def save(drawer, token):
    with drawer.locked():
        drawer.save(token)


def test_a_token_comes_back_as_it_was_saved_in_whole_seconds(vault):
    token = Token("acc", NOW + timedelta(hours=12), "ref", NOW, NOW + timedelta(days=90))
    save(vault.tokens(3, none), token)
    other = Vault(vault.path, vault.locks)
    assert other.tokens(3, none).current() == token
    assert other.tokens(4, none).current() is None
    assert other.login_expires_at(3) == NOW + timedelta(days=90)
    assert other.token_ages() == {3: NOW}
    other.wipe(3)
    assert vault.tokens(3, none).current() is None


def test_a_reference_alone_is_a_login_that_must_be_refreshed_first(vault):
    assert vault.tokens(1, lambda: "first").current() == Token("", EPOCH, "first")


def test_a_rotated_token_wins_until_the_reference_it_grew_from_changes(vault):
    save(vault.tokens(1, lambda: "A"), Token("acc", NOW, "A2"))
    assert vault.tokens(1, lambda: "A").current().refresh == "A2"
    assert vault.tokens(1, lambda: "B").current() == Token("", EPOCH, "B")
    save(vault.tokens(1, lambda: "B"), Token("acc", NOW, "B2"))
    assert vault.tokens(1, lambda: "B").current().refresh == "B2"
    assert vault.tokens(1, lambda: "A").current().refresh == "A"


def test_a_reference_that_is_not_at_hand_leaves_the_stored_login_and_its_mark(vault):
    def missing():
        raise ConfigError("not set")

    save(vault.tokens(1, lambda: "A"), Token("acc", NOW, "A2"))
    for absent in (none, missing):
        drawer = vault.tokens(1, absent)
        assert drawer.current()
        save(drawer, Token("acc", NOW, "A3"))
    assert vault.tokens(1, lambda: "A").current().refresh == "A3"


def test_a_reference_that_cannot_be_resolved_is_told_when_nothing_is_stored(vault):
    def missing():
        raise ConfigError("not set")

    drawer = vault.tokens(1, missing)
    for _ in range(2):
        with pytest.raises(ConfigError, match="not set"):
            drawer.current()
    save(drawer, Token("acc", NOW, "from login"))  # logging in is the way out, so it must work
    assert drawer.current().refresh == "from login"


def test_a_reference_is_resolved_once(vault):
    asked = []
    drawer = vault.tokens(1, lambda: asked.append(1) or "A")
    for _ in range(3):
        drawer.current()
    save(drawer, Token("acc", NOW, "A2"))
    assert asked == [1]


def test_the_value_of_the_reference_is_nowhere_in_the_vault(vault):
    save(vault.tokens(1, lambda: "SECRET-grown-from"), Token("acc", NOW, "new"))
    assert "SECRET" not in vault.path.read_text()


@pytest.mark.parametrize(
    ("answer", "refresh", "ends"),
    [
        (Token("two", NOW), "old", NOW + timedelta(days=90)),
        (Token("two", NOW, "old"), "old", NOW + timedelta(days=90)),
        (Token("two", NOW, "new"), "new", None),
        (Token("two", NOW, "", None, NOW + timedelta(days=5)), "old", NOW + timedelta(days=5)),
    ],
)
def test_an_answer_without_a_refresh_token_keeps_the_old_one(vault, answer, refresh, ends):
    drawer = vault.tokens(1, none)
    save(drawer, Token("one", NOW, "old", None, NOW + timedelta(days=90)))
    save(drawer, answer)
    token = vault.tokens(1, none).current()
    assert (token.access, token.refresh, token.login_expires_at) == ("two", refresh, ends)


def test_tokens_and_prompted_values_of_an_integration_live_side_by_side(vault):
    vault.set_prompted(1, "client_secret", "x")
    save(vault.tokens(1, none), Token("acc", NOW))
    vault.set_prompted(1, "other", "y")
    assert vault.prompted(1) == {"client_secret": "x", "other": "y"}
    assert vault.tokens(1, none).current().access == "acc"


def test_saving_outside_the_lock_is_a_bug(vault):
    drawer = vault.tokens(1, none)
    with pytest.raises(AssertionError):
        drawer.save(Token("acc", NOW))
    with drawer.locked(), pytest.raises(AssertionError), drawer.locked():
        pass
    assert not vault.path.exists()


def test_a_save_is_on_disk_before_it_returns(vault, monkeypatch):
    drawer, synced = vault.tokens(1, none), []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    with drawer.locked():
        drawer.save(Token("acc", NOW))
        assert synced == [False, True]


def test_a_lock_held_too_long_is_passing_trouble(vault, monkeypatch):
    monkeypatch.setattr(vault_module, "LOCK_SECONDS", 0.02)
    with vault.tokens(1, none).locked():
        with pytest.raises(Unavailable, match="another process"), vault.tokens(1, none).locked():
            pass
        with vault.tokens(2, none).locked():
            pass
    with flocked(vault.locks / "vault.lock"), pytest.raises(ConfigError, match=r"another process holds .*vault\.lock"):
        vault.set_prompted(1, "a", "b")


REFRESH = """
import sys, threading, time
from datetime import datetime, timezone
from pathlib import Path
from shipfwd.platforms.base import Token
from shipfwd.vault import Vault

folder = Path(sys.argv[1])
vault = Vault(folder / "vault", folder / "locks")
drawer = vault.tokens(1, lambda: "r0")
far = datetime(2100, 1, 1, tzinfo=timezone.utc)

def access():
    stale = drawer.current().access
    with drawer.locked() as token:
        if token.access == stale == "":           # nobody refreshed while we waited
            with open(folder / "calls", "a") as calls:
                calls.write(token.refresh + "\\n")
            time.sleep(0.05)                       # the token endpoint
            drawer.save(Token("a1", far, "r1"))
    assert drawer.current().access == "a1"

print("ready", flush=True)
sys.stdin.read()
threads = [threading.Thread(target=access) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""

WRITE = """
import sys
from pathlib import Path
from shipfwd.vault import Vault

folder, id = Path(sys.argv[1]), int(sys.argv[2])
vault = Vault(folder / "vault", folder / "locks")
print("ready", flush=True)
sys.stdin.read()
for n in range(20):
    vault.set_prompted(id, f"key{n}", f"{id}-{n}")
"""


def all_at_once(code: str, folder, count: int = 8) -> None:
    """Start processes, let them go at the same moment, and expect each to end well."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for n in range(count)
    ]
    for process in running:
        assert process.stdout.readline() == b"ready\n"
    for process in running:
        process.stdin.close()
    for process in running:
        with process:
            assert process.wait(20) == 0


def test_eight_processes_with_two_threads_each_refresh_once(tmp_path):
    all_at_once(REFRESH, tmp_path)
    assert (tmp_path / "calls").read_text() == "r0\n"
    assert Vault(tmp_path / "vault", tmp_path / "locks").tokens(1, lambda: "r0").current().refresh == "r1"


def test_eight_processes_writing_at_once_lose_nothing_of_each_other(tmp_path):
    all_at_once(WRITE, tmp_path)
    vault = Vault(tmp_path / "vault", tmp_path / "locks")
    assert [vault.prompted(n) for n in range(8)] == [{f"key{k}": f"{n}-{k}" for k in range(20)} for n in range(8)]


# ---- signals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_until_the_token_is_saved(vault, number):
    came, before = [], signal.signal(number, lambda number, frame: came.append(number))
    try:
        drawer = vault.tokens(1, none)
        with drawer.locked():
            os.kill(os.getpid(), number)
            assert not came
            drawer.save(Token("acc", NOW))
        assert came == [number]
        assert drawer.current().access == "acc"
        with drawer.locked():
            pass
    finally:
        signal.signal(number, before)


def test_an_interrupt_comes_through_when_the_block_ends_and_the_handlers_are_back():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    reached = False

    def held():
        nonlocal reached
        with signals_held():
            signal.raise_signal(signal.SIGINT)
            reached = True

    with pytest.raises(KeyboardInterrupt):
        held()
    assert reached
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_another_thread_receives_waits_too():
    came, before = [], signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with signals_held():
            thread = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
            thread.start()
            thread.join()
            assert not came
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_held():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_held_and_nothing_breaks(vault):
    drawer, trouble = vault.tokens(1, none), []

    def work():
        try:
            save(drawer, Token("acc", NOW))
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not trouble
    assert drawer.current().access == "acc"


# ---- the redactor ---------------------------------------------------------------------------------------

AWKWARD = 'SECRET/ä+"=&<> \\x~'


def known(*values: str) -> Redactor:
    redactor = Redactor()
    for value in values:
        redactor.add(value)
    return redactor


@pytest.mark.parametrize(
    "form",
    [
        AWKWARD,
        quote(AWKWARD),
        quote(AWKWARD, safe=""),
        quote(AWKWARD, safe="").lower().replace("secret", "SECRET"),
        quote_plus(AWKWARD),
        json.dumps(AWKWARD)[1:-1],
        json.dumps(AWKWARD, ensure_ascii=False)[1:-1],
        json.dumps(AWKWARD)[1:-1].replace("/", "\\/"),
        'SECRET/ä+"=&amp;&lt;&gt; \\x~',
        "SECRET/ä+&quot;=&amp;&lt;&gt; \\x~",
    ],
)
def test_a_known_secret_is_masked_in_every_form_it_travels_in(form):
    assert known(AWKWARD).redact(f"a {form} b {form}") == f"a {MASK} b {MASK}"


@given(
    value=st.text(st.characters(min_codepoint=33, max_codepoint=0x17F, blacklist_categories=("Cs",)), min_size=6),
    user=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8),
)
def test_a_known_secret_is_found_inside_base64_whatever_stands_around_it(value, user):
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        text = known(value).redact("<" + code(f"{user}:{value}:end".encode()).decode() + ">")
        assert MASK in text
        kept = text[1 : text.index(MASK)]
        assert len(kept) <= 4 * (len(user.encode()) + 1) // 3 + 2


def test_of_a_longer_secret_no_part_stays_where_a_shorter_one_lies_within():
    assert known("SECRET", "my-SECRET-key").redact("my-SECRET-key SECRET") == f"{MASK} {MASK}"
    assert known("my-SECRET-key", "SECRET").redact("my-SECRET-key SECRET") == f"{MASK} {MASK}"


@pytest.mark.parametrize("value", ["", "a", "abc"])
def test_values_shorter_than_four_characters_are_not_searched_for(value):
    assert known(value).redact("abc abacus") == "abc abacus"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("authorization: bearer abc123.DEF-4_5~x==", "authorization: bearer ***"),
        ("Basic authentication is required", "Basic authentication is required"),
        ('{"access_token":"aaa","expires_in":43199}', '{"access_token":"***","expires_in":43199}'),
        ('{"refresh_token" : "a\\"b c", "x": 1}', '{"refresh_token" : "***", "x": 1}'),
        ('{"id": 7, "access_token": "cut off he', '{"id": 7, "access_token": "***'),
        ("{'device_code': 'aaa', 'x': 1}", "{'device_code': '***', 'x': 1}"),
        ("grant_type=refresh_token&refresh_token=aaa&x=1", "grant_type=refresh_token&refresh_token=***&x=1"),
        ("client_secret=aaa", "client_secret=***"),
        ("run: integration edit --secret api_key=prompt, then", "run: integration edit --secret api_key=prompt, then"),
        ("api_key=promptly", "api_key=***"),
        ("code=aaa&grant_type=authorization_code", "code=***&grant_type=authorization_code"),
        ('{"code": "UNAUTHORIZED", "message": "x"}', '{"code": "UNAUTHORIZED", "message": "x"}'),
        ("error code=17 in order", "error code=17 in order"),
        ('OAuth oauth_token="aaa", oauth_signature="b%3D"', 'OAuth oauth_token="***", oauth_signature="***"'),
        ("at https://me:pass@shop.example/x", "at https://***@shop.example/x"),
        ("mail a@b.example, https://shop.example/@x", "mail a@b.example, https://shop.example/@x"),
        ("order A-1, number 00340434161094042557", "order A-1, number 00340434161094042557"),
    ],
)
def test_what_looks_like_a_credential_is_masked_though_nobody_knows_it(text, wanted):
    assert Redactor().redact(text) == wanted


@pytest.mark.parametrize(
    "key",
    ["consumer_key", "consumer_secret", "ws_key", "client_secret", "refresh_token", "code", "device_code",
     "access_token", "api_key", "oauth_signature", "state"],
)  # fmt: skip
def test_secrets_in_a_query_are_masked_and_the_rest_of_the_url_stays(key):
    url = f"https://shop.example/wp-json/orders?per_page=5&{key}=aaa%2Fb&page=2#top"
    wanted = f"https://shop.example/wp-json/orders?per_page=5&{key}=***&page=2#top"
    assert Redactor().redact_url(url) == wanted
    assert Redactor().redact_url(url.replace("per_page=5&", "")) == wanted.replace("per_page=5&", "")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("Authorization", "Bearer aaa", "Bearer ***"),
        ("AUTHORIZATION", "Basic aaa", "Basic ***"),
        ("authorization", "aaa", "***"),
        ("Authorization", "AWS4 aaa bbb", "***"),
        ("Proxy-Authorization", "Basic aaa", "Basic ***"),
        ("X-Shopify-Access-Token", "aaa", "***"),
        ("x-amz-access-token", "aaa", "***"),
        ("X-Auth-Token", "aaa", "***"),
        ("X-Api-Key", "aaa", "***"),
        ("x-api-key", "aaa", "***"),
        ("Shop-Client-Key", "aaa", "***"),
        ("Shop-Signature", "aaa", "***"),
        ("Cookie", "PHPSESSID=aaa", "***"),
        ("Set-Cookie", "PHPSESSID=aaa; path=/", "***"),
        ("Content-Type", "application/json", "application/json"),
        ("Idempotency-Key", "A-1", "A-1"),
        ("Retry-After", "7", "7"),
        ("Location", "https://x.example/cb?code=aaa", "https://x.example/cb?code=***"),
        ("X-Echo", "SECRET-value", "***"),
    ],
)
def test_headers_that_carry_credentials_are_masked_by_their_name(name, value, wanted):
    assert known("SECRET-value").redact_headers({name: value}) == {name: wanted}


def test_threads_may_add_and_redact_at_once():
    redactor = Redactor()

    def work(n):
        for k in range(20):
            redactor.add(f"SECRET-{n}-{k}-")
            assert redactor.redact(f"SECRET-{n}-{k}-") == MASK

    trouble = []
    threads = [threading.Thread(target=lambda n=n: trouble.extend(attempt(work, n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not trouble
    assert redactor.redact(" ".join(f"SECRET-{n}-{k}-" for n in range(4) for k in range(20))) == " ".join([MASK] * 80)


def attempt(work, n) -> list[BaseException]:
    try:
        work(n)
    except BaseException as error:
        return [error]
    return []


def test_importing_the_vault_and_the_schedule_stays_cheap():
    code = (
        "import sys, shipfwd.vault, shipfwd.schedule, shipfwd.files; "
        "print(*{'subprocess', 'shlex', 'base64', 'hashlib', 'requests', 'sqlite3', 'sqlite_utils', "
        "'rich', 'tenacity', 'difflib'} & {m for m in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert out.stdout.split() == []


ROOT = os.path.dirname(os.path.dirname(os.path.abspath(vault_module.__file__)))
