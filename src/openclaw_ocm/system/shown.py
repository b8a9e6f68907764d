"""Where what is shown to an instance leads, and whether it may be shown: judged at every start.

Who swaps a name for a link decides what the next start binds. So no directory on the way to what is shown,
links and all, may be one that an instance can write: then only the owner can swap anything, now and later.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import stat
import sys
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.environment import shown_files
from openclaw_ocm.core.sandbox.policy import OPT, SYSTEM
from openclaw_ocm.core.sandbox.shown import (
    guarded_by_login,
    mount_of,
    source_obstacle,
    target_obstacle,
    writing_obstacle,
)
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.records import every_record, readable_records
from openclaw_ocm.system.mounted import mounted, place_of
from openclaw_ocm.system.openclaw.services import find_services
from openclaw_ocm.system.openclaw.whereabouts import find_main
from openclaw_ocm.system.private import private_places
from openclaw_ocm.system.ways import leads_through, way_to, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.record import Record, Shown
    from openclaw_ocm.core.sandbox.policy import Mount, Policy
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.mounted import Bound, Place

_NARROWER = "name a file or folder that holds only what the instance is to see"
_RUN_BY_YOU = "on your PATH, and you would run what it writes"
_MOST_PROGRAMS = 10_000
_ELSEWHERE = "--at /srv/NAME shows it elsewhere"
_SOCKETS = "/proc/net/unix"


class Judged(NamedTuple):
    """What an instance is shown, and what keeps it from being shown the rest."""

    mounts: tuple[Mount, ...]
    obstacles: tuple[OcmError, ...]


class _Seen:
    """What of a host decides what may be shown, each looked up once for all that an instance is shown.

    What cannot be looked up is tried, and told, for each anew.
    """

    def __init__(self, host: Host) -> None:
        """Look nothing up yet."""
        self.host = host

    @cached_property
    def private(self) -> dict[PurePosixPath, str]:
        """What no instance may see, with what each is in words."""
        private, main = private_places(self.host), find_main(self.host)
        real = (PurePosixPath(os.path.realpath(path)) for path in (main.state, main.config))
        return private | dict.fromkeys(real, "main's")

    @cached_property
    def guarded(self) -> dict[PurePosixPath, str]:
        """What no instance may write, as OCM, its instances or the owner run it."""
        return _guarded(self.host)

    @cached_property
    def mounts(self) -> tuple[Bound, ...]:
        """What is mounted on it."""
        return mounted()

    @cached_property
    def places(self) -> dict[PurePosixPath, Place]:
        """Where what no instance may see is on its file system."""
        found = ((path, place_of(path, self.mounts)) for path in self.private)
        return {path: place for path, place in found if place is not None}


def judge(host: Host, record: Record, policy: Policy) -> Judged:
    """Return what of a record's mounts may be shown; `policy` is the sandbox without them.

    What is gone is an obstacle, and yet among the mounts: the machine starts the instance without it.
    """
    seen = _Seen(host)
    mounts: list[Mount] = []
    obstacles: list[OcmError] = []
    for shown in record.mounts:
        try:
            mounts.append(_mount(seen, record, policy, shown))
        except OcmError as error:
            obstacles.append(error)
            if error.code == "mount_gone":
                mounts.append(mount_of(shown, way_to(shown.path).real))
    return Judged(tuple(mounts), tuple(obstacles))


def refuse_new(host: Host, record: Record, policy: Policy, shown: Shown) -> None:
    """Raise `OcmError` where what is to be shown anew, and is in the record already, cannot be.

    Beyond what each start asks, nobody listens on a socket in it, and neither what another instance is shown
    nor a file that a variable names lies in what this one could write. What an instance of a record that
    cannot be read may write is not known: nothing is shown anew meanwhile.
    """
    others = every_record(host.paths)
    try:
        mount = _mount(_Seen(host), record, policy, shown)
    except OcmError as error:
        if error.code != "mount_gone":
            raise
        message = f"{shown.path} is not there"
        raise OcmError(message, hint="name a file or folder that is", code="mount_gone") from None
    for path in _listening():
        if path.is_relative_to(mount.source):
            raise _refused(shown, f"a program listens on {path}, which the instance would reach")
    if not shown.writable:
        return
    for other in others:
        files = map(str, shown_files(other.environment).values())
        for theirs in (*(one.path for one in other.mounts), *files):
            if leads_through(way_to(theirs), mount.source):
                raise _refused(shown, f"{other.name} is shown {theirs}, which could then be led elsewhere")


def _mount(seen: _Seen, record: Record, policy: Policy, shown: Shown) -> Mount:
    """Return the mount of what is shown; raises `OcmError` where it may not be."""
    private = seen.private
    way = way_to(shown.path)
    _refuse(shown, source_obstacle(way.real, private) or _alias(way.real, seen))
    for directory, whose in _writable(seen.host, record, private):
        if leads_through(way, directory):
            raise _refused(shown, f"it leads through {directory}, {whose}, and could be led elsewhere")
    if shown.writable:
        _refuse(shown, writing_obstacle(way.real, seen.guarded))
    others = [PurePosixPath(other.at) for other in record.mounts if other != shown]
    _refuse(shown, target_obstacle(PurePosixPath(shown.at), policy, others), _ELSEWHERE)
    _look(record, shown, way.real)
    return mount_of(shown, way.real)


def _writable(
    host: Host, record: Record, private: Iterable[PurePosixPath]
) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield the directories in which an instance could swap a name for a link."""
    for path in private:
        yield path, "where instances or OCM write"
    yield from written((record, *readable_records(host.paths)))


def _guarded(host: Host) -> dict[PurePosixPath, str]:
    """Return what no instance may write, as OCM, its instances or the owner run it."""
    found = guarded_by_login(host.paths)
    for directory in host.search_path.split(":"):
        if directory.startswith("/"):
            found |= dict.fromkeys((PurePosixPath(directory), *_linked(directory)), _RUN_BY_YOU)
    for service, _system in find_services(host):
        found |= {PurePosixPath(word): "what main runs" for word in service.words if word.startswith("/")}
    for record in readable_records(host.paths):
        found[PurePosixPath(record.runtime.node)] = f"the Node of {record.name}"
        found[PurePosixPath(record.runtime.openclaw)] = f"the OpenClaw of {record.name}"
    prefixes = map(PurePosixPath, (sys.prefix, sys.base_prefix))
    own = (host.paths.npm_prefix, *prefixes, PurePosixPath(Path(__file__).parents[1]))
    found |= dict.fromkeys(own, "what OCM runs")
    return {PurePosixPath(os.path.realpath(path)): what for path, what in found.items()} | found


def _linked(directory: str) -> Iterator[PurePosixPath]:
    """Yield to what the links in a directory of the PATH lead, but for the system's own."""
    if any(PurePosixPath(directory).is_relative_to(place) for place in (*SYSTEM, OPT)):
        return
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in itertools.islice(entries, _MOST_PROGRAMS):
            if entry.is_symlink():
                yield PurePosixPath(os.path.realpath(entry.path))


def _alias(real: PurePosixPath, seen: _Seen) -> str | None:
    """Return why what is at `real`, or mounted in it, is by another name to stay hidden: bind mounts."""
    private = seen.private
    for one in (real, *(mount.point for mount in seen.mounts if real in mount.point.parents)):
        place = place_of(one, seen.mounts)
        for path, other in seen.places.items():
            if place is not None and place.overlaps(other):
                return f"{one} is, holds or lies in {path} by another name: {private[path]}"
    above = {_identity(path) for path in (real, *real.parents)} - {None}
    own = _identity(real)
    for path, what in private.items():
        if _identity(path) in above:
            return f"{real} is or lies in {path} by another name: {what}"
        if own is not None and own in map(_identity, path.parents):
            return f"{real} holds {path} by another name: {what}"
    return None


def _identity(path: PurePosixPath) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _look(record: Record, shown: Shown, real: PurePosixPath) -> None:
    """Raise `OcmError` where what is shown is gone, no file or folder, or closed to the owner."""
    try:
        mode = Path(real).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        message = f"{record.name} is to be shown {shown.path}, which is not there"
        hint = f"put it back, or ocm unmount {record.name} {shlex.quote(shown.path)}"
        raise OcmError(message, hint=hint, code="mount_gone") from None
    except OSError as error:
        raise _refused(shown, f"it cannot be looked at: {error.strerror}") from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise _refused(shown, "it is a device, a pipe or a socket, and neither file nor folder")
    wanted = (os.R_OK if not shown.writable else os.R_OK | os.W_OK) | (os.X_OK if stat.S_ISDIR(mode) else 0)
    if not os.access(real, wanted):
        raise _refused(shown, f"you cannot {'write' if shown.writable else 'read'} it yourself")


def _listening() -> Iterator[PurePosixPath]:
    """Yield the sockets that have a path and are open (proc(5))."""
    with contextlib.suppress(OSError), Path(_SOCKETS).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            path = line.rstrip("\n").split(" ", 7)[-1].strip()
            if path.startswith("/"):
                # As it was named by who listens: a link may have led there.
                yield PurePosixPath(os.path.realpath(path))


def _refuse(shown: Shown, why: str | None, hint: str | None = None) -> None:
    if why is not None:
        raise _refused(shown, why, hint)


def _refused(shown: Shown, why: str, hint: str | None = None) -> OcmError:
    message = f"{shown.path} cannot be shown: {why}"
    return OcmError(message, hint=hint or _NARROWER, code="mount_refused")
