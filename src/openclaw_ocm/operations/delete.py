"""`ocm delete`: nothing of the instance is left, and nothing else is touched."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.plan import (
    Disable,
    RemoveDefinition,
    RemoveFile,
    RemoveLink,
    RemoveTree,
    SetTimer,
    Stop,
)
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.backup import Request
from openclaw_ocm.operations.backup import backup as make_backup
from openclaw_ocm.operations.backups import list_backups
from openclaw_ocm.operations.expose import guard
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.scheduled import scheduled_request
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup
    from openclaw_ocm.operations.planning.result import Outcome


def delete(
    context: Context, name: InstanceName, *, force: bool, dry_run: bool, backup: bool = False
) -> Outcome:
    """Remove an instance; refuses while it runs unless `force`. A corrupt record does not stop it.

    With `backup` one is made first, and what keeps it from being made keeps the instance.
    """
    _refuse_running(context, name, force=force)
    made = _last_backup(context, name) if backup and not dry_run else None
    outcome = _delete(context, name, force=force, dry_run=dry_run)
    if made is not None:
        return replace(outcome, message=f"{outcome.message}, its last backup is {made.path}")
    if backup:
        return replace(outcome, steps=(f"back up {name}", *outcome.steps))
    return outcome


def has_backup(context: Context, name: InstanceName) -> bool:
    """Tell whether there is a backup of an instance, in the usual place or in that of its schedule."""
    record = _record(context, name)
    directories = [context.host.paths.backups]
    if record is not None and record.backups is not None and record.backups.directory is not None:
        directories.append(PurePosixPath(record.backups.directory))
    return any(list_backups(context.host, name, directory=directory) for directory in directories)


def _last_backup(context: Context, name: InstanceName) -> Backup:
    """Make a backup as the instance's schedule would, if it has one."""
    schedule = read_record(context.host.paths, name).backups
    try:
        return make_backup(context, name, Request() if schedule is None else scheduled_request(schedule))
    except OcmError as error:
        error.details = (*error.details, f"{name} was not deleted: --no-backup deletes it without a backup")
        raise


def _refuse_running(context: Context, name: InstanceName, *, force: bool) -> bool:
    """Return whether a gateway runs; raise `OcmError` where it does and that is not to be ended."""
    if name not in instance_names(context.host.paths):
        read_record(context.host.paths, name)
    runs = context.backend.observe([name])[name].activity not in ("stopped", "failed")
    if runs and not force:
        message = f"{name} is running"
        raise OcmError(message, hint=f"ocm stop {name}, or ocm delete {name} --force", code="running")
    return runs


def _delete(context: Context, name: InstanceName, *, force: bool, dry_run: bool) -> Outcome:
    with changing(context, name):
        runs = _refuse_running(context, name, force=force)
        process = context.backend.observe([name])[name]
        undoable: list[Step] = [Stop(name=name, ran=runs)]
        if process.autostart:
            undoable.append(Disable(name=name))
        record = _record(context, name)
        if name in context.backend.timers.known():
            every = record.backups.every if record is not None and record.backups is not None else None
            undoable.append(SetTimer(name=name, every=None, previous=every))
        rules = guard(context.host, before=record, after=None)
        undoable += rules.steps
        steps = [*undoable, *_removal(context.host.instance(name))]
        outcome = carry_out(
            context,
            make_plan(context, "delete", name, steps, commit=len(undoable)),
            done="deleted",
            nothing="",
            dry_run=dry_run,
        )
        return rules.told(context.host, outcome)


def _record(context: Context, name: InstanceName) -> Record | None:
    """Return the record, None for a corrupt one: it does not tell which firewall rules are the instance's."""
    with contextlib.suppress(OcmError):
        return read_record(context.host.paths, name)
    return None


def _removal(paths: InstancePaths) -> tuple[Step, ...]:
    name = paths.name
    # The record first: without it no further session begins, and those that just did are stopped.
    return (
        RemoveFile(path=str(paths.record)),
        Stop(name=name, ran=False),
        RemoveDefinition(name=name),
        RemoveLink(link=str(paths.config_link)),
        RemoveTree(path=str(paths.shell)),
        RemoveTree(path=str(paths.scratch)),
        RemoveTree(path=str(paths.state)),
        RemoveFile(path=str(paths.secrets)),
        RemoveFile(path=str(paths.inherited)),
        RemoveFile(path=str(paths.last_backup)),
    )
