"""`ocm rename`: an instance under another name, with all that it is and was."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.firewall import own_rules
from openclaw_ocm.core.plan import (
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
from openclaw_ocm.instances.inheritance import read_inherited
from openclaw_ocm.operations.create import refuse_existing, refuse_instance, setting_up
from openclaw_ocm.operations.expose import guard
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.schedule import timer_steps
from openclaw_ocm.operations.start import is_alive, ready_in_words, repair_steps
from openclaw_ocm.system.exchange import inode
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record, read_record
from openclaw_ocm.system.openclaw.config import read_config

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.expose import Guard
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.start import Effort


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
    with changing(context, name, new, *heirs):
        record = read_record(context.host.paths, name)
        refuse_instance(context, new)
        renamed = msgspec.structs.replace(record, name=new)
        refuse_existing(context, renamed)
        guards = _guards(context, record, renamed)
        runs = is_alive(context, name)
        # For what they refuse: the definition is written under the new name in any case.
        repair_steps(context, name, record, repair=effort.repair)
        read_config(context.host.instance(name))
        undoable: list[Step] = [
            *_steps(context, record, renamed, guards, runs=runs),
            *(SetSource(name=heir, source=new, previous=name) for heir in heirs),
        ]
        if runs:
            undoable += [Start(name=new), effort.verify(new)]
        outcome = carry_out(
            context,
            make_plan(
                context,
                "rename",
                name,
                [*undoable, *_removal(context.host.instance(name))],
                commit=len(undoable),
                others=(new, *heirs),
            ),
            done=f"is now {new}" + (f", {ready_in_words(renamed)}" if runs else ""),
            nothing="",
            dry_run=dry_run,
        )
        for one in guards:
            outcome = one.told(context.host, outcome)
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


def _guards(context: Context, record: Record, renamed: Record) -> tuple[Guard, Guard]:
    """Return the firewall's part under the old name, and under the new one once that is done."""
    old = guard(context.host, before=record, after=None)
    new = guard(context.host, before=None, after=renamed)
    if new.firewall.rules is None:
        return old, new
    gone = own_rules(new.firewall.rules, record.name, record.port) if old.steps else ()
    left = tuple(
        line
        for line in new.firewall.rules
        if line.instance != record.name or line.rule is None or line.rule not in gone
    )
    return old, replace(new, firewall=replace(new.firewall, rules=left))


def _steps(
    context: Context, record: Record, renamed: Record, guards: tuple[Guard, Guard], *, runs: bool
) -> list[Step]:
    old, new = (context.host.paths.named(one.name) for one in (record, renamed))
    autostart = context.backend.observe([old.name])[old.name].autostart
    disable: list[Step] = [Disable(name=old.name)] if autostart else []
    return [
        WriteRecord(path=str(new.record), text=encode_record(renamed)),
        Stop(name=old.name, ran=runs),
        *disable,
        *timer_steps(context, old.name, msgspec.structs.replace(record, backups=None), before=record),
        *guards[0].steps,
        # Before what takes the place of its empty directories and files: an undo removes the whole of it.
        MakeShell(shell=str(new.shell), scratch=str(new.scratch), fresh=True),
        *_exchanges(old, new),
        # What began between the stop and the move has the state that was moved; nothing begins any more.
        Stop(name=old.name, ran=False),
        *setting_up(context, renamed, guards[1].steps, autostart=autostart),
        *timer_steps(context, new.name, renamed, before=msgspec.structs.replace(renamed, backups=None)),
        RewritePaths(name=new.name, before=str(old.state), after=str(new.state), fresh=False),
    ]


def _exchanges(old: InstancePaths, new: InstancePaths) -> list[Step]:
    pairs = (
        (old.state, new.state),
        (old.secrets, new.secrets),
        (old.inherited, new.inherited),
        (old.scratch, new.scratch),
        (old.last_backup, new.last_backup),
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
        RemoveFile(path=str(old.secrets)),
        # Its archives stay, and are not those of the new name.
        RemoveFile(path=str(old.last_backup)),
    )
