"""Puts an instance's state into an archive: what may be, in the order of the format, and tells the rest."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import holes, layout
from openclaw_ocm.core.backup.selection import JOURNALS
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive import snapshot
from openclaw_ocm.system.archive.database import Slots, checking
from openclaw_ocm.system.archive.members import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.backup.copying import Answer
    from openclaw_ocm.core.backup.layout import Plugin
    from openclaw_ocm.core.backup.selection import Selection
    from openclaw_ocm.system.archive.database import Ask
    from openclaw_ocm.system.archive.snapshot import Copy, Found
    from openclaw_ocm.system.archive.writer import ArchiveWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What there is: databases by path, how many other files, and bytes in all that take room.

    `copied` are the bytes that copies of the databases take at the most. `kept` tells of patterns what they
    do not leave out, for it is needed. `largest` is the largest file that could be left out, and `hollow` are
    databases of OpenClaw's own that are none.
    """

    databases: tuple[str, ...]
    copied: int
    files: int
    size: int
    told: snapshot.Told
    kept: Mapping[str, str]
    largest: tuple[str, int] | None
    hollow: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Copies of databases in an open directory, by path; `problems` of those that have none.

    `plugins` are those that one of them tells of.
    """

    directory: int | None = None
    made: Mapping[str, Answer] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()


def survey(state: int, selection: Selection) -> Survey:
    """Look through an open state directory."""
    databases: dict[str, int] = {}
    beside: dict[str, int] = {}
    largest: tuple[str, int] | None = None
    told = snapshot.Told()
    kept: dict[str, str] = {}
    hollow: list[str] = []
    count = total = 0
    for found in snapshot.walk(state, selection):
        if found.reason:
            told.leave_out(found, found.reason)
        if pattern := selection.refused(found.path):
            kept.setdefault(pattern, found.path)
        if not found.is_file:
            continue
        size = snapshot.on_disk(found)
        count, total = count + 1, total + size
        if found.path.endswith(layout.SIDECARS):
            beside[found.path] = size
        if not selection.is_needed(found.path) and (largest is None or size > largest[1]):
            largest = found.path, size
        with contextlib.suppress(snapshot.Unreadable):
            if snapshot.is_database(found):
                databases[found.path] = size
            elif layout.is_main_database(found.path):
                hollow.append(found.path)
    journals = [path for path in beside if path.rpartition("-")[0] in databases]
    return Survey(
        # Those of OpenClaw's own first: an instance can make any number that take long to copy.
        databases=tuple(sorted(databases, key=lambda path: not layout.is_own_database(path))),
        copied=sum(databases.values()) + sum(beside[path] for path in journals),
        files=count - len(databases) - len(journals),
        size=total,
        told=told,
        kept=kept,
        largest=largest,
        hollow=tuple(hollow),
    )


class StateStore:
    """Puts what is below an open state directory into an archive; `told` is what was left out."""

    def __init__(
        self,
        writer: ArchiveWriter,
        selection: Selection,
        copies: Copies,
        spool: PurePosixPath,
        limit: int,
    ) -> None:
        self._writer = writer
        self._selection = selection
        self._copies = copies
        self._spool = spool
        self._left = limit
        self._ask: Ask
        self._slots = Slots(spool)
        self.told = snapshot.Told()

    def store(self, state: int, progress: Callable[[int], None]) -> None:
        """Add everything; `progress` is told the bytes of each file."""
        self._writer.directory(layout.STATE, os.fstat(state).st_mode)
        with checking() as self._ask:
            for found in snapshot.walk(state, self._selection):
                try:
                    self._store(found, progress)
                except snapshot.Unreadable as error:
                    self._refuse_needed(found, f"cannot be read: {error}")
                    self.told.leave_out(found, snapshot.UNREADABLE)
                except snapshot.TooLarge as error:
                    self._refuse_needed(found, f"is {error}")
                    self.told.leave_out(found, str(error))

    def _store(self, found: Found, progress: Callable[[int], None]) -> None:
        if found.reason:
            if found.reason == snapshot.UNREADABLE:
                self._refuse_needed(found, "cannot be read: the directory does not tell what it is")
            self.told.leave_out(found, found.reason)
        elif found.is_directory:
            self._writer.directory(found.path, found.status.st_mode)
        elif stat.S_ISLNK(found.status.st_mode):
            self._store_link(found)
        elif self._is_journal(found.path):
            self.told.leave_out(found, JOURNALS)
        else:
            self._store_file(found, progress)

    def _store_link(self, found: Found) -> None:
        try:
            target = os.readlink(found.name, dir_fd=found.directory)
        except OSError as error:
            # It is no link by now.
            if error.errno in (errno.ENOENT, errno.EINVAL):
                return
            raise snapshot.Unreadable(error.strerror) from None
        stored = self._selection.target(found.path, target)
        if stored is None:
            self.told.leave_out(found, snapshot.LINKS)
        else:
            self._writer.link(found.path, stored)

    def _store_file(self, found: Found, progress: Callable[[int], None]) -> None:
        made = self._copies.made.get(found.path)
        directory, name, place = found.directory, found.name, None
        if made is not None and self._copies.directory is not None:
            directory, name, place = self._copies.directory, made.name, made.place
        with snapshot.copied(directory, name, self._spool, limit=self._left, place=place) as copy:
            if copy is None:
                self._missing(found, is_copy=made is not None)
                return
            kind = self._kind(found, copy, is_copy=made is not None)
            if kind is None:
                return
            if not copy.steady:
                self.told.note(f"{found.path} changed each time it was read")
            mode, mtime = (
                (found.status.st_mode, int(found.status.st_mtime)) if made else (copy.mode, copy.mtime)
            )
            whole = kind == "database" or self._selection.is_needed(found.path) or not copy.has_holes
            if whole and copy.size > self._left:
                raise snapshot.TooLarge(snapshot.LARGE)
            content = _content(copy, whole=whole)
            member = Member(
                path=found.path,
                kind="file",
                mode=mode & layout.OWN_MODE,
                size=copy.size if whole else len(holes.encode_map(copy.parts, copy.size)) + copy.kept,
                mtime=mtime,
                real=None if whole else copy.size,
            )
            self._left -= member.size
            self._writer.file(member, _told(content, progress), kind)
            if made is not None and not layout.is_own_database(found.path):
                self._check(found.path, copy)

    def _kind(self, found: Found, copy: Copy, *, is_copy: bool) -> layout.Kind | None:
        """Return as what a copy goes into the archive, None where it does not."""
        if not is_copy:
            problem = self._copies.problems.get(found.path)
            if problem is not None:
                self.told.note(f"{found.path} was copied as a plain file, for SQLite could not: {problem}")
            elif layout.is_own_database(found.path) and _begins_as_database(copy):
                self.told.leave_out(found, "databases that were made meanwhile")
                return None
            return "file"
        return "database"

    def _check(self, path: str, copy: Copy) -> None:
        """Have a database of an agent's own be listed as one only if SQLite finds no fault with it."""
        copy.file.seek(0)
        spooled = self._slots.write(snapshot.chunks(copy))

        def told(problem: str | None) -> None:
            self._slots.free(spooled)
            if problem is not None:
                self.told.note(f"{path} is kept as a plain file, for SQLite finds fault with it: {problem}")
                self._writer.no_database(path)

        self._ask(spooled, told)

    def _missing(self, found: Found, *, is_copy: bool) -> None:
        """Fail where the copy of a database of OpenClaw's is gone; a file may have gone at any time."""
        if is_copy:
            message = f"the copy of the database {found.path} was taken away while the backup ran"
            raise OcmError(message, hint="try again", code="backup_failed")

    def _is_journal(self, path: str) -> bool:
        return any(
            path.endswith(suffix) and path[: -len(suffix)] in self._copies.made for suffix in layout.SIDECARS
        )

    def _refuse_needed(self, found: Found, why: str) -> None:
        """Raise `OcmError` where something cannot be read without which nothing could be restored."""
        if found.path in self._selection.needed or layout.is_own_database(found.path):
            message = f"{found.path.removeprefix(f'{layout.STATE}/')} {why}"
            hint = "see who holds it or may read it, by ocm enter; then try again"
            raise OcmError(message, hint=hint, code="backup_failed")


def _begins_as_database(copy: Copy) -> bool:
    begin = copy.file.read(len(layout.DATABASE_MAGIC))
    copy.file.seek(0)
    return begin == layout.DATABASE_MAGIC


def _content(copy: Copy, *, whole: bool) -> Iterator[bytes]:
    """Yield the content of a copy as an archive holds it."""
    if whole:
        yield from snapshot.chunks(copy)
        return
    yield holes.encode_map(copy.parts, copy.size)
    for _offset, piece in snapshot.pieces(copy):
        yield piece


def _told(content: Iterator[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in content:
        progress(len(chunk))
        yield chunk


@contextlib.contextmanager
def open_copies(state: int, name: str) -> Iterator[int]:
    """Yield the open directory of copies in an open state directory; raise `OcmError` where it is none."""
    try:
        directory = os.open(name, files.CLOSED_DIRECTORY, dir_fd=state)
    except OSError:
        message = "the copies of the databases were taken away while the backup ran"
        raise OcmError(message, hint="try again", code="backup_failed") from None
    try:
        yield directory
    finally:
        os.close(directory)


def discard_copies(state: int, name: str) -> None:
    """Remove a directory of copies; what an instance put there besides files stays, for the next backup."""
    with contextlib.suppress(OSError):
        directory = os.open(name, files.CLOSED_DIRECTORY, dir_fd=state)
        try:
            for entry in os.listdir(directory):  # noqa: PTH208 - an open directory
                with contextlib.suppress(OSError):
                    os.unlink(entry, dir_fd=directory)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=state)
