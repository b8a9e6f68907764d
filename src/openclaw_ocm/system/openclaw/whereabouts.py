"""Finds main, the user's own OpenClaw, wherever it lies, and the variables that its surroundings set."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.dotenv import parse_dotenv
from openclaw_ocm.core.openclaw.main_place import (
    Main,
    Surroundings,
    absolute,
    config_of,
    is_profile,
    port_in,
    state_of,
)
from openclaw_ocm.core.openclaw.service import Service, parse_environment_d, parse_environment_file
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.host import user_manager_answers
from openclaw_ocm.system.kept.names import instance_names, names_in
from openclaw_ocm.system.kept.records import read_settings
from openclaw_ocm.system.openclaw.services import find_services
from openclaw_ocm.system.openclaw.texts import read_bounded, read_text
from openclaw_ocm.system.processes import environ, started
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from openclaw_ocm.system.host import Host

# Where environment.d(5) has the user manager look, beside the user's own.
ENVIRONMENT_D = ("/etc/environment.d", "/run/environment.d", "/usr/lib/environment.d")
_OLDER = ".clawdbot"
_OLDER_CONFIG = "clawdbot.json"
_MAX_FILES = 50
_MAX_LOCK = 65536
_MAX_ENVIRON = 2**21
_ASK_SECONDS = 10.0
# What the manager says of itself and of its session is nothing that main was given.
_MANAGERS = frozenset(
    {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}
    | {"SYSTEMD_EXEC_PID", "INVOCATION_ID", "JOURNAL_STREAM", "MANAGERPID", "NOTIFY_SOCKET", "TERM", "_"}
)


def find_main(host: Host) -> Main:
    """Return where main is, by its service, by variables, by a profile, or where the settings say it is.

    What is an instance of OCM's is no main. Its config may not be there: `found` says so. Raises `OcmError`
    where the settings cannot be read.
    """
    return with_process(host, *_located(host, manager_variables(host)))


def locate_main(host: Host) -> Main:
    """Return where main is by what files alone say, without what its own state adds; `OcmError` as above."""
    return _located(host, _environment_d(host))[0]


def _located(host: Host, manager: Surroundings) -> tuple[Main, list[Main]]:
    """Return where main is, and the places that were looked at."""
    places = []
    named = read_settings(host.paths).main
    unread: list[str] = []
    services = list(find_services(host, unread))
    notes = tuple(f"{why}: if main is started by it, what it sets is not inherited" for why in unread)
    for found in _candidates(host, named, services, manager):
        place = replace(found, surroundings=found.surroundings.noting(notes))
        places.append(place)
        # What names a place has the last word, whether or not something is there.
        if place.found or (place.origin and _is_final(place, named)):
            return place, places
    return next(place for place in places if place.state == host.paths.main_state), places


def main_places(host: Host) -> tuple[PurePosixPath, ...]:
    """Return where main and what its services set may lie, which no instance is to see, by the real paths.

    Asks nobody: files alone are looked at. Where the settings cannot be read, they name nothing.
    """
    found: list[str | PurePosixPath] = []
    with contextlib.suppress(OcmError):
        named = read_settings(host.paths).main
        found += [absolute(host.paths.home, named)] if named else []
    for service, system in find_services(host):
        found += [source for _value, source in service.variables.values()]
        for each in service.files:
            found += _files(each)
        with contextlib.suppress(OcmError):
            place = of_service(host, service, Surroundings(), system=system)
            found += [place.state, place.config]
    state = state_of(host.paths.home, host.openclaw, None)
    found += [state] if state else []
    return tuple(dict.fromkeys(PurePosixPath(os.path.realpath(path)) for path in found))


def _files(named: str) -> list[str]:
    """Return the files that an `EnvironmentFile=` names, which may be a pattern."""
    pattern = named.removeprefix("-")
    return sorted(glob.glob(pattern))[:_MAX_FILES] if glob.has_magic(pattern) else [pattern]  # noqa: PTH207


def _is_final(place: Main, named: str | None) -> bool:
    return named is not None or place.origin.startswith("its ")


def with_process(host: Host, place: Main, places: list[Main]) -> Main:
    """Return a place with all that is known of it without its config; `places` are those looked at."""
    older = host.paths.home / _OLDER
    looked = tuple(dict.fromkeys(str(each.config) for each in places if each.state != older))
    running = running_on(host, place.state)
    surroundings = place.surroundings
    port = place.port
    if running is not None:
        number, pid = running
        port = number or port
        surroundings = surroundings.below(_environ(pid), f"main's process, PID {pid}")
    surroundings = _with_dotenv(host, surroundings, place.state)
    if port is None:
        port = port_in(surroundings.value("OPENCLAW_GATEWAY_PORT"))
    return replace(place, looked=looked, port=port, surroundings=surroundings)


def _candidates(
    host: Host, named: str | None, services: list[tuple[Service, bool]], manager: Surroundings
) -> Iterator[Main]:
    """Yield where main may be, the likeliest first."""
    of_services = [of_service(host, service, manager, system=system) for service, system in services]
    ours = states_of_instances(host)
    of_services = [place for place in of_services if not is_ours(place, ours)]
    # A second profile, such as a rescue bot, is main only where there is no other.
    first = [place for place in of_services if _is_main_profile(host, place)]
    chosen = (*first, *of_services)[:1]
    around = chosen[0].surroundings if chosen else manager
    if named is not None:
        origin = f"main in {host.paths.settings}"
        yield place_at(host, absolute(host.paths.home, named), origin, around)
        return
    yield from first
    usual = host.paths.main_state
    for values, origin in ((host.openclaw, "your shell"), (manager.values(), "the user manager")):
        state = state_of(host.paths.home, values, None) or usual
        given = around.below(values, origin)
        place = place_at(host, state, f"the variables of {origin}", given, values)
        if (state != usual or "OPENCLAW_CONFIG_PATH" in values) and not is_ours(place, ours):
            yield place
    yield place_at(host, usual, "", around)
    yield place_at(host, host.paths.home / _OLDER, "", around)
    yield from (place for place in of_services if place not in first)
    yield from _profiles(host, ours, around)


def states_of_instances(host: Host) -> frozenset[PurePosixPath]:
    """Return the states of instances, by the real paths: what is in one may all be written by it.

    One that is being deleted has no record any more, and a journal.
    """
    names = (*instance_names(host.paths), *names_in(host.paths.transactions, suffix=".jsonl"))
    states = (host.instance(name).state for name in names)
    return frozenset(PurePosixPath(os.path.realpath(state)) for state in states)


def is_ours(place: Main, ours: Collection[PurePosixPath]) -> bool:
    """Tell whether a place is or leads into the state of an instance, by whatever name or link."""
    real = [PurePosixPath(os.path.realpath(path)) for path in (place.state, place.config)]
    return any(path.is_relative_to(state) for path in real for state in ours)


def _profiles(host: Host, ours: Collection[PurePosixPath], around: Surroundings) -> Iterator[Main]:
    """Yield the profiles that are no instances, `main` and `default` first."""
    found = [PurePosixPath(path) for path in sorted(Path(host.paths.home).glob(".openclaw-*"))[:_MAX_FILES]]
    found.sort(key=lambda path: (path.name not in (".openclaw-main", ".openclaw-default"), path.name))
    for state in found:
        profile = state.name.removeprefix(".openclaw-")
        place = place_at(host, state, f"the profile {profile}", around, profile=profile)
        # What OCM set aside of an instance bears a name that no profile can have.
        if is_profile(profile) and not is_ours(place, ours) and Path(state, CONFIG_NAME).exists():
            yield place


def _is_main_profile(host: Host, place: Main) -> bool:
    named = place.profile is not None and place.profile.lower() not in ("main", "default")
    return not (named and place.state.parent == host.paths.home)


def place_at(  # noqa: PLR0913 - what is known of a place
    host: Host,
    state: PurePosixPath,
    origin: str,
    surroundings: Surroundings,
    values: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    port: int | None = None,
) -> Main:
    """Return a state as a place; `values` are variables that may name another config, `port` what it has."""
    config = config_of(host.paths.home, values or {}, state)
    older = state / _OLDER_CONFIG
    if not _is_there(config) and config == state / CONFIG_NAME and _is_there(older):
        config = older
    return Main(
        state=state,
        config=config,
        origin=origin,
        found=_is_there(config),
        profile=profile,
        port=port,
        surroundings=surroundings,
    )


def _is_there(path: PurePosixPath) -> bool:
    """Tell whether something is there; what cannot be looked at is, and reading it says why not."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def of_service(host: Host, service: Service, manager: Surroundings, *, system: bool) -> Main:
    """Return the place on which a service runs; `manager` is what the user's manager gives it."""
    surroundings = Surroundings()
    for name, (value, source) in service.variables.items():
        surroundings = surroundings.above({name: value}, source)
    for named in service.files:
        surroundings = _with_file(surroundings, named, service.place)
    if not system:
        for variable in manager.variables.values():
            surroundings = surroundings.below({variable.name: variable.value}, variable.origin)
        surroundings = surroundings.noting(manager.notes)
    surroundings = surroundings.without(service.unset)
    values = surroundings.values()
    profile = service.option("--profile")
    state = state_of(host.paths.home, values, profile)
    explicit = state is not None or "OPENCLAW_CONFIG_PATH" in values
    return place_at(
        host,
        state or host.paths.main_state,
        f"its service {service.place}" if explicit else "",
        surroundings,
        values,
        profile=profile or values.get("OPENCLAW_PROFILE"),
        port=port_in(service.option("--port")),
    )


def _with_file(surroundings: Surroundings, named: str, unit: str) -> Surroundings:
    """Return the variables with those of an `EnvironmentFile=`, which replace those of the unit."""
    for path in _files(named):
        try:
            text = read_text(path)
        except OcmError as error:
            said = f"{error.message}, which main's service {unit} reads: what it sets is not inherited"
            surroundings = surroundings.noting((said,))
            continue
        found, exported = parse_environment_file(text)
        surroundings = surroundings.above(found, path)
        surroundings = surroundings.noting(
            f"{path} has export before {name}: systemd passes that line over, so main has no {name} of it"
            for name in exported
            if name not in surroundings.variables
        )
    return surroundings


def manager_variables(host: Host) -> Surroundings:
    """Return what the user's manager gives to its services: environment.d and what was imported."""
    imported = {name: value for name, value in _asked(host).items() if name not in _MANAGERS}
    # A file that was changed since the manager read it has the say at its next start.
    return _environment_d(host).below(imported, "the user manager (systemctl --user show-environment)")


def _environment_d(host: Host) -> Surroundings:
    """Return what the files of environment.d set."""
    files: dict[str, Path] = {}
    for directory in (str(host.paths.config_home / "environment.d"), *ENVIRONMENT_D):
        for path in sorted(Path(directory).glob("*.conf"))[:_MAX_FILES]:
            files.setdefault(path.name, path)
    surroundings = Surroundings()
    known = {"HOME": str(host.paths.home), "USER": host.user}
    for name in sorted(files):
        try:
            text = read_text(str(files[name]))
        except OcmError as error:
            surroundings = surroundings.noting((f"{error.message}: what it sets is not inherited",))
            continue
        found = parse_environment_d(text, {**known, **surroundings.values()})
        surroundings = surroundings.above(found, str(files[name]))
    kept = {name: item for name, item in surroundings.variables.items() if name not in _MANAGERS}
    return Surroundings(variables=kept, notes=surroundings.notes)


def _asked(host: Host) -> dict[str, str]:
    """Return what `systemctl --user show-environment` says, nothing where no manager answers."""
    if not user_manager_answers(host):
        return {}
    command = Command(
        argv=("systemctl", "--user", "show-environment", "--output=json"),
        timeout_seconds=_ASK_SECONDS,
        limit=_MAX_ENVIRON,
    )
    with contextlib.suppress(OcmError):
        text = host.runner.run(command, check=False).stdout
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(text)
            return {name: value for name, value in said.items() if isinstance(value, str)}
        # Before systemd 250 it knows no JSON, and quotes what is no plain word.
        pairs = (line.partition("=") for line in text.splitlines())
        return {name: value for name, _, value in pairs if value and not value.startswith("$'")}
    return {}


def _with_dotenv(host: Host, surroundings: Surroundings, state: PurePosixPath) -> Surroundings:
    """Return the variables with those of the state's `.env`, then of a file that OpenClaw keeps beside.

    The first that sets one has the say, but for those that OpenClaw wrote into its own unit
    (docs/help/environment of OpenClaw 2026.9.6).
    """
    names = frozenset(surroundings.value("OPENCLAW_SERVICE_MANAGED_ENV_KEYS").replace(",", " ").split())
    own = state / ".env"
    found = parse_dotenv(read_text(own))
    surroundings = surroundings.above({name: found[name] for name in names & found.keys()}, str(own))
    surroundings = surroundings.below(found, str(own))
    fallback = host.paths.config_home / "openclaw" / "gateway.env"
    return surroundings.below(parse_dotenv(read_text(fallback)), str(fallback))


def lock_of(host: Host, state: PurePosixPath) -> PurePosixPath:
    """Return the file by which a gateway holds a state (OpenClaw 2026.9.6, dist/gateway-lock)."""
    return state / "tmp" / f"openclaw-{host.uid}" / "gateway.state.lock"


def running_on(host: Host, state: PurePosixPath) -> tuple[int | None, int] | None:
    """Return port and PID of a gateway that runs on a state, None where none does.

    By the lock that it holds. One that was left behind may name the
    PID of an instance's process by now, so it has to be of when that process started, as OpenClaw has it.
    """
    lock = Path(lock_of(host, state))
    with contextlib.suppress(OcmError, OSError, ValueError, RecursionError):
        said = json.loads(read_bounded(lock, _MAX_LOCK, str(lock)) or b"null")
        pid = said.get("pid") if isinstance(said, dict) else None
        if isinstance(pid, int) and pid > 1:
            process = Path("/proc", str(pid))
            words = (process / "cmdline").read_bytes()
            if (
                process.stat().st_uid == host.uid
                and b"openclaw" in words
                and said.get("startTime") == int(started(pid))
            ):
                return port_in(said.get("port")), pid
    return None


def _environ(pid: int) -> dict[str, str]:
    """Return the variables with which a process of the user's was started, none where they cannot be read."""
    found = environ(pid, limit=_MAX_ENVIRON)
    return {name: value for name, value in found.items() if name not in _MANAGERS}
