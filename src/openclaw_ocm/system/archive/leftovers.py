"""What a kill leaves of archives that were being written."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


def sweep_backups(directory: PurePosixPath, name: InstanceName) -> None:
    """Remove what a backup of an instance, whose lock is held, left in a directory."""
    for owner, path in half_written_backups(directory):
        if owner == name:
            files.remove(PurePosixPath(path))


def half_written_backups(directory: PurePosixPath) -> tuple[tuple[str, Path], ...]:
    """Return what backups left in a directory, or have under way there, and of whom each is."""
    paths = sorted(Path(directory).glob(temporary.BESIDE_GLOB))
    found = [(temporary.owner_of_backup(path.name), path) for path in paths]
    return tuple((owner, path) for owner, path in found if owner is not None)
