"""The files that all units share: their templates, and the program of one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.system import files
from openclaw_ocm.system.half_written import remove_half_written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.paths import HostPaths


@contextlib.contextmanager
def alone(paths: HostPaths) -> Iterator[None]:
    """Have nobody else write them meanwhile, and remove what a kill left of one that was being written.

    Raises `OcmError` where another ocm writes them for long.
    """
    with files.lock(paths.locks / "@templates.lock", "what all units share"):
        for path in (places.uplink(paths), places.turn(paths), places.turn_program(paths)):
            remove_half_written(path)
        yield
