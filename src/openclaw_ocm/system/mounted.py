"""What is mounted where on this machine, and by which names one file system shows the same place."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.sandbox.mounts import unescaped
from openclaw_ocm.core.sandbox.shown import overlap

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOUNTS = "/proc/self/mountinfo"
# Up to its optional fields a line has these (proc_pid_mountinfo(5)).
_FIELDS = 5


class Bound(NamedTuple):
    """A mount: at which point of the tree, of which file system, and what of that is its root."""

    point: PurePosixPath
    device: str
    root: PurePosixPath


class Place(NamedTuple):
    """Where something is on its file system, by whatever name it is seen."""

    device: str
    path: PurePosixPath

    def overlaps(self, other: Place) -> bool:
        """Tell whether one of the two is or holds the other."""
        return self.device == other.device and overlap(self.path, other.path)


def mounted() -> tuple[Bound, ...]:
    """Return what is mounted for this process, the later ones last; raises `OSError` without a /proc."""
    lines = Path(_MOUNTS).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    found = (line.split(" ") for line in lines)
    return tuple(
        Bound(PurePosixPath(unescaped(fields[4])), fields[2], PurePosixPath(unescaped(fields[3])))
        for fields in found
        if len(fields) > _FIELDS
    )


def place_of(path: PurePosixPath, mounts: Iterable[Bound]) -> Place | None:
    """Return where a path without links is on its file system, None where nothing is mounted above it."""
    above: Bound | None = None
    for mount in mounts:
        if path.is_relative_to(mount.point) and (above is None or mount.point.is_relative_to(above.point)):
            above = mount
    return None if above is None else Place(above.device, above.root / path.relative_to(above.point))
