"""Where the user manager has what OCM writes for an instance, and how its units are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.purpose import OF_INSTANCES

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths, InstancePaths
    from openclaw_ocm.core.purpose import Purpose


def unit_name(name: InstanceName) -> str:
    """Return OpenClaw's own unit name for a profile, so that its tools recognise the instance."""
    return f"openclaw-gateway-{name}.service"


UPLINK, TURN = "ocm-uplink@", "ocm-turn@"
# Below the user's runtime directory, which is empty after each boot.
TURNS = "ocm-turns"


def of_template(template: str, name: str) -> str:
    """Return the name of an instance's unit of a template."""
    return f"{template}{name}.service"


def uplink_name(name: str) -> str:
    """Return the name of the unit that gives the sandbox of an isolated gateway its network."""
    return of_template(UPLINK, name)


def turn_name(name: str) -> str:
    """Return the name of the unit that has a gateway begin when it is its turn."""
    return of_template(TURN, name)


def timer_name(name: InstanceName, purpose: Purpose) -> str:
    """Return the name of the unit that keeps the times; `timed_name` is that of the unit it starts.

    OpenClaw's tools take only openclaw-gateway* and what runs a gateway for theirs.
    """
    return f"ocm-{purpose.value}-{name}.timer"


def timed_name(name: InstanceName, purpose: Purpose) -> str:
    """Return the name of the unit that does it at these times."""
    return f"ocm-{purpose.value}-{name}.service"


def unit(paths: InstancePaths) -> PurePosixPath:
    """Return the unit that is the gateway."""
    return paths.host.units / unit_name(paths.name)


def uplink(paths: HostPaths) -> PurePosixPath:
    """Return the template of the units that give gateways their networks: one for all."""
    return paths.units / uplink_name("")


def turn(paths: HostPaths) -> PurePosixPath:
    """Return the template of the units that have gateways start in turns: one for all."""
    return paths.units / turn_name("")


def turn_program(paths: HostPaths) -> PurePosixPath:
    """Return the program that these run."""
    return paths.ocm_data / "take-turn"


def timer(paths: InstancePaths, purpose: Purpose) -> PurePosixPath:
    """Return the unit that says when backups or upgrades are made."""
    return paths.host.units / timer_name(paths.name, purpose)


def timed(paths: InstancePaths, purpose: Purpose) -> PurePosixPath:
    """Return the unit that makes one."""
    return paths.host.units / timed_name(paths.name, purpose)


def written(paths: InstancePaths) -> tuple[PurePosixPath, ...]:
    """Return the files that are written for an instance."""
    timers = (place(paths, purpose) for purpose in OF_INSTANCES for place in (timer, timed))
    return unit(paths), *timers
