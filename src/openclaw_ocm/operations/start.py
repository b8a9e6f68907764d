"""`ocm start`, `stop` and `restart`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.backends.definition import is_edited
from openclaw_ocm.core.names import unknown_instance
from openclaw_ocm.core.plan import Load, MakeShell, Restart, Start, Stop, Verify, WriteDefinition
from openclaw_ocm.core.status import State
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.prove import prove
from openclaw_ocm.instances.verify import verdict_on
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.schedule import timer_steps
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.find import package_version
from openclaw_ocm.system.sandbox_directories import check_state, is_current

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long a start waits, whether it keeps a failure, and whether it repairs an edited definition."""

    timeout_seconds: float
    keep: bool = False
    repair: bool = False

    def verify(self, name: InstanceName) -> Verify:
        """Return the step that verifies `name`."""
        return Verify(name=name, timeout_seconds=self.timeout_seconds)


def start(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Start an instance and prove it; nothing where it is ready and sealed already."""
    with changing(context, name):
        record = read_record(context.host.paths, name)
        steps = [*timer_steps(context, name, record), *start_steps(context, name, effort)]
        return carry_out(
            context,
            make_plan(context, "start", name, steps),
            done=ready_in_words(record),
            nothing=f"already {ready_in_words(record)}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=context.backend.notes(),
        )


def restart(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Restart an instance, or start it, and prove it."""
    with changing(context, name):
        record = read_record(context.host.paths, name)
        repair = repair_steps(context, name, record, repair=effort.repair)
        timer = timer_steps(context, name, record)
        steps = [*repair, *timer, Restart(name=name), effort.verify(name)]
        return carry_out(
            context,
            make_plan(context, "restart", name, steps),
            done=ready_in_words(record),
            nothing="",
            dry_run=dry_run,
            keep=effort.keep,
            notes=context.backend.notes(),
        )


def stop(context: Context, name: InstanceName, *, dry_run: bool) -> Outcome:
    """Stop an instance and every session in it; nothing where it is stopped already."""
    with changing(context, name):
        if name not in instance_names(context.host.paths):
            raise unknown_instance(name, instance_names(context.host.paths))
        # What is to be stopped need not be understood.
        process = context.backend.observe([name])[name]
        steps: list[Step] = [] if process.activity == "stopped" else [Stop(name=name, ran=True)]
        return carry_out(
            context,
            make_plan(context, "stop", name, steps, commit=0),
            done="stopped",
            nothing="already stopped",
            dry_run=dry_run,
        )


def is_alive(context: Context, name: InstanceName) -> bool:
    """Tell whether a gateway runs, or would by itself in a moment."""
    return context.backend.observe([name])[name].activity in ("running", "starting", "waiting")


def ready_in_words(record: Record) -> str:
    """Return in words what a verified instance is."""
    return "ready and sealed" if record.sealed else "ready, not sealed"


def start_steps(context: Context, name: InstanceName, effort: Effort) -> list[Step]:
    """Return what is missing between the instance as it is and a proved, ready gateway."""
    record = read_record(context.host.paths, name)
    verify = effort.verify(name)
    steps = repair_steps(context, name, record, repair=effort.repair)
    process = context.backend.observe([name])[name]
    if process.activity in ("stopped", "failed", "waiting"):
        return [*steps, Start(name=name), verify]
    if steps:
        return [*steps, Restart(name=name), verify]
    if prove(context, name, record, process):
        return [Restart(name=name), verify]
    # One that starts or has lost a channel is not helped by being stopped: it is waited for.
    return [] if verdict_on(process, record).state is State.READY else [verify]


def repair_steps(context: Context, name: InstanceName, record: Record, *, repair: bool) -> list[Step]:
    """Return the steps that bring definition and sandbox directories back to what the record asks for.

    Raises `OcmError` for a definition that was edited by hand, unless `repair`.
    """
    paths = context.host.instance(name)
    context.backend.check(sealed=record.sealed)
    package_version(PurePosixPath(record.runtime.openclaw))
    if not Path(record.runtime.node).exists():
        message = f"the Node of {name} is gone: {record.runtime.node}"
        hint = f"put it back, or change runtime.node in {paths.record}"
        raise OcmError(message, hint=hint, code="node_missing")
    check_state(paths)
    steps: list[Step] = []
    if not is_current(paths, record):
        steps.append(MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=False))
    wanted = context.definition(name, record)
    data = files.read_own(wanted.path)
    before = None if data is None else data.decode(errors="replace")
    if before == wanted.text:
        stale = context.backend.observe([name])[name].changed_on_disk
        return [*steps, Load(name=name)] if stale else steps
    if before is not None and is_edited(before) and not repair:
        raise OcmError(
            f"the definition of {name} was edited by hand: {wanted.path}",
            hint=f"ocm start {name} --repair writes it anew",
            code="definition_edited",
        )
    write = WriteDefinition(name=name, path=str(wanted.path), text=wanted.text, previous=before)
    return [*steps, write, Load(name=name)]
