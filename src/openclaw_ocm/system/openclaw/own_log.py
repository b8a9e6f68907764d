"""What OpenClaw wrote into its own log in a state: an instance's word, read bounded and without links."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.volume import Volume

PLACE = "logs/gateway.log"
_MOST_BYTES = 2**20


def own_log(volume: Volume, *, lines: int | None, since: float | None) -> tuple[Entry, ...] | None:
    """Return the last entries of the log that OpenClaw keeps in a state (2026.9.6), None where there is none.

    At the most those of its last megabyte. `since` is in seconds since the epoch.
    """
    try:
        data = volume.read(PLACE, limit=_MOST_BYTES, tail=True)
    except (OSError, OcmError):
        return None
    found = list(_entries(data, since))
    return tuple(found if lines is None else found[max(len(found) - lines, 0) :])


def _entries(data: bytes, since: float | None) -> Iterator[Entry]:
    for line in data.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
            fields = json.loads(line)
            time = datetime.fromisoformat(fields["time"]).astimezone(timezone.utc)
            if since is None or time.timestamp() >= since:
                yield Entry(
                    time=time.isoformat(timespec="milliseconds"),
                    source="gateway",
                    message=printable(_said(fields)),
                )


def _said(fields: dict[str, object]) -> str:
    """Return the line as OpenClaw prints it: whose it is, and what it says."""
    whose = ""
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        whose = f"[{json.loads(str(fields['0']))['subsystem']}] "
    numbered = (fields.get(str(number)) for number in range(1, 5))
    words = [text for text in (fields.get("message"), *numbered) if isinstance(text, str)]
    return f"{whose}{words[0] if words else ''}"
