"""`ocm adopt`: an OpenClaw that ran without OCM becomes an instance."""

from __future__ import annotations

import contextlib
import secrets as random
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core import secrets, temporary
from openclaw_ocm.core.adoption.config import adopted_config, referred_in, token_of
from openclaw_ocm.core.adoption.steps import CopyState, RemoveFormer, Service, SetService
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.core.openclaw.channels import bots
from openclaw_ocm.core.openclaw.document import changed_keys, format_config, lookup, refuse_large
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.openclaw.settings import weakened
from openclaw_ocm.core.openclaw.traits import TOKEN_BYTES
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.record import Record
from openclaw_ocm.core.steps import (
    Exchange,
    MakeShell,
    RemoveFile,
    RemoveTree,
    ReplaceConfig,
    RewritePaths,
    Stage,
    Start,
    WriteRecord,
)
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations.planning.adopting import (
    candidate,
    chosen_name,
    dotenv_of,
    lock_names,
    runtime_for,
    stays_behind,
    taken_secrets,
)
from openclaw_ocm.operations.planning.agents import closed_places
from openclaw_ocm.operations.planning.change import allocating, carry_out, locked, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.making import (
    choose_port,
    kept_port,
    refuse_existing,
    refuse_instance,
    setting_up,
)
from openclaw_ocm.operations.planning.moved_programs import stale_programs
from openclaw_ocm.operations.planning.networks import choose_network
from openclaw_ocm.operations.planning.repair import ready_in_words
from openclaw_ocm.operations.planning.twins import refuse_twin
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import free_bytes
from openclaw_ocm.system.exchange import inode
from openclaw_ocm.system.kept.adopted import Adopted, encode_adopted
from openclaw_ocm.system.kept.records import encode_record, read_settings
from openclaw_ocm.system.openclaw.own_state import size_of
from openclaw_ocm.system.openclaw.source import read_main_port

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.adopting import Candidate
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

# What a copy is without: locks and caches, and logins of channels, which the original goes on using.
_NOT_COPIED = ("cache", "logs", "credentials", ".env")
_CHANNEL_KEYS = ("_BOT_TOKEN", "_APP_TOKEN")
_ASIDE = Service(there=False, enabled=False, runs=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for: `move` has what runs become the instance, in the place of a copy of it.

    `port` and `network` are None for what is usual; `start` has the instance started and proved.
    """

    name: InstanceName | None = None
    move: bool = False
    port: int | None = None
    network: Kind | None = None
    start: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """The instance that is to be, and what is to be in its files."""

    worker: Instance
    config: dict[str, Any] = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    adopted: Adopted = field(repr=False)
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def adopt(context: Context, wanted: str, request: Request, effort: Effort, *, dry_run: bool) -> Outcome:
    """Make an instance of main, of a profile, of what a service runs, or of a state directory.

    Without `request.move` it is one of a copy that has no channels and does nothing of its own, and what it
    is a copy of is not touched. With it the service is stopped and set aside, and what runs goes on as the
    instance: `unadopt` brings it back. A failure leaves all as it was. Raises `OcmError`.
    """
    found = candidate(context.host, wanted, moving=request.move)
    name = parse_name(chosen_name(found, request.name, moving=request.move))
    with locked(context, *lock_names(name, found)), contextlib.ExitStack() as until_reserved:
        until_reserved.enter_context(allocating(context))
        found = candidate(context.host, wanted, moving=request.move)
        refuse_instance(context.host.paths, name)
        planned = _planned(context, name, found, request)
        outcome = _carry_out(planned, found, request, effort, dry_run=dry_run, until_reserved=until_reserved)
    paths = planned.worker.paths
    moved = not dry_run and paths.state != found.state
    stale = stale_programs(name, paths.state) if moved else ()
    return replace(outcome, notes=(*outcome.notes, *stale))


def _planned(context: Context, name: InstanceName, found: Candidate, request: Request) -> _Planned:
    host, paths = context.host, context.host.instance(name)
    context.backend.check(sealed=True)
    runtime = runtime_for(host, found)
    kind, notes = choose_network(host, name, request.network, sealed=True)
    port, told = _port(context, name, found, request)
    record = Record(
        name=name,
        backend=context.backend.name,
        network=kind,
        port=port,
        autostart=request.move and found.service is not None and found.service.enabled,
        runtime=runtime,
        environment=read_settings(host.paths).environment,
    )
    worker = instance_of(context, record)
    its_own = (paths.state, *(PurePosixPath(one.path) for one in found.files))
    refuse_existing(worker, but=its_own if request.move and found.state == paths.state else ())
    values = {key: one.value for key, one in found.variables.items()}
    taken = taken_secrets(found, runtime)
    token = token_of(found.settings, values) if request.move else None
    move = Move(before=found.state, after=paths.state, anywhere=True)
    config = adopted_config(
        found.written,
        move,
        paths,
        before=found.port,
        port=port,
        token=token or random.token_hex(TOKEN_BYTES),
        quiet=not request.move,
    )
    dotenv = None
    if request.move:
        refuse_twin(host, name, bots(found.settings, values), but=MAIN if found.is_main else None)
        dotenv = dotenv_of(found, taken)
    else:
        of_channels = set(referred_in(lookup(found.settings, "channels")))
        taken = {
            key: value
            for key, value in taken.items()
            if key not in of_channels and not key.endswith(_CHANNEL_KEYS)
        }
    refuse_large(format_config(config))
    adopted = Adopted(
        what=found.what,
        moved=request.move,
        state=str(found.state),
        config=str(found.config),
        port=found.port,
        became=str(paths.state),
        before=found.data,
        after=format_config(config),
        dotenv=dotenv,
        secrets=tuple(sorted(taken)),
        unit=found.unit,
        files=found.files,
        service=found.service,
    )
    return _Planned(
        worker=worker,
        config=config,
        secrets=taken,
        adopted=adopted,
        left_out=_NOT_COPIED if not request.move else (".env",) if dotenv is not None else (),
        notes=(
            *found.notes,
            *notes,
            *told,
            *_told(name, found, request, taken),
            *closed_places(record, config),
            *stays_behind(host, name, found),
            *weakened(config, port=port),
        ),
    )


def _port(
    context: Context, name: InstanceName, found: Candidate, request: Request
) -> tuple[int, tuple[str, ...]]:
    """Return the port of the instance: the one that it had, where it is moved and keeps it alone."""
    host = context.host
    main = read_main_port(host)
    if request.port is not None or not request.move:
        return choose_port(host, request.port, main=main), ()
    try:
        return kept_port(host, found.port, listens=found.pid is not None), ()
    except OcmError as error:
        port = choose_port(host, None, main=main)
        return port, (f"{error.message}: {name} gets {port}",)


def _told(name: InstanceName, found: Candidate, request: Request, taken: dict[str, str]) -> tuple[str, ...]:
    """Return in sentences what comes along and what does not."""
    notes = [f"secrets of {name}: {', '.join(sorted(taken))}"] if taken else []
    if not request.move:
        notes.append(
            f"{name} is a copy, without channels, and runs no cron jobs: {found.what} goes on as it was; "
            "--move has it become the instance"
        )
        if found.channels:
            notes.append(f"left out, for their logins may be in one place alone: {', '.join(found.channels)}")
        return tuple(notes)
    if found.unit is not None:
        notes.append(f"{found.unit} is stopped, disabled and set aside: ocm unadopt {name} brings it back")
    if found.config != found.state / CONFIG_NAME:
        notes.append(f"{found.config} stays where it is, and is not read any more")
    return tuple(notes)


def _carry_out(  # noqa: PLR0913 - what is done, to what, and how
    planned: _Planned,
    found: Candidate,
    request: Request,
    effort: Effort,
    *,
    dry_run: bool,
    until_reserved: contextlib.ExitStack,
) -> Outcome:
    worker = planned.worker
    context, name, paths = worker.context, worker.name, worker.paths
    stage = _stage(paths, random.token_hex(temporary.TOKEN_BYTES))
    others = (MAIN,) if found.is_main else ()
    with contextlib.ExitStack() as until_planned:
        if not dry_run:
            _refuse_full(found, paths)
            holding = make_plan(worker.backend, "adopt", name, [stage], others=others)
            transaction = Transaction(context=context, plan=holding, progress=context.report)
            until_planned.enter_context(transaction.staging())
            _fill(stage, planned, found)
        rules = guard(context.host, before=None, after=worker.record)
        undoable = _steps(planned, found, request, effort, stage=stage, rules=rules.steps)
        cleaning: list[Step] = [
            *([RemoveFormer(path=str(found.state))] if request.move and found.state != paths.state else []),
            RemoveTree(path=stage.path),
            *(RemoveFile(path=path) for path in stage.files),
        ]
        outcome = carry_out(
            context,
            make_plan(
                worker.backend,
                "adopt",
                name,
                [*undoable, *cleaning],
                commit=len(undoable),
                others=others,
            ),
            done=_done(planned, found, request),
            nothing="",
            dry_run=dry_run,
            notes=(*worker.backend.notes(), *planned.notes),
            reserved=until_reserved.close,
        )
    changes = (f"change in its config: {', '.join(changed_keys(found.written, planned.config))}",)
    return rules.told(context.host, replace(outcome, changes=changes))


def _stage(paths: InstancePaths, token: str) -> Stage:
    """Return the step that makes the staging directory, and files that are staged beside their places."""
    names = (f"{paths.name}.before", f"{paths.name}.after")
    beside = (
        paths.secrets.with_name(temporary.beside(paths.secrets.name, token)),
        paths.adopted.with_name(temporary.beside(paths.adopted.name, token)),
        *(paths.secrets.with_name(temporary.beside(name, token)) for name in names),
    )
    directory = paths.state.with_name(temporary.incoming(paths.name, token))
    return Stage(path=str(directory), files=tuple(map(str, beside)))


def _state_in(stage: Stage) -> PurePosixPath:
    return PurePosixPath(stage.path) / "state"


def _fill(stage: Stage, planned: _Planned, found: Candidate) -> None:
    """Write what is staged, but for the state, which is copied when what uses it is stopped."""
    Path(_state_in(stage)).mkdir(mode=0o700)
    contents = (
        secrets.format_file(planned.secrets),
        encode_adopted(planned.adopted),
        found.data,
        planned.adopted.after,
    )
    for path, data in zip(stage.files, contents, strict=True):
        files.write_new(PurePosixPath(path), data)


def _refuse_full(found: Candidate, paths: InstancePaths) -> None:
    free, needed = free_bytes(paths.state.parent), size_of(found.directory)
    if free < needed:
        message = (
            f"a copy of {found.directory} takes {needed} bytes, and {free} are free beside {paths.state}"
        )
        raise OcmError(message, hint="make room there; nothing was changed", code="no_space")


def _steps(  # noqa: PLR0913 - what is done, to what, and how
    planned: _Planned,
    found: Candidate,
    request: Request,
    effort: Effort,
    *,
    stage: Stage,
    rules: list[Step],
) -> list[Step]:
    worker, state = planned.worker, _state_in(stage)
    name, paths, record = worker.name, worker.paths, worker.record
    secret, adopted, before, after = stage.files
    setting: list[Step] = []
    if request.move and found.unit is not None and found.service is not None:
        setting.append(
            SetService(
                name=name,
                unit=found.unit,
                files=tuple(one.path for one in found.files),
                before=found.service,
                after=_ASIDE if found.files else msgspec.structs.replace(_ASIDE, there=True),
            )
        )
    live = found.own and not request.move
    return [
        stage,
        WriteRecord(path=str(paths.record), text=encode_record(record)),
        MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        _exchange(paths.adopted, adopted),
        *setting,
        CopyState(
            source=str(found.directory),
            path=str(state),
            file=str(found.config),
            live=live,
            left_out=planned.left_out,
        ),
        _exchange(paths.state, str(state)),
        _exchange(paths.secrets, secret),
        ReplaceConfig(name=name, before=before, after=after, beside=files.name_beside(CONFIG_NAME)),
        *setting_up(worker, rules, autostart=record.autostart),
        RewritePaths(
            name=name,
            before=str(found.state),
            after=str(paths.state),
            fresh=not (request.move and found.own),
            copied=True,
        ),
        *((Start(name=name), effort.verify(name)) if request.start else ()),
    ]


def _exchange(path: PurePosixPath, staged: str) -> Exchange:
    return Exchange(path=str(path), staged=staged, inode=inode(PurePosixPath(staged)) or 0)


def _done(planned: _Planned, found: Candidate, request: Request) -> str:
    record = planned.worker.record
    made = f"{found.what} is {record.name} now" if request.move else f"made of a copy of {found.what}"
    if not request.start:
        return f"{made}, not started: ocm start {record.name}"
    return f"{made}, on port {record.port}, {ready_in_words(record)}"
