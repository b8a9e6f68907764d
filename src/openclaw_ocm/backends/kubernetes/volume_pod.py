"""The pod that has the volume of an instance while its gateway's has not: in one of both a state is asked.

It does nothing: what is asked of a state is run in it (volume.py). It has the image, the rights and the user
of the gateway's, whose component it is not: so no Service leads to it, and no policy lets it reach anything.

A volume is for one node at a time. Who starts the gateway therefore removes this pod first, and waits until
it is gone. Where somebody else starts it meanwhile nothing is lost: on the same node both have the volume,
and what is asked of a state is made for one that is being written; on another the cluster has the gateway
wait, until the deadline of this pod at the latest. Where a pod of the gateway is there but does not run, as
one does that fails again and again, this one comes to the same node.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.session_pod import WAIT, pod_beside
from openclaw_ocm.core.openclaw.document import as_object, lookup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.backends.kubernetes.manifests import Object

# Of the spec of the gateway's pod, and of its container there.
_SAME = (
    *("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "shareProcessNamespace"),
    *("securityContext", "imagePullSecrets"),
)
_SAME_INSIDE = ("image", "imagePullPolicy", "securityContext")
_AMOUNTS = {
    "requests": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
    "limits": {"memory": "512Mi", "ephemeral-storage": "64Mi"},
}
_MOST_CONTAINERS = 20


def stand_in(stateful_set: Object, *, seconds: int) -> Object:
    """Return the pod for an instance with that StatefulSet, as OCM makes it.

    It is there for so many seconds at the most: so it goes as well where nobody is left to remove it.
    """
    metadata, other = stateful_set["metadata"], stateful_set["spec"]["template"]["spec"]
    gateway = next(one for one in other["containers"] if one["name"] == places.GATEWAY)
    # It fits the pod itself as well: so where no other pod is that it fits, it is no hindrance.
    beside = {
        "labelSelector": {"matchLabels": {places.INSTANCE: metadata["labels"][places.INSTANCE]}},
        "topologyKey": "kubernetes.io/hostname",
    }
    container = {
        "name": places.STAND_IN,
        **{key: gateway[key] for key in _SAME_INSIDE},
        "command": [*WAIT],
        "resources": _AMOUNTS,
        "volumeMounts": [{"name": places.STATE, "mountPath": str(places.VOLUME_ROOT)}],
    }
    same = {key: other[key] for key in _SAME if key in other}
    made = pod_beside(stateful_set, places.STAND_IN, same, seconds=seconds)
    made["spec"] |= {
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [beside]}},
        "containers": [container],
        "volumes": [one for one in other["volumes"] if one["name"] == places.STATE],
    }
    return deepcopy(made)


def running_in(pods: Iterable[object]) -> tuple[str, str] | None:
    """Return the pod and the container in which a state can be asked now, None where there is neither.

    `pods` are those of the instance's namespace, as the API server gives them.
    """
    told = [*map(as_object, pods)]
    for name, inner in ((places.POD, places.GATEWAY), (places.STAND_IN, places.STAND_IN)):
        if any(lookup(pod, "metadata.name") == name and runs(pod, inner) for pod in told):
            return name, inner
    return None


def runs(pod: dict[str, Any], name: str) -> bool:
    """Tell whether a container of a pod runs, and goes on to do so for a while."""
    # One that is on its way out may be gone in the middle of an answer. The gateway's takes minutes for that.
    ends = lookup(pod, "metadata.deletionTimestamp") is not None
    if ends and lookup(pod, "metadata.name") != places.POD:
        return False
    statuses = lookup(pod, "status.containerStatuses")
    told = map(as_object, statuses[:_MOST_CONTAINERS] if isinstance(statuses, list) else ())
    return any(one.get("name") == name and lookup(one, "state.running") is not None for one in told)
