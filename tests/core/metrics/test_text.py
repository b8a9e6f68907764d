"""What is printed is what the parsers of Prometheus's own client take, whatever stands in labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser as older
from prometheus_client.openmetrics import parser

from openclaw_ocm.core.metrics.families import KNOWN, Kind, Known, Sample, metrics
from openclaw_ocm.core.metrics.text import open_metrics, prometheus
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from openclaw_ocm.core.metrics.families import Metric as Told

# Those of which a surrogate is no text that a file can hold.
VALUES = st.text() | st.text(alphabet='\\"\n\r\t\x00\x1b[31m {},=#\ud800') | st.text(min_size=300)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**53)
NAMES = st.sampled_from([known.name for known in KNOWN if known.kind is Kind.GAUGE])


def parsed(text: str) -> dict[str, Metric]:
    """Return the metrics that a text in OpenMetrics holds, by name."""
    text.encode()
    return {one.name: one for one in parser.text_string_to_metric_families(text)}


def parsed_as_older(text: str) -> dict[str, Metric]:
    text.encode()
    return {one.name: one for one in older.text_string_to_metric_families(text)}


def one_of_each() -> Iterable[Sample]:
    for known in KNOWN:
        labels = {"instance": "worker1", **({known.name: "ready"} if known.kind is Kind.STATESET else {})}
        yield Sample(of=known.name, value=1, labels=labels)


def test_every_metric_is_read_with_its_kind_unit_and_meaning() -> None:
    found = parsed(open_metrics(metrics(one_of_each())))
    assert list(found) == [known.name for known in KNOWN]
    for known in KNOWN:
        (sample,) = found[known.name].samples
        assert (found[known.name].type, found[known.name].unit) == (known.kind.value, known.unit)
        assert (found[known.name].documentation, sample.name) == (known.help, known.sample)
        assert (sample.value, sample.labels["instance"]) == (1, "worker1")


def test_every_metric_is_read_in_the_older_format_by_the_name_of_its_samples() -> None:
    text = prometheus(metrics(one_of_each()))
    found = parsed_as_older(text)
    assert len(found) == len(KNOWN)
    for known in KNOWN:
        # The parser takes the suffix of counters away, as the newer format has them.
        metric = found[known.name if known.kind is Kind.COUNTER else known.sample]
        assert metric.type == ("counter" if known.kind is Kind.COUNTER else "gauge")
        assert [sample.name for sample in metric.samples] == [known.sample]
        assert metric.documentation == known.help
        assert f"# TYPE {known.sample} {metric.type}\n" in text, (
            "node_exporter takes the type by the full name"
        )
    assert "# UNIT" not in text


@pytest.mark.parametrize("render", [open_metrics, prometheus])
def test_a_text_ends_where_it_says_that_it_ends(render: Callable[[Iterable[Told]], str]) -> None:
    assert render(()) == "# EOF\n"
    assert render(metrics(one_of_each())).endswith("\n# EOF\n")


@given(st.lists(st.tuples(NAMES, VALUES, NUMBERS), max_size=8, unique_by=lambda one: printable(one[1])[:200]))
def test_whatever_stands_in_a_label_is_read_as_that(given_: list[tuple[str, str, float]]) -> None:
    samples = [Sample(of=name, value=value, labels={"version": label}) for name, label, value in given_]
    wanted = {(name, printable(label, limit=200)): value for name, label, value in given_}
    for text, parse in ((open_metrics, parsed), (prometheus, parsed_as_older)):
        found = parse(text(metrics(samples)))
        assert {
            (name, sample.labels["version"]): sample.value
            for name, metric in found.items()
            for sample in metric.samples
        } == wanted


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_has_no_line(value: float) -> None:
    assert metrics([Sample(of="ocm_instance_ready", value=value, labels={})]) == ()


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_names_are_as_prometheus_asks_for(known: Known) -> None:
    """See https://prometheus.io/docs/practices/naming/."""
    assert known.name.startswith("ocm_")
    assert known.name == known.name.lower()
    assert not known.name.endswith(("_total", "_info"))
    assert known.help[0].isupper()
    assert known.help.endswith(".")
    assert not set(known.help) & set('\\"\n'), "it would have to be escaped, in each format otherwise"
    assert known.unit or not known.name.endswith(("_time", "_size", "_memory"))
