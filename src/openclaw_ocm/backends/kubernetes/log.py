"""What a gateway in a pod printed, and what its cluster says of it.

A cluster keeps what the present container and the one before printed, while their pod is there.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.answers import BAD_REQUEST, NOT_FOUND, ClusterRefuses
from openclaw_ocm.backends.kubernetes.observed import moment
from openclaw_ocm.backends.kubernetes.watched import events
from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.kubernetes.cluster import Cluster
    from openclaw_ocm.backends.kubernetes.manifest import Manifest

SOURCE = "kubernetes"
_MAX_WORDS = 1000
_MOST_LINES = 100_000
# Its clock is not that of this machine.
_SPARE_SECONDS = 1


class _Line(NamedTuple):
    moment: float
    entry: Entry


def read_log(
    cluster: Cluster, manifest: Manifest, *, lines: int | None, follow: bool, since: float | None
) -> Iterator[Entry]:
    """Yield the entries of an instance, oldest first; with `follow` until its container ends.

    `lines` is how many of the last ones, None for all; `since` is in seconds since the epoch.
    """
    following = _begun(_printed(cluster, manifest, since=since, follow=True)) if follow else iter(())
    told = heapq.merge(
        sorted(_events(cluster, manifest), key=lambda line: line.moment),
        *(_printed(cluster, manifest, since=since, previous=previous) for previous in (True, False)),
        key=lambda line: line.moment,
    )
    wanted = (line for line in told if since is None or line.moment >= since)
    last = 0.0
    kept: deque[_Line] = deque(maxlen=_MOST_LINES if lines is None else lines)
    for line in wanted:
        last = last if line.entry.source == SOURCE else line.moment
        kept.append(line)
    yield from (line.entry for line in kept)
    yield from (line.entry for line in following if line.moment > last)


def _begun(lines: Iterator[_Line]) -> Iterator[_Line]:
    """Return lines that are read from now on: what is asked for later may be gone by then."""
    read: queue.Queue[_Line | Exception | None] = queue.Queue(_MOST_LINES)

    def run() -> None:
        try:
            for line in lines:
                read.put(line)
            read.put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the lines are awaited
            read.put(error)

    threading.Thread(target=run, daemon=True).start()
    return _taken(read)


def _taken(read: queue.Queue[_Line | Exception | None]) -> Iterator[_Line]:
    while (line := read.get()) is not None:
        if isinstance(line, Exception):
            raise line
        yield line


def _printed(
    cluster: Cluster,
    manifest: Manifest,
    *,
    since: float | None,
    previous: bool = False,
    follow: bool = False,
) -> Iterator[_Line]:
    ago = None if since is None else max(1, round(time.time() - since) + _SPARE_SECONDS)
    lines = cluster.log(
        manifest.namespace,
        places.POD,
        places.GATEWAY,
        since_seconds=ago,
        timestamps=True,
        previous=previous,
        follow=follow,
    )
    try:
        for data in lines:
            stamp, _, message = data.decode(errors="replace").partition(" ")
            at = moment(stamp)
            if at is not None:
                yield _line(at, "gateway", message)
    except ClusterRefuses as error:
        # There is no pod, no container in it yet, or none before it.
        if error.status not in (BAD_REQUEST, NOT_FOUND):
            raise


def _events(cluster: Cluster, manifest: Manifest) -> Iterator[_Line]:
    for event in events(cluster, manifest.namespace):
        times = (lookup(event, "series.lastObservedTime"), *map(event.get, ("lastTimestamp", "eventTime")))
        at = next((found for found in map(moment, times) if found is not None), None)
        if at is not None:
            yield _line(at, SOURCE, _words(event))


def _words(event: object) -> str:
    told = as_object(event)
    reason, message = (told.get(key) for key in ("reason", "message"))
    return f"{reason}: {message}"


def _line(at: float, source: str, message: str) -> _Line:
    stamp = datetime.fromtimestamp(at, tz=timezone.utc).isoformat(timespec="milliseconds")
    return _Line(at, Entry(time=stamp, source=source, message=printable(message, limit=_MAX_WORDS)))
