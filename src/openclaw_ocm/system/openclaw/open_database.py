"""Tells whether another process has an SQLite database open. What nobody has open is read without a trace."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

# struct flock (fcntl(2)): type, whence, start, length, pid; and the byte of UNIX_SHM_DMS in a `-shm`.
_FLOCK = "hhqqi"
_SHM_DMS = 128


def is_open(path: Path) -> bool:
    """Tell whether somebody has a database open, whose `-shm` each reader has to share and so writes.

    Whoever has it open holds a lock for that (the "dead man's switch" of SQLite's os_unix.c). A `-shm` that
    was left by one who was killed is held by nobody. Raises `OSError` where that cannot be told.
    """
    try:
        with Path(f"{path}-shm").open("rb") as shared:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _SHM_DMS, 1, 0)
            kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(shared, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return False
    return bool(kind != fcntl.F_UNLCK)
