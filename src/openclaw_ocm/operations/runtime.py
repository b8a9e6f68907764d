"""`ocm runtime use`: has instances run another Node and OpenClaw than those that they were made with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_all
from openclaw_ocm.instances.schemas import refuse_migration, refuse_newer_state
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.runtimes import named, next_runtime, refuse_older, runtime_steps
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.openclaw.runtime import gone
from openclaw_ocm.system.sandbox_directories import is_current

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


def without_runtime(context: Context) -> tuple[InstanceName, ...]:
    """Return the instances whose Node or OpenClaw is gone."""
    opened = open_all(context, instance_names(context.host.paths))
    return tuple(name for name, one in opened.instances.items() if gone(one.record.runtime) is not None)


def use_runtime(  # noqa: PLR0913 - what the command says
    context: Context,
    name: InstanceName,
    paths: tuple[str, ...],
    *,
    anew: bool,
    effort: Effort,
    dry_run: bool,
) -> Outcome:
    """Have an instance run what `paths` name, and else what it has, or `anew` what is found.

    A gateway that runs is restarted and proved. Raises `OcmError` where nothing is found that fits.
    """
    with changing(context, name) as worker:
        runtime = next_runtime(context.host, worker.record.runtime, named(context.host, paths, anew=anew))
        _refuse_unreadable(worker, runtime)
        steps = runtime_steps(worker, runtime, effort)
        state = _in_words(runtime)
        idle = worker.record.autostart and not worker.process.activity.will_run
        told = f"it would then run {state}" if dry_run else f"it does not run: ocm start {name}"
        return carry_out(
            worker.context,
            make_plan(worker.backend, "runtime", name, steps),
            done=f"runs {state}",
            nothing=f"runs {state} already",
            dry_run=dry_run,
            keep=effort.keep,
            notes=(told,) if steps and (idle or dry_run) else (),
        )


def _refuse_unreadable(worker: Instance, runtime: Runtime) -> None:
    """Raise `OcmError` where an OpenClaw could not read a state, or had to change it first."""
    if not Path(worker.paths.state, "state", "openclaw.sqlite").exists():
        return
    try:
        have = version_of(worker.record.runtime)
        wanted = version_of(runtime)
    except OcmError:
        # Of one that is gone nobody knows the version.
        return
    refuse_older(worker.name, have, wanted)
    # Without its directories nothing can be run inside.
    if have != wanted and is_current(worker.paths, worker.record):
        refuse_newer_state(worker, runtime)
        refuse_migration(worker, runtime)


def _in_words(runtime: Runtime) -> str:
    try:
        version = version_of(runtime)
    except OcmError:
        version = "of unknown version"
    return f"OpenClaw {version} ({runtime.openclaw}) on {runtime.node}"
