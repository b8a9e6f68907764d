"""`ocm backup --to`, and `--from` of what looks after backups: archives in a repository of restic."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.repository import parse_identifier
from openclaw_ocm.core.backup.retention import backup_stem, kept
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.backup import backup
from openclaw_ocm.operations.backups import REPOSITORY, Pruned, Stored, scratch_place
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.repository import open_repository
from openclaw_ocm.system.ways import refuse_reached

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openclaw_ocm.core.backup.repository import Kept
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Keep
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup, Request
    from openclaw_ocm.system.host import Host

_WHAT = "what goes to or comes from a repository"
# As long as those of many large instances take.
QUEUE_SECONDS = 12 * 3600.0


def check_repository(context: Context, place: str) -> None:
    """Make a repository where there is none; raise `OcmError` where that cannot be."""
    _refuse_within(context.host, place)
    with _alone(context.host, wait_seconds=10):
        if open_repository(context.host, place, make=True).make():
            context.report(f"made the repository {place}")


def backup_to(  # noqa: PLR0913 - of whom, where, and how
    context: Context,
    name: InstanceName,
    request: Request,
    place: str,
    *,
    patient: bool = False,
    make: bool = False,
) -> Backup:
    """Back up an instance into a repository and return what was made; without `make` that is to be there.

    It is first an archive on this machine as any other, read back before it goes. Raises `OcmError`.
    """
    # What is not there is told before a repository is made for it.
    read_record(context.host.paths, name)
    if make:
        _refuse_within(context.host, place)
    repository = open_repository(context.host, place, make=make)
    if request.dry_run:
        return replace(backup(context, name, request), path=place, encrypted=True)
    with _alone(context.host, wait_seconds=QUEUE_SECONDS if patient else 10) as scratch:
        if not make:
            repository.backups()
        elif repository.make():
            context.report(f"made the repository {place}")
        archive = scratch / f"{backup_stem(name, datetime.now(timezone.utc))}.tar"
        made = backup(context, name, replace(request, output=archive, form="tar"))
        context.report("bringing it to the repository")
        said = repository.add(archive, name)
    return replace(made, path=_shown(place, said.snapshot_id[:8]), size_bytes=said.data_added, encrypted=True)


def list_repository(context: Context, place: str, name: InstanceName | None = None) -> tuple[Stored, ...]:
    """Return the backups in a repository, of one instance or of all; `path` is the ID there."""
    return tuple(
        Stored(
            name=one.file.name,
            path=one.id,
            time=one.file.time.isoformat(),
            size_bytes=one.size_bytes,
            encrypted=True,
        )
        for one in open_repository(context.host, place).backups()
        if name in (None, one.file.name)
    )


def identifiers(context: Context, place: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return the IDs that words stand for: IDs, and instances for all their backups; without words all.

    Raises `OcmError` for a word that is neither.
    """
    there = open_repository(context.host, place).backups()
    meant = (one for word in words for one in _meant(there, word, place)) if words else there
    return tuple(dict.fromkeys(one.id for one in meant))


@contextlib.contextmanager
def fetched(context: Context, place: str, word: str) -> Iterator[PurePosixPath]:
    """Yield the archive of an ID, or the newest of an instance, which goes afterwards. Raises `OcmError`."""
    repository = open_repository(context.host, place)
    with _alone(context.host, wait_seconds=10) as scratch:
        one = _meant(repository.backups(), word, place)[-1]
        context.report("fetching it from the repository")
        yield repository.fetch(one, scratch)


def prune_repository(  # noqa: PLR0913 - of whom, where, and how
    context: Context, name: InstanceName, place: str, keep: Keep, *, dry_run: bool, patient: bool = False
) -> Pruned:
    """Remove the backups of an instance that are kept no more, by the rules of those on this machine.

    Only those that were made here: elsewhere another instance may have the name.
    """
    repository = open_repository(context.host, place)
    with _alone(context.host, wait_seconds=QUEUE_SECONDS if patient else 10) as scratch:
        there = {
            one.id: one.file
            for one in repository.backups()
            if one.file.name == name and repository.is_own(one, scratch)
        }
        stay = kept([replace(file, file=identifier) for identifier, file in there.items()], keep)
        gone = [identifier for identifier in there if identifier not in stay]
        if not dry_run:
            repository.forget(gone)
    return Pruned(
        name=name, dry_run=dry_run, removed=tuple(gone), kept=tuple(one for one in there if one in stay)
    )


def names_in(context: Context, place: str) -> tuple[InstanceName, ...]:
    """Return the instances that have backups in a repository."""
    return tuple(dict.fromkeys(one.name for one in list_repository(context, place)))


def _meant(there: Sequence[Kept], word: str, place: str) -> list[Kept]:
    found = [one for one in there if one.file.name == word]
    if not found and parse_identifier(word):
        found = [one for one in there if word.startswith(one.id)]
    if not found:
        message = f"there is no backup {word} in {place}"
        raise OcmError(message, hint=f"ocm backups list --from {place}", code="archive_missing")
    return found


@contextlib.contextmanager
def _alone(host: Host, *, wait_seconds: float) -> Iterator[PurePosixPath]:
    """Yield an empty directory, while nobody else works with a repository; what a kill left goes before."""
    scratch, lock = scratch_place(host, REPOSITORY)
    files.make_directory(scratch.parent)
    with files.lock(lock, _WHAT, wait_seconds=wait_seconds):
        files.remove_tree(scratch)
        Path(scratch).mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            files.remove_tree(scratch)


def _refuse_within(host: Host, place: str) -> None:
    """Raise `Invalid` for a repository that an instance could change."""
    if place.startswith("/"):
        refuse_reached(host.paths, PurePosixPath(place), PurePosixPath(place))


def _shown(place: str, identifier: str) -> str:
    return f"{identifier} in {place}"
