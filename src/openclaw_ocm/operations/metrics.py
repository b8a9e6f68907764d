"""`ocm metrics`: how instances are, for a program that watches them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from openclaw_ocm import __version__
from openclaw_ocm.core.metrics.families import Sample, metrics
from openclaw_ocm.core.metrics.sizes import MOST_SECONDS, MOST_SECONDS_TOGETHER, Size, in_turn
from openclaw_ocm.core.names import is_drill
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.record import memory_bytes
from openclaw_ocm.core.status import State
from openclaw_ocm.instances.instance import observed, open_all
from openclaw_ocm.operations.planning.stored import last_backup, newest_stored
from openclaw_ocm.operations.planning.timers import read_last
from openclaw_ocm.operations.status import installed_version, rows
from openclaw_ocm.system import files
from openclaw_ocm.system.disk_use import disk_use
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.newest import read_newest
from openclaw_ocm.system.kept.sizes import keep_sizes, read_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.metrics.families import Metric
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.status import Row


def collect(
    context: Context, *, keep: bool = False, interval_seconds: float | None = None
) -> tuple[Metric, ...]:
    """Return the metrics of all instances, and of OCM itself; with `keep` how large states are is kept.

    `interval_seconds` is how far apart that is done, where it is done by itself.

    What cannot be looked at has no number, and `ocm_instance_observed` tells of which that is so: a backend
    that does not answer is no error here. One call to each backend, as `list` has it.
    """
    now, began, paths = time.time(), time.monotonic(), context.host.paths
    # Those in which backups are tried out are there for a moment only.
    names = tuple(name for name in instance_names(paths) if not is_drill(name))
    opened = open_all(context, names)
    seen = observed(opened.instances.values())
    stored, kept = newest_stored(paths), read_sizes(paths)
    sizes = _sizes(paths, names, kept, now)
    if keep and sizes != kept:
        keep_sizes(paths, sizes)
    samples = [
        *(
            sample
            for name, row in zip(names, rows(context, names, opened, seen), strict=True)
            for sample in _of_row(paths, row, seen.instances.get(name), stored.get(name))
        ),
        *(sample for name in names if name in sizes for sample in _of_size(name, sizes[name])),
        Sample(of="ocm_instances", value=len(names), labels={}),
        *_of_newest(paths),
        Sample(of="ocm_build", value=1, labels={"version": __version__}),
        Sample(of="ocm_collection_timestamp_seconds", value=now, labels={}),
        Sample(of="ocm_collection_duration_seconds", value=time.monotonic() - began, labels={}),
    ]
    if interval_seconds is not None:
        samples.append(Sample(of="ocm_collection_interval_seconds", value=interval_seconds, labels={}))
    return metrics(samples)


def _of_row(paths: HostPaths, row: Row, one: Instance | None, stored: float | None) -> Iterator[Sample]:
    """Yield the numbers of one instance; `one` is None where it cannot be looked at."""

    def sample(of: str, value: float | None, **labels: str) -> Iterator[Sample]:
        if value is not None:
            yield Sample(of=f"ocm_instance{of}", value=value, labels={"instance": row.name, **labels})

    lock = paths.locks / f"{row.name}.lock"
    yield from sample("_observed", one is not None)
    yield from sample("_changing", files.is_locked(lock))
    if one is None:
        yield from sample("_last_backup_timestamp_seconds", stored)
        return
    record, process = one.record, one.process
    (memory, seconds), last = one.use(), read_last(one.paths)
    failure = one.timer(Purpose.BACKUP).failure if record.backups is not None else None
    yield from sample(
        "",
        1,
        backend=record.backend,
        isolation=row.isolation or "",
        network=row.network or "",
        port=str(record.port),
        # A gateway may say of itself what it likes, and each time another thing.
        version=installed_version(record.runtime.openclaw) or "",
    )
    yield from sample("_ready", row.state == State.READY)
    yield from sample("_wanted", row.autostart or row.state != State.STOPPED)
    yield from sample("_queued", process.queued)
    for state in State:
        yield from sample("_state", row.state == state, ocm_instance_state=state.value)
    yield from sample("_start_time_seconds", process.since if process.run is not None else None)
    yield from sample("_restarts", process.restarts)
    yield from sample("_memory_bytes", memory)
    limit = record.limits.memory
    yield from sample("_memory_limit_bytes", None if limit is None else memory_bytes(limit))
    yield from sample("_cpu_seconds", seconds)
    yield from sample("_sealed", record.sealed)
    yield from sample("_boxes", row.boxes)
    yield from sample("_outdated", row.outdated)
    yield from sample("_backups_scheduled", record.backups is not None)
    if record.backups is not None:
        if last is not None or failure is not None:
            yield from sample("_backup_failed", failure is not None or bool(last and last.error))
        yield from sample("_backup_problem", row.backup is not None)
    yield from sample("_last_backup_timestamp_seconds", last_backup(stored, last))
    if record.auto_upgrade is not None:
        yield from sample("_upgrade_problem", row.upgrade is not None)


def _of_size(name: InstanceName, size: Size) -> Iterator[Sample]:
    labels = {"instance": name}
    if size.bytes is not None:
        yield Sample(of="ocm_instance_disk_bytes", value=size.bytes, labels=labels)
    yield Sample(of="ocm_instance_disk_measured", value=size.bytes is not None, labels=labels)
    yield Sample(of="ocm_instance_disk_measured_timestamp_seconds", value=size.measured, labels=labels)


def _of_newest(paths: HostPaths) -> Iterator[Sample]:
    newest, _refused = read_newest(paths)
    for channel, known in newest.items():
        labels = {"channel": channel}
        yield Sample(of="ocm_newest_openclaw", value=1, labels={**labels, "version": known.version})
        yield Sample(of="ocm_newest_openclaw_asked_timestamp_seconds", value=known.asked, labels=labels)


def _sizes(
    paths: HostPaths, names: tuple[InstanceName, ...], kept: Mapping[str, Size], now: float
) -> dict[str, Size]:
    """Return how large states are: measured now, or `kept` from when that was done last."""
    sizes = {name: size for name, size in kept.items() if name in names}
    until = time.monotonic() + MOST_SECONDS_TOGETHER
    for name in in_turn(names, sizes, now):
        began = time.monotonic()
        if began >= until:
            break
        found = disk_use(paths.instance(name).state, seconds=min(MOST_SECONDS, until - began))
        sizes[name] = Size(measured=now, took=time.monotonic() - began, bytes=found)
    return sizes
