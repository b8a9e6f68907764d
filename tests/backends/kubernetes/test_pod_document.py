"""What a cluster says of a pod: one as it was made, and one that somebody gave more."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden import CASES
from tests.backends.kubernetes.pods import pod, policies, template

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.pod_document import (
    notes,
    policy_notes,
    policy_violations,
    violations,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)


def found(document: object, case: str = "plain") -> list[str]:
    return list(violations(document, template(case)))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the pod after a change of its spec."""
    document = pod()
    change(document["spec"])
    return document


def gateway(spec: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = spec["containers"][0]
    return container


def context(spec: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = gateway(spec)["securityContext"]
    return container


@pytest.mark.parametrize("case", CASES)
def test_a_pod_as_it_was_made_and_admitted_has_no_violation(case: str) -> None:
    assert found(pod(case), case) == []
    assert list(notes(pod(case), template(case))) == []
    assert list(policy_violations(list(policies(case)), policies(case))) == []
    assert list(policy_notes(list(policies(case)), policies(case))) == []


SABOTAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "network": (lambda spec: spec.update(hostNetwork=True), "its pod shares the network of its node"),
    "processes": (lambda spec: spec.update(hostPID=True), "its pod shares the processes of its node"),
    "memory": (lambda spec: spec.update(hostIPC=True), "its pod shares the shared memory of its node"),
    "account": (
        lambda spec: spec.update(serviceAccountName="admin"),
        "its pod acts as the service account admin, not gateway",
    ),
    "token": (lambda spec: spec.pop("automountServiceAccountToken"), "is given a token for the API server"),
    "claims": (lambda spec: spec.update(resourceClaims=[{"name": "gpu"}]), "is given devices of its node"),
    "user": (lambda spec: spec["securityContext"].update(runAsUser=0), "another runAsUser than OCM gave it"),
    "group": (lambda spec: spec["securityContext"].update(fsGroup=0), "another fsGroup than OCM gave it: 0"),
    "root": (lambda spec: spec["securityContext"].pop("runAsNonRoot"), "another runAsNonRoot"),
    "filter": (
        lambda spec: spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        "another seccompProfile than OCM gave it",
    ),
    "groups": (lambda spec: spec["securityContext"].update(supplementalGroups=[6]), "in further groups: [6]"),
    "sysctls": (
        lambda spec: spec["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
        "has other settings of the kernel",
    ),
    "apparmor": (
        lambda spec: spec["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
        "is freed from AppArmor",
    ),
    "selinux": (
        lambda spec: context(spec).update(seLinuxOptions={"type": "spc_t"}),
        "gateway has a label of SELinux of its own: spc_t",
    ),
    "privileged": (lambda spec: context(spec).update(privileged=True), "container gateway is privileged"),
    "escalation": (
        lambda spec: context(spec).pop("allowPrivilegeEscalation"),
        "container gateway may gain new privileges",
    ),
    "capability": (
        lambda spec: context(spec)["capabilities"].update(add=["NET_RAW"]),
        "container gateway has capabilities: ['NET_RAW']",
    ),
    "capabilities": (lambda spec: context(spec).pop("capabilities"), "has capabilities: the usual ones"),
    "writable": (
        lambda spec: context(spec).update(readOnlyRootFilesystem=False),
        "container gateway can write its root",
    ),
    "proc": (lambda spec: context(spec).update(procMount="Unmasked"), "gateway sees all of /proc"),
    "own user": (lambda spec: context(spec).update(runAsUser=0), "gateway may run as root"),
    "another user": (lambda spec: context(spec).update(runAsUser=1001), "gateway has another runAsUser"),
    "own filter": (
        lambda spec: context(spec).update(seccompProfile={"type": "Unconfined"}),
        "gateway has no filter of system calls",
    ),
    "other filter": (
        lambda spec: context(spec).update(seccompProfile={"type": "Localhost", "localhostProfile": "x"}),
        "gateway has another seccompProfile than OCM gave it",
    ),
    "image": (lambda spec: gateway(spec).update(image="evil:1"), "is made from another image: evil:1"),
    "program": (lambda spec: gateway(spec)["command"].append("x"), "runs another program than OCM's"),
    "arguments": (lambda spec: gateway(spec).update(args=["x"]), "runs another program than OCM's"),
    "prepared": (
        lambda spec: spec["initContainers"][0].update(command=["/bin/sh"]),
        "its container prepare runs another program than OCM's",
    ),
    "mount": (
        lambda spec: gateway(spec)["volumeMounts"].append({"name": "state", "mountPath": "/other"}),
        "gateway has other volumes or in other places",
    ),
    "propagation": (
        lambda spec: gateway(spec)["volumeMounts"][0].update(mountPropagation="Bidirectional"),
        "gateway has other volumes or in other places",
    ),
    "whole volume": (
        lambda spec: gateway(spec)["volumeMounts"][0].pop("subPath"),
        "gateway has other volumes or in other places",
    ),
    "disk": (
        lambda spec: gateway(spec).update(volumeDevices=[{"name": "state", "devicePath": "/dev/x"}]),
        "gateway is given a disk as a device",
    ),
    "port": (
        lambda spec: gateway(spec)["ports"][0].update(hostPort=80),
        "gateway has a port of its node: 80",
    ),
    "device": (
        lambda spec: gateway(spec)["resources"]["limits"].update({"nvidia.com/gpu": "1"}),
        "gateway is given something of its node: nvidia.com/gpu",
    ),
    "directory": (
        lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/etc", "type": ""}}),
        "its pod has a directory of its node as the volume x: /etc",
    ),
    "replaced volume": (
        lambda spec: spec["volumes"].__setitem__(0, {"name": "state", "hostPath": {"path": "/"}}),
        "its volume state is another than OCM gave it",
    ),
    "another claim": (
        lambda spec: spec["volumes"][0]["persistentVolumeClaim"].update(claimName="others"),
        "its volume state is another than OCM gave it",
    ),
    "lost volume": (lambda spec: spec["volumes"].pop(0), "its pod has lost the volume state"),
    "projected token": (
        lambda spec: spec["volumes"].append(
            {
                "name": "kube-api-access-x",
                "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {}}]},
            }
        ),
        "its pod has a token for the API server or others as the volume kube-api-access-x",
    ),
    "other volume": (
        lambda spec: spec["volumes"].append({"name": "x", "nfs": {"server": "a", "path": "/"}}),
        "its pod has a volume that OCM did not give it: x",
    ),
    "without a gateway": (lambda spec: spec.update(containers=[]), "its pod has no container gateway"),
    "debugged": (
        lambda spec: spec.update(ephemeralContainers=[{"name": "debug", "image": "busybox"}]),
        "its container debug may gain new privileges",
    ),
    "sidecar": (
        lambda spec: spec["containers"].append(
            {
                "name": "proxy",
                "image": "mesh:1",
                "securityContext": RESTRICTED,
                "volumeMounts": [{"name": "state", "mountPath": "/x"}],
            }
        ),
        "its container proxy is not OCM's and sees the volume state",
    ),
}


@pytest.mark.parametrize(("change", "words"), SABOTAGE.values(), ids=SABOTAGE)
def test_what_gives_a_pod_more_is_found(change: Callable[[dict[str, Any]], object], words: str) -> None:
    told = found(changed(change))
    assert any(words in one for one in told), told


@pytest.mark.parametrize("document", [None, {}, [], "pod", {"spec": []}, {"spec": {}}])
def test_no_pod_is_no_proof(document: object) -> None:
    assert found(document) == ["the cluster shows no pod of the gateway"]


def test_who_is_no_user_by_name_or_number_may_be_root_unless_that_is_refused() -> None:
    without_user = changed(lambda spec: spec["securityContext"].pop("runAsUser"))
    assert found(without_user) == ["its pod has another runAsUser than OCM gave it: none"]
    del without_user["spec"]["securityContext"]["runAsNonRoot"]
    assert [one for one in found(without_user) if one.endswith(" may run as root")] == [
        "its container prepare may run as root",
        "its container gateway may run as root",
    ]


def test_a_pod_that_policies_do_not_know_is_found() -> None:
    document = pod()
    del document["metadata"]["labels"]["app.kubernetes.io/component"]
    assert found(document) == [
        "its pod has lost the label app.kubernetes.io/component, by which network policies know it"
    ]


def test_an_annotation_that_frees_from_apparmor_is_found() -> None:
    document, of_container = pod(), "container.apparmor.security.beta.kubernetes.io/gateway"
    annotations = document["metadata"]["annotations"]
    annotations |= {of_container: "runtime/default", "example.com/mode": "unconfined"}
    assert found(document) == []
    annotations[of_container] = "unconfined"
    assert found(document) == ["its container gateway is freed from AppArmor"]


def test_what_somebody_adds_without_rights_is_told_and_no_violation() -> None:
    document = pod()
    spec = document["spec"]
    spec["containers"].append({"name": "proxy", "image": "mesh:1", "securityContext": RESTRICTED})
    spec["initContainers"].append({"name": "before", "image": "mesh:1", "securityContext": RESTRICTED})
    spec["volumes"].append({"name": "certificates", "projected": {"sources": [{"configMap": {}}]}})
    spec["volumes"].append({"name": "mesh", "emptyDir": {"medium": "Memory"}})
    spec["runtimeClassName"] = "gvisor"
    spec["hostUsers"] = False
    assert found(document) == []
    assert list(notes(document, template())) == [
        "a container that is not OCM's runs in its pod: before, of mesh:1",
        "a container that is not OCM's runs in its pod: proxy, of mesh:1",
        "its pod is run by the cluster's runtime class gvisor",
    ]


def test_a_pod_of_a_former_manifest_has_its_own_program_and_no_other_rights() -> None:
    document, wanted = pod(), template()
    gateway(document["spec"]).update(image="former:1", command=["/usr/bin/node", "former"])
    document["metadata"]["annotations"][places.MANIFEST] = "1"
    assert len(list(violations(document, wanted))) == 2, "what says nothing of its manifest is not former"
    wanted["metadata"]["annotations"][places.MANIFEST] = "2"
    assert list(violations(document, wanted)) == []
    context(document["spec"]).update(privileged=True)
    assert list(violations(document, wanted)) == ["its container gateway is privileged"]
    wanted["metadata"]["annotations"][places.MANIFEST] = "1"
    assert len(list(violations(document, wanted))) == 3


def test_policies_that_are_gone_or_others_are_found() -> None:
    made = policies()
    assert list(policy_violations([], made)) == [
        "its network policy default-deny is gone",
        "its network policy gateway is gone",
    ]
    assert len(list(policy_violations(None, made))) == 2
    edited = copy.deepcopy(list(made))
    edited[0]["spec"]["policyTypes"] = ["Ingress"]
    edited[1]["spec"]["egress"].append({})
    assert list(policy_violations(edited, made)) == [
        "its network policy default-deny is another than OCM made",
        "its network policy gateway is another than OCM made",
    ]


def test_a_policy_that_selects_nothing_is_not_taken_for_one_that_selects_all() -> None:
    edited = copy.deepcopy(list(policies()))
    del edited[0]["spec"]["podSelector"]
    assert list(policy_violations(edited, policies())) == [
        "its network policy default-deny is another than OCM made"
    ]


def test_a_policy_of_others_is_told_where_it_opens_more() -> None:
    def policy(name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"metadata": {"name": name}, "spec": {"podSelector": {}, **spec}}

    others = [policy("closed", policyTypes=["Ingress"]), policy("open", egress=[{}])]
    assert list(policy_notes([*policies(), *others], policies())) == [
        "the network policy open, which is not OCM's, opens more"
    ]


@given(JSON)
def test_whatever_is_said_is_judged(document: object) -> None:
    assert found(document)
    assert found({"spec": document})
    list(notes({"spec": document}, template()))
    list(policy_notes(document, policies()))
    assert list(policy_violations(document, policies()))


@given(st.data(), JSON)
def test_whatever_stands_in_the_place_of_a_part_is_judged(data: st.DataObject, value: object) -> None:
    document: Any = pod()
    part = document
    for _ in range(data.draw(st.integers(0, 6))):
        keys: list[Any] = list(part) if isinstance(part, dict) else list(range(len(part)))
        below = [key for key in keys if isinstance(part[key], (dict, list)) and part[key]]
        if not below:
            break
        part = part[data.draw(st.sampled_from(below))]
    key = data.draw(st.sampled_from(list(part) if isinstance(part, dict) else list(range(len(part)))))
    part[key] = value
    list(violations(document, template()))
    list(notes(document, template()))
