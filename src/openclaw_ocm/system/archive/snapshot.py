"""Reads a state that an instance goes on writing, and may have made to harm who reads it.

No link is followed and nothing but regular files and directories is opened, each from the open directory
that it lies in; no path is too long, and no directory too deep, for its walk to end.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from openclaw_ocm.core.backup import holes, layout
from openclaw_ocm.core.backup.selection import CACHES, is_expected
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.backup.holes import Parts
    from openclaw_ocm.core.backup.selection import Selection

# Each level is an open directory meanwhile, of which a process may have 1024.
MAX_DEPTH = 200
# Beside them an archive has members that are no part of the state.
_MAX_NAMES = layout.MAX_MEMBERS - 10
_MAX_NOTES = 50
_SHOWN = 300
_ATTEMPTS = 5
_CHUNK = 2**18
_IN_MEMORY = 2**23
# What of a file is not kept where it is nothing but zeros, and how much that has to be to be worth it. By the
# content, not by what the disk keeps of it: the same content gives the same archive.
_HOLE = 2**16
_MUCH_OF_HOLES = 2**20
_ZEROS = bytes(_HOLE)
_TAG, _SIGNATURE = "CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"
# Times of files advance by the ticks of the kernel, at the most this far apart.
_TICK_SECONDS = 0.02
# What a name that is gone, or is another thing by now, is answered with. All else is "could not": a lease, a
# disk that fails, a server of files that is away.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
UNREADABLE, DEEP, STRANGE = "cannot be read", "too deep", "sockets, pipes and devices"
NAMES, LINKS = "names that no archive can hold", "links out of the state"
LARGE, HOLEY = "larger than what is left of its disk", "of too many parts between holes, or too large"
_MAX_PATHS = 1000


class Unreadable(Exception):
    """Something of the state is there and cannot be read; the argument says why."""


class TooLarge(Exception):
    """A file holds more than an archive can have of it; the argument says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something in the state: its path as a member, where it is opened, and why it is left out."""

    path: str
    directory: int
    name: str
    status: os.stat_result
    reason: str | None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory that is read."""
        return stat.S_ISDIR(self.status.st_mode) and self.reason is None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file that is read."""
        return stat.S_ISREG(self.status.st_mode) and self.reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file as it was read: `steady` unless it changed during each attempt.

    `file` holds its `parts` one after the other; between them are zeros, up to its `size`.
    """

    file: IO[bytes]
    size: int
    mtime: int
    mode: int
    steady: bool
    parts: Parts

    @property
    def kept(self) -> int:
        """How many bytes of it are not left out as zeros."""
        return sum(size for _offset, size in self.parts)

    @property
    def has_holes(self) -> bool:
        """Whether it is worth to leave out the zeros."""
        return self.size - self.kept >= _MUCH_OF_HOLES


class Told:
    """What is to be told of a walk: what was left out and why, by number and by path, and some notes."""

    def __init__(self) -> None:
        self.left_out = Counter[str]()
        self.paths: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def leave_out(self, found: Found, reason: str) -> None:
        """Count something that is left out, and name it unless nobody needs to be told."""
        self.left_out[reason] += 1
        if len(self.paths) < _MAX_PATHS:
            self.paths.append((printable(found.path.removeprefix(f"{layout.STATE}/")[:_SHOWN]), reason))
        if reason != STRANGE and not is_expected(reason):
            self.note(f"left out: {found.path[:_SHOWN]} ({reason})")

    def note(self, text: str) -> None:
        """Add a note."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(printable(text))
        elif len(self.notes) == _MAX_NOTES:
            self.notes.append("and more of that kind")


def walk(state: int, selection: Selection) -> Iterator[Found]:
    """Yield what is below an open state directory, a directory before what is in it, sorted by name.

    What `selection` leaves out is yielded with the reason, and not what is below it.
    Raises `OcmError` past as many names as an archive holds: an instance could go on making them, or move
    those that were seen to where they come again.
    """
    first = _names(state, _MAX_NAMES)
    room = _MAX_NAMES - len(first)
    levels = [(state, layout.STATE, iter(first))]
    try:
        while levels:
            directory, parent, names = levels[-1]
            name = next(names, None)
            if name is None:
                levels.pop()
                if levels:
                    os.close(directory)
                continue
            found, opened = _look(directory, f"{parent}/{name}", len(levels), selection)
            if opened is not None:
                levels.append((opened, f"{parent}/{name}", iter(())))
                below = _names(opened, room)
                room -= len(below)
                levels[-1] = (opened, f"{parent}/{name}", iter(below))
            if found is not None:
                yield found
    finally:
        for directory, _parent, _left in levels[1:]:
            os.close(directory)


def _names(directory: int, room: int) -> list[str]:
    with os.scandir(directory) as entries:
        # A name that is moved while it is looked for may come twice.
        names = {entry.name for entry in itertools.islice(entries, room + 1)}
    if len(names) > room:
        message = f"there are more than {_MAX_NAMES} files in the state, and no archive holds so many"
        raise OcmError(message, hint="remove what is not needed, by ocm enter", code="state_too_large")
    return sorted(names, key=os.fsencode)


def _look(directory: int, path: str, depth: int, selection: Selection) -> tuple[Found | None, int | None]:
    """Return what a path stands for, and the open directory where that is to be walked as well."""
    name = path.rpartition("/")[2]
    opened, status = None, os.stat_result((0,) * 10)
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        reason = _reason(path, status, depth, selection)
        if stat.S_ISDIR(status.st_mode) and reason is None:
            opened = os.open(name, files.CLOSED_DIRECTORY, dir_fd=directory)
            status = os.fstat(opened)
            if selection.may_be_cache(path) and _is_cache(opened):
                os.close(opened)
                opened, reason = None, CACHES
    except OSError as error:
        if error.errno in _GONE:
            # As if it had never been seen.
            return None, None
        reason = UNREADABLE
    return Found(path=path, directory=directory, name=name, status=status, reason=reason), opened


def _reason(path: str, status: os.stat_result, depth: int, selection: Selection) -> str | None:
    if layout.path_problem(path):
        return NAMES
    reason = selection.left_out(path)
    if reason is None and stat.S_ISDIR(status.st_mode) and depth > MAX_DEPTH:
        return DEEP
    is_kept = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)
    return reason if is_kept else STRANGE


def _is_cache(directory: int) -> bool:
    """Tell whether a directory says that it is a cache (bford.info/cachedir)."""
    with contextlib.suppress(Unreadable):
        descriptor = _open(directory, _TAG)
        if descriptor is not None:
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                return _read(file, len(_SIGNATURE)) == _SIGNATURE
    return False


def on_disk(found: Found) -> int:
    """Return how many bytes a file takes, by what it says that is the less: it may be mostly holes."""
    return min(found.status.st_size, found.status.st_blocks * 512)


def is_database(found: Found) -> bool:
    """Tell whether a file begins as SQLite's do; raises `Unreadable` where it cannot be read."""
    descriptor = _open(found.directory, found.name)
    if descriptor is None:
        return False
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return _read(file, len(layout.DATABASE_MAGIC)) == layout.DATABASE_MAGIC


def is_readable(found: Found) -> bool:
    """Tell whether a file can be opened, or is gone."""
    try:
        descriptor = _open(found.directory, found.name)
    except Unreadable:
        return False
    if descriptor is not None:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def copied(
    directory: int, name: str, spool: PurePosixPath, *, limit: int, place: tuple[int, int] | None = None
) -> Iterator[Copy | None]:
    """Yield a copy of a file, read until nothing changed it meanwhile; None where it is no file any more.

    With a `place`, an offset and a size, it is a copy of what lies there, and was written before.

    What grows without an end is read up to the size that it had. Large ones are held in a file without a
    name in the directory `spool`, without what is nothing but zeros. Raises `Unreadable` where it cannot be
    read, and `TooLarge` where that are more than `limit` bytes.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(spool)) as file:
        copy = None
        for attempt in range(_ATTEMPTS):
            descriptor = _open(directory, name)
            if descriptor is None:
                break
            with os.fdopen(descriptor, "rb", buffering=0) as source:
                copy = _copy(source, file, limit, place)
            if copy.steady:
                break
            time.sleep(_TICK_SECONDS * 2**attempt)
        if copy is not None:
            file.seek(0)
        yield copy


def _copy(source: IO[bytes], file: IO[bytes], limit: int, place: tuple[int, int] | None) -> Copy:
    file.seek(0)
    file.truncate()
    before = os.fstat(source.fileno())
    if place is None and 0 <= time.time() - before.st_ctime < _TICK_SECONDS:
        # What is written within the same tick would leave no trace in its time. Not st_mtime: an instance
        # sets that, and with one in the future each of its files would be waited for.
        time.sleep(_TICK_SECONDS)
        before = os.fstat(source.fileno())
    if before.st_size > holes.MAX_REAL:
        raise TooLarge(HOLEY)
    parts: list[tuple[int, int]] = []
    begin, end = (0, before.st_size) if place is None else (place[0], min(sum(place), before.st_size))
    begin = position = min(begin, end)
    while position < end and (data := _next_data(source, position, end)) is not None:
        position = data
        chunk = _read(source, min(end - position, _CHUNK))
        if not chunk:
            break
        for offset in range(0, len(chunk), _HOLE):
            block = chunk[offset : offset + _HOLE]
            if block != _ZEROS[: len(block)]:
                file.write(block)
                _add_part(parts, position + offset - begin, len(block))
        position += len(chunk)
        if file.tell() > limit:
            raise TooLarge(LARGE)
        if len(parts) > holes.MAX_PARTS:
            raise TooLarge(HOLEY)
    else:
        position = end
    after = os.fstat(source.fileno())
    return Copy(
        file=file,
        size=position - begin,
        mtime=int(before.st_mtime),
        mode=before.st_mode & layout.OWN_MODE,
        steady=place is not None or (_version(before) == _version(after) and position == end),
        parts=tuple(parts),
    )


def _next_data(source: IO[bytes], position: int, size: int) -> int | None:
    """Go to where a file has data again, in whole blocks, and return that, None where it has no more."""
    try:
        data = os.lseek(source.fileno(), position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        # A file system that knows of no holes.
        data = position
    if data >= size:
        return None
    return os.lseek(source.fileno(), max(position, data - data % _HOLE), os.SEEK_SET)


def _add_part(parts: list[tuple[int, int]], offset: int, size: int) -> None:
    if parts and sum(parts[-1]) == offset:
        parts[-1] = (parts[-1][0], parts[-1][1] + size)
    else:
        parts.append((offset, size))


def _read(source: IO[bytes], size: int) -> bytes:
    try:
        return source.read(size)
    except OSError as error:
        raise Unreadable(error.strerror) from None


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _open(directory: int, name: str) -> int | None:
    """Return an open regular file, None where there is none of that name (any more)."""
    try:
        descriptor = os.open(name, files.CLOSED_FILE, dir_fd=directory)
    except OSError as error:
        # ENXIO: a socket, or a pipe that nobody reads, which is no file either.
        if error.errno in _GONE or error.errno == errno.ENXIO:
            return None
        raise Unreadable(error.strerror) from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def pieces(copy: Copy) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of a copy, in pieces with their offsets."""
    for offset, size in copy.parts:
        end = offset + size
        while offset < end and (piece := copy.file.read(min(_CHUNK, end - offset))):
            yield offset, piece
            offset += len(piece)  # noqa: PLW2901 - where the next piece goes


def chunks(copy: Copy) -> Iterator[bytes]:
    """Yield the content of a copy, zeros included."""
    position = 0
    for offset, piece in pieces(copy):
        yield from _zeros(offset - position)
        yield piece
        position = offset + len(piece)
    yield from _zeros(copy.size - position)


def _zeros(count: int) -> Iterator[bytes]:
    while count:
        yield _ZEROS[: min(count, _HOLE)]
        count -= min(count, _HOLE)
