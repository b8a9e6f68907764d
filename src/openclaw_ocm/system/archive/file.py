"""Brings an archive to its place: whole, on disk and read back, or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.retention import backup_stem
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive import age
from openclaw_ocm.system.archive.compression import Target
from openclaw_ocm.system.archive.leftovers import sweep_backups
from openclaw_ocm.system.archive.reader import verify
from openclaw_ocm.system.archive.restorable import check_restorable
from openclaw_ocm.system.archive.writer import ArchiveWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openclaw_ocm.core.backup.layout import Manifest
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.archive.compression import Format


def write_backup(  # noqa: PLR0913 - where, how, and what
    final: PurePosixPath,
    name: InstanceName,
    fill: Callable[[ArchiveWriter, PurePosixPath], Manifest],
    *,
    form: Format,
    recipients: Sequence[object],
    report: Callable[[str], None],
) -> int:
    """Make the archive `final`, 0600, and return its size; what is there already is never replaced.

    `fill` writes the members, with a directory for what it spools. The archive gets its name once it is on
    disk, was read back, and held what was written, its databases faultless. What a backup of the same
    instance left behind is removed before; the caller holds its lock.
    """
    directory = final.parent
    files.make_directory(directory)
    _refuse_existing(final)
    sweep_backups(directory, name)
    stem = backup_stem(name, datetime.now(timezone.utc))
    beside, scratch, check = (directory / files.name_beside(stem) for _ in range(3))
    identities: tuple[object, ...] = ()
    if recipients:
        identity, own = age.momentary()
        identities, recipients = (identity,), (*recipients, own)
    try:
        Path(scratch).mkdir(mode=0o700)
        with os.fdopen(os.open(beside, files.NEW_FILE, 0o600), "wb") as file:
            manifest = _write(file, scratch, fill, form, recipients)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        report("reading it back")
        _read_back(beside, check, identities, manifest)
        _publish(beside, final)
    finally:
        files.remove_file(beside)
        files.remove_tree(scratch)
    return size


def _write(
    file: IO[bytes],
    spool: PurePosixPath,
    fill: Callable[[ArchiveWriter, PurePosixPath], Manifest],
    form: Format,
    recipients: Sequence[object],
) -> Manifest:
    with contextlib.ExitStack() as opened:
        # What is to be encrypted is never on disk under a name before it is.
        plain = opened.enter_context(tempfile.TemporaryFile(dir=spool)) if recipients else file
        target = Target(plain, form)
        manifest = fill(ArchiveWriter(target.write), spool)
        target.finish()
        if recipients:
            plain.seek(0)
            age.encrypt(plain, file, recipients)
        return manifest


def _read_back(
    archive: PurePosixPath, scratch: PurePosixPath, identities: Sequence[object], manifest: Manifest
) -> None:
    """Raise `OcmError` unless an archive can be restored and holds what the manifest says."""
    # Copies of databases of the instance's own were checked before they were called so.
    sound = (
        entry.sha256
        for entry in manifest.members
        if entry.kind == "database" and not layout.is_own_database(entry.path)
    )
    try:
        contents = verify(archive, scratch, identities=identities, sound=frozenset(sound))
        check_restorable(archive, contents, PurePosixPath(contents.header.state))
    except OcmError as error:
        message = error.message.replace(str(archive), "what was written")
        hint = "no backup was made; the instance and its other backups are as they were"
        code = "no_space" if error.code == "no_space" else "backup_failed"
        raise OcmError(message, hint=hint, code=code) from None
    if contents.manifest != manifest:
        raise OcmError("the archive does not hold what was written", code="backup_failed")


def _publish(beside: PurePosixPath, final: PurePosixPath) -> None:
    """Give an archive its name; raise `OcmError` where something has it."""
    try:
        os.link(beside, final)
    except FileExistsError:
        _refuse_existing(final)
        raise
    except OSError:
        # A file system without hard links.
        _refuse_existing(final)
        Path(beside).rename(final)
    files.keep_names(final.parent)


def _refuse_existing(final: PurePosixPath) -> None:
    if os.path.lexists(final):
        raise OcmError(f"{final} is there already", hint="choose another name", code="exists")
