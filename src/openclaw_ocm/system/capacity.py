"""How much this machine, or the container that it is, can do at once."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path, PurePosixPath

from openclaw_ocm.core.crowd import TaskLimit

_CGROUP = Path("/sys/fs/cgroup")  # of version 2; a container finds its own limits at the top

_KERNEL = Path("/proc/sys/kernel")


def cores() -> int:
    """Return how many processor cores this process may use, at least 1."""
    usable = len(os.sched_getaffinity(0))
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        usable = min(usable, int(quota) // int(period))
    return max(usable, 1)


def free_memory() -> int | None:
    """Return how many bytes new processes may take without swapping, None where the kernel does not tell."""
    found = _meminfo("MemAvailable")
    limit, used = _read(_CGROUP / "memory.max"), _read(_CGROUP / "memory.current")
    if limit.isdigit() and used.isdigit():
        found.append(max(int(limit) - int(used), 0))
    return min(found, default=None)


def memory() -> int | None:
    """Return how many bytes this machine, or the container that it is, has; None where nobody tells.

    Swap is part of it: gateways that rest may lie there.
    """
    own = min([*_meminfo("MemTotal"), *_limit("memory.max")], default=None)
    swap = min([*_meminfo("SwapTotal"), *_limit("memory.swap.max")], default=0)
    return None if own is None else own + swap


def _meminfo(what: str) -> list[int]:
    """Return the one number of bytes that the kernel tells of its memory, none where it does not."""
    lines = _read(Path("/proc/meminfo")).splitlines()
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:")]


def _limit(name: str) -> list[int]:
    """Return the one bound at the top of the control groups, none where there is none."""
    limit = _read(_CGROUP / name)
    return [int(limit)] if limit.isdigit() else []


def task_limits() -> tuple[TaskLimit, ...]:
    """Return what bounds how many tasks this user's processes may be, as far as the kernel tells."""
    found = []
    _, _, own = _read(Path("/proc/self/cgroup")).rpartition("0::/")
    group = PurePosixPath("/", own.split("\n")[0])
    for place in filter(_holds_gateways, (group, *group.parents)):
        most = _read(_CGROUP / place.relative_to("/") / "pids.max")
        if most.isdigit():
            found.append(TaskLimit(str(place), int(most)))
    for name in ("pid_max", "threads-max"):
        most = _read(_KERNEL / name)
        if most.isdigit():
            found.append(TaskLimit(f"kernel.{name}", int(most)))
    soft, _hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY:
        found.append(TaskLimit("nproc", soft))
    return tuple(found)


def _holds_gateways(group: PurePosixPath) -> bool:
    """Tell whether a control group that this process is in has gateways too: a login of its user has none."""
    inside = any(part.startswith("user-") and part.endswith(".slice") for part in group.parts[:-1])
    return not inside or group.name.startswith("user@")


def watchers_left(most: int) -> int:
    """Return how many more inotify instances this user may have, as far as `most`; they are given back."""
    import ctypes

    libc = ctypes.CDLL(None)
    taken = [handle for _ in range(most) if (handle := libc.inotify_init1(os.O_CLOEXEC)) >= 0]
    for handle in taken:
        os.close(handle)
    return len(taken)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()
    return ""
