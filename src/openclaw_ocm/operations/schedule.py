"""`ocm backup --every`: when backups are made by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.record import Keep, Schedule
from openclaw_ocm.core.steps import RemoveFile
from openclaw_ocm.errors import Invalid
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.timers import due_in_words, kept_in_words, timer_steps
from openclaw_ocm.operations.repository import check_repository
from openclaw_ocm.system.ways import refuse_reached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.backends.protocol import Timers
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user said of scheduled backups: the times, how many are kept, and other settings by name."""

    every: str
    keep: Mapping[str, int]
    given: Mapping[str, Any]

    def over(self, before: Schedule | None) -> Schedule:
        """Return the schedule that is meant: what was not said is as it was, or OCM's choice.

        Raises `Invalid` where nothing would be kept.
        """
        keep = Keep() if before is None else before.keep
        try:
            changes = {
                "keep": msgspec.structs.replace(keep, **self.keep),
                **_elsewhere(self.given),
                "every": self.every,
            }
            return msgspec.structs.replace(before or Schedule(every=self.every), **changes)
        except ValueError as error:
            raise Invalid(f"{error}", code="schedule_invalid") from None


def _elsewhere(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was given, with what ends of the schedule before: it goes to one place."""
    if "repository" in given:
        return {"directory": None, "encrypt_to": (), "format": "gz", **given}
    return {"repository": None, **given} if given.keys() & {"directory", "encrypt_to", "format"} else given


def set_schedule(context: Context, name: InstanceName, asked: Asked | None, *, dry_run: bool) -> Outcome:
    """Have backups of an instance made by themselves as `asked`, None for no more.

    An instance that is stopped or not enabled is backed up as well. What is not yet due is not made up for:
    the first backup is made at the next of the times.
    """
    with changing(context, name) as worker:
        record, timers = worker.record, worker.backend.timers()
        wanted = None if asked is None else asked.over(record.backups)
        if wanted is not None:
            timers.check(wanted.every)
            if wanted.directory is not None:
                directory = PurePosixPath(wanted.directory)
                refuse_reached(worker.paths.host, directory, directory)
            if asked is not None and asked.given.get("repository") is not None and not dry_run:
                check_repository(context, asked.given["repository"])
        after = worker.with_record(msgspec.structs.replace(record, backups=wanted))
        steps = [*record_steps(worker, after.record), *timer_steps(after, before=record)]
        if wanted is None and Path(worker.paths.last_backup).exists():
            steps.append(RemoveFile(path=str(worker.paths.last_backup)))
        return carry_out(
            worker.context,
            make_plan(worker.backend, "backup", name, steps),
            done="no more scheduled backups" if wanted is None else _in_words(timers, wanted),
            nothing="has no scheduled backups" if wanted is None else f"already {_in_words(timers, wanted)}",
            dry_run=dry_run,
            notes=() if wanted is None else worker.backend.notes(),
        )


def _in_words(timers: Timers, schedule: Schedule) -> str:
    first = due_in_words(timers, schedule.every)
    place = schedule.repository or schedule.directory
    where = f" to {place}" if place else ""
    without = f"; without {', '.join(schedule.exclude)}" if schedule.exclude else ""
    kept = kept_in_words(schedule.keep)
    return f"backups scheduled: {schedule.every}{where}, next {first}; kept: {kept}{without}"
