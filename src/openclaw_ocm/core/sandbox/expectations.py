"""What a process inside a sandbox must and must not be able to do, derived from the policy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.launch import TOOL_HOST_SOCKET
from openclaw_ocm.core.sandbox.policy import DOCKER_SOCKET, OPT, SPARE_PROC, SYSTEM, TEMPORARY
from openclaw_ocm.core.sandbox.probe import CONNECT, READ, WRITE, Check, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.sandbox.policy import Policy

_UNREADABLE = tuple(
    PurePosixPath(path)
    for path in ("/run/dbus", "/run/systemd/system", "/var/log", "/var/lib", "/root/.ssh", "/srv", "/mnt")
)
_UNWRITABLE = (
    *("/", "/etc", "/usr", "/opt", "/run", "/var", "/home", "/root", "/dev", "/sys/fs/cgroup"),
    # As root neither a capability nor a mode bit keeps an instance from these: only the mount does.
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger"),
)
_SOCKETS = ("/run/dbus/system_bus_socket", "/run/systemd/journal/socket", "/run/systemd/journal/stdout")
Left = Mapping[PurePosixPath, frozenset[str]]
_NOTHING_LEFT: Left = {}
_EMPTY = (str(SPARE_PROC), "/run/user")
_LEAKY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - places to look at, nothing is put there by name


def checks(
    paths: InstancePaths,
    policy: Policy,
    *,
    runtime: PurePosixPath,
    others: Iterable[InstanceName],
    left: Left = _NOTHING_LEFT,
) -> tuple[Check, ...]:
    """Return what to try inside, and whether it must work.

    `runtime` is the user's XDG_RUNTIME_DIR, `others` are all other instances of the host, and `left` are the
    places of former mounts in the sandbox's own root, by the directory in which they are.
    """
    hidden = (*_secrets(paths, others), *policy.hidden)
    return (
        *_granted(paths, policy),
        *(_denied(READ, path) for path in hidden if not _is_asked(path, policy)),
        *(_denied(READ, path) for path in _unreadable(policy) if not _names_in(path, policy, left)),
        *(_denied(WRITE, path) for path in (*map(PurePosixPath, _UNWRITABLE), paths.host.home)),
        *(_denied(CONNECT, path) for path in (runtime / "bus", runtime / "systemd/private")),
        *(_denied(CONNECT, PurePosixPath(path)) for path in _SOCKETS),
        *([] if DOCKER_SOCKET in policy.writable else [_denied(CONNECT, DOCKER_SOCKET)]),
    )


def box_checks(paths: InstancePaths, policy: Policy, *, runtime: PurePosixPath) -> tuple[Check, ...]:
    """Return what to try in a box, of a session other than main, and whether it must work.

    A box sees a workspace and the system, and of the sandbox around it neither state nor secrets.
    """
    shown = (*SYSTEM, *TEMPORARY, *([OPT] if _shows_opt(policy) else []))
    hidden = [
        mount.target for mount in policy.mounts if not any(mount.target.is_relative_to(one) for one in shown)
    ]
    closed = ("/", "/etc", "/usr", "/opt", "/var", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger")
    return (
        *(Check(action=WRITE, path=path, allowed=True) for path in ("/workspace", *map(str, TEMPORARY))),
        *(_denied(READ, path) for path in (*hidden, paths.host.home, *_secrets(paths, ()), *policy.hidden)),
        *(_denied(READ, path) for path in _unreadable(policy)),
        *(_denied(WRITE, PurePosixPath(path)) for path in closed),
        *(_denied(CONNECT, path) for path in (runtime / "bus", DOCKER_SOCKET, TOOL_HOST_SOCKET)),
        *(_denied(CONNECT, PurePosixPath(path)) for path in _SOCKETS),
    )


def listings(paths: InstancePaths, policy: Policy, left: Left = _NOTHING_LEFT) -> tuple[Listing, ...]:
    """Return the directories that must hold nothing of the host's, with what may be in each."""
    home, main = paths.host.home, paths.host.main_state
    return (
        Listing(path=str(main), names=frozenset({paths.config_link.name})),
        *(
            # A home may lie below one of these.
            Listing(path=str(path), names=_names_in(path, policy, left))
            for path in dict.fromkeys((home, *_unreadable(policy)))
            if path == home or _names_in(path, policy, left)
        ),
        *(Listing(path=path, names=frozenset()) for path in _EMPTY),
    )


def canary_places(paths: InstancePaths, *, runtime: PurePosixPath) -> tuple[PurePosixPath, ...]:
    """Return the directories of the host in which a file is planted that the instance must not see."""
    return (paths.host.home, paths.host.ocm_config, runtime, *map(PurePosixPath, _LEAKY))


def canary_checks(canaries: Iterable[str]) -> tuple[Check, ...]:
    """Return the checks that no planted file can be read."""
    return tuple(_denied(READ, PurePosixPath(path)) for path in canaries)


def may_be_left(policy: Policy) -> tuple[PurePosixPath, ...]:
    """Return the directories of a sandbox's own root in which places of former mounts may be."""
    return _unreadable(policy)


def _names_in(path: PurePosixPath, policy: Policy, left: Left) -> frozenset[str]:
    """Return what may be in a directory: what is there for the sake of mounts below it, or was."""
    targets = (mount.target for mount in policy.mounts if mount.target != path)
    wanted = (target.relative_to(path).parts[0] for target in targets if target.is_relative_to(path))
    return frozenset((*wanted, *left.get(path, ())))


def _shows_opt(policy: Policy) -> bool:
    return any(mount.target == OPT for mount in policy.mounts)


def _unreadable(policy: Policy) -> tuple[PurePosixPath, ...]:
    found = _UNREADABLE if _shows_opt(policy) else (*_UNREADABLE, OPT)
    return tuple(path for path in found if not _is_asked(path, policy))


def _is_asked(path: PurePosixPath, policy: Policy) -> bool:
    return any(mount.asked and path.is_relative_to(mount.target) for mount in policy.mounts)


def _denied(action: str, path: PurePosixPath) -> Check:
    return Check(action=action, path=str(path), allowed=False)


def _granted(paths: InstancePaths, policy: Policy) -> Iterator[Check]:
    """Yield what the policy grants, and that it grants no more than that."""
    for mount in policy.mounts:
        if mount.writable and mount.target != DOCKER_SOCKET:
            yield Check(action=WRITE, path=str(mount.target), allowed=True)
        elif mount.asked:
            # That it is there its identity shows; an empty one cannot be read.
            yield _denied(WRITE, mount.target)
        elif not mount.writable and not mount.optional:
            yield Check(action=READ, path=str(mount.target), allowed=True)
            yield _denied(WRITE, mount.target)
    named = tuple(mount.target for mount in policy.named)
    yield from (_denied(WRITE, path) for path in named)
    for path in (paths.config, paths.host.main_state / paths.config_link.name, *named):
        yield Check(action=READ, path=str(path), allowed=True)


def _secrets(paths: InstancePaths, others: Iterable[InstanceName]) -> tuple[PurePosixPath, ...]:
    """Return what an instance must not read: main, OCM, the other instances, the rest of home and system."""
    host = paths.host
    return (
        *(host.main_state / entry for entry in ("openclaw.json", ".env", "state", "credentials", "agents")),
        *(host.ocm_config, host.ocm_state, host.units, paths.root),
        *(host.instance(other).state for other in others),
        *(host.home / entry for entry in (".ssh", ".bashrc", ".profile", ".gnupg", "backups")),
    )
