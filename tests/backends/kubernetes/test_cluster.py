"""What OCM asks of an API server, in which order, and what it makes of answers that no test cluster gives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.backends.kubernetes import api_server
from tests.backends.kubernetes.api_server import Answer, ApiServer, status

from openclaw_ocm.backends.kubernetes import cluster as module
from openclaw_ocm.backends.kubernetes.answers import ClusterRefuses
from openclaw_ocm.backends.kubernetes.kinds import place
from openclaw_ocm.backends.kubernetes.places import GATEWAY, INSTANCE, OWNER
from openclaw_ocm.backends.kubernetes.rights import Right
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openclaw_ocm.backends.kubernetes.cluster import Cluster

LABELS = {INSTANCE: "ada", OWNER: "a1"}
WANTED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "ocm-ada", "labels": LABELS},
}
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "gateway-env", "namespace": "ocm-ada"},
    "data": {},
}
THERE = {**WANTED, "metadata": {**WANTED["metadata"], "uid": "u1"}}
NAMESPACE, SECRETS = "/api/v1/namespaces/ocm-ada", "/api/v1/namespaces/ocm-ada/secrets/gateway-env"
PODS = "/api/v1/pods?limit=500"
APPLY, FORCE = "?fieldManager=ocm&force=false", "?fieldManager=ocm&force=true"
GONE = status(404, "NotFound", 'namespaces "ocm-ada" not found', name="ocm-ada", kind="namespaces")
EXISTS = status(409, "AlreadyExists", 'namespaces "ocm-ada" already exists')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server.api_server(tmp_path) as serving:
        yield serving


@pytest.fixture
def cluster(tmp_path: Path, server: ApiServer) -> Iterator[Cluster]:
    with api_server.cluster(tmp_path, server) as made:
        yield made


def test_a_list_is_asked_for_page_by_page(cluster: Cluster, server: ApiServer) -> None:
    first = "/api/v1/pods?limit=500&labelSelector=ocm.dev%2Fowner%3Da1"
    pages = [{"metadata": {"continue": "n1"}, "items": [{"a": 1}]}, {"metadata": {}, "items": [{"a": 2}]}]
    server.answer("GET", first, Answer(pages[0]))
    server.answer("GET", f"{first}&continue=n1", Answer(pages[1]))
    assert cluster.list("Pod", {OWNER: "a1"}) == ({"a": 1}, {"a": 2})


def test_a_list_may_be_of_what_a_field_says(cluster: Cluster, server: ApiServer) -> None:
    path = (
        "/api/v1/namespaces/ocm-ada/events?limit=500&fieldSelector=involvedObject.name%3Dgateway-0%2Ctype%3Da"
    )
    server.answer("GET", path, Answer({"items": [{}]}))
    fields = {"involvedObject.name": "gateway-0", "type": "a"}
    assert cluster.list("Event", fields=fields, namespace="ocm-ada") == ({},)


def test_a_list_that_became_too_old_is_read_anew_once(cluster: Cluster, server: ApiServer) -> None:
    old = status(410, "Expired", "The provided continue parameter is too old")
    server.answer("GET", PODS, Answer({"metadata": {"continue": "n1"}, "items": [{}]}))
    server.answer("GET", f"{PODS}&continue=n1", old, Answer({"items": [{}]}))
    assert len(cluster.list("Pod")) == 2
    server.answer("GET", f"{PODS}&continue=n1", old)
    with pytest.raises(ClusterRefuses) as found:
        cluster.list("Pod")
    assert found.value.status == 410


def test_a_list_that_does_not_end_is_given_up(
    cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (PODS, f"{PODS}&continue=n1"):
        server.answer("GET", path, Answer({"metadata": {"continue": "n1"}, "items": []}))
    with pytest.raises(OcmError, match="has more than 0 pods"):
        cluster.list("Pod")
    server.answer("GET", PODS, Answer({"metadata": {"continue": "n1"}, "items": [{"a": "b" * 300}]}))
    server.answer("GET", f"{PODS}&continue=n1", Answer({"items": [{"a": "b" * 300}]}))
    monkeypatch.setattr(module, "_MOST_BYTES", 500)
    with pytest.raises(OcmError, match="answers with more than"):
        cluster.list("Pod")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"items": 5}', b'{"items": [5]}', b"[" * 99_999])
def test_a_list_that_is_none_is_not_taken_for_an_empty_one(
    cluster: Cluster, server: ApiServer, body: bytes
) -> None:
    server.answer("GET", PODS, Answer(body))
    with pytest.raises(OcmError) as found:
        cluster.list("Pod")
    assert found.value.code == "cluster_answer"


def test_what_is_not_there_is_none_and_nothing_else_is(cluster: Cluster, server: ApiServer) -> None:
    server.answer("GET", NAMESPACE, GONE)
    assert cluster.get("Namespace", "ocm-ada") is None
    nowhere = status(404, "NotFound", "the server could not find the requested resource")
    for other in (nowhere, Answer(b"404 page not found", 404), status(403, "Forbidden", "no")):
        server.answer("GET", NAMESPACE, other)
        with pytest.raises(ClusterRefuses):
            cluster.get("Namespace", "ocm-ada")


def test_a_new_namespace_is_made_and_then_all_is_applied(cluster: Cluster, server: ApiServer) -> None:
    server.answer("GET", NAMESPACE, GONE)
    server.answer("POST", "/api/v1/namespaces?fieldManager=ocm", Answer(THERE, 201))
    server.answer("PATCH", NAMESPACE + APPLY, Answer(THERE))
    server.answer("PATCH", SECRETS + APPLY, Answer(SECRET))
    cluster.apply([WANTED, SECRET])
    assert server.paths() == [
        f"GET {NAMESPACE}",
        "POST /api/v1/namespaces?fieldManager=ocm",
        f"PATCH {NAMESPACE}{APPLY}",
        f"PATCH {SECRETS}{APPLY}",
    ]
    # Another one of the same name would have another uid.
    assert server.asked[2].body["metadata"]["uid"] == "u1"
    assert server.asked[3].headers["content-type"] == "application/apply-patch+yaml"


def test_a_namespace_that_another_makes_at_the_same_time_is_looked_at(
    cluster: Cluster, server: ApiServer
) -> None:
    foreign = {"metadata": {"name": "ocm-ada", "uid": "u2", "labels": {INSTANCE: "ada", OWNER: "b2"}}}
    server.answer("GET", NAMESPACE, GONE, Answer(foreign))
    server.answer("POST", "/api/v1/namespaces?fieldManager=ocm", EXISTS)
    with pytest.raises(OcmError) as found:
        cluster.apply([WANTED, SECRET])
    assert found.value.code == "namespace_taken"
    assert [path for path in server.paths() if path.startswith("PATCH")] == []


@pytest.mark.parametrize(
    "found", [{}, {"metadata": None}, {"metadata": {"labels": [1]}}, {"metadata": {"labels": {OWNER: "a1"}}}]
)
def test_a_namespace_that_is_not_known_for_ones_own_is_another(
    cluster: Cluster, server: ApiServer, found: dict[str, Any]
) -> None:
    server.answer("GET", NAMESPACE, Answer(found))
    with pytest.raises(OcmError) as refused:
        cluster.apply([WANTED, SECRET])
    assert refused.value.code == "namespace_taken"
    with pytest.raises(OcmError) as refused:
        cluster.delete(place("Namespace", name="ocm-ada"), LABELS, seconds=1, report=lambda _words: None)
    assert refused.value.code == "namespace_taken"
    assert {one.method for one in server.asked} == {"GET"}


def test_nothing_is_deleted_that_no_label_tells(cluster: Cluster, server: ApiServer) -> None:
    server.answer("GET", NAMESPACE, Answer(THERE))
    with pytest.raises(OcmError) as refused:
        cluster.delete(place("Namespace", name="ocm-ada"), {}, seconds=1, report=lambda _words: None)
    assert refused.value.code == "namespace_taken"
    assert server.paths() == [f"GET {NAMESPACE}"]


def test_a_namespace_that_is_being_deleted_is_not_filled(cluster: Cluster, server: ApiServer) -> None:
    ending = {"metadata": {**THERE["metadata"], "deletionTimestamp": "2026-11-28T10:00:00Z"}}
    server.answer("GET", NAMESPACE, Answer(ending))
    with pytest.raises(OcmError) as refused:
        cluster.apply([WANTED, SECRET])
    assert refused.value.code == "namespace_ending"


def conflict(*managers: str) -> Answer:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": ".spec.replicas"}
        for manager in managers
    ]
    return status(409, "Conflict", "Apply failed", causes=causes)


def test_only_what_ocm_itself_has_set_is_taken_over_unasked(cluster: Cluster, server: ApiServer) -> None:
    server.answer("PATCH", SECRETS + APPLY, conflict("ocm"))
    server.answer("PATCH", SECRETS + FORCE, Answer(SECRET))
    cluster.apply([SECRET])
    assert server.paths() == [f"PATCH {SECRETS}{APPLY}", f"PATCH {SECRETS}{FORCE}"]
    for others in (("ocm", "keda"), ("keda",), ()):
        server.asked.clear()
        server.answer("PATCH", SECRETS + APPLY, conflict(*others))
        with pytest.raises(ClusterRefuses):
            cluster.apply([SECRET])
        assert server.paths() == [f"PATCH {SECRETS}{APPLY}"]
    server.asked.clear()
    cluster.apply([SECRET], force=True)
    assert server.paths() == [f"PATCH {SECRETS}{FORCE}"]


def test_a_dry_run_asks_for_nothing_else(cluster: Cluster, server: ApiServer) -> None:
    server.answer("GET", NAMESPACE, GONE)
    server.answer("POST", "/api/v1/namespaces?fieldManager=ocm&dryRun=All", Answer(THERE, 201))
    cluster.apply([WANTED, SECRET], dry_run=True)
    server.answer("GET", NAMESPACE, Answer(THERE))
    for path in (NAMESPACE, SECRETS):
        server.answer("PATCH", f"{path}?fieldManager=ocm&dryRun=All&force=false", Answer({}))
    cluster.apply([WANTED, SECRET], dry_run=True)
    assert {one.path for one in server.asked if one.method != "GET" and "dryRun=All" not in one.path} == set()


def test_replicas_are_set_where_the_labels_are_ones_own(cluster: Cluster, server: ApiServer) -> None:
    path = f"/apis/apps/v1/namespaces/ocm-ada/statefulsets/{GATEWAY}?fieldManager=ocm"
    server.answer("PATCH", path, Answer({}))
    cluster.scale("ocm-ada", 0, LABELS)
    assert server.asked[0].headers["content-type"] == "application/json-patch+json"
    assert server.asked[0].body == [
        {"op": "test", "path": "/metadata/labels/ocm.dev~1instance", "value": "ada"},
        {"op": "test", "path": "/metadata/labels/ocm.dev~1owner", "value": "a1"},
        {"op": "replace", "path": "/spec/replicas", "value": 0},
    ]


def test_what_is_deleted_is_waited_for(
    cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    left = [
        {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1\x1b[2J instances"}
    ]
    ending = {**THERE, "status": {"conditions": [*left, {"status": "False", "message": "x"}, 5]}}
    away = Answer(b"", 502)
    server.answer("GET", NAMESPACE, *map(Answer, (THERE, THERE, ending, ending)), away, GONE)
    server.answer("DELETE", NAMESPACE, Answer({}))
    told: list[str] = []
    cluster.delete(place("Namespace", name="ocm-ada"), LABELS, seconds=10, report=told.append)
    assert told == [
        "what is in it comes to its end",
        "pods. has 1 instances",
        "the cluster of context lab cannot answer now: HTTP status 502",
    ]
    asked = next(one for one in server.asked if one.method == "DELETE")
    assert asked.body["preconditions"] == {"uid": "u1"}
    assert asked.body["propagationPolicy"] == "Foreground"
    assert "gracePeriodSeconds" not in asked.body
    # One of the same name is another's, whatever becomes of it.
    another = {"metadata": {**THERE["metadata"], "uid": "u2"}}
    server.answer("GET", NAMESPACE, Answer(THERE), Answer(another))
    cluster.delete(place("Namespace", name="ocm-ada"), LABELS, seconds=10, report=told.append)


def test_a_pod_whose_node_is_silent_may_be_given_up(cluster: Cluster, server: ApiServer) -> None:
    path = f"{NAMESPACE}/pods/gateway-0"
    gone = status(404, "NotFound", 'pods "gateway-0" not found', name="gateway-0", kind="pods")
    server.answer("GET", path, Answer(THERE), gone)
    server.answer("DELETE", path, Answer({}))
    where = place("Pod", namespace="ocm-ada", name="gateway-0")
    cluster.delete(where, LABELS, seconds=1, report=lambda _words: None, grace_seconds=0)
    asked = next(one for one in server.asked if one.method == "DELETE")
    assert asked.body["gracePeriodSeconds"] == 0


def test_what_is_not_gone_in_time_is_told(
    cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    server.answer("GET", NAMESPACE, Answer(THERE))
    server.answer("DELETE", NAMESPACE, status(409, "Conflict", "Precondition failed"))
    begun = time.monotonic()
    with pytest.raises(OcmError) as found:
        cluster.delete(place("Namespace", name="ocm-ada"), LABELS, seconds=0.1, report=lambda _words: None)
    assert found.value.code == "timeout"
    assert time.monotonic() - begun < 5


def test_lines_of_a_log_are_cut_and_end_as_they_ended(
    cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{NAMESPACE}/pods/gateway-0/log?container=gateway"
    monkeypatch.setattr(module, "_MAX_LINE", 5)
    server.answer("GET", path, Answer(b"one\n\nlong enough\n\xff\x00\nlast"))
    lines = list(cluster.log("ocm-ada", "gateway-0", "gateway"))
    assert lines == [b"one", b"", b"long ", b"\xff\x00", b"last"]


def test_a_log_is_asked_for_as_the_api_has_it(cluster: Cluster, server: ApiServer) -> None:
    path = (
        f"{NAMESPACE}/pods/gateway-0/log?container=gateway&follow=true&timestamps=true&previous=true"
        "&tailLines=0&sinceSeconds=60"
    )
    server.answer("GET", path, Answer(b""))
    asked = cluster.log(
        *("ocm-ada", "gateway-0", "gateway"),
        follow=True,
        tail=0,
        since_seconds=60,
        timestamps=True,
        previous=True,
    )
    assert list(asked) == []
    assert server.paths() == [f"GET {path}"]


def test_a_long_line_that_comes_in_parts_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_LINE", 5)
    assert list(module._lines([b"ab", b"cd", b"ef", b"gh\nxyz", b"", b"12345\n"])) == [b"abcde", b"xyz12"]


def test_rights_that_are_missing_are_those_that_the_server_does_not_give(
    cluster: Cluster, server: ApiServer
) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.answer("POST", path, Answer({"status": {"allowed": False}}, 201))
    wanted = [Right("list", f"kind{number}") for number in range(25)]
    assert cluster.missing(wanted) == tuple(wanted)
    for given in ({}, {"status": {"allowed": "yes"}}):
        server.answer("POST", path, Answer(given, 201))
        assert cluster.missing(wanted[:1]) == tuple(wanted[:1])
    server.answer("POST", path, Answer({"status": {"allowed": True}}, 201))
    assert cluster.missing(wanted) == ()
    resources = [one.body["spec"]["resourceAttributes"]["resource"] for one in server.asked]
    assert sorted(resources[:25]) == sorted(one.resource for one in wanted)


@pytest.mark.parametrize(
    ("classes", "default"),
    [
        ([], None),
        ([("a", "2026-01-01T00:00:00Z", {})], None),
        ([("a", "2026-01-01T00:00:00Z", {"storageclass.kubernetes.io/is-default-class": "false"})], None),
        ([("a", "2026-01-01T00:00:00Z", {"storageclass.beta.kubernetes.io/is-default-class": "true"})], "a"),
        (
            [
                ("a", "2026-01-02T00:00:00Z", {"storageclass.kubernetes.io/is-default-class": "true"}),
                ("b", "2026-01-01T00:00:00Z", {"storageclass.kubernetes.io/is-default-class": "true"}),
                ("c", "2026-01-03T00:00:00Z", {}),
            ],
            "a",
        ),
    ],
)
def test_the_default_storage_class_is_the_newest_that_says_so(
    cluster: Cluster, server: ApiServer, classes: list[tuple[str, str, dict[str, str]]], default: str | None
) -> None:
    items = [
        {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}}
        for name, made, annotations in classes
    ]
    server.answer("GET", "/apis/storage.k8s.io/v1/storageclasses?limit=500", Answer({"items": items}))
    assert cluster.default_storage_class() == default
