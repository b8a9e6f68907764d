"""Finds out whether a cluster's network plugin keeps to NetworkPolicies: has one pod call another, and looks.

A plugin takes a policy up some time after it was made: how long is waited for that is bounded.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from openclaw_ocm.backends.kubernetes import pod_answers
from openclaw_ocm.backends.kubernetes.network_check import (
    CALLER,
    EGRESS,
    INGRESS,
    LISTENER,
    PORT,
    Enforcement,
    address_of,
    denial,
    lacking,
    trial_objects,
)
from openclaw_ocm.backends.kubernetes.pod_places import Place
from openclaw_ocm.backends.kubernetes.pod_proof import ask
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openclaw_ocm.backends.kubernetes.manifests import Object
    from openclaw_ocm.backends.kubernetes.network_check import Trial

# As often is a call in vain before that is for good.
_CALLS_IN_VAIN = 3


class Cluster(Protocol):
    """What the check needs of a cluster; each raises `OcmError` where it is refused or not answered."""

    def apply(self, objects: Sequence[Object]) -> None:
        """Make objects, in their order, or make those that are there as these are."""

    def get(self, kind: str, name: str, *, namespace: str) -> dict[str, Any] | None:
        """Return an object, None where there is none."""

    def delete(self, kind: str, name: str, *, namespace: str | None) -> None:
        """Remove an object, nothing where there is none; what is in a namespace may go later."""

    def run(self, namespace: str, pod: str, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        """Run a program in a pod and return what it said, of which there may be so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds are waited: for both pods to run, to reach each other, and for a policy to work."""

    pods: float = 180
    reached: float = 30
    policy: float = 30
    pause: float = 0.5


PATIENCE = Patience()


def find_out(cluster: Cluster, trial: Trial, patience: Patience = PATIENCE) -> Enforcement:
    """Return whether a cluster enforces NetworkPolicies, each way by itself, and remove what that took.

    What keeps it from being told is the reason in what is returned.
    """
    found: dict[str, bool | None] = {INGRESS: None, EGRESS: None}
    reason = None
    try:
        cluster.apply(trial_objects(trial))
        reaches = _call(cluster, trial, _address(cluster, trial, patience))
        if not _lasts(lambda: not reaches(), patience.reached, patience):
            for way in found:
                found[way] = _is_kept_to(cluster, denial(trial, way), reaches, patience)
        else:
            reason = "of two pods one does not reach the other, even without a policy"
    except OcmError as error:
        reason = error.message
    finally:
        # Of a namespace that stays the next check takes care: it bears the owner's label.
        with contextlib.suppress(OcmError):
            cluster.delete("Namespace", trial.namespace, namespace=None)
    if reason is None and None in found.values():
        reason = "the two pods lost each other for another reason than the policy"
    return Enforcement(ingress=found[INGRESS], egress=found[EGRESS], reason=reason)


def _address(cluster: Cluster, trial: Trial, patience: Patience) -> str:
    """Return the address of the listener once both pods run; raises `OcmError` where they do not."""
    until = time.monotonic() + patience.pods
    while True:
        pods = {name: cluster.get("Pod", name, namespace=trial.namespace) for name in (LISTENER, CALLER)}
        addresses = [address_of(pod) for pod in pods.values()]
        if None not in addresses:
            return str(addresses[0])
        if time.monotonic() > until:
            name = next(name for name, pod in pods.items() if address_of(pod) is None)
            raise OcmError(f"the {name} of the check does not run: {lacking(pods[name])}")
        time.sleep(patience.pause)


def _call(cluster: Cluster, trial: Trial, address: str) -> Callable[[], bool]:
    """Return what tells whether the caller reaches the listener just now."""
    place = Place(address=address, port=PORT, what="the listener")
    run, asked = partial(cluster.run, trial.namespace, CALLER), pod_answers.asking_for(place)

    def reaches() -> bool:
        return place in pod_answers.reached(ask(run, asked), (place,))

    return reaches


def _is_kept_to(
    cluster: Cluster, policy: Object, reaches: Callable[[], bool], patience: Patience
) -> bool | None:
    """Tell whether a policy keeps the one pod from the other, None where that is so without it as well."""
    cluster.apply((policy,))
    kept = not _lasts(reaches, patience.policy, patience)
    metadata = policy["metadata"]
    cluster.delete(policy["kind"], metadata["name"], namespace=metadata["namespace"])
    if kept and _lasts(lambda: not reaches(), patience.reached, patience):
        return None
    return kept


def _lasts(condition: Callable[[], bool], seconds: float, patience: Patience) -> bool:
    """Tell whether something stays as it is for so long; it does not where it was otherwise a few times."""
    until, otherwise = time.monotonic() + seconds, 0
    while otherwise < _CALLS_IN_VAIN:
        otherwise = 0 if condition() else otherwise + 1
        if time.monotonic() > until:
            return otherwise < _CALLS_IN_VAIN
        time.sleep(patience.pause)
    return False
