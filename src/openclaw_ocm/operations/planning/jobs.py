"""On how many instances a command works at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.load import STARTING, together
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import capacity
from openclaw_ocm.system.kept.records import read_settings

if TYPE_CHECKING:
    from openclaw_ocm.core.load import Load
    from openclaw_ocm.core.paths import HostPaths


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
    return together(load, cores=capacity.cores(), free=capacity.free_memory())
