"""Each finding of the doctor, and that it leaves no trace."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from shipfwd import doctor
from shipfwd.cli import cli
from shipfwd.cli.app import App
from shipfwd.files import locks_folder
from shipfwd.models import Integration, stamp
from shipfwd.platforms.base import Token
from shipfwd.rows import make_row
from shipfwd.store import Store, create, opened
from shipfwd.vault import Vault

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # 13:00 in Warsaw; the latest sweep time was 09:30 there
HOUR = timedelta(hours=1)
SHOP = {"base_url": "https://shop.example"}
SHOP_SECRETS = {"consumer_key": "env:SHOP_KEY", "consumer_secret": "env:SHOP_SECRET"}


class Patient:
    """A database as doctors find it; `findings()` examines it."""

    def __init__(self, folder) -> None:
        self.folder, self.db, self.now = folder, folder / "shipfwd.db", NOW
        self.vault = Vault(self.db.with_name("shipfwd.db.vault"), locks_folder(self.db))
        self.store: Store | None = None

    def create(self) -> Store:
        create(self.db)
        connection = opened(self.db, may_create=True)
        assert connection is not None
        self.store = Store(self.db, connection, lambda: self.now)
        return self.store

    def add(self, name="shop", platform="woocommerce", since=48 * HOUR, **more) -> Integration:
        """An integration that was added `since` ago."""
        store = self.store or self.create()
        usual = {
            "trigger": "created",
            "enabled": True,
            "status_transfer": "on",
            "settings": SHOP,
            "secrets": SHOP_SECRETS,
        }
        added = store.add_integration(Integration(0, name, platform, **{**usual, **more}))
        self.sql("UPDATE integrations SET created_at = ? WHERE id = ?", stamp(NOW - since), added.id)
        return added

    def parcel(self, one: Integration, order: str, number: str, ago=HOUR, **cells) -> None:
        assert self.store is not None
        cells = {
            "order_id": order,
            "tracking_number": number,
            "carrier": "dpd",
            "created_at": stamp(NOW - ago),
            **cells,
        }
        row = make_row(cells, zone=UTC, now=NOW, default_integration=one.name, integrations={one.name: one.id})
        intake = self.store.intake(self.store.begin_run("import"))
        intake.put([row])
        intake.group()
        intake.merge()

    def swept(self, ago: timedelta, code: int | None = 0) -> None:
        """A sweep ran."""
        assert self.store is not None
        run = self.store.begin_run("sweep --if-due")
        moment = stamp(NOW - ago)
        self.sql("UPDATE runs SET started_at = ?, ended_at = ?, exit_code = ? WHERE id = ?", moment, moment, code, run)

    def sql(self, statement: str, *values) -> None:
        with sqlite3.connect(self.db, isolation_level=None) as connection:
            connection.execute(statement, values)
        connection.close()

    def close(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None

    def findings(self) -> list[tuple[str, str, str]]:
        app = SimpleNamespace(db=self.db, clock=lambda: self.now, vault=lambda: self.vault)
        return [(one["level"], one["what"], one["finding"]) for one in doctor.examine(app)]

    def of(self, what: str) -> list[tuple[str, str]]:
        return [(level, finding) for level, about, finding in self.findings() if about == what]

    def levels(self) -> set[str]:
        return {level for level, *_ in self.findings()}


@pytest.fixture
def patient(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # no crontab
    monkeypatch.setenv("SHOP_KEY", "SECRET-key")
    monkeypatch.setenv("SHOP_SECRET", "SECRET-secret")
    (tmp_path / "bin").mkdir()
    (tmp_path / "data").mkdir(mode=0o700)
    someone = Patient(tmp_path / "data")
    yield someone
    someone.close()


@pytest.fixture
def healthy(patient):
    patient.add()
    patient.swept(2 * HOUR)
    return patient


def traces(folder) -> dict[str, tuple]:
    """All that a side effect would change, access times aside."""
    return {
        str(path): (
            path.stat().st_mode,
            path.stat().st_size,
            path.stat().st_mtime_ns,
            path.is_file() and path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
    }


def crontab(patient, text: str) -> None:
    """A crontab command that prints this."""
    script = patient.folder.parent / "bin" / "crontab"
    script.write_text(f"#!/bin/sh\n[ \"$1\" = -l ] && [ $# = 1 ] && echo '{text}'\n")
    script.chmod(0o700)


# ---- all is well ----------------------------------------------------------------------------------------


def test_a_healthy_set_up_has_nothing_but_oks_and_notes(healthy):
    healthy.parcel(healthy.store.integration("shop"), "1", "0000123456789U")
    assert healthy.levels() == {"ok", "note"}
    assert ("ok", "shipments", "none failed, blocked, late or about to be lost") in healthy.findings()
    ((level, finding),) = healthy.of("database")
    assert level == "ok"
    assert re.fullmatch(rf"{healthy.db} is whole, 0\.\d MB", finding)


def test_no_database_is_a_note(patient):
    assert patient.levels() == {"ok", "note"}
    ((level, finding),) = patient.of("database")
    assert level == "note"
    assert f"no database at {patient.db}; begin with: shipfwd integration add" in finding
    assert list(patient.folder.iterdir()) == []


def test_a_database_without_integrations_is_a_note(patient):
    patient.create()
    assert patient.of("integrations")[0][0] == "note"
    assert patient.levels() == {"ok", "note"}


# ---- without side effects -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closed", "in use", "killed", "copied without -shm"])
def test_it_leaves_no_trace(healthy, how):
    healthy.vault.set_prompted(1, "consumer_key", "x")
    healthy.store.checkpoint()
    healthy.add("only-in-the-wal")
    files = {end: healthy.db.with_name(f"shipfwd.db{end}") for end in ("", "-wal", "-shm")}
    left = {end: file.read_bytes() for end, file in files.items()}
    if how != "in use":
        healthy.close()
    if how in ("killed", "copied without -shm"):
        for end, content in left.items():
            files[end].write_bytes(content)
            files[end].chmod(0o600)
    if how == "copied without -shm":
        files["-shm"].unlink()
    before = traces(healthy.folder)
    code = "import sys; from shipfwd.cli import cli; cli.main(sys.argv[1:], standalone_mode=False)"
    command = [sys.executable, "-c", code, "--db", str(healthy.db), "doctor", "--format", "json"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert traces(healthy.folder) == before
    assert "trouble" not in {one["level"] for one in found}
    about = {one["what"] for one in found}
    assert "shop" in about
    assert ("only-in-the-wal" in about) == (how != "copied without -shm")
    assert any("from a copy" in one["finding"] for one in found) == (how == "copied without -shm")


def test_it_does_not_run_the_commands_of_secrets(patient):
    ran = patient.folder / "ran"
    patient.add(secrets={"consumer_key": f"cmd:/usr/bin/touch {ran}", "consumer_secret": "env:SHOP_SECRET"})
    assert ("note", "consumer_key: from a command, which was not run here") in patient.of("shop")
    assert not ran.exists()


def test_no_secret_is_in_what_it_says(healthy):
    healthy.vault.set_prompted(1, "consumer_key", "SECRET-prompted")
    assert "SECRET-" not in str(healthy.findings())


def test_a_step_that_breaks_is_a_finding_and_the_others_go_on(healthy, monkeypatch):
    monkeypatch.setattr(doctor.Doctor, "rights", lambda self: 1 / 0)
    monkeypatch.setattr(doctor.Doctor, "disk", lambda self: os.stat("/nowhere/at-all"))
    found = healthy.findings()
    assert (
        "trouble",
        "rights",
        "could not be examined (ZeroDivisionError: division by zero); please report it",
    ) in found
    assert ("trouble", "disk", "/nowhere/at-all: No such file or directory") in found
    assert ("ok", "sweeps", "the last sweep ran at 2026-11-24 11:00") in found


# ---- files ----------------------------------------------------------------------------------------------


def test_an_empty_file_gets_the_way_out(patient):
    create(patient.db)
    ((level, finding),) = patient.of("database")
    assert level == "trouble"
    assert f"{patient.db} is empty; restore it from a backup" in finding
    patient.db.with_name("shipfwd.db-wal").write_bytes(b"x" * 32)
    patient.db.with_name("shipfwd.db-wal").chmod(0o600)
    assert ".recover" in patient.of("database")[0][1]


@pytest.mark.parametrize("where", ["header", "middle"])
def test_a_damaged_file_gets_the_way_out(healthy, where):
    healthy.close()
    size = healthy.db.stat().st_size
    with open(healthy.db, "r+b") as file:
        file.seek(0 if where == "header" else 4096)
        file.write(b"\xff" * (4096 if where == "header" else size - 3 * 4096))
    ((level, finding),) = healthy.of("database")
    assert level == "trouble"
    assert "is damaged" in finding
    assert ".recover | sqlite3 repaired.db" in finding


def test_a_file_that_changes_meanwhile_is_not_called_damaged(healthy, monkeypatch):
    healthy.close()
    with open(healthy.db, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    states = iter(range(100))
    real = os.stat

    def restless(path, *more, **options):
        found = real(path, *more, **options)
        return SimpleNamespace(st_mtime_ns=next(states), st_size=found.st_size)

    from shipfwd.store import checkup

    monkeypatch.setattr(checkup, "os", SimpleNamespace(stat=restless))
    assert checkup.examined(healthy.db, lambda: NOW).damage() == ""


def test_a_foreign_a_newer_and_an_unfinished_database(patient):
    with sqlite3.connect(patient.db) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    patient.db.chmod(0o600)
    assert "another program" in patient.of("database")[0][1]
    patient.db.unlink()
    patient.create()
    patient.close()
    patient.sql("PRAGMA user_version = 99")
    assert "newer shipfwd (schema 99)" in patient.of("database")[0][1]
    patient.db.unlink()
    patient.sql("PRAGMA journal_mode = WAL")
    patient.db.chmod(0o600)
    assert "holds no tables yet" in patient.of("database")[0][1]


def test_a_folder_in_the_place_of_the_database(patient):
    patient.db.mkdir(mode=0o700)
    assert patient.of("database") == [("trouble", f"{patient.db} is no file; give another one with --db")]


@pytest.mark.parametrize(
    ("name", "mode", "command"),
    [
        ("shipfwd.db", 0o644, "chmod 600"),
        ("shipfwd.db-wal", 0o640, "chmod 600"),
        ("shipfwd.db-shm", 0o660, "chmod 600"),
        ("shipfwd.db.vault", 0o604, "chmod 600"),
        ("shipfwd.db.locks", 0o755, "chmod 700"),
        ("shipfwd.db.locks/vault.lock", 0o644, "chmod 600"),
    ],
)
def test_what_others_can_read_is_trouble_with_the_command_that_helps(healthy, name, mode, command):
    healthy.vault.set_prompted(1, "consumer_key", "x")
    path = healthy.folder / name
    path.chmod(mode)
    found = [finding for level, _, finding in healthy.findings() if level == "trouble"]
    assert f"{mode:04o}" in found[0]
    assert f"{command} {path}" in found[0]


def test_another_owner_is_a_warning(healthy, monkeypatch):
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 4711)
    levels = {level for level, finding in healthy.of("rights") if "another user's" in finding}
    assert levels == {"warning"}


def test_a_network_file_system_is_trouble(healthy, monkeypatch):
    monkeypatch.setattr(doctor, "is_network_file_system", lambda path: "nfs4")
    level, finding = healthy.of("database")[0]
    assert level == "trouble"
    assert finding.startswith(f"{healthy.db} is on nfs4: locks do not hold there; move it to a local disk")


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 40, 1), "note"), ((3, 44, 5), "note"), ((3, 44, 6), "ok"), ((3, 45, 0), "note"), ((3, 50, 6), "note"),
        ((3, 50, 7), "ok"), ((3, 51, 2), "note"), ((3, 51, 3), "ok"), ((3, 52, 0), "ok"),
    ],
)  # fmt: skip
def test_sqlite_versions_with_the_wal_reset_bug_are_named(patient, monkeypatch, version, level):
    monkeypatch.setattr(doctor, "sqlite_version", lambda: version)
    ((found, text),) = patient.of("SQLite")
    assert found == level
    assert ("WAL-reset bug" in text) == (level == "note")


def test_a_log_that_grew_and_a_full_disk(healthy, monkeypatch):
    monkeypatch.setattr(doctor, "BIG_WAL", 10)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    assert any("its -wal has grown to" in finding for level, finding in healthy.of("database") if level == "note")
    assert healthy.of("disk") == [("warning", f"only 2 MB are free at {healthy.folder}; make room")]


def test_a_damaged_vault_is_trouble(healthy):
    healthy.vault.path.write_text("{")
    healthy.vault.path.chmod(0o600)
    ((level, finding),) = healthy.of("vault")
    assert level == "trouble"
    assert "is damaged" in finding


# ---- time -----------------------------------------------------------------------------------------------


def test_a_clock_that_is_years_off_is_trouble(patient):
    patient.now = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    assert patient.of("clock")[0][0] == "trouble"


def test_a_run_in_the_future_is_a_warning(healthy):
    healthy.swept(-2 * HOUR)
    ((level, finding),) = healthy.of("clock")
    assert level == "warning"
    assert "it is 2026-11-24 13:00 in Europe/Warsaw, but a run began at 2026-11-24 15:00" in finding


def test_the_next_sweep_times_are_told_in_the_merchants_zone(healthy):
    healthy.store.set_config("timezone", "Europe/London")
    healthy.store.set_config("sweep_times", "12:30,18:00")
    assert ("ok", "the next sweep times are 12:30, 18:00, 12:30, 18:00 (Europe/London)") in healthy.of("sweeps")


def test_a_senseless_setting_in_the_database_is_trouble(healthy):
    healthy.store.set_config("timezone", "Europe/Warschau")
    assert healthy.of("config")[0][0] == "trouble"


def test_a_missing_sweep_is_a_warning_with_the_line_for_the_crontab(patient):
    patient.add()
    ((level, finding),) = patient.of("sweeps")[1:]
    assert level == "warning"
    assert finding.startswith(
        "the sweep of 2026-11-24 09:30 is missing, none ever ran; crontab -e, then: */10 * * * * "
    )
    assert finding.endswith(f"-q --db {patient.db} sweep --if-due")
    patient.swept(5 * HOUR)
    assert "the last one ran at 2026-11-24 08:00" in patient.of("sweeps")[1][1]
    patient.swept(3 * HOUR)
    assert patient.of("sweeps")[1] == ("ok", "the last sweep ran at 2026-11-24 10:00")


def test_a_slot_that_has_just_come_and_an_integration_that_has_are_not_late(patient):
    patient.add(since=HOUR)
    assert patient.of("sweeps")[1][0] == "note"
    patient.swept(2 * HOUR)
    patient.now = NOW + timedelta(minutes=59)  # 13:59; half an hour after 13:30 it counts
    assert patient.of("sweeps")[1][0] == "ok"
    patient.now = NOW + timedelta(minutes=61)
    assert patient.of("sweeps")[1][0] == "warning"


def test_a_sweep_that_ended_badly_is_a_warning(healthy):
    healthy.swept(HOUR, 3)
    assert "ended with 3; run one by hand: shipfwd sweep" in healthy.of("sweeps")[1][1]


# ---- cron and runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("*/10 * * * * shipfwd -q --db {db} sweep --if-due", "ok", "*/10 * * * * shipfwd -q"),
        ("*/10 * * * * shipfwd -q sweep --if-due", "ok", "*/10"),
        ("*/10 * * * * shipfwd -q --db=/other.db sweep", "note", "for another database: */10"),
        ("# */10 * * * * shipfwd -q sweep", "note", "yours has no sweep"),
        ("", "note", "yours has no sweep"),
    ],
)
def test_the_crontab_is_read(healthy, text, level, said):
    crontab(healthy, text.format(db=healthy.db))
    ((found, finding),) = healthy.of("crontab")
    assert found == level
    assert said in finding


def test_a_crontab_command_that_hangs_or_is_missing_is_a_note(healthy, monkeypatch):
    assert healthy.of("crontab")[0][0] == "note"
    crontab(healthy, "")
    (healthy.folder.parent / "bin" / "crontab").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(doctor, "CRONTAB_SECONDS", 0.05)
    assert healthy.of("crontab") == [("note", "crontab -l did not answer")]


def test_living_and_killed_runs_are_told_apart(healthy):
    folder = locks_folder(healthy.db)
    folder.mkdir(mode=0o700)
    for name in ("run-7", "run-8", "run-x"):
        (folder / name).touch(0o600)
    with open(folder / "run-7") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        assert healthy.of("runs") == [
            ("note", "run 7 is at work right now; several share the work"),
            ("note", "run 8 was killed; the next run takes up what it held"),
        ]


# ---- integrations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on", "level"), [(True, "trouble"), (False, "note")])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"platform": "bazaar"}, "its platform cannot be loaded: no platform is called 'bazaar'"),
        ({"settings": {**SHOP, "colour": "red"}}, "has no setting 'colour'"),
        ({"settings": {}}, "needs base_url"),
        ({"secrets": {"consumer_key": "env:SHOP_KEY"}}, "needs consumer_secret"),
        ({"secrets": {**SHOP_SECRETS, "consumer_key": "env:UNSET"}}, "environment variable UNSET is not set"),
        ({"secrets": {**SHOP_SECRETS, "consumer_key": "file:/nowhere"}}, "cannot read /nowhere"),
        ({"secrets": {**SHOP_SECRETS, "consumer_key": "prompt"}}, "it is not in the vault"),
    ],
)
def test_a_broken_integration_is_trouble_and_only_a_note_while_it_is_off(patient, change, said, on, level):
    patient.add(enabled=on, **change)
    found = [(one, finding) for one, finding in patient.of("shop") if said in finding]
    assert [one for one, _ in found] == [level]


def test_secrets_of_the_environment_come_with_a_warning_about_cron(healthy):
    ((level, finding),) = [found for found in healthy.of("shop") if "environment" in found[1]]
    assert level == "note"
    assert finding.startswith("SHOP_KEY, SHOP_SECRET: from the environment, which cron does not pass on")


def allegro(patient, **secrets) -> Integration:
    settings = {"client_id": "x", "app_name": "y"}
    return patient.add("allegro", "allegro", settings=settings, secrets={"client_secret": "env:SHOP_KEY", **secrets})


def test_a_missing_login_is_trouble(patient):
    allegro(patient)
    assert ("trouble", "login needed: shipfwd integration login allegro") in patient.of("allegro")


def test_a_refresh_token_from_elsewhere_is_as_good_as_a_login(patient):
    allegro(patient, refresh_token="env:SHOP_SECRET")
    assert {level for level, _ in patient.of("allegro")} == {"ok", "note"}


@pytest.mark.parametrize(
    ("days", "level", "said"),
    [
        (60, "ok", "lasts until 2027-01-23 13:00"),
        (13, "warning", "ends on 2026-12-07 13:00, in 13 days; renew it: shipfwd integration login allegro"),
        (-1, "trouble", "ended on 2026-11-23 13:00"),
    ],
)
def test_a_login_that_ends_is_told_two_weeks_before(patient, days, level, said):
    one = allegro(patient)
    tokens = patient.vault.tokens(one.id, lambda: None)
    with tokens.locked():
        tokens.save(Token("SECRET-access", NOW, "SECRET-refresh", NOW, NOW + timedelta(days=days)))
    found = [(one, finding) for one, finding in patient.of("allegro") if said in finding]
    assert [one for one, _ in found] == [level]


# ---- shipments ------------------------------------------------------------------------------------------


def test_failed_and_blocked_ones_are_a_warning(healthy):
    shop = healthy.store.integration("shop")
    for order, state in (("1", "failed"), ("2", "failed"), ("3", "blocked")):
        healthy.parcel(shop, order, f"000012345678{order}U")
        healthy.sql("UPDATE shipments SET state = ? WHERE order_id = ?", state, order)
    assert ("warning", "2 failed; see: shipfwd status --state failed") in healthy.of("shipments")
    assert ("warning", "1 blocked; see: shipfwd status --state blocked") in healthy.of("shipments")


def test_overdue_ones_are_a_warning(healthy):
    healthy.parcel(healthy.store.integration("shop"), "1", "0000123456789U")
    healthy.sql("UPDATE shipments SET due_at = ?", stamp(NOW - 7 * HOUR))
    assert "1 of shop have been due for 6 hours; see: shipfwd status -i shop" in healthy.of("shipments")[0][1]


def test_ones_in_doubt_are_a_note(healthy):
    healthy.parcel(healthy.store.integration("shop"), "1", "0000123456789U")
    healthy.sql("UPDATE shipments SET in_doubt_since = ?", stamp(NOW))
    assert ("note", "1 of shop are in doubt; the next run asks there") in healthy.of("shipments")


def test_ones_that_no_later_sweep_can_reach_are_a_warning(healthy):
    one = healthy.add("late", trigger="status:Shipped")
    healthy.parcel(one, "1", "0000123456789U", ago=71.8 * HOUR)
    ((level, finding),) = healthy.of("shipments")
    assert level == "warning"
    assert finding.startswith("1 of late will be older than 72 hours at the next sweep")


def test_forwarding_that_is_off_while_shipments_wait_is_a_note(healthy):
    one = healthy.add("old", enabled=False)
    healthy.parcel(one, "1", "0000123456789U")
    said = "1 wait at old, where forwarding is off; shipfwd integration enable old"
    assert ("note", said) in healthy.of("shipments")


@pytest.mark.parametrize("state", ["pending", "blocked"])
def test_carriers_without_a_name_are_a_warning_until_they_are_mapped(healthy, state):
    shop = healthy.store.integration("shop")
    healthy.parcel(shop, "1", "KR-1234", carrier="Kurier Rowerowy")
    healthy.parcel(shop, "2", "KR-1235", carrier="Kurier Rowerowy")
    healthy.sql("UPDATE shipments SET state = ?", state)
    ((level, finding),) = healthy.of("carriers")
    assert level == "warning"
    assert finding == (
        "WooCommerce has no name for carrier 'kurier-rowerowy' of 2 shipments; "
        "name it: shipfwd carriers map -i shop kurier-rowerowy=THEIRS"
    )
    healthy.sql("UPDATE integrations SET carrier_map = ?", json.dumps({"kurier-rowerowy": "Bike"}))
    assert healthy.of("carriers") == []


def test_a_carrier_that_goes_out_as_other_is_no_finding_where_that_is_allowed(healthy):
    healthy.parcel(healthy.store.integration("shop"), "1", "0000123456789U", carrier="Speedy")
    one = healthy.add("al", "allegro", settings={"client_id": "x", "app_name": "y"}, secrets={})
    assert healthy.of("carriers") == []
    healthy.parcel(one, "2", "0000123456788U", carrier="Speedy")
    assert "Allegro has no name for carrier 'speedy' of a shipment" in healthy.of("carriers")[0][1]


def test_shipments_without_a_carrier_are_told(healthy):
    healthy.parcel(healthy.store.integration("shop"), "1", "1234567890", carrier="")
    assert healthy.of("carriers") == [
        ("warning", "a shipment of shop without a carrier, which WooCommerce asks for; import them with one")
    ]


# ---- the command ----------------------------------------------------------------------------------------


def examined(patient, *arguments):
    return CliRunner().invoke(cli, ["--db", str(patient.db), *arguments], obj=App(lambda: patient.now))


def test_the_command_ends_with_0_1_or_3(healthy):
    assert examined(healthy, "doctor").exit_code == 0
    healthy.swept(HOUR, 70)
    assert examined(healthy, "doctor").exit_code == 1
    healthy.db.chmod(0o644)
    done = examined(healthy, "doctor", "--format", "json")
    assert done.exit_code == 3
    assert {tuple(row) for row in json.loads(done.stdout)} == {("level", "what", "finding")}


def test_quiet_says_only_what_needs_a_person(healthy):
    done = examined(healthy, "-q", "doctor")
    assert (done.exit_code, done.output) == (0, "")
    healthy.swept(HOUR, 70)
    done = examined(healthy, "-q", "doctor")
    assert done.stdout == ""
    assert done.stderr.startswith("shipfwd: sweeps: the last sweep, at 2026-11-24 12:00, ended with 70")


@pytest.mark.parametrize("name", ["requests", "rich", "sqlite_utils", "tenacity"])
def test_it_starts_without_what_it_does_not_need(healthy, name):
    code = (
        "import sys\nfrom shipfwd.cli import cli\n"
        f"cli.main(['--db', {str(healthy.db)!r}, 'doctor', '--format', 'json'], standalone_mode=False)\n"
        f"sys.exit({name!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
