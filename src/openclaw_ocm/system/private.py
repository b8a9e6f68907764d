"""What no instance may see of a user's files: main, other instances, OCM's own, and keys of the user's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.system.kept.records import readable_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.paths import HostPaths


def private_places(paths: HostPaths) -> dict[PurePosixPath, str]:
    """Return what no instance may see, with what each is in words: by its name, and by where that leads."""
    found: dict[PurePosixPath, str] = {}
    for path, what in _named(paths):
        found.setdefault(path, what)
        found.setdefault(PurePosixPath(os.path.realpath(path)), what)
    return found


def _named(paths: HostPaths) -> Iterator[tuple[PurePosixPath, str]]:
    yield paths.main_state, "main's state"
    with contextlib.suppress(OSError):
        for entry in sorted(Path(paths.home).glob(".openclaw-*")):
            yield PurePosixPath(entry), "the state of an OpenClaw"
    yield paths.ocm_config, "OCM's records and secrets"
    yield paths.ocm_state, "OCM's journal"
    yield paths.ocm_data, "OCM's own"
    yield paths.units, "what your user manager starts"
    yield paths.backups, "backups, which hold keys"
    for record in readable_records(paths):
        if record.backups is not None and record.backups.directory is not None:
            yield PurePosixPath(record.backups.directory), "backups, which hold keys"
    for name in (".ssh", ".gnupg"):
        yield paths.home / name, "keys of yours"
