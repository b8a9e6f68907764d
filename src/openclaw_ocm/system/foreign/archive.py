"""Unpacks archives that other programs made of an OpenClaw: by the reader of OCM's own, and as mistrustful.

An archive is read twice: what it is, and where its state lies in it, may be told by its last member.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.layout import Entry, Header, Manifest, Refused
from openclaw_ocm.core.backup.selection import TEMPORARY, is_expected
from openclaw_ocm.core.foreign.documents import MANIFEST, MAX_SIZES
from openclaw_ocm.core.foreign.former import Traces, former_of
from openclaw_ocm.core.foreign.places import OTHER, SECOND, places
from openclaw_ocm.core.foreign.shape import is_document, shape_of
from openclaw_ocm.core.openclaw.document import MAX_BYTES, parse_config
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.compression import open_source
from openclaw_ocm.system.archive.database import checking
from openclaw_ocm.system.archive.members import LISTED, entry_of, read_members
from openclaw_ocm.system.archive.reader import (
    Extraction,
    check_database,
    finish,
    new_directory,
    refusals,
)
from openclaw_ocm.system.archive.taking import LINKS, NAMES, STRANGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.foreign.places import Moved, Places
    from openclaw_ocm.core.foreign.shape import Shape
    from openclaw_ocm.system.archive.compression import Source
    from openclaw_ocm.system.archive.members import Member

_WHAT = "archive of an OpenClaw"
_HINT = "make another: openclaw backup create, or tar --create --gzip --file ARCHIVE -C ~ .openclaw"
# Of configs, which are kept until it is known which of them is that of the state.
_CONFIG_BYTES = 2**26
_MAX_DOCUMENTS = 10
DOTENV = ".env"
_DATABASE = ("state/openclaw.sqlite", "state/openclaw.sqlite-wal")
_TRACED_BYTES = 2**26
_MAX_SHOWN = 20
_CHANGING = ("-wal", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a foreign archive is, where what it holds goes, its config and its `.env` as they are in it."""

    shape: Shape
    former: PurePosixPath | None
    config: dict[str, Any] = field(repr=False)
    dotenv: bytes | None = field(repr=False)
    places: Places = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A state that lies at `state`, as it is to be but for its path: `config` is what it says by now.

    `former` is where it lay, None where that is not known. `moved` is what lay elsewhere and is in it now.
    `left_out` tells how much of which kind did not come along.
    """

    state: PurePosixPath
    former: PurePosixPath | None
    config: dict[str, Any] = field(repr=False)
    moved: tuple[Moved, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]


def own_header(archive: PurePosixPath) -> Header | None:
    """Return the header of an archive of OCM's own, None of what is none; nothing else of it is read.

    Raises `OcmError` where there is no such file, it is encrypted, or no tar.
    """
    with refusals(archive, _WHAT, _HINT), _opened(archive, lambda _bytes: None) as source:
        member, content = next(read_members(source.read, source.expect, foreign=True), (None, iter(())))
        limit = layout.MAX_SIZES[layout.HEADER]
        if member is None or member.path != layout.HEADER or member.size > limit:
            return None
        try:
            return layout.decode(b"".join(content), Header, layout.HEADER)
        except Refused:
            return None


def look(archive: PurePosixPath, progress: Callable[[int], None] = lambda _bytes: None) -> Look:
    """Return what a foreign archive is; it is read whole, and nothing of it is kept.

    Raises `OcmError`, with the code `archive_invalid` where it holds no state of an OpenClaw that can be
    used, or it is damaged.
    """
    with refusals(archive, _WHAT, _HINT):
        with _opened(archive, progress) as source:
            seen = _See()
            for member, content in read_members(source.read, source.expect, foreign=True):
                seen.take(member, content)
        shape = shape_of(seen.kinds, seen.documents)
        config = _parsed(seen.configs.get(shape.config), shape.config)
        former = shape.former or former_of(shape.prefix, config, seen.traces)
        where = places(shape, former, config, seen.kinds)
        dotenv = seen.configs.get("/".join(part for part in (shape.prefix, DOTENV) if part))
        return Look(
            shape=replace(shape, former=former), former=former, config=config, dotenv=dotenv, places=where
        )


def unpack(
    archive: PurePosixPath,
    found: Look,
    into: PurePosixPath,
    *,
    free_bytes: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Unpacked:
    """Make the directory `into`, 0700, with the state in `into/state`, and return what became of it.

    Sizes, names, links and databases are checked; a database with a journal beside it, which is of one that
    was in use, is for the instance's own sandbox to open. Raises `OcmError` with the code `archive_invalid`
    or `no_space`, and then leaves nothing behind.
    """
    with refusals(archive, _WHAT, _HINT), new_directory(into, keep=True) as root:
        taken = _Take(root, found.places, free_bytes)
        with _opened(archive, progress) as source:
            for member, content in read_members(source.read, source.expect, foreign=True):
                taken.take(member, content)
        if layout.CONFIG not in taken.entries:
            raise Refused("it changed while it was read")
        notes = _check_databases(root, into, taken)
        finish(root, Manifest(members=tuple(taken.ordered())))
        files.flush(root)
    return Unpacked(
        state=into / layout.STATE,
        former=found.former,
        config=found.places.config,
        moved=found.places.moved,
        left_out={reason: count for reason, count in taken.left_out.items() if not is_expected(reason)},
        notes=(*notes, *taken.notes),
    )


@contextlib.contextmanager
def _opened(archive: PurePosixPath, progress: Callable[[int], None]) -> Iterator[Source]:
    try:
        with open_source(archive, (), progress, None) as source:
            yield source
    except OcmError as error:
        if error.code != "identity_missing":
            raise
        raise OcmError(error.message, hint="age --decrypt opens it", code=error.code) from None


def _parsed(data: bytes | None, path: str) -> dict[str, Any]:
    if data is None:
        raise Refused(f"{path} in it is larger than {MAX_BYTES} bytes, or one of too many of that name")
    try:
        return parse_config(data, source=f"{path} in it")
    except OcmError as error:
        raise Refused(error.message) from None


class _See:
    """What a first reading finds: of which kind each member is, and those that tell what all is."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.documents: dict[str, bytes] = {}
        self.configs: dict[str, bytes] = {}
        self.traces = Traces()
        self._traced = self._kept = 0

    def take(self, member: Member, content: Iterator[bytes]) -> None:
        """Take one."""
        path = member.path
        self.kinds[path] = member.kind
        if member.kind != "file" or member.real is not None:
            return
        name = path.rpartition("/")[2]
        if is_document(path) and len(self.documents) < _MAX_DOCUMENTS:
            if member.size <= MAX_SIZES.get(path, MAX_SIZES[MANIFEST]):
                self.documents[path] = b"".join(content)
        elif (".json" in name or name == DOTENV) and member.size <= self._room(name):
            self.configs[path] = b"".join(content)
            self._kept += member.size
        elif path.endswith(_DATABASE):
            last = b""
            for chunk in content:
                self._traced += len(chunk)
                if self._traced > _TRACED_BYTES:
                    break
                self.traces.take(last + chunk)
                last = chunk[-layout.MAX_PATH :]

    def _room(self, name: str) -> int:
        """Return how much of a config is kept; one of another name is that of few."""
        room = _CONFIG_BYTES if name == CONFIG_NAME else _CONFIG_BYTES // 2
        return min(room - self._kept, MAX_BYTES)


class _Take:
    """Takes the members of an archive to where they go, below an open directory."""

    def __init__(self, root: int, where: Places, free: int) -> None:
        self._store = Extraction(root, free)
        self._places = where
        self.entries: dict[str, Entry] = {}
        self._targets: dict[str, str] = {}
        self.databases: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._directory(layout.STATE)

    def take(self, member: Member, content: Iterator[bytes]) -> None:
        """Take one."""
        if is_document(member.path):
            return
        target, reason = self._places.target(member.path)
        if target is None and member.kind == "directory":
            return
        if target is None or member.kind in ("special", "unnameable"):
            self._leave_out(member.path, reason or (STRANGE if member.kind == "special" else NAMES))
            return
        problem = layout.path_problem(target)
        if problem:
            self._leave_out(member.path, NAMES)
            return
        if member.kind == "directory":
            self._directory(target, member.mode | 0o700)
            return
        self._directory(target.rpartition("/")[0])
        if target in self.entries:
            raise Refused(f"{member.path} is in it twice")
        if member.kind == "link":
            self._link(member, target)
        elif member.kind == "alias":
            self._alias(member, target)
        else:
            self._file(replace(member, path=target), content)
        self._targets[member.path] = target

    def ordered(self) -> Iterator[Entry]:
        """Yield what was made, a directory before what is in it."""
        for path in sorted(self.entries):
            yield self.entries[path]

    def _directory(self, path: str, mode: int | None = None) -> None:
        """Make a directory, and those above it."""
        missing = []
        above = path
        while above and above not in self.entries:
            missing.append(above)
            above = above.rpartition("/")[0]
        if above and self.entries[above].kind != "directory":
            raise Refused(f"{path} lies below what is no directory")
        for each in reversed(missing):
            self._store.directory(each)
            self.entries[each] = Entry(path=each, kind="directory", mode=0o700)
        if mode is not None:
            self.entries[path] = Entry(path=path, kind="directory", mode=mode)

    def _file(self, member: Member, content: Iterator[bytes]) -> None:
        if member.real is not None and (member.path == layout.CONFIG or layout.is_own_database(member.path)):
            raise Refused(f"{member.path} has holes, which none has")
        if member.path == layout.CONFIG:
            # What it says by then is written by whoever adopts it.
            content = iter([b"".join(content)])
        begin = self._store.file(member, content, str)
        self.entries[member.path] = entry_of(replace(member, mode=member.mode | 0o600), "file", "")
        if begin == layout.DATABASE_MAGIC and layout.is_own_database(member.path):
            self.databases.append(member.path)

    def _link(self, member: Member, target: str) -> None:
        kept = self._places.link(target, member.target)
        if kept is None:
            self._leave_out(member.path, LINKS)
            return
        self.entries[target] = entry_of(replace(member, path=target, target=kept), LISTED["link"], "")

    def _alias(self, member: Member, target: str) -> None:
        """Make a hard link to what was taken before: both are files in the new directory."""
        first = self._targets.get(member.target)
        if first is None or self.entries[first].kind != "file":
            self._leave_out(member.path, "hard links to what is not taken")
            return
        self._store.alias(first, target)
        self.entries[target] = msgspec.structs.replace(self.entries[first], path=target)
        if first in self.databases and layout.is_own_database(target):
            self.databases.append(target)

    def _leave_out(self, path: str, reason: str) -> None:
        self.left_out[reason] += 1
        if reason not in (STRANGE, OTHER, SECOND, TEMPORARY) and not is_expected(reason):
            if len(self.notes) < _MAX_SHOWN:
                self.notes.append(printable(f"left out: {path[:300]} ({reason})"))
            elif len(self.notes) == _MAX_SHOWN:
                self.notes.append("and more of that kind")


def _check_databases(root: int, into: PurePosixPath, taken: _Take) -> tuple[str, ...]:
    """Have SQLite look at OpenClaw's own databases; raise `Refused` where it finds fault with one.

    Never at one with a journal beside it, which may name any file for SQLite to delete, and without which
    it may be at fault.
    """
    used = [path for path in taken.databases if any(_size_of(taken, path + suffix) for suffix in _CHANGING)]
    with checking() as ask:
        for path in taken.databases:
            if path not in used:
                check_database(root, into, path, ask)
    if not used:
        return ()
    what = "a database in it was" if len(used) == 1 else f"{len(used)} databases in it were"
    return (f"{what} copied while in use: what was written last may be missing",)


def _size_of(taken: _Take, path: str) -> int:
    entry = taken.entries.get(path)
    return entry.size if entry is not None else 0
