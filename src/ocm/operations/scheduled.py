"""`ocm backup --scheduled`: what a timer runs. One at a time, and the result is kept for `status`."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ocm.core.schedule import LastRun
from ocm.errors import OcmError, as_ocm_error
from ocm.operations.result import Outcome
from ocm.operations.schedule import read_last
from ocm.system import files
from ocm.system.names import instance_names
from ocm.system.records import read_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocm.core.names import InstanceName
    from ocm.core.record import Schedule
    from ocm.system.context import Context

# As long as the backups of many large instances may take before this one's turn comes.
_QUEUE_SECONDS = 12 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The archive that a backup made."""

    archive: str
    size_bytes: int


def run_scheduled(
    context: Context,
    name: InstanceName,
    make: Callable[[Context, InstanceName, Schedule], Made],
    prune: Callable[[Context, InstanceName, Schedule], None],
) -> Outcome:
    """Make a backup as the record wants it and prune by its retention; what became of it is kept.

    Runs after those that are under way. Raises `OcmError` where the record wants none, and what `make` or
    `prune` raise once that is written down.
    """
    schedule = read_record(context.host.paths, name).backups
    if schedule is None:
        hint = f"ocm backup {name} --every daily schedules them"
        raise OcmError(f"{name} has no scheduled backups", hint=hint, code="not_scheduled")
    made: Made | None = None
    try:
        # No instance is named so.
        queue = context.host.paths.locks / "@backup.lock"
        with files.lock(queue, "the queue of backups", wait_seconds=_QUEUE_SECONDS):
            made = make(context, name, schedule)
            prune(context, name, schedule)
    except BaseException as error:
        # The disk may be full for this as well: then the backend tells that the run failed.
        with contextlib.suppress(OSError):
            _keep(context, name, made, _sentence(error))
        raise
    _keep(context, name, made, None)
    return Outcome(name=name, operation="backup", changed=True, message=f"backed up to {made.archive}")


def _keep(context: Context, name: InstanceName, made: Made | None, error: str | None) -> None:
    if name not in instance_names(context.host.paths):
        return
    now, before = time.time(), read_last(context, name)
    run = LastRun(
        ended=now,
        archive=None if made is None else made.archive,
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
