"""restic, which keeps archives in a repository: what they share over nights is there once, and encrypted."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core import secrets
from openclaw_ocm.core.backup import repository
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import free_bytes
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.backup.repository import Kept, Summary
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.host import Host

# A repository may be at the other end of a thin line.
_SECONDS = 24 * 3600.0
_SHORT_SECONDS = 600.0
_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository at a `place` that `core.backup.repository` takes, with what opens it."""

    host: Host
    place: str
    variables: Mapping[str, str]

    def make(self) -> bool:
        """Make the repository where there is none, and tell whether that was so."""
        try:
            self.backups()
        except OcmError as error:
            if error.code != "repository_missing":
                raise
        else:
            return False
        self._run("init", seconds=_SHORT_SECONDS)
        return True

    def backups(self) -> tuple[Kept, ...]:
        """Return the backups in it; raises `OcmError`, by code `repository_missing` where it is not there."""
        printed = self._run("snapshots", "--json", "--tag", repository.TAG, seconds=_SHORT_SECONDS)
        try:
            return repository.parse_snapshots(printed)
        except msgspec.MsgspecError as error:
            raise self._failed(f"what restic lists is none: {error}") from None

    def add(self, archive: PurePosixPath, name: InstanceName) -> Summary:
        """Add an archive and return what restic says of it."""
        tags = (repository.TAG, str(name), repository.size_tag(Path(archive).stat().st_size))
        given = [word for tag in tags for word in ("--tag", tag)]
        # What a run left that was killed: restic removes locks only of processes that are gone.
        self._run("unlock", seconds=_SHORT_SECONDS)
        printed = self._run("backup", "--json", *given, str(archive), seconds=_SECONDS)
        try:
            return repository.parse_summary(printed)
        except msgspec.MsgspecError as error:
            raise self._failed(f"restic does not say what it made: {error}") from None

    def fetch(self, kept: Kept, into: PurePosixPath) -> PurePosixPath:
        """Have an archive in the directory `into`, under its own name, and return its path."""
        if kept.size_bytes > free_bytes(into):
            message = f"{kept.id} takes {kept.size_bytes} bytes, more than is free in {into}"
            raise OcmError(message, hint="make room there", code="no_space")
        target = into / "restored"
        self._run("restore", kept.id, "--target", str(target), seconds=_SECONDS)
        archive = into / kept.file.file
        # Who writes to the repository says what is restored: a link would lead to what is not of it.
        place = Path(os.path.normpath(f"{target}/{kept.path}"))
        if (
            files.real_path(place) != files.real_path(target) / place.relative_to(target)
            or not place.is_file()
        ):
            raise self._failed(f"{kept.id} does not hold the file that it says")
        place.rename(archive)
        return archive

    def is_own(self, kept: Kept, scratch: PurePosixPath) -> bool:
        """Tell whether a backup was made here: on this machine, where this user's are made, in `scratch`."""
        return kept.host == os.uname().nodename and PurePosixPath(kept.path).parent == scratch

    def forget(self, identifiers: Iterable[str]) -> None:
        """Remove backups, and what no other one shares with them."""
        given = tuple(identifiers)
        if given:
            self._run("forget", "--prune", *given, seconds=_SECONDS)

    def _run(self, *arguments: str, seconds: float) -> str:
        cache = self.host.paths.ocm_state / "restic"
        argv = ("restic", "--quiet", "--cache-dir", str(cache), "--repo", self.place, *arguments)
        command = Command(argv=argv, env=self.variables, timeout_seconds=seconds)
        done = self.host.runner.run(command, check=False)
        if done.returncode == 0:
            return done.stdout
        if repository.is_missing(done.stderr):
            message = f"there is no repository at {self.place}"
            hint = "ocm backup NAME --to makes one; a disk may not be mounted"
            raise OcmError(message, hint=hint, code="repository_missing")
        raise self._failed(printable(repository.last_words(done.stderr), limit=_SHOWN))

    def _failed(self, why: str) -> OcmError:
        way = repository.way(self.place, why)
        hint = None if way is None else f"this has to work without a question: {way}"
        return OcmError(f"restic failed with {self.place}: {why}", hint=hint, code="repository_failed")


def open_repository(host: Host, place: str, *, make: bool = False) -> Repository:
    """Return a repository with the variables in restic.env; raises `OcmError` where none opens it.

    Only one that it may `make` can do with a new password.
    """
    path = host.paths.ocm_config / "restic.env"
    data = files.read_own(path, limit=secrets.MAX_BYTES + 1)
    if data is None:
        raise _no_password(f"there is no {path} with the password of the repository", path, make=make)
    if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        message = f"{path} can be read by others"
        raise OcmError(message, hint=f"chmod 600 {path}", code="repository_secrets")
    variables = secrets.parse_file(data, path)
    names = frozenset(variables)
    unknown = repository.unknown_variables(names)
    if unknown:
        message = f"{path} has {unknown[0]}, which is no variable of restic's nor of what it stores with"
        raise OcmError(message, hint="remove the line", code="repository_secrets")
    if not repository.has_password(names):
        raise _no_password(f"{path} has no RESTIC_PASSWORD, nor RESTIC_PASSWORD_FILE", path, make=make)
    return Repository(host=host, place=place, variables=variables)


def _no_password(message: str, path: PurePosixPath, *, make: bool) -> OcmError:
    if make:
        hint = f'(umask 077; echo "RESTIC_PASSWORD=$(head -c 24 /dev/urandom | base64)" >> {path})'
    else:
        hint = f"write there what it was made with, RESTIC_PASSWORD=..., and chmod 600 {path}"
    return OcmError(message, hint=hint, code="repository_secrets")
