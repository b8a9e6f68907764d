"""What backup files are called, and which of them are kept: restic's rules (restic-forget(1))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openclaw_ocm.core.record import Keep

_FILE = re.compile(r"(?P<name>[a-z0-9_-]+)-(?P<time>[0-9]{8}T[0-9]{6}Z)\.tar\.(?:gz|zst)(?P<age>\.age)?")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """What the name of a backup says."""

    file: str
    name: InstanceName
    time: datetime
    encrypted: bool


def backup_stem(name: InstanceName, time: datetime) -> str:
    """Return what the name of a backup of that time begins with."""
    return f"{name}-{time.astimezone(timezone.utc).strftime(_TIME)}"


def parse_backup_file(file: str) -> BackupFile | None:
    """Return what a file's name says, None where it is not one that OCM gives."""
    match = _FILE.fullmatch(file)
    if match is None:
        return None
    try:
        time = datetime.strptime(match["time"], _TIME).replace(tzinfo=timezone.utc)
        name = parse_name(match["name"])
    except (ValueError, Invalid):
        return None
    return BackupFile(file=file, name=name, time=time, encrypted=match["age"] is not None)


def kept(backups: Iterable[BackupFile], keep: Keep) -> frozenset[str]:
    """Return the files that are kept of the backups of one instance: always the newest, whatever is asked.

    Kept are the last ones, and the newest of each of the last days, weeks and months that have one.
    """
    newest_first = sorted(backups, key=lambda backup: (backup.time, backup.file), reverse=True)
    rules: tuple[tuple[int, Callable[[int, datetime], object]], ...] = (
        (max(keep.last, 1), lambda index, _time: index),
        (keep.daily, lambda _index, time: time.date()),
        (keep.weekly, lambda _index, time: time.isocalendar()[:2]),
        (keep.monthly, lambda _index, time: (time.year, time.month)),
    )
    files = set()
    for count, period_of in rules:
        periods: dict[object, str] = {}
        for index, backup in enumerate(newest_first):
            periods.setdefault(period_of(index, backup.time), backup.file)
        files.update(list(periods.values())[:count])
    return frozenset(files)
