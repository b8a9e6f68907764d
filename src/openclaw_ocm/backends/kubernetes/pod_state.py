"""A state in a cluster as whoever takes it walks it: each walk is one stream, and each file comes once."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openclaw_ocm.backends.kubernetes.carried import Again, End, Entry, Lost, Piece, give_one, give_out
from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.selection import CACHES
from openclaw_ocm.system.archive.taking import (
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

    from openclaw_ocm.backends.kubernetes.carried import Told
    from openclaw_ocm.backends.kubernetes.volume import PodVolume
    from openclaw_ocm.core.backup.copying import Answer
    from openclaw_ocm.core.backup.selection import Selection
    from openclaw_ocm.system.archive.taking import Content, Walk

# What a walk may send, its zeros not counted: more than any state is, and less than endless.
_MOST_BYTES = 2**42
# At the top of a state, of which it is asked what is left out before that is sent.
_MOST_NAMES = 100_000
_MOST_SKIPPED = 10_000
_TYPES = {
    "directory": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "link": stat.S_IFLNK,
    "special": stat.S_IFIFO,
    "unread": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """A state in a pod: a `taking.State`. What a walk left out is not sent by the next one."""

    volume: PodVolume
    mode: int
    disk: Disk
    # What is not opened, and why, by what a walk was asked to take.
    _skipped: dict[Selection, dict[str, str]] = field(default_factory=dict, repr=False)

    def walk(self, selection: Selection, *, content: bool = True) -> Walk:
        """Yield what is in it; none of what is below what `selection` leaves out."""
        skipped = self._skipped.setdefault(selection, {})
        for name in self.volume.names(most=_MOST_NAMES):
            # At the top it is the name that counts, whatever it is of.
            reason = judge(f"{layout.STATE}/{name}", stat.S_IFDIR, 1, selection)
            if reason is not None:
                skipped[name] = reason
        told = give_out(
            self.volume.where, self.volume.stream, content=content, skip=tuple(skipped), limit=_MOST_BYTES
        )
        with contextlib.closing(told):
            yield from _walked(told, selection, skipped)

    @contextlib.contextmanager
    def copies(self, name: str) -> Iterator[Callable[[Answer], Content]]:
        """Yield what gives each of the copies of databases that lie in a directory at the top."""
        if not self.volume.has(name):
            raise copies_gone()
        yield lambda copy: _One(self.volume, f"{name}/{copy.name}", copy.place)

    def discard_copies(self, name: str) -> None:
        """Remove a directory of copies; what is there besides files stays, for the next backup."""
        with contextlib.suppress(OSError):
            self.volume.discard(name)


def _walked(told: Iterator[Told], selection: Selection, skipped: dict[str, str]) -> Walk:
    below = None
    for entry in told:
        # What of a file nobody read comes in between.
        if not isinstance(entry, Entry):
            continue
        path = os.fsdecode(entry.path)
        if below is not None and path.startswith(below):
            continue
        # Whatever it may be by now, it was not opened.
        reason = skipped.get(path) or _reason(entry, f"{layout.STATE}/{path}", selection)
        if reason is not None and entry.shape == "directory":
            below = f"{path}/"
            if reason != UNREADABLE and len(skipped) < _MOST_SKIPPED:
                skipped[path] = reason
        found = Found(
            path=f"{layout.STATE}/{path}",
            mode=_TYPES[entry.shape] | entry.mode,
            mtime=entry.mtime,
            on_disk=min(entry.size, entry.taken),
            reason=reason,
        )
        yield found, _Sent(entry, told)


def _reason(entry: Entry, path: str, selection: Selection) -> str | None:
    if entry.shape == "unread":
        return UNREADABLE
    reason = judge(path, _TYPES[entry.shape] | entry.mode, path.count("/"), selection)
    if reason is None and entry.shape == "directory":
        if entry.number:
            return UNREADABLE
        if entry.cache and selection.may_be_cache(path):
            return CACHES
    return reason


class _Sent:
    """What comes next in a stream, as long as nothing that comes later was asked for."""

    def __init__(self, entry: Entry, told: Iterator[Told]) -> None:
        self._entry = entry
        self._told = told
        # How large it is when it is read the next time, None where it is not any more.
        self._size = entry.size if entry.open else None
        self._steady = False

    def begin(self, size: int) -> bytes | None:
        """Return the first bytes of a file, None where it is none any more."""
        self._refuse_unreadable()
        if not self._entry.open:
            return self._entry.begin[:size] if self._entry.shape == "file" else None
        data = b""
        with self.opened() as reading:
            for at, piece in reading.pieces if reading else ():
                data += bytes(min(at - len(data), size)) + piece[:size] if len(data) < size else b""
        return data[:size]

    def target(self) -> str | None:
        """Return where a link leads, None where it is none any more."""
        return os.fsdecode(self._entry.target) if self._entry.shape == "link" else None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Reading | None]:
        """Yield a file to be read, None where it cannot be read once more."""
        self._refuse_unreadable()
        if self._size is None:
            yield None
            return
        size, self._size = self._size, None
        entry, pieces = self._entry, self._pieces()
        mode = stat.S_IFREG | entry.mode
        yield Reading(size=size, mtime=entry.mtime, mode=mode, pieces=pieces, is_steady=lambda: self._steady)

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        end = 0
        for told in self._told:
            if isinstance(told, Piece):
                end = told.at + len(told.data)
                yield told.at, told.data
            elif isinstance(told, Again):
                self._size = told.size
                yield end, b""
                return
            elif isinstance(told, End):
                self._steady = told.steady
                yield told.size, b""
                return
            elif isinstance(told, Lost):
                raise _unreadable(told.number)

    def _refuse_unreadable(self) -> None:
        if self._entry.number:
            raise _unreadable(self._entry.number)


@dataclass(frozen=True, slots=True)
class _One:
    """A file that is sent alone, each time that it is asked for; with a place, what lies there."""

    volume: PodVolume
    path: str
    place: tuple[int, int] | None

    def begin(self, size: int) -> bytes | None:
        """Return the first bytes of the file, None where there is none any more."""
        with self._sent() as sent:
            return None if sent is None else sent.begin(size)

    def target(self) -> str | None:
        """Return that it is no link."""
        return None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Reading | None]:
        """Yield the file to be read, None where there is none any more."""
        with contextlib.ExitStack() as stack:
            sent = stack.enter_context(self._sent())
            yield None if sent is None else stack.enter_context(sent.opened())

    @contextlib.contextmanager
    def _sent(self) -> Iterator[_Sent | None]:
        told = give_one(self.volume.where, self.volume.stream, self.path, self.place, limit=_MOST_BYTES)
        with contextlib.closing(told):
            try:
                entry = next(told, None)
            except (FileNotFoundError, NotADirectoryError):
                entry = None
            except OSError as error:
                raise _unreadable(error.errno or 0) from None
            yield _Sent(entry, told) if isinstance(entry, Entry) else None


def _unreadable(number: int) -> Unreadable:
    return Unreadable(os.strerror(number or errno.EIO))
