"""What is worth telling: facts now and what was told before make changes and what is told now."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup.schedule import Moment
from openclaw_ocm.core.status import Activity, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# So long a gateway is not ready, or a channel lost, before that is told: a start takes its time.
HOLD_SECONDS = 300.0
# Somebody changes the instance: nothing is told of what they may have caused, but not for ever.
BUSY_SECONDS = 1800.0
# What was seen longer ago was not so all the time in between: the machine was off, or asleep.
GAP_SECONDS = 900.0
# What was told to be well so often in so many seconds comes and goes: then it is once it was for a while.
AGAIN, AGAIN_SECONDS, WELL_SECONDS = 2, 3600.0, 600.0
# So many restarts in so many seconds are a loop; it is over after so many without one.
LOOP, LOOP_SECONDS = 3, 600.0
_MOST_SAMPLES = 64
# A disk is running full with less than a tenth of it free, of a large one with less than this.
_FULL_SHARE, _FULL_BYTES, _FULL_NAMES = 0.1, 5 * 2**30, 0.05
# It is well again with somewhat more, so that a few bytes do not tell it every minute.
_WELL_SHARE = 1.2


class Kind(str, Enum):
    """What can be wrong; the value is the word for it in messages for programs."""

    NOT_READY = "not_ready"
    FAILED = "failed"
    RESTARTS = "restarts"
    STOPPED = "stopped"
    UNREADABLE = "unreadable"
    CHANNEL = "channel_lost"
    BACKUP_FAILED = "backup_failed"
    BACKUP_LATE = "backup_late"
    BACKUP_IDLE = "backup_idle"
    UPGRADE_FAILED = "upgrade_failed"
    UPGRADE_IDLE = "upgrade_idle"
    DISK = "disk_full"

    @property
    def hold_seconds(self) -> float:
        """How long it lasts before it is told: what ended by itself will not pass by itself."""
        if self is Kind.BACKUP_LATE:
            # A machine that was off for days makes up for it once it is on.
            return BUSY_SECONDS
        return HOLD_SECONDS if self in _MAY_PASS else 0.0


_MAY_PASS = frozenset(
    {
        *(Kind.NOT_READY, Kind.STOPPED, Kind.UNREADABLE, Kind.CHANNEL),
        *(Kind.BACKUP_IDLE, Kind.UPGRADE_IDLE),
    }
)


class Turn(str, Enum):
    """In which way something changed: it is over where nobody asks for it any more."""

    PROBLEM = "problem"
    WELL = "well"
    OVER = "over"


class Trouble(str, Enum):
    """What is wrong with what a timer does."""

    FAILED = "failed"
    LATE = "late"
    IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What a timer does for an instance, and what is wrong with it, `since` when where that is known."""

    trouble: Trouble | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """The facts of one instance.

    `unreadable` means that nothing else is known of it; `busy` that somebody changes it, `wanted_stopped`
    that its user stopped it, None where that is not known. `lost` are the channels that its gateway says do
    not work, None where it tells nothing of them; `only_channels` that nothing else keeps it from being
    ready; `queued` that it waits for its turn to start, which is no trouble however long it takes. Without
    a schedule `backups` and `upgrades` are None.
    """

    name: str
    unreadable: bool = False
    busy: bool = False
    state: State = State.READY
    activity: Activity = Activity.RUNNING
    autostart: bool = True
    wanted_stopped: bool | None = False
    restarts: int = 0
    lost: tuple[str, ...] | None = ()
    only_channels: bool = False
    queued: bool = False
    backups: Timed | None = None
    upgrades: Timed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system, by a path on it: bytes and names that are free, of how many; None where unknown."""

    path: str
    free: int | None = None
    size: int | None = None
    names_free: int = 0
    names: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is so at one moment."""

    instances: tuple[Instance, ...] = ()
    disks: tuple[Disk, ...] = ()


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that is wrong with an instance, or with the machine where `about` is None.

    Of each `subject` of an instance one thing is told at a time. `what` is the channel, or a path of the
    disk; `since` is when it was first seen. `again` where it comes and goes; then it has to be `well` for a
    while, and that is since when it is.
    """

    about: str | None
    subject: str
    kind: Kind
    since: Moment
    what: str | None = None
    told: bool = False
    again: bool = False
    well: Moment | None = None

    @property
    def key(self) -> tuple[str, str]:
        """By which it is known again."""
        return self.about or "", self.subject


class Recovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When something was told to be well again."""

    about: str | None
    subject: str
    at: Moment

    @property
    def key(self) -> tuple[str, str]:
        """By which what was wrong is known."""
        return self.about or "", self.subject


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a gateway had been restarted at a moment."""

    at: Moment
    count: int


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept from one look to the next; it `looked` last at that moment."""

    looked: Moment = 0.0
    conditions: tuple[Condition, ...] = ()
    restarts: dict[str, tuple[Sample, ...]] = msgspec.field(default_factory=dict)
    recovered: tuple[Recovery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be told: a condition, and which turn it took at a moment."""

    condition: Condition
    turn: Turn
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """How one subject is: well without a `kind`, not `known` where that cannot be told now."""

    about: str | None
    subject: str
    kind: Kind | None = None
    what: str | None = None
    known: bool = True
    busy: bool = False
    since: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.about or "", self.subject


@dataclass(slots=True, kw_only=True)
class _Look:
    """One look: what was so before, and what is to be told."""

    now: float
    before: Mapping[tuple[str, str], Condition]
    gap: bool
    recovered: list[Recovery]
    kept: list[Condition] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def tell(self, condition: Condition, turn: Turn) -> None:
        if turn is Turn.WELL:
            told = Recovery(about=condition.about, subject=condition.subject, at=self.now)
            self.recovered.append(told)
        self.changes.append(Change(condition=condition, turn=turn, at=self.now))


def compare(before: Memory, facts: Facts, now: float) -> tuple[Memory, tuple[Change, ...]]:
    """Return what is kept after a look at the moment `now`, and what is to be told.

    Each problem is told once, when it lasted as long as its kind asks for, and once more when it is over.
    """
    known = {condition.key: condition for condition in before.conditions}
    recent = [one for one in before.recovered if 0 <= now - one.at <= AGAIN_SECONDS]
    gap = not 0 <= now - before.looked <= GAP_SECONDS
    look = _Look(now=now, before=known, gap=gap, recovered=recent)
    counted = {} if look.gap else before.restarts
    samples = {one.name: _samples(counted.get(one.name, ()), one, now) for one in facts.instances}
    findings = [found for one in facts.instances for found in _of_instance(one, samples[one.name], look)]
    findings += [_of_disk(one) for one in facts.disks]
    for finding in findings:
        _judge(look, finding)
    asked = {finding.key for finding in findings}
    # Where the backups of one go, its record tells.
    all_known = not any(one.unreadable for one in facts.instances)
    for key, condition in known.items():
        if key in asked or not condition.told:
            continue
        if condition.about is None and not all_known:
            look.kept.append(condition)
        else:
            look.tell(condition, Turn.OVER)
    memory = Memory(
        looked=now,
        conditions=tuple(look.kept),
        restarts={name: its for name, its in samples.items() if its},
        recovered=tuple(look.recovered),
    )
    return memory, tuple(look.changes)


def _judge(look: _Look, finding: _Finding) -> None:
    old = look.before.get(finding.key)
    if not finding.known:
        if old is not None:
            look.kept.append(old)
        return
    if finding.kind is None:
        if old is not None and old.told:
            _seems_well(look, old)
        return
    if old is not None and old.told:
        # Another kind of the same is no news: one message, and one when it is well again.
        look.kept.append(msgspec.structs.replace(old, well=None))
        return
    seen = look.now if old is None or look.gap else min(old.since, look.now)
    hold = max(finding.kind.hold_seconds, BUSY_SECONDS if finding.busy else 0.0)
    condition = Condition(
        about=finding.about,
        subject=finding.subject,
        kind=finding.kind,
        since=seen if finding.since is None else min(max(finding.since, 0.0), seen),
        what=finding.what,
        told=look.now - seen >= hold,
        again=sum(one.key == finding.key for one in look.recovered) >= AGAIN,
    )
    look.kept.append(condition)
    if condition.told:
        look.tell(condition, Turn.PROBLEM)


def _seems_well(look: _Look, old: Condition) -> None:
    since = look.now if old.well is None or look.gap else min(old.well, look.now)
    if old.again and look.now - since < WELL_SECONDS:
        look.kept.append(msgspec.structs.replace(old, well=since))
    else:
        look.tell(old, Turn.WELL)


HEALTH, BACKUPS, UPGRADES, _CHANNEL, _DISK = "health", "backups", "upgrades", "channel ", "disk "


def _of_instance(one: Instance, samples: tuple[Sample, ...], look: _Look) -> Iterator[_Finding]:
    """Yield how an instance is in each respect; nothing of what nobody asks for."""
    mine = [condition for condition in look.before.values() if condition.about == one.name]
    if one.unreadable:
        yield _Finding(about=one.name, subject=HEALTH, kind=Kind.UNREADABLE, busy=one.busy)
        for condition in mine:
            if condition.subject != HEALTH:
                yield _Finding(about=one.name, subject=condition.subject, known=False)
        return
    if not _is_at_rest(one):
        old = look.before.get((one.name, HEALTH))
        kind = _health(one, samples, old)
        # One of many that start at once takes long; one that takes too long is failed by then.
        starts = kind is Kind.NOT_READY and one.state is State.STARTING
        known = kind is not Kind.STOPPED or one.wanted_stopped is not None
        if one.queued:
            # What was told before is over once it is ready.
            kind, known = None, old is None or not old.told
        yield _Finding(about=one.name, subject=HEALTH, kind=kind, known=known, busy=one.busy or starts)
        yield from _channels(one, mine)
    timers = (BACKUPS, one.backups, _BACKUP_KINDS), (UPGRADES, one.upgrades, _UPGRADE_KINDS)
    for subject, timed, kinds in timers:
        if timed is not None:
            kind = None if timed.trouble is None else kinds[timed.trouble]
            yield _Finding(about=one.name, subject=subject, kind=kind, since=timed.since)


_BACKUP_KINDS = {
    Trouble.FAILED: Kind.BACKUP_FAILED,
    Trouble.LATE: Kind.BACKUP_LATE,
    Trouble.IDLE: Kind.BACKUP_IDLE,
}
_UPGRADE_KINDS = {
    Trouble.FAILED: Kind.UPGRADE_FAILED,
    Trouble.LATE: Kind.UPGRADE_IDLE,
    Trouble.IDLE: Kind.UPGRADE_IDLE,
}


def _is_at_rest(one: Instance) -> bool:
    """Tell whether an instance is stopped, and is to be."""
    return one.state is State.STOPPED and (one.wanted_stopped or not one.autostart)


def _health(one: Instance, samples: tuple[Sample, ...], old: Condition | None) -> Kind | None:
    looped = old is not None and old.told and old.kind is Kind.RESTARTS
    recent = samples[-1].count - samples[0].count if samples else 0
    if one.state is State.STOPPED:
        return Kind.STOPPED
    if one.activity is Activity.FAILED:
        return Kind.FAILED
    if recent >= LOOP or (looped and recent > 0):
        return Kind.RESTARTS
    return None if one.state is State.READY or one.only_channels else Kind.NOT_READY


def _channels(one: Instance, mine: list[Condition]) -> Iterator[_Finding]:
    """Yield each channel that is lost, or was."""
    before = [condition.what for condition in mine if condition.kind is Kind.CHANNEL]
    for channel in sorted({*(one.lost or ()), *filter(None, before)}):
        yield _Finding(
            about=one.name,
            subject=f"{_CHANNEL}{channel}",
            kind=Kind.CHANNEL if channel in (one.lost or ()) else None,
            what=channel,
            known=one.lost is not None,
            busy=one.busy,
        )


def _samples(before: tuple[Sample, ...], one: Instance, now: float) -> tuple[Sample, ...]:
    """Return the counts of restarts within the time that a loop takes, oldest first, with the one of now."""
    if one.unreadable or _is_at_rest(one):
        return ()
    new = Sample(at=now, count=one.restarts)
    # Who starts it by hand has it counted anew, and a clock may have been set back.
    if not before or one.restarts < before[-1].count or now < before[-1].at:
        return (new,)
    start = now - LOOP_SECONDS
    older = [sample for sample in before if sample.at <= start][-1:]
    return (*older, *(sample for sample in before if sample.at > start), new)[-_MOST_SAMPLES:]


def _of_disk(disk: Disk) -> _Finding:
    finding = _Finding(about=None, subject=f"{_DISK}{disk.path}", what=disk.path, known=False)
    if disk.free is None or not disk.size:
        return finding
    bound = min(disk.size * _FULL_SHARE, _FULL_BYTES)
    names = disk.names * _FULL_NAMES
    if disk.free < bound or disk.names_free < names:
        return _Finding(about=None, subject=finding.subject, what=disk.path, kind=Kind.DISK)
    if disk.free >= bound * _WELL_SHARE and disk.names_free >= names * _WELL_SHARE:
        return _Finding(about=None, subject=finding.subject, what=disk.path)
    return finding
