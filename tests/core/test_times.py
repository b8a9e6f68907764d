from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from openclaw_ocm.core.times import parse_interval, parse_since
from openclaw_ocm.errors import Invalid

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 22, 10, 30, 15, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22 10:00", datetime(2026, 11, 22, 10, 0, tzinfo=ZONE)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=ZONE)),
        ("2026-11-22T08:00:05Z", datetime(2026, 11, 22, 8, 0, 5, tzinfo=timezone.utc)),
        ("2026-11-22 10:00:05+01:00", datetime(2026, 11, 22, 9, 0, 5, tzinfo=timezone.utc)),
        ("9:05", datetime(2026, 11, 22, 9, 5, tzinfo=ZONE)),
        ("09:05:07", datetime(2026, 11, 22, 9, 5, 7, tzinfo=ZONE)),
        ("now", NOW),
        ("Today", datetime(2026, 11, 22, tzinfo=ZONE)),
        ("yesterday", datetime(2026, 11, 21, tzinfo=ZONE)),
        ("1 hour ago", NOW - timedelta(hours=1)),
        ("90 minutes ago", NOW - timedelta(minutes=90)),
        ("5 min ago", NOW - timedelta(minutes=5)),
        ("30s", NOW - timedelta(seconds=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("3 days", NOW - timedelta(days=3)),
        ("1 week ago", NOW - timedelta(weeks=1)),
        ("@0", datetime(1970, 1, 1, tzinfo=timezone.utc)),
        ("@1.5", datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=timezone.utc)),
    ],
)
def test_a_time_is_read_as_a_person_means_it(text: str, expected: datetime) -> None:
    assert parse_since(text, NOW) == expected.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "25:00",
        "10:61",
        "-1h",
        "1 parsec ago",
        "@",
        "@-1",
        "@1e9",
        "2026-13-01",
        "9999999 days",
    ],
)
def test_what_is_no_time_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(Invalid, match="is no time"):
        parse_since(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1m", "*:0/1"), ("5 min", "*:0/5"), ("15 minutes", "*:0/15"), ("1 hour", "hourly"), (" 1H", "hourly")],
)
def test_a_time_between_runs_is_in_the_words_of_every_backend(text: str, expected: str) -> None:
    assert parse_interval(text) == expected


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "7m", "30m", "60m", "2h", "1s", "1d", "-5m", "5", "1m 1m", "\u0661m"]
)
def test_a_time_that_is_no_part_of_an_hour_in_every_zone_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no time between two runs"):
        parse_interval(text)
