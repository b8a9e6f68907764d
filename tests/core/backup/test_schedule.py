from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.backup.schedule import (
    LastRun,
    Rule,
    Timer,
    dues,
    is_portable,
    next_due,
    parse_every,
    parse_rule,
    trouble,
)
from openclaw_ocm.errors import Invalid

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("America/Sao_Paulo", "Pacific/Apia", "Africa/Cairo"),
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
# From 2001 to 2037, in which there are all kinds of jumps of clocks.
moments = st.integers(978_307_200, 2_145_916_800)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
clocks = st.builds("{:02}:{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
texts = st.one_of(
    st.sampled_from(["hourly", "daily", "weekly", "monthly"]),
    clocks,
    st.builds("{} {}".format, st.lists(st.sampled_from(DAYS), min_size=1).map(",".join), clocks),
)


def shown(moment: float, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(moment, zone).isoformat(sep=" ")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@given(texts, moments, zones)
def test_the_next_moment_is_later_and_none_is_left_out(text: str, after: int, zone: ZoneInfo) -> None:
    rule = parse_rule(text)
    moment = next_due(rule, after, zone)
    assert moment > after
    # Asked from anywhere in between, the answer is the same.
    for part in (0.25, 0.5, 0.999):
        assert next_due(rule, after + int((moment - after) * part), zone) == moment
    if moment - after > 1:
        assert next_due(rule, moment - 1, zone) == moment


@given(texts, moments, zones)
def test_the_clock_shows_what_was_asked_for_but_where_it_jumped_over_that(
    text: str, after: int, zone: ZoneInfo
) -> None:
    rule = parse_rule(text)
    moment = next_due(rule, after, zone)
    local = datetime.fromtimestamp(moment, zone)
    if rule.second is None:
        assert (local.minute, local.second) == (0, 0)
        return
    second = local.hour * 3600 + local.minute * 60 + local.second
    if second != rule.second:
        hours = timedelta(hours=26)
        before, later = (datetime.fromtimestamp(moment, zone) + way * hours for way in (-1, 1))
        assert before.utcoffset() != later.utcoffset(), "only where the clock jumps"
    else:
        assert rule.falls_on(local.date())


@given(clocks, moments, zones)
def test_every_day_has_one_backup(text: str, after: int, zone: ZoneInfo) -> None:
    found = dues(parse_rule(text), after, zone, 40)
    gaps = {later - earlier for earlier, later in pairwise(found)}
    # Samoa left out a whole day, with which no backup is lost: there was no such day.
    assert all(22 * 3600 <= gap <= 26 * 3600 for gap in gaps), gaps


@given(moments, zones)
def test_an_hour_is_an_hour_whatever_the_clock_does(after: int, zone: ZoneInfo) -> None:
    found = dues(parse_rule("hourly"), after, zone, 30)
    # Lord Howe Island jumps by half an hour.
    assert {later - earlier for earlier, later in pairwise(found)} <= {3600, 1800, 5400}


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("daily", "2026-11-22 10:00", "2026-11-23 00:00:00+01:00"),
        ("daily", "2026-11-22 00:00", "2026-11-23 00:00:00+01:00"),
        ("weekly", "2026-11-22 10:00", "2026-11-23 00:00:00+01:00"),
        ("weekly", "2026-11-23 00:00", "2026-11-30 00:00:00+01:00"),
        ("monthly", "2026-11-22 10:00", "2026-12-01 00:00:00+01:00"),
        ("monthly", "2026-12-01 00:00", "2027-01-01 00:00:00+01:00"),
        ("hourly", "2026-11-22 10:00", "2026-11-22 11:00:00+01:00"),
        ("3:05", "2026-11-22 10:00", "2026-11-23 03:05:00+01:00"),
        ("03:05:07", "2026-11-22 03:05", "2026-11-22 03:05:07+01:00"),
        ("Mon 03:00", "2026-11-22 10:00", "2026-11-23 03:00:00+01:00"),
        ("monday 03:00", "2026-11-23 03:00", "2026-11-30 03:00:00+01:00"),
        ("Sat,Sun 03:00", "2026-11-23 03:00", "2026-11-28 03:00:00+01:00"),
        ("Mon..Fri 03:00", "2026-11-27 03:00", "2026-11-30 03:00:00+01:00"),
        # The clock jumps from 02:00 to 03:00.
        ("02:30", "2026-03-28 10:00", "2026-03-29 03:30:00+02:00"),
        ("02:30", "2026-03-29 10:00", "2026-03-30 02:30:00+02:00"),
        ("hourly", "2026-03-29 01:30", "2026-03-29 03:00:00+02:00"),
        # The clock shows 02:00 to 03:00 twice.
        ("02:30", "2026-10-24 10:00", "2026-10-25 02:30:00+02:00"),
        ("02:30", "2026-10-25 02:30", "2026-10-26 02:30:00+01:00"),
        ("hourly", "2026-10-25 02:00", "2026-10-25 02:00:00+01:00"),
    ],
)
def test_moments_of_berlin(text: str, after: str, expected: str) -> None:
    assert shown(next_due(parse_rule(text), at(after), BERLIN)) == expected


@pytest.mark.parametrize("minutes", [1, 2, 3, 5, 15])
@given(after=st.integers(0, 4_000_000_000))
def test_every_so_many_minutes_is_a_moment_and_none_is_left_out(minutes: int, after: int) -> None:
    due = next_due(parse_rule(f"*:0/{minutes}"), after, BERLIN)
    assert 0 < due - after <= minutes * 60
    assert datetime.fromtimestamp(due, BERLIN).minute % minutes == 0
    assert datetime.fromtimestamp(due, BERLIN).second == 0


def test_a_jump_at_midnight_makes_the_backup_late_and_not_missing() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    moment = next_due(parse_rule("daily"), at("2018-11-03 10:00", sao_paulo), sao_paulo)
    assert shown(moment, sao_paulo) == "2018-11-04 01:00:00-02:00"


@pytest.mark.parametrize(
    "text",
    [
        *("", "never", "yearly", "24:00", "3", "03:60", "03:00 UTC", "Foo 03:00", "Mon", "*-*-* 03:00"),
        *(
            "*:0/7",
            "*:0/0",
            "*:0/60",
            "*:1/5",
            "Fri..Mon 03:00",
            "Mon. 03:00",
            ",Mon 03:00",
            "Mon..Tue..Wed 03:00",
            "Mon  03:00",
            "03:00\n",
        ),
    ],
)
def test_what_not_every_backend_understands_is_no_rule(text: str) -> None:
    assert not is_portable(text)
    with pytest.raises(Invalid, match="hourly, daily, weekly, monthly"):
        parse_rule(text)


@given(texts)
def test_what_is_portable_can_be_written_into_a_unit(text: str) -> None:
    if len(text.split(" ", maxsplit=1)[0]) <= 64:
        assert parse_every(text) == text
    assert isinstance(parse_rule(text), Rule)


@pytest.mark.parametrize(
    "text",
    [
        *("*-*-* 03:00", "Mon *-05~03/1 00:00:00", "03:00 Europe/Berlin", "*:0/15", "2026-11-22 03:00:00.5"),
        *("Mon..Fri 03:00", "quarterly", "12-25"),
    ],
)
def test_calendar_expressions_may_be_asked_for(text: str) -> None:
    assert parse_every(f"  {text.replace(' ', '   ')}\t") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "daily%n", "$HOME", "daily\x00", "a\\b", '"daily"', "daily;", "#", "x" * 65, "täglich"),
        *("a=b", "1 2 3 4 5 6 7", "[Timer]"),
    ],
)
def test_what_a_unit_would_take_for_something_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_every(text)


def test_a_line_end_does_not_get_through() -> None:
    assert parse_every("daily\nUnit=other.service".replace("=", ":")) == "daily Unit:other.service"
    with pytest.raises(Invalid):
        parse_every("daily\nUnit=other.service")


FINE = Timer(active=True, next=1000.0)
GOOD = LastRun(ended=500.0, archive="/a", size_bytes=5, succeeded=500.0)
BAD = LastRun(ended=600.0, error="no space left on device", succeeded=500.0)


@pytest.mark.parametrize(
    ("last", "timer", "late_after", "expected"),
    [
        (GOOD, FINE, 3000.0, None),
        (None, FINE, 3000.0, None),
        (GOOD, FINE, None, None),
        (BAD, FINE, 3000.0, "the last backup failed: no space left on device"),
        (BAD, Timer(active=True, failure="it ended with exit 1"), 3000.0, "no space left"),
        (GOOD, Timer(active=True, failure="it ended with signal 9"), 3000.0, "ended with signal 9"),
        (GOOD, FINE, 1999.0, "no backup was made for more than two periods"),
        (None, FINE, 1999.0, "no backup was made for more than two periods"),
        (GOOD, FINE, 2000.0, None),
        (GOOD, Timer(active=False), 3000.0, "nothing makes the scheduled backups"),
    ],
)
def test_trouble(last: LastRun | None, timer: Timer, late_after: float | None, expected: str | None) -> None:
    said = trouble(last, timer, late_after=late_after, now=2000.0)
    assert said == expected or (expected is not None and said is not None and expected in said)


def test_zones_of_the_tests_do_jump() -> None:
    for name in set(ZONES) - {"UTC", "Asia/Kathmandu"}:
        zone = ZoneInfo(name)
        days = (datetime(2001, 1, 1, tzinfo=timezone.utc) + timedelta(days=day) for day in range(13_000))
        assert len({day.astimezone(zone).utcoffset() for day in days}) > 1, name
