"""`ocm restore`: an instance from an archive, which may come from anybody."""

from __future__ import annotations

import contextlib
import secrets as random
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from ocm.core import secrets
from ocm.core.config import MAX_BYTES, format_config, parse_config, with_value
from ocm.core.drill import idle_config
from ocm.core.gateway import BIND, wanted_bind, weakened
from ocm.core.manifest import INHERITED, SECRETS, STATE
from ocm.core.moving import Move, moved_config
from ocm.core.names import MAIN, parse_name
from ocm.core.paths import STATE_DIRECTORIES
from ocm.core.plan import (
    Enable,
    Exchange,
    LinkConfig,
    Load,
    MakeShell,
    RemoveFile,
    RemoveTree,
    RewritePaths,
    Stage,
    Start,
    Stop,
    WriteDefinition,
    WriteRecord,
)
from ocm.core.ports import CDP_OFFSET
from ocm.core.record import Record
from ocm.core.versions import is_newer
from ocm.errors import Invalid, OcmError
from ocm.operations import backup
from ocm.operations.backup import backup_locked, by_bytes
from ocm.operations.change import allocating, carry_out, changing, make_plan
from ocm.operations.create import choose_port, refuse_existing
from ocm.operations.expose import guard
from ocm.operations.start import is_alive, ready_in_words, repair_steps
from ocm.system import files
from ocm.system.archive import Contents, extract, free_bytes, read_header
from ocm.system.exchange import inode
from ocm.system.inherited import Inherited, encode_inherited, parse_inherited, read_inherited
from ocm.system.names import instance_names
from ocm.system.openclaw import find_runtime, package_version
from ocm.system.records import encode_record, parse_record, read_record
from ocm.system.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocm.core.manifest import Header
    from ocm.core.names import InstanceName
    from ocm.core.paths import InstancePaths
    from ocm.core.plan import Step
    from ocm.operations.result import Outcome
    from ocm.operations.start import Effort
    from ocm.system.context import Context

_CDP = "browser.profiles.openclaw.cdpPort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for: `name` and `port` are those of the archive where None.

    `start` has the restored instance started and proved; `replace` puts it in the place of one of its name.
    One that is `idle` has no keys, and does nothing of its own.
    """

    archive: PurePosixPath
    name: InstanceName | None = None
    port: int | None = None
    replace: bool = False
    sealed: bool = True
    start: bool = True
    identities: Sequence[object] = ()
    idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """What was extracted and checked, ready to take its place. Nothing of it is reached by an instance."""

    stage: Stage
    contents: Contents
    notes: tuple[str, ...]

    @property
    def state(self) -> PurePosixPath:
        return _state_in(self.stage)

    @property
    def secrets(self) -> PurePosixPath:
        return PurePosixPath(self.stage.files[0])

    @property
    def inherited(self) -> PurePosixPath:
        return PurePosixPath(self.stage.files[1])


def name_of(context: Context, request: Request) -> InstanceName:
    """Return the name under which an archive is to be restored."""
    if request.name is not None:
        return request.name
    return _header(context, request).instance


def restore(context: Context, request: Request, effort: Effort, *, dry_run: bool) -> Outcome:
    """Make an instance of an archive, or with `request.replace` put its content in the place of one.

    The archive is checked whole before anything is touched. What is replaced is backed up first
    and kept until the restored instance is ready; a failure brings it back. The record of the archive is no
    authority: an instance that is new is sealed and reached from this machine alone, one that is replaced
    keeps its own record. Raises `OcmError`.
    """
    name = name_of(context, request)
    with changing(context, name):
        exists = name in instance_names(context.host.paths)
        _check_request(name, request, exists=exists)
        paths = context.host.instance(name)
        stage = _stage_step(paths, random.token_hex(6))
        holding = Transaction(
            context=context,
            plan=make_plan(context, "restore", name, [stage]),
            progress=context.report,
        )
        with holding.staging():
            staged = _extract(context, request, paths, stage)
            if request.name is None and staged.contents.header.instance != name:
                message = f"{request.archive} changed meanwhile"
                raise OcmError(message, hint="try again", code="archive_invalid")
            if exists:
                return _replace(context, staged, request, effort, dry_run=dry_run)
            return _make(context, staged, request, effort, dry_run=dry_run)


def _header(context: Context, request: Request) -> Header:
    return read_header(request.archive, context.host.paths.home, identities=request.identities)


def _check_request(name: InstanceName, request: Request, *, exists: bool) -> None:
    if exists and not request.replace:
        message = f"there is an instance {name} already"
        hint = (
            "--replace puts the archive in its place, after a backup; --as NEW makes another instance of it"
        )
        raise OcmError(message, hint=hint, code="exists")
    if exists and (request.port is not None or not request.sealed):
        message = f"{name} keeps its own port and sandbox when its content is replaced"
        raise Invalid(message, hint="leave out --port and --unsealed", code="usage")


def _stage_step(paths: InstancePaths, token: str) -> Stage:
    """Return the step that makes the staging directory, on the file system of the state.

    A file is staged beside its place, which may be on another one.
    """
    staged = (path.with_name(f".{path.name}.{token}.ocm") for path in (paths.secrets, paths.inherited))
    directory = paths.state.with_name(f".ocm-incoming-{paths.name}-{token}")
    return Stage(path=str(directory), files=tuple(map(str, staged)))


def _state_in(stage: Stage) -> PurePosixPath:
    return PurePosixPath(stage.path) / "archive" / STATE


def _extract(context: Context, request: Request, paths: InstancePaths, stage: Stage) -> _Staged:
    """Extract an archive into the staging directory, checked whole; secrets go beside their place."""
    archive = Path(request.archive)
    size = archive.stat().st_size if archive.is_file() else 0
    contents = extract(
        request.archive,
        _state_in(stage).parent,
        identities=request.identities,
        free_bytes=free_bytes(PurePosixPath(stage.path)),
        progress=by_bytes(context.report, size),
    )
    found, notes = _secrets_of(contents)
    inherited, more = (None, ()) if request.idle else _inherited_of(contents, paths)
    staged = _Staged(stage=stage, contents=contents, notes=(*notes, *more))
    state = Path(staged.state)
    # It is moved to another directory, which takes the right to write in it.
    state.chmod(0o700)
    for name in STATE_DIRECTORIES:
        with contextlib.suppress(FileExistsError):
            (state / name).mkdir(mode=0o700)
    if request.idle:
        found = dict.fromkeys(found, random.token_hex(16))
    files.write_new(staged.secrets, secrets.format_file(found))
    if inherited is not None:
        files.write_new(staged.inherited, encode_inherited(inherited))
    return staged


def _secrets_of(contents: Contents) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the secrets of an archive that an instance may have, and what was left out of them."""
    found = secrets.parse_file(contents.secrets or b"", PurePosixPath(SECRETS))
    kept = {key: value for key, value in found.items() if secrets.is_key(key)}
    left = ", ".join(sorted(found.keys() - kept.keys()))
    return kept, (f"left out of the secrets, for they steer programs: {left}",) if left else ()


def _inherited_of(contents: Contents, paths: InstancePaths) -> tuple[Inherited | None, tuple[str, ...]]:
    """Return what an archive says that its instance inherited, and what of that was not taken over.

    From where it inherits is what the user says alone: with the next sync an archive of anybody's would get
    the keys of main, or of another instance.
    """
    if contents.inherited is None:
        return None, ()
    inherited = parse_inherited(contents.inherited, PurePosixPath(INHERITED))
    source = inherited.source
    if source == paths.name:
        return None, ()
    with contextlib.suppress(OcmError):
        before = read_inherited(paths)
        if before is not None and before.source == source:
            return inherited, ()
    inherited = msgspec.structs.replace(inherited, source="")
    with contextlib.suppress(Invalid):
        told = source if source == MAIN else parse_name(source)
        again = f"ocm sync {paths.name} --inherit-from {told} has it follow"
        return inherited, (f"{paths.name} inherited from {told}, and does not now: {again}",)
    return inherited, ()


def _make(context: Context, staged: _Staged, request: Request, effort: Effort, *, dry_run: bool) -> Outcome:
    """Make a new instance of what is staged."""
    name = request.name or staged.contents.header.instance
    with contextlib.ExitStack() as until_reserved:
        until_reserved.enter_context(allocating(context))
        record, notes = _new_record(context, name, staged.contents, request)
        refuse_existing(context, record)
        _check_version(staged.contents.header, record)
        paths = context.host.instance(name)
        told = _follow_record(staged, paths, record, idle=request.idle)
        definition = context.definition(name, record)
        rules = guard(context.host, before=None, after=record)
        enable: list[Step] = [Enable(name=name)] if record.autostart else []
        undoable: list[Step] = [
            staged.stage,
            WriteRecord(path=str(paths.record), text=encode_record(record)),
            # Its empty file of secrets is what those of the archive take the place of.
            MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
            *_exchanges(paths, staged),
            LinkConfig(link=str(paths.config_link), target=str(paths.config)),
            WriteDefinition(name=name, path=str(definition.path), text=definition.text),
            Load(name=name),
            *rules.steps,
            *enable,
            _following(paths, staged),
            *(_starting(name, effort) if request.start else ()),
        ]
        outcome = carry_out(
            context,
            make_plan(context, "restore", name, [*undoable, *_cleaning(staged.stage)], commit=len(undoable)),
            done=_done(record, request),
            nothing="",
            dry_run=dry_run,
            notes=(*context.backend.notes(), *notes, *staged.notes, *told),
            reserved=until_reserved.close,
        )
        return rules.told(context.host, outcome)


def _replace(
    context: Context,
    staged: _Staged,
    request: Request,
    effort: Effort,
    *,
    dry_run: bool,
) -> Outcome:
    """Put what is staged in the place of what an instance has now."""
    name = request.name or staged.contents.header.instance
    record, paths = read_record(context.host.paths, name), context.host.instance(name)
    context = context.on(record.backend)
    _check_version(staged.contents.header, record)
    notes = (*staged.notes, *_follow_record(staged, paths, record, idle=request.idle))
    if not record.sealed or record.docker:
        what = "can use Docker's socket" if record.sealed else "runs without a sandbox"
        notes = (f"{name} {what}: what is in the archive can do there all that you can", *notes)
    runs = is_alive(context, name)
    undoable: list[Step] = [
        staged.stage,
        *repair_steps(context, name, record, repair=effort.repair),
        Stop(name=name, ran=runs),
        *_exchanges(paths, staged),
        # A session that began between the two has what was replaced.
        Stop(name=name, ran=False),
        _following(paths, staged),
        *(_starting(name, effort) if request.start else ()),
    ]
    if not dry_run:
        context.report("back up what is replaced")
        notes = (f"what was replaced is in {_back_up(context, name)}", *notes)
    return carry_out(
        context,
        make_plan(context, "restore", name, [*undoable, *_cleaning(staged.stage)], commit=len(undoable)),
        done=_done(record, request),
        nothing="",
        dry_run=dry_run,
        notes=(*context.backend.notes(), *notes),
    )


def _back_up(context: Context, name: InstanceName) -> str:
    """Back up what is to be replaced and return where it is; raise `OcmError` where that cannot be."""
    try:
        return backup_locked(context, name, backup.Request()).path
    except OcmError as error:
        message = f"{name} cannot be backed up before it is replaced: {error.message}"
        hint = f"ocm delete {name} --force gives it up for good; then restore without --replace"
        raise OcmError(message, hint=hint, code=error.code, details=error.details) from None


def _new_record(
    context: Context, name: InstanceName, contents: Contents, request: Request
) -> tuple[Record, tuple[str, ...]]:
    """Return the record of a restored instance and what of the archive's was not taken over."""
    archived = parse_record(contents.record, "the record in the archive")
    context.backend.check(sealed=request.sealed)
    notes = []
    twin = contents.header.instance
    if twin != name and twin in instance_names(context.host.paths):
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
        every = archived.backups.every
        notes.append(f"{name} had scheduled backups, and has none now: ocm backup {name} --every '{every}'")
    if request.port is not None:
        port = choose_port(context, request.port)
    else:
        try:
            port = choose_port(context, archived.port)
        except OcmError as error:
            port = choose_port(context, None)
            notes.append(f"{error.message}: {name} gets {port}")
    record = Record(
        name=name,
        backend=context.backend.name,
        sealed=request.sealed,
        port=port,
        autostart=archived.autostart and not request.idle,
        runtime=find_runtime(context.host),
        limits=archived.limits,
    )
    return record, tuple(notes)


def _check_version(header: Header, record: Record) -> None:
    """Raise `OcmError` where an archive is of a newer OpenClaw, whose state an older one cannot read."""
    installed = package_version(PurePosixPath(record.runtime.openclaw))
    if is_newer(header.openclaw, installed):
        message = f"the archive is of OpenClaw {header.openclaw}, newer than {installed}, which is installed"
        raise OcmError(message, hint="npm install --global openclaw@latest", code="archive_newer")


def _follow_record(staged: _Staged, paths: InstancePaths, record: Record, *, idle: bool) -> tuple[str, ...]:
    """Have the staged config say what the record says; return what else of it leaves the instance open."""
    with files.open_state(staged.state) as directory:
        try:
            data = files.read_in(directory, paths.config.name, limit=MAX_BYTES)
        except FileNotFoundError:
            raise OcmError("the archive has no openclaw.json", code="archive_invalid") from None
        config = _wanted_config(parse_config(data, source="openclaw.json"), staged, paths, record)
        config = idle_config(config, random.token_hex(16)) if idle else config
        files.write_in(directory, paths.config.name, format_config(config))
    return weakened(config, port=record.port, expose=record.expose)


def _wanted_config(
    config: dict[str, Any], staged: _Staged, paths: InstancePaths, record: Record
) -> dict[str, Any]:
    config = moved_config(config, _move(staged, paths))
    config = with_value(config, "gateway.port", record.port)
    config = with_value(config, BIND, wanted_bind(record.expose))
    return with_value(config, _CDP, record.port + CDP_OFFSET)


def _move(staged: _Staged, paths: InstancePaths) -> Move:
    """Return where the state of the archive lay and where it lies now."""
    return Move(before=PurePosixPath(staged.contents.header.state), after=paths.state)


def _exchanges(paths: InstancePaths, staged: _Staged) -> Iterator[Step]:
    pairs = [(paths.state, staged.state), (paths.secrets, staged.secrets)]
    if inode(staged.inherited) is not None:
        pairs.append((paths.inherited, staged.inherited))
    else:
        # Nothing takes its place: it goes where it is found by an undo, and removed at the end.
        pairs.append((staged.inherited, paths.inherited))
    for path, source in pairs:
        number = inode(source)
        if number is not None:
            yield Exchange(path=str(path), staged=str(source), inode=number)


def _following(paths: InstancePaths, staged: _Staged) -> Step:
    move = _move(staged, paths)
    return RewritePaths(name=paths.name, before=str(move.before), after=str(move.after), fresh=True)


def _starting(name: InstanceName, effort: Effort) -> tuple[Step, ...]:
    return Start(name=name), effort.verify(name)


def _cleaning(stage: Stage) -> tuple[Step, ...]:
    return (RemoveTree(path=stage.path), *(RemoveFile(path=path) for path in stage.files))


def _done(record: Record, request: Request) -> str:
    if not request.start:
        return f"restored, not started: ocm start {record.name}"
    return f"restored on port {record.port}, {ready_in_words(record)}"
