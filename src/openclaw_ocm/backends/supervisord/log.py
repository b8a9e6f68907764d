"""The log of a gateway under supervisord: its own output and supervisord's words on it, merged by time."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import deque
from typing import TYPE_CHECKING

from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.lines import daemon_line, output_reader
from openclaw_ocm.backends.supervisord.rotated import RotatedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.supervisord.lines import Line
    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.paths import InstancePaths

_FOLLOW_SECONDS = 0.5
# Lines that are read before the last ones, for a line without a time has that of one before.
_CONTEXT = 1000


def read_log(
    paths: InstancePaths, *, lines: int | None, follow: bool, since: float | None
) -> Iterator[Entry]:
    """Yield the entries of an instance, oldest first; with `follow` without an end.

    `lines` is how many of the last ones, None for all; `since` is in seconds since the epoch.
    """
    log = places.log(paths.host)
    output, daemon = RotatedFile(places.output(paths)), RotatedFile(log)
    with contextlib.closing(output), contextlib.closing(daemon):
        read = output_reader(output.oldest_change() or time.time())

        def new(*, whole: bool) -> Iterator[Line]:
            """Yield what came since the last time; what is no whole line yet only where not `whole`."""
            now = time.time()
            printed = (read(text, now) for text in output.lines(whole=whole))
            said = (daemon_line(text, paths.name) for text in daemon.lines(whole=whole))
            merged = heapq.merge(printed, filter(None, said), key=lambda line: line.moment)
            return (line for line in merged if since is None or line.moment >= since)

        if lines is not None:
            output.skip_to_last(lines + _CONTEXT)
        first = new(whole=follow)
        for line in first if lines is None else deque(first, maxlen=lines):
            yield line.entry
        while follow:
            time.sleep(_FOLLOW_SECONDS)
            for line in new(whole=True):
                yield line.entry
