"""A state on its way out of a cluster or into it, as frames of give_state.py and take_state.py.

What comes out of a pod is what the instance likes to say. It may lie about its state and break off at any
moment; what is yielded is a tree nevertheless: each name one that a directory can have, below a directory
that came before, sorted and so never twice, each file's content within bounds and in order, and an end that
says so. What of it is wanted, and what is told of the rest, is for who reads it to say.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from openclaw_ocm.backends.kubernetes.volume import (
    Closed,
    Failed,
    Refused,
    argv_of,
    encoded,
    failure,
    is_name,
    request,
    unclear,
)
from openclaw_ocm.core.backup.holes import MAX_REAL
from openclaw_ocm.core.backup.layout import MAX_MEMBERS, MAX_PATH
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive.taking import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator

    from openclaw_ocm.backends.kubernetes.volume import Stream

# A path of so many directories, in base64, and the target of a link.
_MAX_LINE = 2**17
_CHUNK = 2**18
_LAST_SECOND = 2**33

_Bytes = Annotated[int, msgspec.Meta(ge=0, le=MAX_REAL)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=4095)]


class _Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    pass


class Entry(_Frame, frozen=True, tag="entry"):
    """Something of a state, by its path below that; what is `open` goes on, in what comes next.

    Of what is `unread` nothing is known; with a `number`, an errno, it could not be opened. `taken` is what
    it takes on the disk, `begin` how a file begins whose content is not asked for, `cache` what a directory
    says of itself. One that is not open was to be skipped, or is deeper than `MAX_DEPTH`.
    """

    path: Annotated[bytes, msgspec.Meta(min_length=1)]
    shape: Literal["directory", "file", "link", "special", "unread"]
    open: bool = False
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)] = 0
    mtime: Annotated[int, msgspec.Meta(ge=0, lt=_LAST_SECOND)] = 0
    size: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    taken: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    target: Annotated[bytes, msgspec.Meta(max_length=MAX_PATH)] = b""
    begin: Annotated[bytes, msgspec.Meta(max_length=16)] = b""
    cache: bool = False
    number: _Number = 0


class Again(_Frame, frozen=True, tag="again"):
    """The file changed while it was read: what came of it is nothing, and it comes anew, of this size."""

    size: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


class End(_Frame, frozen=True, tag="end"):
    """All of a file came; `steady` unless it changed each time that it was read."""

    size: _Bytes
    steady: bool = True


class Lost(_Frame, frozen=True, tag="lost"):
    """A file could not be read to its end."""

    number: _Number


class _Data(_Frame, frozen=True, tag="data"):
    at: _Bytes
    size: Annotated[int, msgspec.Meta(ge=1, le=_CHUNK)]


class _Done(_Frame, frozen=True, tag="done"):
    entries: Annotated[int, msgspec.Meta(ge=0)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file, whose bytes begin `at` a place; between parts are zeros."""

    at: int
    data: bytes = field(repr=False)


Told = Entry | Piece | Again | End | Lost
_Said = Entry | _Data | Again | End | Lost | _Done | Failed | Refused | Closed


def give_out(
    where: str,
    stream: Stream,
    *,
    content: bool,
    skip: Collection[str] = (),
    limit: int,
) -> Generator[Told, None, None]:
    """Yield what is in the state of an instance, whose pod is in the namespace `where`.

    With `content` what files hold comes with them. The paths in `skip` come and are not opened. Raises
    `OcmError` where it is cut off, is more than `limit` bytes on its way, or no state at all, and `OSError`
    where the pod could not read on.
    """
    asked = {"what": "all", "content": content, "skip": [*map(encoded, skip)]}
    yield from _given(where, stream, asked, limit=limit)


def give_one(
    where: str, stream: Stream, path: str, place: tuple[int, int] | None, *, limit: int
) -> Generator[Told, None, None]:
    """Yield one file of a state as `give_out` does, or of it what lies in a place: its offset and its size.

    Raises `FileNotFoundError` where there is none.
    """
    asked = {"what": "one", "path": encoded(path), "place": place}
    yield from _given(where, stream, asked, limit=limit)


def _given(where: str, stream: Stream, asked: dict[str, Any], *, limit: int) -> Iterator[Told]:
    with stream(argv_of("give_state.py")) as (read, write):
        write.write(request(asked))
        write.flush()
        yield from read_told(where, read, limit=limit)


def take_in(where: str, stream: Stream, stage: str, told: Iterable[Told]) -> None:
    """Have what is `told` be a directory `stage` of its own in the volume, beside the state.

    Only directories, files and links, in the order in which they are given out. Raises `OSError` where the
    pod could not write it, `FileExistsError` where there is one already, and `OcmError` where its answer is
    none; what it wrote by then stays.
    """
    with stream(argv_of("take_state.py")) as (read, write):
        entries = count = 0
        whole = _write(write, request({"stage": encoded(stage)}))
        for one in told:
            entries += isinstance(one, Entry)
            count += len(one.data) if isinstance(one, Piece) else 0
            whole = whole and _write(write, encode(one))
        # Where it does not read on it has said why.
        if whole:
            _write(write, msgspec.json.encode(_Done(entries=entries, bytes=count)) + b"\n")
            with contextlib.suppress(OSError):
                write.flush()
        said, _size = _next(where, read)
        if said != _Done(entries=entries, bytes=count):
            raise failure(where, said) if isinstance(said, (Failed, Refused, Closed)) else unclear(where)


def encode(told: Told) -> bytes:
    """Return something of a state as a frame."""
    if isinstance(told, Piece):
        return msgspec.json.encode(_Data(at=told.at, size=len(told.data))) + b"\n" + told.data
    return msgspec.json.encode(told) + b"\n"


def read_told(where: str, source: IO[bytes], *, limit: int) -> Iterator[Told]:
    """Yield what a pod tells of a state, as `give_out` does; it is at the end of it that it was all."""
    tree = _Tree(where)
    left = limit
    while True:
        said, size = _next(where, source)
        if isinstance(said, (Failed, Refused, Closed)):
            raise failure(where, said)
        if isinstance(said, _Done):
            tree.end(said)
            return
        told: Told
        if isinstance(said, _Data):
            data = source.read(said.size)
            if len(data) != said.size:
                raise _cut(where)
            told, size = Piece(said.at, data), size + len(data)
        else:
            told = said
        left -= size
        if left < 0:
            raise _too_much(where, limit)
        tree.add(told)
        yield told


class _Tree:
    """What was told so far, by which is judged what comes next."""

    def __init__(self, where: str) -> None:
        self._where = where
        # The open directories on the way to the last one, each with the last name in it.
        self._levels: list[tuple[bytes, bytes]] = [(b"", b"")]
        self._in_file = False
        self._position = self._entries = self._bytes = 0

    def add(self, told: Told) -> None:
        """Take what comes next; raise `OcmError` where nothing of that kind can."""
        if isinstance(told, Entry) is self._in_file:
            raise unclear(self._where)
        if isinstance(told, Entry):
            self._add_entry(told)
        elif isinstance(told, Piece):
            if told.at < self._position or told.at + len(told.data) > MAX_REAL:
                raise unclear(self._where)
            self._position = told.at + len(told.data)
            self._bytes += len(told.data)
        elif isinstance(told, Again):
            self._position = 0
        else:
            if isinstance(told, End) and told.size < self._position:
                raise unclear(self._where)
            self._in_file = False

    def end(self, done: _Done) -> None:
        """Raise `OcmError` where this is no end."""
        if self._in_file or (done.entries, done.bytes) != (self._entries, self._bytes):
            raise unclear(self._where)

    def _add_entry(self, entry: Entry) -> None:
        above, _, name = entry.path.rpartition(b"/")
        while self._levels and self._levels[-1][0] != above:
            self._levels.pop()
        self._entries += 1
        is_open = entry.shape in ("directory", "file") or not entry.open
        is_link = entry.shape != "link" or (entry.target and b"\0" not in entry.target)
        is_next = self._levels and is_name(name) and name > self._levels[-1][1]
        if not (is_open and is_link and is_next) or self._entries > MAX_MEMBERS:
            raise unclear(self._where)
        self._levels[-1] = (above, name)
        if entry.open and entry.shape == "directory":
            if len(self._levels) > MAX_DEPTH:
                raise unclear(self._where)
            self._levels.append((entry.path, b""))
        self._in_file, self._position = entry.open and entry.shape == "file", 0


def _write(write: IO[bytes], data: bytes) -> bool:
    try:
        write.write(data)
    except OSError:
        return False
    return True


def _next(where: str, source: IO[bytes]) -> tuple[_Said, int]:
    """Return the next frame, without the bytes that follow it, and its size."""
    line = source.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise _cut(where) if len(line) < _MAX_LINE else unclear(where)
    try:
        said: _Said = msgspec.json.decode(line, type=_Said)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise unclear(where) from None
    return said, len(line)


def _cut(where: str) -> OcmError:
    return OcmError(f"the state in {where} was cut off on its way", hint="try again", code="state_cut_off")


def _too_much(where: str, limit: int) -> OcmError:
    message = f"the state in {where} is more than {limit} bytes on its way"
    return OcmError(message, hint="remove what is not needed, by ocm enter", code="state_too_large")
