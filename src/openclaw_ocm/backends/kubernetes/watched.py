"""What clusters say of many gateways at once: a number of questions that does not grow with theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.observed import TOLD_OF, process_in
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.status import Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openclaw_ocm.backends.kubernetes.cluster import Cluster
    from openclaw_ocm.backends.kubernetes.manifest import Manifest
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.status import Process

# Of what these do no event says more (observed.py).
_PLAIN = (Activity.RUNNING, Activity.STOPPED, Activity.STOPPING, Activity.FAILED)


def observe(
    cluster: Cluster, manifests: Mapping[InstanceName, Manifest], *, now: float
) -> dict[InstanceName, Process]:
    """Return what a cluster says of the gateways of these manifests, which are all of it and of one owner.

    `now` is in seconds since the epoch. Raises `OcmError` where the cluster does not answer.
    """
    namespaces = {one.namespace for one in manifests.values()}
    # Of one it takes no right but those in its namespace.
    (alone,) = namespaces if len(namespaces) == 1 else (None,)
    (labels,) = {tuple(one.whose.items()) for one in manifests.values()}
    sets = _by_namespace(cluster.list("StatefulSet", dict(labels), namespace=alone), places.GATEWAY)
    pods = _by_namespace(cluster.list("Pod", dict(labels), namespace=alone), places.POD)
    found = {name: _process(one, sets, pods, (), now=now) for name, one in manifests.items()}
    if all(process.activity in _PLAIN for process in found.values()):
        return found
    told: dict[str, list[Any]] = {}
    for event in events(cluster, alone):
        told.setdefault(_namespace(event), []).append(event)
    return {
        name: found[name]
        if found[name].activity in _PLAIN
        else _process(one, sets, pods, told.get(one.namespace, ()), now=now)
        for name, one in manifests.items()
    }


def events(cluster: Cluster, namespace: str | None) -> Iterator[dict[str, Any]]:
    """Yield the events about gateways in a namespace, or with None in all."""
    for name in TOLD_OF.values():
        yield from cluster.list("Event", fields={"involvedObject.name": name}, namespace=namespace)


def _process(
    manifest: Manifest,
    sets: Mapping[str, Any],
    pods: Mapping[str, Any],
    events: Sequence[Any],
    *,
    now: float,
) -> Process:
    space = manifest.namespace
    stateful_set, pod = sets.get(space), pods.get(space)
    process = process_in(stateful_set, pod, list(events), now=now)
    return replace(process, changed_on_disk=_mark(pod or stateful_set) not in (None, manifest.fingerprint))


def _mark(found: object) -> object:
    """Return of which manifest an object is, None where it does not say; the key has dots in it."""
    return as_object(lookup(as_object(found), "metadata.annotations")).get(places.MANIFEST)


def _by_namespace(found: Iterable[object], name: str) -> dict[str, Any]:
    named = (one for one in map(as_object, found) if lookup(one, "metadata.name") == name)
    return {_namespace(one): one for one in named}


def _namespace(found: object) -> str:
    told = lookup(as_object(found), "metadata.namespace")
    return told if isinstance(told, str) else ""
