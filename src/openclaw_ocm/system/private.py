"""What no instance may see of a user's files: main, other instances, OCM's own, and keys of the user's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.policy import OPT, SYSTEM
from openclaw_ocm.system.kept.records import readable_records
from openclaw_ocm.system.openclaw.whereabouts import main_places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.system.host import Host


# What was found for a home in this process: it is asked for each of many instances.
_FOUND: dict[HostPaths, tuple[PurePosixPath, ...]] = {}


def in_system(host: Host) -> tuple[PurePosixPath, ...]:
    """Return what no instance may see of the directories that all see, as this process first found it."""
    if host.paths not in _FOUND:
        home = PurePosixPath(os.path.realpath(host.paths.home))
        places = (*([home] if home.is_relative_to(OPT) else []), *private_places(host))
        _FOUND[host.paths] = tuple(
            path for path in places if any(path.is_relative_to(shown) for shown in (*SYSTEM, OPT))
        )
    return _FOUND[host.paths]


def private_places(host: Host) -> dict[PurePosixPath, str]:
    """Return what no instance may see, with what each is in words: by its name, and by where that leads.

    Asks nobody: files alone are looked at.
    """
    found: dict[PurePosixPath, str] = {}
    for path, what in _named(host):
        found.setdefault(path, what)
        found.setdefault(PurePosixPath(os.path.realpath(path)), what)
    return found


def _named(host: Host) -> Iterator[tuple[PurePosixPath, str]]:
    paths = host.paths
    yield from ((path, "main's") for path in (paths.main_state, *main_places(host)))
    with contextlib.suppress(OSError):
        for entry in sorted((*Path(paths.home).glob(".openclaw-*"), *Path(paths.home).glob(".ocm-*"))):
            yield PurePosixPath(entry), "the state of an OpenClaw"
    yield paths.ocm_config, "OCM's records and secrets"
    yield paths.ocm_state, "OCM's journal"
    yield paths.ocm_data, "OCM's own"
    yield paths.units, "what your user manager starts"
    yield paths.backups, "backups, which hold keys"
    for record in readable_records(paths):
        kept = (record.backups.directory, record.backups.repository) if record.backups is not None else ()
        for place in kept:
            # A repository may be no directory of this machine.
            if place is not None and place.startswith("/"):
                yield PurePosixPath(place), "backups, which hold keys"
    for name in (".ssh", ".gnupg"):
        yield paths.home / name, "where your keys lie"
    yield host.runtime, "where the sockets of your session are"
