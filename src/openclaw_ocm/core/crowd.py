"""What many gateways need of one machine, and which of its limits they would meet.

Of an idle gateway of OpenClaw 2026.9.6: 31 tasks with all that seals it, 67 descriptors in the process that
has the most, one inotify instance with one watch. Descriptors are counted by process, and of watches the
kernel gives each user 8192 at least: many gateways meet neither where one does not.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from openclaw_ocm.core.needs import Lacking
from openclaw_ocm.core.text import counted

# Sessions, and what an agent runs, come on top of the idle ones.
_TASKS_EACH, _TASKS_SPARE, _MANY_TASKS = 64, 256, 4096
# With OCM's flags, by its proportional share (bench).
IDLE_BYTES = 650_000_000
_GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class TaskLimit:
    """How many tasks, threads included, there may be below `place`: a control group, a sysctl, or `nproc`."""

    place: str
    most: int


def few_tasks(limits: tuple[TaskLimit, ...], gateways: int, *, user: str, root: str) -> Lacking | None:
    """Return why not so many gateways may have their tasks, None where they may.

    `root` is what goes before a command of root's.
    """
    wanted = _TASKS_EACH * gateways + _TASKS_SPARE
    tightest = min(limits, key=lambda limit: limit.most, default=None)
    if tightest is None or tightest.most >= wanted:
        return None
    larger = max(_MANY_TASKS, 2 * wanted)
    why = f"{tightest.most} tasks are few for {counted(gateways, 'gateway')} ({tightest.place})"
    return Lacking(why=why, mend=_lifted(tightest.place, larger, user=user, root=root))


def _lifted(place: str, larger: int, *, user: str, root: str) -> str:
    """Return what lets so many tasks be below `place`."""
    unit = place.rpartition("/")[2]
    if place == "nproc":
        return f"let {user} have nproc {larger} in /etc/security/limits.conf, and boot"
    if not place.startswith("/"):
        return f"{root}sysctl -w {place}={larger} (a file in /etc/sysctl.d keeps it)"
    if unit.endswith((".slice", ".service", ".scope")):
        return f"{root}systemctl set-property {shlex.quote(unit)} TasksMax={larger}"
    return f"have whoever runs this machine allow {larger} tasks"


def little_memory(memory: int | None, gateways: int) -> Lacking | None:
    """Return why not so many idle gateways fit into memory and swap, None where they do or nobody knows."""
    if memory is None or IDLE_BYTES * gateways <= memory:
        return None
    have, need = (f"{size / _GIGABYTE:.1f} GB" for size in (memory, IDLE_BYTES * gateways))
    why = f"{have} of memory and swap are little for {counted(gateways, 'gateway')}: idle they take {need}"
    return Lacking(why=why, mend="stop some, or have more memory or swap")
