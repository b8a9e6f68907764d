"""Reads what a cluster says of a gateway: its StatefulSet, its pod, and the events about both.

What a message in there says others have written, an instance among them: it is cut short, made printable, and
decides what a person is told. What is of another kind than it should be is as if it were not there.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.status import CONFIG_ERROR, OUT_OF_MEMORY, Activity, Process, signal_in
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a pod may be without what it needs: volumes are made, nodes come, and registries answer late.
PATIENCE_SECONDS = 60
_MOST_EVENTS, _MOST_CONTAINERS, _MOST_CONDITIONS = 500, 10, 50
_MAX_WORDS = 300
_MAX_NUMBER = 2**31
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
# What of the scheduler's message is about pods that could make room.
_PREEMPTION = re.compile(r"\s*preemption:.*", re.DOTALL)
_TIMES = ("lastTimestamp", "eventTime", "firstTimestamp")
# Of whom the events are that tell of a gateway.
TOLD_OF = {"StatefulSet": places.GATEWAY, "Pod": places.POD, "PersistentVolumeClaim": places.STATE}
# Why a container waits, by what the kubelet calls it (pkg/kubelet/images, pkg/kubelet/container).
_PULLING = (
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "ImageInspectError",
    "SignatureValidationFailed",
)
# Of no use to wait for.
_CERTAIN = {
    "InvalidImageName": "its image has a name that is none",
    "ErrImageNeverPull": "its image is not on the node and may not be pulled",
    "CreateContainerConfigError": "its container cannot be made",
}
_REFUSED = {
    **_CERTAIN,
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
    "StartError": "its container cannot be started",
}
_BEGINNING = ("ContainerCreating", "PodInitializing")
_RESTARTED = "CrashLoopBackOff"
# Why a pod does not get so far, by the events of the kubelet and of the controllers of volumes.
_VOLUME = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedBinding", "ProvisioningFailed")
_SANDBOX = ("FailedCreatePodSandBox",)
_MADE = ("SuccessfulCreate", "SuccessfulDelete", "FailedCreate")


class _Event(NamedTuple):
    kind: str
    reason: str
    message: str
    moment: float


class _Ended(NamedTuple):
    """How the last process of a container ended; nothing where none has."""

    exit_status: int | None = None
    killed_by: int | None = None
    result: str = "success"


def process_in(stateful_set: object, pod: object, events: object, *, now: float) -> Process:
    """Return what the documents of a gateway say of its process.

    Each is as the API server's JSON has it, None where there is none; `events` are those of the namespace.
    `now` is in seconds since the epoch.
    """
    wanted, seen = as_object(stateful_set), as_object(pod)
    # Without a number it is one: that is the API's default.
    started = bool(wanted) and lookup(wanted, "spec.replicas") != 0
    told = _events(events, lookup(seen, "metadata.uid"))
    if not seen:
        return _without_pod(told, installed=bool(wanted), started=started)
    gateway = _container(seen, "containerStatuses", places.GATEWAY)
    activity, reason = (
        _doing(seen, gateway, told, now) if started else (Activity.STOPPING, _unreachable(seen))
    )
    ended = _ended(gateway)
    return Process(
        activity=activity,
        installed=bool(wanted),
        autostart=started,
        exit_status=ended.exit_status,
        killed_by=ended.killed_by,
        result="success" if activity.has_process else ended.result,
        restarts=_number(gateway.get("restartCount")) or 0,
        since=_since(seen, gateway),
        elsewhere=bool(as_object(lookup(gateway, "state.running"))),
        reason=reason,
    )


def _without_pod(events: list[_Event], *, installed: bool, started: bool) -> Process:
    if not started:
        return Process(activity=Activity.STOPPED, installed=installed, autostart=False)
    activity, reason = Activity.STARTING, "its pod is being made"
    last = next((one for one in events if one.kind == "StatefulSet" and one.reason in _MADE), None)
    if last is not None and last.reason == "FailedCreate":
        activity, reason = Activity.WAITING, f"its pod is not made: {last.message}"
    return Process(activity=activity, installed=True, autostart=True, reason=reason)


def _doing(
    pod: dict[str, Any], gateway: dict[str, Any], events: list[_Event], now: float
) -> tuple[Activity, str | None]:
    """Return what the process of a pod does, and the reason where that is not what was asked for."""
    if lookup(pod, "metadata.deletionTimestamp") is not None:
        return Activity.STOPPING, _unreachable(pod)
    if lookup(pod, "status.phase") == "Failed":
        return Activity.WAITING, _failed(pod)
    if (unreachable := _unreachable(pod)) is not None:
        return Activity.WAITING, unreachable
    state = as_object(gateway.get("state"))
    if as_object(state.get("running")):
        return Activity.RUNNING, None
    waiting = _words(lookup(state, "waiting.reason"))
    if state.get("terminated") is not None or waiting == _RESTARTED:
        # The cluster goes on to try; it is of no use before somebody has mended the config.
        return (Activity.FAILED if _ended(gateway).exit_status == CONFIG_ERROR else Activity.WAITING), None
    return _beginning(pod, state, events, now)


def _beginning(
    pod: dict[str, Any], state: dict[str, Any], events: list[_Event], now: float
) -> tuple[Activity, str | None]:
    """Return what a pod does that has no gateway yet: it starts, until it lacks something for too long."""
    lacking = (
        _unscheduled(pod, events)
        or _unprepared(pod, events)
        or _refused(state, events)
        or _not_set_up(events)
    )
    if lacking is None:
        return Activity.STARTING, "its container is being made"
    certain = _words(lookup(state, "waiting.reason")) in _CERTAIN
    began = moment(lookup(pod, "metadata.creationTimestamp"))
    patient = not certain and began is not None and now - began < PATIENCE_SECONDS
    return (Activity.STARTING if patient else Activity.WAITING), lacking


def _unscheduled(pod: dict[str, Any], events: list[_Event]) -> str | None:
    """Return why no node has taken a pod, None where one has."""
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") != "False":
        return None
    volume = next(
        (one for one in events if one.kind == "PersistentVolumeClaim" and one.reason in _VOLUME), None
    )
    message = _words(condition.get("message"))
    if volume is not None and "PersistentVolumeClaim" in message:
        return f"its volume is not made: {volume.message}"
    return f"no node takes it: {_PREEMPTION.sub('', message) or 'none of them fits'}"


def _unprepared(pod: dict[str, Any], events: list[_Event]) -> str | None:
    """Return why what runs before the gateway does not get done, None where nothing is known of that."""
    container = _container(pod, "initContainerStatuses", places.PREPARATION)
    refused = _refused(as_object(container.get("state")), events)
    if refused is not None:
        return refused
    ended = _ended(container)
    if ended.killed_by is not None:
        return f"what prepares its volumes ended with signal {ended.killed_by}"
    return f"what prepares its volumes ended with exit {ended.exit_status}" if ended.exit_status else None


def _refused(state: dict[str, Any], events: list[_Event]) -> str | None:
    """Return why a container is not made or started, None where nothing is known of that."""
    reason, message = (_words(lookup(state, f"waiting.{key}")) for key in ("reason", "message"))
    if reason in _PULLING:
        # What the kubelet said when it tried: meanwhile the container merely waits for the next time.
        tried = (one.message for one in events if one.kind == "Pod" and one.reason == "Failed")
        said = next((words for words in tried if "pull" in words), message)
        return f"its image cannot be pulled: {said or reason}"
    if reason in _REFUSED:
        return f"{_REFUSED[reason]}: {message}" if message else _REFUSED[reason]
    if reason and reason not in (*_BEGINNING, _RESTARTED):
        return f"it waits: {reason}{f', {message}' if message else ''}"
    return None


def _not_set_up(events: list[_Event]) -> str | None:
    """Return what the last event says that a pod on its node lacks, None where it says of nothing."""
    last = next((one for one in events if one.kind == "Pod"), None)
    if last is None:
        return None
    if last.reason in _VOLUME:
        return f"its volume cannot be used: {last.message}"
    return f"its pod cannot be set up: {last.message}" if last.reason in _SANDBOX else None


def _unreachable(pod: dict[str, Any]) -> str | None:
    """Return that the node of a pod is silent, None where it is not: what it said last stands there still."""
    ready = _condition(pod, "Ready")
    if ready.get("status") != "Unknown" and lookup(pod, "status.phase") != "Unknown":
        return None
    node = _words(lookup(pod, "spec.nodeName"))
    return f"its node {node} does not answer" if node else "its node does not answer"


def _failed(pod: dict[str, Any]) -> str | None:
    """Return why a pod was given up that is made anew, None where it does not say."""
    reason, message = (_words(lookup(pod, f"status.{key}")) for key in ("reason", "message"))
    if reason == "Evicted":
        return f"its node put it out: {message}" if message else "its node put it out"
    return f"its pod failed: {message or reason}" if message or reason else None


def _ended(container: dict[str, Any]) -> _Ended:
    last = as_object(lookup(container, "state.terminated") or lookup(container, "lastState.terminated"))
    if not last:
        return _Ended()
    status = _number(last.get("exitCode"))
    number = _number(last.get("signal")) or signal_in(status)
    result = OUT_OF_MEMORY if last.get("reason") == "OOMKilled" else "success" if status == 0 else "exit-code"
    return _Ended(exit_status=status if number is None else None, killed_by=number, result=result)


def _since(pod: dict[str, Any], gateway: dict[str, Any]) -> float | None:
    """Return since when the gateway runs, or where it does not, the pod is there."""
    running = moment(lookup(gateway, "state.running.startedAt"))
    return moment(lookup(pod, "metadata.creationTimestamp")) if running is None else running


def _container(pod: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found = (as_object(one) for one in _list(lookup(pod, f"status.{kind}"), _MOST_CONTAINERS))
    return next((one for one in found if one.get("name") == name), {})


def _condition(pod: dict[str, Any], kind: str) -> dict[str, Any]:
    found = (as_object(one) for one in _list(lookup(pod, "status.conditions"), _MOST_CONDITIONS))
    return next((one for one in found if one.get("type") == kind), {})


def _events(found: object, pod: object) -> list[_Event]:
    """Return the events about the gateway, the newest first, and none of a former pod of the same name.

    `pod` is the uid of the one there is.
    """
    return sorted(_about_gateway(found, pod), key=lambda event: event.moment, reverse=True)


def _about_gateway(found: object, pod: object) -> Iterator[_Event]:
    for event in map(as_object, _list(found, _MOST_EVENTS)):
        kind = _words(lookup(event, "involvedObject.kind"))
        if kind not in TOLD_OF or TOLD_OF[kind] != lookup(event, "involvedObject.name"):
            continue
        if kind == "Pod" and lookup(event, "involvedObject.uid") not in (None, pod):
            continue
        times = (lookup(event, "series.lastObservedTime"), *map(event.get, _TIMES))
        told = next((at for at in map(moment, times) if at is not None), 0.0)
        yield _Event(kind, _words(event.get("reason")), _words(event.get("message")), told)


def _list(value: object, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _words(value: object) -> str:
    return printable(value, limit=_MAX_WORDS).strip() if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < _MAX_NUMBER else None


def moment(value: object) -> float | None:
    """Return a time of the API's in seconds since the epoch, None where it is none."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
    return whole + float(f"0.{match[2] or 0}")
