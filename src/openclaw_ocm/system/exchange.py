"""Exchanges two files or directories in one move (renameat2(2)), so that neither is ever without a name.

A file that a running gateway may replace at the same moment: compare and rename are two steps, between which
OpenClaw's own rename would be lost. What an exchange displaced is still there to be looked at, and to be put
back. And what is staged, for a step of a plan: what it replaces is kept where it was staged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path, PurePosixPath

from openclaw_ocm.core import temporary
from openclaw_ocm.errors import InTheWay, OcmError
from openclaw_ocm.system import files

_RENAME_EXCHANGE = 2
# OpenClaw writes its config now and then; an instance that does so without end must not hold OCM up.
_ATTEMPTS = 100
# Of no account where both names are absolute.
_NO_DIRECTORY = -1


def replace_in(  # noqa: PLR0913 - what is there, what comes, and how
    directory: int,
    name: str,
    data: bytes,
    *,
    before: bytes,
    limit: int,
    mode: int = 0o600,
    beside: str | None = None,
) -> bool:
    """Replace `before`, the content of file `name` in an open directory, by `data` and tell that it was done.

    False where the file holds something else: it then goes on holding that. `beside` is the name by which the
    two are exchanged, under which a kill may leave what was displaced. Raises `OcmError` where the file
    changes without end.
    """
    if files.read_in(directory, name, limit=limit) != before:
        return False
    beside = beside or files.name_beside(name)
    try:
        _write_beside(directory, beside, data, mode=mode)
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


def _write_beside(directory: int, name: str, data: bytes, *, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    with os.fdopen(os.open(name, files.NEW_FILE, 0o600, dir_fd=directory), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


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
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    done = library.renameat2(directory, os.fsencode(one), directory, os.fsencode(other), _RENAME_EXCHANGE)
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), other)


def inode(path: PurePosixPath) -> int | None:
    """Return the number by which a file or directory is known whatever its name, None where there is none.

    Only within one file system, whose device number may be another one after a reboot.
    """
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def put_in_place(path: PurePosixPath, staged: PurePosixPath, number: int) -> None:
    """Put what is `staged`, of inode `number`, in the place `path`, and what was there where it was staged.

    Goes on where a kill left it, and does nothing where it was done. Raises `InTheWay` where `staged` is not
    what it was, and nothing was begun.
    """
    aside = _aside(staged)
    if inode(path) != number:
        if inode(staged) != number:
            message = f"{staged} is not there any more"
            raise InTheWay(message, hint="try again", code="staged_gone")
        _swap(path, staged, aside)
    _rename_if_there(aside, staged)
    _flush(path, staged)


def take_out_of_place(path: PurePosixPath, staged: PurePosixPath, number: int) -> None:
    """Undo `put_in_place`, wherever it or an undo of it was cut off; nothing where it was not begun."""
    aside = _aside(staged)
    if inode(path) == number:
        # What was replaced goes where it would be whatever the means.
        _rename_if_there(aside, staged)
        if inode(staged) is None:
            os.rename(path, staged)  # noqa: PTH104 - pure paths
        else:
            _swap(path, staged, aside)
    if inode(aside) == number:
        _rename_if_there(staged, path)
        os.rename(aside, staged)  # noqa: PTH104
    elif inode(path) is None:
        _rename_if_there(aside, path)
    _flush(path, staged)


def _swap(path: PurePosixPath, staged: PurePosixPath, aside: PurePosixPath) -> None:
    """Exchange the two; where the file system cannot, what was in place is `aside` for a moment."""
    for moved in (path, staged):
        _make_movable(moved)
    if inode(path) is None:
        os.rename(staged, path)  # noqa: PTH104
    elif not _exchange(_NO_DIRECTORY, str(path), str(staged)):
        os.rename(path, aside)  # noqa: PTH104
        os.rename(staged, path)  # noqa: PTH104
        os.rename(aside, staged)  # noqa: PTH104


def _make_movable(path: PurePosixPath) -> None:
    """Have a directory be one that can be moved elsewhere: that takes the right to write in it."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
            files.open_up(path, mode=stat.S_IMODE(mode) | stat.S_IRWXU)


def _aside(staged: PurePosixPath) -> PurePosixPath:
    return staged.with_name(temporary.aside(staged.name))


def _rename_if_there(source: PurePosixPath, target: PurePosixPath) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.rename(source, target)  # noqa: PTH104


def _flush(*paths: PurePosixPath) -> None:
    """Have the names in the directories of `paths` outlast a power cut."""
    for parent in {path.parent for path in paths}:
        if Path(parent).is_dir():
            files.keep_names(parent)
