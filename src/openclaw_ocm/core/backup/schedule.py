"""When scheduled backups are due: what a user may write, the arithmetic, what is wrong. No clock in here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Annotated

import msgspec

from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

NEVER = "never"
# A run may have to wait for those of other instances; one that takes that long is stuck.
RUN_TIMEOUT_SECONDS = 24 * 3600
# What is done every few minutes waits for nothing.
SHORT_TIMEOUT_SECONDS = 600
# So many are made at once. One that takes longer than its turn goes on beside them: an instance can have its
# own take hours, and another's is not to wait for it.
TOGETHER = 2
TURN_SECONDS = 600.0
_HOUR = 3600
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {name[:length]: number for number, name in enumerate(_DAY_NAMES) for length in (3, len(name))}
# What can be part of a calendar expression of systemd's (systemd.time(7)); nothing that a unit file expands.
_EXPRESSION = re.compile(r"[A-Za-z0-9*,.:/~_+-]{1,64}(?: [A-Za-z0-9*,.:/~_+-]{1,64}){0,5}")
_CLOCK = re.compile(
    r"(?:(?P<days>[a-z,.]+) )?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?"
)
# As systemd.time(7) has it, for what is part of an hour in every zone.
_MINUTES = re.compile(r"\*:0/(1|2|3|5|15)")
# A month and a day more than any rule looks ahead.
_HORIZON_DAYS = 33
# A run that is that late has not merely waited for another one.
_LATE_PERIODS = 2
SUBSET = "hourly, daily, weekly, monthly, HH:MM, 'Mon HH:MM', 'Sat,Sun HH:MM' or 'Mon..Fri HH:MM'"


# A moment in a file, in seconds since the epoch: one that every clock can show.
Moment = Annotated[float, msgspec.Meta(ge=0, le=4e9)]


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A scheduled backup as the plug-in in supervisord reads it: when to run which command."""

    every: str
    command: tuple[str, ...]


class LastRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What became of the last scheduled backup: an archive, or the error in one sentence, or after that both.

    `ended` and `succeeded`, that of the last one that went well, are in seconds since the epoch.
    """

    ended: Moment
    archive: str | None = None
    size_bytes: int | None = None
    error: str | None = None
    succeeded: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """What a backend does about an instance's scheduled backups.

    `active` tells whether it keeps the time; `next` is the next run in seconds since the epoch; `stale` that
    it has not read the definition as it is on disk; `failure` says how the last run ended, where not well.
    """

    active: bool
    next: float | None = None
    stale: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which moments are meant: `second` of the chosen days, or where that is None every full hour.

    With `every` it is each time that so many seconds have gone by.
    """

    second: int | None = 0
    weekdays: frozenset[int] = frozenset(range(7))
    month_day: int | None = None
    every: int | None = None

    def falls_on(self, day: date) -> bool:
        """Tell whether a day is among the chosen ones."""
        return day.weekday() in self.weekdays and self.month_day in (None, day.day)


_WORDS = {
    "hourly": Rule(second=None),
    "daily": Rule(),
    "weekly": Rule(weekdays=frozenset({0})),
    "monthly": Rule(month_day=1),
}


def parse_every(text: str) -> str:
    """Return a time such as `daily`, `03:00` or an expression that a unit file can hold, or raise `Invalid`.

    Whether it means anything the backend tells that is to keep it.
    """
    words = " ".join(text.split())
    if not _EXPRESSION.fullmatch(words):
        raise _invalid(text)
    return words


def parse_rule(text: str) -> Rule:
    """Return what a time means that every backend understands alike; raises `Invalid` for any other."""
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    minutes = _MINUTES.fullmatch(word)
    if minutes is not None:
        return Rule(every=int(minutes[1]) * 60)
    match = _CLOCK.fullmatch(word)
    if match is None:
        raise _invalid(text)
    try:
        clock = time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
        days = frozenset(range(7) if match["days"] is None else _weekdays(match["days"]))
    except (ValueError, KeyError):
        raise _invalid(text) from None
    return Rule(second=clock.hour * _HOUR + clock.minute * 60 + clock.second, weekdays=days)


def is_portable(text: str) -> bool:
    """Tell whether every backend understands a time alike."""
    try:
        parse_rule(text)
    except Invalid:
        return False
    return True


def _weekdays(text: str) -> Iterator[int]:
    for item in text.split(","):
        first, dots, last = item.partition("..")
        begin = _DAYS[first]
        end = _DAYS[last] if dots else begin
        if end < begin:
            raise ValueError(item)
        yield from range(begin, end + 1)


def next_due(rule: Rule, after: float, zone: tzinfo) -> float:
    """Return the first moment after `after` that a rule means; both in seconds since the epoch.

    A time of day that the clock jumps over in spring is late by the jump, one that it shows twice in autumn
    counts the first time: no day is without its backup, and none has two.
    """
    if rule.every is not None:
        return float(math.floor(after / rule.every + 1) * rule.every)
    if rule.second is None:
        return _next_hour(after, zone)
    # A time that was jumped over may fall on the day after.
    first = datetime.fromtimestamp(after, zone).date() - timedelta(days=1)
    for offset in range(_HORIZON_DAYS + 1):
        day = first + timedelta(days=offset)
        if rule.falls_on(day) and (moment := _moment(day, rule.second, zone)) > after:
            return moment
    raise _invalid(str(rule))


def _moment(day: date, second: int, zone: tzinfo) -> float:
    naive = datetime.combine(day, time()) + timedelta(seconds=second)
    return naive.replace(tzinfo=zone).astimezone(timezone.utc).timestamp()


def _next_hour(after: float, zone: tzinfo) -> float:
    moment = int(after)
    while True:
        local = datetime.fromtimestamp(moment, zone)
        moment += _HOUR - local.minute * 60 - local.second
        # Where the clock jumps by half an hour it may not show a full one yet.
        local = datetime.fromtimestamp(moment, zone)
        if local.minute == local.second == 0 and moment > after:
            return float(moment)


def dues(rule: Rule, after: float, zone: tzinfo, count: int) -> tuple[float, ...]:
    """Return the next `count` moments after `after` that a rule means."""
    found: list[float] = []
    for _ in range(count):
        found.append(next_due(rule, found[-1] if found else after, zone))
    return tuple(found)


# What is wrong where a backend does not keep the time: `doctor` tells in what its files differ.
IDLE = "nothing makes the scheduled backups"
# How many moments from the last good run on tell whether a run is late by more than two periods.
LATE_AFTER = _LATE_PERIODS + 1


def trouble(last: LastRun | None, timer: Timer, *, late_after: float | None, now: float) -> str | None:
    """Return in words what is wrong with the scheduled backups of an instance, None where nothing is.

    `late_after` is the moment after which the run that was due is late by more than two periods.
    """
    if last is not None and last.error is not None:
        return f"the last backup failed: {last.error}"
    if timer.failure is not None:
        return f"the last backup came to no end: {timer.failure}"
    if late_after is not None and now > late_after:
        return "no backup was made for more than two periods"
    if not timer.active:
        return IDLE
    return None


def _invalid(text: str) -> Invalid:
    message = f"{text!r} is no time for backups: write {SUBSET}"
    return Invalid(message, hint="--every never ends them", code="schedule_invalid")
