"""The mount points of what an instance is shown: those of the past are removed from its sandbox's root.

Whoever makes a sandbox makes its mount points, in the root that OCM keeps for it, and leaves them there. One
left of a mount that is no more would be seen as an empty directory, or be of the wrong kind for another.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record

# What whoever makes a sandbox mounts by itself.
_MADE = tuple(map(PurePosixPath, ("/home", "/root", "/run", "/dev", "/proc", "/sys")))


def keep_mount_points(paths: InstancePaths, record: Record) -> None:
    """Remove the mount points of mounts that the record has no more, and write down those that it has."""
    wanted, kept = _text(record), _kept(paths, record)
    before = (files.read_own(paths.mount_points) or b"").decode()
    for line in before.splitlines():
        if f"{line}\n" not in wanted.splitlines(keepends=True):
            _remove(paths, PurePosixPath(line.partition(" ")[2]), kept)
    if before != wanted:
        files.write_file(paths.mount_points, wanted.encode())


def are_current(paths: InstancePaths, record: Record) -> bool:
    """Tell whether what is written down is what the record has."""
    return (files.read_own(paths.mount_points) or b"").decode() == _text(record)


def _text(record: Record) -> str:
    # What cannot be looked at, as a network's file system that hangs on a dead link, is told of by a start.
    kinds = ((shown.at, os.path.isfile(shown.path)) for shown in record.mounts)  # noqa: PTH113 - raises nothing
    return "".join(f"{'file' if is_file else 'directory'} {at}\n" for at, is_file in kinds)


def _kept(paths: InstancePaths, record: Record) -> frozenset[PurePosixPath]:
    """Return where a gateway that runs has something mounted: to remove that place here unmounts it there."""
    return frozenset((*_MADE, *(mount.target for mount in instance_policy(paths, record).mounts)))


def _remove(paths: InstancePaths, at: PurePosixPath, kept: frozenset[PurePosixPath]) -> None:
    """Remove a mount point and the directories above it, as far as they are empty and nothing else's."""
    if not kept.isdisjoint((at, *at.parents)):
        return
    point = Path(paths.root, *at.parts[1:])
    with contextlib.suppress(OSError):
        if point.is_file() and not point.stat().st_size:
            point.unlink()
        for place in (at, *at.parents[:-1]):
            directory = Path(paths.root, *place.parts[1:])
            if directory.exists():
                directory.rmdir()
