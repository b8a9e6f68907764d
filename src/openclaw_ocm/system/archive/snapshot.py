"""Reads a state of this host that an instance goes on writing, and may have made to harm who reads it.

No link is followed and nothing but regular files and directories is opened, each from the open directory
that it lies in; no path is too long, and no directory too deep, for its walk to end.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.selection import CACHES
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.taking import (
    HOLE,
    UNREADABLE,
    Disk,
    Found,
    Reading,
    Unreadable,
    copies_gone,
    judge,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.core.backup.copying import Answer
    from openclaw_ocm.core.backup.selection import Selection
    from openclaw_ocm.system.archive.taking import Content, Walk

# Beside them an archive has members that are no part of the state.
_MAX_NAMES = layout.MAX_MEMBERS - 10
_CHUNK = 2**18
_TAG, _SIGNATURE = "CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"
# Times of files advance by the ticks of the kernel, at the most this far apart.
_TICK_SECONDS = 0.02
# What a name that is gone, or is another thing by now, is answered with. All else is "could not": a lease, a
# disk that fails, a server of files that is away.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class InDirectory:
    """What has a name in an open directory: a `taking.Content`.

    With a `place`, an offset and a size, it is what lies there in a file, and was written before.
    """

    directory: int
    name: str
    place: tuple[int, int] | None = None

    def begin(self, size: int) -> bytes | None:
        """Return the first bytes of a file, None where it is none any more."""
        descriptor = _open(self.directory, self.name)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return _read(file, size)

    def target(self) -> str | None:
        """Return where a link leads, None where it is none any more."""
        try:
            return os.readlink(self.name, dir_fd=self.directory)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL):
                return None
            raise Unreadable(error.strerror) from None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Reading | None]:
        """Yield a file to be read, None where it is none any more."""
        descriptor = _open(self.directory, self.name)
        if descriptor is None:
            yield None
            return
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            if self.place is None:
                before = _settled(descriptor)
                begin, end = 0, before.st_size
            else:
                before = os.fstat(descriptor)
                begin, end = (min(one, before.st_size) for one in (self.place[0], sum(self.place)))
            yield Reading(
                size=end - begin,
                mtime=int(before.st_mtime),
                mode=before.st_mode,
                pieces=_pieces(source, begin, end),
                is_steady=lambda: (
                    self.place is not None or _version(before) == _version(os.fstat(descriptor))
                ),
            )


@dataclass(frozen=True, slots=True)
class OpenDirectory:
    """A state in an open directory: a `taking.State`."""

    descriptor: int

    @property
    def mode(self) -> int:
        """The mode of the directory."""
        return os.fstat(self.descriptor).st_mode

    @property
    def disk(self) -> Disk:
        """The disk that it is on."""
        status = os.fstatvfs(self.descriptor)
        return Disk(size=status.f_blocks * status.f_frsize, free=status.f_bavail * status.f_frsize)

    def walk(self, selection: Selection, *, content: bool = True) -> Walk:  # noqa: ARG002 - it is at hand
        """Yield what is below it; none of what `selection` leaves out is walked through."""
        return _walk(self.descriptor, selection)

    @contextlib.contextmanager
    def copies(self, name: str) -> Iterator[Callable[[Answer], Content]]:
        """Yield what gives the copies of databases in a directory at the top, held open."""
        try:
            directory = os.open(name, files.CLOSED_DIRECTORY, dir_fd=self.descriptor)
        except OSError:
            raise copies_gone() from None
        try:
            yield lambda copy: InDirectory(directory, copy.name, copy.place)
        finally:
            os.close(directory)

    def discard_copies(self, name: str) -> None:
        """Remove a directory of copies; what is there besides files stays, for the next backup."""
        with contextlib.suppress(OSError):
            directory = os.open(name, files.CLOSED_DIRECTORY, dir_fd=self.descriptor)
            try:
                for entry in os.listdir(directory):  # noqa: PTH208 - an open directory
                    with contextlib.suppress(OSError):
                        os.unlink(entry, dir_fd=directory)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=self.descriptor)


def _walk(state: int, selection: Selection) -> Walk:
    """Yield what is below an open state directory, and none of what is below what `selection` leaves out.

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
                yield found, InDirectory(directory, name)
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
        reason = judge(path, status.st_mode, depth, selection)
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
    found = Found(
        path=path,
        mode=status.st_mode,
        mtime=int(status.st_mtime),
        on_disk=min(status.st_size, (status.st_blocks or 0) * 512),
        reason=reason,
    )
    return found, opened


def _is_cache(directory: int) -> bool:
    """Tell whether a directory says that it is a cache (bford.info/cachedir)."""
    with contextlib.suppress(Unreadable):
        return InDirectory(directory, _TAG).begin(len(_SIGNATURE)) == _SIGNATURE
    return False


def _settled(descriptor: int) -> os.stat_result:
    """Return what a file says of itself, once what is written from now on leaves a trace in its time."""
    status = os.fstat(descriptor)
    # Not st_mtime: an instance sets that, and with one in the future each of its files would be waited for.
    if 0 <= time.time() - status.st_ctime < _TICK_SECONDS:
        time.sleep(_TICK_SECONDS)
        status = os.fstat(descriptor)
    return status


def _pieces(source: IO[bytes], begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield what a file has between its holes from `begin` on, by offsets from there; then where it ends."""
    position = begin
    while position < end:
        data = _next_data(source, position, end)
        if data is None:
            position = end
            break
        position = data
        chunk = _read(source, min(end - position, _CHUNK))
        if not chunk:
            break
        yield position - begin, chunk
        position += len(chunk)
    yield position - begin, b""


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
    return os.lseek(source.fileno(), max(position, data - data % HOLE), os.SEEK_SET)


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
