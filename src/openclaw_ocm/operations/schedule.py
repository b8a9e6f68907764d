"""`ocm backup --every`: when backups are made by themselves, and how that goes."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.backup.schedule import LATE_AFTER, LastRun, trouble
from openclaw_ocm.core.plan import RemoveFile, SetTimer
from openclaw_ocm.core.record import Keep, Schedule
from openclaw_ocm.errors import Invalid, OcmError, Unreadable
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.system import files
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.records import read_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """The scheduled backups of an instance: as wanted, when the next is due, and what became of the last."""

    every: str
    keep: str
    directory: str | None
    next: float | None
    last: LastRun | None
    problem: str | None


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
            changes = {"keep": msgspec.structs.replace(keep, **self.keep), **self.given, "every": self.every}
            return msgspec.structs.replace(before or Schedule(every=self.every), **changes)
        except ValueError as error:
            raise Invalid(f"{error}", code="schedule_invalid") from None


def set_schedule(context: Context, name: InstanceName, asked: Asked | None, *, dry_run: bool) -> Outcome:
    """Have backups of an instance made by themselves as `asked`, None for no more.

    An instance that is stopped or not enabled is backed up as well. What is not yet due is not made up for:
    the first backup is made at the next of the times.
    """
    with changing(context, name):
        record = read_record(context.host.paths, name)
        wanted = None if asked is None else asked.over(record.backups)
        if wanted is not None:
            context.backend.timers.check(wanted.every)
        after = msgspec.structs.replace(record, backups=wanted)
        steps = [*record_steps(context, record, after), *timer_steps(context, name, after, before=record)]
        paths = context.host.instance(name)
        if wanted is None and Path(paths.last_backup).exists():
            steps.append(RemoveFile(path=str(paths.last_backup)))
        return carry_out(
            context,
            make_plan(context, "backup", name, steps),
            done="no more scheduled backups" if wanted is None else _in_words(context, wanted),
            nothing="has no scheduled backups" if wanted is None else f"already {_in_words(context, wanted)}",
            dry_run=dry_run,
            notes=() if wanted is None else context.backend.notes(),
        )


def timer_steps(
    context: Context, name: InstanceName, record: Record, *, before: Record | None = None
) -> list[Step]:
    """Return the step that brings an instance's timer to what the record asks for, none where it is so.

    `before` is the record that it is to replace, where it is another one.
    """
    every, previous = _every(record), _every(before or record)
    if every is None:
        there = previous is not None or name in context.backend.timers.known()
        return [SetTimer(name=name, every=None, previous=previous)] if there else []
    if every == previous and not timer_faults(context, name, record):
        return []
    if _impossible(context, every) is not None:
        # Only in a record that was edited by hand, which keeps no gateway from being started.
        return []
    return [SetTimer(name=name, every=every, previous=previous)]


def timer_faults(
    context: Context, name: InstanceName, record: Record, timer: Timer | None = None
) -> tuple[str, ...]:
    """Return in words in what an instance's timer is otherwise than the record asks for."""
    timers, every = context.backend.timers, _every(record)
    if every is None:
        there = name in timers.known()
        return ("backups are scheduled that the record does not ask for",) if there else ()
    impossible = _impossible(context, every)
    if impossible is not None:
        return (impossible,)
    faults = []
    for wanted in timers.definitions(name, every):
        try:
            data = files.read_own(wanted.path)
        except Unreadable as error:
            faults.append(error.message)
            continue
        if data is None:
            faults.append(f"{wanted.path} is missing, which has backups made")
        elif data.decode(errors="replace") != wanted.text:
            faults.append(f"{wanted.path} is not as the record and this ocm ask for")
    timer = timer or timers.observe([name])[name]
    if not faults and timer.stale:
        faults.append(f"{context.backend.name} has not read when to make backups")
    if not faults and not timer.active:
        faults.append(f"{context.backend.name} does not make the scheduled backups")
    return tuple(faults)


def look(context: Context, record: Record, timer: Timer) -> Backups | None:
    """Return the scheduled backups of an instance, None where it has none."""
    schedule = record.backups
    if schedule is None:
        return None
    name = context.host.paths.named(record.name).name
    last = read_last(context, name)
    context = context.on(record.backend)
    late_after = _late_after(context, name, schedule, last)
    return Backups(
        every=schedule.every,
        keep=kept_in_words(schedule.keep),
        directory=schedule.directory,
        # While a run is under way systemd does not tell the next one.
        next=timer.next or (_next(context, schedule) if timer.active else None),
        last=last,
        problem=trouble(last, timer, late_after=late_after, now=time.time()),
    )


def read_last(context: Context, name: InstanceName) -> LastRun | None:
    """Return what became of the last scheduled backup, None where that is not known."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, Unreadable):
        data = files.read_own(context.host.instance(name).last_backup)
        return None if data is None else msgspec.json.decode(data, type=LastRun)
    return None


def kept_in_words(keep: Keep) -> str:
    """Return in words which archives are kept."""
    parts = {"last": keep.last, "daily": keep.daily, "weekly": keep.weekly, "monthly": keep.monthly}
    return ", ".join(f"{count} {word}" for word, count in parts.items() if count)


def _late_after(
    context: Context, name: InstanceName, schedule: Schedule, last: LastRun | None
) -> float | None:
    """Return the moment after which a backup is late by more than two periods, None where it never is."""
    # A schedule that was changed begins anew: with the record, in which it is.
    since = Path(context.host.instance(name).record).stat().st_mtime
    if last is not None and last.succeeded is not None:
        since = max(since, last.succeeded)
    try:
        dues = context.backend.timers.dues(schedule.every, since, LATE_AFTER)
    except OcmError:
        return None
    return dues[-1] if len(dues) == LATE_AFTER else None


def _impossible(context: Context, every: str) -> str | None:
    """Return in words why a time cannot be kept, None where it can."""
    try:
        context.backend.timers.check(every)
    except OcmError as error:
        return error.message
    return None


def _next(context: Context, schedule: Schedule) -> float | None:
    with contextlib.suppress(OcmError):
        return next(iter(context.backend.timers.dues(schedule.every, time.time(), 1)), None)
    return None


def _every(record: Record) -> str | None:
    return None if record.backups is None else record.backups.every


def _in_words(context: Context, schedule: Schedule) -> str:
    due = _next(context, schedule)
    first = "never" if due is None else f"{datetime.fromtimestamp(due, local_zone()):%Y-%m-%d %H:%M}"
    where = f" to {schedule.directory}" if schedule.directory else ""
    return f"backups scheduled: {schedule.every}{where}, next {first}; kept: {kept_in_words(schedule.keep)}"
