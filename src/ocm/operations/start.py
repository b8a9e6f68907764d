"""`ocm start`, `stop` and `restart`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ocm.core.plan import MakeShell, ReloadUnits, Restart, Start, Stop, Verify, WriteUnit
from ocm.core.state import State
from ocm.core.unit import OLDEST_VERSION, is_edited
from ocm.errors import OcmError
from ocm.operations.change import carry_out, changing, make_plan
from ocm.operations.warnings import linger_note
from ocm.system import files
from ocm.system.host import namespaces_forbidden
from ocm.system.openclaw import package_version
from ocm.system.prove import prove
from ocm.system.records import read_record
from ocm.system.shell import check_state, is_current
from ocm.system.verify import verdict_on

if TYPE_CHECKING:
    from ocm.core.names import InstanceName
    from ocm.core.plan import Step
    from ocm.core.record import Record
    from ocm.operations.result import Outcome
    from ocm.system.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long a start waits, and what it does about a failure (`keep`) and an edited unit (`repair`)."""

    timeout_seconds: float
    keep: bool = False
    repair: bool = False

    def verify(self, name: InstanceName) -> Verify:
        """Return the step that verifies `name`."""
        return Verify(name=name, timeout_seconds=self.timeout_seconds)


def start(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Start an instance and prove it; nothing where it is ready and sealed already."""
    with changing(context, name):
        steps = start_steps(context, name, effort)
        return carry_out(
            context,
            make_plan("start", name, steps),
            done="ready and sealed",
            nothing="already ready and sealed",
            dry_run=dry_run,
            keep=effort.keep,
            notes=linger_note(context),
        )


def restart(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Restart an instance, or start it, and prove it."""
    with changing(context, name):
        record = read_record(context.host.paths, name)
        repair = repair_steps(context, name, record, repair=effort.repair)
        steps = [*repair, Restart(name=name), effort.verify(name)]
        return carry_out(
            context,
            make_plan("restart", name, steps),
            done="ready and sealed",
            nothing="",
            dry_run=dry_run,
            keep=effort.keep,
            notes=linger_note(context),
        )


def stop(context: Context, name: InstanceName, *, dry_run: bool) -> Outcome:
    """Stop an instance and every session in it; nothing where it is stopped already."""
    with changing(context, name):
        read_record(context.host.paths, name)
        process = context.backend.observe([name])[name]
        steps: list[Step] = [] if process.activity == "stopped" else [Stop(name=name, ran=True)]
        return carry_out(
            context,
            make_plan("stop", name, steps, commit=0),
            done="stopped",
            nothing="already stopped",
            dry_run=dry_run,
        )


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


def check_machine(context: Context) -> None:
    """Raise `OcmError` where this machine cannot seal an instance, with the command that mends it."""
    version = context.backend.version()
    if version < OLDEST_VERSION:
        message = f"systemd {version} is too old: OCM needs {OLDEST_VERSION} or newer"
        raise OcmError(message, hint="Debian 12 and newer have it", code="systemd_too_old")
    mend = namespaces_forbidden()
    if mend is not None:
        raise OcmError(
            "this machine forbids user namespaces, without which nothing can be sealed",
            hint=f"sudo sysctl -w {mend} (a file in /etc/sysctl.d keeps it)",
            code="namespaces_forbidden",
        )


def repair_steps(context: Context, name: InstanceName, record: Record, *, repair: bool) -> list[Step]:
    """Return the steps that bring unit and sandbox directories back to what the record asks for.

    Raises `OcmError` for a unit that was edited by hand, unless `repair`.
    """
    paths = context.host.instance(name)
    check_machine(context)
    package_version(PurePosixPath(record.runtime.openclaw))
    if not Path(record.runtime.node).exists():
        message = f"the Node of {name} is gone: {record.runtime.node}"
        hint = f"put it back, or change runtime.node in {paths.record}"
        raise OcmError(message, hint=hint, code="node_missing")
    check_state(paths)
    steps: list[Step] = []
    if not is_current(paths, record):
        steps.append(MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=False))
    data = files.read_own(paths.unit)
    before = None if data is None else data.decode(errors="replace")
    wanted = context.unit_text(name, record)
    if before == wanted:
        stale = context.backend.observe([name])[name].changed_on_disk
        return [*steps, ReloadUnits()] if stale else steps
    if before is not None and is_edited(before) and not repair:
        raise OcmError(
            f"the unit of {name} was edited by hand: {paths.unit}",
            hint=f"move the change to a drop-in (systemctl --user edit {paths.unit.name}), "
            f"or ocm start {name} --repair writes the unit anew",
            code="unit_edited",
        )
    return [*steps, WriteUnit(path=str(paths.unit), text=wanted, previous=before), ReloadUnits()]
