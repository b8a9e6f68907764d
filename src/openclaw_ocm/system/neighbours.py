"""Which ports others have whose gateways may be stopped: profiles of OpenClaw's own, and other users.

All of it is for a moment of one command, bounded in number and size. What cannot be read is not known.
"""

from __future__ import annotations

import contextlib
import itertools
import pwd
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.main_place import Main, port_in
from openclaw_ocm.core.paths import CONFIG_NAME, host_paths
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names, names_in
from openclaw_ocm.system.openclaw.config import find_config
from openclaw_ocm.system.openclaw.services import find_services
from openclaw_ocm.system.openclaw.whereabouts import locate_main
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.host import Host

_MOST_PROFILES, _MOST_USERS, _MOST_RECORDS = 100, 200, 200
_RECORD_BYTES = 2**16
# The first of a person, and what is left to nobody: useradd(8), systemd's UIDS-GIDS.
_PERSONS = range(1000, 60000)
_DIRECTORY_SERVICES = 65536
# `openclaw --dev` (OpenClaw 2026.9.6, docs/cli/index).
_DEV, _DEV_PORT = "dev", 19001


def neighbours(host: Host) -> dict[int, str]:
    """Return the ports of gateways that are neither main's nor an instance's, each with whose it is."""
    main = None
    with contextlib.suppress(OcmError):
        main = locate_main(host)
    found: dict[int, str] = {}
    for port, whose in itertools.chain(_profiles(host, main), _services(host, main), _other_users(host)):
        found.setdefault(port, whose)
    return found


def _profiles(host: Host, main: Main | None) -> Iterator[tuple[int, str]]:
    """Yield the ports of the profiles of OpenClaw's that are no instances, such as that of `--dev`."""
    ours = {host.instance(name).state for name in instance_names(host.paths)}
    if main is not None:
        ours.add(main.state)
    found = sorted(Path(host.paths.home).glob(".openclaw-*"))
    for state in map(PurePosixPath, found[:_MOST_PROFILES]):
        if state in ours or not Path(state, CONFIG_NAME).is_file():
            continue
        profile = state.name.removeprefix(".openclaw-")
        port = port_in(lookup(find_config(Directory(state)), "gateway.port"))
        usual = Main(state=state, config=state / CONFIG_NAME, profile=profile).default_port
        yield port or (_DEV_PORT if profile == _DEV else usual), f"the profile {profile} ({state})"


def _services(host: Host, main: Main | None) -> Iterator[tuple[int, str]]:
    """Yield the ports that services of OpenClaw's name, as far as they are not main's."""
    of_main = None if main is None else main.port
    for service, _system in find_services(host):
        variable = service.variables.get("OPENCLAW_GATEWAY_PORT")
        port = port_in(service.option("--port") or (variable[0] if variable else None))
        if port is not None and port != of_main:
            yield port, f"the service {service.place}"


def _other_users(host: Host) -> Iterator[tuple[int, str]]:
    """Yield the ports of other users' instances, as far as their records can be read: by root, mostly."""
    import msgspec

    persons = (one for one in pwd.getpwall() if one.pw_uid in _PERSONS or one.pw_uid >= _DIRECTORY_SERVICES)
    for person in itertools.islice(persons, _MOST_USERS):
        home = PurePosixPath(person.pw_dir)
        if person.pw_uid == host.uid or home == host.paths.home:
            continue
        with contextlib.suppress(OcmError, OSError):
            records = host_paths(home, {}).records
            for name in names_in(records, suffix=".toml")[:_MOST_RECORDS]:
                path = Path(records, f"{name}.toml")
                if not stat.S_ISREG(path.lstat().st_mode):
                    continue
                data = files.read_own(PurePosixPath(path), limit=_RECORD_BYTES) or b""
                # Of any version of OCM: no more than this line is asked for.
                with contextlib.suppress(msgspec.MsgspecError, ValueError):
                    port = port_in(msgspec.toml.decode(data, type=dict).get("port"))
                    if port is not None:
                        yield port, f"{name} of {person.pw_name}"
