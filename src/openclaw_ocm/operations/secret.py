"""`ocm secret`: an instance's own secrets, beside or in the place of those that it inherited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import is_proxy
from openclaw_ocm.core.secrets import format_file, last_characters
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.planning.contents import Contents, replace_contents
from openclaw_ocm.operations.planning.reach import needed_places
from openclaw_ocm.operations.planning.repair import ready_in_words, remember, restart_steps
from openclaw_ocm.system.kept.inherited import encode_inherited, read_inherited, without_secret
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

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
        before = read_secrets(worker.paths)
        after = change(before)
        if key in after and key in worker.record.environment:
            message = f"{key} of {name} is a variable, and cannot be a secret as well"
            raise OcmError(message, hint=f"ocm env {name} unset {key}", code="variable_twice")
        # Raises where they are too many, before anything is changed.
        data = format_file(after)
        inherited = without_secret(read_inherited(worker.paths), key)
        alive = after != before and worker.process.activity.will_run
        gateway = restart_steps(worker, restart) if alive and restart is not None else []
        what = _described(key, before, after)
        if gateway:
            done = f"{what}: {ready_in_words(worker.record)}"
        elif after == before:
            done = what
        else:
            when = f"with ocm restart {name}" if alive else "at the next start"
            done = f"{what}; takes effect {when}"
        outcome = replace_contents(
            worker.context,
            "secret",
            name,
            Contents(
                secrets=data if after != before else None,
                inherited=None if inherited is None else encode_inherited(inherited),
                process=remember(worker) if gateway else None,
                gateway=gateway,
            ),
            done=done,
            dry_run=dry_run,
            keep=restart is not None and restart.keep,
        )
        return replace(
            outcome, changes=(what,) if outcome.steps else (), notes=_closed(worker, key, after.get(key))
        )


def _closed(worker: Instance, key: str, value: str | None) -> tuple[str, ...]:
    """Return what is near and closed of a proxy that is a secret; its place is none."""
    if value is None or not is_proxy(key) or not worker.record.isolated:
        return ()
    found = needed_places({key: value}, worker.record.allow)
    return tuple(
        f"{key} names {place}, which it does not reach: ocm network {worker.name} allow {place}"
        for places in found.values()
        for place in places
    )


def _described(key: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    if after == before:
        return f"{key} is its own from now on"
    if key not in after:
        return f"remove {key}"
    return f"{'replace' if key in before else 'add'} {key}"
