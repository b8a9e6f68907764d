"""The proof of a sandbox's mounts: what the kernel lists for the gateway against what the policy grants."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.core.sandbox.policy import SPARE_PROC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.sandbox.policy import Mount, Policy

_OCTAL = re.compile(r"\\([0-7]{3})")
# The backends' own places in a private root, and the only file systems that may be mounted at or below each.
_KERNEL = frozenset(
    {"proc", "sysfs", "cgroup2", "cgroup", "tmpfs", "debugfs", "tracefs", "securityfs", "selinuxfs", "bpf"}
    | {"configfs", "fusectl", "pstore", "efivarfs", "binfmt_misc", "autofs"}
)
_OWN = {
    PurePosixPath("/proc"): _KERNEL,
    PurePosixPath("/sys"): _KERNEL,
    PurePosixPath("/dev"): frozenset({"tmpfs", "devtmpfs", "mqueue", "hugetlbfs"}),
    PurePosixPath("/dev/pts"): frozenset({"devpts"}),
    PurePosixPath("/run"): frozenset({"tmpfs"}),
}
_EMPTY = tuple(map(PurePosixPath, ("/home", "/root")))
# What stands for a hidden file or directory: an empty or closed one, or /dev/null without access to devices.
_COVERS = frozenset({"tmpfs", "devtmpfs"})


class Mounted(NamedTuple):
    """One line of /proc/PID/mountinfo: where something is mounted, its file system, whether to be written."""

    point: PurePosixPath
    kind: str
    writable: bool = False


def parse_mountinfo(text: str) -> tuple[Mounted, ...]:
    """Return the mounts that /proc/PID/mountinfo lists (proc_pid_mountinfo(5))."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:]:
            continue
        kind = fields[fields.index("-", 6) + 1]
        point = unescaped(fields[4])
        writable = "rw" in fields[5].split(",")
        found.append(Mounted(point=PurePosixPath(point), kind=kind, writable=writable))
    return tuple(found)


def unescaped(field: str) -> str:
    """Return a field of it with the spaces and the like that it spells in octal."""
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)


def mount_violations(inside: Iterable[Mounted], host: Iterable[Mounted], policy: Policy) -> tuple[str, ...]:
    """Return in words what is mounted inside a sandbox and neither granted by the policy nor a backend's own.

    `host` are the mounts of the host: one below a granted directory comes along with it.
    """
    on_host, inside = frozenset(mounted.point for mounted in host), tuple(inside)
    granted = {mount.target for mount in policy.mounts}
    closed = [mount.target for mount in policy.mounts if mount.asked and not mount.writable]
    writable = tuple(
        f"{mounted.point} can be written, which the policy does not grant"
        for mounted in dict.fromkeys(inside)
        if mounted.writable and any(mounted.point.is_relative_to(target) for target in closed)
    )
    return writable + tuple(
        f"{mounted.kind} is mounted at {mounted.point}, which the policy does not grant"
        for mounted in dict.fromkeys(inside)
        if mounted.point not in granted
        and not _is_backends_own(mounted)
        and not (mounted.point in policy.hidden and mounted.kind in _COVERS)
        and not any(_comes_along(mounted.point, mount, on_host) for mount in policy.mounts)
    )


def _is_backends_own(mounted: Mounted) -> bool:
    # Of the spare one nothing is seen: the tool host covers it, and the probe asks.
    if mounted.point == PurePosixPath("/") or mounted.point.is_relative_to(SPARE_PROC):
        return True
    if mounted.point in _EMPTY:
        return mounted.kind == "tmpfs"
    return any(mounted.point.is_relative_to(place) and mounted.kind in kinds for place, kinds in _OWN.items())


def _comes_along(point: PurePosixPath, mount: Mount, on_host: frozenset[PurePosixPath]) -> bool:
    if not point.is_relative_to(mount.target):
        return False
    below = point.relative_to(mount.target)
    # /bin, /lib and the like are links below /usr on the host and mounts of their own inside.
    return any(source / below in on_host for source in (mount.source, PurePosixPath(f"/usr{mount.source}")))


def identity_violations(answers: Mapping[str, Any], expected: Mapping[str, list[int]]) -> Iterator[str]:
    """Yield which granted paths are, seen from inside, not the very files of the host that they must be.

    `expected` holds device and inode number of each path's source; `answers` are the probe's.
    """
    seen = answers.get("identity", {})
    for path, identity in expected.items():
        if seen.get(path) != identity:
            yield f"{path} inside is not what the policy binds there"


def terminal_violations(answers: Mapping[str, Any], path: str, host_device: int) -> Iterator[str]:
    """Yield where the terminals inside are those of the host, of that device number, or none."""
    seen = answers.get("identity", {}).get(path)
    if not isinstance(seen, list) or seen[:1] == [host_device]:
        yield f"{path} inside is not the gateway's own"
