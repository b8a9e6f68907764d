"""Judges instances, and waits until one is ready and its sandbox is proved from within."""

from __future__ import annotations

import functools
import re
import time
from typing import TYPE_CHECKING

from openclaw_ocm.core.status import Activity, Answer, Health, State, judge
from openclaw_ocm.errors import OcmError, as_ocm_error
from openclaw_ocm.instances.instance import by_backend, open_instance
from openclaw_ocm.instances.last_words import last_words
from openclaw_ocm.system.openclaw.package import version_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.status import Listener
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance

    # What a gateway answers, and who else listens in its place.
    _Heard = tuple[Answer, Listener | None]

_POLL_SECONDS = 0.5
# When it is looked what keeps a gateway from being ready, and how patient one is who gets more patience.
_LEASE_SECONDS, _PATIENT_SECONDS = 45.0, 120.0
_ASK_SECONDS = 5.0
# As SQLite says SQLITE_CORRUPT and SQLITE_NOTADB.
_DAMAGED = re.compile(r"database disk image is malformed|file is not a database")


def verify(context: Context, name: InstanceName, *, timeout_seconds: float) -> None:
    """Return once the gateway is ready with the right version and its sandbox is proved.

    Raises `OcmError` with the gateway's own last words otherwise.
    """
    worker, began = open_instance(context, name), time.time()
    context.report("wait for the gateway")
    worker = _wait_until_ready(worker, timeout_seconds)
    context.report("prove the sandbox")
    found = worker.violations()
    try:
        still = _is_still(worker)
    finally:
        # Whether or not that is answered.
        if found:
            worker.backend.stop([name])
    if not still:
        # What was found of it is what an end looks like from outside.
        message = f"the gateway of {name} ended while it was verified"
        raise OcmError(message, code="not_ready", details=last_words(worker.context, name, since=began))
    if found:
        raise OcmError(
            f"the sandbox of {name} is not in force, and it was stopped",
            hint=f"ocm status {name} shows what changes it from outside",
            code="not_sealed",
            details=found,
        )


def _is_still(worker: Instance) -> bool:
    """Tell whether the process that was looked at goes on."""
    process = worker.process
    return worker.backend.lives(process) and worker.again().process.run == process.run


def watch(context: Context, name: InstanceName, *, seconds: float) -> None:
    """Return once a gateway that is ready has gone on for so long as the same process.

    Raises `OcmError` with its own last words where it ends meanwhile.
    """
    worker, began, wall = open_instance(context, name), time.monotonic(), time.time()
    run = worker.process.run
    context.report(f"watch it for {seconds:g} s")
    while (waited := time.monotonic() - began) < seconds:
        time.sleep(min(_POLL_SECONDS, seconds - waited))
        worker = worker.again()
        if worker.process.run != run or run is None:
            message = f"{name} became ready and ended within {round(waited) + 1} s"
            words = last_words(worker.context, name, since=wall)
            raise OcmError(message, hint=f"ocm logs {name}", code="not_ready", details=words)


def _wait_until_ready(worker: Instance, timeout_seconds: float) -> Instance:
    """Return the instance as it was observed when it was ready."""
    began, wall = time.monotonic(), time.time()
    name = worker.name
    wanted = version_of(worker.record.runtime)
    awaited: str | None = None
    looked = False
    while True:
        worker = worker.again()
        verdict = verdicts([worker])[name]
        if verdict.state is State.READY and worker.process.run is not None:
            if verdict.version != wanted:
                message = f"{name} answers as OpenClaw {verdict.version}, not {wanted}"
                raise OcmError(message, code="wrong_version")
            return worker
        waited = time.monotonic() - began
        if not looked and not verdict.fatal and waited > min(_LEASE_SECONDS, timeout_seconds):
            awaited, more = _awaited(worker)
            looked = True
            # It ends by itself: to give up before would be to kill the next one as well.
            timeout_seconds += more if timeout_seconds >= _PATIENT_SECONDS else 0.0
        # A channel that is not connected yet makes a gateway not ready, which may pass: an exit does not.
        if verdict.fatal or waited > timeout_seconds:
            late = f"not ready after {round(waited)} s ({awaited or verdict.reason})"
            reason = verdict.reason if verdict.fatal else late
            # What it said at its start came before anybody waited for it.
            words = last_words(worker.context, name, since=min(wall, worker.process.since or wall))
            raise OcmError(
                f"{name} did not become ready: {reason}",
                hint=_hint(name, verdict, words),
                code="not_ready",
                details=words,
            )
        time.sleep(_POLL_SECONDS)


def _awaited(worker: Instance) -> tuple[str | None, float]:
    """Return in words for what lease of its predecessor a gateway waits, and for how many seconds."""
    from openclaw_ocm.core.openclaw.leases import in_words
    from openclaw_ocm.instances.leases import awaited_lease
    from openclaw_ocm.system.host import local_zone

    lease = awaited_lease(worker)
    if lease is None:
        return None, 0.0
    words = in_words(lease, local_zone())
    worker.context.report(words)
    return f"it {words}", max(lease.until - time.time(), 0.0)


def _hint(name: InstanceName, verdict: Health, words: tuple[str, ...]) -> str:
    if verdict.taken:
        return f"stop that program, or ocm port {name} takes another port"
    if verdict.fatal and any(_DAMAGED.search(line) for line in words):
        return "ocm backups list names its backups: ocm restore ARCHIVE --replace keeps what is damaged aside"
    return f"ocm logs {name}" if verdict.fatal else "--timeout gives it longer"


def verdicts(instances: Collection[Instance]) -> dict[InstanceName, Health]:
    """Return the verdict on each instance: backends and gateways are all asked at once.

    A backend that does not answer is the reason why its gateways are not ready, and costs the others nothing.
    """
    up = (one for one in instances if one.process.activity is not Activity.STOPPED)
    heard = {name: found for its in _at_once(by_backend(up)) for name, found in its.items()}
    return {one.name: _verdict(one, *heard.get(one.name, (Answer(), None))) for one in instances}


def _at_once(groups: Sequence[Sequence[Instance]]) -> list[dict[InstanceName, _Heard]]:
    """Return what is heard of the instances of each backend: one deadline holds for all."""
    if len(groups) <= 1:
        return list(map(_heard, groups))
    # Few have two backends.
    from openclaw_ocm.system.in_time import at_once

    return at_once([functools.partial(_heard, its) for its in groups])


def _heard(instances: Sequence[Instance]) -> dict[InstanceName, _Heard]:
    """Return what gateways of one backend answer, and who else listens in their place."""
    backend, gateways = instances[0].backend, [one.gateway for one in instances]
    try:
        answers = backend.ask(gateways, deadline_seconds=_ASK_SECONDS)
        strangers = backend.strangers(gateways)
    except (OcmError, OSError) as error:
        silent = Answer(problem=as_ocm_error(error).message)
        return {one.name: (silent, None) for one in instances}
    return {one.name: (answers[one.name], strangers.get(one.name)) for one in instances}


def _verdict(one: Instance, answer: Answer, stranger: Listener | None) -> Health:
    if not one.process.installed:
        return Health(state=State.FAILED, reason=f"no definition: ocm start {one.name} writes it")
    return judge(one.process, answer, port=one.record.port, stranger=stranger, now=time.time())
