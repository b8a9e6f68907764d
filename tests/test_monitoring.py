"""What lies in contrib/monitoring asks for nothing that `ocm metrics` does not tell."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.documents import ROOT

from openclaw_ocm.core.metrics.families import KNOWN, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

MONITORING = ROOT / "contrib" / "monitoring"
ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text())
DASHBOARD = json.loads((MONITORING / "grafana.json").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TOLD = {known.sample for known in KNOWN}
COUNTERS = {known.sample for known in KNOWN if known.kind is Kind.COUNTER}
# As Prometheus has them: `instance` is the machine there, and that of OCM is called otherwise.
LABELS = {"instance", "exported_instance"}


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bocm_\w+", expression))


def queries() -> Iterator[str]:
    """Yield all that the dashboard asks Prometheus for."""
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_of_what_is_told_and_says_what_is_the_matter(rule: dict[str, Any]) -> None:
    assert named(rule["expr"])
    assert named(rule["expr"]) <= TOLD
    assert re.fullmatch(r"Ocm[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    told = rule["annotations"]
    assert set(told) == {"summary", "description"}
    assert all(told.values())
    assert told["summary"].count("{{") == told["summary"].count("}}")
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(told.values()))) <= LABELS
    assert re.fullmatch(r"[0-9]+[mhd]", rule.get("for", "0m"))


@pytest.mark.parametrize("query", list(queries()))
def test_the_dashboard_asks_for_what_is_told(query: str) -> None:
    assert named(query)
    assert named(query) <= TOLD
    assert set(re.findall(r"[{,]\s*(\w+)\s*[=!]", query)) <= LABELS
    for name in named(query) & COUNTERS:
        assert re.search(rf"(rate|increase)\({name}\b", query), "a counter alone says little"


def test_every_panel_has_a_title_and_a_place_and_says_what_it_shows() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) > 8
    places: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places
        places |= cells


def test_the_dashboard_is_bound_to_no_prometheus_of_ours() -> None:
    uids = set(re.findall(r'"uid": "([^"]+)"', json.dumps(PANELS)))
    assert uids == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == [
        "datasource",
        "machine",
        "name",
    ]
    assert "id" not in DASHBOARD, "an import would take the place of another one"


def test_no_alert_and_no_name_is_there_twice() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert len(TOLD) == len(KNOWN)
