from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.sandbox.obstacle import setup_failure
from openclaw_ocm.core.status import (
    START_GRACE_SECONDS,
    Activity,
    Answer,
    Health,
    Listener,
    Process,
    State,
    judge,
)

NOW = 1_000_000.0
RUNNING = Process(activity=Activity.RUNNING, installed=True, autostart=False, pid=10, since=NOW - 100)
READY = Answer(ready=True, phase="started", version="2026.9.6")
STRANGER = Listener(pid=7, command="python3")
REFUSED = Answer(problem="not listening yet")


def verdict(
    process: Process = RUNNING, answer: Answer = READY, stranger: Listener | None = None
) -> tuple[State, str | None]:
    health = judge(process, answer, port=19001, stranger=stranger, now=NOW)
    return health.state, health.reason


def process(**changes: Any) -> Process:  # noqa: ANN401
    return dataclasses.replace(RUNNING, **changes)


@pytest.mark.parametrize(
    ("activity", "state", "words"),
    [
        (Activity.STOPPING, State.DRAINING, "its node does not answer"),
        (Activity.FAILED, State.FAILED, "its node does not answer"),
        (
            Activity.WAITING,
            State.FAILED,
            "its node does not answer; it is started again by itself",
        ),
        (Activity.STARTING, State.STARTING, "its node does not answer"),
        (Activity.STOPPED, State.STOPPED, None),
    ],
)
def test_what_a_backend_knows_is_told_before_all_else(
    activity: Activity, state: State, words: str | None
) -> None:
    seen = process(activity=activity, exit_status=1, reason="its node does not answer")
    assert verdict(seen, REFUSED) == (state, words)


def ended(**changes: Any) -> Process:  # noqa: ANN401
    failed = {"activity": Activity.FAILED, "pid": None, "since": None, "result": "exit-code"}
    return process(**{**failed, **changes})


@pytest.mark.parametrize(
    ("seen", "answer", "expected"),
    [
        (RUNNING, READY, (State.READY, None)),
        (RUNNING, REFUSED, (State.STARTING, "not listening yet")),
        (process(activity=Activity.STARTING), REFUSED, (State.STARTING, "not listening yet")),
        (
            process(activity=Activity.STARTING, queued=True, pid=None, since=NOW - 1000),
            REFUSED,
            (State.STARTING, "waits for its turn: not all start at once"),
        ),
        (RUNNING, Answer(phase="starting"), (State.STARTING, "not ready")),
        (
            RUNNING,
            Answer(phase="starting", failing=("startup-sidecars", "telegram")),
            (State.STARTING, "startup-sidecars, telegram"),
        ),
        (RUNNING, Answer(phase="draining"), (State.DRAINING, "draining")),
        (RUNNING, Answer(phase="draining", ready=True), (State.DRAINING, "draining")),
        (
            process(activity=Activity.STOPPING),
            READY,
            (State.DRAINING, "stopping, work in progress may finish"),
        ),
        (RUNNING, Answer(phase="started", failing=("telegram",)), (State.FAILED, "not ready: telegram")),
        (RUNNING, Answer(phase="started"), (State.FAILED, "not ready: not ready")),
        (process(activity=Activity.STOPPED), REFUSED, (State.STOPPED, None)),
        (
            process(since=NOW - START_GRACE_SECONDS - 1),
            REFUSED,
            (State.FAILED, "not ready after 301 s: not listening yet"),
        ),
        (process(since=NOW - START_GRACE_SECONDS), REFUSED, (State.STARTING, "not listening yet")),
        (process(since=None), REFUSED, (State.STARTING, "not listening yet")),
    ],
)
def test_activity_and_answer_together_make_the_verdict(
    seen: Process, answer: Answer, expected: tuple[State, str | None]
) -> None:
    assert verdict(seen, answer) == expected


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (ended(exit_status=78), "exit 78: OpenClaw refuses its config or its state"),
        (
            ended(exit_status=226),
            f"it never ran: {setup_failure(226)}",
        ),
        (ended(exit_status=200), "it never ran: its directory cannot be entered (200/CHDIR)"),
        (ended(exit_status=199), "ended with exit 199"),
        (ended(exit_status=1), "ended with exit 1"),
        (ended(killed_by=9, result="signal"), "ended with signal 9"),
        (ended(killed_by=9, result="oom-kill"), "out of memory: the kernel killed it"),
        (
            ended(exit_status=1, result="start-limit-hit"),
            "gave up after too many restarts, last exit exit 1",
        ),
    ],
)
def test_a_failed_process_has_its_reason(seen: Process, reason: str) -> None:
    state, told = verdict(seen, REFUSED)
    assert state is State.FAILED
    assert told is not None
    assert told.startswith(reason)
    waiting = dataclasses.replace(seen, activity=Activity.WAITING)
    assert verdict(waiting, REFUSED) == (State.FAILED, f"{told}; it is started again by itself")


@pytest.mark.parametrize("activity", [Activity.RUNNING, Activity.STARTING, Activity.WAITING, Activity.FAILED])
def test_a_taken_port_is_told_with_who_has_it(activity: Activity) -> None:
    seen = process(activity=activity)
    assert verdict(seen, READY, STRANGER) == (State.FAILED, "port 19001 is taken by PID 7 (python3)")
    unknown = Listener(pid=None, command=None)
    assert verdict(seen, READY, unknown) == (State.FAILED, "port 19001 is taken by another process")
    nameless = Listener(pid=7, command=None)
    assert verdict(seen, READY, nameless) == (State.FAILED, "port 19001 is taken by PID 7 (unknown)")


def test_a_stopped_instance_is_stopped_whoever_has_its_port() -> None:
    assert verdict(process(activity=Activity.STOPPED), READY, STRANGER) == (State.STOPPED, None)


@given(
    activity=st.sampled_from(Activity),
    ready=st.booleans(),
    phase=st.sampled_from(["starting", "started", "draining", None]),
    stranger=st.sampled_from([None, STRANGER]),
    age=st.floats(0, 10_000),
)
def test_only_a_running_ready_gateway_on_its_own_port_is_ready(
    *, activity: Activity, ready: bool, phase: str | None, stranger: Listener | None, age: float
) -> None:
    answer = Answer(ready=ready, phase=phase)
    health = judge(
        process(activity=activity, since=NOW - age), answer, port=19001, stranger=stranger, now=NOW
    )
    runs = activity in (Activity.RUNNING, Activity.STARTING)
    wanted = runs and ready and phase != "draining" and stranger is None
    assert (health.state is State.READY) == wanted
    assert (health.reason is None) == (health.state in (State.READY, State.STOPPED))


def test_the_version_is_passed_on_whenever_there_was_an_answer() -> None:
    for answer in (
        READY,
        dataclasses.replace(READY, ready=False),
        dataclasses.replace(READY, phase="draining"),
    ):
        health: Health = judge(RUNNING, answer, port=19001, stranger=None, now=NOW)
        assert health.version == "2026.9.6"


@pytest.mark.parametrize(
    ("activity", "has_process", "is_up", "will_run"),
    [
        (Activity.RUNNING, True, True, True),
        (Activity.STARTING, True, True, True),
        # It has a process, and is not to be counted on.
        (Activity.STOPPING, True, True, False),
        # The next restart comes by itself.
        (Activity.WAITING, False, True, True),
        (Activity.STOPPED, False, False, False),
        (Activity.FAILED, False, False, False),
    ],
)
def test_what_an_activity_means(
    activity: Activity, *, has_process: bool, is_up: bool, will_run: bool
) -> None:
    assert (activity.has_process, activity.is_up, activity.will_run) == (has_process, is_up, will_run)


@pytest.mark.parametrize(
    ("seen", "run"),
    [
        (process(pid=7, since=NOW), 7),
        (process(pid=None, since=NOW), None),
        (process(pid=None, since=NOW, elsewhere=True), NOW),
    ],
)
def test_a_run_is_told_from_others_by_its_process_or_elsewhere_by_its_beginning(
    seen: Process, run: float | None
) -> None:
    assert seen.run == run
