"""Finds an OpenClaw of the user's own by what a person calls it: main, a profile, a service, a directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.main_place import absolute, is_profile
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.services import find_services
from openclaw_ocm.system.openclaw.whereabouts import (
    find_main,
    is_ours,
    manager_variables,
    of_service,
    place_at,
    states_of_instances,
    with_process,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.openclaw.main_place import Main
    from openclaw_ocm.core.openclaw.service import Service
    from openclaw_ocm.system.host import Host

_UNIT = ".service"
_PREFIX = ".openclaw-"
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """An OpenClaw of the user's own: where it is, and the service that runs it, `system` if the machine's."""

    place: Main
    is_main: bool
    service: Service | None = None
    system: bool = False

    @property
    def unit(self) -> str | None:
        """The name of its service, None where it has none."""
        return None if self.service is None else PurePosixPath(self.service.place).name

    @property
    def what(self) -> str:
        """What it is, in words."""
        if self.profile is not None:
            return f"the profile {self.profile}"
        return "main" if self.is_main else str(self.place.state)

    @property
    def origins(self) -> frozenset[str]:
        """The files that set variables for it alone, or for OpenClaw: not for all services of the user's."""
        found = {one.origin for one in self.place.surroundings.variables.values()}
        return frozenset(one for one in found if one.startswith("/") and "/environment.d/" not in one)

    @property
    def profile(self) -> str | None:
        """The profile by which OpenClaw calls it, None for main and what is called otherwise."""
        name = self.place.state.name
        return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def find_own(host: Host, wanted: str) -> Own:
    """Return the OpenClaw that a person calls so; raise `OcmError` where there is none, or an instance."""
    manager = manager_variables(host)
    unread: list[str] = []
    seen = [
        (of_service(host, service, manager, system=system), service, system)
        for service, system in find_services(host, unread)
    ]
    main = find_main(host)
    place = main if wanted in (MAIN, "default") else None
    if wanted.endswith(_UNIT):
        place = next((one for one, service, _ in seen if PurePosixPath(service.place).name == wanted), None)
        if place is None:
            raise _nothing(f"no service {wanted} runs an OpenClaw of yours", unread)
    if place is None and is_profile(wanted) and not Path(host.paths.home, f"{_PREFIX}{wanted}").exists():
        place = next((one for one, _service, _system in seen if one.profile == wanted), None)
    if place is None:
        state = _state(host, wanted)
        # Two services may name one state: the first is the likelier.
        place = next((one for one, _service, _system in seen if one.state == state), None)
        place = main if main.state == state else place or place_at(host, state, "", manager)
    if not place.found:
        raise _nothing(f"there is no OpenClaw at {place.state}: it has no {place.config.name}", unread)
    if is_ours(place, states_of_instances(host)):
        message = f"{place.state} is an instance already"
        raise OcmError(message, hint="ocm list shows the instances", code="exists")
    if place is not main:
        place = with_process(host, place, [])
    match = next(((service, system) for one, service, system in seen if one.state == place.state), None)
    service, system = match or (None, False)
    is_main = place.state == main.state and main.found
    return Own(place=place, is_main=is_main, service=service, system=system)


def in_full(home: PurePosixPath, text: str) -> PurePosixPath:
    """Return the path that a person wrote, from the home with `~/`, and else from where that person is.

    Raises `OcmError` where that is a directory that is gone.
    """
    path = absolute(home, text)
    if not text.startswith(("~", "/")):
        try:
            path = PurePosixPath(Path.cwd()) / text
        except FileNotFoundError:
            message = f"{printable(text)!r} is looked for from the directory that you are in, which is gone"
            raise OcmError(message, hint="cd ~; then try again", code="adopt_not_found") from None
    return PurePosixPath(os.path.normpath(path))


def _state(host: Host, wanted: str) -> PurePosixPath:
    """Return the state directory that a path or the name of a profile stands for."""
    home = host.paths.home
    if "/" in wanted or wanted in (".", "..", "~"):
        return in_full(home, wanted)
    profile = home / f"{_PREFIX}{wanted}"
    if is_profile(wanted) and Path(profile).is_dir():
        return profile
    if os.path.exists(wanted):  # noqa: PTH110 - a text too long for a path is none
        return in_full(home, wanted)
    if not is_profile(wanted):
        raise _nothing(f"{wanted!r} is no profile, service or directory of OpenClaw's", [])
    raise _nothing(f"there is no profile {wanted}: no {profile}", [])


def _nothing(message: str, unread: list[str]) -> OcmError:
    hint = "ocm adopt main, a profile, a service such as openclaw-gateway.service, or a directory"
    return OcmError(message, hint=hint, code="adopt_not_found", details=tuple(unread))


def own_names(host: Host) -> tuple[str, ...]:
    """Return what may be adopted by name: main, profiles and services, as far as files tell."""
    ours = {str(host.instance(name).state) for name in instance_names(host.paths)}
    states = sorted(Path(host.paths.home).glob(f"{_PREFIX}*"))[:_MOST]
    profiles = (state.name.removeprefix(_PREFIX) for state in states if str(state) not in ours)
    services = (PurePosixPath(service.place).name for service, _system in find_services(host))
    return (MAIN, *filter(is_profile, profiles), *services)
