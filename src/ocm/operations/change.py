"""The frame of every change to an instance: lock, finish what was interrupted, plan, apply."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ocm.core.plan import Plan
from ocm.operations.result import Outcome
from ocm.system import files
from ocm.system.transaction import Transaction, recover, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from ocm.core.names import InstanceName
    from ocm.core.plan import Step
    from ocm.system.context import Context


@contextlib.contextmanager
def changing(context: Context, name: InstanceName) -> Iterator[None]:
    """Hold the lock of an instance; an operation that was cut off is finished or undone first."""
    with files.lock(_lock(context, name), name):
        recovered = recover(context, name)
        if recovered:
            context.report(recovered)
        yield


def _lock(context: Context, name: str) -> PurePosixPath:
    return context.host.paths.locks / f"{name}.lock"


@contextlib.contextmanager
def allocating(context: Context) -> Iterator[None]:
    """Hold the host's lock, under which ports are chosen and reserved. No instance is named `@host`."""
    with files.lock(_lock(context, "@host"), "the list of ports"):
        yield


def recover_all(context: Context) -> tuple[str, ...]:
    """Finish or undo every operation that was cut off, except where another ocm is at work now."""
    done = []
    for name in unfinished(context):
        path = _lock(context, name)
        files.make_directory(path.parent)
        descriptor = os.open(Path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if files.try_lock(descriptor) and (sentence := recover(context, name)):
                done.append(sentence)
        finally:
            os.close(descriptor)
    return tuple(done)


def make_plan(operation: str, name: str, steps: list[Step], *, commit: int | None = None) -> Plan:
    """Return a plan; without `commit` a failure of any step undoes all of it."""
    return Plan(
        operation=operation, name=name, steps=tuple(steps), commit=len(steps) if commit is None else commit
    )


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
