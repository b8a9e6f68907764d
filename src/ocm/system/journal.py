"""What a gateway and its backend said, from the journal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ocm.core.journal import parse_entry
from ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocm.core.journal import Entry
    from ocm.core.names import InstanceName
    from ocm.system.context import Context

_LAST_LINES = 25
_SETTLE_SECONDS = 1.0


def entries(
    context: Context, name: InstanceName, *, lines: int | None, follow: bool, since: str | None
) -> Iterator[Entry]:
    """Yield the entries of an instance's journal, oldest first; with `follow` without an end."""
    argv = context.backend.logs_argv(name, lines=lines, follow=follow, since=since)
    for line in context.host.runner.lines(argv):
        entry = parse_entry(line)
        if entry is not None:
            yield entry


def last_words(context: Context, name: InstanceName, *, since: float) -> tuple[str, ...]:
    """Return the last lines that the gateway and its backend logged since a time in seconds."""
    # What a process wrote at its end reaches the journal a little later than systemd learns of the end.
    time.sleep(_SETTLE_SECONDS)
    try:
        found = entries(context, name, lines=_LAST_LINES, follow=False, since=f"@{int(since)}")
        return tuple(entry.message for entry in found if entry.message)
    except OcmError as error:
        return (f"the journal cannot be read: {error.message}",)
