"""The check of a network, on clusters in memory whose plugins keep to policies, to some, or to none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.backends.kubernetes.golden_checks import PLAIN
from tests.backends.kubernetes.pods import answer

from openclaw_ocm.backends.kubernetes import network_trial
from openclaw_ocm.backends.kubernetes.network_check import Enforcement
from openclaw_ocm.backends.kubernetes.network_trial import PATIENCE, find_out
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOST = "the two pods lost each other for another reason than the policy"


class Clock:
    """A time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(network_trial, "time", found)
    return found


@dataclass
class InMemory:
    """A cluster that keeps to policies for these ways, each after a few calls, and breaks as it is told."""

    enforced: tuple[str, ...] = ()
    after: int = 4
    broken: str = ""
    lost_with: str = ""
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    removed: list[tuple[str, str]] = field(default_factory=list)
    calls: int = 0
    since: int = 0
    lost: bool = False

    def apply(self, objects: Sequence[dict[str, Any]]) -> None:
        for one in objects:
            if self.broken == one["kind"]:
                raise OcmError(f"no right to make a {one['kind']}")
            self.objects[one["kind"], one["metadata"]["name"]] = one
            self.since = self.calls
            self.lost |= one["kind"] == "NetworkPolicy" and self.lost_with in one["spec"]["policyTypes"]

    def get(self, kind: str, name: str, *, namespace: str) -> dict[str, Any] | None:
        assert namespace == PLAIN.namespace
        found = self.objects.get((kind, name))
        if found is None or self.broken == name:
            return found
        return {**found, "status": {"phase": "Running", "podIP": "10.244.1.7"}}

    def delete(self, kind: str, name: str, *, namespace: str | None) -> None:
        assert namespace == (None if kind == "Namespace" else PLAIN.namespace)
        self.objects.pop((kind, name), None)
        self.removed.append((kind, name))
        if self.broken == "end" and kind == "Namespace":
            raise OcmError("the API server is away")

    def run(self, namespace: str, pod: str, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        assert (namespace, pod, given) == (PLAIN.namespace, "caller", b"")
        self.calls += 1
        if self.broken == "interrupted":
            raise KeyboardInterrupt
        if self.broken == "run":
            raise OcmError("no right to run programs in pods")
        said = {**answer(), "reach": {json.loads(argv[-1])["reach"][0]: self._outcome()}}
        return b"?" if self.broken == "answer" else json.dumps(said).encode()[:limit]

    def _outcome(self) -> str:
        policies = [one for (kind, _), one in self.objects.items() if kind == "NetworkPolicy"]
        ways = {way for policy in policies for way in policy["spec"]["policyTypes"]}
        kept = ways & {*self.enforced} and self.calls - self.since > self.after
        return "silence" if kept or self.broken == "network" or self.lost else "reached"


@pytest.mark.parametrize("enforced", [("Ingress", "Egress"), ("Ingress",), ("Egress",), ()])
def test_what_a_plugin_keeps_to_is_found_each_way_by_itself(enforced: tuple[str, ...]) -> None:
    cluster = InMemory(enforced=enforced)
    found = find_out(cluster, PLAIN)
    assert found == Enforcement(ingress="Ingress" in enforced, egress="Egress" in enforced)
    assert cluster.removed[-1] == ("Namespace", PLAIN.namespace)
    assert [kind for kind, _ in cluster.removed] == ["NetworkPolicy", "NetworkPolicy", "Namespace"]


def test_one_that_is_never_quick_enough_keeps_to_nothing() -> None:
    found = find_out(InMemory(enforced=("Ingress", "Egress"), after=10**6), PLAIN)
    assert found == Enforcement(ingress=False, egress=False)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("Namespace", "no right to make a Namespace"),
        ("Pod", "no right to make a Pod"),
        ("listener", "the listener of the check does not run: it does not say why"),
        ("caller", "the caller of the check does not run: it does not say why"),
        ("run", "no right to run programs in pods"),
        ("answer", "the probe in the pod did not come to its end"),
        ("network", "of two pods one does not reach the other, even without a policy"),
        ("NetworkPolicy", "no right to make a NetworkPolicy"),
    ],
)
def test_what_cannot_be_found_out_is_never_taken_for_kept_to(broken: str, reason: str) -> None:
    cluster = InMemory(enforced=("Ingress", "Egress"), broken=broken)
    assert find_out(cluster, PLAIN) == Enforcement(ingress=None, egress=None, reason=reason)
    assert cluster.removed[-1] == ("Namespace", PLAIN.namespace)


def test_pods_that_lose_each_other_prove_no_policy() -> None:
    found = find_out(InMemory(lost_with="Ingress"), PLAIN)
    assert found == Enforcement(ingress=None, egress=None, reason=LOST)


def test_one_way_that_was_found_out_is_told_though_the_other_was_not() -> None:
    found = find_out(InMemory(enforced=("Ingress",), lost_with="Egress"), PLAIN)
    assert found == Enforcement(ingress=True, egress=None, reason=LOST)


def test_a_call_or_two_in_vain_prove_no_policy() -> None:
    cluster = InMemory()
    plain = cluster._outcome
    cluster._outcome = lambda: "silence" if cluster.calls % 3 else plain()  # type: ignore[method-assign]
    found = find_out(cluster, PLAIN)
    assert (found.ingress, found.egress) == (None, None)
    flaky = InMemory()
    steady = flaky._outcome
    flaky._outcome = lambda: "silence" if flaky.calls > 3 and flaky.calls % 3 else steady()  # type: ignore[method-assign]
    found = find_out(flaky, PLAIN)
    assert (found.ingress, found.egress) == (False, False)


def test_how_long_it_takes_is_bounded(clock: Clock) -> None:
    find_out(InMemory(), PLAIN)
    assert clock.now < 2 * PATIENCE.policy + PATIENCE.reached
    clock.now = 0.0
    find_out(InMemory(broken="listener"), PLAIN)
    assert PATIENCE.pods <= clock.now < PATIENCE.pods + 2


def test_an_end_that_fails_changes_nothing_of_what_was_found() -> None:
    cluster = InMemory(enforced=("Ingress", "Egress"), broken="end")
    assert find_out(cluster, PLAIN) == Enforcement(ingress=True, egress=True)


def test_whoever_ends_it_leaves_nothing() -> None:
    cluster = InMemory(broken="interrupted")
    with pytest.raises(KeyboardInterrupt):
        find_out(cluster, PLAIN)
    assert cluster.removed == [("Namespace", PLAIN.namespace)]
