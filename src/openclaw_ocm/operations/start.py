"""`ocm start`, `stop` and `restart`."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from openclaw_ocm.core.status import Activity
from openclaw_ocm.core.steps import Stop
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import known
from openclaw_ocm.operations.planning.change import carry_out, changing, locked, make_plan
from openclaw_ocm.operations.planning.repair import ready_in_words, remember, restart_steps, start_steps
from openclaw_ocm.operations.planning.result import Outcome
from openclaw_ocm.operations.planning.timers import timer_steps
from openclaw_ocm.system.kept.names import instance_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort

# An agent that is idle ends within it.
_GRACE_SECONDS = 3.0


def start(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Start an instance and prove it; nothing where it is ready and sealed already."""
    with changing(context, name) as worker:
        steps = [*timer_steps(worker), *start_steps(worker, effort)]
        ready = ready_in_words(worker.record)
        return carry_out(
            worker.context,
            make_plan(worker.backend, "start", name, steps),
            done=ready,
            nothing=f"already {ready}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=worker.backend.notes(),
        )


def restart(
    context: Context, name: InstanceName, effort: Effort, *, dry_run: bool, stopped_too: bool = True
) -> Outcome:
    """Restart an instance, or start it, and prove it; one that is stopped is left so unless `stopped_too`.

    A failure brings the old process back, with the definition that it had; one that was stopped is so again.
    """
    with changing(context, name) as worker:
        steps: list[Step] = []
        if stopped_too or worker.process.activity is not Activity.STOPPED:
            steps = [remember(worker), *timer_steps(worker), *restart_steps(worker, effort)]
        return carry_out(
            worker.context,
            make_plan(worker.backend, "restart", name, steps),
            done=ready_in_words(worker.record),
            nothing="stopped, and left so",
            dry_run=dry_run,
            keep=effort.keep,
            notes=worker.backend.notes(),
        )


def stop(context: Context, name: InstanceName, *, dry_run: bool, now: bool = False) -> Outcome:
    """Stop an instance and every session in it; nothing where it is stopped already.

    It needs no room on the disk, no readable record, and no change of before that could be mended. With `now`
    a gateway that waits for work in progress is killed, whoever asked it to stop.
    """
    killed: list[InstanceName] = []
    with contextlib.ExitStack() as meanwhile:
        if now and not dry_run:
            killed = meanwhile.enter_context(_hurrying(known(context, name).context, name))
        outcome = _stop(context, name, dry_run=dry_run)
    return replace(outcome, notes=(*outcome.notes, "what it was at was cut off")) if killed else outcome


def _stop(context: Context, name: InstanceName, *, dry_run: bool) -> Outcome:
    unmended: list[OcmError] = []
    with locked(context, name, ending=True, unmended=unmended) as sentence:
        if sentence is not None and name not in instance_names(context.host.paths):
            # What was cut off had made it.
            return Outcome(name=name, operation="stop", changed=True, message=sentence, dry_run=False)
        at, _record, process = known(context, name)
        stopped = process.activity is Activity.STOPPED
        steps: list[Step] = [] if stopped else [Stop(name=name, ran=True)]
        return carry_out(
            at,
            make_plan(at.backend, "stop", name, steps, commit=0),
            done="stopped",
            nothing="already stopped",
            dry_run=dry_run,
            notes=(*filter(None, (sentence,)), *map(str, unmended)),
        )


@contextlib.contextmanager
def _hurrying(context: Context, name: InstanceName) -> Iterator[list[InstanceName]]:
    """Have the gateway killed each time that it is being stopped and takes longer than a moment.

    Meanwhile: it may be another ocm that stops it, or what is mended. Yields who was killed.
    """
    killed: list[InstanceName] = []
    over = threading.Event()

    def hurry() -> None:
        while True:
            with contextlib.suppress(OcmError, OSError):
                killed.extend(context.backend.kill([name]))
            if over.wait(_GRACE_SECONDS):
                return

    thread = threading.Thread(target=hurry, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
