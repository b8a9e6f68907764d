"""What the kernel says of processes and ports: what is free, memory, namespaces, capabilities."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.mounts import Mounted, parse_mountinfo
from openclaw_ocm.core.sandbox.probe import NAMESPACES, NETWORK, WAITER, Kernel
from openclaw_ocm.core.text import printable

_ATTEMPTS = 3
# Of /proc/PID/stat after the name of the program: when the process was started (proc(5), field 22).
_STARTED = 19

if TYPE_CHECKING:
    import psutil


def can_bind(port: int) -> bool:
    """Tell whether a port can be bound now, on IPv4 and, where the machine has it, on IPv6."""
    return _can_bind(socket.AF_INET, "0.0.0.0", port) and _can_bind(socket.AF_INET6, "::", port)  # noqa: S104 - a test, nothing listens


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True


def command_name(pid: int | None) -> str | None:
    """Return the name by which the kernel knows a process's program, None where the process is gone."""
    if pid is None:
        return None
    try:
        return printable(Path(f"/proc/{pid}/comm").read_text(errors="replace").strip())
    except OSError:
        return None


def environ(pid: int, *, limit: int) -> dict[str, str]:
    """Return the variables with which a process was started, none where they cannot be read."""
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/environ").open("rb") as file:
        pairs = (part.partition(b"=") for part in file.read(limit).split(b"\0"))
        return {os.fsdecode(name): os.fsdecode(value) for name, equals, value in pairs if equals}
    return {}


def is_same_or_below(pid: int, ancestor: int) -> bool:
    """Tell whether a process is `ancestor` or descends from it."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return pid == ancestor or ancestor in (parent.pid for parent in psutil.Process(pid).parents())
    return False


def children(pid: int) -> tuple[int, ...]:
    """Return the child processes of a process, none where it is gone."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return tuple(child.pid for child in psutil.Process(pid).children())
    return ()


def namespaces(pid: int | None) -> dict[str, str]:
    """Return what the kernel calls each namespace of a process, None for one's own; empty when it is gone."""
    found = {}
    with contextlib.suppress(OSError):
        for kind in (*NAMESPACES, NETWORK, "uts"):
            found[kind] = str(Path(f"/proc/{pid or 'self'}/ns/{kind}").readlink())
    return found


def gateway_below(tool_host: int) -> int | None:
    """Return the first process in the gateway's own PID namespace, None where there is none.

    Its parent is told from those of boxes by its name, which none but the tool host can give there.
    """
    waiters = [child for child in children(tool_host) if command_name(child) == WAITER]
    return next((first for waiter in waiters for first in children(waiter)), None)


def lives(pid: int) -> bool:
    """Tell whether a process is there and has not ended: one that nobody has waited for yet has."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def started(pid: int) -> str:
    """Return when a process was started, in ticks since the boot; raises `OSError` where it is gone."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[_STARTED]


def parent(pid: int) -> int | None:
    """Return the parent of a process, None where the process is gone."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).ppid()
    return None


def memory_and_cpu(pid: int) -> tuple[int | None, float | None]:
    """Return the proportional memory in bytes and the CPU seconds of a process and all below it.

    Those that have ended count as well, with whoever waited for them: what was used never becomes less.
    """
    import psutil

    memory = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                memory += process.memory_full_info().pss
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(psutil.NoSuchProcess):
                return memory, _cpu_seconds(root)
    except psutil.Error:
        return None, None
    return memory, None


def _cpu_seconds(root: psutil.Process) -> float:
    """Return the CPU seconds of a process and all below it, raise `NoSuchProcess` where one ended meanwhile.

    Where its time went to would be known of some and not of others.
    """
    # User, system, and both of the children that it waited for.
    return sum(sum(one.cpu_times()[:4]) for one in (root, *root.children(recursive=True)))


def mounts(pid: int) -> tuple[Mounted, ...]:
    """Return what is mounted for the process `pid`; raises `OSError` when it is gone."""
    return parse_mountinfo(Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="replace"))


def filters(pid: int) -> int:
    """Return how many filters decide about the system calls of `pid`; raises `OSError` when it is gone."""
    return int(_status(pid).get("Seccomp_filters", "0"))


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def kernel_view(pid: int) -> Kernel:
    """Return what the kernel says of the process `pid`; raises `OSError` when it is gone."""
    status = _status(pid)
    own = {
        name
        for name in (*NAMESPACES, NETWORK)
        if Path(f"/proc/{pid}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink()
    }
    return Kernel(
        no_new_privileges=status.get("NoNewPrivs") == "1",
        filters=int(status.get("Seccomp_filters", "0")),
        capabilities=int(status.get("CapEff", "f"), 16),
        bounding_set=int(status.get("CapBnd", "f"), 16),
        own_namespaces=frozenset(own),
    )


def addresses() -> tuple[str, ...]:
    """Return the IPv4 addresses of this machine, that of its loopback first."""
    import psutil

    each = (one for found in psutil.net_if_addrs().values() for one in found)
    found = (one.address for one in each if one.family == socket.AF_INET)
    return tuple(dict.fromkeys(("127.0.0.1", *found)))
