"""What a process in a pod says: what proves it, and that nothing that is missing or odd does."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden import CASES
from tests.backends.kubernetes.pods import MOUNTS, answer, template

from openclaw_ocm.backends.kubernetes.pod_answers import (
    MOST_BYTES,
    answer_violations,
    asking_for,
    parse_answer,
    question,
    reach_violations,
    reached,
)
from openclaw_ocm.backends.kubernetes.pod_places import METADATA, SERVER, Place
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = Place(address="10.244.2.9", port=19021, what="another instance")
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)


def said(document: object) -> bytes:
    return json.dumps(document).encode()


def judged(document: object) -> list[str]:
    found = parse_answer(said(document))
    return [*answer_violations(found, template()), *reach_violations(found, ())]


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = answer()
    change(document)
    return document


def mounted(line: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document.update(mounts=f"{MOUNTS}{line}\n")


def without(point: str) -> Callable[[dict[str, Any]], object]:
    kept = "".join(line for line in MOUNTS.splitlines(keepends=True) if line.split(" ")[4] != point)
    return lambda document: document.update(mounts=kept)


@pytest.mark.parametrize("case", CASES)
def test_a_pod_as_it_should_be_has_no_violation(case: str) -> None:
    found = parse_answer(said(answer()))
    assert list(answer_violations(found, template(case))) == []
    assert list(reach_violations(found, ())) == []


SABOTAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "capability": (
        lambda said: said["status"].update(CapEff="0000000000002000"),
        "a process inside has effective capabilities (0000000000002000)",
    ),
    "bounding set": (lambda said: said["status"].update(CapBnd="00000000a80425fb"), "has bounding"),
    "no capabilities": (lambda said: said["status"].pop("CapAmb"), "did not tell its ambient capabilities"),
    "odd capabilities": (lambda said: said["status"].update(CapPrm="-0"), "did not tell its permitted"),
    "privileges": (lambda said: said["status"].update(NoNewPrivs="0"), "may gain new privileges"),
    "filter": (lambda said: said["status"].update(Seccomp="0"), "has no system call filter"),
    "root": (lambda said: said["status"].update(Uid="0\t0\t0\t0"), "has another user than 1000: 0"),
    "half root": (lambda said: said["status"].update(Uid="1000\t1000\t0\t1000"), "another user than 1000"),
    "group": (lambda said: said["status"].update(Gid="0\t0\t0\t0"), "has another group than 1000"),
    "root's group": (lambda said: said["status"].update(Groups="0 1000"), "is in the group of root"),
    "no groups": (lambda said: said["status"].pop("Groups"), "or did not tell its groups: nothing"),
    "writable": (lambda said: said["write"].update({"/usr": "done"}), "a process inside can write /usr"),
    "by mode alone": (
        lambda said: said["write"].update({"/": "EACCES"}),
        "/ is not mounted read-only: writing there ends with EACCES",
    ),
    "untold": (lambda said: said["write"].pop("/etc"), "did not tell whether it can write /etc"),
    "setting": (
        lambda said: said["write"].update({"/proc/sys/kernel/core_pattern": "done"}),
        "a process inside can write /proc/sys/kernel/core_pattern",
    ),
    "untold setting": (
        lambda said: said["write"].pop("/proc/sysrq-trigger"),
        "did not tell whether it can write /proc/sysrq-trigger",
    ),
    "settings": (
        lambda said: said.update(settings=["/proc/sys/kernel/ns_last_pid"]),
        "can write settings of the kernel, such as /proc/sys/kernel/ns_last_pid",
    ),
    "no settings": (lambda said: said.update(settings=None), "did not tell which settings of the kernel"),
    "lost state": (
        lambda said: said["write"].update({"/home/node/.openclaw": "EIO"}),
        "a process inside cannot write /home/node/.openclaw: EIO",
    ),
    "token": (
        lambda said: said.update(tokens=["/var/run/secrets/kubernetes.io/serviceaccount/token"]),
        "has a token for the API server at /var/run/secrets/kubernetes.io/serviceaccount/token",
    ),
    "no tokens": (lambda said: said.update(tokens=None), "did not tell whether it has a token"),
    "device": (
        lambda said: said["devices"].append(["/dev/fuse", "c", 10, 229]),
        "a process inside has devices of the node: /dev/fuse (10:229)",
    ),
    "disk": (
        lambda said: said["devices"].append(["/dev/null", "b", 1, 3]),
        "devices of the node: /dev/null",
    ),
    "memory": (lambda said: said["devices"].append(["/dev/mem", "c", 1, 1]), "of the node: /dev/mem (1:1)"),
    "no devices": (lambda said: said.update(devices=None), "did not tell which devices"),
    "writable root": (
        lambda said: said.update(mounts=MOUNTS.replace(" / / ro,", " / / rw,")),
        "the root inside is not mounted read-only",
    ),
    "a second root": (
        mounted("7 594 0:1 / / rw - overlay overlay rw"),
        "the root inside is not mounted read-only",
    ),
    "no root": (without("/"), "the root inside is not among what is mounted"),
    "no state": (without("/home/node/.openclaw"), "nothing is mounted at /home/node/.openclaw inside"),
    "no mounts": (lambda said: said.update(mounts=""), "the root inside is not among what is mounted"),
    "more mounts than are read": (
        lambda said: said.update(mounts=MOUNTS + "x" * (2**18 - len(MOUNTS))),
        "tells of more mounts than a pod has",
    ),
    "node": (
        mounted("7 594 254:1 /etc /host rw - ext4 /dev/vda rw"),
        "ext4 is mounted at /host, which the pod is not given",
    ),
    "runtime": (
        mounted("7 594 0:1 / /run/containerd/containerd.sock rw - tmpfs tmpfs rw"),
        "tmpfs is mounted at /run/containerd/containerd.sock",
    ),
    "account": (
        mounted("7 594 0:1 / /run/secrets/kubernetes.io/serviceaccount ro - tmpfs tmpfs ro"),
        "tmpfs is mounted at /run/secrets/kubernetes.io/serviceaccount",
    ),
    "node's devices": (mounted("7 594 0:6 / /dev rw - devtmpfs devtmpfs rw"), "devtmpfs is mounted at /dev"),
    "debugging": (
        mounted("7 599 0:7 / /sys/kernel/debug ro - debugfs debugfs rw"),
        "debugfs is mounted at /sys/kernel/debug",
    ),
    "control groups": (
        mounted("7 599 0:7 / /sys/fs/cgroup/pids rw - cgroup cgroup rw"),
        "/sys/fs/cgroup/pids inside can be written",
    ),
    "node's files in proc": (mounted("7 595 254:1 / /proc/x rw - ext4 /dev/vda rw"), "ext4 is mounted at"),
    "no server": (lambda said: said.update(server=None), "did not tell where the API server is"),
    "odd server": (lambda said: said.update(server="here 443"), "did not tell where the API server is"),
    "no reach": (lambda said: said.update(reach={}), "did not tell whether it reaches the API server"),
}


@pytest.mark.parametrize(("change", "words"), SABOTAGE.values(), ids=SABOTAGE)
def test_what_is_more_or_not_told_is_found(change: Callable[[dict[str, Any]], object], words: str) -> None:
    told = judged(changed(change))
    assert any(words in one for one in told), told


def test_what_an_instance_calls_a_token_in_its_own_volumes_is_none() -> None:
    assert judged(changed(lambda said: said.update(tokens=["/home/node/.openclaw/token"]))) == []


def test_what_holds_the_hierarchies_of_control_groups_is_the_containers_own() -> None:
    """As containerd 1.6 makes it on a node with control groups of the first version."""
    held = "7 599 0:208 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755"
    each = "8 7 0:29 /kubepods/x /sys/fs/cgroup/cpu ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpu"
    assert judged(changed(mounted(f"{held}\n{each}"))) == []


def test_devices_of_a_pod_with_a_user_namespace_are_bound_from_the_node() -> None:
    for place in ("/dev/null", "/proc/kcore"):
        bound = f"7 596 0:6 /null {place} rw,nosuid - devtmpfs devtmpfs rw"
        assert judged(changed(mounted(bound))) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{" * 100_000,
        b"[" * 100_000,
        b"\xff",
        said(answer())[:-1],
        said({**answer(), "more": 1}),
        said({**answer(), "tokens": "none"}),
        said({**answer(), "status": [1]}),
        said({**answer(), "settings": ["/proc/sys/x"] * 101}),
        said({**answer(), "mounts": "x" * 300_000}),
        said(answer()) + b" " * MOST_BYTES,
        said({**answer(), "devices": [["/dev/null", "c", 1]]}),
        said({**answer(), "devices": [["/dev/null", "c", True, 3]]}),
        *(said({key: value for key, value in answer().items() if key != name}) for name in answer()),
    ],
)
def test_what_is_no_answer_proves_nothing(text: bytes) -> None:
    with pytest.raises(OcmError) as caught:
        parse_answer(text)
    assert caught.value.code == "not_sealed"
    assert sum(map(len, caught.value.details)) <= 200


def test_what_was_said_instead_is_told_so_that_a_terminal_obeys_nothing() -> None:
    with pytest.raises(OcmError) as caught:
        parse_answer(b"Traceback\x1b[2J\nOSError: \x07no such file")
    assert caught.value.details == ("Traceback OSError:  no such file",)


@given(st.binary(max_size=200))
def test_whatever_bytes_come_are_refused(text: bytes) -> None:
    with pytest.raises(OcmError):
        parse_answer(text)


@given(st.data(), JSON)
def test_whatever_stands_in_an_answer_is_refused_or_judged(data: st.DataObject, value: object) -> None:
    document = answer()
    part: Any = document
    key = data.draw(st.sampled_from(sorted(document)))
    if isinstance(document[key], dict) and data.draw(st.booleans()):
        part, key = document[key], data.draw(st.sampled_from(sorted(document[key])))
    part[key] = value
    with contextlib.suppress(OcmError):
        judged(document)


@given(st.sampled_from(sorted(answer()["status"].keys() - {"Groups"})), st.text())
def test_no_other_status_than_the_right_one_proves_anything(name: str, value: str) -> None:
    document = answer()
    right = document["status"][name]
    document["status"][name] = value
    assert judged(document) or value.split() == right.split()


@pytest.mark.parametrize("part", ["status", "write", "reach"])
def test_of_each_thing_it_is_a_violation_that_nothing_was_told(part: str) -> None:
    for key in answer()[part]:
        document = answer()
        del document[part][key]
        assert judged(document), key


def test_what_was_reached_is_told_by_what_it_is() -> None:
    document = answer()
    document["reach"] |= {str(OTHER): "reached", str(METADATA): "ECONNREFUSED", "10.96.0.1 443": "reached"}
    found = parse_answer(said(document))
    assert [place.what for place in reached(found, (OTHER, METADATA))] == [SERVER, "another instance"]
    assert list(reach_violations(found, (OTHER, METADATA))) == []
    third = Place(address="fd00::1", port=10250, what="the kubelet of its node")
    assert reached(found, (third,)) == (Place(address="10.96.0.1", port=443, what=SERVER),)
    assert list(reach_violations(found, (third,))) == [
        "a process inside did not tell whether it reaches the kubelet of its node at [fd00::1]:10250"
    ]


def test_the_server_is_told_by_what_the_user_calls_it_where_both_are_one() -> None:
    document = {**answer(), "reach": {"10.96.0.1 443": "reached"}}
    known = Place(address="10.96.0.1", port=443, what="the API server of here")
    assert reached(parse_answer(said(document)), (known,)) == (known,)


def test_it_is_asked_for_all_that_is_judged() -> None:
    asked = json.loads(question(template(), (METADATA, OTHER)))
    assert asked["write"] == list(dict.fromkeys(asked["write"]))
    assert set(asked["write"]) == set(answer()["write"])
    assert asked["reach"] == ["169.254.169.254 80", "10.244.2.9 19021"]
    assert json.loads(asking_for(OTHER)) == {"write": [], "reach": ["10.244.2.9 19021"]}
