"""`ocm start`, `stop` and `restart`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.plan import Restart, Stop
from openclaw_ocm.core.status import Activity
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.repair import ready_in_words, repair_steps, start_steps
from openclaw_ocm.operations.planning.timers import timer_steps

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


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


def restart(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Restart an instance, or start it, and prove it."""
    with changing(context, name) as worker:
        repair = repair_steps(worker, repair=effort.repair)
        steps = [*repair, *timer_steps(worker), Restart(name=name), effort.verify(name)]
        return carry_out(
            worker.context,
            make_plan(worker.backend, "restart", name, steps),
            done=ready_in_words(worker.record),
            nothing="",
            dry_run=dry_run,
            keep=effort.keep,
            notes=worker.backend.notes(),
        )


def stop(context: Context, name: InstanceName, *, dry_run: bool) -> Outcome:
    """Stop an instance and every session in it; nothing where it is stopped already."""
    with changing(context, name) as worker:
        stopped = worker.process.activity is Activity.STOPPED
        steps: list[Step] = [] if stopped else [Stop(name=name, ran=True)]
        return carry_out(
            worker.context,
            make_plan(worker.backend, "stop", name, steps, commit=0),
            done="stopped",
            nothing="already stopped",
            dry_run=dry_run,
        )
