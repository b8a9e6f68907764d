"""`ocm backups`: what backups there are, whether they are whole, and which of them are no longer kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.retention import kept, parse_backup_file
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.leftovers import half_written_backups
from openclaw_ocm.system.archive.reader import verify as verify_archive
from openclaw_ocm.system.archive.restorable import check_restorable, check_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.core.backup.retention import BackupFile
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Keep
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host

# For what archives are held outside of their place.
VERIFYING, REPOSITORY = "@verify", "@repository"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A backup in the usual place, by its name alone; `time` is in ISO 8601, UTC."""

    name: InstanceName
    path: str
    time: str
    size_bytes: int
    encrypted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A backup that is whole: whose it is, and what it holds; `drill` tells what became of it restored.

    `missed` is what it missed then.
    """

    path: str
    name: InstanceName
    openclaw: str
    files: int
    databases: int
    state_bytes: int
    notes: tuple[str, ...]
    drill: str | None = None
    missed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Which backups of an instance were removed, or with `dry_run` would be, and which stay."""

    name: InstanceName
    dry_run: bool
    removed: tuple[str, ...]
    kept: tuple[str, ...]


def list_backups(
    host: Host, name: InstanceName | None = None, *, directory: PurePosixPath | None = None
) -> tuple[Stored, ...]:
    """Return the backups of an instance, or of all, those of one instance together and oldest first.

    They are looked for in the usual place, or in `directory`.
    """
    directory = directory or host.paths.backups
    stored = []
    for backup in _backup_files(directory):
        path = Path(directory, backup.file)
        if name in (None, backup.name):
            stored.append(
                Stored(
                    name=backup.name,
                    path=str(path),
                    time=backup.time.isoformat(),
                    size_bytes=path.stat().st_size,
                    encrypted=backup.encrypted,
                )
            )
    return tuple(stored)


def names_with_backups(host: Host) -> tuple[InstanceName, ...]:
    """Return the instances that have backups, whether or not they still are there."""
    return tuple(dict.fromkeys(backup.name for backup in _backup_files(host.paths.backups)))


def archives_of(host: Host, words: Sequence[str]) -> tuple[PurePosixPath, ...]:
    """Return the archives that words stand for: paths of files, and instances for all their backups.

    Raises `OcmError` for a word that is neither.
    """
    found: list[PurePosixPath] = []
    for word in words:
        if "/" in word or Path(word).is_file():
            found.append(PurePosixPath(Path(word).absolute()))
            continue
        backups = [PurePosixPath(one.path) for one in list_backups(host) if one.name == word]
        if not backups:
            message = f"there is no backup of {word} in {host.paths.backups}, and no file of that name"
            raise OcmError(
                message, hint="ocm backups list shows those that there are", code="archive_missing"
            )
        found += backups
    return tuple(dict.fromkeys(found))


def verify(context: Context, archive: PurePosixPath, identities: Sequence[object]) -> Verified:
    """Read an archive as a restore would, databases too; raise `OcmError` where that would refuse it."""
    context.report("reading it")
    scratch, lock = scratch_place(context.host, VERIFYING)
    files.make_directory(scratch.parent)
    with files.lock(lock, "the directory in which backups are verified"):
        files.remove_tree(scratch)
        contents = verify_archive(archive, scratch, identities=identities)
    check_whole(archive, contents)
    check_restorable(archive, contents, context.host.instance(contents.header.instance).state)
    entries = contents.manifest.members
    return Verified(
        path=str(archive),
        name=contents.header.instance,
        openclaw=contents.header.openclaw,
        files=sum(entry.kind == "file" for entry in entries),
        databases=len(contents.manifest.databases),
        state_bytes=sum(entry.size for entry in entries),
        notes=contents.manifest.notes,
    )


def scratch_place(host: Host, name: str) -> tuple[PurePosixPath, PurePosixPath]:
    """Return where backups are held for a moment, by what it is for, and the lock of that.

    No instance has such a name, so nothing else is there but what was left by a command that was killed.
    """
    return host.paths.ocm_state / "tmp" / name, host.paths.locks / f"{name}.lock"


def cut_off(host: Host) -> tuple[str, ...]:
    """Return what backups and verifications that were killed left behind, which holds parts of a state."""
    places = (scratch_place(host, name) for name in (VERIFYING, REPOSITORY))
    held = [str(scratch) for scratch, lock in places if Path(scratch).exists() and not files.is_locked(lock)]
    made = [
        str(path)
        for name, path in half_written_backups(host.paths.backups)
        if not files.is_locked(host.paths.locks / f"{name}.lock")
    ]
    return (*held, *sorted(made))


def prune(  # noqa: PLR0913 - all but three have a default
    host: Host,
    name: InstanceName,
    keep: Keep,
    *,
    dry_run: bool,
    directory: PurePosixPath | None = None,
    spare: PurePosixPath | None = None,
) -> Pruned:
    """Remove the backups of an instance that are kept no more: only files that OCM named.

    They are those in the usual place, or in `directory`. What was just made is to `spare`: where the clock
    once went wrong, others tell that they are newer.
    """
    directory = directory or host.paths.backups
    backups = [backup for backup in _backup_files(directory) if backup.name == name]
    stay = kept(backups, keep) | {spare.name if spare else ""}
    paths = {backup.file: directory / backup.file for backup in backups}
    removed = [path for file, path in paths.items() if file not in stay]
    if not dry_run:
        for path in removed:
            files.remove_file(path)
    return Pruned(
        name=name,
        dry_run=dry_run,
        removed=tuple(map(str, removed)),
        kept=tuple(str(path) for file, path in paths.items() if file in stay),
    )


def _backup_files(directory: PurePosixPath) -> list[BackupFile]:
    there = Path(directory)
    names = [path.name for path in there.iterdir() if path.is_file()] if there.is_dir() else []
    found = [backup for backup in map(parse_backup_file, names) if backup is not None]
    return sorted(found, key=lambda backup: (backup.name, backup.time, backup.file))
