"""What a kill left beside a file that was being written: hidden, and of no account."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from openclaw_ocm.core import temporary
from openclaw_ocm.system import files


def remove_half_written(path: PurePosixPath) -> None:
    """Remove what was being written to be `path`; who calls knows that nobody writes it now."""
    for found in list(Path(path.parent).glob(temporary.BESIDE_GLOB)):
        if temporary.is_beside(found.name, path.name):
            files.remove(PurePosixPath(found))
