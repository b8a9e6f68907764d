"""What the cluster says of a gateway's pod and of its network policies, against what OCM made.

Somebody may have edited what the pod is made from, and what admits pods to a cluster adds to each. By rights:
what neither gives the pod more than it was given nor lets somebody else in is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MAX_WORDS = 200
_SHARED = {
    "hostNetwork": "the network of its node",
    "hostPID": "the processes of its node",
    "hostIPC": "the shared memory of its node",
}
_KINDS_OF_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# What of a volume says what it holds; of an emptyDir the amounts come back spelled in another way.
_REFERENCES = {
    "persistentVolumeClaim": ("claimName",),
    "secret": ("secretName", "items"),
    "emptyDir": (),
}
# Volumes of others' containers that hold nothing of the node, and by themselves open nothing.
_HARMLESS_VOLUMES = ("emptyDir", "configMap", "secret", "downwardAPI")
_OWN_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES = "hugepages-"
# What Pod Security's `restricted` allows besides no type at all.
_TYPES_OF_SELINUX = ("", "container_t", "container_init_t", "container_kvm_t")
_FILTERS = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(pod: object, template: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what gives a pod more than the template that OCM made for it.

    `pod` is as the API server's JSON has it, None where there is none. One of a former manifest has another
    image and program until its next start: these are not looked at then, its rights are.
    """
    seen = as_object(lookup(as_object(pod), "spec"))
    if not seen:
        yield "the cluster shows no pod of the gateway"
        return
    wanted, former = template["spec"], _is_former(as_object(pod), template)
    yield from _label_violations(as_object(pod), template)
    yield from _pod_violations(seen, wanted)
    yield from _volume_violations(seen, wanted)
    yield from _annotation_violations(as_object(pod))
    for kind in _KINDS_OF_CONTAINERS:
        known = {one["name"]: one for one in wanted.get(kind, ())}
        found = [_name(one) for one in _objects(seen.get(kind))]
        for name in known:
            if name not in found:
                yield f"its pod has no container {name}"
        for one in _objects(seen.get(kind)):
            own = known.get(_name(one))
            yield from _container_violations(one, seen, own, wanted)
            if own is not None and not former:
                yield from _program_violations(one, own)


def notes(pod: object, template: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what somebody put into a pod besides, which gives the gateway no more rights."""
    seen, wanted = as_object(lookup(as_object(pod), "spec")), template["spec"]
    for kind in _KINDS_OF_CONTAINERS:
        known = {one["name"] for one in wanted.get(kind, ())}
        for one in _objects(seen.get(kind)):
            if _name(one) not in known:
                image = _words(one.get("image"))
                yield f"a container that is not OCM's runs in its pod: {_name(one)}, of {image}"
    if (runtime := seen.get("runtimeClassName")) is not None:
        yield f"its pod is run by the cluster's runtime class {_words(runtime)}"


def policy_violations(found: object, wanted: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield in words which network policies of an instance are gone or others than OCM made.

    `found` are those of its namespace, as a list of the API server's has them.
    """
    seen = {_name(as_object(one.get("metadata"))): one for one in _objects(found)}
    for policy in wanted:
        name = policy["metadata"]["name"]
        if name not in seen:
            yield f"its network policy {name} is gone"
        elif _filled(seen[name].get("spec")) != _filled(policy["spec"]):
            yield f"its network policy {name} is another than OCM made"


def policy_notes(found: object, wanted: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield in words which network policies that are not OCM's open more: what any of them allows is open."""
    known = {policy["metadata"]["name"] for policy in wanted}
    for one in _objects(found):
        name = _name(as_object(one.get("metadata")))
        if name not in known and (lookup(one, "spec.ingress") or lookup(one, "spec.egress")):
            yield f"the network policy {name}, which is not OCM's, opens more"


def _label_violations(pod: dict[str, Any], template: Mapping[str, Any]) -> Iterator[str]:
    labels = as_object(lookup(pod, "metadata.labels"))
    for key in (places.INSTANCE, places.COMPONENT):
        if labels.get(key) != template["metadata"]["labels"][key]:
            yield f"its pod has lost the label {key}, by which network policies know it"


def _pod_violations(seen: dict[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key, what in _SHARED.items():
        if seen.get(key) not in (None, False):
            yield f"its pod shares {what} ({key})"
    account = seen.get("serviceAccountName")
    if account != wanted["serviceAccountName"]:
        yield f"its pod acts as the service account {_words(account)}, not {wanted['serviceAccountName']}"
    if seen.get("automountServiceAccountToken") is not False:
        yield "its pod is given a token for the API server (automountServiceAccountToken)"
    if seen.get("resourceClaims"):
        yield "its pod is given devices of its node (resourceClaims)"
    context, known = as_object(seen.get("securityContext")), wanted["securityContext"]
    for key in ("runAsUser", "runAsGroup", "fsGroup", "runAsNonRoot", "seccompProfile"):
        if not _is_same(context.get(key), known[key]):
            yield f"its pod has another {key} than OCM gave it: {_words(context.get(key))}"
    if context.get("supplementalGroups"):
        yield f"its pod is in further groups: {_words(context['supplementalGroups'])}"
    if context.get("sysctls"):
        yield "its pod has other settings of the kernel (sysctls)"


def _annotation_violations(pod: dict[str, Any]) -> Iterator[str]:
    for key, value in as_object(lookup(pod, "metadata.annotations")).items():
        if key.startswith(_APPARMOR) and value == "unconfined":
            yield f"its container {_words(key.removeprefix(_APPARMOR))} is freed from AppArmor"


def _volume_violations(seen: dict[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    known = {volume["name"]: volume for volume in wanted["volumes"]}
    found = _objects(seen.get("volumes"))
    for name in known:
        if name not in {_name(volume) for volume in found}:
            yield f"its pod has lost the volume {name}"
    for volume in found:
        name, own = _name(volume), known.get(_name(volume))
        if own is not None:
            if not _holds_same(volume, own):
                yield f"its volume {name} is another than OCM gave it"
        elif set(volume) - {"name"} == {"hostPath"}:
            path = _words(lookup(volume, "hostPath.path"))
            yield f"its pod has a directory of its node as the volume {name}: {path}"
        elif _has_token(volume):
            yield f"its pod has a token for the API server or others as the volume {name}"
        elif not set(volume) - {"name"} <= {*_HARMLESS_VOLUMES, "projected"}:
            yield f"its pod has a volume that OCM did not give it: {name}"


def _holds_same(volume: dict[str, Any], own: Mapping[str, Any]) -> bool:
    (kind,) = set(own) - {"name"}
    if set(volume) - {"name"} != {kind}:
        return False
    source = as_object(volume[kind])
    return all(source.get(key) == own[kind].get(key) for key in _REFERENCES[kind])


def _has_token(volume: dict[str, Any]) -> bool:
    sources = lookup(volume, "projected.sources")
    known = ("secret", "configMap", "downwardAPI")
    # What is not known may be one as well, as a certificate by which the API server knows somebody is.
    return "projected" in volume and not (
        isinstance(sources, list) and all(set(as_object(one)) <= set(known) for one in sources)
    )


def _container_violations(
    one: dict[str, Any], seen: dict[str, Any], own: Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what a container may that none of OCM's may, and of one of OCM's own, what is another."""
    name = f"its container {_name(one)}"
    yield from (f"{name} {words}" for words in _rights(one, seen))
    if own is None:
        yield from (f"{name} {words}" for words in _intrusions(one, wanted))
        return
    context, known = as_object(one.get("securityContext")), own["securityContext"]
    if context.get("readOnlyRootFilesystem") is not known["readOnlyRootFilesystem"]:
        yield f"{name} can write its root (readOnlyRootFilesystem)"
    for key in ("runAsUser", "runAsGroup", "seccompProfile"):
        # What a container says goes before what its pod says.
        if key in context and not _is_same(context[key], wanted["securityContext"][key]):
            yield f"{name} has another {key} than OCM gave it: {_words(context[key])}"
    if _mounts(one) != _mounts(own):
        yield f"{name} has other volumes or in other places than OCM gave it"


def _program_violations(one: dict[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    name = f"its container {_name(one)}"
    if one.get("image") != own["image"]:
        yield f"{name} is made from another image: {_words(one.get('image'))}"
    if one.get("command") != own["command"] or one.get("args"):
        yield f"{name} runs another program than OCM's"


def _is_former(pod: dict[str, Any], template: Mapping[str, Any]) -> bool:
    """Tell whether a pod says that it is of another manifest than the template is."""
    marks = [as_object(lookup(one, "metadata.annotations")).get(places.MANIFEST) for one in (pod, template)]
    return all(isinstance(mark, str) for mark in marks) and marks[0] != marks[1]


def _rights(one: dict[str, Any], seen: dict[str, Any]) -> Iterator[str]:
    """Yield what anybody's container may that Pod Security's `restricted` forbids, or takes of its node."""
    context = as_object(one.get("securityContext"))
    around = as_object(seen.get("securityContext"))
    if context.get("privileged") not in (None, False):
        yield "is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain new privileges (allowPrivilegeEscalation)"
    capabilities = as_object(context.get("capabilities"))
    dropped, added = capabilities.get("drop"), capabilities.get("add")
    if not (isinstance(dropped, list) and "ALL" in dropped) or added:
        yield f"has capabilities: {_words(added) if added else 'the usual ones'}"
    if context.get("procMount") not in (None, "Default"):
        yield "sees all of /proc (procMount)"
    user = context.get("runAsUser", around.get("runAsUser"))
    if user == 0 or (user is None and context.get("runAsNonRoot", around.get("runAsNonRoot")) is not True):
        yield "may run as root"
    profile = as_object(context.get("seccompProfile", around.get("seccompProfile"))).get("type")
    if profile not in _FILTERS:
        yield "has no filter of system calls (seccompProfile)"
    for where in (context, around):
        if lookup(where, "appArmorProfile.type") == "Unconfined":
            yield "is freed from AppArmor"
        labels = as_object(where.get("seLinuxOptions"))
        if labels.get("type", "") not in _TYPES_OF_SELINUX or labels.get("user") or labels.get("role"):
            yield f"has a label of SELinux of its own: {_words(labels.get('type'))}"
    yield from _of_node(one)


def _of_node(one: dict[str, Any]) -> Iterator[str]:
    if one.get("volumeDevices"):
        yield "is given a disk as a device (volumeDevices)"
    for port in _objects(one.get("ports")):
        if port.get("hostPort"):
            yield f"has a port of its node: {_words(port['hostPort'])}"
    for name in as_object(lookup(one, "resources.limits")):
        if name not in _OWN_RESOURCES and not name.startswith(_HUGE_PAGES):
            yield f"is given something of its node: {_words(name)}"


def _intrusions(one: dict[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield which volumes of OCM's a container sees that is somebody else's."""
    own = {volume["name"] for volume in wanted["volumes"]}
    yield from (
        f"is not OCM's and sees the volume {_name(mount)}"
        for mount in _objects(one.get("volumeMounts"))
        if _name(mount) in own
    )


def _mounts(one: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what is mounted where in a container, each with all that is said of it."""
    # What the API server adds to each by itself.
    usual = {"readOnly": False, "recursiveReadOnly": "Disabled", "mountPropagation": "None"}
    return sorted(
        tuple(f"{key}={mount[key]}" for key in sorted(mount) if mount[key] != usual.get(key, ""))
        for mount in _objects(one.get("volumeMounts"))
    )


def _objects(value: object) -> list[dict[str, Any]]:
    """Return a list of objects, none in the place of what is no list."""
    return [as_object(one) for one in value] if isinstance(value, list) else []


def _filled(value: object) -> object:
    """Return a value without what is empty in it: that may be left out or not."""
    if isinstance(value, dict):
        kept = {key: _filled(below) for key, below in value.items()}
        # Of a selector an empty one means all.
        return {
            key: below
            for key, below in kept.items()
            if below not in ([], {}, None) or key.endswith("elector")
        }
    return [_filled(one) for one in value] if isinstance(value, list) else value


def _is_same(value: object, wanted: object) -> bool:
    """Tell whether two values are the same JSON; in Python 1 and true are equal."""
    return value == wanted and type(value) is type(wanted)


def _name(one: dict[str, Any]) -> str:
    return _words(one.get("name"))


def _words(value: object) -> str:
    return "none" if value is None else printable(str(value), limit=_MAX_WORDS)
