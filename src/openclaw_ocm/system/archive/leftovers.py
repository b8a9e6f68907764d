"""What a kill leaves of archives that were being written."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName

_TOKEN = r"[0-9a-f]{12}"  # noqa: S105 - no password
_BACKUP = re.compile(rf"\.([a-z0-9_-]+)-[0-9]{{8}}T[0-9]{{6}}Z\.{_TOKEN}\.ocm")


def sweep_backups(directory: PurePosixPath, name: InstanceName) -> None:
    """Remove what a backup of an instance, whose lock is held, left in a directory."""
    for owner, path in half_written_backups(directory):
        if owner == name:
            files.remove(PurePosixPath(path))


def half_written_backups(directory: PurePosixPath) -> tuple[tuple[str, Path], ...]:
    """Return what backups left in a directory, or have under way there, and of whom each is."""
    found = [(_BACKUP.fullmatch(path.name), path) for path in sorted(Path(directory).glob(".*.ocm"))]
    return tuple((match[1], path) for match, path in found if match)
