"""`shipfwd doctor`: everything that could be wrong, looked at without side effects.

Nothing is created, written, sent or run, except `crontab -l`. A finding is (level, what, finding):

  ok        as it should be
  note      good to know
  warning   will cost something unless a person acts
  trouble   does not work
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from shipfwd import platforms, schedule
from shipfwd.errors import ConfigError, ShipfwdError
from shipfwd.files import is_network_file_system, lives, locks_folder
from shipfwd.models import Integration
from shipfwd.platforms.base import Platform
from shipfwd.settings import Config, check_config, check_settings, takes
from shipfwd.store.checkup import Checkup, Wanted, examined, sqlite_version
from shipfwd.vault import Vault, parse_reference, resolve

SLOT_GRACE = timedelta(minutes=30)
OVERDUE = timedelta(hours=6)
LOGIN_WARNING = timedelta(days=14)
CLOCK_SLACK = timedelta(minutes=5)
ROOM = 100_000_000  # bytes free on the disk below which it is said
BIG_WAL = 100_000_000
CRONTAB_SECONDS = 2
BEGIN = "begin with: shipfwd integration add NAME --platform PLATFORM"


class App(Protocol):
    """What is needed of the command line's App."""

    db: Path
    clock: Callable[[], datetime]

    def vault(self) -> Vault: ...


def examine(app: App) -> list[dict[str, Any]]:
    """The findings, in the order in which a person would look. Never raises."""
    doctor = Doctor(app)
    doctor.safely("SQLite", doctor.sqlite)
    doctor.safely("database", doctor.database)
    doctor.safely("rights", doctor.rights)
    doctor.safely("vault", doctor.read_vault)
    doctor.safely("disk", doctor.disk)
    doctor.safely("config", doctor.configuration)
    doctor.safely("clock", doctor.clock)
    doctor.safely("sweeps", doctor.sweeps)
    doctor.safely("crontab", doctor.crontab)
    doctor.safely("runs", doctor.runs)
    for integration in doctor.integrations:
        doctor.safely(integration.name, lambda one=integration: doctor.integration(one))  # type: ignore[misc]
    doctor.safely("shipments", doctor.shipments)
    if doctor.store is not None:
        doctor.store.close()
    return doctor.findings


class Doctor:
    def __init__(self, app: App) -> None:
        self.db, self.vault, self.now, self._clock = app.db, app.vault(), app.clock(), app.clock
        self.findings: list[dict[str, Any]] = []
        self.store: Checkup | None = None
        self.integrations: list[Integration] = []
        self.config = Config({})

    def tell(self, level: str, what: str, finding: str) -> None:
        self.findings.append({"level": level, "what": what, "finding": finding})

    def safely(self, what: str, step: Callable[[], None]) -> None:
        """A step whose failure is a finding, and no reason to leave out the others."""
        try:
            step()
        except ShipfwdError as error:
            self.tell("trouble", what, str(error))
        except OSError as error:
            self.tell("trouble", what, f"{error.filename or what}: {error.strerror}")
        except Exception as error:
            self.tell("trouble", what, f"could not be examined ({type(error).__name__}: {error}); please report it")

    # ---- files --------------------------------------------------------------------------------------------

    def sqlite(self) -> None:
        version = sqlite_version()
        text = "SQLite " + ".".join(map(str, version))
        mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
        if mended:
            self.tell("ok", "SQLite", text)
        else:
            bug = "has the WAL-reset bug (mended in 3.51.3, 3.50.7 and 3.44.6)"
            self.tell("note", "SQLite", f"{text} {bug}; shipfwd keeps clear of it by the way it checkpoints")

    def database(self) -> None:
        if not self.db.exists():
            self.tell("note", "database", f"no database at {self.db}; {BEGIN}")
            return
        if kind := is_network_file_system(self.db):
            why = "locks do not hold there; move it to a local disk of the one machine that runs shipfwd"
            self.tell("trouble", "database", f"{self.db} is on {kind}: {why}")
        wal = _size(f"{self.db}-wal")
        if not self.db.is_file():
            self.tell("trouble", "database", f"{self.db} is no file; give another one with --db")
            return
        if not _size(self.db):
            hint = f"sqlite3 {_q(self.db)} .recover > saved.sql shows what its -wal still holds; " if wal else ""
            again = f"if it never held anything: rm {_q(self.db)}"
            self.tell("trouble", "database", f"{self.db} is empty; {hint}restore it from a backup, or {again}")
            return
        if wal and not Path(f"{self.db}-shm").exists():
            self.tell("note", "database", "its -wal comes from a copy, and what it holds is not counted here")
        self.store = examined(self.db, self._clock)
        self.safely("integrations", self._integrations)
        if damage := self.store.damage():
            raise ConfigError(
                f"the database {self.db} is damaged ({damage}); keep a copy, then try: "
                f"sqlite3 {_q(self.db)} .recover | sqlite3 repaired.db, and run: shipfwd --db repaired.db doctor"
            )
        self.tell("ok", "database", f"{self.db} is whole, {(_size(self.db) + wal) / 1e6:.1f} MB")
        if wal > BIG_WAL:
            why = "something keeps reading the database; the next run folds it in once that has ended"
            self.tell("note", "database", f"its -wal has grown to {wal / 1e6:.0f} MB: {why}")

    def _integrations(self) -> None:
        assert self.store is not None
        self.integrations = self.store.integrations()

    def rights(self) -> None:
        """Ours alone: the database, what lies beside it, the locks. The vault's are its own business."""
        locks = locks_folder(self.db)
        beside = [self.db, *(Path(f"{self.db}{end}") for end in ("-wal", "-shm"))]
        for path in [*beside, locks, *(sorted(locks.iterdir()) if locks.is_dir() else ())]:
            try:
                info = path.stat()
            except FileNotFoundError:
                continue
            if info.st_mode & 0o077:
                right = "700" if stat.S_ISDIR(info.st_mode) else "600"
                mode = f"{stat.S_IMODE(info.st_mode):04o}"
                self.tell("trouble", "rights", f"other users have access to {path} ({mode}); chmod {right} {_q(path)}")
            if info.st_uid != os.geteuid():
                whose = "shipfwd must run as the user who owns its files, here number"
                self.tell("warning", "rights", f"{path} is another user's: {whose} {info.st_uid}")

    def read_vault(self) -> None:
        self.vault.token_ages()  # raises what is wrong with it

    def disk(self) -> None:
        folder = next((one for one in self.db.parents if one.is_dir()), Path("/"))
        free = shutil.disk_usage(folder).free
        if free < ROOM:
            self.tell("warning", "disk", f"only {free / 1e6:.0f} MB are free at {folder}; make room")

    # ---- time and the machine -----------------------------------------------------------------------------

    def configuration(self) -> None:
        if self.store is not None:
            stored = self.store.config()
            for key, value in stored.items():
                check_config(key, value)
            self.config = Config(stored)

    def clock(self) -> None:
        shown = f"{schedule.local(self.now, self.config.zone)} in {self.config.zone}"
        here = self.now.astimezone().strftime("%H:%M %Z")
        if not 2026 <= self.now.year < 2100:
            self.tell(
                "trouble", "clock", f"the machine's clock says {self.now:%Y-%m-%d}; set it: timedatectl set-ntp true"
            )
            return
        newest = self.store.newest_run_at() if self.store is not None else None
        if newest is not None and newest > self.now + CLOCK_SLACK:
            when = schedule.local(newest, self.config.zone)
            self.tell("warning", "clock", f"it is {shown}, but a run began at {when}: the clock was wrong, or is now")
        else:
            self.tell("ok", "clock", f"{shown}; the machine's own zone shows {here}")

    def sweeps(self) -> None:
        times, zone = self.config.times, self.config.zone
        following = ", ".join(schedule.local(one, zone)[11:] for one in schedule.next_slots(self.now, times, zone, 4))
        self.tell("ok", "sweeps", f"the next sweep times are {following} ({zone})")
        on = [one for one in self.integrations if one.enabled]
        if self.store is None or not on:
            return
        last = self.store.last_sweep()
        began = datetime.fromisoformat(last["started_at"]) if last else None
        slot = schedule.latest_slot(self.now - SLOT_GRACE, times, zone)
        since = min((one.created_at for one in on if one.created_at), default=self.now)
        if since < slot and (began is None or began < slot):
            ran = f"the last one ran at {schedule.local(began, zone)}" if began else "none ever ran"
            line = f"crontab -e, then: {self._cron_line()}"
            self.tell("warning", "sweeps", f"the sweep of {schedule.local(slot, zone)} is missing, {ran}; {line}")
        elif last is None or began is None:
            self.tell("note", "sweeps", f"none ran yet; crontab -e, then: {self._cron_line()}")
        elif last["exit_code"] in (3, 70):
            when, code = schedule.local(began, zone), last["exit_code"]
            self.tell(
                "warning", "sweeps", f"the last sweep, at {when}, ended with {code}; run one by hand: shipfwd sweep"
            )
        else:
            self.tell("ok", "sweeps", f"the last sweep ran at {schedule.local(began, zone)}")

    def _cron_line(self) -> str:
        command = shutil.which("shipfwd") or os.path.abspath(sys.argv[0])
        text = schedule.emit("cron", self.config.times, self.config.zone, command, str(self.db))
        return text.rstrip("\n").rpartition("\n")[2]

    def crontab(self) -> None:
        """What the user's own crontab says of us. The only program that is run; it reads."""
        import subprocess

        if not (command := shutil.which("crontab")):
            self.tell("note", "crontab", "there is no crontab command here: a timer or the like must run shipfwd sweep")
            return
        try:
            said = subprocess.run(  # noqa: S603
                [command, "-l"], stdin=subprocess.DEVNULL, capture_output=True, timeout=CRONTAB_SECONDS, check=False
            ).stdout.decode(errors="replace")
        except (OSError, subprocess.TimeoutExpired):
            self.tell("note", "crontab", "crontab -l did not answer")
            return
        lines = [line.strip() for line in said.splitlines() if "shipfwd" in line and "sweep" in line]
        lines = [line for line in lines if not line.startswith("#")]
        ours = [line for line in lines if _database_of(line) in (None, self.db)]
        if ours:
            self.tell("ok", "crontab", ours[0])
        elif lines:
            self.tell("note", "crontab", f"its sweep is for another database: {lines[0]}")
        else:
            self.tell("note", "crontab", "yours has no sweep; it may be another user's, or a timer's")

    def runs(self) -> None:
        folder = locks_folder(self.db)
        for file in sorted(folder.glob("run-*")) if folder.is_dir() else ():
            number = file.name.removeprefix("run-")
            if not number.isdigit():
                continue
            if lives(folder, int(number)):
                self.tell("note", "runs", f"run {number} is at work right now; several share the work")
            else:
                self.tell("note", "runs", f"run {number} was killed; the next run takes up what it held")

    # ---- integrations -------------------------------------------------------------------------------------

    def integration(self, one: Integration) -> None:
        before = len(self.findings)
        level = "trouble" if one.enabled else "note"  # switched off, it is not in the way
        try:
            cls = platforms.load(one.platform)
        except Exception as error:
            self.tell(level, one.name, f"its platform cannot be loaded: {error}")
            return
        try:
            check_settings(cls, one.settings, one.secrets)
        except ShipfwdError as error:
            self.tell(level, one.name, f"{error} (shipfwd integration edit {_q(one.name)} …)")
        self._secrets(one, level)
        login = self._login(one, cls, level)
        if not any(found["level"] in ("warning", "trouble") for found in self.findings[before:]):
            switched = "forwarding on" if one.enabled else "forwarding off"
            self.tell("ok", one.name, f"{cls.title}, {switched}, settings and secrets are there{login}")

    def _secrets(self, one: Integration, level: str) -> None:
        unknown, inherited = [], []
        for name, text in one.secrets.items():
            try:
                reference = parse_reference(text)
                if reference.kind == "cmd":
                    unknown.append(name)
                    continue
                prompted = self.vault.prompted(one.id) if reference.kind == "prompt" else {}
                resolve(reference, integration=one.name, secret=name, prompted=prompted)
                if reference.kind == "env":
                    inherited.append(reference.target)
            except ShipfwdError as error:
                self.tell(level, one.name, str(error))
        if unknown:
            self.tell("note", one.name, f"{', '.join(unknown)}: from a command, which was not run here")
        if inherited:
            passed = "which cron does not pass on: set it in the crontab, or use file:"
            self.tell("note", one.name, f"{', '.join(inherited)}: from the environment, {passed}")

    def _login(self, one: Integration, cls: type[Platform], level: str) -> str:
        """How the login stands; words for the case that all is well."""
        if not any(setting.name == "refresh_token" for setting in cls.settings):
            return ""
        token = self.vault.tokens(one.id, lambda: None).current()
        renew = f"shipfwd integration login {_q(one.name)}"
        if token is None:
            if "refresh_token" not in one.secrets:
                self.tell(level, one.name, f"login needed: {renew}")
            return ""
        if token.login_expires_at is None:
            return ", logged in"
        ends = schedule.local(token.login_expires_at, self.config.zone)
        left = token.login_expires_at - self.now
        if left <= timedelta(0):
            self.tell(level, one.name, f"its login ended on {ends}; renew it: {renew}")
        elif left <= LOGIN_WARNING:
            mild = "warning" if one.enabled else "note"
            self.tell(mild, one.name, f"its login ends on {ends}, in {left.days} days; renew it: {renew}")
        since = f" of {schedule.local(token.obtained_at, self.config.zone)}" if token.obtained_at else ""
        return f", login{since} lasts until {ends}"

    # ---- shipments ----------------------------------------------------------------------------------------

    def shipments(self) -> None:
        if self.store is None:
            return
        if not self.integrations:
            self.tell("note", "integrations", f"there is none yet; {BEGIN}")
            return
        counts = self.store.summary()
        for state in ("failed", "blocked"):
            if counts[state]:
                self.tell("warning", "shipments", f"{counts[state]} {state}; see: shipfwd status --state {state}")
        slot = schedule.next_slots(self.now, self.config.times, self.config.zone, 1)[0]
        for one in self.integrations:
            self._under_way(one, slot)
        named = {one.id: one for one in self.integrations}
        for wanted in self.store.carriers_to_come():
            if wanted.integration_id in named:
                self._carrier(named[wanted.integration_id], wanted)
        if not any(found["what"] in ("shipments", "carriers") for found in self.findings):
            self.tell("ok", "shipments", "none failed, blocked, late or about to be lost")

    def _under_way(self, one: Integration, slot: datetime) -> None:
        assert self.store is not None
        counts = self.store.under_way(one.id)
        if not one.enabled:
            if waiting := counts["due"] + counts["waiting"]:
                on = f"shipfwd integration enable {_q(one.name)}"
                self.tell("note", "shipments", f"{waiting} wait at {one.name}, where forwarding is off; {on}")
        elif late := self.store.late(one.id, OVERDUE):
            see = f"shipfwd status -i {_q(one.name)} --since {self.now - timedelta(days=7):%Y-%m-%d}"
            self.tell("warning", "shipments", f"{late} of {one.name} have been due for 6 hours; see: {see}")
        if counts["in_doubt"]:
            self.tell("note", "shipments", f"{counts['in_doubt']} of {one.name} are in doubt; the next run asks there")
        if leaving := self.store.leaving(one.id, slot, self.config.window):
            window = f"{self.config.window / timedelta(hours=1):g} hours"
            act = f"to send them all the same: shipfwd forward ID (shipfwd status --state waiting -i {_q(one.name)})"
            self.tell(
                "warning", "shipments", f"{leaving} of {one.name} will be older than {window} at the next sweep; {act}"
            )

    def _carrier(self, one: Integration, wanted: Wanted) -> None:
        cls = platforms.load(one.platform)
        if takes(cls, one.settings, one.carrier_map, wanted.carrier):
            return
        how_many = f"{wanted.count} shipments" if wanted.count > 1 else "a shipment"
        if wanted.carrier:
            act = f"shipfwd carriers map -i {_q(one.name)} {_q(wanted.carrier)}=THEIRS"
            text = f"{cls.title} has no name for carrier '{wanted.carrier}' of {how_many}; name it: {act}"
        else:
            text = f"{how_many} of {one.name} without a carrier, which {cls.title} asks for; import them with one"
        self.tell("warning" if one.enabled else "note", "carriers", text)


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _q(text: object) -> str:
    return shlex.quote(str(text))


def _database_of(line: str) -> Path | None:
    """The --db of a crontab line; None when it names none."""
    try:
        words = shlex.split(line.replace(r"\%", "%"))
    except ValueError:
        return None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--db":
            return Path(following)
        if word.startswith("--db="):
            return Path(word.removeprefix("--db="))
    return None
