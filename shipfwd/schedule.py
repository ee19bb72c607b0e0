"""When things happen: the daily slots, the window, retries; and the text that makes a machine keep them.

Pure functions: the clock is an argument, moments are aware datetimes, results are UTC unless a name says local.

Why every moment is turned to UTC first: Python subtracts and compares two datetimes of one zone by what the wall
clock shows, which is an hour wrong across a change of the clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from shipfwd.errors import ConfigError, UsageError

WINDOW_HOURS = 72
RETRY_MINUTES = (1, 5, 15, 60)  # the last one repeats
RETRY_AFTER_MOST = timedelta(hours=24)
TOO_FAR = timedelta(hours=25)  # no retry is set further ahead than a day: the clock was wrong when it was
EMITTED = ("cron", "cronie", "systemd")


# ---- slots ----------------------------------------------------------------------------------------------


def parse_times(text: str) -> tuple[time, ...]:
    """The times of day in "09:30,13:30", ascending, each once. Raises UsageError."""
    times = set()
    for part in text.split(","):
        hour, colon, minute = part.strip().partition(":")
        digits = colon and hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit()
        if not digits or len(hour) > 2 or len(minute) != 2 or int(hour) > 23 or int(minute) > 59:
            raise UsageError(f"{part.strip()!r} is not a time of day; write them as 09:30,13:30 (00:00 to 23:59)")
        times.add(time(int(hour), int(minute)))
    return tuple(sorted(times))


def zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises UsageError naming the nearest one, ConfigError where there are none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # not a path, a folder such as "Europe", not found
        if not available_timezones():
            raise ConfigError("no time zones are installed; run: python3 -m pip install tzdata") from None
        hint = f"; did you mean {near}?" if (near := _nearest_zone(name)) else "; write one such as Europe/Warsaw"
        raise UsageError(f"there is no time zone {name!r}{hint}") from None


def _nearest_zone(name: str) -> str:
    import difflib

    known = sorted(available_timezones())
    wanted = name.strip().casefold().replace(" ", "_")
    for words in ({k.casefold(): k for k in known}, {k.rpartition("/")[2].casefold(): k for k in known}):
        if near := difflib.get_close_matches(wanted, words, 1, 0.75):
            return words[near[0]]
    return ""


def latest_slot(now: datetime, times: Sequence[time], zone: ZoneInfo) -> datetime:
    """The latest slot at or before `now`."""
    now = now.astimezone(UTC)
    return max(slot for slot in _slots(_day(now, zone, -2), 4, times, zone) if slot <= now)


def next_slots(now: datetime, times: Sequence[time], zone: ZoneInfo, n: int) -> list[datetime]:
    """The next n slots after `now`, ascending, each once."""
    now = now.astimezone(UTC)
    days = n // len(times) + 4
    return sorted({slot for slot in _slots(_day(now, zone, -1), days, times, zone) if slot > now})[:n]


def slot_due(
    last_pass: datetime | None, added: datetime, now: datetime, times: Sequence[time], zone: ZoneInfo
) -> datetime | None:
    """The slot that an integration owes a full pass, or None.

    last_pass   when its last full pass began; one in the future (the clock was put back) does not count.
    added       when the integration was added: no slot from before is made up for; in the future, likewise.

    However many slots were missed, the latest one stands for them all.
    """
    slot, now = latest_slot(now, times, zone), now.astimezone(UTC)
    if slot < added.astimezone(UTC) <= now:
        return None
    if last_pass is not None and slot <= last_pass.astimezone(UTC) <= now:
        return None
    return slot


def _day(now: datetime, zone: ZoneInfo, days: int) -> date:
    return now.astimezone(zone).date() + timedelta(days=days)


def _slots(first: date, days: int, times: Sequence[time], zone: ZoneInfo) -> Iterator[datetime]:
    for ahead in range(days):
        for moment in times:
            yield _instant(datetime.combine(first + timedelta(days=ahead), moment), zone)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When a clock on the wall of that zone shows `wall` (naive).

    The first time, where an hour is repeated; where it is skipped, the first instant after the gap.
    """
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # In a gap, fold 1 and fold 0 read the wall clock by the offsets after and before the change, which puts them
    # before and after it. The change itself is found between the two.
    low, high = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def local(moment: datetime, zone: ZoneInfo) -> str:
    """YYYY-MM-DD HH:MM on the wall of that zone."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


# ---- the window, retries, doubt -------------------------------------------------------------------------


def expires_at(created_at: datetime, window_hours: float = WINDOW_HOURS) -> datetime:
    """The last second at which a shipment may become due: elapsed hours, whatever the clocks on the wall do."""
    return created_at.astimezone(UTC) + timedelta(hours=window_hours)


def in_window(created_at: datetime, now: datetime, window_hours: float = WINDOW_HOURS) -> bool:
    """Whether a shipment may still become due; its last whole second counts."""
    return now.astimezone(UTC).replace(microsecond=0) <= expires_at(created_at, window_hours)


def retry_at(tries: int, now: datetime, after: float | None, random: Callable[[], float]) -> datetime:
    """When to try again after `tries` failures: 1, 5, 15, 60 minutes, then hourly, each ± 20 %.

    after    seconds the platform asked us to wait (Retry-After), of which 24 hours count. The later of both is
             taken: never before they said, and "0" does not make us hammer.
    random   0 ≤ x < 1.
    """
    minutes = RETRY_MINUTES[min(max(tries, 1), len(RETRY_MINUTES)) - 1]
    wait = timedelta(minutes=minutes * (0.8 + 0.4 * random()))
    if after is not None and after > 0:
        wait = max(wait, timedelta(seconds=min(after, RETRY_AFTER_MOST.total_seconds())))
    return now.astimezone(UTC) + wait


def has_come(next_attempt_at: datetime | None, now: datetime) -> bool:
    """Whether a retry is due; one more than 25 hours ahead is, because the clock jumped."""
    if next_attempt_at is None:
        return True
    ahead = next_attempt_at.astimezone(UTC) - now.astimezone(UTC)
    return ahead <= timedelta(0) or ahead > TOO_FAR


def in_doubt_until(left_at: datetime, seconds: float) -> datetime:
    """Until when a write that left at `left_at` may still arrive."""
    return left_at.astimezone(UTC) + timedelta(seconds=seconds)


# ---- text to install ------------------------------------------------------------------------------------


def emit(kind: str, times: Sequence[time], zone: ZoneInfo, command: str, db: str) -> str:
    """Lines to install so that the sweeps run at the slots.

    kind      cron (any cron, in any zone) | cronie (has CRON_TZ) | systemd.
    command   absolute path of the shipfwd executable.
    db        absolute path of the database.
    Raises UsageError for another kind, and for a path that a crontab or unit file cannot hold.
    """
    for path in (command, db):
        if not path.startswith("/") or not path.isprintable():
            raise UsageError(f"{path!r} cannot stand there; give an absolute path without control characters")
    hours: dict[int, list[int]] = {}  # minute → its hours: one line holds the times that share a minute
    for moment in sorted(times):
        hours.setdefault(moment.minute, []).append(moment.hour)
    if kind == "cron":
        return _CRON.format(line=_cron_line(command, db))
    if kind == "cronie":
        line = _cron_line(command, db)
        lines = [f"{minute} {','.join(map(str, at))} * * * {line}" for minute, at in hours.items()]
        return _CRONIE.format(zone=zone.key, lines="\n".join(lines))
    if kind == "systemd":
        calendar = [
            f"OnCalendar=*-*-* {','.join(f'{hour:02}' for hour in at)}:{minute:02}:00 {zone.key}"
            for minute, at in hours.items()
        ]
        start = f"{_unit_word(command, first=True)} -q --db {_unit_word(db)} sweep"
        return _SYSTEMD.format(start=start, calendar="\n".join(calendar))
    raise UsageError(f"{kind!r} is not one of {', '.join(EMITTED)}")


def _cron_line(command: str, db: str) -> str:
    import shlex

    # cron reads an unescaped % as the end of the command, before any shell sees it.
    return f"{shlex.quote(command)} -q --db {shlex.quote(db)} sweep".replace("%", r"\%")


def _unit_word(path: str, *, first: bool = False) -> str:
    """A path as one word of ExecStart=. Source: systemd.service(5), "Command lines"."""
    word = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if not first:  # variables are not expanded in the executable's name
        word = word.replace("$", "$$")
    return f'"{word}"' if any(sign in word for sign in " '\"\\;") else word


_CRON = """\
# shipfwd keeps the slots itself, in its own time zone, whatever the zone of this machine; a missed one is made up.
# It is silent unless a person is needed; cron mails that to:
# MAILTO=you@example.org
*/10 * * * * {line} --if-due
"""

_CRONIE = """\
# For cronie only: Debian's cron does not know CRON_TZ. It counts for the lines below it: put these at the end.
# MAILTO=you@example.org
CRON_TZ={zone}
{lines}
"""

_SYSTEMD = """\
# Units of the user who owns the database. Save the two parts, then:
#   systemctl --user daemon-reload && systemctl --user enable --now shipfwd.timer
#   loginctl enable-linger        (without it the timer rests while that user is logged out)

# ~/.config/systemd/user/shipfwd.service
[Unit]
Description=Forward tracking numbers to the sales channels

[Service]
Type=oneshot
ExecStart={start}
# 4: passing trouble, which a later run repairs
SuccessExitStatus=4

# ~/.config/systemd/user/shipfwd.timer
[Unit]
Description=When shipfwd forwards tracking numbers

[Timer]
{calendar}
Persistent=true
RandomizedDelaySec=120
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
