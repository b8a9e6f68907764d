"""What a directory takes on the disk, that an instance can write: bounded in time, in memory and in depth."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from openclaw_ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath

# Each level is two open files meanwhile, of which a process may have 1024.
_MAX_DEPTH = 200
_BLOCK = 512  # of st_blocks (stat(2))


class _Endless(Exception):
    """It is too deep, or there is more than can be looked at in time."""


def disk_use(path: PurePosixPath, *, seconds: float) -> int | None:
    """Return how many bytes a directory takes with all below it, None where not all could be looked at.

    No link is followed, and what is mounted there is not looked into. A file with several names counts with
    its share at each of them. What goes away meanwhile does not count.
    """
    try:
        directory = os.open(path, files.CLOSED_DIRECTORY)
    except OSError:
        return None
    try:
        status = os.fstat(directory)
        below = _below(directory, status.st_dev, time.monotonic() + seconds, _MAX_DEPTH)
        return round(status.st_blocks * _BLOCK + below)
    except (OSError, _Endless):
        return None
    finally:
        os.close(directory)


def _below(directory: int, device: int, until: float, depth: int) -> float:
    if not depth:
        raise _Endless
    total = 0.0
    with os.scandir(directory) as entries:
        for entry in entries:
            if time.monotonic() > until:
                raise _Endless
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if status.st_dev != device:
                    continue
                is_directory = entry.is_dir(follow_symlinks=False)
                total += status.st_blocks * _BLOCK / (1 if is_directory else status.st_nlink)
                if is_directory:
                    total += _inside(directory, entry.name, device, until, depth)
    return total


def _inside(directory: int, name: str, device: int, until: float, depth: int) -> float:
    """Return what is below a directory in an open one."""
    try:
        below = os.open(name, files.CLOSED_DIRECTORY, dir_fd=directory)
    except NotADirectoryError:
        # A moment ago it was one, or it is a link by now.
        raise FileNotFoundError(name) from None
    try:
        return _below(below, device, until, depth - 1)
    finally:
        os.close(below)
