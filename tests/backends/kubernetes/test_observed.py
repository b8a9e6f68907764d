from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.backends.kubernetes.observed import PATIENCE_SECONDS, process_in
from openclaw_ocm.core.status import CONFIG_ERROR, Activity, Answer, Process, State, judge

# 2026-11-28T18:00:00Z
NOW = 1795888800.0
MADE, LATE = "2026-11-28T17:59:30Z", "2026-11-28T17:50:00Z"
SET = {"kind": "StatefulSet", "spec": {"replicas": 1}}
STOPPED = {"kind": "StatefulSet", "spec": {"replicas": 0}}
RUNS = {"running": {"startedAt": "2026-11-28T17:59:40Z"}}


def pod(
    state: dict[str, Any] | None = None,
    *,
    made: str = LATE,
    last: dict[str, Any] | None = None,
    restarts: int = 0,
    **status: Any,  # noqa: ANN401
) -> dict[str, Any]:
    container = {"name": "gateway", "state": state or {}, "restartCount": restarts}
    if last is not None:
        container["lastState"] = {"terminated": last}
    return {
        "metadata": {"name": "gateway-0", "uid": "u2", "creationTimestamp": made},
        "spec": {"nodeName": "w1"},
        "status": {"phase": "Pending", "containerStatuses": [container], **status},
    }


def event(reason: str, message: str, *, kind: str = "Pod", at: str = LATE, uid: str = "u2") -> dict[str, Any]:
    names = {"Pod": "gateway-0", "StatefulSet": "gateway", "PersistentVolumeClaim": "state"}
    owner = {"kind": kind, "name": names[kind], **({"uid": uid} if kind == "Pod" else {})}
    return {"involvedObject": owner, "reason": reason, "message": message, "lastTimestamp": at}


def seen(
    found: object, *events: dict[str, Any], stateful_set: object = SET, now: float = NOW
) -> tuple[Activity, str | None]:
    process = process_in(stateful_set, found, list(events), now=now)
    return process.activity, process.reason


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def unscheduled(message: str, made: str = LATE) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(made=made, conditions=[condition], containerStatuses=[])


MEMORY = "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No victims."
NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
UNBOUND = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."


def test_one_that_runs() -> None:
    found = process_in(SET, pod(RUNS, phase="Running", restarts=2, last={"exitCode": 1}), [], now=NOW)
    assert found == Process(
        activity=Activity.RUNNING,
        installed=True,
        autostart=True,
        exit_status=1,
        restarts=2,
        since=NOW - 20,
        elsewhere=True,
    )


@pytest.mark.parametrize(
    ("stateful_set", "found", "expected"),
    [
        (None, None, Process(activity=Activity.STOPPED, installed=False, autostart=False)),
        (STOPPED, None, Process(activity=Activity.STOPPED, installed=True, autostart=False)),
    ],
)
def test_one_that_is_stopped(stateful_set: object, found: object, expected: Process) -> None:
    assert process_in(stateful_set, found, [], now=NOW) == expected


def test_one_that_is_stopping_by_its_pod_or_by_what_is_wanted() -> None:
    ends = pod(RUNS, phase="Running")
    ends["metadata"]["deletionTimestamp"] = MADE
    assert seen(ends) == (Activity.STOPPING, None)
    assert seen(pod(RUNS, phase="Running"), stateful_set=STOPPED) == (Activity.STOPPING, None)


def test_a_node_that_is_silent_is_told_of_whatever_the_pod_last_was() -> None:
    silent = pod(RUNS, phase="Running", conditions=[{"type": "Ready", "status": "Unknown"}])
    assert seen(silent) == (Activity.WAITING, "its node w1 does not answer")
    ends = copy.deepcopy(silent)
    ends["metadata"]["deletionTimestamp"] = MADE
    assert seen(ends) == (Activity.STOPPING, "its node w1 does not answer")


@pytest.mark.parametrize(
    ("found", "events", "reason"),
    [
        (pod(), [], "its container is being made"),
        (pod(waiting("ContainerCreating")), [], "its container is being made"),
        (pod(waiting("PodInitializing")), [], "its container is being made"),
        (
            unscheduled(MEMORY, MADE),
            [],
            "no node takes it: 0/2 nodes are available: 2 Insufficient memory.",
        ),
        (
            pod(waiting("ErrImagePull", "rpc error"), made=MADE),
            [],
            "its image cannot be pulled: rpc error",
        ),
        (None, [], "its pod is being made"),
        (
            None,
            [
                event("FailedCreate", "old", kind="StatefulSet", at=LATE),
                event("SuccessfulCreate", "new", kind="StatefulSet", at=MADE),
            ],
            "its pod is being made",
        ),
    ],
)
def test_one_that_starts(found: object, events: list[dict[str, Any]], reason: str) -> None:
    assert seen(found, *events) == (Activity.STARTING, reason)


@pytest.mark.parametrize(
    ("found", "events", "reason"),
    [
        (unscheduled(MEMORY), [], "no node takes it: 0/2 nodes are available: 2 Insufficient memory."),
        (
            unscheduled(UNBOUND),
            [
                event(
                    "FailedBinding",
                    NO_CLASS,
                    kind="PersistentVolumeClaim",
                )
            ],
            f"its volume is not made: {NO_CLASS}",
        ),
        (unscheduled(UNBOUND), [], f"no node takes it: {UNBOUND}"),
        (
            pod(waiting("ImagePullBackOff", 'Back-off pulling image "x:1"')),
            [
                event("Failed", 'Failed to pull image "x:1": not found'),
                event("Failed", "Error: ImagePullBackOff", at=MADE),
            ],
            'its image cannot be pulled: Failed to pull image "x:1": not found',
        ),
        (
            pod(waiting("ImagePullBackOff", 'Back-off pulling image "x:1"')),
            [event("Failed", 'Failed to pull image "y:1": not found', uid="u1")],
            'its image cannot be pulled: Back-off pulling image "x:1"',
        ),
        (
            pod(waiting("InvalidImageName", "couldn't parse"), made=MADE),
            [],
            "its image has a name that is none: couldn't parse",
        ),
        (
            pod(waiting("CreateContainerConfigError", 'secret "gateway-env" not found'), made=MADE),
            [],
            'its container cannot be made: secret "gateway-env" not found',
        ),
        (pod(waiting("SomethingNew", "of 1.40")), [], "it waits: SomethingNew, of 1.40"),
        (
            pod(waiting("ContainerCreating")),
            [event("FailedMount", "MountVolume.SetUp failed for volume")],
            "its volume cannot be used: MountVolume.SetUp failed for volume",
        ),
        (
            pod(waiting("ContainerCreating")),
            [event("FailedCreatePodSandBox", "no network plugin")],
            "its pod cannot be set up: no network plugin",
        ),
        (
            pod(
                waiting("PodInitializing"),
                initContainerStatuses=[
                    {
                        "name": "prepare",
                        "state": waiting("CrashLoopBackOff"),
                        "lastState": {"terminated": {"exitCode": 1}},
                    }
                ],
            ),
            [],
            "what prepares its volumes ended with exit 1",
        ),
        (
            pod(
                waiting("PodInitializing"),
                initContainerStatuses=[{"name": "prepare", "state": waiting("ErrImagePull", "denied")}],
            ),
            [],
            "its image cannot be pulled: denied",
        ),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            [],
            "its node put it out: The node was low on resource: memory.",
        ),
        (pod(phase="Failed"), [], None),
        (
            None,
            [
                event(
                    "FailedCreate",
                    'pods "gateway-0" is forbidden: exceeded quota',
                    kind="StatefulSet",
                )
            ],
            'its pod is not made: pods "gateway-0" is forbidden: exceeded quota',
        ),
    ],
)
def test_one_that_lacks_something(found: object, events: list[dict[str, Any]], reason: str | None) -> None:
    assert seen(found, *events) == (Activity.WAITING, reason)


def test_what_a_pod_lacks_at_first_may_come_yet() -> None:
    late = unscheduled(MEMORY)
    made = NOW - 600
    assert seen(late, now=made + PATIENCE_SECONDS - 1)[0] is Activity.STARTING
    assert seen(late, now=made + PATIENCE_SECONDS)[0] is Activity.WAITING


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, "out of memory: the kernel killed it"),
        ({"exitCode": 78, "reason": "Error"}, "exit 78: OpenClaw refuses its config or its state"),
        ({"exitCode": 1, "reason": "Error"}, "ended with exit 1"),
        ({"exitCode": 139, "reason": "Error"}, "ended with signal 11"),
        ({"exitCode": 0, "reason": "Completed"}, "ended with exit 0"),
    ],
)
def test_one_that_ends_again_and_again(last: dict[str, Any], words: str) -> None:
    found = pod(waiting("CrashLoopBackOff", "back-off 10s"), phase="Running", last=last, restarts=3)
    process = process_in(SET, found, [], now=NOW)
    activity = Activity.FAILED if last["exitCode"] == CONFIG_ERROR else Activity.WAITING
    assert (process.activity, process.restarts) == (activity, 3)
    health = judge(process, Answer(), port=19001, stranger=None, now=NOW)
    assert health.state is State.FAILED
    assert health.reason is not None
    assert health.reason.startswith(words)
    ended = pod({"terminated": last}, phase="Running")
    assert process_in(SET, ended, [], now=NOW).activity is activity


def test_the_verdict_has_the_reason() -> None:
    def verdict(found: object, *events: dict[str, Any]) -> tuple[State, str | None, bool]:
        process = process_in(SET, found, list(events), now=NOW)
        answer = Answer(problem="no answer")
        health = judge(process, answer, port=19001, stranger=None, now=NOW)
        return health.state, health.reason, health.fatal

    assert verdict(unscheduled(MEMORY, MADE)) == (
        State.STARTING,
        "no node takes it: 0/2 nodes are available: 2 Insufficient memory.",
        False,
    )
    state, reason, fatal = verdict(unscheduled(MEMORY))
    assert (state, fatal) == (State.FAILED, True)
    assert reason == (
        "no node takes it: 0/2 nodes are available: 2 Insufficient memory.; it is started again by itself"
    )


@pytest.mark.parametrize(
    "time",
    ["2026-13-45T99:99:99Z", "0000-01-01T00:00:00Z", "2026-11-28", "9" * 5000],
)
def test_a_time_that_is_none_is_not_known(time: str) -> None:
    found = pod({"running": {"startedAt": time}}, made=time, phase="Running")
    assert process_in(SET, found, [], now=NOW).since is None


def test_a_message_is_cut_short_and_obeyed_by_no_terminal() -> None:
    _, reason = seen(unscheduled("\x1b[2J\x1b]0;x\x07two\nlines " + "x" * 10_000))
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) < 350


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)
WHOLE = {
    "metadata": {"name": "gateway-0", "uid": "u2", "creationTimestamp": LATE, "deletionTimestamp": None},
    "spec": {"nodeName": "w1", "replicas": 1},
    "status": {
        "phase": "Running",
        "reason": "Evicted",
        "message": "words",
        "conditions": [{"type": "Ready", "status": "Unknown", "message": "words"}],
        "containerStatuses": [
            {
                "name": "gateway",
                "restartCount": 1,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "words"}},
                "lastState": {"terminated": {"exitCode": 137, "signal": 9, "reason": "OOMKilled"}},
            }
        ],
        "initContainerStatuses": [{"name": "prepare", "state": {"running": {"startedAt": LATE}}}],
    },
}


def places_in(value: object) -> list[tuple[object, ...]]:
    """Return the path of every value in a value."""
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [(), *((key, *below) for key, found in items for below in places_in(found))]


def with_value(value: Any, place: tuple[object, ...], new: object) -> Any:  # noqa: ANN401
    if not place:
        return new
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return changed


EVENTS = [event("FailedMount", "words"), event("FailedCreate", "words", kind="StatefulSet")]


@given(st.sampled_from(places_in(WHOLE)), st.sampled_from(places_in(EVENTS)), JSON, JSON)
def test_no_document_is_too_strange(
    place: tuple[object, ...], place_of_event: tuple[object, ...], new: object, other: object
) -> None:
    process = process_in(
        with_value(WHOLE, place, new),
        with_value(WHOLE, place, new),
        with_value(EVENTS, place_of_event, other),
        now=NOW,
    )
    assert process.reason is None or process.reason.isprintable()


@given(JSON, JSON, JSON)
def test_nor_is_one_of_another_kind(stateful_set: object, found: object, events: object) -> None:
    process_in(stateful_set, found, events, now=NOW)
