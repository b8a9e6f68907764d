"""An instance's timers, for backups and for upgrades: those that its record asks for, and how backups go."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from openclaw_ocm.backends.definition import Standing, compare
from openclaw_ocm.core.backup.schedule import LATE_AFTER, LastRun, Timer, trouble
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.core.steps import SetTimer
from openclaw_ocm.core.text import moment_in_words, printable
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system import files
from openclaw_ocm.system.host import local_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.protocol import Backend, Timers
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Keep, Record, Schedule
    from openclaw_ocm.instances.instance import Instance

Ended = TypeVar("Ended")

# A path that stands as a word of its own, quoted or not: the value of a variable does not.
_PROGRAM = re.compile(r"""(?<=[\s"'\[])/[^\s"',\]]{2,}""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """The scheduled backups of an instance: as wanted, when the next is due, and what became of the last."""

    every: str
    keep: str
    directory: str | None
    next: float | None
    last: LastRun | None
    problem: str | None


def timer_steps(worker: Instance, *, before: Record | None = None) -> list[Step]:
    """Return the steps that bring an instance's timers to what the record asks for, none where it is so.

    `before` is the record that it is to replace, where it is another one.
    """
    return [step for purpose in OF_INSTANCES for step in _steps(worker, before or worker.record, purpose)]


def _steps(worker: Instance, before: Record, purpose: Purpose) -> Iterator[Step]:
    name, timers = worker.name, worker.backend.timers(purpose)
    every, previous = worker.record.times(purpose), before.times(purpose)
    if every is None:
        if previous is not None or _is_kept(worker, purpose):
            yield SetTimer(name=name, every=None, previous=previous, purpose=purpose)
    # An impossible one is only in a record that was edited by hand, which keeps no gateway from starting.
    elif (every != previous or _faults(worker, purpose)) and _impossible(timers, every) is None:
        yield SetTimer(name=name, every=every, previous=previous, purpose=purpose)


def ending_steps(name: InstanceName, backend: Backend, record: Record | None) -> list[Step]:
    """Return the steps that end all timers that a backend keeps for an instance."""
    kept = [purpose for purpose in OF_INSTANCES if name in backend.timers(purpose).known()]
    before = {purpose: None if record is None else record.times(purpose) for purpose in kept}
    return [SetTimer(name=name, every=None, previous=before[each], purpose=each) for each in kept]


def _is_kept(worker: Instance, purpose: Purpose) -> bool:
    """Tell whether a backend keeps times of an instance; what it cannot read the doctor tells."""
    with contextlib.suppress(UnreadableFile):
        return worker.name in worker.backend.timers(purpose).known()
    return False


def timer_faults(worker: Instance) -> tuple[str, ...]:
    """Return in words in what an instance's timers are otherwise than the record asks for."""
    return tuple(fault for purpose in OF_INSTANCES for fault in _faults(worker, purpose))


def _faults(worker: Instance, purpose: Purpose) -> tuple[str, ...]:
    every = worker.record.times(purpose)
    if every is None:
        kept = _is_kept(worker, purpose)
        return (f"{purpose.plural} are scheduled that the record does not ask for",) if kept else ()
    return faults(worker.backend, worker.name, purpose, every, lambda: worker.timer(purpose))


def faults(
    backend: Backend, name: InstanceName, purpose: Purpose, every: str, observe: Callable[[], Timer]
) -> tuple[str, ...]:
    """Return in words in what a timer that is to keep the times `every` is otherwise."""
    timers, what = backend.timers(purpose), purpose.plural
    impossible = _impossible(timers, every)
    if impossible is not None:
        return (impossible,)
    found = []
    for wanted in timers.definitions(name, every):
        try:
            standing = compare(wanted, files.read_own(wanted.path)).standing
        except UnreadableFile as error:
            found.append(error.message)
            continue
        if standing is Standing.MISSING:
            found.append(f"{wanted.path} is missing, which has {what} made")
        elif standing is not Standing.CURRENT:
            found.append(f"{wanted.path} is not as the record and this ocm ask for")
    timer = observe()
    if not found and timer.stale:
        found.append(f"{backend.name} has not read when to make {what}")
    if not found and not timer.active:
        found.append(f"{backend.name} does not make the scheduled {what}")
    return tuple(found)


def look(worker: Instance) -> Backups | None:
    """Return the scheduled backups of an instance, None where it has none."""
    schedule = worker.record.backups
    if schedule is None:
        return None
    timer, timers, last = worker.timer(Purpose.BACKUP), worker.backend.timers(), read_last(worker.paths)
    return Backups(
        every=schedule.every,
        keep=kept_in_words(schedule.keep),
        directory=schedule.repository or schedule.directory,
        # While a run is under way systemd does not tell the next one.
        next=timer.next or (next_due(timers, schedule.every) if timer.active else None),
        last=last,
        problem=moved(worker, schedule.every, Purpose.BACKUP)
        or trouble(last, timer, late_after=_late_after(worker, schedule, last), now=time.time()),
    )


def moved(worker: Instance, every: str, purpose: Purpose) -> str | None:
    """Return in words which program that is to make the backups or upgrades has gone, None where none has.

    As after OCM, or the Python that it runs on, was moved or upgraded: the definitions name both.
    """
    with contextlib.suppress(OcmError, OSError):
        for wanted in worker.backend.timers(purpose).definitions(worker.name, every):
            text = (files.read_own(wanted.path) or b"").decode(errors="replace")
            if text == wanted.text or "--scheduled=" not in text:
                continue
            gone = next((path for path in _PROGRAM.findall(text) if not Path(path).exists()), None)
            if gone is not None:
                hint = f"ocm doctor --fix, or ocm start {worker.name}, has this ocm make them"
                return f"{printable(gone)} is gone, which is to make its {purpose.plural}: {hint}"
    return None


def read_last(paths: InstancePaths) -> LastRun | None:
    """Return what became of the last scheduled backup, None where that is not known."""
    return read_ended(paths.last_backup, LastRun)


def read_ended(path: PurePosixPath, kind: type[Ended]) -> Ended | None:
    """Return what is kept of the last run of a timer, None where that is not known."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, UnreadableFile):
        data = files.read_own(path)
        return None if data is None else msgspec.json.decode(data, type=kind)
    return None


def kept_in_words(keep: Keep) -> str:
    """Return in words which archives are kept."""
    parts = {"last": keep.last, "daily": keep.daily, "weekly": keep.weekly, "monthly": keep.monthly}
    return ", ".join(f"{count} {word}" for word, count in parts.items() if count)


def next_due(timers: Timers, every: str) -> float | None:
    """Return the next of the moments `every`, None where there is none."""
    with contextlib.suppress(OcmError):
        return next(iter(timers.dues(every, time.time(), 1)), None)
    return None


def due_in_words(timers: Timers, every: str) -> str:
    """Return in words when the next of the moments `every` is."""
    due = next_due(timers, every)
    return "never" if due is None else moment_in_words(due, local_zone())


def _late_after(worker: Instance, schedule: Schedule, last: LastRun | None) -> float | None:
    """Return the moment after which a backup is late by more than two periods, None where it never is."""
    # A schedule that was changed begins anew: with the record, in which it is.
    try:
        since = Path(worker.paths.record).stat().st_mtime
        if last is not None and last.succeeded is not None:
            since = max(since, last.succeeded)
        dues = worker.backend.timers().dues(schedule.every, since, LATE_AFTER)
    except (OcmError, OSError, ValueError, OverflowError):
        # The record may be gone by now, or its time be one that no clock shows.
        return None
    return dues[-1] if len(dues) == LATE_AFTER else None


def _impossible(timers: Timers, every: str) -> str | None:
    """Return in words why a time cannot be kept, None where it can."""
    try:
        timers.check(every)
    except OcmError as error:
        return error.message
    return None
