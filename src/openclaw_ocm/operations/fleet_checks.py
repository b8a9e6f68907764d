"""What a fleet file describes and this machine cannot give: refused before anything is made or changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.fleet.difference import schedule
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.planning.runtimes import runtime_of
from openclaw_ocm.system.archive.age import parse_recipient
from openclaw_ocm.system.shown import refuse_new

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record, Schedule
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.fleet_changes import Job


def refuse_impossible(context: Context, job: Job, record: Record, *, is_new: bool) -> None:
    """Raise `OcmError` for backups that would fail each time, and for what one that is new could not see.

    `record` is what there is, or what is to be.
    """
    wanted = schedule(job.described)
    if wanted is not None and wanted != record.backups:
        context.on(record.backend).backend.timers().check(wanted.every)
        _check_place(job, wanted)
    if is_new and job.mounts:
        runtime = job.brought.planned or runtime_of(context.host, job.brought.version)
        seeing = msgspec.structs.replace(record, runtime=runtime, mounts=job.mounts)
        worker = instance_of(context, seeing)
        for shown in job.mounts:
            refuse_new(context.host, seeing, worker.own_policy, shown)


def _check_place(job: Job, wanted: Schedule) -> None:
    if wanted.directory is not None and not os.path.isdir(wanted.directory):  # noqa: PTH112 - no Path here
        message = f"backups of {job.name} are to go to {wanted.directory}, which is no directory"
        raise OcmError(message, hint=f"mkdir {wanted.directory}", code="output_invalid")
    for recipient in wanted.encrypt_to:
        try:
            parse_recipient(recipient)
        except Invalid as error:
            # Who took the wrong half of a pair of keys need not read it again.
            message = f"backups of {job.name} are to be encrypted to what is no public key of age or SSH"
            raise Invalid(message, hint=error.hint, code="recipient_invalid") from None
