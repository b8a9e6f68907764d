"""What OCM must be allowed to do in a cluster, and what is missing as rules that can be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Right(NamedTuple):
    """What a user may do: a verb of the API with a resource, in one namespace or, with None, in all."""

    verb: str
    resource: str
    group: str = ""
    namespace: str | None = None

    def __str__(self) -> str:
        """Return it in words."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" in namespace {self.namespace}" if self.namespace else "")


_KEPT = ("get", "list", "create", "patch", "delete")
# Of server-side apply: what is not there yet asks for both.
_MADE = ("get", "list", "create", "patch")
# Opening a websocket is `get`, and since Kubernetes 1.35 `create` as well.
_REACHED = ("get", "create")
NEEDED = (
    *(Right(verb, "namespaces") for verb in _KEPT),
    *(
        Right(verb, resource)
        for resource in ("serviceaccounts", "secrets", "services", "persistentvolumeclaims")
        for verb in _MADE
    ),
    *(Right(verb, "networkpolicies", "networking.k8s.io") for verb in _MADE),
    *(Right(verb, "statefulsets", "apps") for verb in _MADE),
    *(Right(verb, "pods") for verb in ("get", "list", "create", "delete")),
    Right("get", "pods/log"),
    *(Right(verb, resource) for resource in ("pods/exec", "pods/portforward") for verb in _REACHED),
    Right("list", "events"),
    Right("list", "storageclasses", "storage.k8s.io"),
)


def review(right: Right) -> dict[str, Any]:
    """Return the question whether the one who asks has a right."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        **({"subresource": subresource} if subresource else {}),
        **({"namespace": right.namespace} if right.namespace else {}),
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def rules(rights: Iterable[Right]) -> tuple[str, ...]:
    """Return rules of a role that give these rights, each as one line of YAML."""
    return tuple(_rules(rights))


def _rules(rights: Iterable[Right]) -> Iterator[str]:
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.resource), []).append(right.verb)
    resources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), allowed in verbs.items():
        resources.setdefault((group, tuple(allowed)), []).append(resource)
    for (group, some), named in resources.items():
        yield f"- {{apiGroups: [{_list((group,))}], resources: [{_list(named)}], verbs: [{_list(some)}]}}"


def _list(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
