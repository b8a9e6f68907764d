from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.backends.kubernetes.golden import CASES, GOLDEN, SESSIONS, text

from openclaw_ocm.backends.kubernetes import places

EACH = pytest.mark.parametrize("case", SESSIONS)


def made(case: str) -> dict[str, Any]:
    (one,) = SESSIONS[case]
    return one


def of_kind(case: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in CASES[case.removeprefix("session-")].objects() if one["kind"] == kind]


def template(case: str) -> dict[str, Any]:
    (stateful_set,) = of_kind(case, "StatefulSet")
    found: dict[str, Any] = stateful_set["spec"]["template"]
    return found


@EACH
def test_it_is_that_of_the_golden_file(case: str) -> None:
    assert (GOLDEN / f"{case}.yaml").read_text() == text(SESSIONS[case]), "golden.py writes them anew"
    assert list(yaml.safe_load_all(text(SESSIONS[case]))) == [made(case)]


@EACH
def test_it_is_the_gateways_pod_but_for_the_gateway(case: str) -> None:
    spec, other = made(case)["spec"], template(case)["spec"]
    changed = {"containers", "restartPolicy", "activeDeadlineSeconds", "terminationGracePeriodSeconds"}
    assert {key: value for key, value in spec.items() if key not in changed} == {
        key: value for key, value in other.items() if key not in changed
    }
    assert (spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("Never", 900)
    (container,), (gateway,) = spec["containers"], other["containers"]
    assert container["command"] == ["/bin/sleep", "infinity"]
    gone = {"ports", "startupProbe", "readinessProbe", "livenessProbe"}
    assert gone <= gateway.keys(), "what was made of is as it was"
    assert container == {
        **{key: value for key, value in gateway.items() if key not in gone},
        "command": container["command"],
    }


@EACH
def test_it_reaches_what_the_gateway_reaches_and_is_reached_by_nobody(case: str) -> None:
    labels = made(case)["metadata"]["labels"]
    assert labels == {**template(case)["metadata"]["labels"], places.COMPONENT: places.SESSION}
    (service,) = of_kind(case, "Service")
    assert not service["spec"]["selector"].items() <= labels.items()
    (stateful_set,) = of_kind(case, "StatefulSet")
    assert not stateful_set["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (policy,) = (one for one in of_kind(case, "NetworkPolicy") if one["metadata"]["name"] == places.GATEWAY)
    selector = policy["spec"]["podSelector"]
    assert selector["matchLabels"].items() <= labels.items()
    (expression,) = selector["matchExpressions"]
    assert expression["operator"] == "In"
    assert labels[expression["key"]] in expression["values"]
