"""`ocm backup --scheduled`: what a timer runs. One at a time, and the result is kept for `status`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup.retention import Retention
from openclaw_ocm.core.backup.schedule import LastRun
from openclaw_ocm.errors import OcmError, as_ocm_error
from openclaw_ocm.operations.backup import Request, backup
from openclaw_ocm.operations.backups import prune
from openclaw_ocm.operations.schedule import read_last
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.age import parse_recipient
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Schedule
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup

# As long as the backups of many large instances may take before this one's turn comes.
_QUEUE_SECONDS = 12 * 3600.0
# A deploy of it may wait for a gateway for minutes, and a person may wait with an editor open.
_PATIENCE_SECONDS = 3600.0


def run_scheduled(context: Context, name: InstanceName) -> Backup:
    """Make a backup as the record wants it and prune by its retention; what became of it is kept.

    Runs after those that are under way. Raises `OcmError` where the record wants none, and whatever keeps a
    backup from being made once that is written down.
    """
    record = read_record(context.host.paths, name)
    schedule = record.backups
    if schedule is None:
        hint = f"ocm backup {name} --every daily schedules them"
        raise OcmError(f"{name} has no scheduled backups", hint=hint, code="not_scheduled")
    made: Backup | None = None
    try:
        # No instance is named so.
        queue = context.host.paths.locks / "@backup.lock"
        with files.lock(queue, "the queue of backups", wait_seconds=_QUEUE_SECONDS):
            request = scheduled_request(schedule, patience_seconds=_PATIENCE_SECONDS)
            made = backup(context, name, request)
            retention = Retention(**msgspec.structs.asdict(schedule.keep))
            made_now = PurePosixPath(made.path)
            prune(context.host, name, retention, dry_run=False, directory=request.output, spare=made_now)
    except BaseException as error:
        # The disk may be full for this as well: then the backend tells that the run failed.
        with contextlib.suppress(OSError):
            _keep(context, name, made, _sentence(error))
        raise
    _keep(context, name, made, None)
    return made


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
        patience_seconds=patience_seconds,
    )


def _keep(context: Context, name: InstanceName, made: Backup | None, error: str | None) -> None:
    if name not in instance_names(context.host.paths):
        return
    now, before = time.time(), read_last(context, name)
    run = LastRun(
        ended=now,
        archive=None if made is None else made.path,
        size_bytes=None if made is None else made.size_bytes,
        error=error,
        succeeded=now if error is None else (before and before.succeeded) or None,
    )
    files.write_file(context.host.instance(name).last_backup, msgspec.json.encode(run))


def _sentence(error: BaseException) -> str:
    if isinstance(error, (OcmError, OSError)):
        return as_ocm_error(error).message
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return f"a bug in OCM: {type(error).__name__}: {error}"
