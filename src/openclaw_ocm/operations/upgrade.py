"""`ocm upgrade` and `ocm rollback`: another version of OpenClaw, tried on a copy, and the way back."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core import temporary
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.steps import Start, Stop, WriteRecord
from openclaw_ocm.core.upgrade_steps import Ask, Migrate, ProvePlugins, ProveState, Watch
from openclaw_ocm.errors import OcmError, UndoIncomplete
from openclaw_ocm.instances.instance import open_all
from openclaw_ocm.instances.plugins import has_plugins, plugin_errors
from openclaw_ocm.instances.schemas import refuse_newer_state
from openclaw_ocm.instances.verify import verify
from openclaw_ocm.operations import backup
from openclaw_ocm.operations.backup import backup_locked
from openclaw_ocm.operations.check import check, prepare
from openclaw_ocm.operations.drill import drill
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.progress import megabytes
from openclaw_ocm.operations.planning.repair import ready_in_words, repair_steps, shell_for_undo
from openclaw_ocm.operations.planning.runtimes import refuse_older, runtime_of
from openclaw_ocm.operations.planning.staging import Plugins
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import free_bytes
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.sandbox_directories import is_current, make_shell
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Plan, Step
    from openclaw_ocm.core.record import Record, Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.check import Checked
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

# What is kept must leave room for what OpenClaw writes when it makes its databases newer.
_ROOM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for: the version, which OCM installed, and for how long the gateway is watched.

    Before, the agent is asked, which may take `check_seconds`, 0 for not at all. With `rehearse` it is tried
    on a copy alone, without `rehearsal` not even there first. With `lose_plugins` the new version need not
    load the plugins that are loaded now. `planned` is what a dry run takes for there.
    """

    version: str
    watch_seconds: float
    check_seconds: float = 0.0
    rehearse: bool = False
    rehearsal: bool = True
    lose_plugins: bool = False
    planned: Runtime | None = None


def upgrade(
    context: Context, name: InstanceName, request: Request, effort: Effort, *, dry_run: bool
) -> Outcome:
    """Have an instance run a newer OpenClaw, which first has to become ready with a copy of its state.

    A copy of the state as it was is kept until the next upgrade. On any failure the instance has again what
    it had, state and version, and is proved. Raises `OcmError`.
    """
    with changing(context, name) as worker:
        have, wanted = version_of(worker.record.runtime), request.version
        if have == wanted:
            return _unchanged(worker, f"runs OpenClaw {have} already", dry_run=dry_run)
        refuse_older(name, have, wanted)
        runtime = request.planned or runtime_of(context.host, wanted)
        after = msgspec.structs.replace(worker.record, runtime=runtime)
        _refuse_newer_state(worker, runtime, dry_run=dry_run)
        plugins, unseen = _plugins(worker, request, dry_run=dry_run)
        plan = _plan(worker, after, request, effort, plugins)
        rehearsed = request.rehearsal and not dry_run
        notes = (*unseen, *(_rehearse(worker, runtime, wanted, effort, plugins) if rehearsed else ()))
        if request.rehearse and not dry_run:
            tried = f"OpenClaw {wanted} becomes ready with a copy of it; it runs {have} as before"
            return _unchanged(worker, tried, dry_run=False, notes=notes)
        back = f"ocm rollback {name} brings OpenClaw {have} back, with its state of now"
        return _switch(worker, after, plan, request, effort, dry_run=dry_run, notes=(*notes, back))


def _plugins(worker: Instance, request: Request, *, dry_run: bool) -> tuple[Plugins | None, tuple[str, ...]]:
    """Return the plugins that have to load with the new version, None for none, and what to know of that."""
    if request.lose_plugins or not has_plugins(worker):
        return None, ()
    try:
        failed = () if dry_run else tuple(plugin_errors(worker))
    except OcmError as error:
        return None, (f"whether the new version loads its plugins was not looked at: {error.message}",)
    return Plugins(state=worker.paths.state, failed=failed), ()


def any_older(context: Context, names: Iterable[InstanceName], version: str) -> bool:
    """Tell whether any of the instances runs an older OpenClaw than that; one that cannot be read is none."""
    opened = open_all(context, names)
    with contextlib.suppress(OcmError):
        return any(is_newer(version, version_of(one.record.runtime)) for one in opened.instances.values())
    return True


def _refuse_newer_state(worker: Instance, runtime: Runtime, *, dry_run: bool) -> None:
    if not is_current(worker.paths, worker.record):
        # Nothing can be run inside, and a dry run makes nothing.
        if dry_run:
            return
        make_shell(worker.paths, worker.record)
    refuse_newer_state(worker, runtime)


def _unchanged(worker: Instance, said: str, *, dry_run: bool, notes: tuple[str, ...] = ()) -> Outcome:
    plan = make_plan(worker.backend, "upgrade", worker.name, [])
    return carry_out(worker.context, plan, done="", nothing=said, dry_run=dry_run, notes=notes)


def _switch(  # noqa: PLR0913 - what is done, to what, and what is told of it
    worker: Instance,
    after: Record,
    plan: Plan,
    request: Request,
    effort: Effort,
    *,
    dry_run: bool,
    notes: tuple[str, ...],
) -> Outcome:
    """Carry out a plan; where it fails, see that what ran before is ready again."""
    ran, began = worker.process.activity.will_run, time.monotonic()
    answers = ", and answers" if request.check_seconds else ""
    said = f"runs OpenClaw {request.version}, {ready_in_words(after)}{answers}"
    asked: list[float] = []

    def ask(context: Context, name: InstanceName, seconds: float) -> None:
        since = time.monotonic()
        _refuse_silent(check(context, prepare(context, name), timeout_seconds=seconds), request.version)
        asked.append(time.monotonic() - since)

    try:
        outcome = carry_out(
            replace(worker.context, ask=ask),
            plan,
            done=said if ran else f"will run OpenClaw {request.version}",
            nothing="",
            dry_run=dry_run,
            notes=notes,
        )
    except UndoIncomplete:
        raise
    except OcmError as error:
        if ran:
            _prove_again(worker, effort, error)
        raise
    seconds = round(time.monotonic() - began - request.watch_seconds - sum(asked))
    silent = (f"it gave no answer for {seconds} s",) if ran and not dry_run else ()
    unasked = ("its agent was not asked, for it does not run",) if request.check_seconds and not ran else ()
    return replace(outcome, notes=(*silent, *unasked, *outcome.notes))


def _refuse_silent(checked: Checked, version: str) -> None:
    """Raise `OcmError` where an agent that was asked did not answer."""
    failed = [one for one in checked.turns if not one.ok]
    if failed:
        first, words = failed[0], tuple(one.words for one in failed if one.words)
        message = f"{checked.name} does not answer with OpenClaw {version}: {first.session}: {first.message}"
        raise OcmError(message, hint=first.mend, code=first.problem or "turn_failed", details=words)


def _plan(worker: Instance, after: Record, request: Request, effort: Effort, plugins: Plugins | None) -> Plan:
    name, paths, ran = worker.name, worker.paths, worker.process.activity.will_run
    slots, text = Slots(paths), encode_record(worker.record)
    steps: list[Step] = [
        Stop(name=name, ran=ran),
        slots.keep(text),
        shell_for_undo(worker),
        WriteRecord(path=str(paths.record), text=encode_record(after), previous=text),
        *repair_steps(worker.with_record(after), repair=effort.repair),
        Migrate(name=name),
        *((Start(name=name), effort.verify(name)) if ran else ()),
        ProveState(name=name),
        *(() if plugins is None else (ProvePlugins(name=name, failed=plugins.failed),)),
        *((Ask(name=name, seconds=request.check_seconds),) if ran and request.check_seconds else ()),
        *((Watch(name=name, seconds=request.watch_seconds),) if ran and request.watch_seconds else ()),
    ]
    # What was kept from before the last upgrade goes.
    return make_plan(worker.backend, "upgrade", name, [*steps, *slots.discard()], commit=len(steps))


def _rehearse(
    worker: Instance, runtime: Runtime, version: str, effort: Effort, plugins: Plugins | None
) -> tuple[str, ...]:
    """Have the new version become ready with a copy of the instance; raise `OcmError` where it does not."""
    context, name = worker.context, worker.name
    context.report(f"try OpenClaw {version} with a copy")
    with _beside(worker) as beside:
        made = backup_locked(worker, backup.Request(output=beside / f"{name}.tar", form="tar"))
        free, needed = free_bytes(worker.paths.state), made.state_bytes * _ROOM
        if free < needed:
            sizes = f"it takes up to {megabytes(needed)} MB, and {megabytes(free)} are free"
            message = f"there is no room in {worker.paths.state.parent} for a copy of {name}: {sizes}"
            raise OcmError(message, hint="make room there; nothing was changed", code="no_space")
        try:
            copy = PurePosixPath(made.path)
            return drill(context, copy, (), effort, runtime=runtime, plugins=plugins).notes
        except OcmError as error:
            message = f"OpenClaw {version} does not work with a copy of {name}: {error.message}"
            hint = f"nothing of {name} was changed"
            if error.code == "plugin_refused":
                hint += "; --lose-plugins does without them"
            # What was undone was of the copy alone.
            words = tuple(line for line in error.details if not line.startswith("undone: "))
            raise OcmError(message, hint=hint, code=error.code, details=words) from None


@contextlib.contextmanager
def _beside(worker: Instance) -> Iterator[PurePosixPath]:
    """Make the directory in which the copy is, which the next change clears away where a kill left it."""
    token = secrets.token_hex(temporary.TOKEN_BYTES)
    path = worker.paths.state.with_name(temporary.rehearsal(worker.name, token))
    try:
        files.make_directory(path)
        yield path
    finally:
        files.remove_tree(path)


def _prove_again(worker: Instance, effort: Effort, error: OcmError) -> None:
    """Wait until an instance whose upgrade was undone is ready as before, and tell so."""
    have = version_of(worker.record.runtime)
    try:
        verify(worker.context, worker.name, timeout_seconds=effort.timeout_seconds)
    except OcmError as other:
        error.details = (*error.details, f"and OpenClaw {have} did not become ready again: {other.message}")
        error.hint = f"ocm status {worker.name}"
    else:
        error.details = (
            *error.details,
            f"{worker.name} runs OpenClaw {have} again, {ready_in_words(worker.record)}",
        )
