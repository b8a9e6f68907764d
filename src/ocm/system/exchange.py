"""Replaces a file that a running gateway may replace at the same moment, and loses neither's content.

Compare and rename are two steps, between which OpenClaw's own rename would be lost. renameat2(2) exchanges
two files in one: what was displaced is still there to be looked at, and to be put back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets

from ocm.errors import OcmError
from ocm.system import files

_RENAME_EXCHANGE = 2
# OpenClaw writes its config now and then; an instance that does so without end must not hold OCM up.
_ATTEMPTS = 100


def replace_in(directory: int, name: str, data: bytes, *, before: bytes, limit: int) -> bool:
    """Replace `before`, the content of file `name` in an open directory, by `data` and tell that it was done.

    False where the file holds something else: it then goes on holding that. Raises `OcmError` where it
    changes without end.
    """
    if files.read_in(directory, name, limit=limit) != before:
        return False
    beside = f".{name}.{secrets.token_hex(6)}.ocm"
    files.write_in(directory, beside, data)
    try:
        if not _exchange(directory, beside, name):
            os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
            return True
        displaced = files.read_in(directory, beside, limit=limit)
        if displaced == before:
            return True
        _put_back(directory, beside, name, data, displaced, limit=limit)
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=directory)
        os.fsync(directory)


def _put_back(  # noqa: PLR0913 - the two files and what each holds
    directory: int, beside: str, name: str, live: bytes, kept: bytes, *, limit: int
) -> None:
    """Bring what is beside back to its place, unless what has come there since is newer still."""
    for _attempt in range(_ATTEMPTS):
        _exchange(directory, beside, name)
        displaced = files.read_in(directory, beside, limit=limit)
        if displaced == live:
            return
        live, kept = kept, displaced
    raise OcmError(f"{name} never rests: it is written all the time", hint="try again", code="config_changed")


def _exchange(directory: int, one: str, other: str) -> bool:
    """Exchange two files; False where the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    done = library.renameat2(directory, one.encode(), directory, other.encode(), _RENAME_EXCHANGE)
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), other)
