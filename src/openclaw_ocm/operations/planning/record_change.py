"""A change of a record alone, which a gateway that runs takes up when it is started anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from openclaw_ocm.operations.planning.change import carry_out, make_plan, record_steps
from openclaw_ocm.operations.planning.repair import (
    ready_in_words,
    remember,
    repair_steps,
    restart_steps,
    shell_for_undo,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


def change_record(  # noqa: PLR0913 - what the commands say
    worker: Instance,
    after: Record,
    operation: str,
    what: tuple[str, ...],
    effort: Effort,
    *,
    restart: bool,
    dry_run: bool,
    notes: tuple[str, ...] = (),
    of_mounts: bool = False,
) -> Outcome:
    """Give an instance another record, of which `what` says in words what is new.

    With `restart` a gateway that runs takes it up now, and is proved. One that does not run is made fit to
    start with it; where the change is `of_mounts` and some cannot be shown, that is told when it is to start,
    and keeps nobody from hiding them.
    """
    runs = worker.process.activity.will_run
    steps = record_steps(worker, after)
    if steps and (restart or not runs):
        steps = _taken_up(worker, after, steps, effort, of_mounts=of_mounts)
    outcome = carry_out(
        worker.context,
        make_plan(worker.backend, operation, worker.name, steps),
        done=f"{'; '.join(what)}: {_effect(after, runs=runs, restart=restart)}",
        nothing="nothing to change",
        dry_run=dry_run,
        keep=effort.keep,
        notes=notes,
    )
    return replace(outcome, changes=what if outcome.steps else ())


def _taken_up(
    worker: Instance, after: Record, record: list[Step], effort: Effort, *, of_mounts: bool
) -> list[Step]:
    changed, shell = worker.with_record(after), shell_for_undo(worker)
    if worker.process.activity.will_run:
        return [remember(worker), shell, *record, *restart_steps(changed, effort)]
    unfit = of_mounts and bool(changed.judged.obstacles)
    return [shell, *record, *([] if unfit else repair_steps(changed, repair=effort.repair))]


def _effect(record: Record, *, runs: bool, restart: bool) -> str:
    if not runs:
        return "takes effect at the next start"
    return ready_in_words(record) if restart else f"takes effect with ocm restart {record.name}"
