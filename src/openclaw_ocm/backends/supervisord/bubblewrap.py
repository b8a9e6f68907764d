"""The bubblewrap renderer: the policy as an argument vector of bwrap(1).

Measured with bubblewrap 0.8.0, the one of Debian 12. What systemd's directives do by themselves is spelt out:
the empty places, the devices, and what of /proc and /sys may not be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.launch import BWRAP, PERL, clean, uplink_argv
from openclaw_ocm.core.sandbox.policy import QUEUED_BYTES, SIGNALS, SPARE_PROC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Mount, Policy

_PRLIMIT = "/usr/bin/prlimit"

# The filters arrive on these descriptors, and for the tool host what is known of the process outside.
_FILTERS = (8, 9)
OUTSIDE = ("--outside", "10")
_EMPTY = ("/home", "/root", "/run", "/dev")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Its kernel settings are the tool host's to close, for the gateway and for boxes.
PROC = ("--proc", "/proc")
_SHARED_MEMORY = str(256 * 2**20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What runs before bwrap: the text of enter_sandbox.pl, and the two compiled filters that it opens."""

    program: str
    filters: tuple[PurePosixPath, ...]


def entry_argv(entrance: Entrance, argv: tuple[str, ...], *, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return `argv`, a bwrap and what it runs, below what prepares it.

    `variables` are the whole environment of the programs outside of the sandbox.
    """
    script = _on_one_line(entrance.program)
    return clean(variables, (PERL, "-e", script, *map(str, entrance.filters), *argv))


def _on_one_line(program: str) -> str:
    """Return a program of Perl without its comments, each of which is a line of its own."""
    lines = (line.strip() for line in program.splitlines())
    return " ".join(line for line in lines if line and not line.startswith("#"))


def sandbox_argv(
    policy: Policy, *, covers: Mapping[PurePosixPath, bool], directory: PurePosixPath
) -> tuple[str, ...]:
    """Return the bwrap that runs what is appended to it in the sandbox of `policy`.

    `covers` are those of the hidden paths that the host has, with whether each is a directory: bwrap cannot
    cover what is not there.
    """
    return (
        BWRAP,
        *(word for number in _FILTERS for word in ("--add-seccomp-fd", str(number))),
        *namespace_arguments(),
        *(word for path in _EMPTY for word in ("--tmpfs", path)),
        *_devices(),
        *PROC,
        *("--bind", "/proc", str(SPARE_PROC)),
        *("--ro-bind", "/sys", "/sys"),
        *(word for mount in sorted(policy.mounts, key=_depth) for word in _bind(mount)),
        *(word for path, is_directory in covers.items() for word in _cover(path, is_directory=is_directory)),
        *(word for path in (*_EMPTY, "/") for word in ("--remount-ro", path)),
        *("--chdir", str(directory)),
        "--",
    )


def namespace_arguments() -> tuple[str, ...]:
    """Return the arguments for namespaces and capabilities; the program becomes the first process inside."""
    # CAP_SETFCAP is the tool host's alone: without it root could map itself into no namespace below this one.
    return (
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--cap-drop", "ALL", "--cap-add", "CAP_SETFCAP", "--die-with-parent", "--as-pid-1"),
    )


def limited_argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run without core dumps and with few waiting signals and messages."""
    shared = (f"--sigpending={SIGNALS}", f"--msgqueue={QUEUED_BYTES}")
    return (_PRLIMIT, "--core=0", *shared, "--", *argv)


def with_network(
    paths: InstancePaths, record: Record, argv: tuple[str, ...], *, gateway: bool
) -> tuple[str, ...]:
    """Return `argv`, a bwrap, run so that its sandbox gets a network where the record has one of its own."""
    return uplink_argv(paths, record, "--", *argv, gateway=gateway) if record.isolated else argv


def _devices() -> Iterator[str]:
    # Not --dev: that puts the host's terminals beside its own where one is inherited.
    for name in _DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        yield from ("--symlink", f"/proc/self/{target}", f"/dev/{name}")
    # The tool host mounts terminals there.
    yield from ("--dir", "/dev/pts", "--symlink", "pts/ptmx", "/dev/ptmx")
    yield from ("--perms", "1777", "--size", _SHARED_MEMORY, "--tmpfs", "/dev/shm")  # noqa: S108 - its own


def _depth(mount: Mount) -> int:
    # What lies below another mount would be hidden by it if it came first.
    return len(mount.target.parts)


def _bind(mount: Mount) -> tuple[str, str, str]:
    kind = "--bind" if mount.writable else "--ro-bind"
    return (f"{kind}-try" if mount.optional else kind, str(mount.source), str(mount.target))


def _cover(path: PurePosixPath, *, is_directory: bool) -> tuple[str, ...]:
    if is_directory:
        return ("--tmpfs", str(path), "--remount-ro", str(path))
    # Without --dev-bind a device cannot be opened, so this is a file that nobody reads.
    return ("--ro-bind", "/dev/null", str(path))
