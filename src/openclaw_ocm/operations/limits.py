"""`ocm limits`: what an instance may use at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.record import changed_limits
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.planning.record_change import change_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """What an instance may use at most. A change of it is answered by an `Outcome`."""

    name: str
    memory: str | None
    cpus: float | None
    tasks: int


def limits_of(context: Context, name: InstanceName) -> Limited:
    """Return what an instance may use at most."""
    limits = open_instance(context, name).record.limits
    return Limited(name=name, memory=limits.memory, cpus=limits.cpus, tasks=limits.tasks)


def set_limits(  # noqa: PLR0913 - what the command says
    context: Context,
    name: InstanceName,
    wanted: Mapping[str, Any],
    effort: Effort,
    *,
    restart: bool,
    dry_run: bool,
) -> Outcome:
    """Give an instance limits as `wanted`, by their names in a record; what is not named stays.

    With `restart` a gateway that runs has them now, and is proved.
    """
    with changing(context, name) as worker:
        before = worker.record.limits
        limits = msgspec.structs.replace(before, **wanted)
        what = changed_limits(before, limits)
        after = msgspec.structs.replace(worker.record, limits=limits)
        return change_record(worker, after, "limits", what, effort, restart=restart, dry_run=dry_run)
