"""Has gateways start without a turn: those that somebody starts who bounds how many at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd import places, templates
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.host import Host


@contextlib.contextmanager
def passed(host: Host, names: Collection[InstanceName]) -> Iterator[None]:
    """Have gateways that are started meanwhile wait for nobody: who starts them bounds how many at once."""
    directory = host.runtime / places.TURNS
    waiting = [name for name in names if templates.is_wanted(host.paths, places.TURN, name)]
    passes = [directory / f"{name}.pass" for name in waiting]
    with contextlib.suppress(OcmError, OSError):
        for path in passes:
            files.write_file(path, b"")
    try:
        yield
    finally:
        for path in passes:
            with contextlib.suppress(OcmError, OSError):
                files.remove_file(path)
