"""The pod in which sessions run while a gateway's does not: that pod as it is, but for the gateway in it.

It has the same volumes in the same places, the same variables, and reaches what the gateway reaches. It does
nothing by itself, and the cluster ends it after its time: also where nobody is left to remove it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from openclaw_ocm.backends.kubernetes import places

if TYPE_CHECKING:
    from openclaw_ocm.backends.kubernetes.manifests import Object

WAIT = ("/bin/sleep", "infinity")
# Sessions are ended before. Not 0: the cluster would take a pod for gone before its volume is free.
_GRACE_SECONDS = 5
# Of a gateway that is asked how it is, and found by others.
_OF_GATEWAY = ("ports", "startupProbe", "readinessProbe", "livenessProbe")


def session_pod(stateful_set: Object, *, seconds: int) -> Object:
    """Return the pod for sessions of an instance with that StatefulSet, as OCM makes it.

    It is there for so many seconds at the most.
    """
    spec = deepcopy(stateful_set["spec"]["template"]["spec"])
    for container in spec["containers"]:
        if container["name"] == places.GATEWAY:
            container["command"] = [*WAIT]
            for name in _OF_GATEWAY:
                container.pop(name, None)
    return pod_beside(stateful_set, places.SESSION, spec, seconds=seconds)


def pod_beside(stateful_set: Object, name: str, spec: Object, *, seconds: int) -> Object:
    """Return a pod beside the gateway's, which the cluster ends after so many seconds."""
    metadata = stateful_set["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {**metadata["labels"], places.COMPONENT: name},
        },
        "spec": {
            **spec,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": _GRACE_SECONDS,
        },
    }
