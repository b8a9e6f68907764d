"""Where paths lead, and through which directories: who can write one of those can lead them elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import readable_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.core.record import Record

# As many links as the kernel follows (path_resolution(7)).
_MOST_LINKS = 40


class Way(NamedTuple):
    """Where a path leads, and the directories in which a name on the way to it was looked up."""

    real: PurePosixPath
    through: tuple[PurePosixPath, ...]


def way_to(path: str) -> Way:
    """Return where a path leads; raises `OcmError` where links go in a circle."""
    waiting = list(reversed(PurePosixPath(path).parts[1:]))
    at, links, through = PurePosixPath("/"), 0, [PurePosixPath("/")]
    while waiting:
        name = waiting.pop()
        if name == "..":
            at = at.parent
            continue
        through.append(at)
        target = files.link_target(at / name)
        if target is None:
            at = at / name
            continue
        links += 1
        if links > _MOST_LINKS:
            message = f"{path} leads in a circle"
            raise OcmError(message, code="mount_refused")
        parts = PurePosixPath(target).parts
        if target.startswith("/"):
            at, parts = PurePosixPath("/"), parts[1:]
        waiting.extend(reversed(parts))
    return Way(at, tuple(dict.fromkeys(through)))


def leads_through(way: Way, directory: PurePosixPath) -> bool:
    """Tell whether a name on the way was looked up in a directory or below it."""
    return any(path.is_relative_to(directory) for path in way.through)


def written(records: Iterable[Record]) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield what of the host instances may write by their owner's word, with whose it is in words."""
    for record in records:
        for shown in record.mounts:
            if shown.writable:
                yield way_to(shown.path).real, f"which {record.name} may write"


def writable_places(paths: HostPaths) -> dict[PurePosixPath, InstanceName]:
    """Return what instances can write, with one that can: as it is called, and where that leads."""
    places: dict[PurePosixPath, InstanceName] = {}
    for name in instance_names(paths):
        one = paths.instance(name)
        for place in (one.state, one.scratch):
            places.setdefault(place, name)
            places.setdefault(way_to(str(place)).real, name)
    for record in readable_records(paths):
        for shown in record.mounts:
            if shown.writable:
                places.setdefault(way_to(shown.path).real, record.name)
    return places


def changed_by(places: Mapping[PurePosixPath, InstanceName], path: PurePosixPath) -> InstanceName | None:
    """Return an instance that can change what is at a path, or what the path leads to; None for none.

    `places` are those that instances can write.
    """
    way = way_to(str(path))
    around = (above for one in (way.real, *way.through) for above in (one, *one.parents))
    return next((places[above] for above in around if above in places), None)


def refuse_reached(paths: HostPaths, backup: PurePosixPath, directory: PurePosixPath) -> None:
    """Raise `Invalid` where `backup` lies in a directory that an instance reaches: it holds keys."""
    parent = Path(directory).absolute()
    for name in instance_names(paths):
        one = paths.instance(name)
        for what, place in (("state", Path(one.state)), ("/tmp", Path(one.scratch))):  # noqa: S108 - its own
            # By its name too: a link on the way is the instance's, and may lead elsewhere the next moment.
            if parent.is_relative_to(place) or files.real_path(parent).is_relative_to(files.real_path(place)):
                message = f"{backup} lies in the {what} of {name}, which could read and change it"
                raise Invalid(message, hint="choose a place outside", code="output_invalid")
    way = way_to(str(parent))
    for record in readable_records(paths):
        for shown in record.mounts:
            shown_place = way_to(shown.path).real
            if way.real.is_relative_to(shown_place) or (shown.writable and leads_through(way, shown_place)):
                message = f"{backup} lies in {shown.path}, which {record.name} is shown"
                hint = f"choose a place outside, or ocm unmount {record.name} {shlex.quote(shown.path)}"
                raise Invalid(message, hint=hint, code="output_invalid")
