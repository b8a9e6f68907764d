"""Times as a person writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from openclaw_ocm.errors import Invalid

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_AGO = re.compile(r"([0-9]{1,6})\s*(s|m|h|d|w|sec|min|second|minute|hour|day|week)s?(?:\s+ago)?")
# What is part of an hour in every zone.
_INTERVALS = {**{f"{minutes}m": f"*:0/{minutes}" for minutes in (1, 2, 3, 5, 15)}, "1h": "hourly"}
_INTERVAL = re.compile(r"([0-9]{1,2})\s*(m|min|minute|h|hour)s?")
_EPOCH = re.compile(r"@([0-9]{1,12}(?:\.[0-9]{1,6})?)")


def parse_since(text: str, now: datetime) -> float:
    """Return a past time in seconds since the epoch, or raise `Invalid`.

    Takes `2026-11-22 10:00`, `10:00`, `today`, `yesterday`, `1 hour ago`, `2h` and `@SECONDS`; a time
    without a zone is in that of `now`.
    """
    word = text.strip().lower()
    try:
        return _parse(word, now)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time: write '2026-11-22 10:00', '1 hour ago' or 'today'"
        raise Invalid(message, code="time_invalid") from None


def parse_interval(text: str) -> str:
    """Return what each backend understands for `1m`, `5 min` or `1h`, or raise `Invalid`."""
    match = _INTERVAL.fullmatch(text.strip().lower())
    word = f"{match[1]}{match[2][0]}" if match else ""
    if word not in _INTERVALS:
        message = f"{text!r} is no time between two runs: write {', '.join(_INTERVALS)}"
        raise Invalid(message, code="schedule_invalid")
    return _INTERVALS[word]


def _parse(word: str, now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if word in named:
        return named[word].timestamp()
    if match := _EPOCH.fullmatch(word):
        return float(match.group(1))
    if match := _AGO.fullmatch(word):
        unit = next(name for name in _SECONDS if name.startswith(match.group(2)))
        return now.timestamp() - int(match.group(1)) * _SECONDS[unit]
    if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", word):
        word = f"{now.date().isoformat()} {word.zfill(5)}"
    time = datetime.fromisoformat(word.upper().replace("Z", "+00:00"))
    return (time if time.tzinfo else time.replace(tzinfo=now.tzinfo)).timestamp()
