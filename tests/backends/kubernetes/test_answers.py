"""What API servers answer with a failure, in one sentence; their words are those of Kubernetes' source."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml

from openclaw_ocm.backends.kubernetes.answers import Asked, ClusterRefuses, refused
from openclaw_ocm.backends.kubernetes.kinds import KINDS, Place, place
from openclaw_ocm.errors import ClusterUnreachable, OcmError

CLUSTER = "the cluster of context lab"
STATEFUL_SET = place("StatefulSet", namespace="ocm-ada", name="gateway")
NAMESPACE = place("Namespace", name="ocm-ada")


def answer(
    status: int,
    reason: str,
    message: str,
    where: Place = STATEFUL_SET,
    **details: Any,  # noqa: ANN401
) -> OcmError:
    said = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": status,
    }
    return refused(status, json.dumps(said).encode(), Asked(cluster=CLUSTER, place=where))


def test_a_right_that_is_missing_in_the_cluster_is_told_as_a_rule() -> None:
    found = answer(
        403,
        "Forbidden",
        'namespaces is forbidden: User "ann" cannot create resource "namespaces" in API group "" at the '
        "cluster scope",
        NAMESPACE,
        kind="namespaces",
    )
    assert (found.code, found.message) == (
        "cluster_forbidden",
        "the cluster of context lab does not let ann create namespaces",
    )
    assert found.hint is not None
    said, _, rule = found.hint.partition(": ")
    assert said == "its administrator can give that by this rule of a ClusterRole"
    assert yaml.safe_load(rule) == [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]}]


def test_a_right_that_is_missing_in_a_namespace_is_told_as_a_rule() -> None:
    found = answer(
        403,
        "Forbidden",
        'statefulsets.apps "gateway" is forbidden: User "system:serviceaccount:tools:ocm" cannot patch '
        'resource "statefulsets" in API group "apps" in the namespace "ocm-ada": RBAC: role "x" not found',
        name="gateway",
        group="apps",
        kind="statefulsets",
    )
    assert found.message == (
        "the cluster of context lab does not let system:serviceaccount:tools:ocm patch statefulsets.apps in "
        "namespace ocm-ada"
    )
    assert found.hint == (
        "its administrator can give that by this rule of a Role in namespace ocm-ada: "
        '- {apiGroups: ["apps"], resources: ["statefulsets"], verbs: ["patch"]}'
    )


def test_a_right_to_a_part_of_an_object_is_told_with_it() -> None:
    found = answer(
        403,
        "Forbidden",
        'pods "gateway-0" is forbidden: User "ann" cannot get resource "pods/exec" in API group "" in the '
        'namespace "ocm-ada"',
    )
    assert found.hint is not None
    assert '{apiGroups: [""], resources: ["pods/exec"], verbs: ["get"]}' in found.hint


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            (
                'persistentvolumeclaims "state" is forbidden: exceeded quota: small, requested: '
                "requests.storage=10Gi, used: requests.storage=0, limited: requests.storage=5Gi"
            ),
            (
                "small: requested: requests.storage=10Gi, used: requests.storage=0, limited: "
                "requests.storage=5Gi"
            ),
        ),
        (
            'pods "gateway-0" is forbidden: failed quota: compute: must specify limits.cpu,limits.memory',
            "compute: must specify limits.cpu,limits.memory",
        ),
    ],
)
def test_a_quota_that_is_too_small_is_told_with_what_it_allows(message: str, told: str) -> None:
    found = answer(403, "Forbidden", message)
    assert found.code == "cluster_quota"
    assert found.message == f"StatefulSet gateway in namespace ocm-ada does not fit into the quota {told}"


def test_a_namespace_that_is_being_deleted_is_told() -> None:
    message = (
        'secrets "gateway-env" is forbidden: unable to create new content in namespace ocm-ada because it is '
        "being terminated"
    )
    # Older servers give no cause.
    cause = {"reason": "NamespaceTerminating", "message": "namespace ocm-ada is being terminated"}
    for causes in ([], [cause]):
        found = answer(403, "Forbidden", message, causes=causes)
        assert (found.code, found.message) == (
            "namespace_ending",
            "the namespace of StatefulSet gateway in namespace ocm-ada is being deleted",
        )


def test_another_rule_of_the_cluster_is_told_in_its_words() -> None:
    message = (
        'pods "gateway-0" is forbidden: violates PodSecurity "restricted:latest": '
        "allowPrivilegeEscalation != false"
    )
    found = answer(403, "Forbidden", message)
    assert (found.code, found.message) == (
        "cluster_refuses",
        f"{CLUSTER} refuses what it was asked about StatefulSet gateway in namespace ocm-ada: {message}",
    )


def test_who_holds_the_fields_that_are_to_be_set_is_told() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-edit" using apps/v1 at 2026-11-28T10:00:00Z',
            "field": ".spec.replicas",
        },
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "keda"',
            "field": ".spec.template.spec.containers",
        },
    ]
    found = answer(409, "Conflict", "Apply failed with 2 conflicts: ...", causes=causes)
    assert isinstance(found, ClusterRefuses)
    assert (found.code, found.status, found.managers) == ("cluster_conflict", 409, ("kubectl-edit", "keda"))
    assert found.message == (
        "kubectl-edit, keda changed .spec.replicas, .spec.template.spec.containers of StatefulSet gateway in "
        "namespace ocm-ada"
    )


@pytest.mark.parametrize(
    ("status", "reason", "message", "causes"),
    [
        (409, "AlreadyExists", 'namespaces "ocm-ada" already exists', []),
        (
            409,
            "Conflict",
            (
                'Operation cannot be fulfilled on namespaces "ocm-ada": Precondition failed: UID in '
                "precondition: 1, UID in object meta: 2"
            ),
            [],
        ),
        # As 1.20 says it to who applies an object with the uid of another.
        (
            422,
            "Invalid",
            'Namespace "ocm-ada" is invalid: metadata.uid: Invalid value: "1": field is immutable',
            [
                {
                    "reason": "FieldValueInvalid",
                    "message": 'Invalid value: "1": field is immutable',
                    "field": "metadata.uid",
                }
            ],
        ),
    ],
)
def test_what_another_did_at_the_same_time_is_told(
    status: int, reason: str, message: str, causes: list[dict[str, str]]
) -> None:
    found = answer(status, reason, message, NAMESPACE, name="ocm-ada", kind="namespaces", causes=causes)
    assert isinstance(found, ClusterRefuses)
    assert (found.code, found.managers) == ("cluster_conflict", ())
    assert found.message == "Namespace ocm-ada was changed or made by another at the same time"


def test_only_conflicts_of_fields_name_a_manager() -> None:
    causes = [{"reason": "Other", "message": 'conflict with "keda"', "field": ".spec"}]
    found = answer(409, "Conflict", "Apply failed", causes=causes)
    assert isinstance(found, ClusterRefuses)
    assert found.managers == ()


INVALID = [
    {
        "reason": "FieldValueInvalid",
        "message": 'Invalid value: "sk-secret": must be a quantity',
        "field": "spec.template.spec.containers[0].resources.limits[memory]",
    },
    {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
]


def test_fields_that_are_not_taken_are_told() -> None:
    found = answer(422, "Invalid", 'StatefulSet.apps "gateway" is invalid: ...', causes=INVALID)
    assert (found.code, found.message) == (
        "cluster_refuses",
        (
            "the cluster of context lab does not take StatefulSet gateway in namespace ocm-ada: "
            'spec.template.spec.containers[0].resources.limits[memory]: Invalid value: "sk-secret": must '
            "be a quantity, spec.selector: Required value"
        ),
    )


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 413, 422, 429, 500, 503])
def test_nothing_that_is_said_about_a_secret_is_shown(status: int) -> None:
    secret = place("Secret", namespace="ocm-ada", name="gateway-env")
    found = answer(status, "Invalid", 'Secret "gateway-env" is invalid: sk-secret', secret, causes=INVALID)
    assert "sk-secret" not in f"{found.message} {found.hint} {found.details}"


def test_only_an_object_that_is_not_there_itself_is_none() -> None:
    missing = answer(
        404, "NotFound", 'namespaces "ocm-ada" not found', NAMESPACE, name="ocm-ada", kind="namespaces"
    )
    another = answer(404, "NotFound", 'namespaces "ocm-ada" not found', name="ocm-ada", kind="namespaces")
    path = answer(404, "NotFound", "the server could not find the requested resource", NAMESPACE)
    # A pod in a namespace of its name, which is not there.
    namesake = answer(404, "NotFound", "not found", NAMESPACE, name="ocm-ada", kind="pods")
    for found, itself in ((missing, True), (another, False), (path, False), (namesake, False)):
        assert isinstance(found, ClusterRefuses)
        assert (found.code, found.status, found.of_object) == ("not_in_cluster", 404, itself)


def test_what_lets_in_no_longer_is_told_without_it() -> None:
    for body in (b"", b"Unauthorized", b'{"kind":"Status","message":"Unauthorized","code":401}'):
        found = refused(401, body, Asked(cluster=CLUSTER, place=NAMESPACE))
        assert (found.code, found.message) == (
            "cluster_unauthorized",
            (
                "the cluster of context lab does not let you in: your token or certificate has ended or "
                "is not known there"
            ),
        )


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            429,
            b'{"kind":"Status","message":"Too many requests, please try again later."}',
            "Too many requests",
        ),
        (500, b'{"kind":"Status","message":"etcdserver: leader changed"}', "etcdserver: leader changed"),
        (502, b"<html>Bad Gateway</html>", "HTTP status 502"),
        (503, b"apiserver not ready", "HTTP status 503"),
    ],
)
def test_what_passes_by_itself_is_as_if_no_answer_came(status: int, body: bytes, told: str) -> None:
    found = refused(status, body, Asked(cluster=CLUSTER))
    assert isinstance(found, ClusterUnreachable)
    assert found.code == "cluster_busy"
    assert found.message.startswith(f"the cluster of context lab cannot answer now: {told}")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"",
        b"[]",
        b'{"kind":"Other"}',
        b'{"kind":"Status","message":5}',
        b'{"kind": "Status", "other": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"\xff",
    ],
)
@pytest.mark.parametrize("status", [302, 400, 403, 404, 409, 422])
def test_what_is_no_api_server_is_told(status: int, body: bytes) -> None:
    found = refused(status, body, Asked(cluster=CLUSTER, place=NAMESPACE))
    assert isinstance(found, ClusterRefuses)
    assert (found.code, found.of_object) == ("cluster_answer", False)
    assert (
        found.message == f"what answers for the cluster of context lab is no API server: HTTP status {status}"
    )


@hypothesis.given(st.sampled_from([400, 403, 404, 409, 410, 422, 429, 500]), st.text(), st.text(), st.text())
def test_what_a_server_says_is_printable_and_cut(status: int, message: str, field: str, name: str) -> None:
    causes = [{"reason": "FieldManagerConflict", "message": f'conflict with "{name}"', "field": field}] * 500
    found = answer(status, name, message * 200, Place(KINDS["Pod"], "a", "b"), causes=causes, name=name)
    for words in (found.message, found.hint or ""):
        assert all(letter.isprintable() or letter == "\t" for letter in words)
        assert len(words) < 2000


def test_a_long_message_is_no_work() -> None:
    answer(403, "Forbidden", 'User "' + "\\" * 60_000)
    answer(403, "Forbidden", "exceeded quota: " + "a" * 60_000)
