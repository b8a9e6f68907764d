"""`ocm port`: moves an instance to another port, with all that names it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.openclaw.settings import on_port
from openclaw_ocm.core.steps import Start, Stop
from openclaw_ocm.operations.planning.change import allocating, carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.contents import Contents, replace_contents, with_attempts
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.making import choose_port
from openclaw_ocm.operations.planning.repair import refuse_unrepairable, repair_steps, shell_for_undo

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


def move_port(
    context: Context, name: InstanceName, port: int | None, effort: Effort, *, dry_run: bool
) -> Outcome:
    """Move an instance to `port`, or for None to the next one that is free.

    Record, config, definition, the way into its network and firewall rules follow. A gateway that runs is
    stopped for it, started again and proved. Raises `OcmError` where the port is not to be had.
    """
    with changing(context, name) as worker, allocating(context):
        before = worker.record
        if port == before.port:
            nothing = f"on port {port} already"
            plan = make_plan(worker.backend, "port", name, [])
            return carry_out(context, plan, done="", nothing=nothing, dry_run=dry_run)
        after = msgspec.structs.replace(before, port=choose_port(worker.host, port, moving=before))
        return with_attempts(context, name, lambda: _moved(worker.again(), after, effort, dry_run=dry_run))


def _moved(worker: Instance, after: Record, effort: Effort, *, dry_run: bool) -> Outcome:
    name, before = worker.name, worker.record
    refuse_unrepairable(worker, repair=effort.repair)
    data, config = worker.read_config()
    runs = worker.process.activity.will_run
    old = guard(worker.host, before=before, after=None)
    new = guard(worker.host, before=None, after=after)
    gateway: list[Step] = [
        shell_for_undo(worker),
        *record_steps(worker, after),
        *old.steps,
        *new.steps,
        *repair_steps(worker.with_record(after), repair=effort.repair),
        *((Start(name=name), effort.verify(name)) if runs else ()),
    ]
    outcome = replace_contents(
        worker.context,
        "port",
        name,
        Contents(
            config=_changed(data, config, before.port, after.port),
            # OpenClaw would follow a config that changes while it runs.
            process=Stop(name=name, ran=runs),
            gateway=gateway,
        ),
        done=f"on port {after.port} now, no more on {before.port}",
        dry_run=dry_run,
        keep=effort.keep,
    )
    told = new.told(worker.host, old.told(worker.host, outcome))
    return replace(told, notes=tuple(dict.fromkeys(told.notes)))


def _changed(data: bytes, config: dict[str, Any], before: int, after: int) -> tuple[bytes, bytes] | None:
    changed = on_port(config, before=before, after=after)
    return None if changed == config else (data, format_config(changed))
