"""Whether a cluster's network plugin keeps to NetworkPolicies: what finds it out, and what is said of it.

Two pods in a namespace of their own, one that listens and one that calls. They and the namespace bear the
owner's label and no instance's.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.observed import moment
from openclaw_ocm.backends.kubernetes.pod import (
    literal,
    restricted_container,
    restricted_namespace,
    restricted_pod,
)
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.sandbox.launch import PYTHON
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.kubernetes.manifests import Object

CHECK, NETWORK = "ocm.dev/check", "network"
LISTENER, CALLER, CONTAINER = "listener", "caller", "check"
INGRESS, EGRESS = "Ingress", "Egress"
PORT = 8080
# Whoever began and was killed leaves pods that end by themselves, and a namespace that the next one removes.
LIFETIME_SECONDS = 600
# No instance's namespace begins like this.
_PREFIX = "check-ocm-"
_DENIAL = "deny"
_MAX_WORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the check is made with: see core.placement.Placement and manifests.Contents for what these are.

    `token` is another one each time; `listen` is the text of the program `listen.py`.
    """

    token: str
    image: str
    owner: str
    owned_by: str
    listen: str
    registry: str | None = field(repr=False, default=None)

    @property
    def namespace(self) -> str:
        """The namespace that it has for itself."""
        return f"{_PREFIX}{self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """Whether policies for what comes in and for what goes out are kept to.

    None where that could not be told, and why is the `reason`.
    """

    ingress: bool | None
    egress: bool | None
    reason: str | None = None


def trial_objects(trial: Trial) -> tuple[Object, ...]:
    """Return the namespace and the two pods, in the order in which they are to be made."""
    namespace = _object("v1", "Namespace", trial.namespace, trial)
    namespace["metadata"]["labels"] |= restricted_namespace()
    namespace["metadata"]["annotations"] = {places.OWNED_BY: printable(trial.owned_by, limit=_MAX_WORDS)}
    account = _within("v1", "ServiceAccount", places.GATEWAY, trial)
    return (
        namespace,
        {**account, "automountServiceAccountToken": False},
        *_pull_secret(trial),
        _pod(LISTENER, (PYTHON, "-ISc", trial.listen, str(PORT)), trial),
        _pod(CALLER, ("/bin/sleep", str(LIFETIME_SECONDS)), trial),
    )


def denial(trial: Trial, way: str) -> Object:
    """Return the policy by which nobody calls the listener (`INGRESS`), or the caller nobody (`EGRESS`)."""
    selected = {places.COMPONENT: LISTENER if way == INGRESS else CALLER}
    return {
        **_within("networking.k8s.io/v1", "NetworkPolicy", _DENIAL, trial),
        "spec": {"podSelector": {"matchLabels": selected}, "policyTypes": [way]},
    }


def leftovers(namespaces: object, owner: str, *, now: float) -> tuple[str, ...]:
    """Return the namespaces of an owner's former checks that were killed.

    `namespaces` are as a list of the API server's has them, `now` is in seconds since the epoch.
    """
    label = places.owner_label(owner)
    return tuple(
        name
        for one in map(as_object, namespaces if isinstance(namespaces, list) else [])
        if isinstance(name := lookup(one, "metadata.name"), str) and name.startswith(_PREFIX)
        # The keys have dots.
        if as_object(lookup(one, "metadata.labels")).get(places.OWNER) == label
        if as_object(lookup(one, "metadata.labels")).get(CHECK) == NETWORK
        if _is_over(lookup(one, "metadata.creationTimestamp"), now)
    )


def address_of(pod: object) -> str | None:
    """Return the address of a pod that runs, None while it has none."""
    address = lookup(as_object(pod), "status.podIP")
    running = lookup(as_object(pod), "status.phase") == "Running"
    return address if running and isinstance(address, str) and address else None


def lacking(pod: object) -> str:
    """Return in words why a pod does not run."""
    listed = lookup(as_object(pod), "status.containerStatuses")
    for one in map(as_object, listed if isinstance(listed, list) else []):
        for state in ("waiting", "terminated"):
            told = as_object(lookup(one, f"state.{state}"))
            if isinstance(reason := told.get("reason"), str):
                message = told.get("message")
                return _words(f"{reason}: {message}" if isinstance(message, str) else reason)
    conditions = lookup(as_object(pod), "status.conditions")
    for one in map(as_object, conditions if isinstance(conditions, list) else []):
        if one.get("status") == "False" and isinstance(message := one.get("message"), str):
            return _words(message)
    return "it does not say why"


def word(enforcement: Enforcement) -> str:
    """Return in a word or two, for a list, whether policies are enforced."""
    if enforcement.ingress is None or enforcement.egress is None:
        return "unknown"
    if enforcement.ingress and enforcement.egress:
        return "enforced"
    if not enforcement.ingress and not enforcement.egress:
        return "not enforced"
    return "incoming alone" if enforcement.ingress else "outgoing alone"


def in_words(enforcement: Enforcement) -> str:
    """Return in a sentence, for a person, what the network plugin makes of policies."""
    if enforcement.ingress is None or enforcement.egress is None:
        known = "; ".join(_half(enforcement))
        told = f"whether this cluster enforces NetworkPolicy could not be told: {enforcement.reason}"
        return f"{told}; {known}" if known else told
    if enforcement.ingress and enforcement.egress:
        return "NetworkPolicy is enforced by this cluster's network plugin"
    plugin = "is not enforced by this cluster's network plugin"
    reached = "an instance reaches all that a pod can"
    if enforcement.ingress:
        return f"NetworkPolicy for what goes out {plugin}: {reached}, other instances excepted"
    if enforcement.egress:
        return (
            f"NetworkPolicy for what comes in {plugin}: other pods of the cluster reach an instance's port, "
            "and its token alone keeps them out"
        )
    return (
        f"NetworkPolicy {plugin}: {reached}, other instances' ports included, and their tokens alone keep it "
        "out"
    )


def _half(enforcement: Enforcement) -> Iterator[str]:
    for way, found in (("comes in", enforcement.ingress), ("goes out", enforcement.egress)):
        if found is not None:
            yield f"for what {way} it is {'' if found else 'not '}enforced"


def _labels(trial: Trial) -> dict[str, str]:
    return {
        places.MANAGED_BY: places.OCM,
        CHECK: NETWORK,
        places.OWNER: places.owner_label(trial.owner),
    }


def _object(version: str, kind: str, name: str, trial: Trial) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": _labels(trial)}}


def _within(version: str, kind: str, name: str, trial: Trial) -> Object:
    made = _object(version, kind, name, trial)
    made["metadata"]["namespace"] = trial.namespace
    return made


def _pull_secret(trial: Trial) -> Iterator[Object]:
    if trial.registry is not None:
        data = {".dockerconfigjson": base64.b64encode(trial.registry.encode()).decode()}
        secret = _within("v1", "Secret", places.PULL, trial)
        yield {**secret, "type": "kubernetes.io/dockerconfigjson", "data": data}


def _pod(name: str, argv: tuple[str, ...], trial: Trial) -> Object:
    amounts = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "16Mi"}
    container = {
        "name": CONTAINER,
        "image": trial.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [literal(word) for word in argv],
        "resources": {"requests": {**amounts, "cpu": "10m"}, "limits": amounts},
        "securityContext": restricted_container(),
    }
    made = _within("v1", "Pod", name, trial)
    made["metadata"]["labels"][places.COMPONENT] = name
    spec: dict[str, Any] = {
        "serviceAccountName": places.GATEWAY,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LIFETIME_SECONDS,
        "terminationGracePeriodSeconds": 1,
        "securityContext": restricted_pod(),
        **({"imagePullSecrets": [{"name": places.PULL}]} if trial.registry is not None else {}),
        "containers": [container],
    }
    return {**made, "spec": spec}


def _is_over(made: object, now: float) -> bool:
    """Tell whether the pods of a check that began at this time of the API's have ended by now."""
    began = moment(made)
    return began is not None and began + LIFETIME_SECONDS < now


def _words(text: str) -> str:
    return printable(text, limit=_MAX_WORDS).strip()
