"""What would keep something from being removed or moved, looked for before anything is done to it.

Past its commit point an operation has no way back: what it removes then has to go. A look is no more than
that: what is closed to it, or lies too deep, is found when it is removed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_DEPTH = 200
_LOOKED_AT = 1_000_000


def check_file(path: PurePosixPath) -> None:
    """Raise `OcmError` where a file of OCM's could not be removed; nothing where there is none."""
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise _refusal(f"{path} is a directory, where a file belongs", "move it away")


def check_tree(path: PurePosixPath) -> None:
    """Raise `OcmError` where a directory could not be removed with all that is in it; follows no link."""
    mode = _mode(path)
    if mode is None:
        return
    check_place(path)
    real = files.real_path(path)
    for mounted in processes.mounts(os.getpid()):
        if mounted.point.is_relative_to(real):
            message = f"something is mounted at {mounted.point}, which would be removed with it"
            raise _refusal(message, f"umount {mounted.point}")
    if os.geteuid() and stat.S_ISDIR(mode):
        found = _of_others(path)
        if found is not None:
            message = f"{found} belongs to another user, who alone can remove what is in it"
            raise _refusal(message, f"sudo chown -R {os.geteuid()} {path}")


def remove(path: PurePosixPath) -> None:
    """Remove a directory with all that is in it; a link in its place goes, and not what it leads to.

    What could not be removed is to be tried again: `OcmError` tells what is in the way, by its path.
    """
    try:
        files.remove(path)
    except OSError:
        check_tree(path)
        raise


def check_place(path: PurePosixPath) -> None:
    """Raise `OcmError` where a directory could not be moved: it is a link, or another disk's."""
    if os.path.islink(path):  # noqa: PTH114 - no Path in this module's hands
        raise files.is_link(path)
    check_mounted(path)


def check_mounted(path: PurePosixPath) -> None:
    """Raise `OcmError` where something is mounted at a directory itself."""
    real = PurePosixPath(files.real_path(path))
    if any(mounted.point == real for mounted in processes.mounts(os.getpid())):
        raise _refusal(f"something is mounted at {path}, which cannot be moved", f"umount {path}")


def _mode(path: PurePosixPath) -> int | None:
    """Return what has a name, None where nothing has; raise `OcmError` where it has to stay."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(f"{path} cannot be looked at: {error.strerror}", f"look at {path.parent}") from None
    if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        raise _refusal(f"{path} cannot be removed: the disk that it is on is read-only", "make it writable")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        message = f"{path} cannot be removed: {path.parent} is not yours to write in"
        raise _refusal(message, f"look at {path.parent}, and make it yours again")
    return mode


def _of_others(path: PurePosixPath) -> str | None:
    """Return a directory of another user's in a tree, None where none is seen."""
    left = iter(range(_LOOKED_AT))
    with files.open_state(path) as top:
        if os.fstat(top).st_uid != os.geteuid():
            return str(path)
        return next(_foreign(top, str(path), left), None)


def _foreign(directory: int, path: str, left: Iterator[int], depth: int = 0) -> Iterator[str]:
    """Yield the directories of others below an open one."""
    with os.scandir(directory) as entries:
        for entry in itertools.takewhile(lambda _entry: next(left, None) is not None, entries):
            with contextlib.suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    continue
                if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                    yield f"{path}/{entry.name}"
                elif depth < _MAX_DEPTH:
                    opened = os.open(entry.name, files.CLOSED_DIRECTORY, dir_fd=directory)
                    try:
                        yield from _foreign(opened, f"{path}/{entry.name}", left, depth + 1)
                    finally:
                        os.close(opened)


def _refusal(message: str, hint: str) -> OcmError:
    return OcmError(message, hint=hint, code="not_removable")
