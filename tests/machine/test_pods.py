"""Gateways in pods: OpenClaw itself in the image that OCM builds, by the objects that OCM makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.cluster.gateways import Gateway, build_image, deploy, gateway, in_place, inside, model, push_image
from tests.cluster.volumes import Held
from tests.machine.nspawn import MachineError

from openclaw_ocm.backends.kubernetes.carried import End, Entry, Piece, give_out, take_in
from openclaw_ocm.backends.kubernetes.observed import process_in
from openclaw_ocm.backends.kubernetes.places import GATEWAY, POD, STAND_IN, pod_paths
from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.status import Activity
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive.state import survey

from .fake_model import PONG
from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

    from openclaw_ocm.core.status import Process

WHOLE = Selection(state=pod_paths(InstanceName("ben")).state)
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
def pair(cluster: Cluster) -> Iterator[Pair]:
    """Run two instances, each of which has its own node, volume and token."""
    image = push_image(cluster, build_image())
    first, second = gateway("ada", image), gateway("ben", image, port=19021)
    pair = Pair(cluster, first, second)
    with model(cluster), in_place(cluster, first, second):
        try:
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


def test_its_state_is_read_and_written_in_its_pod_while_it_runs(pair: Pair) -> None:
    first = pair.first
    held = Held(pair.cluster, first)
    volume = held.volume
    assert held.pod() == (POD, GATEWAY)
    volume.check(first.record.name)
    assert json.loads(volume.read("openclaw.json", limit=2**20))["gateway"]["auth"]["token"] == first.token
    volume.write("note", b"one")
    assert volume.replace("note", b"two", before=b"one", limit=9, beside=".beside")
    assert not volume.replace("note", b"three", before=b"one", limit=9, beside=".beside")
    assert inside(pair.cluster, first, "cat", "note") == "two"
    inside(pair.cluster, first, "mkfifo", "pipe")
    inside(pair.cluster, first, "ln", "-s", "/etc/passwd", "link")
    for name in ("pipe", "link"):
        with pytest.raises(OcmError):
            volume.read(name, limit=2**20)
    assert {"note", "pipe", "link", "openclaw.json"} <= {*volume.names(most=999)}
    assert volume.has("nothing", "agents/main")
    assert sum(volume.sizes("state", "agents/*/agent")) > 0
    for name in ("pipe", "link"):
        volume.remove(name)
    with pytest.raises(FileNotFoundError):
        volume.read("pipe", limit=9)


def test_so_is_that_of_one_that_is_stopped_in_a_pod_that_stands_in_for_its_own(pair: Pair) -> None:
    second = pair.second
    held = Held(pair.cluster, second)
    pair.cluster.apply(*second.objects(started=False))
    wait_for(lambda: not get(pair, second, "pods")["items"], 400, "the end of the pod")
    held.stand_in()
    wait_for(lambda: held.pod() == (STAND_IN, STAND_IN), 120, "the pod that stands in")
    held.volume.check(second.record.name)
    config = json.loads(held.volume.read("openclaw.json", limit=2**20))
    assert config["gateway"]["auth"]["token"] == second.token
    found = json.loads(held.run(("python3", "-c", PROVED), b"", 2**16))
    assert (found["capabilities"], found["user"], found["token"]) == (0, 1000, False)
    assert (found["refused"], found["seccomp"]) == ([True] * 5, "2")
    assert b"sk-fake" not in held.run(("env",), b"", 2**16)
    with held.volume.opened() as state:
        found = survey(state.walk(WHOLE, content=False), WHOLE)
        paths = {entry.path for entry, _content in state.walk(WHOLE)}
    assert {"state/openclaw.json", "state/state/openclaw.sqlite"} <= paths
    assert "state/state/openclaw.sqlite" in found.databases
    told = list(give_out(held.where, held.started, content=True, limit=2**30))
    entries = [one for one in told if isinstance(one, Entry)]
    assert {b"openclaw.json", b"state/openclaw.sqlite"} <= {one.path for one in entries}
    kept = {one.path for one in entries if one.shape in ("directory", "file", "link")}
    assert {type(one) for one in told} == {Entry, Piece, End}, "nobody writes it meanwhile"
    take_in(
        held.where,
        held.started,
        "staged",
        (one for one in told if not isinstance(one, Entry) or one.path in kept),
    )
    compared = ("diff", "--recursive", "--no-dereference", "/volume/state", "/volume/staged")
    assert held.run(compared, b"", 2**16) == b""
    held.run(("rm", "-r", "/volume/staged"), b"", 2**16)


def test_while_that_is_there_a_gateway_comes_to_the_same_node(pair: Pair) -> None:
    second = pair.second
    stand_in = get(pair, second, "pod", STAND_IN)
    deploy(pair.cluster, second)
    assert get(pair, second, "pod", POD)["spec"]["nodeName"] == stand_in["spec"]["nodeName"]
    held = Held(pair.cluster, second)
    assert held.pod() == (POD, GATEWAY)
    held.remove_stand_in()
    assert [pod["metadata"]["name"] for pod in get(pair, second, "pods")["items"]] == [POD]
    held.stand_in()
    wait_for(lambda: phase(pair) == "Running", 60, "the pod beside the gateway's")
    assert get(pair, second, "pod", STAND_IN)["spec"]["nodeName"] == stand_in["spec"]["nodeName"]
    held.remove_stand_in()


def test_it_ends_by_itself(pair: Pair) -> None:
    Held(pair.cluster, pair.second).stand_in(seconds=1)
    wait_for(lambda: phase(pair) == "Failed", 60, "the end of the pod")
    assert get(pair, pair.second, "pod", STAND_IN)["status"]["reason"] == "DeadlineExceeded"
    assert Held(pair.cluster, pair.second).pod() == (POD, GATEWAY)


def phase(pair: Pair) -> str:
    found: str = get(pair, pair.second, "pod", STAND_IN)["status"]["phase"]
    return found
