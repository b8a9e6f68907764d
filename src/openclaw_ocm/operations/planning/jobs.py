"""How many instances are worked on at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import capacity
from openclaw_ocm.system.kept.records import read_settings

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import HostPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What work on one instance takes: how many of it a core bears, and how much memory each needs."""

    per_core: int
    memory: int


# A gateway of OpenClaw 2026.9.6 takes 17 seconds of a core and 0.8 GB until it is ready.
STARTING = Load(per_core=1, memory=800_000_000)
# Compressing keeps a core busy; OpenClaw that validates a config, or copies databases, takes this much.
WORKING = Load(per_core=1, memory=300_000_000)
# For a gateway that ends nothing is done but wait.
WAITING = Load(per_core=4, memory=50_000_000)


def jobs(paths: HostPaths, load: Load, asked: int | None) -> int:
    """Return on how many instances to work at once: as `asked`, as the settings say, or as many as fit.

    Where the settings cannot be read, one after the other: nobody is kept from stopping all.
    Raises `OcmError` then where gateways are to be started.
    """
    try:
        wanted = asked or read_settings(paths).jobs
    except OcmError:
        if load is STARTING:
            raise
        wanted = 1
    if wanted is not None:
        return wanted
    by_cores, free = capacity.cores() * load.per_core, capacity.free_memory()
    by_memory = by_cores if free is None else free // load.memory
    return max(1, min(by_cores, by_memory))
