"""The facts from which messages are made: what `list` and `history` know, and how full disks are."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import is_drill
from openclaw_ocm.core.notify import conditions
from openclaw_ocm.core.notify.conditions import Disk, Facts, Timed, Trouble
from openclaw_ocm.core.openclaw.channels import OTHERS, TELEGRAM
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.status import State
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.history import DONE, FINISHED_LATER, readable_history
from openclaw_ocm.instances.instance import observed, open_all
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.operations.planning import timers
from openclaw_ocm.operations.planning.upgrading import look_at_upgrades
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.plugins import official_plugins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.status import Health
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.history import HistoryEntry
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.timers import Backups
    from openclaw_ocm.operations.planning.upgrading import Upgrades

# What has an instance run, or stopped, by its user's word.
_MOVING = {"start", "restart", "deploy", "stop"}
_CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,31}")


def gather(context: Context) -> Facts:
    """Return what is so now of all instances and of the disks that they are on.

    One that cannot be looked at costs the others nothing.
    """
    paths = context.host.paths
    names = [name for name in instance_names(paths) if not is_drill(name)]
    opened = open_all(context, names)
    seen = observed(opened.instances.values()).instances
    judged = verdicts(seen.values())
    history, refused = readable_history(paths)
    stopped = _stopped(history)
    found = []
    for name in names:
        busy = files.is_locked(paths.locks / f"{name}.lock")
        fact = conditions.Instance(name=name, unreadable=True, busy=busy)
        if name in seen:
            with contextlib.suppress(OcmError, OSError):
                by_user = None if refused else name in stopped
                fact = _of_instance(seen[name], judged[name], busy=busy, stopped=by_user)
        found.append(fact)
    records = (one.record.backups for one in opened.instances.values())
    elsewhere = [one.directory for one in records if one is not None and one.directory is not None]
    return Facts(instances=tuple(found), disks=tuple(_disks(context, elsewhere)))


def _stopped(history: Iterable[HistoryEntry]) -> set[str]:
    """Return the instances that their user stopped, by whatever command, and did not start since."""
    stopped: set[str] = set()
    for change in history:
        if change.ended not in (DONE, FINISHED_LATER):
            continue
        # An older ocm noted the command alone.
        verb, name = change.operation or change.command.partition(" ")[0], change.instance
        if verb in _MOVING:
            (stopped.add if verb == "stop" else stopped.discard)(name)
        elif verb == "rename" and name in stopped:
            stopped.discard(name)
            # After it come those that inherit from it.
            stopped.update(change.others[:1])
    return stopped


def _of_instance(one: Instance, verdict: Health, *, busy: bool, stopped: bool | None) -> conditions.Instance:
    process, failing = one.process, verdict.failing
    lost = None if failing is None else _channels(one, failing)
    return conditions.Instance(
        name=one.name,
        busy=busy,
        state=verdict.state,
        activity=process.activity,
        autostart=process.autostart,
        wanted_stopped=stopped and not process.missed,
        restarts=process.restarts,
        lost=lost,
        queued=process.queued,
        only_channels=verdict.state is State.FAILED and bool(lost) and set(lost or ()) == set(failing or ()),
        backups=_timed(one, Purpose.BACKUP, timers.look(one)),
        upgrades=_timed(one, Purpose.UPGRADE, look_at_upgrades(one)),
    )


def _channels(one: Instance, failing: Iterable[str]) -> tuple[str, ...]:
    """Return which of the words are channels that its OpenClaw knows: an instance says what it likes."""
    package = PurePosixPath(one.record.runtime.openclaw)
    known: Mapping[str, str] = official_plugins(package).channels
    return tuple(
        word
        for word in dict.fromkeys(failing)
        if word == TELEGRAM
        or word in OTHERS
        or word in known
        or (_CHANNEL.fullmatch(word) and Path(package, "dist", "extensions", word).is_dir())
    )


def _timed(one: Instance, purpose: Purpose, found: Backups | Upgrades | None) -> Timed | None:
    """Return in what trouble scheduled backups or upgrades are, None where none are scheduled."""
    if found is None:
        return None
    if found.problem is None:
        return Timed()
    if found.last is not None and found.last.error is not None:
        return Timed(trouble=Trouble.FAILED, since=found.last.ended)
    timer = one.timer(purpose)
    if timer.failure is not None:
        return Timed(trouble=Trouble.FAILED)
    return Timed(trouble=Trouble.LATE if timer.active else Trouble.IDLE)


def _disks(context: Context, elsewhere: Iterable[str]) -> Iterator[Disk]:
    """Yield each file system on which OCM has something, once."""
    paths = context.host.paths
    own = (paths.home, paths.ocm_config, paths.ocm_state, paths.ocm_data, paths.backups)
    seen: set[int] = set()
    for place in (*map(str, own), *elsewhere):
        try:
            path = next(one for one in (Path(place), *Path(place).parents) if one.exists()).resolve()
            device = path.stat().st_dev
            if device in seen:
                continue
            seen.add(device)
            disk = os.statvfs(path)
            top = _top(path, device)
        except OSError:
            yield Disk(path=printable(place))
            continue
        yield Disk(
            path=printable(str(top)),
            free=disk.f_bavail * disk.f_frsize,
            size=disk.f_blocks * disk.f_frsize,
            names_free=disk.f_favail,
            names=disk.f_files,
        )


def _top(path: Path, device: int) -> Path:
    """Return where a file system begins: one disk has one name, whatever of OCM's lies on it."""
    while path != path.parent and path.parent.stat().st_dev == device:
        path = path.parent
    return path
