"""What building and booting share: where the cache is, a cgroup of one's own, the systemd-nspawn argv."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOST_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
MACHINE_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

# Only these reach a machine that may use the host's network: how to get out, nothing private.
PASSED_VARIABLES = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "no_proxy", "pip_index_url", "npm_config_registry")
    for spelling in (name, name.upper())
)


class MachineError(Exception):
    """A test machine could not be built, booted or entered."""


def cache_dir() -> Path:
    chosen = Path(os.environ.get("OCM_TEST_CACHE") or "/var/cache/ocm-test")
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen.resolve()


def network_environment() -> dict[str, str]:
    """Variables for a process in a machine that uses the host's network and trust store."""
    passed = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    if not HOST_CA_BUNDLE.exists():
        return passed
    names = ("PIP_CERT", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "npm_config_cafile")
    return {**passed, **dict.fromkeys(names, MACHINE_CA_BUNDLE)}


def unified_cgroup_root() -> Path:
    """Where cgroup v2 is mounted: /sys/fs/cgroup, or below it on a host that still has v1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    raise MachineError("this host has no cgroup v2 mounted: a machine cannot boot")


def make_cgroup(name: str) -> Path:
    """Make a cgroup outside every other machine's.

    systemd-nspawn makes `payload` and `supervisor` in the cgroup it is started in: two machines
    started in the same one would share, and break, one tree.
    """
    group = unified_cgroup_root() / "ocm-test" / name
    group.mkdir(parents=True, exist_ok=True)
    for level in (group.parent.parent, group.parent):
        enable_controllers(level)
    return group


def enable_controllers(level: Path) -> None:
    for controller in (level / "cgroup.controllers").read_text().split():
        # A host may keep a controller in v1 or forbid it: limits then do not bite, the rest works.
        with contextlib.suppress(OSError):
            (level / "cgroup.subtree_control").write_text(f"+{controller}")


def remove_cgroup(group: Path, *, deadline_seconds: float = 5.0) -> None:
    """Remove the tree, leaves first; a killed process may keep its cgroup busy for a moment."""
    end = time.monotonic() + deadline_seconds
    while group.exists() and time.monotonic() < end:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if group.exists():
            time.sleep(0.05)


@contextlib.contextmanager
def own_cgroup(name: str) -> Iterator[Path]:
    group = make_cgroup(name)
    try:
        yield group
    finally:
        remove_cgroup(group)


def in_cgroup(group: Path, argv: Sequence[str]) -> list[str]:
    """argv, run after moving itself into the cgroup."""
    return ["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', str(group), *argv]


def overlay_options(lower: Sequence[Path], upper: Path, work: Path) -> str:
    """`lower` is topmost first. What is written is lost with the host's power: nobody waits for its disk.

    The kernel marks the work directory, lest it be used again after such a loss.
    """
    shutil.rmtree(work / "work" / "incompat", ignore_errors=True)
    return f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work},volatile"


def on_overlay(options: str, root: Path, argv: Sequence[str]) -> list[str]:
    """argv, run with the overlay mounted at root."""
    script = 'mount -t overlay -o "$1" ocm-test "$2"; shift 2; exec "$@"'
    return ["sh", "-euc", script, "sh", options, str(root), *argv]


def contained(argv: Sequence[str]) -> list[str]:
    """argv, run so that nothing of it can outlive its starter, not even after a kill -9 of either.

    A killed systemd-nspawn alone would leave its machine running. Here all live in one PID namespace,
    whose first process gets SIGKILL with its parent, which gets it with the starter. The kernel drops
    the mounts with the last process.
    """
    return [
        *("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--propagation=private"),
        *("--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", *argv),
    ]


def nspawn(root: Path, *options: str) -> list[str]:
    """systemd-nspawn that needs neither systemd nor machined on the host."""
    return [
        *("systemd-nspawn", "--quiet", "--directory", str(root)),
        *("--register=no", "--keep-unit", *options),
    ]


def nspawn_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        # Hybrid hosts: the machine shall see cgroup v2 alone, as a Debian does.
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        **(extra or {}),
    }
