"""Which backups lie in the usual place, by the names of their files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.retention import parse_backup_file

if TYPE_CHECKING:
    from openclaw_ocm.core.backup.schedule import LastRun
    from openclaw_ocm.core.paths import HostPaths


def newest_stored(paths: HostPaths) -> dict[str, float]:
    """Return when the newest backup of each instance in the usual place was made, by the names of files."""
    newest: dict[str, float] = {}
    with contextlib.suppress(OSError):
        for path in Path(paths.backups).iterdir():
            backup = parse_backup_file(path.name)
            if backup is not None:
                newest[backup.name] = max(newest.get(backup.name, 0.0), backup.time.timestamp())
    return newest


def last_backup(stored: float | None, last: LastRun | None) -> float | None:
    """Return when the newest backup of an instance was made: one that is `stored`, or by its schedule."""
    moments = (stored, None if last is None else last.succeeded)
    return max((moment for moment in moments if moment is not None), default=None)
