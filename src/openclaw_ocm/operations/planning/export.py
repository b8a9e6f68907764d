"""Whether metrics are written by themselves as they were asked for."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.operations.planning.timers import faults
from openclaw_ocm.system.kept.export import read_export

if TYPE_CHECKING:
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.metrics.export import Export
    from openclaw_ocm.instances.context import Context


def export_faults(context: Context, export: Export) -> tuple[str, ...]:
    """Return in words in what the timer that writes metrics is otherwise than it was asked for."""
    return faults(context.backend, ALL, Purpose.METRICS, export.times, lambda: _timer(context))


def export_findings(context: Context) -> tuple[Finding, ...]:
    """Return what is wrong with metrics that are to be written by themselves."""
    export = read_export(context.host.paths)
    if export is None:
        return ()
    found = list(export_faults(context, export))
    failure = None if found else _timer(context).failure
    if failure is not None:
        found.append(f"metrics were not written: {failure}")
    why = f"ocm metrics --textfile {shlex.quote(export.textfile)} tells why"
    mend = why if failure else f"ocm metrics --every {export.every} mends it"
    return tuple(Finding(problem=one, mend=mend, wrong=True) for one in found)


def _timer(context: Context) -> Timer:
    return context.backend.timers(Purpose.METRICS).observe([ALL])[ALL]
