"""`ocm sync`: has an instance follow what changed in main, or wherever it inherits from, and keep its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocm.core.gateway import is_live
from ocm.core.inherit import masked
from ocm.core.journal import printable
from ocm.core.merge import MISSING, differences, merge
from ocm.core.plan import Restart
from ocm.operations.change import carry_out, changing, make_plan
from ocm.operations.edit import apply_change
from ocm.operations.result import Outcome
from ocm.operations.session import ready_for_session
from ocm.operations.start import is_alive, ready_in_words, repair_steps
from ocm.system.inherited import (
    Inherited,
    read_inheritance,
    read_inherited,
    read_secrets,
    write_inherited,
    write_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocm.core.inherit import Inheritance
    from ocm.core.merge import Place
    from ocm.core.names import InstanceName
    from ocm.core.record import Record
    from ocm.operations.start import Effort
    from ocm.system.context import Context

_SHOWN = 100
# What a backend says of the time of a start is in whole seconds.
_START_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """What was inherited then, what there is to inherit now, and the secrets before and after."""

    then: Inherited
    now: Inheritance
    have: Mapping[str, str] = field(repr=False)
    want: Mapping[str, str] = field(repr=False)

    @property
    def next(self) -> Inherited:
        """What the instance has inherited afterwards: one of its own is not among the secrets."""
        own = self.have.keys() - set(self.then.secrets)
        names = tuple(sorted(self.now.secrets.keys() - own))
        return Inherited(source=self.then.source, config=self.now.config, secrets=names)


def sync(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Merge into an instance's config and secrets what changed where it inherits from since it last did.

    Its own changes stay, and where both sides changed the same key that is told. OpenClaw validates the
    result before it is written; a running gateway is restarted, and proved, only where it does not take a
    change up by itself.
    """
    record = ready_for_session(context, name)
    with changing(context, name):
        then = read_inherited(context.host.instance(name))
        if then is None:
            return _outcome(name, "inherits nothing, as it was made", (), dry_run=dry_run)
        return _sync(context, record, _sides(context, record, then), effort, dry_run=dry_run)


def _sides(context: Context, record: Record, then: Inherited) -> _Sides:
    now = read_inheritance(context.host, then.source, record)
    have = read_secrets(context.host.paths.named(record.name))
    own = {key: value for key, value in have.items() if key not in then.secrets}
    return _Sides(then=then, now=now, have=have, want={**now.secrets, **own})


def _sync(context: Context, record: Record, sides: _Sides, effort: Effort, *, dry_run: bool) -> Outcome:
    name = context.host.paths.named(record.name).name
    alive = is_alive(context, name)
    repair = repair_steps(context, name, record, repair=effort.repair) if alive and not dry_run else []
    changes: list[tuple[Place, Any, Any]] = []
    conflicts: list[Place] = []

    def change(config: dict[str, Any]) -> dict[str, Any]:
        merged = merge(sides.then.config, sides.now.config, config)
        changes[:] = differences(config, merged.value)
        conflicts[:] = merged.conflicts
        changed: dict[str, Any] = merged.value
        return changed

    edited = apply_change(context, name, record, change, dry_run=dry_run)
    again = alive and (
        sides.want != sides.have
        or not all(is_live(".".join(place)) for place, _old, _new in changes)
        or _runs_with_older_secrets(context, name)
    )
    steps = (
        *(_described(*change) for change in changes),
        *_secret_steps(sides),
        *([f"restart {name}"] if again else []),
    )
    if not dry_run:
        _keep(context, name, sides)
        if again:
            plan = make_plan(context, "sync", name, [*repair, Restart(name=name), effort.verify(name)])
            carry_out(context, plan, done="", nothing="", dry_run=False, keep=effort.keep)
    source = sides.then.source
    done = f"in step with {source}" + (f", restarted: {ready_in_words(record)}" if again else "")
    said = (
        *(
            printable(f"{'.'.join(place)} changed in {source} and in {name}, which keeps its own")
            for place in conflicts
        ),
        *sides.now.notes,
        *edited.notes,
    )
    message = ("sync would do this:" if dry_run else done) if steps else f"already in step with {source}"
    return _outcome(name, message, steps, dry_run=dry_run, notes=said)


def _keep(context: Context, name: InstanceName, sides: _Sides) -> None:
    """Write secrets and what was inherited, in an order that a sync after a crash can go on from.

    A name that is in the file of secrets and not among those inherited would be taken for the instance's own.
    """
    paths, after = context.host.instance(name), sides.next
    if sides.want != sides.have:
        both = tuple(sorted({*sides.then.secrets, *after.secrets}))
        write_inherited(paths, Inherited(source=after.source, config=after.config, secrets=both))
        write_secrets(context.host, name, sides.want)
    if sides.want != sides.have or after != sides.then:
        write_inherited(paths, after)


def _runs_with_older_secrets(context: Context, name: InstanceName) -> bool:
    """Tell whether secrets were changed since the gateway started: it reads them then and never again."""
    since = context.backend.observe([name])[name].since
    changed = Path(context.host.instance(name).secrets).stat().st_mtime
    return since is not None and changed > since + _START_SECONDS


def _secret_steps(sides: _Sides) -> Iterator[str]:
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


def _outcome(
    name: InstanceName, message: str, steps: tuple[str, ...], *, dry_run: bool, notes: tuple[str, ...] = ()
) -> Outcome:
    return Outcome(
        name=name,
        operation="sync",
        changed=bool(steps) and not dry_run,
        message=message,
        dry_run=dry_run,
        steps=steps,
        notes=notes,
    )
