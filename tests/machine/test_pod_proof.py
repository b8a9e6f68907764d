"""Pods of a real cluster are proved: one that is as it should be, and those that were given more."""

from __future__ import annotations

import copy
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.cluster.cluster import SERVER, Cluster
from tests.cluster.gateways import Gateway, build_image, deploy, gateway, in_place, model, push_image
from tests.cluster.plugin import enforcing
from tests.machine.nspawn import MachineError

from openclaw_ocm.backends.kubernetes.network_check import (
    Enforcement,
    Trial,
    denial,
    in_words,
    leftovers,
    trial_objects,
)
from openclaw_ocm.backends.kubernetes.network_trial import Patience, find_out
from openclaw_ocm.backends.kubernetes.places import GATEWAY, POD
from openclaw_ocm.backends.kubernetes.pod_places import near_places, server_place
from openclaw_ocm.backends.kubernetes.pod_proof import Grounds, Proof, prove
from openclaw_ocm.backends.protocol import Observed
from openclaw_ocm.core.status import Activity, Process
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs

from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OWNER = "tests"
RUNNING = Process(activity=Activity.RUNNING, installed=True, autostart=True, elsewhere=True)
SLEEP = ["/bin/sleep", "3600"]
NOT_ENFORCED = Enforcement(ingress=False, egress=False)


class Asked:
    """A cluster as the check asks it, and programs in its pods as the proof runs them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def apply(self, objects: Sequence[dict[str, Any]]) -> None:
        # One after the other: what lies in a namespace is not looked at before that is there.
        for one in objects:
            self.cluster.apply(one)

    def get(self, kind: str, name: str, *, namespace: str) -> dict[str, Any] | None:
        found = self.cluster.get(kind, f"--field-selector=metadata.name={name}", f"--namespace={namespace}")
        return found["items"][0] if found["items"] else None

    def delete(self, kind: str, name: str, *, namespace: str | None) -> None:
        where = [] if namespace is None else [f"--namespace={namespace}"]
        self.cluster.kubectl("delete", kind, name, *where, "--ignore-not-found", "--wait=false")

    def run(self, namespace: str, pod: str, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        assert given == b""
        try:
            said = self.cluster.kubectl("exec", f"--namespace={namespace}", pod, "--", *argv)
        except MachineError as error:
            raise OcmError("the program in the pod failed", details=(str(error),)) from error
        return said.encode()[:limit]


class Made(NamedTuple):
    cluster: Cluster
    image: str
    first: Gateway
    second: Gateway


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Made]:
    """Run an instance, and make a second one whose pods are those of the tests."""
    image = push_image(cluster, build_image())
    first, second = gateway("eve", image), gateway("fay", image, port=19021)
    with model(cluster), in_place(cluster, first, second):
        deploy(cluster, first)
        cluster.apply(*second.objects(started=False))
        yield Made(cluster, image, first, second)


def template_of(one: Gateway) -> dict[str, Any]:
    template: dict[str, Any] = copy.deepcopy(one.objects()[-1]["spec"]["template"])
    return template


def proof(made: Made, one: Gateway, pod: str, template: dict[str, Any], known: Enforcement | None) -> Proof:
    cluster, where = made.cluster, f"--namespace={one.namespace}"
    seen = cluster.get("pod", pod, where)
    wanted = tuple(each for each in one.objects() if each["kind"] == "NetworkPolicy")
    address, _, port = SERVER.removeprefix("https://").partition(":")
    near = near_places(
        seen,
        pods=cluster.get("pods", "--all-namespaces", "--selector=ocm.dev/instance")["items"],
        nodes=cluster.get("nodes")["items"],
        server=server_place(f"{address} {port}"),
    )
    policies = cluster.get("networkpolicies", where)["items"]
    grounds = Grounds(
        pod=seen, policies=policies, template=template, wanted=wanted, places=near, enforcement=known
    )

    def run(argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        return Asked(cluster).run(one.namespace, pod, argv, given, limit)

    found = prove(run, Observed(record=one.record, process=RUNNING), grounds)
    print(pod, *found.violations, *found.gaps, sep="\n  ")
    return found


def test_a_gateway_is_proved_and_what_the_plugin_leaves_open_is_told(made: Made) -> None:
    found = proof(made, made.first, POD, template_of(made.first), NOT_ENFORCED)
    assert found.violations == ()
    gaps = "\n".join(found.gaps)
    for place in ("the API server at 10.96.0.1:443", "the API server at 10.240.0.1:6443"):
        assert f"{place} is reached, which its network policies forbid" in gaps
    assert "the kubelet of its node at 10.240.0.1" in gaps
    assert "the kubelet of another node at 10.240.0.1" in gaps
    assert "no box can be made for sessions other than main: " in gaps


def test_where_policies_are_known_to_be_kept_to_the_same_is_a_violation(made: Made) -> None:
    known = Enforcement(ingress=True, egress=True)
    found = proof(made, made.first, POD, template_of(made.first), known)
    assert sorted(one.partition(" at ")[0] for one in found.violations) == [
        "a process inside reaches the API server",
        "a process inside reaches the API server",
        "a process inside reaches the kubelet of another node",
    ]
    assert "the kubelet of its node" in "\n".join(found.gaps)


def test_a_policy_that_somebody_edits_is_found(made: Made) -> None:
    where = f"--namespace={made.first.namespace}"
    made.cluster.kubectl("delete", "networkpolicy", "default-deny", where)
    patch = '[{"op": "add", "path": "/spec/ingress", "value": [{}]}]'
    made.cluster.kubectl("patch", "networkpolicy", GATEWAY, where, "--type=json", f"--patch={patch}")
    found = proof(made, made.first, POD, template_of(made.first), NOT_ENFORCED)
    assert found.violations == (
        "its network policy default-deny is gone",
        "its network policy gateway is another than OCM made",
    )
    made.cluster.kubectl("delete", "networkpolicy", GATEWAY, where)
    made.cluster.apply(*(one for one in made.first.objects() if one["kind"] == "NetworkPolicy"))
    assert proof(made, made.first, POD, template_of(made.first), NOT_ENFORCED).violations == ()


def context(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["containers"][0]["securityContext"]
    return found


def with_directory(spec: dict[str, Any]) -> None:
    spec["volumes"].append({"name": "node", "hostPath": {"path": "/etc"}})
    spec["containers"][0]["volumeMounts"].append({"name": "node", "mountPath": "/node", "readOnly": True})


def privileged(spec: dict[str, Any]) -> None:
    context(spec).update(privileged=True, allowPrivilegeEscalation=True)
    del context(spec)["capabilities"]


def as_root(spec: dict[str, Any]) -> None:
    context(spec).update(runAsUser=0, runAsGroup=0, runAsNonRoot=False)


def with_token(spec: dict[str, Any]) -> None:
    spec["automountServiceAccountToken"] = True


# What is done to a pod, then what the cluster says of it, and what a process in it says.
SABOTAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "plain": (lambda _: None, "", ""),
    "capability": (
        lambda spec: context(spec)["capabilities"].update(add=["NET_RAW"]),
        "its container gateway has capabilities: ['NET_RAW']",
        "a process inside has bounding capabilities",
    ),
    "writable": (
        lambda spec: context(spec).update(readOnlyRootFilesystem=False),
        "its container gateway can write its root",
        "the root inside is not mounted read-only",
    ),
    "token": (
        with_token,
        "its pod is given a token for the API server",
        "a process inside has a token for the API server at /run/secrets/kubernetes.io/serviceaccount/token",
    ),
    "directory": (
        with_directory,
        "its pod has a directory of its node as the volume node: /etc",
        "is mounted at /node, which the pod is not given",
    ),
    "unfiltered": (
        lambda spec: spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        "its container gateway has no filter of system calls",
        "a process inside has no system call filter",
    ),
    "escalation": (
        lambda spec: context(spec).update(allowPrivilegeEscalation=True),
        "its container gateway may gain new privileges",
        "a process inside may gain new privileges",
    ),
    "root": (
        as_root,
        "its container gateway may run as root",
        "a process inside has another user than 1000: 0",
    ),
    "privileged": (
        privileged,
        "its container gateway is privileged",
        "a process inside has devices of the node: /dev/",
    ),
    "processes": (
        lambda spec: spec.update(hostPID=True, shareProcessNamespace=False),
        "its pod shares the processes of its node",
        "",
    ),
    "network": (lambda spec: spec.update(hostNetwork=True), "its pod shares the network of its node", ""),
}


@pytest.fixture(scope="module")
def sabotaged(made: Made) -> Made:
    """Make a pod for each way in which one can have more, of the second instance's template."""
    for name, (change, _, _) in SABOTAGE.items():
        template = sleeping(made)
        change(template["spec"])
        metadata = {**template["metadata"], "name": name, "namespace": made.second.namespace}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        made.cluster.apply(pod)
    made.cluster.kubectl(
        *("wait", f"--namespace={made.second.namespace}", "--for=condition=Ready", "--timeout=180s"),
        *(f"pod/{name}" for name in SABOTAGE),
        timeout=200,
    )
    return made


def sleeping(made: Made) -> dict[str, Any]:
    """Return the template of the second instance, with a gateway that takes no memory."""
    template = template_of(made.second)
    container = template["spec"]["containers"][0]
    container["command"] = SLEEP
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        del container[kind]
    template["spec"]["terminationGracePeriodSeconds"] = 1
    return template


@pytest.mark.parametrize("name", SABOTAGE)
def test_what_gives_a_pod_more_is_found_from_outside_and_from_within(sabotaged: Made, name: str) -> None:
    found = proof(sabotaged, sabotaged.second, name, sleeping(sabotaged), NOT_ENFORCED)
    _, outside, inside = SABOTAGE[name]
    told = "\n".join(found.violations)
    assert outside in told
    assert inside in told
    assert bool(found.violations) is bool(outside)


def trial(made: Made) -> Trial:
    listen = programs.text("listen.py")
    return Trial(token=secrets.token_hex(4), image=made.image, owner=OWNER, owned_by=OWNER, listen=listen)


def namespaces(made: Made) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made.cluster.get("namespaces")["items"]
    return found


def is_gone(made: Made, namespace: str) -> bool:
    return namespace not in [one["metadata"]["name"] for one in namespaces(made)]


def test_that_the_plugin_here_keeps_to_no_policy_is_found_out(made: Made) -> None:
    asked = trial(made)
    found = find_out(Asked(made.cluster), asked, Patience(policy=10))
    assert found == NOT_ENFORCED
    assert in_words(found).startswith("NetworkPolicy is not enforced by this cluster's network plugin")
    wait_for(lambda: is_gone(made, asked.namespace), 60, "the end of the namespace")


def test_that_one_keeps_to_them_is_found_out(made: Made) -> None:
    asked = trial(made)
    Asked(made.cluster).apply(trial_objects(asked)[:1])
    with enforcing(made.cluster, asked.namespace):
        found = find_out(Asked(made.cluster), asked)
    assert found == Enforcement(ingress=True, egress=True)


def test_an_image_that_is_not_there_is_no_proof_of_anything(made: Made) -> None:
    missing = replace(trial(made), image=f"{made.image}-not-there")
    found = find_out(Asked(made.cluster), missing, Patience(pods=15))
    assert (found.ingress, found.egress) == (None, None)
    assert found.reason
    assert found.reason.startswith("the listener of the check does not run: ")


def test_what_a_killed_check_leaves_is_known_as_such_once_its_pods_are_over(made: Made) -> None:
    asked = trial(made)
    Asked(made.cluster).apply([*trial_objects(asked)[:2], denial(asked, "Ingress")])
    (one,) = (each for each in namespaces(made) if each["metadata"]["name"] == asked.namespace)
    now = 1e11
    assert asked.namespace in leftovers([one], OWNER, now=now)
    assert leftovers([one], OWNER, now=0.0) == ()
    assert leftovers([one], "another", now=now) == ()
