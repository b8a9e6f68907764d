"""`ocm backup --scheduled`: what a timer runs. A few at a time, and the result is kept for `status`."""

from __future__ import annotations

import contextlib
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup.schedule import TOGETHER, TURN_SECONDS, LastRun
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.operations.backup import backup, scheduled_request
from openclaw_ocm.operations.backups import prune
from openclaw_ocm.operations.planning.timers import read_last
from openclaw_ocm.operations.planning.turns import NotScheduled, sentence, wait_for_turn
from openclaw_ocm.operations.repository import backup_to, prune_repository
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Schedule
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup

# A deploy of it may wait for a gateway for minutes, and a person may wait with an editor open.
_PATIENCE_SECONDS = 3600.0


def run_scheduled(context: Context, name: InstanceName) -> Backup:
    """Make a backup as the record wants it and prune by its retention; what became of it is kept.

    Runs when a turn is free. Raises `OcmError` where the record wants none, and whatever keeps a
    backup from being made once that is written down.
    """
    _schedule(context, name)
    made: Backup | None = None
    try:
        with (
            contextlib.ExitStack() as held,
            files.giving_up(wait_for_turn(context, held, Purpose.BACKUP, together=TOGETHER), TURN_SECONDS),
        ):
            # Hours may have gone by in the queue, and for the instance's lock, in which the user may have
            # said otherwise: what would be kept now is not pruned.
            schedule = _schedule(context, name)
            request = scheduled_request(schedule, patience_seconds=_PATIENCE_SECONDS)
            if schedule.repository is not None:
                made = backup_to(context, name, request, schedule.repository, patient=True)
                keep = _schedule(context, name).keep
                prune_repository(context, name, schedule.repository, keep, dry_run=False, patient=True)
            else:
                made = backup(context, name, request)
                keep, made_now = _schedule(context, name).keep, PurePosixPath(made.path)
                prune(context.host, name, keep, dry_run=False, directory=request.output, spare=made_now)
    except NotScheduled:
        raise
    except BaseException as error:
        # The disk may be full for this as well: then the backend tells that the run failed.
        with contextlib.suppress(OSError):
            _keep(context, name, made, sentence(error))
        raise
    _keep(context, name, made, None)
    return made


def _schedule(context: Context, name: InstanceName) -> Schedule:
    """Return what the record says now; raises `OcmError` where it wants no backups."""
    schedule = read_record(context.host.paths, name).backups
    if schedule is None:
        hint = f"ocm backup {name} --every daily schedules them"
        raise NotScheduled(f"{name} has no scheduled backups", hint=hint, code="not_scheduled")
    return schedule


def _keep(context: Context, name: InstanceName, made: Backup | None, error: str | None) -> None:
    paths = context.host.instance(name)
    if name not in instance_names(paths.host):
        return
    now, before = time.time(), read_last(paths)
    run = LastRun(
        ended=now,
        archive=None if made is None else made.path,
        size_bytes=None if made is None else made.size_bytes,
        error=error,
        succeeded=now if error is None else (before and before.succeeded) or None,
    )
    files.write_file(paths.last_backup, msgspec.json.encode(run))
