"""What an adoption makes: the record, the config and the secrets of the instance, and what is told of it."""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass, field, replace
from os.path import isdir, normpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.adoption.config import adopted_config, is_of_channel, referred_in, token_of
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.channels import bots
from openclaw_ocm.core.openclaw.document import format_config, lookup, refuse_large
from openclaw_ocm.core.openclaw.main_place import absolute
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.openclaw.settings import weakened
from openclaw_ocm.core.openclaw.traits import TOKEN_BYTES
from openclaw_ocm.core.openclaw.workspaces import workspaces
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.record import Record, Shown
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.planning.adopting import (
    dotenv_of,
    linked_to,
    runtime_for,
    stays_behind,
    taken_secrets,
)
from openclaw_ocm.operations.planning.adopting_others import (
    claims_of_others,
    refuse_shared,
    refuse_started,
    told_of_shared,
)
from openclaw_ocm.operations.planning.adopting_variables import (
    in_workspace,
    named_workspace,
    told_of_steering,
    with_workspace,
)
from openclaw_ocm.operations.planning.agents import closed_places
from openclaw_ocm.operations.planning.followers import told_of_followers
from openclaw_ocm.operations.planning.making import choose_port, kept_port, refuse_existing
from openclaw_ocm.operations.planning.networks import choose_network
from openclaw_ocm.operations.planning.twins import refuse_twin
from openclaw_ocm.system.kept.adopted import Adopted
from openclaw_ocm.system.kept.records import read_settings
from openclaw_ocm.system.openclaw.own_logins import logins_in
from openclaw_ocm.system.openclaw.source import read_main_port
from openclaw_ocm.system.shown import refuse_new

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.adopting import Candidate

_MOST_TOLD = 10
# What a copy is without: locks and caches, and logins of channels, which the original goes on using.
_NOT_COPIED = ("cache", "logs", "credentials", ".env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for: `move` has what runs become the instance, in the place of a copy of it.

    `port` and `network` are None for what is usual, `allow` is what it may reach near by; `start` has the
    instance started and proved.
    """

    name: InstanceName | None = None
    move: bool = False
    port: int | None = None
    network: Kind | None = None
    allow: tuple[str, ...] = ()
    start: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The instance that is to be, and what is to be in its files."""

    worker: Instance
    config: dict[str, Any] = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    adopted: Adopted = field(repr=False)
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def planned_adoption(context: Context, name: InstanceName, found: Candidate, request: Request) -> Planned:
    """Return what an adoption makes; raises `OcmError` where something stands in its way.

    The caller holds the locks, and chooses ports alone.
    """
    host, paths = context.host, context.host.instance(name)
    # An archive is of an agent that is to go on here.
    goes_on = request.move or not found.own
    context.backend.check(sealed=True)
    runtime = runtime_for(host, found)
    if request.move and found.own and not found.stays:
        refuse_started(host, found)
    kind, notes = choose_network(host, name, request.network, sealed=True)
    port, told = _port(context, name, found, request)
    record = Record(
        name=name,
        backend=context.backend.name,
        network=kind,
        allow=request.allow if kind != "shared" else (),
        port=port,
        autostart=request.move and found.service is not None and found.service.enabled,
        runtime=runtime,
        environment=read_settings(host.paths).environment,
    )
    move = Move(before=found.state, after=paths.state, anywhere=True)
    named = named_workspace(found)
    found = with_workspace(found, named)
    outside = _workspaces_outside(paths, found) if found.own else ()
    claims = claims_of_others(host, found) if request.move and found.own and not found.stays else ()
    refuse_shared(found, claims)
    if request.move:
        record = _showing(context, record, outside)
    worker = instance_of(context, record)
    its_own = (paths.state, *(PurePosixPath(one.path) for one in found.files))
    refuse_existing(worker, but=its_own if request.move and found.state == paths.state else ())
    values = {key: one.value for key, one in found.variables.items()}
    taken = taken_secrets(found, runtime)
    token = token_of(found.settings, values) if goes_on else None
    config = adopted_config(
        # What a file of a copy includes would be merged with what it says to be quiet.
        in_workspace(found.written, named) if goes_on else _within(dict(found.settings), outside, paths),
        move,
        paths,
        before=found.port,
        port=port,
        token=token or random.token_hex(TOKEN_BYTES),
        quiet=not goes_on,
    )
    dotenv = None
    if goes_on:
        refuse_twin(host, name, bots(found.settings, values), but=MAIN if found.is_main else None)
        dotenv = dotenv_of(found, taken)
    else:
        of_channels = set(referred_in(lookup(found.settings, "channels")))
        taken = {
            key: value
            for key, value in taken.items()
            if key not in of_channels and not is_of_channel(key, found.channels)
        }
    refuse_large(format_config(config))
    adopted = Adopted(
        what=found.what,
        moved=request.move and found.own and not found.stays,
        was_main=found.is_main,
        state=str(found.state),
        config=str(found.config),
        port=found.port,
        became=str(paths.state),
        before=found.data,
        after=format_config(config),
        dotenv=dotenv,
        secrets={key: value.encode() for key, value in sorted(taken.items())},
        link=linked_to(found),
        unit=found.unit,
        files=found.files,
        service=found.service,
    )
    return Planned(
        worker=worker,
        config=config,
        secrets=taken,
        adopted=adopted,
        left_out=_NOT_COPIED if not goes_on else (".env",) if dotenv is not None else (),
        notes=(
            *found.notes,
            *notes,
            *told,
            *_told(name, found, request, taken),
            *_told_of_workspaces(name, found, request, outside),
            *told_of_shared(claims, outside),
            *told_of_steering(found),
            *(told_of_followers(host, name) if found.is_main and request.move else ()),
            *closed_places(record, config),
            *(stays_behind(host, name, found, but=outside) if found.own else ()),
            *weakened(config, port=port),
        ),
    )


def _port(
    context: Context, name: InstanceName, found: Candidate, request: Request
) -> tuple[int, tuple[str, ...]]:
    """Return the port of the instance: the one that it had, where it is moved and keeps it alone."""
    host = context.host
    main = read_main_port(host)
    if request.port is not None or (found.own and not request.move):
        return choose_port(host, request.port, main=main), ()
    try:
        if not found.own:
            return choose_port(host, found.port, main=main), ()
        return kept_port(host, found.port, listens=found.pid is not None), ()
    except OcmError as error:
        port = choose_port(host, None, main=main)
        return port, (f"{error.message}: {name} gets {port}",)


def _told(name: InstanceName, found: Candidate, request: Request, taken: dict[str, str]) -> tuple[str, ...]:
    """Return in sentences what comes along and what does not."""
    notes = [f"secrets of {name}: {', '.join(sorted(taken))}"] if taken else []
    if not found.own:
        if found.channels:
            where = f"nowhere else may it run with its channels: {', '.join(found.channels)}"
            notes.append(where)
        return tuple(notes)
    if not request.move:
        notes.append(
            f"{name} is a copy, without channels, and runs no cron jobs: {found.what} goes on as it was; "
            "--move has it become the instance"
        )
        if found.channels:
            notes.append(f"left out, for their logins may be in one place alone: {', '.join(found.channels)}")
        logins = logins_in(found.directory)
        if logins:
            shown = ", ".join(
                (*map(printable, logins[:_MOST_TOLD]), *(["..."] if logins[_MOST_TOLD:] else []))
            )
            anew = f"ocm use {name} models auth login"
            notes.append(f"left out, for a login that two use ends for both: {shown}; log in anew: {anew}")
        return tuple(notes)
    if found.stays:
        notes.append(f"{name} takes over its channels: see to it that it runs nowhere else")
    if found.unit is not None:
        notes.append(f"{found.unit} is stopped, disabled and set aside: ocm unadopt {name} brings it back")
    if (leads := linked_to(found)) is not None:
        notes.append(
            f"{found.config} is a link to {leads}, which stays as it is: {name} has a file of its own"
        )
    if found.config != found.state / CONFIG_NAME:
        notes.append(f"{found.config} stays where it is, and is not read any more")
    return tuple(notes)


def _workspaces_outside(paths: InstancePaths, found: Candidate) -> tuple[str, ...]:
    """Return the workspaces that a config names outside of the state, as they are there."""
    named = workspaces(replace(paths, state=found.state), dict(found.settings)).outside
    return tuple(path for path in named if isdir(path))  # noqa: PTH112 - no path may be too long


def _showing(context: Context, record: Record, outside: tuple[str, ...]) -> Record:
    """Return the record of an instance that is shown its workspaces, to write in them, where they are.

    Raises `OcmError` where one may not be shown: the agent would begin with an empty one, and lose that.
    """
    for path in outside:
        shown = Shown(path=path, at=path, writable=True)
        record = msgspec.structs.replace(record, mounts=(*record.mounts, shown))
        worker = instance_of(context, record)
        try:
            refuse_new(context.host, record, worker.own_policy, shown)
        except OcmError as error:
            message = f"the workspace {path} cannot be shown to an instance: {error.message}"
            hint = "move it into the state, and name it so in agents.defaults.workspace"
            raise OcmError(message, hint=hint, code="adopt_refused") from None
    return record


def _within(config: dict[str, Any], outside: tuple[str, ...], paths: InstancePaths) -> dict[str, Any]:
    """Return a config whose workspaces are that of the copy, where they are not in the state."""

    def replaced(value: Any, key: str = "") -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, dict):
            return {name: replaced(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        is_named = key == "workspace" and isinstance(value, str)
        named = normpath(absolute(paths.host.home, value)) if is_named else None
        return str(paths.workspace) if named in outside else value

    found: dict[str, Any] = replaced(config)
    return found


def _told_of_workspaces(
    name: InstanceName, found: Candidate, request: Request, outside: tuple[str, ...]
) -> tuple[str, ...]:
    if request.move:
        return tuple(f"{name} is shown its workspace {path}, to write in it" for path in outside)
    empty = f"{name} begins with an empty one"
    return tuple(f"{path} is the workspace of {found.what}: {empty}" for path in outside)
