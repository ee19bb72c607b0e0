"""Slots over changes of the clocks, the window, retries, and the lines to install."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipfwd.errors import UsageError
from shipfwd.schedule import (
    WINDOW_HOURS,
    emit,
    expires_at,
    has_come,
    in_doubt_until,
    in_window,
    latest_slot,
    local,
    next_slots,
    parse_times,
    retry_at,
    slot_due,
    zone,
)

WARSAW = ZoneInfo("Europe/Warsaw")
TIMES = parse_times("09:30,13:30,16:30,23:30")
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("09:30,13:30,16:30,23:30", [(9, 30), (13, 30), (16, 30), (23, 30)]),
        (" 9:30 , 00:00", [(0, 0), (9, 30)]),
        ("23:59,09:30,09:30", [(9, 30), (23, 59)]),
    ],
)
def test_times_are_read_in_order_each_once(text, wanted):
    assert parse_times(text) == tuple(time(*hm) for hm in wanted)


@pytest.mark.parametrize(
    "text", ["", "9", "9:3", "24:00", "09:60", "09:30,", "09:30:00", "-1:30", "٠٩:٣٠", "930", "x:yy"]
)
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="is not a time of day; write them as 09:30,13:30"):
        parse_times(text)


def test_a_zone_is_found_by_its_name():
    assert zone("Europe/Warsaw") == WARSAW


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Warsaw", "Europe/Warsaw"),
        ("europe/warsaw", "Europe/Warsaw"),
        ("Europe/Warszawa", "Europe/Warsaw"),
        ("Europe/Berln", "Europe/Berlin"),
        ("new york", "America/New_York"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_name(name, near):
    with pytest.raises(UsageError, match=re.escape(f"there is no time zone '{name}'; did you mean {near}?")):
        zone(name)


@pytest.mark.parametrize("name", ["", "Europe", "../../etc/passwd", "/tmp", "a\0b", "qqqqqqq"])
def test_what_is_no_zone_at_all_is_refused_with_an_example(name):
    with pytest.raises(UsageError, match="there is no time zone .*such as Europe/Warsaw"):
        zone(name)


def test_shown_times_are_local():
    assert local(utc("2026-11-23T08:30:00"), WARSAW) == "2026-11-23 09:30"
    assert local(utc("2026-07-23T22:30:00"), WARSAW) == "2026-07-24 00:30"


# ---- slots ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "latest", "following"),
    [
        ("2026-11-23T08:29:59", "2026-11-22T22:30:00", "2026-11-23T08:30:00"),
        ("2026-11-23T08:30:00", "2026-11-23T08:30:00", "2026-11-23T12:30:00"),
        ("2026-11-23T23:00:00", "2026-11-23T22:30:00", "2026-11-24T08:30:00"),
        # 28/29 March 2026: an hour is skipped at 01:00 UTC; the slots come an hour earlier in UTC.
        ("2026-03-28T23:00:00", "2026-03-28T22:30:00", "2026-03-29T07:30:00"),
        ("2026-03-29T07:29:59", "2026-03-28T22:30:00", "2026-03-29T07:30:00"),
        ("2026-03-29T21:30:00", "2026-03-29T21:30:00", "2026-03-30T07:30:00"),
        # 24/25 October 2026: an hour is repeated; an hour later again.
        ("2026-10-24T21:30:00", "2026-10-24T21:30:00", "2026-10-25T08:30:00"),
        ("2026-10-25T08:29:59", "2026-10-24T21:30:00", "2026-10-25T08:30:00"),
        # 2027
        ("2027-03-28T00:00:00", "2027-03-27T22:30:00", "2027-03-28T07:30:00"),
        ("2027-10-31T00:00:00", "2027-10-30T21:30:00", "2027-10-31T08:30:00"),
    ],
)
def test_slots_keep_their_local_time_over_both_changes_of_the_clocks(now, latest, following):
    assert latest_slot(utc(now), TIMES, WARSAW) == utc(latest)
    assert next_slots(utc(now), TIMES, WARSAW, 1) == [utc(following)]


@pytest.mark.parametrize(
    ("name", "at", "now", "wanted"),
    [
        # Skipped: the first instant after the gap.
        ("Europe/Warsaw", "02:00", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("Europe/Warsaw", "02:30", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("Europe/Warsaw", "02:59", "2027-03-27T12:00:00", "2027-03-28T01:00:00"),
        ("Europe/Warsaw", "03:00", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("America/New_York", "02:30", "2026-03-07T12:00:00", "2026-03-08T07:00:00"),
        ("Australia/Lord_Howe", "02:15", "2026-10-03T03:00:00", "2026-10-03T15:30:00"),  # half an hour
        ("Africa/Cairo", "00:00", "2026-04-23T12:00:00", "2026-04-23T22:00:00"),  # the gap begins at midnight
        ("Pacific/Apia", "09:30", "2011-12-30T09:59:00", "2011-12-30T10:00:00"),  # the 30th was left out as a whole
        # Repeated: the first of the two.
        ("Europe/Warsaw", "02:30", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("Europe/Warsaw", "02:30", "2027-10-30T12:00:00", "2027-10-31T00:30:00"),
        ("America/New_York", "01:30", "2026-10-31T12:00:00", "2026-11-01T05:30:00"),
    ],
)
def test_a_slot_in_a_skipped_or_repeated_hour_comes_once(name, at, now, wanted):
    place, times = ZoneInfo(name), parse_times(at)
    first, second = next_slots(utc(now), times, place, 2)
    assert first == utc(wanted)
    assert second - first > 9 * HOUR
    assert latest_slot(first, times, place) == first == latest_slot(second - timedelta(seconds=1), times, place)


def test_slots_that_fall_into_one_gap_are_one_run():
    times = parse_times("02:10,02:40,03:00,12:00")
    assert next_slots(utc("2026-03-29T00:00:00"), times, WARSAW, 2) == [
        utc("2026-03-29T01:00:00"),
        utc("2026-03-29T10:00:00"),
    ]


def test_no_slots_are_asked_for_and_none_are_told():
    assert next_slots(utc("2026-11-23T08:30:00"), TIMES, WARSAW, 0) == []


ADDED = utc("2026-11-01T00:00:00")


@pytest.mark.parametrize(
    ("last", "now", "wanted"),
    [
        pytest.param(None, "2026-11-23T08:31:00", "2026-11-23T08:30:00", id="never had one"),
        pytest.param("2026-11-22T22:31:00", "2026-11-23T08:29:59", None, id="the next has not come"),
        pytest.param("2026-11-22T22:31:00", "2026-11-23T08:30:00", "2026-11-23T08:30:00", id="it comes"),
        pytest.param("2026-11-23T08:30:00", "2026-11-23T08:30:00", None, id="it ran this second"),
        pytest.param("2026-11-23T08:31:00", "2026-11-23T12:29:00", None, id="it ran"),
        pytest.param("2026-11-20T08:31:00", "2026-11-23T13:00:00", "2026-11-23T12:30:00", id="asleep over many slots"),
        pytest.param("2026-11-23T12:31:00", "2026-11-23T11:40:00", "2026-11-23T08:30:00", id="clock back an hour"),
        pytest.param("2026-11-23T08:31:00", "2026-11-24T08:40:00", "2026-11-24T08:30:00", id="clock forward a day"),
        pytest.param("2026-11-24T08:40:00", "2026-11-23T08:50:00", "2026-11-23T08:30:00", id="and back again"),
        pytest.param("2026-11-23T08:50:00", "2026-11-23T09:00:00", None, id="then all is as before"),
    ],
)
def test_an_integration_is_due_when_a_slot_has_come_since_its_last_pass(last, now, wanted):
    got = slot_due(last and utc(last), ADDED, utc(now), TIMES, WARSAW)
    assert got == (wanted and utc(wanted))


@pytest.mark.parametrize(
    ("added", "wanted"),
    [
        ("2026-11-23T08:29:59", "2026-11-23T08:30:00"),
        ("2026-11-23T08:30:00", "2026-11-23T08:30:00"),
        ("2026-11-23T08:30:01", None),
        ("2027-11-23T08:30:00", "2026-11-23T08:30:00"),  # added by a clock that was a year ahead
    ],
)
def test_no_slot_from_before_an_integration_was_added_is_made_up_for(added, wanted):
    got = slot_due(None, utc(added), utc("2026-11-23T09:00:00"), TIMES, WARSAW)
    assert got == (wanted and utc(wanted))


def test_moments_may_come_in_any_zone():
    now = utc("2026-10-25T00:45:00").astimezone(WARSAW)  # 02:45 for the first time
    last = utc("2026-10-25T00:15:00").astimezone(WARSAW)
    times = parse_times("02:30")
    assert slot_due(last, ADDED, now, times, WARSAW) == utc("2026-10-25T00:30:00")
    assert slot_due(now, ADDED, now + HOUR, times, WARSAW) is None


@pytest.mark.parametrize(
    "start", ["2026-03-28T00:03:00", "2026-10-24T00:03:00", "2027-03-27T00:07:00", "2027-10-30T00:07:00"]
)
@pytest.mark.parametrize("times", ["09:30,13:30,16:30,23:30", "02:30", "00:00,02:00,02:30,03:00"])
def test_cron_every_ten_minutes_runs_each_slot_once_within_ten_minutes(start, times):
    times, now, last, ran = parse_times(times), utc(start), utc(start), []
    expected = next_slots(now, times, WARSAW, 40)
    end = now + timedelta(days=3)
    while now < end:
        if slot := slot_due(last, ADDED, now, times, WARSAW):
            assert now - slot < timedelta(minutes=10)
            ran.append(slot)
            last = now
        now += timedelta(minutes=10)
    assert ran == [slot for slot in expected if slot <= ran[-1]]
    assert len(ran) == len(set(ran)) >= 3


ZONES = ["Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Africa/Casablanca",
         "Asia/Kathmandu", "America/Santiago", "Pacific/Apia", "UTC"]  # fmt: skip
moments = st.datetimes(datetime(2005, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC))
tables = st.lists(
    st.times().map(lambda t: t.replace(second=0, microsecond=0, fold=0)), min_size=1, max_size=6, unique=True
).map(lambda times: tuple(sorted(times)))
zones = st.sampled_from(ZONES).map(ZoneInfo)


@given(now=moments, times=tables, place=zones, n=st.integers(1, 12))
def test_next_slots_strictly_increase_and_show_a_slot_time_on_the_wall(now, times, place, n):
    slots = next_slots(now, times, place, n)
    assert len(slots) == n
    assert slots[0] > now
    assert all(a < b for a, b in zip(slots, slots[1:], strict=False))
    for slot in slots:
        assert slot.tzinfo is UTC
        here = slot.astimezone(place)
        second_before = (slot - timedelta(seconds=1)).astimezone(place)
        after_a_gap = here.replace(tzinfo=None) - second_before.replace(tzinfo=None) > timedelta(seconds=1)
        assert here.timetz().replace(tzinfo=None, fold=0) in times or after_a_gap
        assert here.fold == 0  # the first, where an hour is repeated


@given(now=moments, times=tables, place=zones)
def test_the_latest_slot_and_the_next_one_are_neighbours(now, times, place):
    latest = latest_slot(now, times, place)
    (following,) = next_slots(now, times, place, 1)
    assert latest <= now < following
    assert next_slots(latest, times, place, 1) == [following]
    assert latest_slot(following, times, place) == following


@given(day=st.dates(date(2005, 1, 1), date(2036, 1, 1)), times=tables, place=zones)
def test_every_time_of_every_day_has_its_slot(day, times, place):
    begin = datetime.combine(day, time(), tzinfo=place).astimezone(UTC) - timedelta(hours=3)
    slots = set(next_slots(begin, times, place, len(times) * 3 + 3))
    for at in times:
        wall = datetime.combine(day, at, tzinfo=place).astimezone(UTC)
        skipped = wall.astimezone(place).replace(tzinfo=None) != datetime.combine(day, at)
        assert any(wall - timedelta(hours=25) < slot <= wall for slot in slots) if skipped else wall in slots


@given(
    start=moments,
    steps=st.lists(st.integers(1, 3 * 24 * 60), min_size=1, max_size=30),
    times=tables,
    place=zones,
)
def test_no_slot_is_run_twice_and_the_latest_is_never_skipped(start, steps, times, place):
    now, last, ran = start, None, []
    for minutes in steps:
        now += timedelta(minutes=minutes)
        slot = slot_due(last, start, now, times, place)
        if slot:
            ran.append(slot)
            last = now
        newest = latest_slot(now, times, place)
        assert newest in ran if newest >= start else slot is None
    assert len(ran) == len(set(ran))


# ---- the window, retries, doubt -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "inside"),
    [
        (timedelta(0), True),
        (timedelta(hours=-5), True),
        (timedelta(hours=72), True),
        (timedelta(hours=72, milliseconds=999), True),
        (timedelta(hours=72, seconds=1), False),
    ],
)
@pytest.mark.parametrize("created", ["2026-11-20T10:00:00", "2026-03-27T10:00:00", "2026-10-23T10:00:00"])
def test_the_window_is_72_elapsed_hours_to_the_second(created, age, inside):
    created = utc(created).astimezone(WARSAW)  # over a change of the clocks the wall would say 71 or 73
    now = (created.astimezone(UTC) + age).astimezone(WARSAW)
    assert in_window(created, now) is inside
    assert expires_at(created) == utc(created.astimezone(UTC).isoformat()[:19]) + WINDOW_HOURS * HOUR


def test_the_window_may_be_set():
    created = utc("2026-11-20T10:00:00")
    assert in_window(created, created + 5 * HOUR, 5)
    assert not in_window(created, created + 5 * HOUR, 4.5)


NOW = utc("2026-11-23T08:30:00")


@pytest.mark.parametrize(("tries", "minutes"), [(0, 1), (1, 1), (2, 5), (3, 15), (4, 60), (5, 60), (500, 60)])
def test_retries_come_after_1_5_15_and_60_minutes_and_then_hourly(tries, minutes):
    waits = [retry_at(tries, NOW, None, lambda chance=chance: chance) - NOW for chance in (0.0, 0.5, 1.0)]
    assert waits == [timedelta(minutes=minutes) * factor for factor in (0.8, 1.0, 1.2)]


@pytest.mark.parametrize(
    ("after", "seconds"),
    [(0, 60), (-5, 60), (30, 60), (90, 90), (7200, 7200), (86400, 86400), (90000, 86400), (1e300, 86400),
     (float("inf"), 86400), (float("nan"), 60)],
)  # fmt: skip
def test_a_retry_is_never_before_the_platform_said_up_to_a_day(after, seconds):
    assert retry_at(1, NOW, after, lambda: 0.5) - NOW == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("ahead", "come"),
    [
        (None, True),
        (timedelta(seconds=-1), True),
        (timedelta(0), True),
        (timedelta(seconds=1), False),
        (timedelta(hours=25), False),
        (timedelta(hours=25, seconds=1), True),
    ],
)
def test_a_retry_has_come_when_its_time_has_or_when_the_clock_jumped(ahead, come):
    assert has_come(None if ahead is None else NOW + ahead, NOW) is come


@given(tries=st.integers(0, 99), after=st.none() | st.floats(), chance=st.floats(0, 1, exclude_max=True))
def test_no_retry_is_ever_mistaken_for_a_jump_of_the_clock(tries, after, chance):
    at = retry_at(tries, NOW, after, lambda: chance)
    assert not has_come(at, NOW)
    assert has_come(at, at)


def test_a_write_is_in_doubt_for_the_seconds_that_it_may_still_live():
    assert in_doubt_until(NOW, 60) == utc("2026-11-23T08:31:00")


# ---- text to install ------------------------------------------------------------------------------------

COMMAND, DB = "/usr/local/bin/shipfwd", "/var/lib/shipfwd/shipfwd.db"


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_cron_asks_every_ten_minutes():
    assert lines(emit("cron", TIMES, WARSAW, COMMAND, DB)) == [f"*/10 * * * * {COMMAND} -q --db {DB} sweep --if-due"]


def test_cronie_runs_the_slots_in_their_zone():
    assert lines(emit("cronie", TIMES, WARSAW, COMMAND, DB)) == [
        "CRON_TZ=Europe/Warsaw",
        f"30 9,13,16,23 * * * {COMMAND} -q --db {DB} sweep",
    ]


def test_systemd_runs_the_slots_in_their_zone_and_makes_up_for_missed_ones():
    text = lines(emit("systemd", TIMES, WARSAW, COMMAND, DB))
    timer = text[text.index("[Timer]") :]
    assert timer[:5] == [
        "[Timer]",
        "OnCalendar=*-*-* 09,13,16,23:30:00 Europe/Warsaw",
        "Persistent=true",
        "RandomizedDelaySec=120",
        "AccuracySec=1s",
    ]
    assert f"ExecStart={COMMAND} -q --db {DB} sweep" in text
    assert "Type=oneshot" in text


def test_times_that_differ_in_minutes_take_a_line_each():
    times = parse_times("09:05,13:30,16:05")
    assert lines(emit("cronie", times, WARSAW, COMMAND, DB))[1:] == [
        f"5 9,16 * * * {COMMAND} -q --db {DB} sweep",
        f"30 13 * * * {COMMAND} -q --db {DB} sweep",
    ]
    calendar = [line for line in lines(emit("systemd", times, WARSAW, COMMAND, DB)) if "OnCalendar" in line]
    assert calendar == [
        "OnCalendar=*-*-* 09,16:05:00 Europe/Warsaw",
        "OnCalendar=*-*-* 13:30:00 Europe/Warsaw",
    ]


@pytest.mark.parametrize("kind", ["cron", "cronie", "systemd"])
def test_what_is_to_be_installed_holds_no_per_cent_sign_and_ends_with_a_line_break(kind):
    text = emit(kind, TIMES, WARSAW, COMMAND, DB)
    assert "%" not in text
    assert text.endswith("\n")


AWKWARD = "/srv/my shop/it's $HOME/100%/a\"b\\c;d.db"


def test_awkward_paths_reach_the_command_through_cron_and_the_shell():
    (line,) = lines(emit("cron", TIMES, WARSAW, AWKWARD, AWKWARD))
    assert not re.search(r"(?<!\\)%", line)
    command = line.removeprefix("*/10 * * * * ").replace(r"\%", "%")
    assert shlex.split(command) == [AWKWARD, "-q", "--db", AWKWARD, "sweep", "--if-due"]


def test_awkward_paths_are_quoted_for_systemd():
    (line,) = [line for line in lines(emit("systemd", TIMES, WARSAW, "/opt/my bin/shipfwd", AWKWARD)) if "Exec" in line]
    quoted = r'"/srv/my shop/it' + r"'s $$HOME/100%%/a\"b\\c;d.db" + '"'
    assert line == f'ExecStart="/opt/my bin/shipfwd" -q --db {quoted} sweep'


@pytest.mark.parametrize("path", ["shipfwd", "/a\nb", "/a\x1bb", ""])
def test_a_path_that_no_crontab_can_hold_is_refused(path):
    with pytest.raises(UsageError, match="absolute path"):
        emit("cron", TIMES, WARSAW, COMMAND, path)
    with pytest.raises(UsageError, match="absolute path"):
        emit("systemd", TIMES, WARSAW, path, DB)


def test_another_kind_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="'fcron' is not one of cron, cronie, systemd"):
        emit("fcron", TIMES, WARSAW, COMMAND, DB)


EXAMPLE = Path(__file__).parent.parent / "crontab.example"


def test_the_example_crontab_is_what_schedule_prints():
    text = EXAMPLE.read_text()
    jobs = [" ".join(line.split()) for line in text.splitlines() if "/bin/shipfwd" in line]
    assert " ".join(lines(emit("cron", TIMES, WARSAW, COMMAND, DB))) in jobs
    assert "#" + lines(emit("cronie", TIMES, WARSAW, COMMAND, DB))[1] in jobs
    assert all("%" not in job and " -q " in job for job in jobs)


def test_the_example_crontab_runs_one_way_only():
    assert len([line for line in lines(EXAMPLE.read_text()) if "shipfwd" in line]) == 1
