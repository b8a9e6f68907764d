"""What a sandbox sees as `~/.local`: a directory of OCM's, which the instance cannot write.

OpenClaw's installer of skills puts what `go install` makes into ~/.local/bin, and many others do so. A bind
mount of a directory below the state could be led elsewhere by the instance, with a link in its place, before
its next start; a link inside the sandbox can lead only to what is there. What else the policy shows below
~/.local has its mount points here, since bubblewrap makes none in what is read-only.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import prefix
from openclaw_ocm.core.sandbox.policy import instance_policy, within_local
from openclaw_ocm.core.sandbox.shown import mount_of, with_shown
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record

_BIN = "bin"


def make_local(paths: InstancePaths, record: Record) -> None:
    """Bring the directory in step with the record."""
    files.make_directory(paths.local)
    points, link = _points(paths, record), paths.local / _BIN
    wanted = _link(paths, points)
    if wanted is None:
        if files.link_target(link) is not None:
            files.remove_file(link)
    elif files.link_target(link) != wanted:
        files.remove(link)
        Path(link).symlink_to(wanted)
    for below, source in points.items():
        point = paths.local / below
        if not _is_like(point, source):
            files.remove(point)
            _make_point(point, source)


def is_local_current(paths: InstancePaths, record: Record) -> bool:
    """Tell whether the directory is as the record wants it."""
    points = _points(paths, record)
    wanted = _link(paths, points)
    return files.link_target(paths.local / _BIN) == wanted and all(
        _is_like(paths.local / below, source) for below, source in points.items()
    )


def _points(paths: InstancePaths, record: Record) -> dict[PurePosixPath, PurePosixPath]:
    shown = [mount_of(one, PurePosixPath(files.real_path(one.path))) for one in record.mounts]
    return within_local(paths, with_shown(instance_policy(paths, record), shown))


def _link(paths: InstancePaths, points: dict[PurePosixPath, PurePosixPath]) -> str | None:
    """Return where ~/.local/bin leads; nowhere where something of the host is shown in it."""
    if any(below.parts[0] == _BIN for below in points):
        return None
    return f"../{paths.state.name}/{prefix.NAME}/{_BIN}"


def _is_like(point: PurePosixPath, source: PurePosixPath) -> bool:
    """Tell whether a mount point is there, and of the kind of what is mounted there."""
    made = Path(point)
    return made.is_file() if _is_file(source) else made.is_dir()


def _is_file(source: PurePosixPath) -> bool:
    # What cannot be looked at is told of by a start: this raises nothing.
    return os.path.isfile(source)  # noqa: PTH113


def _make_point(point: PurePosixPath, source: PurePosixPath) -> None:
    if _is_file(source):
        files.make_directory(point.parent)
        files.write_file(point, b"")
    else:
        files.make_directory(point)
