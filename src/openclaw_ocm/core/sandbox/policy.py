"""What an instance may read, write and reach: pure data, rendered by each backend and proved by the probe.

Deny by default: what is not named here does not exist inside the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import SHOWN, shown_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record, Runtime

SYSTEM = tuple(PurePosixPath(path) for path in ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64"))
# As much the system's as /usr; but a home, or what is OCM's, may lie below it.
OPT = PurePosixPath("/opt")
TEMPORARY = (PurePosixPath("/tmp"), PurePosixPath("/var/tmp"))  # noqa: S108 - names, not files that OCM makes
# What only mode bits keep from other users: as root, in a container, an instance would see it.
HIDDEN = tuple(
    PurePosixPath(path)
    for path in (
        *("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/security/opasswd"),
        *("/etc/sudoers", "/etc/sudoers.d", "/etc/ssh", "/etc/ssl/private", "/etc/krb5.keytab"),
        *("/etc/letsencrypt", "/etc/wireguard", "/etc/NetworkManager/system-connections"),
        *("/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/pstore"),
    )
)
ADDRESS_FAMILIES = ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK")
DOCKER_SOCKET = PurePosixPath("/run/docker.sock")
# Where an instance finds its own secrets: apart from OCM's directory, of which it sees nothing.
SECRETS = PurePosixPath("/run/ocm/secrets.env")
# A whole /proc, which the tool host alone sees. Where the other has read-only parts, as systemd makes them,
# the kernel allows a new one, for the gateway's own processes, only if it finds a whole one in the sandbox.
SPARE_PROC = PurePosixPath("/run/ocm/proc")
# Of the home: a directory of OCM's, whose `bin` leads to where the instance's own programs go.
LOCAL = ".local"
RESOLVER, RESOLVER_NAME = PurePosixPath("/etc/resolv.conf"), "resolv.conf"
# How names are looked up besides.
LOOKED_UP = tuple(map(PurePosixPath, ("/etc/hosts", "/etc/nsswitch.conf")))
# Where certificates are that the machine trusts: by OpenSSL, which is Node's too, and by distributions' own.
TRUSTED = tuple(
    PurePosixPath(path)
    for path in (
        *("/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"),
        *("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"),
    )
)
# What writes /etc/resolv.conf has these to itself: bound whole, a file that is replaced is seen.
_RESOLVER_DIRECTORIES = frozenset(
    PurePosixPath("/run", name)
    for name in ("systemd/resolve", "NetworkManager", "resolvconf", "connman", "netconfig")
)
# One of these has profiles of networks with their passwords beside it, for root alone.
_WITH_PROFILES, _PROFILES = PurePosixPath("/run/NetworkManager"), "system-connections"
# The kernel's, or the sandbox's own: nothing of the host's is shown there.
_NEVER = tuple(map(PurePosixPath, ("/proc", "/sys", "/dev", "/run/user", "/run/ocm")))
# What the kernel counts by user: signals and timers that wait, and bytes in message queues. An instance gets
# a part of what its user has.
SIGNALS, QUEUED_BYTES = 1024, 102_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or directory of the host that the sandbox sees at `target`; `asked` for by its owner."""

    source: PurePosixPath
    target: PurePosixPath
    writable: bool = False
    optional: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A file or directory that programs look for by a `name` of the system's, wherever that leads.

    `source` is where it is on the host. `target` is where links lead a program inside, which sees of the host
    what `SYSTEM` names: the first place that lies elsewhere, or `source`.
    """

    name: PurePosixPath
    source: PurePosixPath
    target: PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The sandbox of one instance.

    `root` is an empty directory of OCM's that becomes the sandbox's root; `mounts` are all that it sees
    of the host's files, but for what is `hidden` among them. /tmp and /var/tmp are mounts too, of
    directories that only this instance has: so its gateway and its sessions share them, which PrivateTmp=
    with PrivateIPC= cannot give. `named` are the host's files that programs inside must find by a name of the
    system's, with that as `target`.
    """

    root: PurePosixPath
    mounts: tuple[Mount, ...]
    address_families: tuple[str, ...]
    hidden: tuple[PurePosixPath, ...] = HIDDEN
    named: tuple[Mount, ...] = ()

    @property
    def writable(self) -> tuple[PurePosixPath, ...]:
        """The directories of the host that the instance may write."""
        return tuple(mount.target for mount in self.mounts if mount.writable)


def npm_beside(node: PurePosixPath) -> PurePosixPath:
    """Return where the npm that came with a Node is, if it came with one."""
    return node.parent.parent / "lib" / "node_modules" / "npm"


def system_mounts(runtime: Runtime, *, opt: bool = False) -> list[Mount]:
    """Return what programs need of the host, read-only: the system, and Node and OpenClaw beside it.

    Where /opt is shown, what lies there is shown with it.
    """
    system = (*SYSTEM, OPT) if opt else SYSTEM
    node = PurePosixPath(runtime.node)
    apart = (
        node,
        *([npm_beside(node)] if node.parent.name == "bin" else ()),
        PurePosixPath(runtime.openclaw),
    )
    return [
        *(Mount(source=path, target=path, optional=True) for path in system),
        *(
            Mount(source=path, target=path, optional=path.name == "npm")
            for path in apart
            if not _is_below(path, system)
        ),
    ]


def _shows_opt(paths: InstancePaths, private: Iterable[PurePosixPath]) -> bool:
    """Tell whether an instance may see /opt: nothing that is to stay hidden lies below it.

    `private` is what is to stay hidden besides the home and what OCM has there.
    """
    host = paths.host
    own = (host.home, host.ocm_config, host.ocm_state, host.ocm_data, host.units, host.backups, *private)
    return not any(path.is_relative_to(OPT) for path in own)


def instance_policy(
    paths: InstancePaths,
    record: Record,
    *,
    named: Iterable[Named] = (),
    private: Iterable[PurePosixPath] = (),
) -> Policy:
    """Return the policy of an instance.

    `private` is what else no instance may see, by its real path: /opt is shown only where none of it, and
    neither the home nor what is OCM's, lies below. What of it lies in the system is hidden there.
    `named` are the host's name servers and certificates, where it has them. In a network of its own an
    instance has name servers of its own.
    """
    read = system_mounts(record.runtime, opt=_shows_opt(paths, private))
    read.append(Mount(source=paths.bin, target=paths.bin))
    read.append(Mount(source=paths.link_directory, target=paths.host.main_state))
    read.append(Mount(source=paths.secrets, target=SECRETS))
    read.append(Mount(source=paths.local, target=paths.host.home / LOCAL))
    for variable, file in shown_files(record.environment).items():
        read.append(Mount(source=file, target=SHOWN / variable))
    shown = {}
    for one in named:
        own = one.name == RESOLVER and record.isolated
        source = paths.network / RESOLVER_NAME if own else one.source
        if own:
            read.append(Mount(source=source, target=one.target))
        elif not _is_below(one.target, (*SYSTEM, *_NEVER)):
            read.append(_bound(one))
        shown[one.name] = Mount(source=source, target=one.name)
    write = [
        Mount(source=paths.state, target=paths.state, writable=True),
        *(Mount(source=paths.temporary(path), target=path, writable=True) for path in TEMPORARY),
    ]
    if record.docker:
        write.append(Mount(source=DOCKER_SOCKET, target=DOCKER_SOCKET, writable=True))
    hidden = [path for path in private if _is_below(path, SYSTEM)]
    hidden += [one.target / _PROFILES for one in read if one.source == _WITH_PROFILES]
    return Policy(
        root=paths.root,
        hidden=tuple(dict.fromkeys((*HIDDEN, *hidden))),
        mounts=(*dict.fromkeys(read), *write),
        address_families=ADDRESS_FAMILIES,
        named=tuple(shown.values()),
    )


def _bound(one: Named) -> Mount:
    """Return how the sandbox gets what lies where it sees nothing else."""
    together = one.source.name == one.target.name and one.source.parent in _RESOLVER_DIRECTORIES
    if one.name == RESOLVER and together:
        return Mount(source=one.source.parent, target=one.target.parent, optional=True)
    return Mount(source=one.source, target=one.target, optional=True)


def _is_below(path: PurePosixPath, directories: tuple[PurePosixPath, ...]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


def within_local(paths: InstancePaths, policy: Policy) -> dict[PurePosixPath, PurePosixPath]:
    """Return what is shown below `~/.local`, by where that is below it, with its source."""
    local = paths.host.home / LOCAL
    below = (mount for mount in policy.mounts if local in mount.target.parents)
    return {mount.target.relative_to(local): mount.source for mount in below}
