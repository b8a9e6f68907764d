"""Puts an instance's state into an archive: what may be, in the order of the format, and tells the rest."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import holes, layout
from openclaw_ocm.core.backup.selection import JOURNALS
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive import taking
from openclaw_ocm.system.archive.database import Slots, checking
from openclaw_ocm.system.archive.members import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.backup.layout import Plugin
    from openclaw_ocm.core.backup.selection import Selection
    from openclaw_ocm.system.archive.database import Ask
    from openclaw_ocm.system.archive.taking import Content, Copy, Found, Walk
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
    told: taking.Told
    kept: Mapping[str, str]
    largest: tuple[str, int] | None
    hollow: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Copies of databases, by path; `problems` of those that have none.

    `plugins` are those that one of them tells of.
    """

    made: Mapping[str, Content] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()


def survey(walk: Walk, selection: Selection) -> Survey:
    """Look through what `selection` takes of a state."""
    databases: dict[str, int] = {}
    beside: dict[str, int] = {}
    largest: tuple[str, int] | None = None
    told = taking.Told()
    kept: dict[str, str] = {}
    hollow: list[str] = []
    count = total = 0
    for found, content in walk:
        if found.reason:
            told.leave_out(found, found.reason)
        if pattern := selection.refused(found.path):
            kept.setdefault(pattern, found.path)
        if not found.is_file:
            continue
        size = found.on_disk
        count, total = count + 1, total + size
        if found.path.endswith(layout.SIDECARS):
            beside[found.path] = size
        if not selection.is_needed(found.path) and (largest is None or size > largest[1]):
            largest = found.path, size
        with contextlib.suppress(taking.Unreadable):
            if taking.is_database(content):
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
    """Puts a state into an archive; `told` is what was left out."""

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
        self.told = taking.Told()

    def store(self, walk: Walk, mode: int, progress: Callable[[int], None]) -> None:
        """Add the state, which is of that mode, and all in it; `progress` is told the bytes of each file."""
        self._writer.directory(layout.STATE, mode)
        with checking() as self._ask:
            for found, content in walk:
                try:
                    self._store(found, content, progress)
                except taking.Unreadable as error:
                    self._refuse_needed(found, f"cannot be read: {error}")
                    self.told.leave_out(found, taking.UNREADABLE)
                except taking.TooLarge as error:
                    self._refuse_needed(found, f"is {error}")
                    self.told.leave_out(found, str(error))

    def _store(self, found: Found, content: Content, progress: Callable[[int], None]) -> None:
        if found.reason:
            if found.reason == taking.UNREADABLE:
                self._refuse_needed(found, "cannot be read: the directory does not tell what it is")
            self.told.leave_out(found, found.reason)
        elif found.is_directory:
            self._writer.directory(found.path, found.mode)
        elif stat.S_ISLNK(found.mode):
            self._store_link(found, content)
        elif self._is_journal(found.path):
            self.told.leave_out(found, JOURNALS)
        else:
            self._store_file(found, content, progress)

    def _store_link(self, found: Found, content: Content) -> None:
        target = content.target()
        if target is None:
            return
        stored = self._selection.target(found.path, target)
        if stored is None:
            self.told.leave_out(found, taking.LINKS)
        else:
            self._writer.link(found.path, stored)

    def _store_file(self, found: Found, content: Content, progress: Callable[[int], None]) -> None:
        made = self._copies.made.get(found.path)
        with taking.copied(made or content, self._spool, limit=self._left) as copy:
            if copy is None:
                self._missing(found, is_copy=made is not None)
                return
            kind = self._kind(found, copy, is_copy=made is not None)
            if kind is None:
                return
            if not copy.steady:
                self.told.note(f"{found.path} changed each time it was read")
            its = found if made else copy
            whole = kind == "database" or self._selection.is_needed(found.path) or not copy.has_holes
            if whole and copy.size > self._left:
                raise taking.TooLarge(taking.LARGE)
            member = Member(
                path=found.path,
                kind="file",
                mode=its.mode & layout.OWN_MODE,
                size=copy.size if whole else len(holes.encode_map(copy.parts, copy.size)) + copy.kept,
                mtime=its.mtime,
                real=None if whole else copy.size,
            )
            self._left -= member.size
            self._writer.file(member, _told(_content(copy, whole=whole), progress), kind)
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
        spooled = self._slots.write(taking.chunks(copy))

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
        yield from taking.chunks(copy)
        return
    yield holes.encode_map(copy.parts, copy.size)
    for _offset, piece in taking.pieces(copy):
        yield piece


def _told(content: Iterator[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in content:
        progress(len(chunk))
        yield chunk
