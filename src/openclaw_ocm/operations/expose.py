"""`ocm expose` and `ocm unexpose`: who reaches a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core import firewall as core
from openclaw_ocm.core.firewall import ANY
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.settings import BIND, unfit_to_expose, wanted_bind
from openclaw_ocm.core.steps import SetBind, Start, Stop
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.guard import guard, in_words
from openclaw_ocm.operations.planning.repair import repair_steps, shell_for_undo

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

_PLAIN = (
    "the gateway speaks plain HTTP: whoever listens on the way can read its token (gateway.tls mends that)"
)


def questions(context: Context, name: InstanceName, sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is to be asked before an instance is exposed: where everybody would reach it."""
    record = open_instance(context, name).record
    if record.expose == sources:
        return ()
    if ANY in sources:
        return (
            f"Let every machine that reaches this one reach {name}?",
            "Its token or password will be all that protects it. Are you sure?",
        )
    rules = guard(context.host, before=record, after=msgspec.structs.replace(record, expose=sources))
    reason = core.unlimited(rules.firewall, rules.change)
    if reason is None:
        return ()
    everyone = f"so every machine that reaches this one will reach {name}, not {in_words(sources)} alone"
    return (f"{reason}, {everyone}. Expose it?",)


def set_exposure(
    context: Context, name: InstanceName, sources: tuple[str, ...], effort: Effort, *, dry_run: bool
) -> Outcome:
    """Let the networks `sources` and no others reach an instance's gateway, or with none only this machine.

    Sets gateway.bind and the firewall rules together; a running gateway is restarted and proved. Raises
    `OcmError` where OpenClaw would not start so.
    """
    with changing(context, name) as worker:
        before = worker.record
        after = msgspec.structs.replace(before, expose=sources)
        config = worker.read_config()[1]
        rules = guard(worker.host, before=before, after=after)
        bind = _bind_step(config, after)
        steps = [*rules.steps, *record_steps(worker, after), *([bind] if bind is not None else [])]
        if bind is not None or _needs_another_way_in(before, after):
            steps = _while_stopped(worker, after, steps, effort)
        state = _state(after)
        plain = sources and steps and lookup(config, "gateway.tls.enabled") is not True
        outcome = carry_out(
            worker.context,
            make_plan(worker.backend, "expose" if sources else "unexpose", name, steps),
            done=state,
            nothing=f"already {state}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=(_PLAIN,) if plain else (),
        )
        return rules.told(worker.host, outcome)


def _state(record: Record) -> str:
    if not record.expose:
        return "reached from this machine alone"
    return f"exposed to {in_words(record.expose)} on port {record.port}"


def _bind_step(config: dict[str, Any], record: Record) -> SetBind | None:
    name, bind, wanted = record.name, lookup(config, BIND), wanted_bind(record.expose)
    unfit = unfit_to_expose(config) if record.expose else None
    if unfit is not None:
        message = f"{name} cannot be exposed: {printable(unfit)}"
        raise OcmError(message, hint=f"ocm edit {name} changes it", code="unfit_to_expose")
    previous = bind if isinstance(bind, str) else None
    return None if bind == wanted else SetBind(name=name, bind=wanted, previous=previous)


def _needs_another_way_in(before: Record, after: Record) -> bool:
    """Tell whether what leads to a network of its own is to change: it begins with the gateway."""
    return before.isolated and bool(before.expose) != bool(after.expose)


def _while_stopped(worker: Instance, after: Record, steps: list[Step], effort: Effort) -> list[Step]:
    """Return steps that change where a gateway is reached, within a stop and a start where it runs.

    So it never listens beyond the loopback before the rules are there, and an undo leaves it as it was.
    """
    name, is_up = worker.name, worker.process.activity.is_up
    if not (is_up or after.isolated):
        return steps
    repair = repair_steps(worker.with_record(after), repair=effort.repair)
    if after.isolated:
        # What leads to it is read when it starts, at a boot without OCM too.
        steps = [shell_for_undo(worker), *steps, *repair]
    if not is_up:
        return steps
    first = [] if after.isolated else repair
    return [*first, Stop(name=name, ran=True), *steps, Start(name=name), effort.verify(name)]
