"""Gateways in pods: OpenClaw itself in the image that OCM builds, by the objects that OCM makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.gateways import Gateway, build_image, deploy, gateway, inside, model, push_image
from tests.machine.nspawn import MachineError

from openclaw_ocm.backends.kubernetes.observed import process_in
from openclaw_ocm.backends.kubernetes.places import GATEWAY, POD
from openclaw_ocm.core.status import Activity

from .fake_model import PONG
from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.status import Process

PROVED = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def refused(path):
    try:
        open(path, "w").close()
    except OSError:
        return True
    os.unlink(path)
    return False
print(json.dumps({
    "capabilities": int(status["CapEff"], 16),
    "bounding": int(status["CapBnd"], 16),
    "privileges": status["NoNewPrivs"].strip(),
    "seccomp": status["Seccomp"].strip(),
    "user": os.getuid(),
    "refused": [refused(path) for path in ("/x", "/app/x", "/usr/x", "/etc/x", "/opt/ocm/x")],
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "state": oct(os.stat("/home/node/.openclaw").st_mode),
    "temporary": oct(os.stat("/tmp").st_mode),
}))
"""


class Pair(NamedTuple):
    cluster: Cluster
    first: Gateway
    second: Gateway


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Run two instances, each of which has its own node, volume and token."""
    archive = build_image()
    with Cluster() as cluster, model(cluster):
        image = push_image(cluster, archive)
        first, second = gateway("ada", image), gateway("ben", image, port=19021)
        try:
            pair = Pair(cluster, first, second)
            deploy(cluster, first)
            node = get(pair, first, "pod", POD)["spec"]["nodeName"]
            cluster.kubectl("cordon", node)
            deploy(cluster, second)
            cluster.kubectl("uncordon", node)
            yield pair
        finally:
            for one in (first, second):
                print(told(cluster, one))


def told(cluster: Cluster, one: Gateway) -> str:
    """Return what the cluster says of a pod, for a failure."""
    where = f"--namespace={one.namespace}"
    asked = (("describe", "pod", POD, where), ("logs", POD, where, "--tail=40", "--all-containers"))
    said = []
    for words in asked:
        try:
            said.append(cluster.kubectl(*words))
        except MachineError as error:
            said.append(str(error))
    return "\n".join(said)


def get(pair: Pair, one: Gateway, *words: str) -> dict[str, Any]:
    return pair.cluster.get(*words, f"--namespace={one.namespace}")


def observed(pair: Pair, one: Gateway, now: float) -> Process:
    pods = get(pair, one, "pods")["items"]
    events = get(pair, one, "events")["items"]
    return process_in(get(pair, one, "statefulset", GATEWAY), pods[0] if pods else None, events, now=now)


def say(pair: Pair, one: Gateway, text: str) -> str:
    return inside(pair.cluster, one, "openclaw", "agent", "--agent", "main", "--message", text)


def status_of(pair: Pair, one: Gateway, token: str) -> str:
    """Return the HTTP status that a gateway gives one who has this token."""
    url = f"http://127.0.0.1:{one.record.port}/tools/invoke"
    written = ("--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--data", "{}")
    return inside(pair.cluster, one, "curl", *written, "--header", f"Authorization: Bearer {token}", url)


def test_both_are_ready_each_in_its_namespace_and_on_a_node_that_takes_it(pair: Pair) -> None:
    pods = [get(pair, one, "pod", POD) for one in (pair.first, pair.second)]
    assert [pod["metadata"]["namespace"] for pod in pods] == ["ocm-ada", "ocm-ben"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    for one in (pair.first, pair.second):
        process = observed(pair, one, 0.0)
        assert (process.activity, process.installed, process.reason) == (Activity.RUNNING, True, None)


def test_it_answers_and_what_it_was_told_outlives_the_pod(pair: Pair) -> None:
    assert PONG in say(pair, pair.first, "hi")
    assert "apple" in say(pair, pair.first, "ECHO:apple")
    before = get(pair, pair.first, "pod", POD)["metadata"]["uid"]
    pair.cluster.kubectl("delete", "pod", POD, f"--namespace={pair.first.namespace}", timeout=400)
    wait_for(lambda: is_another(pair, before), 180, "another pod that is ready")
    assert "apple" in say(pair, pair.first, "RECALL")


def is_another(pair: Pair, uid: str) -> bool:
    pods = get(pair, pair.first, "pods")["items"]
    return any(
        one["metadata"]["uid"] != uid
        and any(told["type"] == "Ready" and told["status"] == "True" for told in one["status"]["conditions"])
        for one in pods
    )


def test_a_token_opens_the_gateway_that_it_is_of_and_no_other(pair: Pair) -> None:
    first, second = pair.first, pair.second
    assert status_of(pair, first, second.token) == "401"
    assert status_of(pair, second, first.token) == "401"
    assert status_of(pair, first, first.token) not in ("401", "403")


def test_a_process_there_has_no_right_and_writes_what_is_its_own_alone(pair: Pair) -> None:
    found = json.loads(inside(pair.cluster, pair.first, "python3", "-c", PROVED))
    assert found == {
        "capabilities": 0,
        "bounding": 0,
        "privileges": "1",
        "seccomp": "2",
        "user": 1000,
        "refused": [True] * 5,
        "token": False,
        "state": "0o40700",
        "temporary": "0o41777",
    }


def test_the_objects_are_applied_again_without_a_change(pair: Pair) -> None:
    before = get(pair, pair.second, "statefulset", GATEWAY)["metadata"]["generation"]
    pair.cluster.apply(*pair.second.objects())
    assert get(pair, pair.second, "statefulset", GATEWAY)["metadata"]["generation"] == before


def test_one_that_is_stopped_has_no_pod_and_keeps_its_volume(pair: Pair) -> None:
    second = pair.second
    pair.cluster.apply(*second.objects(started=False))
    wait_for(lambda: not get(pair, second, "pods")["items"], 120, "the end of the pod")
    assert observed(pair, second, 0.0).activity is Activity.STOPPED
    (claim,) = get(pair, second, "persistentvolumeclaims")["items"]
    assert claim["status"]["phase"] == "Bound"
