"""What finds out whether a network plugin keeps to policies, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden_checks import CASES, GOLDEN, PLAIN, objects, text

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.network_check import (
    LIFETIME_SECONDS,
    Enforcement,
    address_of,
    in_words,
    lacking,
    leftovers,
    word,
)
from openclaw_ocm.core.names import NAME, RESERVED, parse_name

EACH = pytest.mark.parametrize("case", CASES)
NAMES = st.from_regex(NAME, fullmatch=True).filter(lambda name: name not in RESERVED).map(parse_name)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)
# 2026-11-28T22:00:00Z
NOW = 1795903200.0


def pods_of(case: str) -> list[dict[str, Any]]:
    return [one for one in objects(CASES[case]) if one["kind"] == "Pod"]


@EACH
def test_the_objects_are_those_of_the_golden_file(case: str) -> None:
    assert (GOLDEN / f"{case}.yaml").read_text() == text(CASES[case]), "golden_checks.py writes them anew"
    assert tuple(yaml.safe_load_all(text(CASES[case]))) == objects(CASES[case])


def test_there_is_a_golden_file_for_each_case_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@EACH
def test_each_object_is_the_owners_and_no_instances(case: str) -> None:
    for one in objects(CASES[case]):
        labels = one["metadata"]["labels"]
        assert labels[places.OWNER] == places.owner_label(PLAIN.owner)
        assert places.INSTANCE not in labels
        assert one["metadata"].get("namespace", PLAIN.namespace) == PLAIN.namespace


@given(NAMES)
def test_its_namespace_is_no_instances(name: Any) -> None:  # noqa: ANN401
    assert not places.namespace(name).startswith("check-ocm-")
    assert PLAIN.namespace == "check-ocm-5f1c"


@EACH
def test_pods_end_by_themselves_and_have_no_rights(case: str) -> None:
    assert len(pods_of(case)) == 2
    for pod in pods_of(case):
        spec = pod["spec"]
        assert (spec["activeDeadlineSeconds"], spec["restartPolicy"]) == (LIFETIME_SECONDS, "Never")
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "volumes" not in spec


@EACH
def test_each_policy_is_about_one_way_of_one_pod(case: str) -> None:
    policies = [one["spec"] for one in objects(CASES[case]) if one["kind"] == "NetworkPolicy"]
    selected = [
        [
            pod["metadata"]["name"]
            for pod in pods_of(case)
            if policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ]
        for policy in policies
    ]
    assert selected == [["listener"], ["caller"]]
    assert [policy["policyTypes"] for policy in policies] == [["Ingress"], ["Egress"]]
    assert all(set(policy) == {"podSelector", "policyTypes"} for policy in policies)


def test_what_opens_the_registry_is_in_its_secret_alone() -> None:
    assert "auths" not in repr(CASES["private"])
    (secret,) = (one for one in objects(CASES["private"]) if one["kind"] == "Secret")
    assert secret["data"] == {".dockerconfigjson": "eyJhdXRocyI6IHt9fQ=="}
    assert [pod["spec"]["imagePullSecrets"] for pod in pods_of("private")] == [[{"name": places.PULL}]] * 2


def namespace(name: str, owner: str, made: object, **labels: str) -> dict[str, Any]:
    told = {places.OWNER: places.owner_label(owner), "ocm.dev/check": "network", **labels}
    return {"metadata": {"name": name, "labels": told, "creationTimestamp": made}}


def test_what_a_killed_check_left_is_known_by_its_labels_and_its_age() -> None:
    old, fresh = "2026-11-28T21:49:00Z", "2026-11-28T21:55:00Z"
    listed = [
        namespace("check-ocm-1", "8c2f", old),
        namespace("check-ocm-2", "8c2f", fresh),
        namespace("check-ocm-3", "others", old),
        namespace("check-ocm-4", "8c2f", old, **{"ocm.dev/check": "other"}),
        namespace("ocm-worker1", "8c2f", old),
        namespace("check-ocm-5", "8c2f", "yesterday"),
        namespace("check-ocm-6", "8c2f", None),
        {"metadata": {"name": "check-ocm-7"}},
        {"metadata": {"name": 1}},
        None,
    ]
    assert leftovers(listed, "8c2f", now=NOW) == ("check-ocm-1",)


@given(JSON)
def test_whatever_is_listed_is_no_leftover(listed: object) -> None:
    assert leftovers(listed, "8c2f", now=NOW) == ()
    assert address_of({"status": listed}) is None
    assert lacking({"status": listed})
    assert lacking(listed)


def test_a_pod_has_its_address_once_it_runs() -> None:
    assert address_of({"status": {"phase": "Running", "podIP": "10.244.1.7"}}) == "10.244.1.7"
    assert address_of({"status": {"phase": "Pending", "podIP": "10.244.1.7"}}) is None
    assert address_of({"status": {"phase": "Running"}}) is None
    assert address_of(None) is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "ErrImagePull", "message": "not\nthere\x1b[2J"}}}
                ]
            },
            "ErrImagePull: not there",
        ),
        ({"containerStatuses": [{"state": {"terminated": {"reason": "Error"}}}]}, "Error"),
        (
            {"conditions": [{"status": "False", "message": "0/3 nodes are available"}]},
            "0/3 nodes are available",
        ),
        ({}, "it does not say why"),
    ],
)
def test_why_a_pod_does_not_run_is_told(status: dict[str, Any], words: str) -> None:
    assert lacking({"status": status}) == words


@pytest.mark.parametrize(
    ("ingress", "egress", "short", "words"),
    [
        (True, True, "enforced", "NetworkPolicy is enforced by this cluster's network plugin"),
        (
            False,
            False,
            "not enforced",
            (
                "NetworkPolicy is not enforced by this cluster's network plugin: an instance reaches all "
                "that a pod can, other instances' ports included, and their tokens alone keep it out"
            ),
        ),
        (
            True,
            False,
            "incoming alone",
            (
                "NetworkPolicy for what goes out is not enforced by this cluster's network plugin: an "
                "instance reaches all that a pod can, other instances excepted"
            ),
        ),
        (
            False,
            True,
            "outgoing alone",
            (
                "NetworkPolicy for what comes in is not enforced by this cluster's network plugin: other "
                "pods of the cluster reach an instance's port, and its token alone keeps them out"
            ),
        ),
        (None, None, "unknown", "whether this cluster enforces NetworkPolicy could not be told: so"),
        (
            True,
            None,
            "unknown",
            (
                "whether this cluster enforces NetworkPolicy could not be told: so; for what comes in it is "
                "enforced"
            ),
        ),
        (
            None,
            False,
            "unknown",
            (
                "whether this cluster enforces NetworkPolicy could not be told: so; for what goes out it is "
                "not enforced"
            ),
        ),
    ],
)
def test_what_was_found_is_said(
    ingress: bool | None,  # noqa: FBT001 - a parameter
    egress: bool | None,  # noqa: FBT001 - a parameter
    short: str,
    words: str,
) -> None:
    reason = "so" if None in (ingress, egress) else None
    found = Enforcement(ingress=ingress, egress=egress, reason=reason)
    assert (word(found), in_words(found)) == (short, words)
