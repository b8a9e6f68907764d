"""Copies a state of the user's own that a gateway may be writing: each database whole, each file as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from openclaw_ocm.core.backup.layout import DATABASE_MAGIC, SIDECARS, STATE, is_own_database
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.open_database import is_open

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BUSY_SECONDS = 30.0
_PIECE = 2**24
# As a database is copied beside before it is read, and then once more.
_OF_DATABASE = 2
_BLOCK = 512
_SHOWN = 200


def below(top: PurePosixPath, passed: Collection[str] = ()) -> Iterator[os.DirEntry[str]]:
    """Yield what is below a directory, but for names at its top: a directory before what is in it.

    Links are not followed, and what is gone meanwhile is none. Raises `OcmError` where one cannot be read:
    what is in it would be missing from a copy.
    """
    waiting = [str(top)]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            message = f"{_shown(directory)} cannot be read: {error.strerror}"
            hint = "open it for yourself, or move it away; nothing was changed"
            raise OcmError(message, hint=hint, code="not_kept") from None
        for entry in found:
            if directory == str(top) and entry.name in passed:
                continue
            yield entry
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _shown(path: str) -> str:
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."


def size_of(state: PurePosixPath) -> int:
    """Return about how many bytes a copy of a state takes: holes take none, but in a database.

    What is gone meanwhile counts nothing. Raises `OcmError` where some of it cannot be read.
    """
    total = 0
    for entry in below(state):
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                whole = status.st_size * _OF_DATABASE if _is_own(state, entry) else 0
                total += max(status.st_blocks * _BLOCK, whole)
    return total


def copy_below(source: PurePosixPath, target: PurePosixPath, passed: Collection[str]) -> None:
    """Copy what is below a directory, but for sockets and the like, and names at its top.

    OpenClaw's own databases are copied whole, or `OcmError` is raised; others where somebody has them open,
    and else as files, damaged as one may be.
    """
    whole: set[str] = set()
    for entry in below(source, passed):
        path, copy = Path(entry.path), Path(target, os.path.relpath(entry.path, source))
        try:
            with contextlib.suppress(FileNotFoundError):
                _copy(path, copy, own=_is_own(source, entry), whole=whole, beside=target.parent)
        except (OSError, sqlite3.Error) as error:
            message = f"{path} cannot be copied: {error}"
            raise OcmError(message, hint="try again, or move it away", code="not_kept") from None


def _is_own(state: PurePosixPath, entry: os.DirEntry[str]) -> bool:
    return is_own_database(f"{STATE}/{os.path.relpath(entry.path, state)}")


def _copy(path: Path, target: Path, *, own: bool, whole: set[str], beside: PurePosixPath) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(path.readlink())
    elif stat.S_ISDIR(mode):
        target.mkdir(mode=0o700)
    elif stat.S_ISREG(mode) and not any(
        path.name.endswith(end) and str(path).removesuffix(end) in whole for end in SIDECARS
    ):
        asked = _is_database(path) and (own or (is_open(path) and not _is_holes(path)))
        if asked and _copied_whole(path, target, own, beside):
            whole.add(str(path))
        else:
            _copy_file(path, target)


def _copied_whole(path: Path, target: Path, own: bool, beside: PurePosixPath) -> bool:  # noqa: FBT001 - its kind
    """Copy a database; False for another's that SQLite cannot read, and which is a file then."""
    try:
        _copy_database(path, target, beside)
    except sqlite3.Error:
        if own:
            raise
        target.unlink(missing_ok=True)
        return False
    return True


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(DATABASE_MAGIC)) == DATABASE_MAGIC


def _is_holes(path: Path) -> bool:
    """Tell whether a file is mostly holes, which SQLite would fill."""
    status = path.stat()
    return status.st_blocks * _BLOCK < status.st_size // 2


def _copy_file(path: Path, target: Path) -> None:
    """Copy a file with its holes, as far as it is when that begins."""
    with path.open("rb") as source, target.open("xb") as copy:
        size, position = os.fstat(source.fileno()).st_size, 0
        while (start := _data_from(source.fileno(), position)) < size:
            end = min(os.lseek(source.fileno(), start, os.SEEK_HOLE), size)
            source.seek(start)
            copy.seek(start)
            position = start
            while position < end and (piece := source.read(min(_PIECE, end - position))):
                copy.write(piece)
                position += len(piece)
            if position < end:
                # It became shorter meanwhile.
                size = position
        copy.truncate(size)
    shutil.copystat(path, target, follow_symlinks=False)


def _data_from(file: int, position: int) -> int:
    """Return where the next data of a file is, its end where none is (lseek(2): ENXIO)."""
    try:
        return os.lseek(file, position, os.SEEK_DATA)
    except OSError:
        return os.lseek(file, 0, os.SEEK_END)


def _copy_database(path: Path, target: Path, beside: PurePosixPath) -> None:
    """Copy a database whole. One that nobody has open is read from a copy: SQLite would write beside it."""
    if is_open(path):
        _back_up(f"file:{quote(str(path))}?mode=ro", target)
        return
    with tempfile.TemporaryDirectory(prefix="ocm-", dir=beside) as folder:
        copy = Path(folder, "copy.sqlite")
        for end in ("", "-wal", "-journal"):
            part = Path(f"{path}{end}")
            with contextlib.suppress(FileNotFoundError):
                # A pipe in the place of a log would be waited for.
                if stat.S_ISREG(part.lstat().st_mode):
                    _copy_file(part, Path(f"{copy}{end}"))
        _back_up(f"file:{quote(str(copy))}", target)


def _back_up(address: str, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    target.chmod(0o600)
