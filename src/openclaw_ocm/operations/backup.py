"""`ocm backup`: an instance's state, record and secrets in one file, whether or not the instance runs."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm import __version__
from openclaw_ocm.core import temporary
from openclaw_ocm.core.backup import copying, layout
from openclaw_ocm.core.backup.copying import Answer
from openclaw_ocm.core.backup.layout import Header
from openclaw_ocm.core.backup.retention import backup_stem
from openclaw_ocm.core.backup.selection import excluded_by
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import CommandFailed, OcmError, is_full
from openclaw_ocm.instances.sandboxed import run_node
from openclaw_ocm.operations.planning.change import BACKUP, changing
from openclaw_ocm.operations.planning.progress import by_bytes, megabytes
from openclaw_ocm.operations.planning.selecting import select
from openclaw_ocm.operations.planning.shown import not_held
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.age import parse_recipient
from openclaw_ocm.system.archive.file import write_backup
from openclaw_ocm.system.archive.state import Copies, StateStore, survey
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.openclaw.runtime import check_runtime
from openclaw_ocm.system.sandbox_directories import is_current, make_shell
from openclaw_ocm.system.ways import refuse_reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.backup.layout import Manifest, Plugin
    from openclaw_ocm.core.backup.selection import Selection
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Schedule
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.archive.compression import Format
    from openclaw_ocm.system.archive.state import Survey
    from openclaw_ocm.system.archive.taking import State
    from openclaw_ocm.system.archive.writer import ArchiveWriter

_START_SECONDS = 500
_DATABASE_SECONDS = 0.1
# What is said of a database.
_ANSWER_BYTES = 2048
_NEXT_NAME_SECONDS = 0.1
_BYTES_PER_SECOND = 2_000_000
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Where a backup goes and how: `output` is a directory or a file, None for the usual place.

    `exclude` are patterns of what is left out of the state. `patience_seconds` is how long it waits for what
    another ocm does to the instance.
    """

    output: PurePosixPath | None = None
    form: Format = "gz"
    recipients: tuple[object, ...] = ()
    exclude: tuple[str, ...] = ()
    dry_run: bool = False
    patience_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that is no part of a backup: its path below the state, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was made, or with `dry_run` would be; `state_bytes` is what it holds."""

    name: str
    path: str
    dry_run: bool
    size_bytes: int
    state_bytes: int
    files: int
    databases: int
    encrypted: bool
    left_out: Mapping[str, int]
    left_out_paths: tuple[LeftOut, ...]
    plugins: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One backup while it is made: whose, the open state, and what of it is taken and was found."""

    worker: Instance
    request: Request
    selection: Selection
    state: State
    found: Survey


def scheduled_request(schedule: Schedule, *, patience_seconds: float = 10.0) -> Request:
    """Return what a schedule asks for; raises `OcmError` where its directory is not there."""
    if schedule.directory is not None and not Path(schedule.directory).is_dir():
        # It may be a disk that is not mounted: nothing is made in its place.
        message = f"the directory {schedule.directory} is not there"
        raise OcmError(message, hint="mount it or make it", code="directory_missing")
    return Request(
        output=None if schedule.directory is None else PurePosixPath(schedule.directory),
        form=schedule.format,
        recipients=tuple(map(parse_recipient, schedule.encrypt_to)),
        exclude=schedule.exclude,
        patience_seconds=patience_seconds,
    )


def backup(context: Context, name: InstanceName, request: Request) -> Backup:
    """Back up an instance, which goes on as it is, and return what was made.

    The archive gets its name only after it was read back and its databases were found faultless. Raises
    `OcmError` where there is no such instance, its record is corrupt, or a database of OpenClaw's cannot be
    copied; nothing is left then.
    """
    with changing(context, name, wait_seconds=request.patience_seconds, reads=BACKUP) as worker:
        worker.volume.check(name)
        return backup_locked(worker, request)


def backup_locked(worker: Instance, request: Request) -> Backup:
    """Back up an instance as `backup` does; the caller holds its lock."""
    name, paths, record = worker.name, worker.paths, worker.record
    # Its own Node copies its databases.
    check_runtime(record)
    if not request.dry_run and not is_current(paths, record):
        make_shell(paths, record)
    _refuse_unrestorable(worker)
    with worker.volume.opened() as state:
        final = _place(paths, request)
        worker.context.report("looking at what there is")
        selection, notes = select(worker, exclude=request.exclude, tags=True)
        found = survey(state.walk(selection, content=False), selection)
        _refuse_hollow(name, found)
        notes += (*_without_effect(request.exclude, found), *not_held(record))
        work = _Work(worker=worker, request=request, selection=selection, state=state, found=found)
        if request.dry_run:
            return _planned(work, final, notes)
        return _make(work, final, notes)


def _refuse_unrestorable(worker: Instance) -> None:
    """Raise `OcmError` where the config is gone, a link or broken, before hours are spent on the rest."""
    # What else cannot be read is told by its path when it is stored.
    with contextlib.suppress(OSError):
        try:
            worker.read_config()
        except OcmError as error:
            message = f"{error.message}: a backup without a usable config could not be restored"
            raise OcmError(message, hint=error.hint, code="backup_failed") from None


def _place(paths: InstancePaths, request: Request) -> PurePosixPath:
    """Return the path of the archive; raise `Invalid` for one in the reach of an instance."""
    output = request.output
    directory = paths.host.backups if output is None else output
    while True:
        stem = backup_stem(paths.name, datetime.now(timezone.utc))
        file = f"{stem}.tar.{request.form}{'.age' if request.recipients else ''}"
        named = output is not None and not Path(output).is_dir()
        final = directory if named else directory / file
        if named or not Path(final).exists():
            break
        # A name tells the second, and the next one is not taken.
        time.sleep(_NEXT_NAME_SECONDS)
    refuse_reached(paths.host, final, final.parent)
    return final


def _refuse_hollow(name: InstanceName, found: Survey) -> None:
    """Raise `OcmError` where a database of OpenClaw's is empty, or none: its backup is worth nothing."""
    if found.hollow:
        path = found.hollow[0].removeprefix(f"{layout.STATE}/")
        message = f"the database {path} of {name} is damaged: it is empty, or does not begin as one does"
        hint = f"ocm restore ARCHIVE --replace puts a backup in its place; ocm backups list {name} shows them"
        raise OcmError(message, hint=hint, code="backup_failed")


def _without_effect(exclude: tuple[str, ...], found: Survey) -> Iterator[str]:
    """Yield in words which patterns leave out nothing."""
    for pattern in exclude:
        if pattern in found.kept:
            path = printable(found.kept[pattern].removeprefix(f"{layout.STATE}/"))
            yield f"--exclude {pattern} does not leave out {path}, which a restore needs"
        elif excluded_by(pattern) not in found.told.left_out:
            yield f"--exclude {pattern} leaves out nothing: there is no such file or directory"


def _make(work: _Work, final: PurePosixPath, notes: tuple[str, ...]) -> Backup:
    """Make the archive and return what it is."""
    manifests: list[Manifest] = []
    told: list[tuple[str, str]] = []
    report, request = work.worker.context.report, work.request
    with _copies(work) as copies, _naming_the_largest(work, final):

        def fill(writer: ArchiveWriter, spool: PurePosixPath) -> Manifest:
            for member, data in _own_members(work.worker):
                writer.small(member, data)
            state = work.state
            store = StateStore(writer, work.selection, copies, spool, state.disk.size)
            store.store(state.walk(work.selection), state.mode, by_bytes(report, work.found.size))
            all_notes = (*notes, *store.told.notes)
            left_out = store.told.left_out
            manifests.append(writer.finish(left_out=left_out, notes=all_notes, plugins=copies.plugins))
            told.extend(store.told.paths)
            return manifests[0]

        size = write_backup(
            final,
            work.worker.name,
            fill,
            form=request.form,
            recipients=request.recipients,
            report=report,
        )
    return _made(work, final, size, manifests[0], told)


@contextlib.contextmanager
def _naming_the_largest(work: _Work, final: PurePosixPath) -> Iterator[None]:
    """Have an error for want of room name the largest file, and how it is left out."""
    try:
        yield
    except (OcmError, OSError) as error:
        largest = work.found.largest
        if largest is None or not is_full(error):
            raise
        path = printable(largest[0].removeprefix(f"{layout.STATE}/"), limit=200)
        message = f"there is no room in {final.parent} for the backup of {work.worker.name}"
        size = megabytes(largest[1])
        hint = f"make room there, or leave out what is large ({size} MB): --exclude {shlex.quote(path)}"
        raise OcmError(message, hint=hint, code="no_space") from None


def _own_members(worker: Instance) -> Iterator[tuple[str, bytes]]:
    """Yield what is not in the state: the header, the record, secrets and what was inherited."""
    paths = worker.paths
    header = Header(
        name=paths.name,
        openclaw=version_of(worker.record.runtime),
        ocm=__version__,
        state=str(paths.state),
        home=str(paths.host.home),
    )
    yield layout.HEADER, layout.encode(header)
    for member, path in own_files(paths):
        limit = layout.MAX_SIZES[member]
        data = files.read_own(path, limit=limit + 1)
        if data is not None and len(data) > limit:
            raise OcmError(f"{path} is larger than {limit} bytes", code="backup_failed")
        if data is not None:
            yield member, data


def own_files(paths: InstancePaths) -> tuple[tuple[str, PurePosixPath], ...]:
    """Return the files of an instance that are not in its state, each with what a backup calls it."""
    return (
        (layout.RECORD, paths.record),
        (layout.SECRETS, paths.secrets),
        (layout.INHERITED, paths.inherited),
    )


@contextlib.contextmanager
def _copies(work: _Work) -> Iterator[Copies]:
    """Have the databases copied in the instance's sandbox; yield the copies, which go afterwards.

    Raises `OcmError` where one of OpenClaw's own could not be copied.
    """
    if not work.found.databases:
        yield Copies()
        return
    _refuse_full(work)
    work.worker.context.report("copying databases")
    directory = temporary.copies(secrets.token_hex(temporary.LONG_TOKEN_BYTES))
    try:
        answers, plugins = _copy_databases(work, directory)
        problems = {path: one.problem for path, one in answers.items() if one.problem is not None}
        for path, problem in problems.items():
            if layout.is_own_database(path):
                message = f"the database {path} of {work.worker.name} could not be copied: {problem}"
                hint = f"ocm logs {work.worker.name} may say more"
                raise OcmError(message, hint=hint, code="backup_failed")
        with work.state.copies(directory) as copy_of:
            made = {path: copy_of(one) for path, one in answers.items() if one.problem is None}
            yield Copies(made=made, problems=problems, plugins=plugins)
    finally:
        work.state.discard_copies(directory)


def _refuse_full(work: _Work) -> None:
    """Raise `OcmError` where the copies find no room: SQLite itself calls that an error of the disk."""
    free, needed = work.state.disk.free, work.found.copied + _MEGABYTE
    if free < needed:
        message = (
            f"copies of the databases of {work.worker.name} take {megabytes(needed)} MB for a moment, and "
            f"{megabytes(free)} MB are free on the disk of {work.worker.paths.state}"
        )
        raise OcmError(message, hint="make room there", code="no_space")


def _copy_databases(work: _Work, directory: str) -> tuple[dict[str, Answer], tuple[Plugin, ...]]:
    """Run the program that copies databases; return what became of each, by path, and plugins."""
    databases = work.found.databases
    answers = {path: Answer(index, "nothing was said of it") for index, path in enumerate(databases)}
    plugins: list[Plugin] = []

    def heard(line: str) -> None:
        answer = copying.parse_answer(line, len(databases))
        if answer is not None:
            answers[databases[answer.index]] = answer
        elif not plugins:
            plugins.extend(copying.parse_plugins(line))

    request = copying.request(directory, [path.removeprefix(f"{layout.STATE}/") for path in databases])
    timeout = _START_SECONDS + work.found.size / _BYTES_PER_SECOND + _DATABASE_SECONDS * len(databases)
    more = _ANSWER_BYTES * len(databases)
    try:
        run_node(work.worker, "copy_databases.mjs", request, heard, timeout=timeout, more=more)
    except CommandFailed as error:
        message = f"the databases of {work.worker.name} could not be copied: {error.message}"
        raise OcmError(message, hint=f"ocm status {work.worker.name}", code="backup_failed") from None
    return answers, tuple(plugins)


def _planned(work: _Work, final: PurePosixPath, notes: tuple[str, ...]) -> Backup:
    found = work.found
    return Backup(
        name=work.worker.name,
        path=str(final),
        dry_run=True,
        size_bytes=0,
        state_bytes=found.size,
        files=found.files,
        databases=len(found.databases),
        encrypted=bool(work.request.recipients),
        left_out=dict(sorted(found.told.left_out.items())),
        left_out_paths=_left_out(found.told.paths),
        plugins=(),
        notes=notes,
    )


def _made(
    work: _Work, final: PurePosixPath, size: int, manifest: Manifest, told: list[tuple[str, str]]
) -> Backup:
    return Backup(
        name=work.worker.name,
        path=str(final),
        dry_run=False,
        size_bytes=size,
        state_bytes=sum(entry.size for entry in manifest.members),
        files=sum(entry.kind == "file" for entry in manifest.members),
        databases=len(manifest.databases),
        encrypted=bool(work.request.recipients),
        left_out=manifest.left_out,
        left_out_paths=_left_out(told),
        plugins=tuple(map(_in_words, manifest.plugins)),
        notes=manifest.notes,
    )


def _in_words(plugin: Plugin) -> str:
    return " ".join(filter(None, (plugin.package, plugin.version)))


def _left_out(paths: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(path=path, reason=reason) for path, reason in paths)
