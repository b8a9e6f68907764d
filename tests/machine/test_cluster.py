"""The cluster that tests run on: what it is, and what it does not do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.cluster.cluster import NODES, PAUSE, Cluster, is_true
from tests.machine.nspawn import MachineError

from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# Alone in its namespace each, as instances are.
SERVER, CLIENT = "first", "second"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as started:
        try:
            yield started
        finally:
            print(started.log())


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Cluster:
    """Run one pod with a volume on each node."""
    for name, node, script in (
        (SERVER, NODES[0], "while :; do echo here | nc -l -p 8080; done"),
        (CLIENT, NODES[1], "sleep 3600"),
    ):
        cluster.apply(*pod_with_volume(name, node, script))
    for name in (SERVER, CLIENT):
        cluster.kubectl("wait", f"--namespace={name}", "--for=condition=Ready", "pod/one", "--timeout=60s")
    return cluster


def pod_with_volume(name: str, node: str, script: str) -> list[dict[str, Any]]:
    meta = {"namespace": name, "name": "one", "labels": {"app": name}}
    container = {
        "name": "one",
        "image": PAUSE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", f"trap exit TERM; {script} & wait $!"],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "terminationGracePeriodSeconds": 1,
                "containers": [container],
                "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": "one"}}],
            },
        },
    ]


def test_two_nodes_and_the_api_server_say_which_kubernetes_they_are(cluster: Cluster) -> None:
    version = json.loads(cluster.kubectl("version", "--output=json"))
    assert version["serverVersion"]["gitVersion"] == "v1.20.2"
    nodes = cluster.get("nodes")["items"]
    assert [(one["metadata"]["name"], one["status"]["nodeInfo"]["kubeletVersion"]) for one in nodes] == [
        (name, "v1.20.2") for name in NODES
    ]


def test_pods_run_on_both_nodes_with_volumes_that_outlive_them(pods: Cluster) -> None:
    where = {name: pods.get("pod", "one", f"--namespace={name}") for name in (SERVER, CLIENT)}
    assert [where[name]["spec"]["nodeName"] for name in (SERVER, CLIENT)] == list(NODES)
    script = "echo kept >/state/note"
    pods.kubectl("exec", f"--namespace={CLIENT}", "one", "--", "sh", "-c", script)
    pods.kubectl("delete", "pod", "one", f"--namespace={CLIENT}")
    pods.apply(*pod_with_volume(CLIENT, NODES[1], "sleep 3600"))
    pods.kubectl("wait", f"--namespace={CLIENT}", "--for=condition=Ready", "pod/one", "--timeout=60s")
    assert pods.kubectl("exec", f"--namespace={CLIENT}", "one", "--", "cat", "/state/note") == "kept\n"


def test_a_network_policy_is_taken_and_not_enforced(pods: Cluster) -> None:
    address = pods.get("pod", "one", f"--namespace={SERVER}")["status"]["podIP"]
    ask = ("exec", f"--namespace={CLIENT}", "one", "--", "sh", "-c", f"nc -w 5 {address} 8080 </dev/null")
    assert pods.kubectl(*ask) == "here\n"
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    meta = {"name": "deny", "namespace": SERVER}
    pods.apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": deny}
    )
    assert pods.kubectl(*ask) == "here\n"


def test_the_api_server_knows_kinds_that_are_added(cluster: Cluster) -> None:
    """The reflect2 that Kubernetes 1.20 brings breaks here when it is built with a newer Go."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    cluster.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.cluster.test"},
            "spec": {
                "group": "cluster.test",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [version],
            },
        }
    )
    cluster.kubectl("wait", "--for=condition=Established", "crd/things.cluster.test", "--timeout=30s")
    thing = {
        "apiVersion": "cluster.test/v1",
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": "default"},
    }
    wait_for(lambda: applied(cluster, thing), 30, "the new kind")


def applied(cluster: Cluster, document: dict[str, Any]) -> bool:
    try:
        cluster.apply(document)
    except MachineError:
        return False
    return True


def test_a_node_that_goes_away_is_missed(cluster: Cluster) -> None:
    """Last: it does not come back."""
    cluster.nodes[NODES[1]].end()
    wait_for(lambda: not is_ready(cluster, NODES[1]), 60, "the node to be missed")
    assert is_ready(cluster, NODES[0])


def is_ready(cluster: Cluster, node: str) -> bool:
    return is_true(cluster.get("node", node)["status"]["conditions"], "Ready")
