"""`ocm clone`: a new instance with the settings and the workspaces of another, and a life of its own."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from openclaw_ocm.core.record import Record
from openclaw_ocm.core.steps import (
    CloneConfig,
    CopyWorkspaces,
    MakeShell,
    MakeState,
    Start,
    WriteRecord,
)
from openclaw_ocm.instances.first_config import cloned_config
from openclaw_ocm.instances.inheritance import read_duplicate
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.planning.able import missed, without_installed
from openclaw_ocm.operations.planning.change import CLONE, allocating, carry_out, changing, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.judging import refuse_config
from openclaw_ocm.operations.planning.making import (
    choose_port,
    refuse_existing,
    refuse_instance,
    setting_up,
)
from openclaw_ocm.operations.planning.repair import ready_in_words
from openclaw_ocm.operations.planning.runtimes import Preferred, next_runtime
from openclaw_ocm.operations.planning.selecting import select
from openclaw_ocm.operations.planning.shown import not_shown
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.openclaw.runtime import gone
from openclaw_ocm.system.uplinks import check_uplink
from openclaw_ocm.system.workspaces import survey_workspaces

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

# What lies in the databases of its state: a copy would be the same device, and answer the same chats twice.
_LEFT_OUT = (
    "left out: memory, sessions, cron jobs, paired devices, logins and credentials that {name} keeps itself"
)


def clone(  # noqa: PLR0913 - what was asked for
    context: Context,
    name: InstanceName,
    new: InstanceName,
    effort: Effort,
    *,
    port: int | None,
    start: bool,
    dry_run: bool,
) -> Outcome:
    """Make the instance `new` with the settings, the keys and the workspaces of `name`, and prove it.

    It gets a gateway token, an identity and databases of its own, and never a copy of those. A clone that
    fails leaves no trace. `name` is not stopped. Raises `OcmError` where there is one called `new`.
    """
    with changing(context, name, new, reads=CLONE) as original, contextlib.ExitStack() as until_reserved:
        until_reserved.enter_context(allocating(context))
        original.volume.check(name)
        refuse_instance(original.paths.host, new)
        worker = _planned(original, new, port)
        refuse_existing(worker)
        context.report(f"look through {name}")
        found = read_duplicate(original, worker.record)
        selection, _outside = select(original)
        with original.volume.opened() as state:
            walk = state.walk(selection, content=False)
            left_out = survey_workspaces(walk, selection, state.disk.free)
        config = cloned_config(context.host, worker.record, found)
        judged = refuse_config(worker, config, found, trusted=False)
        rules = guard(context.host, before=None, after=worker.record)
        steps = _steps(original, worker, rules.steps, selection.workspaces)
        outcome = carry_out(
            replace(worker.context, inheritance=found),
            make_plan(
                worker.backend,
                "clone",
                new,
                [*steps, *((Start(name=new), effort.verify(new)) if start else ())],
                others=(name,),
            ),
            done=_done(name, worker.record, start=start),
            nothing="",
            dry_run=dry_run,
            keep=effort.keep,
            notes=(
                *worker.backend.notes(),
                _LEFT_OUT.format(name=name),
                *left_out,
                *not_shown(new, original.record),
                *found.notes,
                *missed(worker, found, None, found.notes),
                *judged,
            ),
            reserved=until_reserved.close,
        )
        return rules.told(context.host, without_installed(worker, outcome))


def _runtime(host: Host, have: Runtime) -> Runtime:
    """Return what the original runs, or where that is gone what is found."""
    return have if gone(have) is None else next_runtime(host, have, Preferred())


def _planned(original: Instance, new: InstanceName, port: int | None) -> Instance:
    """Return the clone to be: with sandbox and limits of the original, not exposed, on its own port."""
    record, host = original.record, original.host
    original.backend.check(sealed=record.sealed)
    if record.isolated:
        check_uplink(host, f"ocm network {original.name} shared")
    clone = Record(
        name=new,
        backend=record.backend,
        sealed=record.sealed,
        network=record.network,
        allow=record.allow,
        port=choose_port(host, port),
        autostart=record.autostart,
        runtime=_runtime(host, record.runtime),
        limits=record.limits,
        environment=record.environment,
    )
    return instance_of(original.context, clone)


def _steps(original: Instance, worker: Instance, rules: list[Step], workspaces: frozenset[str]) -> list[Step]:
    paths = worker.paths
    return [
        WriteRecord(path=str(paths.record), text=encode_record(worker.record)),
        MakeState(path=str(paths.state)),
        MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        CloneConfig(path=str(paths.config), source=original.name),
        CopyWorkspaces(
            path=str(paths.state),
            source=str(original.paths.state),
            workspaces=tuple(sorted(workspaces)),
        ),
        *setting_up(worker, rules, autostart=worker.record.autostart),
    ]


def _done(name: InstanceName, record: Record, *, start: bool) -> str:
    if not start:
        return f"made of {name}, not started: ocm start {record.name}"
    return f"made of {name} on port {record.port}, {ready_in_words(record)}"
