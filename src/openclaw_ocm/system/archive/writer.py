"""Writes the members of an archive: the same members give the same bytes (format: `core.manifest`)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.layout import Manifest
from openclaw_ocm.system.archive import members as tar
from openclaw_ocm.system.archive.members import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from openclaw_ocm.core.backup.layout import Entry, Plugin

_FILE_MODE = 0o600


class ArchiveWriter:
    """Writes one archive: first what is no part of the state, then the state in order, then `finish`."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._entries: dict[str, Entry] = {}

    def small(self, path: str, data: bytes) -> None:
        """Add a header, a record, secrets, or what was inherited."""
        self.file(Member(path=path, kind="file", mode=_FILE_MODE, size=len(data)), [data], layout.KINDS[path])

    def directory(self, path: str, mode: int) -> None:
        """Add a directory."""
        self._add(Member(path=path, kind="directory", mode=mode & layout.OWN_MODE), "directory")

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(Member(path=path, kind="link", mode=layout.OWN_MODE, target=target), "link")

    def file(self, member: Member, content: Iterable[bytes], kind: layout.Kind) -> None:
        """Add a file with its content, which has the size that the member says."""
        self._write(tar.encode_member(member))
        digest = hashlib.sha256()
        for chunk in content:
            digest.update(chunk)
            self._write(chunk)
        self._write(tar.padding(member.size))
        self._entries[member.path] = tar.entry_of(member, kind, digest.hexdigest())

    def no_database(self, path: str) -> None:
        """Have a file that was added as a database be listed as a plain file."""
        self._entries[path] = msgspec.structs.replace(self._entries[path], kind="file")

    def finish(
        self, *, left_out: Mapping[str, int], notes: Sequence[str], plugins: tuple[Plugin, ...] = ()
    ) -> Manifest:
        """Add the manifest and the end, and return the manifest."""
        counts = dict(sorted(left_out.items()))
        members = tuple(self._entries.values())
        manifest = Manifest(members=members, left_out=counts, notes=tuple(notes), plugins=plugins)
        data = layout.encode(manifest)
        self._write(
            tar.encode_member(Member(path=layout.MANIFEST, kind="file", mode=_FILE_MODE, size=len(data)))
        )
        self._write(data + tar.padding(len(data)) + tar.end())
        return manifest

    def _add(self, member: Member, kind: layout.Kind) -> None:
        self._write(tar.encode_member(member))
        self._entries[member.path] = tar.entry_of(member, kind, "")
