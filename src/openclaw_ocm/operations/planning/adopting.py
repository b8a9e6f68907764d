"""What is to become an instance: what is known of it, and what has to be so before anything is touched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.adoption.config import paths_in, referred_in, secrets_of
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.channels import channels_in
from openclaw_ocm.core.openclaw.document import MAX_BYTES, lookup, parse_config
from openclaw_ocm.core.openclaw.dotenv import parse_dotenv
from openclaw_ocm.core.openclaw.main_place import absolute, is_profile, port_in
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.planning.runtimes import runtime_of
from openclaw_ocm.system import files
from openclaw_ocm.system.foreign.environments import environment_at, state_below
from openclaw_ocm.system.openclaw import own_services
from openclaw_ocm.system.openclaw.own_places import find_own, in_full
from openclaw_ocm.system.openclaw.own_state import refuse_used
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.openclaw.providers import known_providers
from openclaw_ocm.system.openclaw.source import read_own_config
from openclaw_ocm.system.openclaw.texts import read_bounded
from openclaw_ocm.system.openclaw.variables import all_variables
from openclaw_ocm.system.openclaw.versions import installed
from openclaw_ocm.system.openclaw.whereabouts import running_on
from openclaw_ocm.system.removable import check_place, check_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from openclaw_ocm.core.adoption.steps import Service
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.system.foreign.archive import Look
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.kept.adopted import UnitFile
    from openclaw_ocm.system.openclaw.own_places import Own

_MOST_TOLD = 10
_VERSION = "meta.lastTouchedVersion"
_LONGEST_VERSION = 64
_NO_NAME = re.compile(r"[^a-z0-9_-]+")
# What each instance sees of the machine, or has of its own.
_SEEN = ("/usr", "/bin", "/lib", "/tmp", "/var/tmp", "/dev", "/proc")  # noqa: S108 - places


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An OpenClaw that is to become an instance, wherever it is from.

    `state` is where its state was when it was last used, `directory` where it lies now, `config` where its
    config is now: `data` is what that holds, `settings` what it means with what it includes. `variables` are
    those that it had, `origins` the places that set them for it alone. `service` is how its service is;
    `pid` is the process that uses the state. One that `stays` is never written, whatever is made of it: it is
    another program's. `version` is that of its OpenClaw, where that is told. One that
    has a `look` is in an archive, which stays as it is.
    """

    what: str
    state: PurePosixPath
    directory: PurePosixPath
    config: PurePosixPath
    data: bytes = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    port: int
    suggested: str
    variables: Mapping[str, Variable] = field(default_factory=dict, repr=False)
    origins: frozenset[str] = frozenset()
    is_main: bool = False
    unit: str | None = None
    files: tuple[UnitFile, ...] = ()
    service: Service | None = None
    pid: int | None = None
    stays: bool = False
    version: str | None = None
    look: Look | None = None
    notes: tuple[str, ...] = ()

    @property
    def own(self) -> bool:
        """Whether it is the user's, on this machine, and no archive."""
        return self.look is None

    @property
    def written(self) -> dict[str, Any]:
        """What its config itself says."""
        return parse_config(self.data, source=str(self.config))

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that it has."""
        return tuple(sorted(channels_in(self.settings)))


def candidate(host: Host, wanted: str, *, moving: bool) -> Candidate:
    """Return the OpenClaw that a person calls so: an environment of the official manager, or the user's own.

    Raises `OcmError` as `_own` does.
    """
    path = _directory(host, wanted)
    place = None if path is None else environment_at(host.paths.home, path)
    if place is None:
        state = path if path is None else state_below(path)
        return _own(host, wanted if state == path else str(state), moving=moving)
    what = f"the environment {place.name} of the official OpenClaw manager"
    try:
        found = _own(host, str(place.state), moving=moving)
    except OcmError as error:
        if error.code != "adopt_running":
            raise
        hint = f"stop it by that manager: ocm service stop {place.name}; then try again"
        raise OcmError(f"{what} runs", hint=hint, code=error.code) from None
    return replace(
        found,
        what=what,
        suggested=_NO_NAME.sub("-", place.name.lower()).strip("-_"),
        port=port_in(lookup(found.settings, "gateway.port")) or place.port or found.port,
        stays=True,
        is_main=False,
        unit=None,
        files=(),
        service=None,
    )


def _directory(host: Host, wanted: str) -> PurePosixPath | None:
    """Return the directory that a person means by a path, None where it is a name."""
    home = host.paths.home
    named = is_profile(wanted) and Path(home, f".openclaw-{wanted}").is_dir()
    if named or wanted in (MAIN, "default") or "\0" in wanted:
        return None
    is_path = "/" in wanted or wanted in (".", "..", "~") or os.path.isdir(wanted)  # noqa: PTH112 - see os.path
    return in_full(home, wanted) if is_path else None


def _own(host: Host, wanted: str, *, moving: bool) -> Candidate:
    """Return the OpenClaw of the user's that a person calls so, to be copied or to be moved.

    Raises `OcmError` where there is none, and where one that is to be moved is used by what OCM cannot stop.
    """
    own = find_own(host, wanted)
    place = own.place
    data = read_bounded(files.real_path(place.config), MAX_BYTES, str(place.config))
    if data is None:
        raise OcmError(
            f"{place.config} is not there", hint="openclaw onboard makes one", code="config_missing"
        )
    settings = read_own_config(place)
    port = place.port or port_in(lookup(settings, "gateway.port")) or place.default_port
    running = running_on(host, place.state)
    unit, service, group = own.unit, None, ""
    if unit is not None and not own.system:
        service, group = own_services.observe(host, unit)
    pid = None if running is None else running[1]
    if moving:
        _refuse_unstoppable(host, own, pid, group)
        check_place(place.state)
        check_tree(place.state)
        _refuse_wide(host, place.state)
    return Candidate(
        what=own.what,
        state=place.state,
        directory=place.state,
        config=place.config,
        data=data,
        settings=settings,
        port=port,
        suggested=own.profile or ("" if own.is_main else place.state.name.lstrip(".")),
        variables=all_variables(host, place, settings, ()).variables,
        origins=own.origins,
        is_main=own.is_main,
        unit=unit if service is not None else None,
        files=own_services.unit_files(host, unit) if unit is not None and moving and service else (),
        service=service,
        pid=pid,
        notes=place.surroundings.notes,
    )


def _refuse_unstoppable(host: Host, own: Own, pid: int | None, group: str) -> None:
    """Raise `OcmError` where something uses a state that is not a service of the user's."""
    if own.system and own.service is not None:
        unit = own.unit
        if pid is not None:
            message = f"{own.what} is run by {own.service.place}, a service of the machine's"
            hint = f"sudo systemctl disable --now {unit}, then try again"
            raise OcmError(message, hint=hint, code="adopt_running")
        return
    if pid is None:
        # What cannot be read is told, and is not nobody.
        refuse_used(host, own.place.state)
        return
    try:
        known = own_services.is_in(pid, group)
    except OSError:
        known = False
    if not known:
        message = f"{own.what} is used by PID {pid}, which no service of yours started"
        hint = f"end it where it was started, or kill {pid}; then try again"
        raise OcmError(message, hint=hint, code="adopt_running")


def _refuse_wide(host: Host, state: PurePosixPath) -> None:
    """Raise `OcmError` where a state is a directory that holds more than that."""
    holds = (host.paths.home, host.paths.ocm_config, host.paths.ocm_state, host.paths.ocm_data)
    if any(PurePosixPath(os.path.realpath(path)).is_relative_to(state) for path in holds):
        message = f"{state} holds more than the state of an OpenClaw"
        raise OcmError(message, hint="without --move a copy is made", code="adopt_refused")


def chosen_name(found: Candidate, name: InstanceName | None, *, moving: bool) -> str:
    """Return how the instance is to be called; raise `Invalid` where that has to be said.

    A copy of a profile cannot bear its name, which stands for its state.
    """
    if name is not None:
        return name
    if not found.suggested:
        message = f"{found.what} needs a name as an instance"
        raise Invalid(message, hint="--name NAME gives it one", code="name_missing")
    return found.suggested if moving or not found.own or found.stays else f"{found.suggested}-copy"


def runtime_for(host: Host, found: Candidate) -> Runtime:
    """Return the OpenClaw that wrote a config last, where OCM installed that, or else what is found.

    Raises `OcmError` where that is older: it cannot read the state.
    """
    wrote = lookup(found.settings, _VERSION)
    last = wrote if isinstance(wrote, str) else found.version
    if last is not None and len(last) > _LONGEST_VERSION:
        message = f"the config of {found.what} names no version that an OpenClaw has"
        raise OcmError(message, hint=f"mend {_VERSION} in it", code="adopt_refused")
    runtime = runtime_of(host, last if last in installed(host.paths) else None)
    have = version_of(runtime)
    if last is not None and is_newer(last, have):
        message = (
            f"{found.what} was last used by OpenClaw {printable(last)}, newer than {have}, which is installed"
        )
        raise OcmError(message, hint=f"ocm runtime install {printable(last)}", code="adopt_refused")
    return runtime


def taken_secrets(found: Candidate, runtime: Runtime) -> dict[str, str]:
    """Return the variables of what is adopted that become secrets of the instance."""
    known = known_providers(PurePosixPath(runtime.openclaw))[0]
    wanted = {name for names in known.values() for name in names} | set(referred_in(found.settings))
    return secrets_of(found.variables, found.origins, wanted)


def dotenv_of(found: Candidate, taken: Mapping[str, str]) -> bytes | None:
    """Return the `.env` of a state where all that it sets became secrets: then it need not be there."""
    path = Path(found.directory, ".env")
    data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    if not data:
        return None
    names = parse_dotenv(data.decode(errors="replace"))
    return data if names and names.keys() <= taken.keys() else None


def linked_to(found: Candidate) -> str | None:
    """Return where the config in a state of the user's leads as a link, None where it is a file."""
    is_link = found.own and found.config.parent == found.state and Path(found.config).is_symlink()
    return os.path.realpath(found.config) if is_link else None


def stays_behind(host: Host, name: str, found: Candidate, *, but: Collection[str]) -> tuple[str, ...]:
    """Return in sentences what the config names outside of the state and the instance does not see.

    What it sees all the same is `but`.
    """
    home = host.paths.home
    seen = (str(found.state), *but, *_SEEN)
    told = []
    for text in dict.fromkeys(paths_in(dict(found.settings))):
        path = PurePosixPath(os.path.normpath(absolute(home, text)))
        is_seen = any(path.is_relative_to(place) for place in seen)
        if not is_seen and path not in (home, PurePosixPath("/")) and os.path.exists(path):  # noqa: PTH110 - see os.path
            mend = f"ocm mount {name} {path} --rw"
            told.append(f"{path} stays where it is, and {name} does not see it: {mend}")
    return tuple(told[:_MOST_TOLD])


def lost(found: Candidate, *, moving: bool) -> tuple[InstanceName, ...]:
    """Return whose lock an adoption holds as well: that of main where main is what goes away."""
    return (MAIN,) if found.is_main and moving else ()
