"""What a kill leaves beside the files that were being written for an instance: hidden, and of no account."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ocm.core.names import parse_name
from ocm.errors import Invalid
from ocm.system import files

if TYPE_CHECKING:
    from ocm.core.names import InstanceName
    from ocm.core.paths import HostPaths, InstancePaths

_TOKEN = r"[0-9a-f]{12}"  # noqa: S105 - no password
_JOURNAL = re.compile(rf"\.([a-z0-9_-]+)\.jsonl\.{_TOKEN}\.ocm")


def sweep(paths: InstancePaths) -> None:
    """Remove what was being written for an instance, whose lock is held: nobody else writes it now."""
    for path in (*paths.written, paths.host.transactions / f"{paths.name}.jsonl"):
        _sweep(path.parent, rf"\.{re.escape(path.name)}\.{_TOKEN}\.ocm")
    sweep_backups(paths.host.backups, paths.name)


def sweep_backups(directory: PurePosixPath, name: InstanceName) -> None:
    """Remove what a backup of an instance, whose lock is held, left in a directory."""
    _sweep(directory, rf"\.{re.escape(name)}-[0-9]{{8}}T[0-9]{{6}}Z\.{_TOKEN}\.ocm")


def half_written_journals(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the instances of which no more than the beginning of a journal was written, or is just now."""
    found = []
    for path in sorted(Path(paths.transactions).glob(".*.ocm")):
        match = _JOURNAL.fullmatch(path.name)
        with contextlib.suppress(Invalid):
            found += [parse_name(match[1])] if match else []
    return tuple(found)


def _sweep(directory: PurePosixPath, pattern: str) -> None:
    for path in list(Path(directory).glob(".*.ocm")):
        if re.fullmatch(pattern, path.name):
            if path.is_dir() and not path.is_symlink():
                files.remove_tree(PurePosixPath(path))
            else:
                files.remove_file(PurePosixPath(path))
