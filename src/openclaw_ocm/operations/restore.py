"""`ocm restore`: an instance from an archive, which may come from anybody."""

from __future__ import annotations

import contextlib
import secrets as random
import shlex
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.retention import parse_backup_file
from openclaw_ocm.core.openclaw.document import parse_config
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.record import Record
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.steps import (
    Exchange,
    MakeShell,
    RemoveFile,
    RemoveTree,
    RewritePaths,
    Stage,
    Start,
    Stop,
    WriteRecord,
)
from openclaw_ocm.core.upgrade_steps import Migrate, ProvePlugins, ProveState
from openclaw_ocm.errors import Invalid, OcmError, as_ocm_error, is_full, room_or_writable
from openclaw_ocm.instances.instance import instance_of, open_instance
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations import backup
from openclaw_ocm.operations.backup import backup_locked, own_files
from openclaw_ocm.operations.planning.agents import closed_places
from openclaw_ocm.operations.planning.change import allocating, carry_out, locked, make_plan
from openclaw_ocm.operations.planning.foreign import naming_foreign
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.making import choose_port, refuse_existing, setting_up
from openclaw_ocm.operations.planning.moved_programs import stale_programs
from openclaw_ocm.operations.planning.networks import choose_network
from openclaw_ocm.operations.planning.offers import offers_told
from openclaw_ocm.operations.planning.plugins import missed_after
from openclaw_ocm.operations.planning.reach import taken_variables
from openclaw_ocm.operations.planning.repair import ready_in_words, repair_steps
from openclaw_ocm.operations.planning.runtimes import runtime_of
from openclaw_ocm.operations.planning.shown import not_shown
from openclaw_ocm.operations.planning.staging import Staged, extract_staged, follow_record, stage_step
from openclaw_ocm.operations.planning.twins import bots_in, pollers, refuse_twin
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import read_header
from openclaw_ocm.system.archive.restorable import record_of
from openclaw_ocm.system.exchange import inode
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record, read_settings
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.openclaw.source import read_main_port
from openclaw_ocm.system.openclaw.versions import installed
from openclaw_ocm.system.removable import check_mounted, check_tree
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.backup.layout import Header
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Runtime, Schedule
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.planning.staging import RestoreRequest
    from openclaw_ocm.system.archive.reader import Contents
    from openclaw_ocm.system.host import Host


def name_of(request: RestoreRequest) -> InstanceName:
    """Return the name under which an archive is to be restored: of an archive its beginning is read.

    Anybody may have written that. Raises `Invalid` where the name that `ocm backup` gave the file is another,
    and where an instance is to be replaced and the file does not say which.
    """
    if request.name is not None:
        return request.name
    with naming_foreign(request.archive):
        name = read_header(request.archive, identities=request.identities).instance
    file = parse_backup_file(request.archive.name)
    if (file is None and request.replace) or (file is not None and file.name != name):
        told = "says nothing of it" if file is None else f"says {file.name}"
        message = f"{request.archive} is of {name} by what it holds, and its file name {told}"
        raise Invalid(message, hint=f"--as {name}, if it is to be that instance", code="archive_ambiguous")
    return name


def restore(
    context: Context, name: InstanceName, request: RestoreRequest, effort: Effort, *, dry_run: bool
) -> Outcome:
    """Make an instance of an archive, or with `request.replace` put its content in the place of one.

    `name` is what `name_of` said. The archive is checked whole before anything is touched. What is replaced
    is backed up first, or set aside where it cannot be, and kept until the restored instance is ready; a
    failure brings it back. The record of the archive is no authority: an instance that is new is sealed and
    reached from this machine alone, one that is replaced keeps its own record. Raises `OcmError`.
    """
    with locked(context, name):
        exists = name in instance_names(context.host.paths)
        _check_request(name, request, exists=exists)
        before = open_instance(context, name) if exists else None
        paths, backend = context.host.instance(name), context.backend if before is None else before.backend
        stage = stage_step(paths, random.token_hex(6))
        holding = Transaction(
            context=context.on(backend.name),
            plan=make_plan(backend, "restore", name, [stage]),
            progress=context.report,
        )
        with holding.staging():
            with naming_foreign(request.archive, name):
                staged = extract_staged(context, request, paths, stage)
            if request.name is None and staged.contents.header.instance != name:
                message = f"{request.archive} changed meanwhile"
                raise OcmError(message, hint="try again", code="archive_invalid")
            if before is not None:
                outcome = _replace(before, staged, request, effort, dry_run=dry_run)
            else:
                outcome = _make(context, name, staged, request, effort, dry_run=dry_run)
        # What OpenClaw brings by itself when it starts, such as plugins, is there by now.
        made = None if dry_run else open_instance(context, name)
        missed = () if made is None else missed_after(made, staged.contents, idle=request.idle)
        # Of a drill nothing else is of interest, for it is gone the next moment.
        offers = () if made is None or request.idle else offers_told(made)
        has_moved = str(paths.state) != staged.contents.header.state
        stale = stale_programs(name, made.volume) if made is not None and has_moved else ()
        return replace(outcome, notes=missed if request.idle else (*outcome.notes, *missed, *stale, *offers))


def _check_request(name: InstanceName, request: RestoreRequest, *, exists: bool) -> None:
    if exists and not request.replace:
        message = f"there is an instance {name} already"
        hint = (
            "--replace puts the archive in its place, after a backup; --as NEW makes another instance of it"
        )
        raise OcmError(message, hint=hint, code="exists")
    if exists and (request.port is not None or not request.sealed):
        message = f"{name} keeps its own port and sandbox when its content is replaced"
        raise Invalid(message, hint="leave out --port and --unsealed", code="usage")


def _make(  # noqa: PLR0913 - what is made, of what, and how
    context: Context,
    name: InstanceName,
    staged: Staged,
    request: RestoreRequest,
    effort: Effort,
    *,
    dry_run: bool,
) -> Outcome:
    """Make a new instance of what is staged."""
    with contextlib.ExitStack() as until_reserved:
        until_reserved.enter_context(allocating(context))
        worker, notes = _planned(context, name, staged.contents, request)
        record, paths = worker.record, worker.paths
        refuse_existing(worker)
        _check_version(staged.contents.header, record)
        told = follow_record(staged, paths, record, request)
        refuse_twin(context.host, name, bots_in(staged.volume, staged.secrets))
        rules = guard(context.host, before=None, after=record)
        undoable: list[Step] = [
            staged.stage,
            WriteRecord(path=str(paths.record), text=encode_record(record)),
            # Its empty file of secrets is what those of the archive take the place of.
            MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
            *_exchanges(paths, staged),
            *setting_up(worker, rules.steps, autostart=record.autostart),
            _following(paths, staged),
            *_starting(record, staged, request, effort),
        ]
        steps = [*undoable, *_cleaning(staged.stage)]
        outcome = carry_out(
            worker.context,
            make_plan(worker.backend, "restore", name, steps, commit=len(undoable)),
            done=_done(record, request),
            nothing="",
            dry_run=dry_run,
            notes=(*worker.backend.notes(), *notes, *staged.notes, *told),
            reserved=until_reserved.close,
        )
        return rules.told(context.host, outcome)


def _replace(
    worker: Instance, staged: Staged, request: RestoreRequest, effort: Effort, *, dry_run: bool
) -> Outcome:
    """Put what is staged in the place of what an instance has now."""
    name, record, paths = worker.name, worker.record, worker.paths
    _check_version(staged.contents.header, record)
    # Another that polls what it polls now is no news, and a backup of it is to bring it back all the same.
    now = pollers(worker.context.host).get(name, frozenset())
    refuse_twin(worker.context.host, name, bots_in(staged.volume, staged.secrets) - now)
    notes = (*staged.notes, *follow_record(staged, paths, record, request))
    if not record.sealed or record.docker:
        what = "can use Docker's socket" if record.sealed else "runs without a sandbox"
        notes = (f"{name} {what}: what is in the archive can do there all that you can", *notes)
    check_mounted(paths.state)
    undoable: list[Step] = [
        staged.stage,
        *repair_steps(worker, repair=effort.repair, replaced=True),
        # Without its state it could not be started again.
        Stop(name=name, ran=worker.process.activity.will_run and Path(paths.state).is_dir()),
        *_exchanges(paths, staged),
        # A session that began between the two has what was replaced.
        Stop(name=name, ran=False),
        _following(paths, staged),
        *_starting(record, staged, request, effort),
    ]
    keeping: tuple[Step, ...] = ()
    if not dry_run:
        worker.context.report("back up what is replaced")
        told, keeping = _save(worker, staged)
        notes = (told, *notes)
    steps = [*undoable, *keeping, *_cleaning(staged.stage)]
    return carry_out(
        worker.context,
        make_plan(worker.backend, "restore", name, steps, commit=len(undoable)),
        done=_done(record, request),
        nothing="",
        dry_run=dry_run,
        notes=(*worker.backend.notes(), *notes),
    )


def _save(worker: Instance, staged: Staged) -> tuple[str, tuple[Step, ...]]:
    """Back up what is to be replaced, or have it set aside as it is where it is too damaged for that.

    Returns where it is to be found, and the steps that set it aside past the commit point.
    """
    paths = worker.paths
    try:
        saved = backup_locked(worker, backup.Request()).path
        check_tree(paths.state)
    except (OcmError, OSError) as error:
        told = as_ocm_error(error)
        # The disk's matter, and no damage.
        if is_full(error) or (isinstance(error, OSError) and room_or_writable(error) is not None):
            message = f"{worker.name} cannot be backed up before it is replaced: {told.message}"
            raise OcmError(message, hint="make room; nothing was changed", code="no_space") from None
        why = told.message
    else:
        return f"what was replaced is in {saved}", ()
    # There the state that is replaced comes to lie, and what else is replaced lies beside it.
    kept = staged.state.parent
    for member, path in own_files(paths):
        data = files.read_own(path, limit=layout.MAX_SIZES[member])
        if data is not None:
            files.write_new(kept / member, data)
    token = PurePosixPath(staged.stage.path).name[-8:]
    aside = paths.state.with_name(f"{paths.state.name}.replaced-{token}")
    kept_in = f"what was replaced is kept as it was, keys and all, in {aside}, and in no backup: {why}"
    return kept_in, (Exchange(path=str(aside), staged=str(kept), inode=inode(kept) or 0),)


def _planned(
    context: Context, name: InstanceName, contents: Contents, request: RestoreRequest
) -> tuple[Instance, tuple[str, ...]]:
    """Return the instance that a restore is to make and what of the archive's was not taken over."""
    archived = record_of(contents)
    context.backend.check(sealed=request.sealed)
    notes, paths = [], context.host.paths
    twin = contents.header.instance
    if twin != name and twin in instance_names(paths):
        notes.append(
            f"{name} is the same device as {twin} and has its channel logins: where both run, they take each "
            f"other's messages (ocm clone makes one with a life of its own)"
        )
    if archived.docker:
        notes.append(
            f"{name} could use Docker's socket, and cannot now: docker = true in its record allows it"
        )
    if archived.expose:
        again = " ".join(f"--from {source}" for source in archived.expose)
        notes.append(f"{name} was exposed, and is not now: ocm expose {name} {again}")
    if archived.backups is not None:
        notes.append(f"{name} had scheduled backups, and has none now: {_again(name, archived.backups)}")
    if archived.auto_upgrade is not None:
        again = f"--auto {archived.auto_upgrade.versions} --at {archived.auto_upgrade.at}"
        notes.append(f"{name} was upgraded by itself, and is not now: ocm upgrade {name} {again}")
    asked = request.network or ("none" if archived.network == "none" else None)
    kind, told = choose_network(context.host, name, asked, sealed=request.sealed)
    notes += told
    if archived.network == "shared" and archived.sealed and kind == "own" and request.network is None:
        notes.append(f"{name} shared the network of its machine, and does not now: ocm network {name} shared")
    notes += [
        f"{name} could reach {each}, and cannot now: ocm network {name} allow {each}"
        for each in archived.allow
    ]
    notes += not_shown(name, archived)
    environment, untaken = taken_variables(name, archived)
    notes += untaken
    main = read_main_port(context.host)
    if request.port is not None:
        port = choose_port(context.host, request.port, main=main)
    else:
        try:
            port = choose_port(context.host, archived.port, main=main)
        except OcmError as error:
            port = choose_port(context.host, None, main=main)
            notes.append(f"{error.message}: {name} gets {port}")
    record = Record(
        name=name,
        backend=context.backend.name,
        sealed=request.sealed,
        network=kind,
        port=port,
        autostart=archived.autostart and not request.idle,
        runtime=request.runtime or _runtime_for(context.host, contents.header),
        limits=archived.limits,
        environment={**read_settings(paths).environment, **environment},
    )
    with contextlib.suppress(OcmError):
        # One that cannot be read is told of where it is used.
        notes += closed_places(record, parse_config(contents.config or b"{}", source=CONFIG_NAME))
    return instance_of(context, record), tuple(notes)


def _runtime_for(host: Host, header: Header) -> Runtime:
    """Return the very OpenClaw that an archive is of, where OCM installed that, or else what is found."""
    have = header.openclaw in installed(host.paths)
    return runtime_of(host, header.openclaw if have else None)


def _again(name: InstanceName, schedule: Schedule) -> str:
    """Return the command that has backups made as a schedule has them, where to and for whose eyes."""
    given = [
        ("--to", schedule.repository),
        ("--output", None if schedule.directory is None else str(schedule.directory)),
        *(("--encrypt-to", key) for key in schedule.encrypt_to),
        *(("--exclude", pattern) for pattern in schedule.exclude),
    ]
    words = (word for option, value in given if value is not None for word in (option, value))
    return shlex.join(("ocm", "backup", name, "--every", schedule.every, *words))


def _check_version(header: Header, record: Record) -> None:
    """Raise `OcmError` where an archive is of a newer OpenClaw, whose state an older one cannot read."""
    installed = version_of(record.runtime)
    if is_newer(header.openclaw, installed):
        message = f"the archive is of OpenClaw {header.openclaw}, newer than {installed}, which is installed"
        raise OcmError(message, hint=f"ocm runtime install {header.openclaw}", code="archive_newer")


def _exchanges(paths: InstancePaths, staged: Staged) -> Iterator[Step]:
    yield Slots(paths).exchange(staged.state)
    pairs = [(paths.secrets, staged.secrets)]
    if inode(staged.inherited) is not None:
        pairs.append((paths.inherited, staged.inherited))
    else:
        # Nothing takes its place: it goes where it is found by an undo, and removed at the end.
        pairs.append((staged.inherited, paths.inherited))
    for path, source in pairs:
        number = inode(source)
        if number is not None:
            yield Exchange(path=str(path), staged=str(source), inode=number)


def _following(paths: InstancePaths, staged: Staged) -> Step:
    move = staged.move(paths)
    return RewritePaths(name=paths.name, before=str(move.before), after=str(move.after), fresh=True)


def _starting(record: Record, staged: Staged, request: RestoreRequest, effort: Effort) -> Iterator[Step]:
    """Yield the steps by which what an archive holds is run, by a newer OpenClaw than wrote it too."""
    name, version = record.name, version_of(record.runtime)
    older = is_newer(version, staged.contents.header.openclaw)
    if older:
        yield Migrate(name=name)
    if request.start:
        yield Start(name=name)
        yield effort.verify(name)
    if older:
        yield ProveState(name=name)
    if request.plugins is not None:
        yield ProvePlugins(name=name, failed=request.plugins.failed)


def _cleaning(stage: Stage) -> tuple[Step, ...]:
    return (RemoveTree(path=stage.path), *(RemoveFile(path=path) for path in stage.files))


def _done(record: Record, request: RestoreRequest) -> str:
    if not request.start:
        return f"restored, not started: ocm start {record.name}"
    return f"restored on port {record.port}, {ready_in_words(record)}"
