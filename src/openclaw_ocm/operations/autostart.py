"""`ocm enable` and `ocm disable`: whether an instance starts with the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.steps import Disable, Enable
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.repair import repair_steps

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


def set_autostart(context: Context, name: InstanceName, *, wanted: bool, dry_run: bool) -> Outcome:
    """Have an instance start with the machine, or no longer; nothing where it is so already."""
    with changing(context, name) as worker:
        record = worker.record
        steps: list[Step] = repair_steps(worker, repair=False) if wanted else []
        if record.autostart is not wanted:
            steps += record_steps(worker, msgspec.structs.replace(record, autostart=wanted))
        if worker.process.autostart is not wanted:
            steps.append(Enable(name=name) if wanted else Disable(name=name))
        word = "enabled" if wanted else "disabled"
        return carry_out(
            worker.context,
            make_plan(worker.backend, "enable" if wanted else "disable", name, steps),
            done=word,
            nothing=f"already {word}",
            dry_run=dry_run,
            notes=worker.backend.notes() if wanted else (),
        )
