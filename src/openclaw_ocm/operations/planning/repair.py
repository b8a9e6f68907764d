"""What is missing between an instance as it is and a proved, ready gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.backends.definition import Standing, compare, is_edited
from openclaw_ocm.core.status import State
from openclaw_ocm.core.steps import (
    Load,
    MakeShell,
    Remember,
    Restart,
    Start,
    Verify,
    WriteDefinition,
)
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.openclaw.runtime import check_runtime
from openclaw_ocm.system.sandbox_directories import is_current
from openclaw_ocm.system.uplinks import check_uplink
from openclaw_ocm.system.variables import changeable_files, missing_files

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance

# What a backend says of the time of a start is in whole seconds.
_START_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long a start waits, whether it keeps a failure, and whether it repairs an edited definition."""

    timeout_seconds: float
    keep: bool = False
    repair: bool = False

    def verify(self, name: InstanceName) -> Verify:
        """Return the step that verifies `name`."""
        return Verify(name=name, timeout_seconds=self.timeout_seconds)


def ready_in_words(record: Record) -> str:
    """Return in words what a verified instance is."""
    return "ready and sealed" if record.sealed else "ready, not sealed"


def start_steps(worker: Instance, effort: Effort) -> list[Step]:
    """Return what is missing between the instance as it is and a proved, ready gateway."""
    name, verify = worker.name, effort.verify(worker.name)
    steps = repair_steps(worker, repair=effort.repair)
    # One that waits for its turn gets it by this.
    if worker.process.queued or not worker.process.activity.has_process:
        return [*steps, Start(name=name), verify]
    if steps:
        return [remember(worker), *steps, Restart(name=name), verify]
    if worker.violations():
        # What runs is not sealed, so an undo need not bring it back.
        return [Restart(name=name), verify]
    # One that starts or has lost a channel is not helped by being stopped: it is waited for.
    return [] if verdicts([worker])[name].state is State.READY else [verify]


def runs_with_older_secrets(worker: Instance) -> bool:
    """Tell whether secrets were changed since the gateway started: it reads them then and never again."""
    since = worker.process.since
    if since is None:
        return False
    return Path(worker.paths.secrets).stat().st_mtime > since + _START_SECONDS


def remember(worker: Instance) -> Remember:
    """Return the step whose undo brings back what runs now of an instance."""
    process = worker.process
    return Remember(name=worker.name, runs=process.activity.will_run, pid=process.pid, since=process.since)


def restart_steps(worker: Instance, effort: Effort) -> list[Step]:
    """Return the steps by which a gateway gets what it reads only when it starts, and is proved."""
    repair = repair_steps(worker, repair=effort.repair)
    return [*repair, Restart(name=worker.name), effort.verify(worker.name)]


def repair_steps(worker: Instance, *, repair: bool, replaced: bool = False) -> list[Step]:
    """Return the steps that bring definition and sandbox directories back to what the record asks for.

    A state that is to be `replaced` may be in any condition. Raises `OcmError` for a definition that was
    edited by hand, unless `repair`.
    """
    _refuse_unstartable(worker)
    if not replaced:
        worker.volume.check(worker.name)
    name, paths, wanted = worker.name, worker.paths, worker.definition
    steps: list[Step] = []
    if not is_current(paths, worker.record):
        steps.append(MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=False))
    standing, before = compare(wanted, files.read_own(wanted.path))
    if standing is Standing.CURRENT:
        return [*steps, Load(name=name)] if worker.process.changed_on_disk else steps
    if standing is Standing.EDITED and not repair:
        raise _edited(name, wanted.path)
    write = WriteDefinition(name=name, path=str(wanted.path), text=wanted.text, previous=before)
    return [*steps, write, Load(name=name)]


def shell_for_undo(worker: Instance) -> MakeShell:
    """Return the step before a changed record whose undo makes the sandbox directories by the old one."""
    paths = worker.paths
    return MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=False, kept=True)


def refuse_unrepairable(worker: Instance, *, repair: bool) -> None:
    """Raise `OcmError` where `repair_steps` would, for who writes the definition in any case."""
    _refuse_unstartable(worker)
    worker.volume.check(worker.name)
    path = worker.backend.definition_path(worker.name)
    data = files.read_own(path)
    if data is not None and is_edited(data.decode(errors="replace")) and not repair:
        raise _edited(worker.name, path)


def _refuse_unstartable(worker: Instance) -> None:
    """Raise `OcmError` where the machine cannot run the instance, or what it runs is gone."""
    worker.backend.check(sealed=worker.record.sealed)
    if worker.record.isolated:
        check_uplink(worker.host, f"ocm network {worker.name} shared")
    for obstacle in worker.judged.obstacles:
        raise obstacle
    check_runtime(worker.record)
    version_of(worker.record.runtime)
    for variable, file in missing_files(worker.record.environment) if worker.record.sealed else ():
        message = f"{variable} of {worker.name} names {file}, which is not there"
        hint = f"put it back, or ocm env {worker.name} unset {variable}"
        raise OcmError(message, hint=hint, code="variable_file")
    changeable = changeable_files(worker.paths.host, worker.record.environment)
    for variable, directory, whose in changeable if worker.record.sealed else ():
        message = (
            f"{variable} of {worker.name} names a file in {directory}, {whose}, and could be led elsewhere"
        )
        hint = f"keep it where no instance writes, and ocm env {worker.name} set {variable}=PATH"
        raise OcmError(message, hint=hint, code="variable_file")


def _edited(name: InstanceName, path: PurePosixPath) -> OcmError:
    return OcmError(
        f"the definition of {name} was edited by hand: {path}",
        hint=f"ocm start {name} --repair writes it anew",
        code="definition_edited",
    )
