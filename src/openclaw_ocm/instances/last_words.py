"""The last words of a gateway and its backend."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context

_LAST_LINES = 25
_SETTLE_SECONDS = 1.0


def last_words(context: Context, name: InstanceName, *, since: float) -> tuple[str, ...]:
    """Return the last lines that the gateway and its backend logged since a time in seconds."""
    # What a process wrote at its end reaches the log a little later than the backend learns of the end.
    time.sleep(_SETTLE_SECONDS)
    try:
        found = context.backend.log(name, lines=_LAST_LINES, follow=False, since=since)
        return tuple(entry.message for entry in found if entry.message)
    except OcmError as error:
        return (f"the log cannot be read: {error.message}",)
