"""The frame of every change to an instance: lock, finish what was interrupted, plan, apply."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ocm.core.plan import Plan, WriteRecord
from ocm.errors import Locked, OcmError
from ocm.operations.result import Outcome
from ocm.system import files
from ocm.system.names import instance_names
from ocm.system.records import encode_record
from ocm.system.transaction import Transaction, recover, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocm.core.names import InstanceName
    from ocm.core.plan import Step
    from ocm.core.record import Record
    from ocm.system.context import Context


@contextlib.contextmanager
def changing(context: Context, name: InstanceName, *, wait_seconds: float = 10.0) -> Iterator[str | None]:
    """Hold the lock of an instance; an operation that was cut off is finished or undone first.

    Yields the sentence on that, None where there was nothing. A name without an instance keeps no lock file.
    """
    path = context.host.paths.locks / f"{name}.lock"
    with files.lock(path, name, wait_seconds=wait_seconds):
        try:
            yield recover(context, name)
        finally:
            if name not in instance_names(context.host.paths) and name not in unfinished(context):
                files.remove_file(path)


@contextlib.contextmanager
def allocating(context: Context) -> Iterator[None]:
    """Hold the host's lock, under which ports are chosen and reserved. No instance is named `@host`."""
    with files.lock(context.host.paths.locks / "@host.lock", "the list of ports"):
        yield


def recover_all(context: Context) -> tuple[str, ...]:
    """Finish or undo every operation that was cut off, except where another ocm is at work now.

    Returns a sentence on each. One that cannot be mended must not keep a user from the other instances.
    """
    done = []
    for name in unfinished(context):
        try:
            with contextlib.suppress(Locked), changing(context, name, wait_seconds=0) as sentence:
                done.append(sentence)
        except (OcmError, OSError) as error:
            done.append(f"an interrupted operation on {name} could not be mended: {error}")
    return tuple(sentence for sentence in done if sentence)


def make_plan(
    context: Context, operation: str, name: str, steps: list[Step], *, commit: int | None = None
) -> Plan:
    """Return a plan; without `commit` a failure of any step undoes all of it."""
    return Plan(
        operation=operation,
        name=name,
        backend=context.backend.name,
        steps=tuple(steps),
        commit=len(steps) if commit is None else commit,
    )


def record_steps(context: Context, before: Record, after: Record) -> list[Step]:
    """Return the step that writes a changed record, none where nothing changed."""
    if after == before:
        return []
    path = context.host.paths.named(after.name).record
    return [WriteRecord(path=str(path), text=encode_record(after), previous=encode_record(before))]


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

    `done` is the sentence for a plan that was applied, `nothing` the one for an empty plan; `keep` and
    `reserved` are those of `Transaction.run`.
    """
    if plan.steps and not dry_run:
        Transaction(context=context, plan=plan, progress=context.report).run(keep=keep, reserved=reserved)
    return Outcome(
        name=plan.name,
        operation=plan.operation,
        changed=bool(plan.steps) and not dry_run,
        message=(f"{plan.operation} would do this:" if dry_run else done) if plan.steps else nothing,
        dry_run=dry_run,
        steps=plan.describe(),
        notes=notes,
    )
