"""Finds the systemd services that run main, of the user's manager and of the machine's."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.service import Service, parse_service
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.texts import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.host import Host

# What a package or an administrator brings: systemd.unit(5), the more particular first.
SYSTEM = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
USER = ("/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
_UNIT = "openclaw-gateway.service"
# By whom the definition of an instance was made, which is no main.
_OWN = "# Made by ocm"
# What comes with packages is known by its name; what an administrator wrote is looked at.
_LOOKED_AT = ("/etc/", "/run/")
# A command line may lead to a script of the user's that starts it.
_NAMED = re.compile(r"openclaw(-gateway)?(@.*)?\.service")
_MAX_UNITS = 1000


def find_services(host: Host, unread: list[str] | None = None) -> Iterator[tuple[Service, bool]]:
    """Yield the services that run an OpenClaw of this user, those of the user's manager first.

    Each with whether it is a service of the machine's. What is called as one, and why it cannot be read, is
    added to `unread`.
    """
    unread = [] if unread is None else unread
    own = (str(host.paths.units), *USER[:2], str(host.paths.data_home / "systemd" / "user"), *USER[2:])
    yield from ((service, False) for service in _services(host, own, unread, system=False))
    for service in _services(host, SYSTEM, unread, system=True):
        if _is_of(host, service.user or "root"):
            yield service, True


def _services(
    host: Host, directories: tuple[str, ...], unread: list[str], *, system: bool
) -> Iterator[Service]:
    names = {
        path.name: None
        for directory in directories
        for path in sorted(Path(directory).glob("*.service"))[:_MAX_UNITS]
        if "openclaw" in path.name or directory.startswith((*_LOOKED_AT, str(host.paths.home)))
    }
    for name in sorted(names, key=lambda name: (name != _UNIT, name)):
        try:
            service = _service(host, name, directories, system=system)
        except OcmError as error:
            # Any other runs nobody's OpenClaw as far as OCM can tell.
            if _NAMED.fullmatch(name):
                unread.append(error.message)
            continue
        if service is not None and (service.runs_gateway or _NAMED.fullmatch(name)):
            yield service


def _service(host: Host, name: str, directories: tuple[str, ...], *, system: bool) -> Service | None:
    place = next((path for each in directories if (path := Path(each, name)).exists()), None)
    if place is None:
        return None
    text = read_text(str(place))
    if text.startswith(_OWN):
        return None
    drop_ins: dict[str, Path] = {}
    for directory in directories:
        for path in Path(directory, f"{name}.d").glob("*.conf"):
            drop_ins.setdefault(path.name, path)
    more = [(str(drop_ins[each]), read_text(str(drop_ins[each]))) for each in sorted(drop_ins)]
    prefix = name.removesuffix(".service")
    instance = host.user if prefix.endswith("@") else prefix.partition("@")[2]
    if system:
        manager = {"h": "/root", "u": "root", "U": "0", "t": "/run", "E": "/etc"}
    else:
        manager = {"h": str(host.paths.home), "u": host.user, "U": str(host.uid), "t": str(host.runtime)}
        manager["E"] = str(host.paths.config_home)
    unit = {"i": instance, "I": instance, "n": name, "N": prefix, "p": prefix.partition("@")[0]}
    specifiers = {**manager, **unit}
    return parse_service([(str(place), text), *more], specifiers)


def _is_of(host: Host, user: str) -> bool:
    with contextlib.suppress(KeyError):
        return user in (host.user, str(host.uid)) or pwd.getpwnam(user).pw_uid == os.getuid()
    return False
