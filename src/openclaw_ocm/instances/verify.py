"""Waits until a gateway is ready, then proves its sandbox from within."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.status import State, judge
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.last_words import last_words
from openclaw_ocm.instances.prove import prove
from openclaw_ocm.system import health, processes
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.find import package_version

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.status import Health, Process
    from openclaw_ocm.instances.context import Context

_POLL_SECONDS = 0.5
_ASK_SECONDS = 5.0


def verify(context: Context, name: InstanceName, *, timeout_seconds: float) -> None:
    """Return once the gateway is ready with the right version and its sandbox is proved.

    Raises `OcmError` with the gateway's own last words otherwise.
    """
    record = read_record(context.host.paths, name)
    began = time.time()
    context.report("wait for the gateway")
    process = _wait_until_ready(context, name, record, timeout_seconds)
    context.report("prove the sandbox")
    found = prove(context, name, record, process)
    if found:
        context.backend.stop([name])
        raise OcmError(
            f"the sandbox of {name} is not in force, and it was stopped",
            hint=f"ocm status {name} shows what changes it from outside",
            code="not_sealed",
            details=found,
        )
    if context.backend.observe([name])[name].pid != process.pid:
        message = f"the gateway of {name} ended while it was verified"
        raise OcmError(message, code="not_ready", details=last_words(context, name, since=began))


def _wait_until_ready(
    context: Context, name: InstanceName, record: Record, timeout_seconds: float
) -> Process:
    began, wall = time.monotonic(), time.time()
    wanted = package_version(PurePosixPath(record.runtime.openclaw))
    while True:
        process = context.backend.observe([name])[name]
        verdict = verdict_on(process, record)
        if verdict.state is State.READY and process.pid is not None:
            if verdict.version != wanted:
                message = f"{name} answers as OpenClaw {verdict.version}, not {wanted}"
                raise OcmError(message, code="wrong_version")
            return process
        waited = time.monotonic() - began
        # A channel that is not connected yet makes a gateway not ready, which may pass: an exit does not.
        if verdict.fatal or waited > timeout_seconds:
            reason = (
                verdict.reason if verdict.fatal else f"not ready after {round(waited)} s ({verdict.reason})"
            )
            raise OcmError(
                f"{name} did not become ready: {reason}",
                hint=f"ocm logs {name}" if verdict.fatal else "--timeout gives it longer",
                code="not_ready",
                details=last_words(context, name, since=wall),
            )
        time.sleep(_POLL_SECONDS)


def verdict_on(process: Process, record: Record) -> Health:
    """Return the verdict on one instance whose process was just observed."""
    # ask_all() and not ask(): its deadline is for the whole answer, which an instance may draw out.
    name = InstanceName(record.name)
    answer = health.ask_all({name: record.port}, deadline_seconds=_ASK_SECONDS)[name]
    heard = processes.listeners([record.port]).get(record.port)
    own = heard is None or (
        heard.pid is not None
        and process.pid is not None
        and processes.is_same_or_below(heard.pid, process.pid)
    )
    return judge(process, answer, port=record.port, stranger=None if own else heard, now=time.time())
