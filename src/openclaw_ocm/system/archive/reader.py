"""Reads archives, which may come from anybody: all is checked before anything of it counts.

What is refused leaves nothing behind. `core.manifest` holds the layout and `system.tar` what a tar may be.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from openclaw_ocm.core.backup import holes, layout
from openclaw_ocm.core.backup.layout import Header, Manifest, Refused
from openclaw_ocm.core.openclaw.document import MAX_BYTES
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.compression import open_source
from openclaw_ocm.system.archive.database import Slots, checking
from openclaw_ocm.system.archive.members import LISTED, entry_of, read_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openclaw_ocm.core.backup.layout import Entry
    from openclaw_ocm.system.archive.compression import Source
    from openclaw_ocm.system.archive.database import Ask
    from openclaw_ocm.system.archive.members import Member

# What a disk keeps at once.
_PAGE = 4096
_NO_ROOM = "it needs more than is free on the disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an archive holds besides the state, and its config. The record is whatever its maker wrote.

    `config` is None where it is no file, or one of more bytes than any config has.
    """

    header: Header
    record: str
    secrets: bytes | None = field(repr=False)
    inherited: bytes | None = field(repr=False)
    config: bytes | None = field(repr=False)
    manifest: Manifest


def free_bytes(directory: PurePosixPath) -> int:
    """Return how much the user may still write on the file system of a directory."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def extract(
    archive: PurePosixPath,
    into: PurePosixPath,
    *,
    identities: Sequence[object] = (),
    free_bytes: int,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Contents:
    """Make the directory `into`, 0700, with the archive's state in `into/state`, and return the rest.

    All is checked: layout, sizes, hashes, links, and that SQLite finds no fault with the databases. What
    would take more than `free_bytes` is refused; `progress` is told the compressed bytes that were read.
    Raises `OcmError` with code `archive_invalid`, or `no_space`, and then leaves nothing behind. Modes keep
    only what they give the owner, and what was extracted is flushed to disk.
    """
    with refusals(archive), new_directory(into, keep=True) as root:
        with open_source(archive, identities, progress, into) as source:
            contents = _read(source, Extraction(root, free_bytes))
        with checking() as ask:
            for path in contents.manifest.databases:
                check_database(root, into, path, ask)
        finish(root, contents.manifest)
        files.flush(root)
        return contents


def verify(
    archive: PurePosixPath,
    scratch: PurePosixPath,
    *,
    identities: Sequence[object] = (),
    progress: Callable[[int], None] = lambda _bytes: None,
    sound: frozenset[str] = frozenset(),
) -> Contents:
    """Check an archive as `extract` does, without keeping anything of it, and return what it holds.

    Its databases are extracted a few at a time into `scratch`, a directory that must not exist. `sound` are
    the hashes of those that were checked before.
    """
    with refusals(archive), new_directory(scratch, keep=False) as root:
        with open_source(archive, identities, progress, scratch) as source, checking() as ask:
            check = _Check(root, scratch, ask, sound)
            contents = _read(source, check)
        for path in contents.manifest.databases:
            if problem := check.problems.get(path):
                raise Refused(f"the database {path} is damaged: {problem}")
        return contents


def read_header(archive: PurePosixPath, *, identities: Sequence[object] = ()) -> Header:
    """Return the header of an archive; nothing else of it is looked at, or decrypted."""
    with refusals(archive), open_source(archive, identities, lambda _bytes: None, None) as source:
        member, content = next(read_members(source.read, source.expect))
        if member.path != layout.HEADER:
            raise Refused(f"it does not begin with {layout.HEADER}")
        data = _small(member, content, layout.MAX_SIZES[layout.HEADER])
        return layout.decode(data, Header, layout.HEADER)


class Extraction:
    """Takes the members of an archive and makes directories and files of them; links come later."""

    def __init__(self, root: int, free: int) -> None:
        self._root = root
        self._left = free

    def directory(self, path: str) -> None:
        """Make a directory, whose parent is there."""
        os.mkdir(path, 0o700, dir_fd=self._root)

    def file(self, member: Member, content: Iterator[bytes], _digest: Callable[[], str]) -> bytes:
        """Write a file that is not there yet and return how it begins; raise `Refused` for want of room."""
        self._take(member.size)
        begin = b""
        # No part of the path is a link: they are made when all else is done, and nobody else writes here.
        descriptor = os.open(member.path, files.NEW_FILE, 0o600, dir_fd=self._root)
        with os.fdopen(descriptor, "wb") as file:
            if member.real is not None:
                _fill(file, content, member.real, self._take)
            for chunk in content:
                begin = begin or chunk[: len(layout.DATABASE_MAGIC)]
                file.write(chunk)
            file.flush()
            os.utime(descriptor, (member.mtime, member.mtime))
        return begin

    def alias(self, path: str, other: str) -> None:
        """Have a file that was written be there under another path as well, as one of its own."""
        source = os.open(path, files.CLOSED_FILE, dir_fd=self._root)
        with os.fdopen(source, "rb") as read:
            self._take(os.fstat(source).st_size)
            with os.fdopen(os.open(other, files.NEW_FILE, 0o600, dir_fd=self._root), "wb") as file:
                shutil.copyfileobj(read, file)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Refused(_NO_ROOM)


class _Check:
    """Takes the members of an archive, and of databases what SQLite says to them."""

    def __init__(self, root: int, scratch: PurePosixPath, ask: Ask, sound: frozenset[str]) -> None:
        self._root = root
        self._scratch = scratch
        self._ask = ask
        self._slots = Slots(scratch)
        self._sound = sound
        self.problems: dict[str, str] = {}

    def directory(self, path: str) -> None:
        pass

    def file(self, member: Member, content: Iterator[bytes], digest: Callable[[], str]) -> bytes:
        if member.real is not None:
            for _piece in holes.expand(content, member.real):
                pass
            return b""
        first = next(content, b"")
        begin = first[: len(layout.DATABASE_MAGIC)]
        if begin != layout.DATABASE_MAGIC:
            for _chunk in content:
                pass
            return begin
        if member.size == len(first) and digest() in self._sound:
            return begin
        if member.size > free_bytes(self._scratch):
            raise Refused(_NO_ROOM)
        path = self._slots.write(itertools.chain([first], content))

        def told(problem: str | None) -> None:
            self._slots.free(path)
            if problem:
                self.problems[member.path] = problem

        if digest() in self._sound:
            told(None)
        else:
            self._ask(path, told, changes=layout.is_own_database(member.path))
        return begin


def _fill(file: IO[bytes], content: Iterator[bytes], real: int, take: Callable[[int], None]) -> None:
    """Write a file whose holes were left out, and leave them out here too.

    `take` is told what it takes on the disk besides its bytes: a part of one byte is a page there.
    """
    last = -1
    for offset, piece in holes.expand(content, real):
        first, end = max(offset // _PAGE, last + 1), (offset + len(piece) - 1) // _PAGE
        take(max((end + 1 - first) * _PAGE - len(piece), 0))
        last = end
        file.seek(offset)
        file.write(piece)
    try:
        file.truncate(real)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise Refused(f"it holds a file of {real} bytes, more than one may have on this disk") from None


def _read(source: Source, store: Extraction | _Check) -> Contents:
    """Check every member against the layout and the manifest, and have `store` take those of the state."""
    seen: dict[str, Entry] = {}
    small: dict[str, bytes] = {}
    databases: set[str] = set()
    for member, read in read_members(source.read, source.expect):
        path = member.path
        if layout.MANIFEST in small:
            raise Refused(f"{path} comes after the manifest")
        layout.check_order(path, seen)
        if path in layout.MAX_SIZES:
            limit = (
                layout.manifest_limit(seen.values()) if path == layout.MANIFEST else layout.MAX_SIZES[path]
            )
            small[path] = _small(member, read, limit)
            if path != layout.MANIFEST:
                digest = hashlib.sha256(small[path]).hexdigest()
                seen[path] = entry_of(member, layout.KINDS[path], digest)
            continue
        if (member.kind == "directory") < (path == layout.STATE):
            raise Refused(f"{path} is no directory")
        if member.kind == "link" and not _may_be(path, member.target):
            raise Refused(f"the link {path} leads out of the state")
        if member.real is not None and (path == layout.CONFIG or layout.is_own_database(path)):
            raise Refused(f"{path} has holes, which none has")
        hashed = hashlib.sha256()
        if member.kind == "directory":
            store.directory(path)
        elif member.kind == "file":
            content = _keeping_config(member, _hashing(read, hashed.update), small)
            begin = store.file(member, content, hashed.hexdigest)
            databases.update([path] if begin == layout.DATABASE_MAGIC else ())
        seen[path] = entry_of(
            member, LISTED[member.kind], hashed.hexdigest() if member.kind == "file" else ""
        )
    return _contents(small, seen, frozenset(databases))


def _may_be(path: str, target: str) -> bool:
    return layout.stays_inside(path, target) or layout.may_lead_out(path, target)


def _keeping_config(member: Member, content: Iterator[bytes], small: dict[str, bytes]) -> Iterator[bytes]:
    """Return the content of a file, the config's kept among what is `small`."""
    if member.path != layout.CONFIG or member.size > MAX_BYTES:
        return content
    small[member.path] = b"".join(content)
    return iter([small[member.path]])


def _contents(small: dict[str, bytes], seen: dict[str, Entry], databases: frozenset[str]) -> Contents:
    if layout.MANIFEST not in small:
        raise Refused("it has no manifest")
    manifest = layout.decode(small[layout.MANIFEST], Manifest, layout.MANIFEST)
    layout.check_manifest(manifest, seen, databases)
    try:
        record = small[layout.RECORD].decode()
    except UnicodeDecodeError:
        raise Refused(f"{layout.RECORD} is no text") from None
    return Contents(
        header=layout.decode(small[layout.HEADER], Header, layout.HEADER),
        record=record,
        secrets=small.get(layout.SECRETS),
        inherited=small.get(layout.INHERITED),
        config=small.get(layout.CONFIG),
        manifest=manifest,
    )


def _small(member: Member, content: Iterator[bytes], limit: int) -> bytes:
    if member.kind != "file" or member.size > limit:
        raise Refused(f"{member.path} is larger than it can be, or no file")
    return b"".join(content)


def _hashing(content: Iterator[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in content:
        update(chunk)
        yield chunk


def check_database(root: int, into: PurePosixPath, path: str, ask: Ask) -> None:
    """Raise `Refused` where SQLite finds fault with an extracted database, which is alone meanwhile."""
    # Its own place may be too deep for a path, and is not the directory in which it lies alone.
    name = f"database-{secrets.token_hex(8)}"

    def told(problem: str | None) -> None:
        os.rename(name, path, src_dir_fd=root, dst_dir_fd=root)
        if problem:
            raise Refused(f"the database {path} is damaged: {problem}")

    os.rename(path, name, src_dir_fd=root, dst_dir_fd=root)
    ask(f"{into}/{name}", told, changes=layout.is_own_database(path))


def finish(root: int, manifest: Manifest) -> None:
    """Give files their modes, make the links, and at last close directories as they were."""
    for entry in manifest.members:
        if entry.kind in ("file", "database"):
            os.chmod(entry.path, entry.mode, dir_fd=root)
    for entry in manifest.members:
        if entry.kind == "link":
            os.symlink(entry.target, entry.path, dir_fd=root)
    # From the inside out. What follows a link that was just made is no directory of the manifest's.
    for entry in reversed(manifest.members):
        if entry.kind == "directory":
            os.chmod(entry.path, entry.mode, dir_fd=root)


@contextlib.contextmanager
def new_directory(path: PurePosixPath, *, keep: bool) -> Iterator[int]:
    """Make a directory and yield its descriptor; unless it is to `keep`, or after an error, it is removed."""
    Path(path).mkdir(mode=0o700)
    root = os.open(path, files.CLOSED_DIRECTORY)
    kept = False
    try:
        yield root
        kept = keep
    finally:
        os.close(root)
        if not kept:
            files.remove_tree(path)


@contextlib.contextmanager
def refusals(
    archive: PurePosixPath, what: str = "backup", hint: str = "ocm backups list shows others"
) -> Iterator[None]:
    """Turn a refusal into an error that names the archive, and `what` it is not."""
    try:
        yield
    except Refused as refused:
        if str(refused) == _NO_ROOM:
            message = f"{archive} cannot be unpacked: {refused}"
            raise OcmError(message, hint="make room there", code="no_space") from None
        message = printable(f"{archive} is no {what} that can be used: {refused}")
        raise OcmError(message, hint=hint, code="archive_invalid") from None
    except FileNotFoundError as error:
        if error.filename != str(archive):
            raise
        raise OcmError(f"there is no file {archive}", code="archive_missing") from None
