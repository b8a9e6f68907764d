"""Room on the disk that is kept for what has to be written when there is none left."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE (fallocate(2))


def keep(path: PurePosixPath, size: int) -> None:
    """Keep so much room on the disk for `write`, in an empty file; nothing where there is one.

    Nor where no room can be kept.
    """
    if os.path.lexists(path):
        return
    import ctypes

    with contextlib.suppress(OSError):
        files.make_directory(path.parent)
        descriptor = os.open(path, files.NEW_FILE, 0o600)
        try:
            fallocate = ctypes.CDLL(None).fallocate64
            fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))
        finally:
            os.close(descriptor)


def write(path: PurePosixPath, data: bytes, *, kept: PurePosixPath) -> None:
    """Write a file in the room that `keep` kept, of which the rest is for what is added to it.

    Raises `OSError` where there is none left.
    """
    descriptor = os.open(kept, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # What a kill left in it is covered: to cut it off would give back the room.
        whole = data.ljust(os.fstat(descriptor).st_size, b"\n")
        if os.pwrite(descriptor, whole, 0) < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    files.make_directory(path.parent)
    Path(kept).rename(path)
    files.keep_names(path.parent)
