"""When the last message came to an instance or went from it: asked in its sandbox."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.last_message import parse_last
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.sandboxed import run_node

if TYPE_CHECKING:
    from openclaw_ocm.core.openclaw.last_message import LastMessage
    from openclaw_ocm.instances.instance import Instance

_SECONDS = 20.0


def last_message(worker: Instance) -> LastMessage | None:
    """Return when the last message was, None where that cannot be told."""
    lines: list[str] = []
    with contextlib.suppress(OcmError, OSError):
        run_node(worker, "last_message.mjs", b"{}", lines.append, timeout=_SECONDS)
    return parse_last(lines, now=time.time())
