"""What every new instance needs, whatever it is made of: a name, a place and a port that are free."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core import ports
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.steps import Enable, LinkConfig, Load, WriteDefinition
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import listening, processes
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record, read_settings
from openclaw_ocm.system.neighbours import neighbours
from openclaw_ocm.system.openclaw.config import find_config
from openclaw_ocm.system.openclaw.source import read_main_port
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.host import Host


def setting_up(worker: Instance, rules: list[Step], *, autostart: bool) -> list[Step]:
    """Return the steps by which a state that is in its place becomes an instance, not yet started."""
    name, paths, definition = worker.name, worker.paths, worker.definition
    enable: list[Step] = [Enable(name=name)] if autostart else []
    return [
        LinkConfig(link=str(paths.config_link), target=str(paths.config)),
        WriteDefinition(name=name, path=str(definition.path), text=definition.text),
        Load(name=name),
        *rules,
        *enable,
    ]


def refuse_instance(paths: HostPaths, name: InstanceName) -> None:
    """Raise `OcmError` where there is an instance of that name."""
    if name in instance_names(paths):
        message = f"there is an instance {name} already"
        raise OcmError(message, hint="choose another name, or delete that one first", code="exists")


def refuse_existing(worker: Instance, *, but: Collection[PurePosixPath] = ()) -> None:
    """Raise `OcmError` where something is where a new instance's own is to be, `but` what is to go."""
    paths = worker.paths
    for path in (
        paths.state,
        worker.definition.path,
        paths.config_link,
        paths.shell,
        paths.scratch,
        paths.secrets,
        paths.inherited,
        paths.adopted,
    ):
        if path in but:
            continue
        if Path(path).is_symlink() or Path(path).exists():
            message = f"{path} exists already and is not OCM's"
            raise OcmError(message, hint="move it away, or choose another name", code="exists")


def choose_port(
    host: Host,
    port: int | None,
    *,
    main: int | None = None,
    moving: Record | None = None,
    spared: Collection[int] = (),
) -> int:
    """Return `port`, or a free one for None; raise `OcmError` where it is not to be had.

    What is stopped has its port as well: instances, main, profiles of OpenClaw's and other users. `main` is
    the port of main where that is known already; `moving` is the instance that is to leave its own; of
    `spared` none is chosen.
    """
    paths = host.paths
    owners = {_port_of(paths, name): str(name) for name in instance_names(paths)}
    owners.setdefault(read_main_port(host) if main is None else main, "main")
    owners = {**neighbours(host), **owners}
    if port is None:
        settings = read_settings(paths)
        first = settings.first_port or ports.first_port(host.uid)
        return ports.allocate_port(
            (*owners, *spared), step=settings.port_step, is_free=processes.can_bind, first=first
        )
    if moving is not None:
        owners = {base: whose for base, whose in owners.items() if whose != moving.name}
    other = ports.overlap(ports.parse_port(port), owners)
    if other is not None:
        message = f"port {port} is within {ports.WINDOW} of port {other}, which belongs to {owners[other]}"
        raise OcmError(message, hint="leave --port out and OCM takes a free one", code="port_taken")
    own = () if moving is None else ports.window(moving.port)
    new = (number for number in ports.window(port) if number not in own)
    taken = next((number for number in new if not processes.can_bind(number)), None)
    if taken is not None:
        listener = listening.listeners([taken]).get(taken)
        who = f"PID {listener.pid} ({listener.command})" if listener and listener.pid else "another process"
        message = (
            f"port {taken} is taken by {who}; an instance on {port} needs {port} to {port + ports.WINDOW - 1}"
        )
        raise OcmError(message, hint="leave --port out and OCM takes a free one", code="port_taken")
    return port


def kept_port(host: Host, port: int, *, listens: bool) -> int:
    """Return the port of a gateway that is to keep it as an instance, and that `listens` there now.

    Raises `OcmError` where its window is another's as well, or taken.
    """
    owners = {_port_of(host.paths, name): str(name) for name in instance_names(host.paths)}
    if port in owners:
        raise OcmError(f"port {port} belongs to {owners[port]}", code="port_taken")
    owners = {**neighbours(host), read_main_port(host): "main", **owners}
    # What is called so now is what is to keep it.
    owners.pop(port, None)
    other = ports.overlap(ports.parse_port(port), owners)
    if other is not None:
        message = f"port {port} is within {ports.WINDOW} of port {other}, which belongs to {owners[other]}"
        raise OcmError(message, code="port_taken")
    taken = (one for one in ports.window(port) if not (listens and one == port))
    if any(not processes.can_bind(one) for one in taken):
        raise OcmError(f"of the ports {port} to {port + ports.WINDOW - 1} one is taken", code="port_taken")
    return port


def _port_of(paths: HostPaths, name: InstanceName) -> int:
    """Return the port of an instance: that of its config where its record cannot be read."""
    try:
        return read_record(paths, name).port
    except OcmError as error:
        port = lookup(find_config(Directory(paths.instance(name).state)), "gateway.port")
        if isinstance(port, int):
            return port
        message = f"nobody can tell which port belongs to {name}: {error.message}"
        raise OcmError(message, hint=error.hint, code=error.code) from None
