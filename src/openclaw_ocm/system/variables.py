"""What variables of an instance name on this host: files, time zones, the addresses of hosts."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import is_file, shown_files
from openclaw_ocm.core.sandbox.policy import HIDDEN, SYSTEM
from openclaw_ocm.errors import Invalid
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import readable_records
from openclaw_ocm.system.ways import leads_through, way_to, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.paths import HostPaths

_ZONES = Path("/usr/share/zoneinfo")
# As tzset(3) has it without a file: a name, and how far it is from UTC.
_RULE = re.compile(r":?(<[A-Za-z0-9+-]+>|[A-Za-z]{3,})[+-]?[0-9]{1,2}(:[0-9]{2}){0,2}.*")
_LOOK_UP_SECONDS = 3.0


def settled(paths: HostPaths, variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables with files by their real paths; raise `Invalid` for a file or zone that is none.

    No instance can change what leads to a real path that lies in no instance's directories.
    """
    zone = variables.get("TZ")
    if zone is not None and not _is_zone(zone):
        message = f"this machine knows no time zone {zone}"
        raise Invalid(
            message, hint="for example TZ=Europe/Berlin; timedatectl list-timezones", code="zone_unknown"
        )
    return {
        name: _settled(paths, name, value) if is_file(name) else value for name, value in variables.items()
    }


def _is_zone(text: str) -> bool:
    """Tell whether a text is a time zone to this machine, which may have no list of any."""
    name = text.removeprefix(":")
    return (
        not _ZONES.is_dir()
        or _RULE.fullmatch(text) is not None
        or (".." not in name and not name.startswith("/") and (_ZONES / name).is_file())
    )


def missing_files(variables: Mapping[str, str]) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield those of the files that the sandbox is to show which are not there, by variable."""
    for name, path in shown_files(variables).items():
        if not Path(path).is_file():
            yield name, path


def changeable_files(
    paths: HostPaths, variables: Mapping[str, str]
) -> Iterator[tuple[str, PurePosixPath, str]]:
    """Yield those of the files that an instance could lead elsewhere by what it may write, with who in words.

    Asked of what is given, and at each start.
    """
    places = tuple(written(readable_records(paths)))
    for name, path in shown_files(variables).items() if places else ():
        way = way_to(str(path))
        for directory, whose in places:
            if leads_through(way, directory):
                yield name, directory, whose
                break


def _settled(paths: HostPaths, name: str, value: str) -> str:
    for _name, directory, whose in changeable_files(paths, {name: value}):
        message = f"{name}: {value} leads through {directory}, {whose}"
        raise Invalid(message, hint="keep the file where no instance writes", code="variable_file")
    real = PurePosixPath(files.real_path(value))
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        message = f"{name}: {value} cannot be read: {error.strerror}"
        raise Invalid(message, hint="name a file that you can read", code="variable_file") from None
    if not regular:
        raise Invalid(
            f"{name}: {value} is no file", hint="name a file, not a directory", code="variable_file"
        )
    _refuse_unshowable(paths, name, real)
    in_system = any(real.is_relative_to(place) for place in SYSTEM)
    return value if in_system and not shown_files({name: value}) else str(real)


def _refuse_unshowable(paths: HostPaths, name: str, real: PurePosixPath) -> None:
    """Raise `Invalid` for a file that an instance can change, or that none is to see."""
    instances = map(paths.instance, instance_names(paths))
    changeable = (place for one in instances for place in (one.state, one.scratch))
    if any(real.is_relative_to(place) for place in changeable):
        message = f"{name}: {real} can be changed by an instance"
        raise Invalid(message, hint="keep the file where no instance writes", code="variable_file")
    own = (
        paths.ocm_config,
        paths.ocm_state,
        paths.ocm_data,
        paths.home / ".ssh",
        paths.home / ".gnupg",
        *HIDDEN,
    )
    if any(real.is_relative_to(place) for place in own):
        message = f"{name}: {real} is nothing that an instance is to see"
        raise Invalid(message, hint="copy the file to another place", code="variable_file")


def looked_up(hosts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the IPv4 addresses of hosts, as this machine's resolver has them, of those that it knows.

    A resolver that does not answer is not waited for longer than a few seconds, for all together.
    """
    import socket
    import threading

    found: dict[str, tuple[str, ...]] = {}

    def look_up(host: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
            found[host] = tuple(sorted({str(answer[4][0]) for answer in answers}))

    workers = [threading.Thread(target=look_up, args=(host,), daemon=True) for host in dict.fromkeys(hosts)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(_LOOK_UP_SECONDS)
    return dict(found)
