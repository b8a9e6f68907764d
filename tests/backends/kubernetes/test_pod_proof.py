"""The proof of a pod as a whole: the programs run in what is like a pod, beside what a cluster says of it."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.backends.kubernetes.golden import PLAIN, changed
from tests.backends.kubernetes.pods import pod, policies, template
from tests.programs.pods import LikePod

from openclaw_ocm.backends.kubernetes.network_check import Enforcement
from openclaw_ocm.backends.kubernetes.pod_places import Place
from openclaw_ocm.backends.kubernetes.pod_proof import Grounds, Proof, prove
from openclaw_ocm.backends.protocol import Observed
from openclaw_ocm.core.status import Activity, Process
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNING = Process(activity=Activity.RUNNING, installed=True, autostart=True, elsewhere=True)
GATEWAY = Observed(record=PLAIN, process=RUNNING)
GROUNDS = Grounds(pod=pod(), policies=list(policies()), template=template(), wanted=policies())
ENFORCED = Enforcement(ingress=True, egress=True)
# Of the root of the stand-in alone: an image has all in one.
OF_THE_STAND_IN = "is mounted at /usr, which the pod is not given"


class Inside:
    """Runs programs in what is like a pod, and keeps count of them."""

    def __init__(self, like: LikePod) -> None:
        self.like, self.count = like, 0

    def __call__(self, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        assert given == b""
        self.count += 1
        done = self.like.run(argv)
        if done.returncode != 0:
            raise OcmError("it ended")
        return done.stdout[:limit]


@pytest.fixture
def inside() -> Iterator[Inside]:
    with tempfile.TemporaryDirectory(prefix="ocm-pod-") as made:
        Path(made).chmod(0o755)
        yield Inside(LikePod(place=Path(made)))


@pytest.fixture
def near() -> Iterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as end:
        yield Place(address="127.0.0.1", port=end.getsockname()[1], what="another instance")


def proof(inside: Inside, grounds: Grounds = GROUNDS, gateway: Observed = GATEWAY) -> Proof:
    found = prove(inside, gateway, grounds)
    return replace(found, violations=tuple(one for one in found.violations if OF_THE_STAND_IN not in one))


def test_a_pod_as_it_should_be_is_proved(inside: Inside) -> None:
    found = proof(inside)
    assert found.violations == ()
    # The filter of the stand-in lets nobody make namespaces, as that of container runtimes.
    assert [one.partition(": ")[0] for one in found.gaps] == [
        "no box can be made for sessions other than main"
    ]


def test_where_boxes_can_be_made_there_is_no_gap(inside: Inside) -> None:
    inside.like = replace(inside.like, filtered=False, options=("--bind", "/tmp", "/tmp"))
    assert proof(inside).gaps == ()


def test_one_that_does_not_run_is_not_proved_and_not_asked(inside: Inside) -> None:
    stopped = Observed(record=PLAIN, process=replace(RUNNING, activity=Activity.STOPPED, elsewhere=False))
    assert proof(inside, gateway=stopped) == Proof(violations=("the gateway is not running",))
    assert inside.count == 0


def test_what_the_cluster_says_counts_though_the_pod_says_nothing_of_it(inside: Inside) -> None:
    edited = pod()
    edited["spec"]["hostPID"] = True
    found = proof(inside, replace(GROUNDS, pod=edited, policies=[]))
    assert found.violations == (
        "its pod shares the processes of its node (hostPID)",
        "its network policy default-deny is gone",
        "its network policy gateway is gone",
    )


def test_what_the_pod_says_counts_though_the_cluster_says_nothing_of_it(inside: Inside) -> None:
    inside.like = replace(inside.like, options=("--ro-bind", "/etc", "/host"))
    (found,) = proof(inside).violations
    assert found.endswith("is mounted at /host, which the pod is not given")


@pytest.mark.parametrize(
    "enforcement",
    [None, Enforcement(ingress=False, egress=False), Enforcement(ingress=True, egress=None, reason="so")],
)
def test_what_no_plugin_forbids_is_a_gap(
    inside: Inside, near: Place, enforcement: Enforcement | None
) -> None:
    found = proof(inside, replace(GROUNDS, places=(near,), enforcement=enforcement))
    assert found.violations == ()
    assert found.gaps[0] == f"{near.in_words} is reached, which its network policies forbid"


def test_what_a_plugin_that_enforces_lets_through_is_a_violation(inside: Inside, near: Place) -> None:
    found = proof(inside, replace(GROUNDS, places=(near,), enforcement=ENFORCED))
    assert found.violations == (f"a process inside reaches {near.in_words}",)


def test_of_its_own_node_it_is_a_gap_all_the_same(inside: Inside, near: Place) -> None:
    kubelet = replace(near, what="the kubelet of its node", on_node=True)
    found = proof(inside, replace(GROUNDS, places=(kubelet,), enforcement=ENFORCED))
    assert found.violations == ()
    assert kubelet.in_words in found.gaps[0]


def test_what_the_user_allows_is_neither_but_of_the_server_told(inside: Inside, near: Place) -> None:
    allowing = replace(GATEWAY, record=changed(allow=[f"127.0.0.1:{near.port}"]))
    found = proof(inside, replace(GROUNDS, places=(near,), enforcement=ENFORCED), allowing)
    assert (found.violations, len(found.gaps)) == ((), 1)
    server = replace(near, what="the API server")
    found = proof(inside, replace(GROUNDS, places=(server,), enforcement=ENFORCED), allowing)
    assert found.violations == ()
    assert found.gaps[0] == f"{server.in_words} is reached, where its network policies let it"


def test_a_probe_that_does_not_run_proves_nothing() -> None:
    def refused(*_: object) -> bytes:
        raise OcmError("no right to run programs in pods")

    with pytest.raises(OcmError, match="no right"):
        prove(refused, GATEWAY, GROUNDS)
    with pytest.raises(OcmError) as caught:
        prove(lambda *_: b"", GATEWAY, GROUNDS)
    assert caught.value.code == "not_sealed"


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b'{"refused": 1}', b"\xff", b"[" * 5000])
def test_what_says_nothing_of_boxes_has_none(inside: Inside, said: bytes) -> None:
    def run(argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        return inside(argv, given, limit) if len(argv) == 4 else said

    gaps: Any = prove(run, GATEWAY, GROUNDS).gaps
    assert gaps == ("no box can be made for sessions other than main: it did not tell",)
