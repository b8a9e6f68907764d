"""What an OpenClaw that is to become an instance has in common with others: what of that is in its way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.adoption.config import paths_in
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.main_place import is_profile
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw import services
from openclaw_ocm.system.openclaw.enabled import enabled_in
from openclaw_ocm.system.openclaw.source import read_own_config
from openclaw_ocm.system.openclaw.whereabouts import (
    find_main,
    is_ours,
    manager_variables,
    of_service,
    place_at,
    states_of_instances,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.openclaw.main_place import Main
    from openclaw_ocm.operations.planning.adopting import Candidate
    from openclaw_ocm.system.host import Host

_PREFIX = ".openclaw-"
_WORKSPACE, _WORKSPACE_VARIABLE = "agents.defaults.workspace", "OPENCLAW_WORKSPACE_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A place that another uses: an OpenClaw of the user's, or an instance that is shown it."""

    who: str
    path: PurePosixPath


def refuse_started(host: Host, found: Candidate) -> None:
    """Raise `OcmError` where a service that OCM does not set aside starts by itself on what is adopted."""
    manager, state = manager_variables(host), _real(found.state)
    users = (str(host.paths.units), *services.USER)
    for service, system in services.find_services(host):
        if _real(of_service(host, service, manager, system=system).state) != state:
            continue
        unit = PurePosixPath(service.place).name
        its = found.unit == unit and not system
        directories = services.SYSTEM if system else services.USER if its else users
        link = enabled_in(directories, unit)
        if link is None:
            continue
        way = f"sudo systemctl disable {unit}"
        if not system:
            is_own = link.startswith(f"{host.paths.units}/")
            way = f"systemctl --user disable {unit}" if is_own else f"sudo systemctl --global disable {unit}"
        message = f"{service.place} starts {found.what} by itself, unsealed: {link}"
        raise OcmError(message, hint=f"{way}, then try again", code="adopt_refused")


def refuse_shared(found: Candidate, claims: Iterable[Claim]) -> None:
    """Raise `OcmError` where what is taken away from its place holds what another uses."""
    state = _real(found.state)
    for claim in claims:
        path = _real(claim.path)
        if path.is_relative_to(state) and path != state:
            message = f"{found.state} holds what {claim.who} uses: {claim.path}"
            hint = "have that lie elsewhere first, and be named so; without --move a copy is made"
            raise OcmError(message, hint=hint, code="adopt_refused")


def told_of_shared(claims: Iterable[Claim], outside: Iterable[str]) -> tuple[str, ...]:
    """Return in sentences who else uses the workspaces that are `outside` of a state."""
    places = {_real(PurePosixPath(path)) for path in outside}
    said = (f"{claim.who} uses {claim.path} as well" for claim in claims if _real(claim.path) in places)
    return tuple(dict.fromkeys(said))


def claims_of_others(host: Host, found: Candidate) -> tuple[Claim, ...]:
    """Return the places that others use than what is adopted; `OcmError` where one cannot be read."""
    state, ours = _real(found.state), states_of_instances(host)
    claims: list[Claim] = []
    for who, place in _others(host):
        if _real(place.state) == state or is_ours(place, ours):
            continue
        try:
            claims += [Claim(who=who, path=path) for path in _used(host, place)]
        except OcmError as error:
            message = f"what {who} uses of {found.what} cannot be told: {error.message}"
            raise OcmError(message, hint=error.hint, code="adopt_refused") from None
    for name in instance_names(host.paths):
        shown = read_record(host.paths, name).mounts
        claims += [Claim(who=name, path=PurePosixPath(one.path)) for one in shown]
    return tuple(claims)


def _others(host: Host) -> Iterator[tuple[str, Main]]:
    """Yield the OpenClaws of the user's, each with what it is called."""
    manager, home = manager_variables(host), host.paths.home
    for service, system in services.find_services(host):
        place = of_service(host, service, manager, system=system)
        yield f"the service {PurePosixPath(service.place).name}", place
    main = find_main(host)
    if main.found:
        yield MAIN if main.profile is None else f"the profile {main.profile}", main
    for path in sorted(Path(home).glob(f"{_PREFIX}*")):
        profile = path.name.removeprefix(_PREFIX)
        place = place_at(host, PurePosixPath(path), "", manager, profile=profile)
        if is_profile(profile) and place.found:
            yield f"the profile {profile}", place


def _used(host: Host, place: Main) -> Iterator[PurePosixPath]:
    """Yield the places that are there and that an OpenClaw uses, as its config and variables say."""
    home = host.paths.home
    settings = read_own_config(place)
    named = [str(place.state), str(place.config), *paths_in(settings)]
    named.append(place.surroundings.value(_WORKSPACE_VARIABLE))
    if place.profile and lookup(settings, _WORKSPACE) is None and not Path(place.state, "workspace").is_dir():
        # Where older OpenClaws had the workspace of a profile.
        named.append(str(host.paths.main_state / f"workspace-{place.profile}"))
    for text in dict.fromkeys(named):
        path = f"{home}{text[1:]}" if text.startswith("~/") else text
        if path and os.path.exists(path):  # noqa: PTH110 - any text, which may be no path
            yield PurePosixPath(path)


def _real(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(os.path.realpath(path))
