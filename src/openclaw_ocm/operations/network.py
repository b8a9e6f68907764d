"""`ocm network`: what an instance reaches, of this machine and of what is near it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.network import allowance
from openclaw_ocm.core.steps import Start, Stop
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning.agents import closed_places
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.repair import repair_steps, shell_for_undo

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What an instance reaches: by its kind of network and, near by, what is allowed.

    A change of it is answered by an `Outcome`.
    """

    name: str
    network: Kind
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be another; None for the kind of network that there is."""

    network: Kind | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


def reached(context: Context, name: InstanceName) -> Reached:
    """Return what an instance reaches."""
    record = open_instance(context, name).record
    # What is allowed counts again with the next network of its own.
    return Reached(name=name, network=record.network, allow=record.allow if record.isolated else ())


def set_network(
    context: Context, name: InstanceName, change: Change, effort: Effort, *, dry_run: bool
) -> Outcome:
    """Change what an instance reaches; a gateway that runs is restarted and proved.

    Raises `Invalid` for what is no address, and `OcmError` where the machine cannot give a network of its
    own, or what is to be denied is not allowed.
    """
    with changing(context, name) as worker:
        after = _changed(worker, change)
        return carry_out(
            worker.context,
            make_plan(worker.backend, "network", name, _steps(worker, after, effort)),
            done=_in_words(after),
            nothing=f"already {_in_words(after)}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=closed_places(after, worker.config),
        )


def _changed(worker: Instance, change: Change) -> Record:
    before, name = worker.record, worker.name
    kind = change.network or before.network
    if kind != "shared" and not before.sealed:
        message = f"{name} has no sandbox that could have a network of its own: it is unsealed"
        raise OcmError(message, code="network_impossible")
    if kind == "shared" and change.allow:
        message = f"{name} shares the network of this machine, and reaches all that is near"
        raise OcmError(message, hint=f"ocm network {name} own", code="network_shared")
    denied = allowance(change.deny)
    if missing := [each for each in denied if each not in before.allow]:
        message = f"{', '.join(missing)}: not allowed to {name} as it is"
        raise OcmError(message, hint=f"ocm network {name} show", code="not_allowed")
    allow = allowance(each for each in (*before.allow, *change.allow) if each not in denied)
    return msgspec.structs.replace(before, network=kind, allow=allow)


def _steps(worker: Instance, after: Record, effort: Effort) -> list[Step]:
    record, runs = record_steps(worker, after), worker.process.activity.will_run
    if not record:
        return []
    name = worker.name
    return [
        # What of sessions goes on would keep the network that it has, and share that with the gateway.
        Stop(name=name, ran=runs),
        shell_for_undo(worker),
        *record,
        *repair_steps(worker.with_record(after), repair=effort.repair),
        *((Start(name=name), effort.verify(name)) if runs else ()),
    ]


def _in_words(record: Record) -> str:
    if record.network == "shared":
        return "in the network of this machine"
    near = f", and near by {', '.join(record.allow)}" if record.allow else ""
    return f"in a network of its own{'' if record.network == 'own' else ' without a way out'}{near}"
