"""`ocm adopt`: an OpenClaw that ran without OCM becomes an instance."""

from __future__ import annotations

import contextlib
import secrets as random
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core import secrets, temporary
from openclaw_ocm.core.adoption.steps import CopyState, RefuseChanged, RemoveFormer, Service, SetService
from openclaw_ocm.core.backup.layout import STATE
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.document import changed_keys
from openclaw_ocm.core.paths import CONFIG_NAME
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
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations.planning.adopting import (
    candidate,
    chosen_name,
    lost,
)
from openclaw_ocm.operations.planning.adopting_archive import (
    archived,
    following,
    forgetting,
    unpack_archive,
)
from openclaw_ocm.operations.planning.adoption import planned_adoption
from openclaw_ocm.operations.planning.change import allocating, carry_out, locked, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.making import (
    refuse_instance,
    setting_up,
)
from openclaw_ocm.operations.planning.moved_programs import stale_programs
from openclaw_ocm.operations.planning.repair import ready_in_words
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import free_bytes
from openclaw_ocm.system.exchange import inode
from openclaw_ocm.system.kept.adopted import encode_adopted
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.openclaw.own_copy import size_of
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.adopting import Candidate
    from openclaw_ocm.operations.planning.adoption import Planned, Request
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

_ASIDE = Service(there=False, enabled=False, runs=False)


def adopt(context: Context, wanted: str, request: Request, effort: Effort, *, dry_run: bool) -> Outcome:
    """Make an instance of main, of a profile, of what a service runs, or of a state directory.

    Without `request.move` it is one of a copy that has no channels and does nothing of its own, and what it
    is a copy of is not touched. With it the service is stopped and set aside, and what runs goes on as the
    instance: `unadopt` brings it back. A failure leaves all as it was. Raises `OcmError`.
    """
    found = archived(context, wanted) or candidate(context.host, wanted, moving=request.move)
    name = parse_name(chosen_name(found, request.name, moving=request.move))
    with locked(context, name, *lost(found, moving=request.move)), contextlib.ExitStack() as until_reserved:
        until_reserved.enter_context(allocating(context))
        if found.own:
            # What was seen of it without the lock may hold no longer.
            found = candidate(context.host, wanted, moving=request.move)
        refuse_instance(context.host.paths, name)
        planned = planned_adoption(context, name, found, request)
        outcome = _carry_out(planned, found, request, effort, dry_run=dry_run, until_reserved=until_reserved)
    moved = not dry_run and str(planned.worker.paths.state) != planned.adopted.state
    stale = stale_programs(name, planned.worker.volume) if moved else ()
    return replace(outcome, notes=(*outcome.notes, *stale))


def _carry_out(  # noqa: PLR0913 - what is done, to what, and how
    planned: Planned,
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
    others = lost(found, moving=request.move)
    has_moved = found.state != paths.state
    began = time.monotonic()
    with contextlib.ExitStack() as until_planned:
        if not dry_run:
            _refuse_full(found, paths)
            holding = make_plan(worker.backend, "adopt", name, [stage], others=others)
            transaction = Transaction(context=context, plan=holding, progress=context.report)
            until_planned.enter_context(transaction.staging())
            unpacked = _fill(context, stage, planned, found)
            planned = replace(planned, notes=(*planned.notes, *unpacked))
        rules = guard(context.host, before=None, after=worker.record)
        undoable = _steps(planned, found, request, effort, stage=stage, rules=rules.steps)
        cleaning: list[Step] = [
            *([RemoveFormer(path=str(found.state))] if planned.adopted.moved and has_moved else []),
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
    if planned.adopted.moved and found.pid is not None and request.start and not dry_run:
        silent = f"it gave no answer for {round(time.monotonic() - began)} s"
        outcome = replace(outcome, notes=(silent, *outcome.notes))
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
    return Slots(paths).stage(token, beside)


def _state_in(stage: Stage) -> PurePosixPath:
    return PurePosixPath(stage.path) / "adopted" / STATE


def _fill(context: Context, stage: Stage, planned: Planned, found: Candidate) -> tuple[str, ...]:
    """Write what is staged, but for a state that is copied when what uses it is stopped.

    Of an archive the state is unpacked; returns what is to be told of that.
    """
    state, own, told = _state_in(stage), dict[str, str](), tuple[str, ...]()
    if found.look is None:
        Path(state).mkdir(mode=0o700, parents=True)
    else:
        own, told = unpack_archive(context, found.directory, found.look, state, planned.adopted.after)
    contents = (
        secrets.format_file({**planned.secrets, **own}),
        encode_adopted(planned.adopted),
        found.data,
        planned.adopted.after,
    )
    for path, data in zip(stage.files, contents, strict=True):
        files.write_new(PurePosixPath(path), data)
    return told


def _refuse_full(found: Candidate, paths: InstancePaths) -> None:
    if not found.own:
        # Its unpacking counts as it goes.
        return
    free, needed = free_bytes(paths.state.parent), size_of(found.directory)
    if free < needed:
        message = (
            f"a copy of {found.directory} takes {needed} bytes, and {free} are free beside {paths.state}"
        )
        raise OcmError(message, hint="make room there; nothing was changed", code="no_space")


def _steps(  # noqa: PLR0913 - what is done, to what, and how
    planned: Planned,
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
    noted = f"{stage.path}/noted"
    goes = planned.adopted.moved and found.state != paths.state
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
    copying: list[Step] = [
        CopyState(
            source=str(found.directory),
            path=str(state),
            file=str(found.config),
            live=not request.move,
            noted=noted if request.move else None,
            left_out=planned.left_out,
        )
    ]
    config = ReplaceConfig(name=name, before=before, after=after, beside=files.name_beside(CONFIG_NAME))
    return [
        stage,
        WriteRecord(path=str(paths.record), text=encode_record(record)),
        MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        _exchange(paths.adopted, adopted),
        *setting,
        *(copying if found.own else ()),
        Slots(paths).exchange(state),
        _exchange(paths.secrets, secret),
        *((config,) if found.own else ()),
        *setting_up(worker, rules, autostart=record.autostart),
        *forgetting(paths, found),
        RewritePaths(
            name=name,
            before=str(found.state),
            after=str(paths.state),
            fresh=not planned.adopted.moved,
            copied=True,
        ),
        *following(paths, found),
        *((Start(name=name), effort.verify(name)) if request.start else ()),
        *((RefuseChanged(path=str(found.state), noted=noted),) if goes else ()),
    ]


def _exchange(path: PurePosixPath, staged: str) -> Exchange:
    return Exchange(path=str(path), staged=staged, inode=inode(PurePosixPath(staged)) or 0)


def _done(planned: Planned, found: Candidate, request: Request) -> str:
    record = planned.worker.record
    copied = f"made of {'a copy of ' if found.own else ''}{found.what}"
    made = f"{found.what} is {record.name} now" if planned.adopted.moved else copied
    if not request.start:
        return f"{made}, not started: ocm start {record.name}"
    return f"{made}, on port {record.port}, {ready_in_words(record)}"
