"""Proves a pod: by what the cluster says of it, and by what a process in it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.backends.kubernetes import network_policy, pod_answers, pod_document
from openclaw_ocm.backends.kubernetes.pod_places import SERVER, is_open
from openclaw_ocm.core.sandbox.launch import PYTHON
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openclaw_ocm.backends.kubernetes.network_check import Enforcement
    from openclaw_ocm.backends.kubernetes.pod_places import Place
    from openclaw_ocm.backends.protocol import Observed

    # Runs a program in a gateway's pod: what to run, what it reads, and of how many bytes it may say.
    Run = Callable[[tuple[str, ...], bytes, int], bytes]

_MOST_OF_BOXES = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What is known of a pod from outside.

    `pod` and the list `policies` of its namespace's network policies are as the API server's JSON has them
    now, None where there is none. `template` and `wanted` are what OCM made of them. `places` are where it
    is to reach nobody, and `enforcement` is what is known of the network plugin, None where nothing is.
    """

    pod: object
    policies: object
    template: Mapping[str, Any]
    wanted: tuple[Mapping[str, Any], ...]
    places: tuple[Place, ...] = ()
    enforcement: Enforcement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came out, in words: `violations` are none where the pod is proved, `gaps` what it leaves open."""

    violations: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


class _Boxes(msgspec.Struct, frozen=True):
    """What `try_namespaces.py` says: what was refused and why, None where nothing was."""

    refused: str | None


def prove(run: Run, gateway: Observed, grounds: Grounds) -> Proof:
    """Return what is not as OCM made it, and what the cluster leaves open.

    What its network policies forbid and the pod reaches all the same is a gap, as most clusters' network
    plugins would not let it: one that is known to enforce them makes it a violation. Raises `OcmError` where
    the pod could not be asked to the end.
    """
    if not gateway.process.elsewhere:
        return Proof(violations=("the gateway is not running",))
    template = grounds.template
    answer = ask(run, pod_answers.question(template, grounds.places))
    found = pod_answers.reached(answer, grounds.places)
    allowed, against, broken = _judged(found, gateway, grounds)
    violations = (
        *pod_document.violations(grounds.pod, template),
        *pod_document.policy_violations(grounds.policies, grounds.wanted),
        *pod_answers.answer_violations(answer, template),
        *pod_answers.reach_violations(answer, grounds.places),
        *(f"a process inside reaches {place.in_words}" for place in broken),
    )
    gaps = (
        *pod_document.notes(grounds.pod, template),
        *pod_document.policy_notes(grounds.policies, grounds.wanted),
        *(f"{place.in_words} is reached, which its network policies forbid" for place in against),
        *(
            f"{place.in_words} is reached, where its network policies let it"
            for place in allowed
            if place.what == SERVER
        ),
        *_boxes_gap(run),
    )
    return Proof(violations=tuple(map(printable, violations)), gaps=tuple(map(printable, gaps)))


def ask(run: Run, asked: str) -> pod_answers.Answer:
    """Run the probe and return its answer; raises `OcmError` where it did not come to its end."""
    argv = (PYTHON, "-ISc", programs.text("probe_pod.py"), asked)
    return pod_answers.parse_answer(run(argv, b"", pod_answers.MOST_BYTES))


def _judged(
    found: Iterable[Place], gateway: Observed, grounds: Grounds
) -> tuple[list[Place], list[Place], list[Place]]:
    """Return what of it is allowed, what is forbidden, and what is so where that is known to be enforced."""
    rules = network_policy.egress(gateway.record)
    enforced = grounds.enforcement is not None and grounds.enforcement.egress is True
    allowed, against, broken = [], [], []
    for place in found:
        if is_open(rules, place):
            allowed.append(place)
        elif enforced and not place.on_node:
            broken.append(place)
        else:
            against.append(place)
    return allowed, against, broken


def _boxes_gap(run: Run) -> Iterator[str]:
    """Yield why sessions other than main get no box of their own, where that is so."""
    try:
        said = run((PYTHON, "-ISc", programs.text("try_namespaces.py")), b"", _MOST_OF_BOXES)
        refused = msgspec.json.decode(said, type=_Boxes).refused
    except (OcmError, msgspec.MsgspecError, ValueError, RecursionError):
        refused = "it did not tell"
    if refused is not None:
        yield f"no box can be made for sessions other than main: {refused}"
