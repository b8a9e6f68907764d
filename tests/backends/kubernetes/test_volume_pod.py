from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden import CASES, GOLDEN, STAND_INS, text

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.volume_pod import running_in

EACH = pytest.mark.parametrize("case", STAND_INS)
RUNS = {"running": {"startedAt": "2026-11-28T10:00:00Z"}}
WAITS = {"waiting": {"reason": "CrashLoopBackOff"}}


def made(case: str) -> dict[str, Any]:
    (one,) = STAND_INS[case]
    return one


def gateway(case: str) -> list[dict[str, Any]]:
    """Return the objects of the instance for which the pod of a case stands in."""
    return [*CASES[case.removeprefix("volume-")].objects()]


def picks(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Tell whether a label selector of the API picks what has these labels."""
    within = selector.get("matchExpressions", [])
    assert {one["operator"] for one in within} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in within
    )


@EACH
def test_it_is_that_of_the_golden_file(case: str) -> None:
    assert (GOLDEN / f"{case}.yaml").read_text() == text(STAND_INS[case]), "golden.py writes them anew"
    assert list(yaml.safe_load_all(text(STAND_INS[case]))) == [made(case)]


@EACH
def test_it_is_the_instances_and_no_gateway(case: str) -> None:
    one, objects = made(case), gateway(case)
    labels = one["metadata"]["labels"]
    (claim,) = (found for found in objects if found["kind"] == "PersistentVolumeClaim")
    assert one["metadata"]["namespace"] == claim["metadata"]["namespace"]
    assert labels.items() > claim["metadata"]["labels"].items()
    selectors = [
        *(found["spec"]["selector"]["matchLabels"] for found in objects if found["kind"] == "StatefulSet"),
        *(found["spec"]["selector"] for found in objects if found["kind"] == "Service"),
    ]
    assert len(selectors) == 2
    assert not any(selector.items() <= labels.items() for selector in selectors)
    policies = [found for found in objects if found["kind"] == "NetworkPolicy"]
    picked = [found["metadata"]["name"] for found in policies if picks(found["spec"]["podSelector"], labels)]
    assert picked == [places.DEFAULT_DENY], "nothing is reached"


@EACH
def test_it_has_the_rights_of_a_gateway_less_its_secrets(case: str) -> None:
    spec = made(case)["spec"]
    (stateful_set,) = (found for found in gateway(case) if found["kind"] == "StatefulSet")
    other = stateful_set["spec"]["template"]["spec"]
    same = ("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "securityContext")
    assert {key: spec[key] for key in same} == {key: other[key] for key in same}
    assert spec.get("imagePullSecrets") == other.get("imagePullSecrets")
    (container,), (of_gateway,) = spec["containers"], other["containers"]
    for key in ("image", "securityContext"):
        assert container[key] == of_gateway[key]
    assert not {"env", "envFrom", "ports", "livenessProbe"} & set(container)
    assert spec["volumes"] == [other["volumes"][0]]
    assert [*container["volumeMounts"]] == [{"name": "state", "mountPath": "/volume"}]


@EACH
def test_it_goes_by_itself_and_comes_to_the_node_of_the_gateway(case: str) -> None:
    one = made(case)
    spec = one["spec"]
    assert (spec["activeDeadlineSeconds"], spec["restartPolicy"]) == (900, "Never")
    assert 0 < spec["terminationGracePeriodSeconds"] < 30, "with 0 it would be gone before its volume is free"
    (term,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    selector = term["labelSelector"]["matchLabels"].items()
    (stateful_set,) = (found for found in gateway(case) if found["kind"] == "StatefulSet")
    for labels in (stateful_set["spec"]["template"]["metadata"]["labels"], one["metadata"]["labels"]):
        assert selector <= labels.items()


def pod(name: str, container: str, state: object, **metadata: object) -> dict[str, Any]:
    statuses = [{"name": "other", "state": WAITS}, {"name": container, "state": state}]
    return {"metadata": {"name": name, **metadata}, "status": {"containerStatuses": statuses}}


GATEWAY, STAND_IN = (places.POD, places.GATEWAY), (places.STAND_IN, places.STAND_IN)


@pytest.mark.parametrize(
    ("pods", "found"),
    [
        ([], None),
        ([pod(*GATEWAY, RUNS)], GATEWAY),
        ([pod(*STAND_IN, RUNS)], STAND_IN),
        ([pod(*STAND_IN, RUNS), pod(*GATEWAY, RUNS)], GATEWAY),
        ([pod(*GATEWAY, WAITS), pod(*STAND_IN, RUNS)], STAND_IN),
        ([pod(*GATEWAY, WAITS)], None),
        ([pod(*GATEWAY, RUNS, deletionTimestamp="2026-11-28T10:00:00Z")], GATEWAY),
        ([pod(*STAND_IN, RUNS, deletionTimestamp="2026-11-28T10:00:00Z")], None),
        ([pod("other", places.GATEWAY, RUNS), pod(places.POD, "other", RUNS)], None),
        ([{"metadata": {"name": places.POD}}], None),
    ],
)
def test_a_state_is_asked_where_something_runs(pods: list[Any], found: object) -> None:
    assert running_in(pods) == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": JSON | st.fixed_dictionaries({"name": JSON | st.sampled_from((places.POD, "volume"))}),
        "status": JSON | st.fixed_dictionaries({"containerStatuses": JSON | st.lists(JSON, max_size=3)}),
    },
)


@given(st.lists(JSON | PODS, max_size=4))
def test_of_whatever_a_cluster_says_nothing_else_is_taken(pods: list[object]) -> None:
    assert running_in(pods) is None
