"""`ocm sync`: has an instance follow what changed in main, or wherever it inherits from, and keep its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.merge import MISSING, differences, merge
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.secret_places import masked, references
from openclaw_ocm.core.secrets import format_file
from openclaw_ocm.core.steps import RemoveFile, Restart
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.inheritance import read_inheritance
from openclaw_ocm.operations.edit import gateway_steps, propose
from openclaw_ocm.operations.planning.able import missed_now
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.contents import Contents, replace_contents, with_attempts
from openclaw_ocm.operations.planning.followers import refuse_another_main
from openclaw_ocm.operations.planning.repair import (
    ready_in_words,
    remember,
    restart_steps,
    runs_with_older_secrets,
)
from openclaw_ocm.operations.session import ready_for_session
from openclaw_ocm.system.kept.inherited import Inherited, encode_inherited, read_inherited
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.inheritance.merge import Place
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.edit import Proposal
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """What was inherited then, what `source` has to inherit now, and the secrets before and after."""

    source: str
    then: Inherited
    now: Inheritance
    have: Mapping[str, str] = field(repr=False)
    want: Mapping[str, str] = field(repr=False)

    @property
    def next(self) -> Inherited:
        """What the instance has inherited afterwards: one of its own is not among the secrets."""
        own = self.have.keys() - set(self.then.secrets)
        names = tuple(sorted(self.now.secrets.keys() - own))
        return Inherited(source=self.source, config=self.now.config, secrets=names)


def sync(
    context: Context, name: InstanceName, effort: Effort, *, source: str | None = None, dry_run: bool
) -> Outcome:
    """Merge into an instance's config and secrets what changed where it inherits from since it last did.

    Its own changes stay, and where both sides changed the same key that is told. OpenClaw validates the
    result before it is written; a running gateway is restarted, and proved, only where it does not take a
    change up by itself. With `source`, main or an instance, it inherits from there from now on: what it
    inherited before and did not change is replaced.
    """
    if source == name:
        message = f"{name} cannot inherit from itself"
        raise Invalid(message, hint=f"ocm sync {name} --inherit-from main", code="source_invalid")
    ready_for_session(context, name)
    with changing(context, name) as worker:
        then = read_inherited(worker.paths)
        if source is None and (then is None or not then.source):
            begin = f"ocm sync {name} --inherit-from main has it begin, and what is its own stays"
            outcome = carry_out(
                worker.context,
                make_plan(worker.backend, "sync", name, []),
                done="",
                nothing="inherits nothing",
                dry_run=dry_run,
            )
            return replace(outcome, notes=(begin,))
        # Begun with nothing: whatever the instance has is its own.
        then = then or Inherited(source="", config={}, secrets=())
        if source is None and then.source == MAIN:
            refuse_another_main(context.host, name)
        sides = _sides(context, worker.record, then, source or then.source)
        return with_attempts(context, name, lambda: _sync(worker.again(), sides, effort, dry_run=dry_run))


def end_inheriting(context: Context, name: InstanceName, *, dry_run: bool) -> Outcome:
    """Have an instance inherit nothing any more; what it has stays and is its own."""
    with changing(context, name) as worker:
        path = worker.paths.inherited
        # Not read: one that is corrupt is given up like any other.
        steps: list[Step] = [RemoveFile(path=str(path))] if Path(path).exists() else []
        return carry_out(
            worker.context,
            make_plan(worker.backend, "sync", name, steps, commit=0),
            done="inherits no more, and keeps what it has",
            nothing="inherits nothing",
            dry_run=dry_run,
        )


def _sides(context: Context, record: Record, then: Inherited, source: str) -> _Sides:
    now = read_inheritance(context, source, record.runtime, record.name, record.environment)
    if (then.config or then.secrets) and not (now.config or now.secrets):
        message = f"{source} has nothing to inherit any more: {record.name} keeps what it has"
        hint = f"ocm sync {record.name} --no-inherit has it inherit no more"
        raise OcmError(message, hint=hint, code="nothing_inherited")
    have = read_secrets(context.host.instance(record.name))
    own = {key: value for key, value in have.items() if key not in then.secrets}
    want = {**now.secrets, **own}
    # Raises where they are too many, before anything is changed.
    format_file(want)
    return _Sides(source=source, then=then, now=now, have=have, want=want)


def _sync(worker: Instance, sides: _Sides, effort: Effort, *, dry_run: bool) -> Outcome:
    name, source = worker.name, sides.source
    proposal = propose(worker, lambda config: merge(sides.then.config, sides.now.config, config).value)
    sides, own = _keep_own_use(name, sides, proposal.after)
    contents = _contents(worker, sides, proposal, effort)
    restarted = any(isinstance(step, Restart) for step in contents.gateway)
    done = f"in step with {source}" + (f", restarted: {ready_in_words(worker.record)}" if restarted else "")
    outcome = replace_contents(
        worker.context, "sync", name, contents, done=done, dry_run=dry_run, keep=effort.keep
    )
    misses = missed_now(worker, sides.now, proposal.after, sides.want)
    conflicts = merge(sides.then.config, sides.now.config, proposal.before).conflicts
    notes = (printable(f"{'.'.join(one)} is not as in {source}: {name} keeps its own") for one in conflicts)
    return replace(
        outcome,
        message=outcome.message if outcome.steps else f"already in step with {source}",
        changes=(
            *([f"inherit from {source}"] if source != sides.then.source else []),
            *(_described(*change) for change in differences(proposal.before, proposal.after)),
            *_secret_changes(sides),
        ),
        notes=(*notes, *own, *_still_open(name, sides), *proposal.notes, *misses),
    )


def _still_open(name: InstanceName, sides: _Sides) -> Iterator[str]:
    """Yield what to know of what is inherited, but for the keys that the instance has of its own by now."""
    for note in sides.now.notes:
        if not any(note.endswith(f"ocm secret set {name} {key}") for key in sides.want):
            yield note


def _contents(worker: Instance, sides: _Sides, proposal: Proposal, effort: Effort) -> Contents:
    """Return what is to be in the instance's files, and what its gateway does to have it."""
    gateway: list[Step] = []
    if worker.process.activity.will_run:
        if sides.want != sides.have or runs_with_older_secrets(worker):
            gateway = restart_steps(worker, effort)
        elif proposal.keys:
            gateway = gateway_steps(worker, proposal, effort)
    return Contents(
        secrets=format_file(sides.want) if sides.want != sides.have else None,
        inherited=encode_inherited(sides.next) if sides.next != sides.then else None,
        config=proposal.contents,
        process=remember(worker) if gateway else None,
        gateway=gateway,
    )


def _keep_own_use(
    name: InstanceName, sides: _Sides, config: Mapping[str, Any]
) -> tuple[_Sides, tuple[str, ...]]:
    """Return the sides with the secrets that the instance alone still uses, and what to know of its own keys.

    Such a one is among those inherited no more, and so its own from now on.
    """
    used, inherited = references(config), references(sides.now.config)
    gone = [key for key in sides.then.secrets if key in sides.have and key not in sides.want]
    kept = {key: sides.have[key] for key in gone if key in used and key not in inherited}
    replaced = [key for key in sides.now.secrets if key in sides.have and sides.have[key] != sides.want[key]]
    notes = (
        *(f"{key} is no longer in {sides.source}: {name} uses it and keeps it" for key in kept),
        *(
            f"{key} changed in {sides.source}: {name} has a key of its own in its config and does not use it"
            for key in replaced
            if key in inherited and key not in used
        ),
    )
    return replace(sides, want={**sides.want, **kept}), notes


def _secret_changes(sides: _Sides) -> Iterator[str]:
    for key in sorted({*sides.have, *sides.want}):
        if key not in sides.have:
            yield f"add secret {key}"
        elif key not in sides.want:
            yield f"remove secret {key}"
        elif sides.have[key] != sides.want[key]:
            yield f"replace secret {key}"


def _described(place: Place, old: object, new: object) -> str:
    key = ".".join(place)
    if old is MISSING:
        return printable(f"add {key}: {_shown(place, new)}")
    if new is MISSING:
        return printable(f"remove {key}: {_shown(place, old)}")
    return printable(f"change {key}: {_shown(place, old)} -> {_shown(place, new)}")


def _shown(place: Place, value: object) -> str:
    text = json.dumps(masked(value, place), ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
