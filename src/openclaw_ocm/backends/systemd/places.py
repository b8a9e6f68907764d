"""Where the user manager has what OCM writes for an instance, and how its units are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths, InstancePaths


def unit_name(name: InstanceName) -> str:
    """Return OpenClaw's own unit name for a profile, so that its tools recognise the instance."""
    return f"openclaw-gateway-{name}.service"


UPLINK = "ocm-uplink@"


def uplink_name(name: str) -> str:
    """Return the name of the unit that gives the sandbox of an isolated gateway its network."""
    return f"{UPLINK}{name}.service"


def timer_name(name: InstanceName) -> str:
    """Return the name of the unit that has backups made; `backup_service_name` is that of the unit it starts.

    OpenClaw's tools take only openclaw-gateway* and what runs a gateway for theirs.
    """
    return f"ocm-backup-{name}.timer"


def backup_service_name(name: InstanceName) -> str:
    """Return the name of the unit that makes a scheduled backup."""
    return f"ocm-backup-{name}.service"


def unit(paths: InstancePaths) -> PurePosixPath:
    """Return the unit that is the gateway."""
    return paths.host.units / unit_name(paths.name)


def uplink(paths: HostPaths) -> PurePosixPath:
    """Return the template of the units that give gateways their networks: one for all."""
    return paths.units / uplink_name("")


def timer(paths: InstancePaths) -> PurePosixPath:
    """Return the unit that says when backups are made."""
    return paths.host.units / timer_name(paths.name)


def backup_service(paths: InstancePaths) -> PurePosixPath:
    """Return the unit that makes a scheduled backup."""
    return paths.host.units / backup_service_name(paths.name)


def written(paths: InstancePaths) -> tuple[PurePosixPath, ...]:
    """Return the files that are written for an instance."""
    return unit(paths), timer(paths), backup_service(paths)
