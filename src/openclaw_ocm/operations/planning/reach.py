"""What an instance has to reach near by for the sake of its variables: proxies, base URLs."""

from __future__ import annotations

import ipaddress
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import is_file, is_proxy, named_addresses, shown_files
from openclaw_ocm.core.network import host_and_port, near_places
from openclaw_ocm.errors import Invalid
from openclaw_ocm.system.variables import looked_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance


def needed_places(variables: Mapping[str, str], allow: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the places near by that variables name and `allow` has not, by variable, each once."""
    return places_by(named_addresses(variables), allow)


def places_by(addresses: Iterable[tuple[str, str]], allow: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return what of named URLs is near and not in `allow`, by name, each once.

    A host that is no address is looked up, now and never again: what is allowed is an address.
    """
    allowed = tuple(allow)
    named = [(name, place) for name, address in addresses if (place := host_and_port(address))]
    found = looked_up(host for _name, (host, _port) in named if not _is_address(host))
    places: dict[str, tuple[str, ...]] = {}
    for name, (host, port) in named:
        hosts = (host,) if _is_address(host) else found.get(host, ())
        near = near_places((f"http://{one}:{port}" for one in hosts), allowed)
        if near:
            places[name] = (*places.get(name, ()), *near)
            allowed = (*allowed, *near)
    return places


def unknown_hosts(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return what to know of proxies whose names this machine does not know now: they may be near."""
    named = {
        place[0]: place[1]
        for name, address in named_addresses(variables)
        if is_proxy(name) and (place := host_and_port(address)) and not _is_address(place[0])
    }
    known = looked_up(named)
    return tuple(
        f"{host} is not known here: where it is near, ocm network NAME allow ADDRESS:{port}"
        for host, port in named.items()
        if host not in known
    )


def reached_notes(opened: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return what to know of places that are opened for the sake of variables."""
    return tuple(
        f"it may reach {place}, which {variable} names"
        for variable, found in opened.items()
        for place in found
    )


def taken_variables(name: InstanceName, archived: Record) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what a new instance takes of an archive's variables, and what to know of those that it does not.

    Anybody may have made the archive: a file of this machine is shown for the sake of no variable in it.
    """
    taken = {key: value for key, value in archived.environment.items() if not is_file(key)}
    notes = tuple(
        f"{name} had the variable {key}, and has not now: ocm env {name} set {shlex.quote(f'{key}={value}')}"
        for key, value in archived.environment.items()
        if is_file(key)
    )
    return taken, notes


def refuse_hidden(worker: Instance) -> None:
    """Raise `Invalid` where a variable names a file of the system that every instance is kept from."""
    variables = worker.record.environment
    shown = shown_files(variables)
    for name, value in variables.items():
        path = PurePosixPath(value)
        is_shown = not is_file(name) or name in shown or not worker.record.sealed
        if not is_shown and any(path.is_relative_to(place) for place in worker.policy.hidden):
            message = f"{name}: {value} is hidden from every instance"
            raise Invalid(message, hint="copy the file to another place", code="variable_file")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
