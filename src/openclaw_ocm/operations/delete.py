"""`ocm delete`: nothing of the instance is left, and nothing else is touched."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.steps import (
    Disable,
    RemoveDefinition,
    RemoveFile,
    RemoveTree,
    Stop,
)
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import known
from openclaw_ocm.operations.backup import Request, scheduled_request
from openclaw_ocm.operations.backup import backup as make_backup
from openclaw_ocm.operations.backups import list_backups
from openclaw_ocm.operations.planning.change import carry_out, locked, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.removal import refuse_unremovable, removal_steps
from openclaw_ocm.operations.planning.timers import ending_steps
from openclaw_ocm.system.kept.adopted import read_adopted
from openclaw_ocm.system.kept.records import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.status import Process
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.kept.adopted import Adopted


_DAMAGED = "the damaged journal of a change of before went with it"


def delete(
    context: Context, name: InstanceName, *, force: bool, dry_run: bool, backup: bool = False
) -> Outcome:
    """Remove an instance; refuses while it runs unless `force`. A corrupt record does not stop it.

    What could not be removed is looked for before anything is touched, and refused.

    With `backup` one is made first, and what keeps it from being made keeps the instance.
    """
    _refuse_running(known(context, name).process, name, force=force)
    made = _last_backup(context, name) if backup and not dry_run else None
    outcome = _delete(context, name, force=force, dry_run=dry_run)
    if made is not None:
        return replace(outcome, message=f"{outcome.message}, its last backup is {made.path}")
    if backup:
        return replace(outcome, steps=(f"back up {name}", *outcome.steps))
    return outcome


def has_backup(context: Context, name: InstanceName) -> bool:
    """Tell whether there is a backup of an instance, in the usual place or in that of its schedule."""
    directories = [context.host.paths.backups]
    with contextlib.suppress(OcmError):
        schedule = read_record(context.host.paths, name).backups
        if schedule is not None and schedule.directory is not None:
            directories.append(PurePosixPath(schedule.directory))
    return any(list_backups(context.host, name, directory=directory) for directory in directories)


def taken_over(context: Context, names: Iterable[InstanceName]) -> tuple[str, ...]:
    """Return in sentences which of these instances were adopted and can go back: that ends with them."""
    return tuple(
        f"{name} was {adopted.what} before: ocm unadopt {name} brings that back, and deleting ends it"
        for name, adopted in _moved(context, names)
    )


def _gone_with(context: Context, name: InstanceName) -> tuple[str, ...]:
    """Return in sentences what an instance was before, which is brought back by nothing any more."""
    return tuple(
        f"{adopted.what}, which it was before, cannot be brought back"
        + (f": {adopted.unit} goes with it" if adopted.files else "")
        for _name, adopted in _moved(context, (name,))
    )


def _moved(context: Context, names: Iterable[InstanceName]) -> Iterator[tuple[InstanceName, Adopted]]:
    for name in names:
        # What is damaged brings nothing back either.
        with contextlib.suppress(OcmError):
            adopted = read_adopted(context.host.instance(name))
            if adopted is not None and adopted.moved:
                yield name, adopted


def _last_backup(context: Context, name: InstanceName) -> Backup:
    """Make a backup as the instance's schedule would, if it has one."""
    schedule = read_record(context.host.paths, name).backups
    try:
        return make_backup(context, name, Request() if schedule is None else scheduled_request(schedule))
    except OcmError as error:
        error.details = (*error.details, f"{name} was not deleted: --no-backup deletes it without a backup")
        raise


def _refuse_running(process: Process, name: InstanceName, *, force: bool) -> None:
    """Raise `OcmError` where a gateway runs and that is not to be ended."""
    if process.activity.is_up and not force:
        message = f"{name} is running"
        raise OcmError(message, hint=f"ocm stop {name}, or ocm delete {name} --force", code="running")


def _delete(context: Context, name: InstanceName, *, force: bool, dry_run: bool) -> Outcome:
    unmended: list[OcmError] = []
    with locked(context, name, ending=True, unmended=unmended) as sentence:
        for error in unmended:
            # One that nobody can read is of no use any more; another tells what is still to be put back.
            if error.code != "journal_corrupt":
                raise error
        # A corrupt record does not tell which firewall rules are its own.
        doomed = known(context, name)
        _refuse_running(doomed.process, name, force=force)
        host, record, backend = doomed.context.host, doomed.record, doomed.context.backend
        undoable: list[Step] = [Stop(name=name, ran=doomed.process.activity.is_up)]
        if doomed.process.autostart:
            undoable.append(Disable(name=name))
        undoable += ending_steps(name, backend, record)
        removal = _removal(host.instance(name))
        refuse_unremovable(backend, removal)
        rules = guard(host, before=record, after=None)
        undoable += rules.steps
        steps, gone = [*undoable, *removal], _gone_with(context, name)
        outcome = carry_out(
            doomed.context,
            make_plan(backend, "delete", name, steps, commit=len(undoable)),
            done="deleted",
            nothing="",
            dry_run=dry_run,
            notes=(*filter(None, (sentence,)), *(_DAMAGED for _ in unmended), *gone),
        )
        return rules.told(host, outcome)


def _removal(paths: InstancePaths) -> tuple[Step, ...]:
    name = paths.name
    # The record first: without it no further session begins, and those that just did are stopped.
    return (
        RemoveFile(path=str(paths.record)),
        Stop(name=name, ran=False),
        RemoveDefinition(name=name),
        *removal_steps(paths),
        RemoveTree(path=str(paths.state)),
    )
