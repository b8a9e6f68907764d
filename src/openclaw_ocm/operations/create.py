"""`ocm create` and `ocm deploy`: an instance from nothing, and on to a proved, answering gateway."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core import ports
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.plan import (
    Enable,
    LinkConfig,
    Load,
    MakeShell,
    MakeState,
    Start,
    WriteConfig,
    WriteDefinition,
    WriteRecord,
)
from openclaw_ocm.core.record import Limits, Record, Runtime
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.inheritance import read_inheritance, read_inherited
from openclaw_ocm.operations.expose import guard
from openclaw_ocm.operations.planning.change import allocating, carry_out, changing, make_plan
from openclaw_ocm.operations.planning.warnings import model_note
from openclaw_ocm.operations.start import Effort, ready_in_words, start_steps
from openclaw_ocm.system import processes
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record, read_record, read_settings
from openclaw_ocm.system.openclaw.config import find_config
from openclaw_ocm.system.openclaw.find import find_runtime

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asked for; None is OCM's choice.

    `planned` is the runtime that a dry run takes for there, where it would first be installed; `inherit_from`
    is where providers, models and keys come from, main or an instance, unless `no_inherit`.
    """

    name: InstanceName
    model: str | None = None
    port: int | None = None
    autostart: bool = False
    sealed: bool = True
    limits: Limits = field(default_factory=Limits)
    planned: Runtime | None = None
    inherit_from: InstanceName | None = None
    no_inherit: bool = False

    @property
    def source(self) -> InstanceName | None:
        """Return where a new instance inherits from, None where it inherits nothing."""
        return None if self.no_inherit else self.inherit_from or MAIN


def create(context: Context, wanted: Wanted, *, dry_run: bool) -> Outcome:
    """Make an instance without starting it; nothing where it exists as wanted."""
    with changing(context, wanted.name), allocating(context):
        record = None if _existing(context, wanted) else _new_record(context, wanted)
        rules = guard(context.host, before=None, after=record)
        steps = [] if record is None else _creation(context, record, wanted, rules.steps)
        notes = () if record is None else _inherited_notes(context, record, wanted)
        outcome = carry_out(
            context,
            make_plan(context, "create", wanted.name, steps),
            done=f"created, not started: ocm start {wanted.name}",
            nothing="exists already",
            dry_run=dry_run,
            notes=(*context.backend.notes(), *notes),
        )
        return rules.told(context.host, outcome)


def deploy(context: Context, wanted: Wanted, effort: Effort, *, dry_run: bool) -> Outcome:
    """Make an instance where there is none, start it and prove it; a failure leaves no trace."""
    name = wanted.name
    with changing(context, name), contextlib.ExitStack() as until_reserved:
        until_reserved.enter_context(allocating(context))
        existing = _existing(context, wanted)
        record = existing or _new_record(context, wanted)
        rules = guard(context.host, before=None, after=None if existing else record)
        notes: tuple[str, ...] = ()
        if existing:
            until_reserved.close()
            steps = start_steps(context, name, effort)
        else:
            notes = _inherited_notes(context, record, wanted)
            made = _creation(context, record, wanted, rules.steps)
            steps = [*made, Start(name=name), effort.verify(name)]
        outcome = carry_out(
            context,
            make_plan(context, "deploy", name, steps),
            done=ready_in_words(record),
            nothing=f"already {ready_in_words(record)}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=(*context.backend.notes(), *notes),
            reserved=until_reserved.close,
        )
        return rules.told(context.host, outcome)


def _existing(context: Context, wanted: Wanted) -> Record | None:
    """Return the record of an instance that exists; raise `OcmError` where it is otherwise than wanted."""
    if wanted.name not in instance_names(context.host.paths):
        return None
    record = read_record(context.host.paths, wanted.name)
    asked = (
        (wanted.port, None, record.port),
        (wanted.limits, Limits(), record.limits),
        (wanted.autostart, False, record.autostart),
        (wanted.sealed, True, record.sealed),
        (context.wanted_backend, None, record.backend),
    )
    if any(want not in (default, have) for want, default, have in asked):
        message = f"{wanted.name} exists already, otherwise than asked for"
        hint = f"its record is {context.host.instance(wanted.name).record}; ocm restart takes up a change"
        raise OcmError(message, hint=hint, code="exists")
    _refuse_other_source(context, wanted)
    if wanted.model is not None and wanted.model != _model(context, wanted.name):
        message = f"{wanted.name} exists already, with another model"
        hint = f"ocm edit {wanted.name} agents.defaults.model {wanted.model}"
        raise OcmError(message, hint=hint, code="exists")
    return record


def _refuse_other_source(context: Context, wanted: Wanted) -> None:
    """Raise `OcmError` where an instance that exists inherits otherwise than the user says."""
    if not wanted.no_inherit and wanted.inherit_from is None:
        return
    inherited = read_inherited(context.host.instance(wanted.name))
    have = None if inherited is None else inherited.source or None
    if have != wanted.source:
        what = f"from {have}" if have else "nothing"
        message = f"{wanted.name} exists already, and inherits {what}"
        option = f"--inherit-from {wanted.source}" if wanted.source else "--no-inherit"
        raise OcmError(message, hint=f"ocm sync {wanted.name} {option} changes that", code="exists")


def _model(context: Context, name: InstanceName) -> str | None:
    """Return the primary model in an instance's config, None where it has none or cannot be read."""
    config = find_config(context.host.instance(name).state)
    model = lookup(config, "agents.defaults.model")
    found = lookup(model, "primary") if isinstance(model, dict) else model
    return found if isinstance(found, str) else None


def _new_record(context: Context, wanted: Wanted) -> Record:
    """Return the record of an instance that is to be; raise `OcmError` where the machine cannot run it."""
    if wanted.planned is None:
        context.backend.check(sealed=wanted.sealed)
    return Record(
        name=wanted.name,
        backend=context.backend.name,
        sealed=wanted.sealed,
        port=choose_port(context, wanted.port),
        autostart=wanted.autostart,
        runtime=wanted.planned or find_runtime(context.host),
        limits=wanted.limits,
    )


def _inherited_notes(context: Context, record: Record, wanted: Wanted) -> tuple[str, ...]:
    """Return what to know of what a new instance inherits; raise `OcmError` where that cannot be read."""
    if wanted.source is None:
        return model_note(wanted.model)
    inheritance = read_inheritance(context.host, wanted.source, record)
    providers = lookup(inheritance.config, "models.providers")
    known = frozenset(providers) if isinstance(providers, dict) else frozenset[str]()
    return (*inheritance.notes, *model_note(wanted.model, known))


def _creation(context: Context, record: Record, wanted: Wanted, rules: list[Step]) -> list[Step]:
    """Return the steps that make an instance; raise `OcmError` where something stands in the way."""
    name = wanted.name
    paths = context.host.instance(name)
    refuse_existing(context, record)
    return [
        WriteRecord(path=str(paths.record), text=encode_record(record)),
        MakeState(path=str(paths.state)),
        MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        WriteConfig(path=str(paths.config), model=wanted.model, inherit=wanted.source),
        *setting_up(context, record, rules, autostart=wanted.autostart),
    ]


def setting_up(context: Context, record: Record, rules: list[Step], *, autostart: bool) -> list[Step]:
    """Return the steps by which a state that is in its place becomes an instance, not yet started."""
    paths = context.host.paths.named(record.name)
    definition = context.definition(paths.name, record)
    enable: list[Step] = [Enable(name=paths.name)] if autostart else []
    return [
        LinkConfig(link=str(paths.config_link), target=str(paths.config)),
        WriteDefinition(name=paths.name, path=str(definition.path), text=definition.text),
        Load(name=paths.name),
        *rules,
        *enable,
    ]


def refuse_instance(context: Context, name: InstanceName) -> None:
    """Raise `OcmError` where there is an instance of that name."""
    if name in instance_names(context.host.paths):
        message = f"there is an instance {name} already"
        raise OcmError(message, hint="choose another name, or delete that one first", code="exists")


def refuse_existing(context: Context, record: Record) -> None:
    """Raise `OcmError` where something is already where a new instance's own is to be."""
    paths = context.host.paths.named(record.name)
    definition = context.definition(paths.name, record)
    for path in (
        paths.state,
        definition.path,
        paths.config_link,
        paths.shell,
        paths.scratch,
        paths.secrets,
        paths.inherited,
    ):
        if Path(path).is_symlink() or Path(path).exists():
            message = f"{path} exists already and is not OCM's"
            raise OcmError(message, hint="move it away, or choose another name", code="exists")


def choose_port(context: Context, port: int | None) -> int:
    """Return `port`, or a free one for None; raise `OcmError` where it is not to be had."""
    paths = context.host.paths
    owners = {read_record(paths, name).port: str(name) for name in instance_names(paths)}
    owners.setdefault(main_port(context), "main")
    if port is None:
        step = read_settings(paths).port_step
        return ports.allocate_port(owners, step=step, is_free=processes.can_bind)
    other = ports.overlap(ports.parse_port(port), owners)
    if other is not None:
        message = f"port {port} is within {ports.WINDOW} of port {other}, which belongs to {owners[other]}"
        raise OcmError(message, hint="leave --port out and OCM takes a free one", code="port_taken")
    taken = next((number for number in ports.window(port) if not processes.can_bind(number)), None)
    if taken is not None:
        listener = processes.listeners([taken]).get(taken)
        who = f"PID {listener.pid} ({listener.command})" if listener and listener.pid else "another process"
        message = (
            f"port {taken} is taken by {who}; an instance on {port} needs {port} to {port + ports.WINDOW - 1}"
        )
        raise OcmError(message, hint="leave --port out and OCM takes a free one", code="port_taken")
    return port


def main_port(context: Context) -> int:
    """Return the port of main, as far as its config can be read."""
    port = lookup(find_config(context.host.paths.main_state), "gateway.port")
    return port if isinstance(port, int) else ports.MAIN_PORT


def check_wanted(wanted: Wanted) -> None:
    """Raise `Invalid` for a port that no instance may have."""
    if wanted.port is not None and ports.parse_port(wanted.port) == ports.MAIN_PORT:
        message = f"port {ports.MAIN_PORT} belongs to main"
        raise Invalid(message, hint="leave --port out and OCM takes a free one", code="port_invalid")
