"""The template of the units that give isolated gateways their networks: there as long as a unit wants it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.unit import render_uplink
from openclaw_ocm.errors import UnreadableFile
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Collection

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths


def keep(paths: HostPaths, defined: Collection[InstanceName]) -> None:
    """Write the template as this OCM has it, or remove it where no unit of those `defined` wants it."""
    if not any(is_wanted(paths, name) for name in defined):
        files.remove_file(places.uplink(paths))
    elif not is_current(paths):
        files.write_file(places.uplink(paths), render_uplink(paths).encode())


def is_current(paths: HostPaths) -> bool:
    """Tell whether the template is there as this OCM has it."""
    with contextlib.suppress(UnreadableFile):
        return files.read_own(places.uplink(paths)) == render_uplink(paths).encode()
    return False


def is_wanted(paths: HostPaths, name: InstanceName) -> bool:
    """Tell whether the unit of an instance has its network made by one of the template."""
    wants = f"Wants={places.uplink_name(name)}\n".encode()
    # Another's unit may be anything, a link to nowhere as systemd masks one included.
    with contextlib.suppress(UnreadableFile):
        return wants in (files.read_own(places.unit(paths.instance(name))) or b"")
    return False
