"""What gateways print under supervisord, and what supervisord says of them, as entries with a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.openclaw.traits import LINE_TIME
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.names import InstanceName

# supervisord writes `2026-11-22 14:55:23,785 INFO spawned: 'worker1' with pid 7`; OCM has it do so in UTC.
_DAEMON_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) [A-Z]{4} (.*)")
_ABOUT = r"(?:spawned: '|killing '|exited: |stopped: |gave up: |ocm: ){name}(?![a-z0-9_-])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An entry, and when it was logged in seconds since the epoch."""

    moment: float
    entry: Entry


def output_reader(otherwise: float) -> Callable[[str, float], Line]:
    """Return a function that makes a line out of what a gateway printed and of the time now.

    A line without a time has that of the one before, the first one `otherwise`. So has one whose time lies
    in the future or before that: an instance prints what it likes, and may not move what others logged.
    """
    last: float | None = None

    def read(text: str, now: float) -> Line:
        nonlocal last
        found = _output_moment(text)
        if found is not None and (last or found) <= found <= now:
            last = found
        return _line(otherwise if last is None else last, "gateway", text)

    return read


def daemon_line(text: str, name: InstanceName) -> Line | None:
    """Return what a line of supervisord's own log says of an instance, None where it says nothing of it."""
    match = _DAEMON_LINE.match(text)
    if match is None or not re.match(_ABOUT.format(name=re.escape(name)), match.group(3)):
        return None
    try:
        moment = datetime.fromisoformat(f"{match.group(1)}.{match.group(2)}+00:00").timestamp()
    except ValueError:
        return None
    return _line(moment, "supervisord", match.group(3))


def _output_moment(text: str) -> float | None:
    match = LINE_TIME.match(text)
    if match is None:
        return None
    seconds, _, fraction = match.group(1).partition(".")
    zone = "+00:00" if match.group(2) == "Z" else match.group(2)
    try:
        return datetime.fromisoformat(f"{seconds}.{fraction.ljust(6, '0')}{zone}").timestamp()
    except (ValueError, OverflowError):
        return None


def _line(moment: float, source: str, text: str) -> Line:
    time = datetime.fromtimestamp(moment, tz=timezone.utc).isoformat(timespec="milliseconds")
    return Line(moment=moment, entry=Entry(time=time, source=source, message=printable(text)))
