"""Puts an instance's state into an archive: what may be, in the order of the format, and tells the rest."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive import snapshot
from openclaw_ocm.system.archive.database import Slots, checking
from openclaw_ocm.system.archive.members import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.system.archive.database import Ask
    from openclaw_ocm.system.archive.snapshot import Copy, Found
    from openclaw_ocm.system.archive.writer import ArchiveWriter

JOURNALS = "journals of databases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What there is: databases by path, how many other files, bytes in all, and those truly on disk.

    `copied` are the bytes that copies of the databases take at the most.
    """

    databases: tuple[str, ...]
    copied: int
    files: int
    size: int
    on_disk: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Copies of databases: names by path in the open directory; `problems` of those that have none."""

    directory: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def survey(state: int) -> Survey:
    """Look through an open state directory."""
    databases: dict[str, int] = {}
    beside: dict[str, int] = {}
    left_out = Counter[str]()
    count = size = on_disk = 0
    for found in snapshot.walk(state):
        if found.reason:
            left_out[found.reason] += 1
        if found.is_file:
            count += 1
            if found.path.endswith(layout.SIDECARS):
                beside[found.path] = found.status.st_size
            size += found.status.st_size
            on_disk += found.status.st_blocks * 512
            with contextlib.suppress(snapshot.Unreadable):
                if snapshot.is_database(found):
                    databases[found.path] = found.status.st_size
    journals = [path for path in beside if path.rpartition("-")[0] in databases]
    return Survey(
        # Those of OpenClaw's own first: an instance can make any number that take long to copy.
        databases=tuple(sorted(databases, key=lambda path: not layout.is_own_database(path))),
        copied=sum(databases.values()) + sum(beside[path] for path in journals),
        files=count - len(databases) - len(journals),
        size=size,
        on_disk=on_disk,
        left_out=left_out,
    )


class StateStore:
    """Puts what is below an open state directory into an archive; `told` is what was left out."""

    def __init__(  # noqa: PLR0913 - what a store is made of
        self,
        writer: ArchiveWriter,
        state: PurePosixPath,
        copies: Copies,
        spool: PurePosixPath,
        limit: int,
        *,
        needed: frozenset[str],
    ) -> None:
        self._writer = writer
        self._state = state
        self._copies = copies
        self._spool = spool
        self._left = limit
        self._needed = needed
        self._ask: Ask
        self._slots = Slots(spool)
        self.told = snapshot.Told()

    def store(self, state: int, progress: Callable[[int], None]) -> None:
        """Add everything; `progress` is told the bytes of each file."""
        self._writer.directory(layout.STATE, os.fstat(state).st_mode)
        with checking() as self._ask:
            for found in snapshot.walk(state):
                try:
                    self._store(found, progress)
                except snapshot.Unreadable as error:
                    self._refuse_needed(found, str(error))
                    self.told.leave_out(found, snapshot.UNREADABLE)

    def _store(self, found: Found, progress: Callable[[int], None]) -> None:
        if found.reason:
            if found.reason == snapshot.UNREADABLE:
                self._refuse_needed(found, "the directory does not tell what it is")
            self.told.leave_out(found, found.reason)
        elif found.is_directory:
            self._writer.directory(found.path, found.status.st_mode)
        elif stat.S_ISLNK(found.status.st_mode):
            self._store_link(found)
        elif self._is_journal(found.path):
            self.told.left_out[JOURNALS] += 1
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
        stored = layout.stored_target(found.path, target, self._state)
        if stored is None:
            self.told.leave_out(found, snapshot.LINKS)
        else:
            self._writer.link(found.path, stored)

    def _store_file(self, found: Found, progress: Callable[[int], None]) -> None:
        name = self._copies.names.get(found.path)
        directory = found.directory
        if name is not None and self._copies.directory is not None:
            directory = self._copies.directory
        with snapshot.copied(directory, name or found.name, self._spool, limit=self._left) as copy:
            if copy is None:
                self._missing(found, name)
                return
            kind = self._kind(found, copy, is_copy=name is not None)
            if kind is None:
                return
            if not copy.steady:
                self.told.note(f"{found.path} changed each time it was read")
            mode, mtime = (
                (found.status.st_mode, int(found.status.st_mtime)) if name else (copy.mode, copy.mtime)
            )
            member = Member(
                path=found.path, kind="file", mode=mode & layout.OWN_MODE, size=copy.size, mtime=mtime
            )
            self._left -= copy.size
            self._writer.file(member, _told(copy, progress), kind)
            if name is not None and not layout.is_own_database(found.path):
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

    def _missing(self, found: Found, name: str | None) -> None:
        """Fail where the copy of a database of OpenClaw's is gone; a file may have gone at any time."""
        if name is not None:
            message = f"the copy of the database {found.path} was taken away while the backup ran"
            raise OcmError(message, hint="try again", code="backup_failed")

    def _is_journal(self, path: str) -> bool:
        return any(
            path.endswith(suffix) and path[: -len(suffix)] in self._copies.names for suffix in layout.SIDECARS
        )

    def _refuse_needed(self, found: Found, why: str) -> None:
        """Raise `OcmError` where something cannot be read without which nothing could be restored."""
        if found.path in self._needed or layout.is_own_database(found.path):
            message = f"{found.path.removeprefix(f'{layout.STATE}/')} cannot be read: {why}"
            hint = "see who holds it or may read it, by ocm enter; then try again"
            raise OcmError(message, hint=hint, code="backup_failed")


def _begins_as_database(copy: Copy) -> bool:
    begin = copy.file.read(len(layout.DATABASE_MAGIC))
    copy.file.seek(0)
    return begin == layout.DATABASE_MAGIC


def _told(copy: Copy, progress: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in snapshot.chunks(copy):
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
