"""What kinds of objects OCM has to do with, and where an API server has them."""

from __future__ import annotations

from typing import NamedTuple

_MAX_NAME = 253


class Kind(NamedTuple):
    """A kind of objects: its API and its plural there, and whether each is in a namespace."""

    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects of it have it."""
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS = {
    kind.name: kind
    for kind in (
        Kind("Namespace", "", "v1", "namespaces", namespaced=False),
        Kind("Node", "", "v1", "nodes", namespaced=False),
        Kind("PersistentVolume", "", "v1", "persistentvolumes", namespaced=False),
        Kind("StorageClass", "storage.k8s.io", "v1", "storageclasses", namespaced=False),
        Kind(
            "SelfSubjectAccessReview",
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews",
            namespaced=False,
        ),
        Kind("ConfigMap", "", "v1", "configmaps"),
        Kind("Event", "", "v1", "events"),
        Kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims"),
        Kind("Pod", "", "v1", "pods"),
        Kind("ResourceQuota", "", "v1", "resourcequotas"),
        Kind("Secret", "", "v1", "secrets"),
        Kind("Service", "", "v1", "services"),
        Kind("ServiceAccount", "", "v1", "serviceaccounts"),
        Kind("StatefulSet", "apps", "v1", "statefulsets"),
        Kind("Job", "batch", "v1", "jobs"),
        Kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
    )
}


class Place(NamedTuple):
    """An object, or without a name all of its kind; without a namespace, those of all namespaces."""

    kind: Kind
    namespace: str | None = None
    name: str | None = None

    def path(self, subresource: str = "") -> str:
        """Return where an API server has it. Raises `ValueError` for what leads elsewhere."""
        words = [self.kind.plural, self.name, subresource or None]
        if self.kind.namespaced and self.namespace is not None:
            words = ["namespaces", self.namespace, *words]
        named = [word for word in words if word is not None]
        if any(not word or "/" in word or word in (".", "..") or len(word) > _MAX_NAME for word in named):
            message = f"{self} is no place in a cluster"
            raise ValueError(message)
        root = f"/apis/{self.kind.group}" if self.kind.group else "/api"
        return "/".join((root, self.kind.version, *named))

    def __str__(self) -> str:
        """Return what it is in words."""
        what = f"{self.kind.name} {self.name}" if self.name else self.kind.plural
        return f"{what} in namespace {self.namespace}" if self.namespace and self.kind.namespaced else what


def place(kind: str, *, namespace: str | None = None, name: str | None = None) -> Place:
    """Return where objects of this kind are; raise `KeyError` for one with which OCM has nothing to do."""
    return Place(KINDS[kind], namespace, name)
