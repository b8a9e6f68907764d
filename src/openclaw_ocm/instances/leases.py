"""Whether a gateway that is not ready waits for a lease of the one before it: asked in its sandbox."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.leases import left_behind, parse_leases
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.sandboxed import run_node

if TYPE_CHECKING:
    from openclaw_ocm.core.openclaw.leases import Lease
    from openclaw_ocm.instances.instance import Instance

_SECONDS = 30.0


def awaited_lease(worker: Instance) -> Lease | None:
    """Return the lease that a gateway of before left behind and that of now waits for, None for none.

    Nor where somebody is in a session, who may hold it, or where it cannot be read.
    """
    lines: list[str] = []
    with contextlib.suppress(OcmError, OSError):
        if worker.name in worker.backend.in_session():
            return None
        run_node(worker, "read_leases.mjs", b"{}", lines.append, timeout=_SECONDS)
    return left_behind(parse_leases(lines), since=worker.process.since, now=time.time())
