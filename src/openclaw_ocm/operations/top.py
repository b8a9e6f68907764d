"""What `ocm top` shows: all instances as `list` knows them, and what each uses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.top.history import Use
from openclaw_ocm.instances.instance import observed, open_all
from openclaw_ocm.operations.planning.stored import newest_stored
from openclaw_ocm.operations.planning.timers import read_last
from openclaw_ocm.operations.status import rows, use_of
from openclaw_ocm.system.kept.names import instance_names

if TYPE_CHECKING:
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


def watch(context: Context, *, chosen: str | None = None, turn: int = 0) -> tuple[Watched, ...]:
    """Return all instances as they are now, by one call to each backend.

    What a backend keeps no account of is dear to ask: it is asked of the `chosen` one, and of another at each
    `turn`. Raises `OcmError` where no backend answers.
    """
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
            use=_use(seen.instances.get(name), ask=name not in dear or name in asked),
            backup=_last_backup(seen.instances.get(name), stored.get(name)),
        )
        for name, row in zip(names, found, strict=True)
    )


def _is_dear(one: Instance) -> bool:
    process = one.process
    return process.pid is not None and (process.memory_bytes is None or process.cpu_seconds is None)


def _use(one: Instance | None, *, ask: bool) -> Use | None:
    if one is None:
        return Use(at=time.monotonic(), process=None, memory_bytes=None, cpu_seconds=None)
    if not ask:
        return None
    memory, seconds = use_of(one.process) if one.process.pid is not None else (None, None)
    return Use(at=time.monotonic(), process=one.process.pid, memory_bytes=memory, cpu_seconds=seconds)


def _last_backup(one: Instance | None, stored: float | None) -> float | None:
    last = None if one is None else read_last(one.paths)
    succeeded = None if last is None else last.succeeded
    moments = [moment for moment in (stored, succeeded) if moment is not None]
    return max(moments, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What is too dear to be asked of all instances: `asked` then, in seconds since the epoch.

    `message` is when the last message came or went, None for none; `messages_known` whether that could be
    told; `state_bytes` what its state takes on the disk, None where that is not known.
    """

    asked: float
    message: float | None = None
    messages_known: bool = False
    state_bytes: int | None = None
