"""Upgrades that an instance gets by itself: as wanted, when the next is due, and what became of the last."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup.schedule import Moment
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.operations.planning.timers import moved, next_due, read_ended
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.instances.instance import Instance

# What is wrong where a backend does not keep the time: `doctor` tells in what its files differ.
IDLE_UPGRADES = "nothing makes the scheduled upgrades"


class LastUpgrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What became of the last scheduled upgrade, which `ended` then, in seconds since the epoch.

    `version` is what it was for, None where nothing was newer; `error` is why it failed. `refused` is the
    version with which the instance did not work, or without an error the one from which its user went back:
    it is not tried again.
    """

    ended: Moment
    version: str | None = None
    error: str | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrades:
    """The upgrades that an instance gets by itself: which, at what time of day, the next and the last."""

    versions: str
    at: str
    next: float | None
    last: LastUpgrade | None
    problem: str | None


def look_at_upgrades(worker: Instance) -> Upgrades | None:
    """Return the upgrades that an instance gets by itself, None where it gets none."""
    wanted = worker.record.auto_upgrade
    if wanted is None:
        return None
    timer, last = worker.timer(Purpose.UPGRADE), read_last_upgrade(worker.paths)
    due = next_due(worker.backend.timers(Purpose.UPGRADE), wanted.at) if timer.active else None
    return Upgrades(
        versions=wanted.versions,
        at=wanted.at,
        next=timer.next or due,
        last=last,
        problem=moved(worker, wanted.at, Purpose.UPGRADE) or _trouble(last, timer),
    )


def read_last_upgrade(paths: InstancePaths) -> LastUpgrade | None:
    """Return what became of the last scheduled upgrade, None where that is not known."""
    return read_ended(paths.last_upgrade, LastUpgrade)


def pass_over(worker: Instance, version: str) -> str | None:
    """Have no scheduled upgrade take a version that the user went back from, and say so; None without any."""
    if worker.record.auto_upgrade is None:
        return None
    gone_back = LastUpgrade(ended=time.time(), version=version, refused=version)
    try:
        files.write_file(worker.paths.last_upgrade, msgspec.json.encode(gone_back))
    except OSError as error:
        return f"it would be upgraded again by itself, for that could not be kept: {error.strerror}"
    return f"OpenClaw {version} is not taken again by itself"


def _trouble(last: LastUpgrade | None, timer: Timer) -> str | None:
    if last is not None and last.error is not None:
        again = (
            "" if last.refused is None else "; it is not tried again by itself before there is a newer one"
        )
        return f"the last upgrade failed: {last.error}{again}"
    if timer.failure is not None:
        return f"the last upgrade came to no end: {timer.failure}"
    return None if timer.active else IDLE_UPGRADES
