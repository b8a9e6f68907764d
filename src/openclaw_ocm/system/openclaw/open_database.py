"""Tells whether another process has an SQLite database open. What nobody has open is read without a trace."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# struct flock (fcntl(2)): type, whence, start, length, pid; and the byte of UNIX_SHM_DMS in a `-shm`.
_FLOCK = "hhqqi"
_SHM_DMS = 128
_FOR_A_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
# Nothing there, a link, which SQLite does not follow either, a socket, or a name that is too long for one.
_NONE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG)


def is_open(path: Path) -> bool:
    """Tell whether somebody has a database open, whose `-shm` each reader has to share and so writes.

    Whoever has it open holds a lock for that (the "dead man's switch" of SQLite's os_unix.c). A `-shm` that
    was left by one who was killed is held by nobody, and what is no file is none of SQLite's: a pipe is not
    waited for. Raises `OSError` where that cannot be told.
    """
    try:
        shared = os.open(f"{path}-shm", _FOR_A_LOOK)
    except OSError as error:
        if error.errno in _NONE:
            return False
        raise
    try:
        if not stat.S_ISREG(os.fstat(shared).st_mode):
            return False
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _SHM_DMS, 1, 0)
        kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(shared, fcntl.F_GETLK, asked))
    finally:
        os.close(shared)
    return bool(kind != fcntl.F_UNLCK)
