"""`ocm secret`: an instance's own secrets, beside or in the place of those that it inherited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from openclaw_ocm.core.plan import Restart
from openclaw_ocm.core.secrets import format_file, last_characters
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.repair import ready_in_words, repair_steps
from openclaw_ocm.operations.planning.result import Outcome
from openclaw_ocm.system.kept.inherited import read_inherited, write_inherited
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import read_secrets, write_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort

OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What may be told of one secret: `source` is where it came from, `last` are its last characters."""

    name: str
    key: str
    last: str
    source: str


def list_secrets(context: Context, name: InstanceName) -> tuple[Secret, ...]:
    """Return what may be told of an instance's secrets."""
    read_record(context.host.paths, name)
    paths = context.host.instance(name)
    inherited = read_inherited(paths)
    sources = {} if inherited is None else dict.fromkeys(inherited.secrets, inherited.source or OWN)
    return tuple(
        Secret(name=name, key=key, last=last_characters(value), source=sources.get(key, OWN))
        for key, value in sorted(read_secrets(paths).items())
    )


def set_secret(  # noqa: PLR0913 - what the command says
    context: Context, name: InstanceName, key: str, value: str, *, restart: Effort | None, dry_run: bool
) -> Outcome:
    """Give an instance a secret of its own, which no sync changes; with `restart` its gateway gets it now."""

    def change(secrets: dict[str, str]) -> dict[str, str]:
        return {**secrets, key: value}

    return _change(context, name, key, change, restart=restart, dry_run=dry_run)


def unset_secret(
    context: Context, name: InstanceName, key: str, *, restart: Effort | None, dry_run: bool
) -> Outcome:
    """Remove a secret of an instance's own; raises `OcmError` for one that it inherited."""
    inherited = read_inherited(context.host.instance(name))
    if inherited is not None and inherited.source and key in inherited.secrets:
        message = f"{key} of {name} comes from {inherited.source}, and would be back with the next sync"
        hint = f"ocm secret set {name} {key} gives it another value"
        raise OcmError(message, hint=hint, code="secret_inherited")

    def change(secrets: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in secrets.items() if name != key}

    return _change(context, name, key, change, restart=restart, dry_run=dry_run)


def _change(  # noqa: PLR0913 - what both verbs say
    context: Context,
    name: InstanceName,
    key: str,
    change: Callable[[dict[str, str]], dict[str, str]],
    *,
    restart: Effort | None,
    dry_run: bool,
) -> Outcome:
    with changing(context, name) as worker:
        record, paths = worker.record, worker.paths
        before = read_secrets(paths)
        after = change(before)
        # Raises where they are too many, before anything is changed.
        format_file(after)
        inherited = read_inherited(paths)
        becomes_own = inherited is not None and key in inherited.secrets
        if after == before and not becomes_own:
            return _outcome(name, "nothing to change", steps=(), dry_run=dry_run)
        alive = after != before and worker.process.activity.will_run
        again = alive and restart is not None
        steps = (_described(key, before, after), *([f"restart {name}"] if again else []))
        if dry_run:
            return _outcome(name, "secret would do this:", steps=steps, dry_run=True)
        repair = repair_steps(worker, repair=restart.repair) if again and restart else []
        if becomes_own and inherited is not None:
            kept = tuple(known for known in inherited.secrets if known != key)
            write_inherited(paths, replace(inherited, secrets=kept))
        write_secrets(context.host, name, after)
        if again and restart is not None:
            restarting = [*repair, Restart(name=name), restart.verify(name)]
            plan = make_plan(worker.backend, "restart", name, restarting)
            carry_out(worker.context, plan, done="", nothing="", dry_run=False, keep=restart.keep)
            return _outcome(name, f"{steps[0]}: {ready_in_words(record)}", steps=steps, dry_run=False)
        when = f"takes effect with ocm restart {name}" if alive else "takes effect at the next start"
        return _outcome(name, f"{steps[0]}; {when}", steps=steps, dry_run=False)


def _described(key: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    if key not in after:
        return f"remove {key}"
    return f"{'replace' if key in before else 'add'} {key}"


def _outcome(name: InstanceName, message: str, *, steps: tuple[str, ...], dry_run: bool) -> Outcome:
    changed = bool(steps) and not dry_run
    return Outcome(
        name=name, operation="secret", changed=changed, message=message, steps=steps, dry_run=dry_run
    )
