"""`ocm rename`: an instance under another name, with all that it is and was."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.firewall import own_rules
from openclaw_ocm.core.steps import (
    Disable,
    Exchange,
    MakeShell,
    RemoveDefinition,
    RemoveFile,
    RemoveLink,
    RemoveTree,
    RewritePaths,
    SetSource,
    Start,
    Stop,
    WriteRecord,
)
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.making import refuse_existing, refuse_instance, setting_up
from openclaw_ocm.operations.planning.moved_programs import stale_programs
from openclaw_ocm.operations.planning.removal import refuse_unremovable
from openclaw_ocm.operations.planning.repair import ready_in_words, refuse_unrepairable
from openclaw_ocm.operations.planning.timers import timer_steps
from openclaw_ocm.system.exchange import inode
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.removable import check_place
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.guard import Guard
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


def rename(
    context: Context, name: InstanceName, new: InstanceName, effort: Effort, *, dry_run: bool
) -> Outcome:
    """Give an instance another name: state, secrets, record, rules and autostart, and paths in its databases.

    One that runs is stopped, and afterwards started and proved; a failure gives the old one back, running
    where it ran. Its port and its backups stay as they are. Raises `OcmError` where the name is taken.
    """
    if name == new:
        raise Invalid(f"{name} is called {name} already", code="name_invalid")
    heirs = _heirs(context, name)
    with changing(context, name, new, *heirs) as old:
        refuse_instance(old.paths.host, new)
        renamed = instance_of(context, msgspec.structs.replace(old.record, name=new))
        refuse_existing(renamed)
        guards = _guards(old, renamed)
        runs = old.process.activity.will_run
        refuse_unrepairable(old, repair=effort.repair)
        old.read_config()
        for directory in (old.paths.state, old.paths.scratch):
            check_place(directory)
        removal = _removal(old.paths)
        refuse_unremovable(old.backend, removal)
        undoable: list[Step] = [
            *_steps(old, renamed, guards, runs=runs),
            *(SetSource(name=heir, source=new, previous=name) for heir in heirs),
        ]
        if runs:
            undoable += [Start(name=new), effort.verify(new)]
        outcome = carry_out(
            old.context,
            make_plan(
                old.backend,
                "rename",
                name,
                [*undoable, *removal],
                commit=len(undoable),
                others=(new, *heirs),
            ),
            done=f"is now {new}" + (f", {ready_in_words(renamed.record)}" if runs else ""),
            nothing="",
            dry_run=dry_run,
            notes=stale_programs(new, old.volume),
        )
        for one in guards:
            outcome = one.told(old.host, outcome)
        return outcome


def _heirs(context: Context, name: InstanceName) -> tuple[InstanceName, ...]:
    """Return the instances that inherit from this one; one whose file is corrupt inherits from nobody."""
    found = []
    for other in instance_names(context.host.paths):
        with contextlib.suppress(OcmError):
            inherited = read_inherited(context.host.instance(other))
            if inherited is not None and inherited.source == name and other != name:
                found.append(other)
    return tuple(found)


def _guards(old: Instance, renamed: Instance) -> tuple[Guard, Guard]:
    """Return the firewall's part under the old name, and under the new one once that is done."""
    before = guard(old.host, before=old.record, after=None)
    after = before.firewall
    if after.rules is not None and before.steps:
        gone = own_rules(after.rules, old.name, old.record.port)
        left = (
            line
            for line in after.rules
            if line.instance != old.name or line.rule is None or line.rule not in gone
        )
        after = replace(after, rules=tuple(left))
    return before, guard(old.host, before=None, after=renamed.record, firewall=after)


def _steps(old: Instance, renamed: Instance, guards: tuple[Guard, Guard], *, runs: bool) -> list[Step]:
    autostart, new = old.process.autostart, renamed.paths
    disable: list[Step] = [Disable(name=old.name)] if autostart else []
    without = old.with_record(msgspec.structs.replace(old.record, backups=None, auto_upgrade=None))
    before = msgspec.structs.replace(renamed.record, backups=None, auto_upgrade=None)
    return [
        WriteRecord(path=str(new.record), text=encode_record(renamed.record)),
        Stop(name=old.name, ran=runs),
        *disable,
        *timer_steps(without, before=old.record),
        *guards[0].steps,
        # Before what takes the place of its empty directories and files: an undo removes the whole of it.
        MakeShell(shell=str(new.shell), scratch=str(new.scratch), fresh=True),
        *_exchanges(old.paths, new),
        # What began between the stop and the move has the state that was moved; nothing begins any more.
        Stop(name=old.name, ran=False),
        *setting_up(renamed, guards[1].steps, autostart=autostart),
        *timer_steps(renamed, before=before),
        RewritePaths(name=new.name, before=str(old.paths.state), after=str(new.state), fresh=False),
    ]


def _exchanges(old: InstancePaths, new: InstancePaths) -> list[Step]:
    pairs = (
        (old.state, new.state),
        (old.secrets, new.secrets),
        (old.inherited, new.inherited),
        (old.adopted, new.adopted),
        (old.scratch, new.scratch),
        (old.last_backup, new.last_backup),
        (old.last_upgrade, new.last_upgrade),
    )
    numbers = ((inode(source), source, target) for source, target in pairs)
    return [
        Exchange(path=str(target), staged=str(source), inode=number)
        for number, source, target in numbers
        if number is not None
    ]


def _removal(old: InstancePaths) -> tuple[Step, ...]:
    """Return the steps that remove what the old name had and what the new one left in its place."""
    return (
        RemoveFile(path=str(old.record)),
        RemoveDefinition(name=old.name),
        RemoveLink(link=str(old.config_link)),
        RemoveTree(path=str(old.shell)),
        RemoveTree(path=str(old.scratch)),
        # It names the old place.
        *Slots(old).discard(),
        RemoveFile(path=str(old.secrets)),
        # Its archives stay, and are not those of the new name.
        RemoveFile(path=str(old.last_backup)),
        RemoveFile(path=str(old.last_upgrade)),
    )
