"""Where supervisord has what is its own, and what OCM writes for an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.purpose import OF_ALL, OF_INSTANCES, Purpose

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths, InstancePaths

# Below the directory of programs, and below that of supervisord's state.
SCHEDULES = {
    Purpose.BACKUP: "schedules",
    Purpose.UPGRADE: "upgrades",
    **{purpose: purpose.value for purpose in OF_ALL},
}
TIMERS = {
    Purpose.BACKUP: "timers",
    Purpose.UPGRADE: "upgrade-timers",
    **{purpose: f"{purpose.value}-timers" for purpose in OF_ALL},
}


def config(host: HostPaths) -> PurePosixPath:
    """Return the config of supervisord itself."""
    return host.ocm_config / "supervisord.conf"


def programs(host: HostPaths) -> PurePosixPath:
    """Return the directory of program files, and below it of the marks of enabled ones."""
    return host.ocm_config / "supervisord"


def schedules(host: HostPaths, purpose: Purpose) -> PurePosixPath:
    """Return the directory of the scheduled backups or upgrades that supervisord has made."""
    return programs(host) / SCHEDULES[purpose]


def state(host: HostPaths) -> PurePosixPath:
    """Return the directory of supervisord's own log, its PID file and its control socket."""
    return host.ocm_state / "supervisord"


def socket(host: HostPaths) -> PurePosixPath:
    """Return the socket by which supervisord is controlled."""
    return state(host) / "socket"


def log(host: HostPaths) -> PurePosixPath:
    """Return supervisord's own log."""
    return state(host) / "supervisord.log"


def pid(host: HostPaths) -> PurePosixPath:
    """Return the file with supervisord's process number."""
    return state(host) / "pid"


def timers(host: HostPaths, purpose: Purpose) -> PurePosixPath:
    """Return the directory of when these were made last, and of what they printed."""
    return state(host) / TIMERS[purpose]


def outputs(host: HostPaths) -> PurePosixPath:
    """Return the directory of what gateways print, with rotated files beside."""
    return host.ocm_state / "logs"


def filters(host: HostPaths) -> PurePosixPath:
    """Return the directory of compiled system call filters."""
    return host.ocm_data / "filters"


def program(paths: InstancePaths) -> PurePosixPath:
    """Return the definition of the gateway."""
    return programs(paths.host) / f"{paths.name}.conf"


def enabled(paths: InstancePaths) -> PurePosixPath:
    """Return the mark by which the gateway is started with supervisord."""
    return programs(paths.host) / "enabled" / paths.name


def output(paths: InstancePaths) -> PurePosixPath:
    """Return what the gateway prints."""
    return outputs(paths.host) / f"{paths.name}.log"


def schedule(paths: InstancePaths, purpose: Purpose) -> PurePosixPath:
    """Return the scheduled backups, or upgrades."""
    return schedules(paths.host, purpose) / f"{paths.name}.toml"


def written(paths: InstancePaths) -> tuple[PurePosixPath, ...]:
    """Return the files that are written for an instance, but for what it prints."""
    return program(paths), enabled(paths), *(schedule(paths, purpose) for purpose in OF_INSTANCES)
