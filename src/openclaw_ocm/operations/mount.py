"""`ocm mount` and `ocm unmount`: what of the host an instance sees by its owner's word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.record import MOST_SHOWN
from openclaw_ocm.core.sandbox.shown import in_words, normal
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.repair import (
    ready_in_words,
    remember,
    repair_steps,
    restart_steps,
    shell_for_undo,
)
from openclaw_ocm.system.shown import refuse_new

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record, Shown
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """What an instance is shown of the host; `problems` say what keeps it from being shown some of it.

    A change of it is answered by an `Outcome`.
    """

    name: str
    mounts: tuple[Shown, ...]
    problems: tuple[str, ...]


def mounted(context: Context, name: InstanceName) -> Mounts:
    """Return what an instance is shown."""
    worker = open_instance(context, name)
    problems = tuple(error.message for error in worker.judged.obstacles)
    return Mounts(name=name, mounts=worker.record.mounts, problems=problems)


def mount(  # noqa: PLR0913 - what the command says
    context: Context, name: InstanceName, shown: Shown, effort: Effort, *, restart: bool, dry_run: bool
) -> Outcome:
    """Show an instance a file or folder of the host; what it is shown already gets another place or right.

    With `restart` a gateway that runs sees it now. Raises `OcmError` for what no instance may see.
    """
    with changing(context, name) as worker:
        if not worker.record.sealed:
            message = f"{name} has no sandbox, and reaches all that you reach"
            raise OcmError(message, code="mount_refused")
        kept = tuple(one for one in worker.record.mounts if one.path != shown.path)
        if len(kept) == MOST_SHOWN:
            message = f"{name} is shown {MOST_SHOWN} files and folders, which is the most"
            raise OcmError(message, hint=f"ocm mount {name}", code="mount_refused")
        after = msgspec.structs.replace(worker.record, mounts=(*kept, shown))
        refuse_new(worker.host, after, worker.with_record(after).own_policy, shown)
        what = f"show {in_words(shown)}"
        return _carry_out(worker, after, what, effort, restart=restart, dry_run=dry_run)


def unmount(  # noqa: PLR0913 - what the command says
    context: Context, name: InstanceName, path: str, effort: Effort, *, restart: bool, dry_run: bool
) -> Outcome:
    """Show an instance no longer what it is shown, by its own path or by where it sees it."""
    with changing(context, name) as worker:
        wanted = normal(path)
        gone = [one for one in worker.record.mounts if wanted in (one.path, one.at)]
        if not gone:
            message = f"{name} is not shown {path}"
            raise OcmError(message, hint=f"ocm mount {name} lists what it is shown", code="mount_unknown")
        kept = tuple(one for one in worker.record.mounts if one not in gone)
        after = msgspec.structs.replace(worker.record, mounts=kept)
        return _carry_out(worker, after, f"hide {gone[0].path}", effort, restart=restart, dry_run=dry_run)


def _carry_out(  # noqa: PLR0913 - what both verbs say
    worker: Instance, after: Record, what: str, effort: Effort, *, restart: bool, dry_run: bool
) -> Outcome:
    name, runs = worker.name, worker.process.activity.will_run
    outcome = carry_out(
        worker.context,
        make_plan(worker.backend, "mount", name, _steps(worker, after, effort, runs=runs, restart=restart)),
        done=f"{what}: {_effect(after, runs=runs, restart=restart)}",
        nothing="nothing to change",
        dry_run=dry_run,
        keep=effort.keep,
    )
    return replace(outcome, changes=(what,) if outcome.steps else ())


def _steps(worker: Instance, after: Record, effort: Effort, *, runs: bool, restart: bool) -> list[Step]:
    record = record_steps(worker, after)
    if not record or (runs and not restart):
        return record
    changed = worker.with_record(after)
    if not runs:
        # What else of it cannot start is told when it is to start, and keeps nobody from hiding what is gone.
        repair = [] if changed.judged.obstacles else repair_steps(changed, repair=effort.repair)
        return [shell_for_undo(worker), *record, *repair]
    return [remember(worker), shell_for_undo(worker), *record, *restart_steps(changed, effort)]


def _effect(record: Record, *, runs: bool, restart: bool) -> str:
    if not runs:
        return "takes effect at the next start"
    return ready_in_words(record) if restart else f"takes effect with ocm restart {record.name}"
