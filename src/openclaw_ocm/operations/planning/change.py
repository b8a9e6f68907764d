"""The frame of every change to an instance: lock, finish what was interrupted, plan, apply."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

from openclaw_ocm.core.plan import Plan
from openclaw_ocm.core.steps import Verify, WriteRecord
from openclaw_ocm.errors import Locked, OcmError, as_ocm_error, bug
from openclaw_ocm.instances.instance import known, open_instance
from openclaw_ocm.instances.transaction import Transaction, involved, recover, unfinished
from openclaw_ocm.operations.planning.result import Outcome
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names, names_in
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.readers import end_reader, forget_reader, left_by_reader, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance

# Where many are made at once each takes its turn, in which main is read and UFW asked.
_QUEUE_SECONDS = 120.0
# Words for what only reads an instance.
BACKUP, CLONE = "backup", "clone"
# For what only reads an instance that is to be ended: to come to its end by itself, and to clear away.
_PATIENCE_SECONDS = 3.0
_END_SECONDS = 60.0


@contextlib.contextmanager
def changing(
    context: Context,
    name: InstanceName,
    *others: InstanceName,
    wait_seconds: float = 10.0,
    reads: str | None = None,
) -> Iterator[Instance]:
    """Hold the locks of an instance and of others as `locked` does, and yield the instance, opened.

    With `reads`, a word for what is done, the instance is only read: whoever is to end it may end that.
    Raises `OcmError` where there is none of that name, or its record is corrupt.
    """
    with (
        locked(context, name, *others, wait_seconds=wait_seconds),
        reading(_lock_path(context, name), reads) if reads else contextlib.nullcontext(),
    ):
        yield open_instance(context, name)


@contextlib.contextmanager
def locked(
    context: Context,
    name: InstanceName,
    *others: InstanceName,
    wait_seconds: float = 10.0,
    ending: bool = False,
    unmended: list[OcmError] | None = None,
) -> Iterator[str | None]:
    """Hold the locks of instances; operations on one that were cut off are finished or undone first.

    In a dry run they are left alone, and raise `OcmError`. So does one that cannot be mended, unless
    there is a list to put it into, `unmended`. What only reads an instance that is to be `ending` is ended.
    Yields the sentence on these, None where there were none. A name without an instance keeps no lock file.
    """
    kept = frozenset(names_in(context.host.paths.locks, suffix=".lock"))
    with contextlib.ExitStack() as locks:
        ended: list[str] = []
        names = _lock_all(
            context, {name, *others}, locks, wait_seconds=wait_seconds, ended=ended if ending else None
        )
        try:
            if context.dry_run:
                _refuse_interrupted(context, names)
            done = [*ended, *(_recovered(context, one, unmended) for one in names)]
            yield "; ".join(sentence for sentence in done if sentence) or None
        finally:
            for one in names:
                gone = one not in instance_names(context.host.paths) and one not in unfinished(context)
                if gone:
                    files.remove_file(context.host.instance(one).reserve)
                if gone or (context.dry_run and one not in kept):
                    files.remove_file(_lock_path(context, one))


def _recovered(context: Context, name: InstanceName, unmended: list[OcmError] | None) -> str | None:
    try:
        return "; ".join(filter(None, (_end_what_is_left(context, name), recover(context, name)))) or None
    except Exception as error:
        if unmended is None:
            raise
        told = _told(error)
        unmended.append(OcmError(_could_not_be_mended(name, error), hint=told.hint, code=told.code))
        return None


def _end_what_is_left(context: Context, name: InstanceName) -> str | None:
    """End what a backup that was killed left running in the sandbox of an instance, and tell of it."""
    lock = _lock_path(context, name)
    what = left_by_reader(lock)
    if what is None or context.dry_run:
        return None
    forget_reader(lock)
    if what != BACKUP:
        # A clone runs nothing in the sandbox of what it reads.
        return None
    # A backend that does not answer runs nothing.
    with contextlib.suppress(OcmError):
        known(context, name).context.backend.stop_sessions([name])
    return f"what an interrupted backup of {name} left was cleared away"


def _could_not_be_mended(name: InstanceName, error: Exception) -> str:
    return f"an interrupted operation on {name} could not be mended: {_told(error)}"


def _told(error: Exception) -> OcmError:
    return as_ocm_error(error) if isinstance(error, (OcmError, OSError)) else bug(error)


def _refuse_interrupted(context: Context, names: tuple[InstanceName, ...]) -> None:
    """Raise `OcmError` where an operation on one of `names` was cut off: it is to be ended first."""
    for name in unfinished(context):
        if name in names:
            message = f"a change of {name} was interrupted, and --dry-run mends nothing"
            raise OcmError(message, hint="ocm doctor --fix", code="cut_off")


def _lock_all(
    context: Context,
    names: set[InstanceName],
    locks: contextlib.ExitStack,
    *,
    wait_seconds: float,
    ended: list[str] | None,
) -> tuple[InstanceName, ...]:
    """Lock instances, in an order that all take, with those that an operation left unfinished touches too.

    What only reads one of them, and takes its time, is ended where that is to be told to `ended`.
    """
    while True:
        wanted = involved(context, names)
        for name in sorted(wanted):
            lock = functools.partial(files.lock, _lock_path(context, name), name)
            try:
                locks.enter_context(lock(wait_seconds=wait_seconds if ended is None else _PATIENCE_SECONDS))
            except Locked:
                if ended is None or context.dry_run:
                    raise
                asked = [end_reader(_lock_path(context, one)) for one in sorted(wanted)]
                locks.enter_context(lock(wait_seconds=_END_SECONDS if any(asked) else wait_seconds))
                ended += [f"{who}, was ended" for who in asked if who]
        # Between the look and the lock another ocm may have been cut off.
        if involved(context, names) <= wanted:
            return tuple(sorted(wanted))
        locks.close()


def _lock_path(context: Context, name: InstanceName) -> PurePosixPath:
    return context.host.paths.locks / f"{name}.lock"


@contextlib.contextmanager
def allocating(context: Context) -> Iterator[None]:
    """Hold the host's lock, under which ports are chosen and reserved. No instance is named `@host`."""
    lock = context.host.paths.locks / "@host.lock"
    passing = context.dry_run and not os.path.lexists(lock)
    with files.lock(lock, "the list of ports", wait_seconds=_QUEUE_SECONDS):
        try:
            yield
        finally:
            if passing:
                files.remove_file(lock)


def recover_all(context: Context, *, debug: bool = False) -> tuple[str, ...]:
    """Finish or undo every operation that was cut off, except where another ocm is at work now.

    Returns a sentence on each. One that cannot be mended must not keep a user from the other instances; a bug
    that does is raised with `debug` alone.
    """
    done = []
    paths = context.host.paths
    # One that was killed as soon as it had the lock of a name that is no instance's left the lock file alone.
    names = instance_names(paths)
    stale = [name for name in names_in(paths.locks, suffix=".lock") if name not in names]
    left = [name for name in names if left_by_reader(_lock_path(context, name))]
    cut_off = (*unfinished(context), *left)
    for name in dict.fromkeys((*cut_off, *stale)):
        try:
            with contextlib.suppress(Locked), locked(context, name, wait_seconds=0) as sentence:
                done.append(sentence)
        except (OcmError, OSError) as error:
            # A lock file that cannot be removed is no operation.
            done += [_could_not_be_mended(name, error)] if name in cut_off else []
        except Exception as error:
            if debug:
                raise
            done.append(_could_not_be_mended(name, error))
    return tuple(sentence for sentence in done if sentence)


def make_plan(  # noqa: PLR0913 - all but what is to be done have a default
    backend: Backend,
    operation: str,
    name: str,
    steps: list[Step],
    *,
    commit: int | None = None,
    others: tuple[str, ...] = (),
) -> Plan:
    """Return a plan for what `backend` has; without `commit` a failure of any step undoes all of it."""
    return Plan(
        operation=operation,
        name=name,
        backend=backend.name,
        steps=tuple(steps),
        commit=len(steps) if commit is None else commit,
        others=others,
    )


def record_steps(worker: Instance, after: Record) -> list[Step]:
    """Return the step that writes a changed record, none where nothing changed."""
    if after == worker.record:
        return []
    path, previous = worker.paths.record, encode_record(worker.record)
    return [WriteRecord(path=str(path), text=encode_record(after), previous=previous)]


def carry_out(  # noqa: PLR0913 - what is said differs from verb to verb
    context: Context,
    plan: Plan,
    *,
    done: str,
    nothing: str,
    dry_run: bool,
    keep: bool = False,
    notes: tuple[str, ...] = (),
    reserved: Callable[[], None] | None = None,
) -> Outcome:
    """Apply a plan, or with `dry_run` only tell it, and return the outcome.

    `done` is the sentence for a plan that was applied, `nothing` the one for a plan that is empty or only
    waited for what was there; `keep` and `reserved` are those of `Transaction.run`.
    """
    changes = any(not isinstance(step, Verify) for step in plan.steps)
    if plan.steps and not dry_run:
        transaction = Transaction(context=context.on(plan.backend), plan=plan, progress=context.report)
        transaction.run(keep=keep, reserved=reserved)
    said = done if changes else nothing
    return Outcome(
        name=plan.name,
        operation=plan.operation,
        changed=changes and not dry_run,
        message=f"{plan.operation} would do this:" if plan.steps and dry_run else said,
        dry_run=dry_run,
        steps=plan.describe(),
        notes=notes,
    )
