"""What `ocm top` shows: all instances as `list` knows them, and what each uses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.metrics.sizes import MOST_SECONDS, Size
from openclaw_ocm.core.top.history import Use
from openclaw_ocm.instances.instance import observed, open_all, open_instance
from openclaw_ocm.instances.last_message import last_message
from openclaw_ocm.operations.planning.stored import last_backup, newest_stored
from openclaw_ocm.operations.planning.timers import read_last
from openclaw_ocm.operations.status import installed_version, rows
from openclaw_ocm.system.disk_use import disk_use
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.sizes import read_sizes

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.openclaw.last_message import LastMessage
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.status import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One instance, what it used up to now, and when its last backup was made, in seconds since the epoch.

    `use` is None where it was not its turn to be asked.
    """

    row: Row
    use: Use | None
    backup: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What is too dear to be asked of all instances: `asked` then, in seconds since the epoch.

    `message` tells when the last message came or went, `size` what its state takes on the disk; None where
    that is not known. Only of one that was `ready` then its messages are.
    """

    asked: float
    ready: bool = False
    message: LastMessage | None = None
    size: Size | None = None


def watch(context: Context, *, chosen: str | None = None, turn: int = 0) -> tuple[Watched, ...]:
    """Return all instances as they are now, by one call to each backend.

    What a backend keeps no account of is dear to ask: it is asked of the `chosen` one, and of another at each
    `turn`. Raises `OcmError` where no backend answers.
    """
    # What is installed may change between two looks.
    installed_version.cache_clear()
    names = instance_names(context.host.paths)
    opened = open_all(context, names)
    seen = observed(opened.instances.values())
    if seen.broken and not seen.instances and not opened.broken:
        raise next(iter(seen.broken.values()))
    found = rows(context, names, opened, seen)
    dear = [name for name, one in seen.instances.items() if _is_dear(one)]
    asked = {chosen, dear[turn % len(dear)] if dear else None}
    stored = newest_stored(context.host.paths)
    return tuple(
        Watched(
            row=row,
            use=_use(one, ask=name not in dear or name in asked),
            backup=last_backup(stored.get(name), read_last(one.paths) if one is not None else None),
        )
        for name, row in zip(names, found, strict=True)
        for one in (seen.instances.get(name),)
    )


def _is_dear(one: Instance) -> bool:
    process = one.process
    return process.pid is not None and (process.memory_bytes is None or process.cpu_seconds is None)


def _use(one: Instance | None, *, ask: bool) -> Use | None:
    if one is None:
        return Use(at=time.monotonic(), process=None, memory_bytes=None, cpu_seconds=None)
    if not ask:
        return None
    memory, seconds = one.use() if one.process.run is not None else (None, None)
    return Use(at=time.monotonic(), process=one.process.run, memory_bytes=memory, cpu_seconds=seconds)


def detail(context: Context, name: InstanceName, before: Detail | None, *, ready: bool) -> Detail:
    """Return what is dear to ask of an instance; of what was told `before` that which is new enough is kept.

    Its messages are read in its sandbox, where it is `ready`. Raises `OcmError` where it is gone.
    """
    worker, now = open_instance(context, name), time.time()
    old = None if before is None else before.message
    size = before.size if before is not None else read_sizes(context.host.paths).get(name)
    if size is None or size.is_due(now):
        began = time.monotonic()
        found = disk_use(worker.paths.state, seconds=MOST_SECONDS)
        size = Size(measured=now, took=time.monotonic() - began, bytes=found)
    message = last_message(worker) if ready else old
    return Detail(asked=now, ready=ready, message=message, size=size)
