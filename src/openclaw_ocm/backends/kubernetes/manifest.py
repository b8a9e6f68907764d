"""The manifest of an instance: the file on the user's machine that says what a cluster is to have of it.

It holds no secret. What is applied is what it says, with the secrets, and with what tells that a pod is of
it.
"""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.definition import fingerprint, signed
from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.manifests import Contents, instance_objects
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.placement import Access
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.kubernetes.manifests import Object
    from openclaw_ocm.backends.kubernetes.pod import Programs
    from openclaw_ocm.core.record import Record

_CLUSTER = "# cluster: "
_NEXT = "---"
_MOST_OBJECTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest says: how its cluster is reached, and the objects, a StatefulSet among them.

    `fingerprint` tells it from what the file held before and holds later.
    """

    access: Access
    objects: tuple[Object, ...]
    fingerprint: str

    @property
    def namespace(self) -> str:
        """The namespace of all its objects."""
        found: str = self.stateful_set["metadata"]["namespace"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        """What is on each of its objects: whose they are."""
        found: dict[str, str] = self.stateful_set["metadata"]["labels"]
        return found

    @property
    def whose(self) -> dict[str, str]:
        """The labels that all instances of its owner have."""
        return {key: self.labels[key] for key in (places.MANAGED_BY, places.OWNER) if key in self.labels}

    @property
    def template(self) -> Object:
        """What the pod of its gateway is made from."""
        found: Object = self.stateful_set["spec"]["template"]
        mark = {places.MANIFEST: self.fingerprint}
        return {**found, "metadata": {**found["metadata"], "annotations": mark}}

    @property
    def stateful_set(self) -> Object:
        """Its StatefulSet, as it is in the file."""
        return next(one for one in self.objects if one["kind"] == "StatefulSet")


def render(record: Record, programs: Programs) -> str:
    """Return the text of an instance's manifest, which kubectl takes as well.

    Raises `Invalid` where the record asks for what no pod has, or names no cluster.
    """
    placement = record.placement
    if placement is None:
        raise Invalid(f"the record of {record.name} does not say in which cluster it is", code="no_placement")
    objects = instance_objects(record, placement, Contents(), programs, started=False)
    # Where there is a secret is for what is secret to say.
    kept = (one for one in objects if one["kind"] != "Secret")
    cluster = json.dumps({"kubeconfig": placement.kubeconfig, "context": placement.context})
    texts = (json.dumps(one, indent=2, ensure_ascii=False) for one in kept)
    return signed(f"{_CLUSTER}{cluster}\n" + "".join(f"{_NEXT}\n{text}\n" for text in texts))


def parse(data: bytes, path: PurePosixPath) -> Manifest:
    """Return what a manifest says; raises `OcmError` where it is not as OCM writes them, `path` named."""
    # Not splitlines(): what separates lines of other texts may stand in a value.
    lines = data.decode(errors="replace").split("\n")
    told = next((line for line in lines if line.startswith(_CLUSTER)), _CLUSTER + "{}")
    texts = "\n".join(line for line in lines if not line.startswith("#")).split(f"\n{_NEXT}\n")
    try:
        cluster = json.loads(told.removeprefix(_CLUSTER))
        access = Access(kubeconfig=cluster["kubeconfig"], context=cluster["context"])
        objects = [json.loads(text.removeprefix(_NEXT)) for text in texts[:_MOST_OBJECTS] if text.strip()]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if not all(isinstance(word, str) for word in access) or not _is_whole(objects):
        raise _damaged(path, "its objects are not those of an instance")
    return Manifest(access=access, objects=tuple(objects), fingerprint=fingerprint(data))


def applied(manifest: Manifest, environment: Mapping[str, str], *, started: bool) -> tuple[Object, ...]:
    """Return the objects that a cluster is to have: those of the manifest, and the secrets.

    `environment` are the instance's secrets by name. Without `started` it has no pod.
    """
    values = {name: base64.b64encode(environment[name].encode()).decode() for name in sorted(environment)}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": places.ENVIRONMENT,
            "namespace": manifest.namespace,
            "labels": manifest.labels,
        },
        "type": "Opaque",
        "data": values,
    }
    found = []
    for one in manifest.objects:
        changed = deepcopy(one)
        if one["kind"] == "StatefulSet":
            changed["spec"]["replicas"] = 1 if started else 0
            for marked in (changed, changed["spec"]["template"]):
                marked["metadata"]["annotations"] = {places.MANIFEST: manifest.fingerprint}
        # As early as the namespace allows: what comes later refers to it.
        found += [changed, secret] if one["kind"] == "Namespace" else [changed]
    return tuple(found)


def _is_whole(objects: list[Any]) -> bool:
    kinds = [lookup(as_object(one), "kind") for one in objects]
    sets = [as_object(one) for one in objects if lookup(as_object(one), "kind") == "StatefulSet"]
    if len(sets) != 1 or "Namespace" not in kinds:
        return False
    tables = ("metadata.labels", "spec.template.metadata.labels", "spec.template.spec")
    return isinstance(lookup(sets[0], "metadata.namespace"), str) and all(
        as_object(lookup(sets[0], path)) for path in tables
    )


def _damaged(path: PurePosixPath, why: str) -> OcmError:
    message = f"the manifest {path} is damaged: {why}"
    return OcmError(message, hint="ocm sync NAME writes it anew", code="manifest_damaged")
