"""Which metrics there are: their names, kinds and meanings, as OpenMetrics and Prometheus ask for.

What is not known has no sample: there is no number that stands for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS = ("seconds", "bytes")


class Kind(str, Enum):
    """The type of a metric in OpenMetrics."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"
    STATESET = "stateset"


# What the name of a sample has more than that of its metric.
SUFFIXES = {Kind.COUNTER: "_total", Kind.INFO: "_info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A metric that there is. `help` is a sentence; `labels` tell one of its numbers from another."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit, which is the last word of the name; empty where it has none."""
        last = self.name.rpartition("_")[2]
        return last if last in _UNITS else ""

    @property
    def sample(self) -> str:
        """The name of its samples."""
        return f"{self.name}{SUFFIXES.get(self.kind, '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A number of the metric `of`, with its labels."""

    of: str
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number, and the labels that tell it from others of its metric."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric with its numbers. Its `kind` and its names are those of OpenMetrics.

    With `--textfile`, or `--every`, `ocm metrics` answers with an `Outcome` instead.
    """

    name: str
    sample: str
    kind: str
    unit: str
    help: str
    readings: tuple[Reading, ...]


def _gauge(name: str, text: str, *labels: str) -> Known:
    return Known(name=name, kind=Kind.GAUGE, help=text, labels=labels or _of(name))


def _of(name: str) -> tuple[str, ...]:
    return ("instance",) if name.startswith("ocm_instance_") else ()


KNOWN = (
    Known(
        name="ocm_instance",
        kind=Kind.INFO,
        help="What an instance is.",
        labels=("instance", "backend", "isolation", "network", "port", "version"),
    ),
    _gauge("ocm_instance_observed", "Whether it could be looked at; if not, most else of it is missing."),
    _gauge("ocm_instance_ready", "Whether its gateway answers that it is ready."),
    _gauge("ocm_instance_wanted", "Whether it is to be ready: it starts with the machine, or was started."),
    _gauge("ocm_instance_queued", "Whether it waits for its turn to start: not all do so at once."),
    _gauge("ocm_instance_changing", "Whether an ocm changes it now, or makes a backup of it."),
    Known(
        name="ocm_instance_state",
        kind=Kind.STATESET,
        help="What it is doing.",
        labels=("instance", "ocm_instance_state"),
    ),
    _gauge("ocm_instance_start_time_seconds", "When its gateway was started, in seconds since 1970."),
    Known(
        name="ocm_instance_restarts",
        kind=Kind.COUNTER,
        help="How often its gateway was started again by itself since somebody started it.",
        labels=("instance",),
    ),
    _gauge("ocm_instance_memory_bytes", "Memory that its gateway uses."),
    _gauge("ocm_instance_memory_limit_bytes", "Memory that it may use at most."),
    Known(
        name="ocm_instance_cpu_seconds",
        kind=Kind.COUNTER,
        help="CPU time that its gateway used since it was started.",
        labels=("instance",),
    ),
    _gauge("ocm_instance_sealed", "Whether it has a sandbox."),
    _gauge("ocm_instance_boxes", "Whether tools of sessions other than main have boxes."),
    _gauge("ocm_instance_outdated", "Whether there is a newer OpenClaw than it runs."),
    _gauge("ocm_instance_backups_scheduled", "Whether backups of it are made by themselves."),
    _gauge("ocm_instance_backup_failed", "Whether the last scheduled backup of it failed."),
    _gauge("ocm_instance_backup_problem", "Whether scheduled backups of it fail, are late or made no more."),
    _gauge(
        "ocm_instance_last_backup_timestamp_seconds",
        "When the last backup of it was made that is known, in seconds since 1970.",
    ),
    _gauge("ocm_instance_upgrade_problem", "Whether scheduled upgrades of it fail or are made no more."),
    _gauge("ocm_instance_disk_bytes", "What its state takes on the disk."),
    _gauge("ocm_instance_disk_measured", "Whether that could be measured in the time that there is for it."),
    _gauge(
        "ocm_instance_disk_measured_timestamp_seconds",
        "When that was measured or tried last, in seconds since 1970.",
    ),
    _gauge("ocm_instances", "How many instances there are."),
    Known(
        name="ocm_newest_openclaw",
        kind=Kind.INFO,
        help="The newest OpenClaw of a channel that is known.",
        labels=("channel", "version"),
    ),
    _gauge(
        "ocm_newest_openclaw_asked_timestamp_seconds",
        "When the registry of npm was asked for that, in seconds since 1970.",
        "channel",
    ),
    Known(name="ocm_build", kind=Kind.INFO, help="The version of OCM.", labels=("version",)),
    _gauge("ocm_collection_timestamp_seconds", "When all this was looked up, in seconds since 1970."),
    _gauge("ocm_collection_duration_seconds", "How long that took."),
    _gauge("ocm_collection_interval_seconds", "How far apart that is done by itself."),
)


def metrics(samples: Iterable[Sample]) -> tuple[Metric, ...]:
    """Return the metrics that there are samples of, in their order; what is no number is left out."""
    found: dict[str, list[Reading]] = {known.name: [] for known in KNOWN}
    for sample in samples:
        if math.isfinite(sample.value):
            found[sample.of].append(Reading(labels=sample.labels, value=sample.value))
    return tuple(
        Metric(
            name=known.name,
            sample=known.sample,
            kind=known.kind.value,
            unit=known.unit,
            help=known.help,
            readings=tuple(found[known.name]),
        )
        for known in KNOWN
        if found[known.name]
    )
