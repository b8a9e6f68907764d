"""Metrics as text, in OpenMetrics 1.0 or in the older format of Prometheus.

OpenMetrics: https://prometheus.io/docs/specs/om/open_metrics_spec/. The older one, version 0.0.4, is what the
textfile collector of node_exporter reads: https://prometheus.io/docs/instrumenting/exposition_formats/. There
a metric is called as its samples are, knows neither units nor info and stateset, and `# EOF` is a comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.metrics.families import Kind
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.metrics.families import Metric, Reading

# A value may come from an instance, which makes it as long as it likes.
_MOST = 200
_END = "# EOF"
# The newer kinds in the words of the older format.
_OLDER = {Kind.INFO.value: Kind.GAUGE.value, Kind.STATESET.value: Kind.GAUGE.value}


def open_metrics(metrics: Iterable[Metric]) -> str:
    """Return metrics in OpenMetrics, to the end."""
    return _joined(line for metric in metrics for line in _open(metric))


def prometheus(metrics: Iterable[Metric]) -> str:
    """Return metrics in the format of Prometheus that came before, to the end."""
    return _joined(line for metric in metrics for line in _older(metric))


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (*lines, _END))


def _open(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    if metric.unit:
        yield f"# UNIT {metric.name} {metric.unit}"
    yield from _samples(metric)


def _older(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.sample} {metric.help}"
    yield f"# TYPE {metric.sample} {_OLDER.get(metric.kind, metric.kind)}"
    yield from _samples(metric)


def _samples(metric: Metric) -> Iterator[str]:
    for reading in metric.readings:
        yield f"{metric.sample}{_labels(reading.labels)} {_number(reading)}"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    """Return a value between quotes, where a backslash, a quote and the end of a line have a meaning."""
    return printable(value, limit=_MOST).replace("\\", "\\\\").replace('"', '\\"')


def _number(reading: Reading) -> str:
    value = reading.value
    return str(int(value)) if float(value).is_integer() else repr(float(value))
