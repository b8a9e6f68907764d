"""How what an instance has in a cluster ends: its pod, and all else of its manifest but its state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from openclaw_ocm.backends.kubernetes import places, watched
from openclaw_ocm.backends.kubernetes.kinds import place
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.status import Activity
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.backends.kubernetes.cluster import Cluster
    from openclaw_ocm.backends.kubernetes.manifest import Manifest
    from openclaw_ocm.core.names import InstanceName

# A node that is silent keeps a pod for as long as it likes: what it takes to stop, and a little more.
_STOP_SECONDS = STOP_TIMEOUT_SECONDS + 60.0
# A namespace takes minutes where much is to go, and on a busy cluster.
_END_SECONDS = 300.0
_POLL_SECONDS = 0.5
_BESIDE = (places.SESSION, places.STAND_IN)


def await_end(cluster: Cluster, manifests: Mapping[InstanceName, Manifest]) -> None:
    """Wait until none of these has a pod; raises `OcmError` for one that still has after its time."""
    deadline = time.monotonic() + _STOP_SECONDS
    while True:
        seen = watched.observe(cluster, manifests, now=time.time())
        late = [name for name, process in seen.items() if process.activity is not Activity.STOPPED]
        if not late:
            return
        if time.monotonic() > deadline:
            reason = seen[late[0]].reason or "its pod is still there"
            message = f"{late[0]} does not stop: {reason}"
            raise OcmError(message, hint=f"ocm stop {late[0]} waits on", code="stop_late")
        time.sleep(_POLL_SECONDS)


def remove(cluster: Cluster, one: Manifest) -> None:
    """Delete what a manifest says, the last first, and the namespace only where no state is in it."""
    # They would go on without the policies.
    end_beside(cluster, one)
    made = [(found["kind"], found["metadata"]["name"]) for found in one.objects]
    for kind, name in reversed((*made, ("Secret", places.ENVIRONMENT))):
        if kind not in ("Namespace", "PersistentVolumeClaim"):
            delete(cluster, one, kind, name)
    if cluster.get("PersistentVolumeClaim", places.STATE, namespace=one.namespace) is None:
        delete(cluster, one, "Namespace", one.namespace)


def end_beside(cluster: Cluster, one: Manifest, names: Iterable[str] = _BESIDE) -> None:
    """Remove the pods that were made beside the gateway's: they hold its volume on their node."""
    for name in names:
        delete(cluster, one, "Pod", name)


def delete(
    cluster: Cluster, one: Manifest, kind: str, name: str, *, grace_seconds: int | None = None
) -> None:
    """Delete an object of an instance and wait until it is gone; nothing where it is not there."""
    where = place(kind, namespace=None if kind == "Namespace" else one.namespace, name=name)
    seconds = _STOP_SECONDS if kind == "Pod" else _END_SECONDS
    cluster.delete(where, one.labels, seconds=seconds, report=_tell_nobody, grace_seconds=grace_seconds)


def _tell_nobody(_words: str) -> None:
    """Say nothing: who waits here waits for what it is told of elsewhere."""
