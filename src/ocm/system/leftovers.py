"""What a kill leaves beside the files that were being written for an instance: hidden, and of no account."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ocm.core.names import parse_name
from ocm.errors import Invalid, OcmError
from ocm.system import files

if TYPE_CHECKING:
    from ocm.core.names import InstanceName
    from ocm.core.paths import HostPaths, InstancePaths

_TOKEN = r"[0-9a-f]{12}"  # noqa: S105 - no password
_BACKUP = re.compile(rf"\.([a-z0-9_-]+)-[0-9]{{8}}T[0-9]{{6}}Z\.{_TOKEN}\.ocm")
# Of a state, before the search is given up.
_LOOKED_AT = 100_000
_JOURNAL = re.compile(rf"\.([a-z0-9_-]+)\.jsonl\.{_TOKEN}\.ocm")


def sweep(paths: InstancePaths) -> None:
    """Remove what was being written for an instance, whose lock is held: nobody else writes it now."""
    for path in (*paths.written, paths.host.transactions / f"{paths.name}.jsonl"):
        if path == paths.config:
            _sweep_state(path)
        else:
            _sweep(path.parent, _beside(path))
    sweep_backups(paths.host.backups, paths.name)


def sweep_backups(directory: PurePosixPath, name: InstanceName) -> None:
    """Remove what a backup of an instance, whose lock is held, left in a directory."""
    for owner, path in half_written_backups(directory):
        if owner == name:
            _remove(path)


def half_written_backups(directory: PurePosixPath) -> tuple[tuple[str, Path], ...]:
    """Return what backups left in a directory, or have under way there, and of whom each is."""
    found = [(_BACKUP.fullmatch(path.name), path) for path in sorted(Path(directory).glob(".*.ocm"))]
    return tuple((match[1], path) for match, path in found if match)


def half_written_journals(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the instances of which no more than the beginning of a journal was written, or is just now."""
    found = []
    for path in sorted(Path(paths.transactions).glob(".*.ocm")):
        match = _JOURNAL.fullmatch(path.name)
        with contextlib.suppress(Invalid):
            found += [parse_name(match[1])] if match else []
    return tuple(found)


def _beside(path: PurePosixPath) -> str:
    return rf"\.{re.escape(path.name)}\.{_TOKEN}\.ocm"


def _sweep_state(path: PurePosixPath) -> None:
    """Remove what was being written in the state, where an instance that runs may put anything.

    A directory is never OCM's there: to empty one that is filled meanwhile would have no end.
    """
    with (
        contextlib.suppress(OcmError),
        files.open_state(path.parent) as directory,
        os.scandir(directory) as entries,
    ):
        for entry in itertools.islice(entries, _LOOKED_AT):
            if re.fullmatch(_beside(path), entry.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.name, dir_fd=directory)


def _sweep(directory: PurePosixPath, pattern: str) -> None:
    for path in list(Path(directory).glob(".*.ocm")):
        if re.fullmatch(pattern, path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        files.remove_tree(PurePosixPath(path))
    else:
        files.remove_file(PurePosixPath(path))
