"""What is found in a state, and what of it is taken, for the instance may have made it to harm who does.

Who walks the state, on this host or elsewhere, tells what there is and gives it to be read. What is left out,
what is too large and what of a file is holes is judged here.
"""

from __future__ import annotations

import contextlib
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from openclaw_ocm.core.backup import holes, layout
from openclaw_ocm.core.backup.selection import is_expected
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import PurePosixPath

    from openclaw_ocm.core.backup.copying import Answer
    from openclaw_ocm.core.backup.holes import Parts
    from openclaw_ocm.core.backup.selection import Selection

# Each level is an open directory meanwhile, of which a process may have 1024.
MAX_DEPTH = 200
_MAX_NOTES = 50
_SHOWN = 300
_ATTEMPTS = 5
_AGAIN_SECONDS = 0.02
_CHUNK = 2**18
_IN_MEMORY = 2**23
# What of a file is not kept where it is nothing but zeros, and how much that has to be to be worth it. By the
# content, not by what the disk keeps of it: the same content gives the same archive.
HOLE = 2**16
_MUCH_OF_HOLES = 2**20
_ZEROS = bytes(HOLE)
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
    """Something in the state: its path as a member, what it is, and why it is left out.

    `on_disk` is how many bytes a file takes, by what it says that is the less: it may be mostly holes.
    """

    path: str
    mode: int
    mtime: int
    on_disk: int
    reason: str | None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory that is read."""
        return stat.S_ISDIR(self.mode) and self.reason is None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file that is read."""
        return stat.S_ISREG(self.mode) and self.reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A file that is being read: what it was before, its `pieces`, and whether after them it is that still.

    The pieces are what is in no hole, each with its offset, in order. The last is empty, and lies at the end.
    """

    size: int
    mtime: int
    mode: int
    pieces: Iterator[tuple[int, bytes]]
    is_steady: Callable[[], bool]


class Content(Protocol):
    """What a file holds, or where a link leads; raises `Unreadable` where it is there and cannot be read."""

    def begin(self, size: int) -> bytes | None:
        """Return the first bytes of a file, None where it is none any more."""

    def target(self) -> str | None:
        """Return where a link leads, None where it is none any more."""

    def opened(self) -> AbstractContextManager[Reading | None]:
        """Yield a file to be read, None where it is none any more, or cannot be read once more."""


# A directory comes before what is in it, by name. A content can be read until the next one is asked for.
Walk = Iterator[tuple[Found, Content]]


class Disk(NamedTuple):
    """How many bytes a disk has in all, and how many of them its user may still write."""

    size: int
    free: int


class State(Protocol):
    """A state that is held open: all that is asked is about the same one."""

    @property
    def mode(self) -> int:
        """The mode of its directory."""

    @property
    def disk(self) -> Disk:
        """The disk that it is on."""

    def walk(self, selection: Selection, *, content: bool = True) -> Walk:
        """Yield what is in it, and with the reason what `selection` leaves out, but not what is below that.

        Without `content` nothing of a file is read but how it begins: it may be that it does not come along.
        Raises `OcmError` past as many names as an archive holds.
        """

    def copies(self, name: str) -> AbstractContextManager[Callable[[Answer], Content]]:
        """Yield what gives each of the copies of databases that lie in a directory at the top.

        Raises `OcmError` where that is none any more.
        """

    def discard_copies(self, name: str) -> None:
        """Remove a directory of copies; what is there besides files stays, for the next backup."""


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


def judge(path: str, mode: int, depth: int, selection: Selection) -> str | None:
    """Return why something is left out, None where it is taken; what is below a directory goes with it."""
    if layout.path_problem(path):
        return NAMES
    reason = selection.left_out(path)
    if reason is None and stat.S_ISDIR(mode) and depth > MAX_DEPTH:
        return DEEP
    return reason if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode) else STRANGE


def is_database(content: Content) -> bool:
    """Tell whether a file begins as SQLite's do; raises `Unreadable` where it cannot be read."""
    return content.begin(len(layout.DATABASE_MAGIC)) == layout.DATABASE_MAGIC


def is_readable(content: Content) -> bool:
    """Tell whether a file can be opened, or is gone."""
    try:
        content.begin(0)
    except Unreadable:
        return False
    return True


@contextlib.contextmanager
def copied(content: Content, spool: PurePosixPath, *, limit: int) -> Iterator[Copy | None]:
    """Yield a copy of a file, read until nothing changed it meanwhile; None where it is no file any more.

    What grows without an end is read up to the size that it had. Large ones are held in a file without a
    name in the directory `spool`, without what is nothing but zeros. Raises `Unreadable` where it cannot be
    read, and `TooLarge` where that are more than `limit` bytes.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(spool)) as file:
        copy = None
        for attempt in range(_ATTEMPTS):
            with content.opened() as reading:
                if reading is None:
                    break
                copy = _copy(reading, file, limit)
            if copy.steady:
                break
            time.sleep(_AGAIN_SECONDS * 2**attempt)
        if copy is not None:
            file.seek(0)
        yield copy


def _copy(reading: Reading, file: IO[bytes], limit: int) -> Copy:
    file.seek(0)
    file.truncate()
    if reading.size > holes.MAX_REAL:
        raise TooLarge(HOLEY)
    parts: list[tuple[int, int]] = []
    end = 0
    for offset, piece in reading.pieces:
        # An instance may be the author of a stream.
        if not end <= offset <= reading.size - len(piece):
            raise Unreadable("its parts are not its own")
        for begin in range(0, len(piece), HOLE):
            block = piece[begin : begin + HOLE]
            if block != _ZEROS[: len(block)]:
                file.write(block)
                _add_part(parts, offset + begin, len(block))
        end = offset + len(piece)
        if file.tell() > limit:
            raise TooLarge(LARGE)
        if len(parts) > holes.MAX_PARTS:
            raise TooLarge(HOLEY)
    return Copy(
        file=file,
        size=end,
        mtime=reading.mtime,
        mode=reading.mode & layout.OWN_MODE,
        steady=reading.is_steady() and end == reading.size,
        parts=tuple(parts),
    )


def _add_part(parts: list[tuple[int, int]], offset: int, size: int) -> None:
    if parts and sum(parts[-1]) == offset:
        parts[-1] = (parts[-1][0], parts[-1][1] + size)
    else:
        parts.append((offset, size))


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
        yield _ZEROS[: min(count, HOLE)]
        count -= min(count, HOLE)


def copies_gone() -> OcmError:
    """Return what is to be raised where the copies of the databases are not there any more."""
    message = "the copies of the databases were taken away while the backup ran"
    return OcmError(message, hint="try again", code="backup_failed")
