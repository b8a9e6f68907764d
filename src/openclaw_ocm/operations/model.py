"""`ocm model`: the model of an instance with the key that its provider takes, in one change."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.models import choice as choices
from openclaw_ocm.core.models.listing import PROVIDERS, read_models
from openclaw_ocm.core.network import near_places
from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.turn import agent_of
from openclaw_ocm.core.secrets import parse_key
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.edit import write_both
from openclaw_ocm.operations.network import Change, set_network
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.planning.contents import with_attempts
from openclaw_ocm.operations.session import capture, ready_for_session
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.model_list import download
from openclaw_ocm.system.openclaw.config import find_config
from openclaw_ocm.system.openclaw.providers import known_providers
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.models.choice import Choice
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.system.host import Host

_LIST_SECONDS = 120.0
_MAX_OFFERED = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A model that OpenClaw knows; `usable` tells whether its provider has a key, None if nobody can."""

    reference: str
    title: str
    usable: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What an instance can be given: `model` is the one that it has, `providers` are all that are known."""

    name: str
    model: str | None
    models: tuple[Offered, ...]
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The variable that holds the key of a provider; `missing` where the instance has none and wants one.

    `found_alone` tells whether OpenClaw looks there for it without being told.
    """

    choice: Choice
    variable: str
    missing: bool
    found_alone: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A choice, the variable for its key, and the key: None for the one that the instance has, or none."""

    need: Need
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What became of a choice, in place of which `Offers` answers where none was made.

    `key` is the variable that holds it, None where the provider takes none.

    `keys` are those of the config that changed, `restarted` tells whether the gateway was, or would be.
    """

    name: str
    changed: bool
    dry_run: bool
    model: str
    key: str | None
    keys: tuple[str, ...]
    restarted: bool
    running: bool
    notes: tuple[str, ...]
    steps: tuple[str, ...] = ()


def offers(context: Context, name: InstanceName, provider: str | None) -> Offers:
    """Return the models that an instance's OpenClaw knows, those of one provider where one is named.

    Raises `OcmError` where OpenClaw does not answer with a list.
    """
    record = ready_for_session(context, name)
    config = instance_of(context, record).read_config()[1]
    known, plugins = known_providers(PurePosixPath(record.runtime.openclaw))
    configured = as_object(as_object(config.get("models")).get("providers"))
    asked = ("--provider", provider) if provider else ("--all",)
    context.report("ask OpenClaw for its models")
    completed = capture(
        context, record, ("models", "list", *asked, "--json"), extra={}, timeout=_LIST_SECONDS
    )
    if completed.returncode != 0:
        last = tuple(printable(line) for line in completed.stderr.strip().splitlines()[-5:])
        raise OcmError(f"OpenClaw of {name} lists no models", code="models_unlisted", details=last)
    models = tuple(_offered(completed.stdout))
    if not models and provider in PROVIDERS:
        models = _published(context, provider)
    return Offers(
        name=name,
        model=choices.primary(config),
        models=models,
        providers=tuple(sorted({*(plugins & known.keys()), *configured})),
    )


def _published(context: Context, provider: str) -> tuple[Offered, ...]:
    """Return the models that a provider itself lists: OpenClaw asks it only once there is a key."""
    its = PROVIDERS[provider]
    listing = read_models(its, download(its.list_url, context.report))
    return tuple(
        Offered(reference=f"{provider}/{one.id}", title=one.name, usable=None) for one in listing.models
    )


def _offered(text: str) -> Iterator[Offered]:
    """Yield the models in what `openclaw models list --json` printed (2026.9.6)."""
    try:
        rows = as_object(json.loads(text)).get("models")
    except (ValueError, RecursionError):
        rows = None
    for row in rows[:_MAX_OFFERED] if isinstance(rows, list) else ():
        about = as_object(row)
        if isinstance(about.get("key"), str):
            usable = about.get("available")
            yield Offered(
                reference=printable(about["key"]),
                title=printable(str(about.get("name") or "")),
                usable=usable if isinstance(usable, bool) else None,
            )


def without_model(host: Host, names: Iterable[InstanceName]) -> tuple[InstanceName, ...]:
    """Return those of these instances that have no model to answer with; not one whose config is unread."""
    found = []
    for name in names:
        paths = host.instance(name)
        config = find_config(Directory(paths.state))
        if config and choices.agent_model(config, agent_of(config)) is None:
            with contextlib.suppress(OcmError):
                found += [] if choices.has_default_model(read_secrets(paths)) else [name]
    return tuple(found)


def look_up(
    context: Context, name: InstanceName, choice: Choice, *, variable: str | None, no_key: bool
) -> Need:
    """Return what a choice needs of an instance, which nothing is changed for.

    `variable` is the one that the user named. Raises `OcmError` for a provider that OpenClaw does not know,
    and `Invalid` for a name that no secret may have.
    """
    record = ready_for_session(context, name)
    worker = instance_of(context, record)
    config, secrets = worker.read_config()[1], read_secrets(worker.paths)
    known, plugins = known_providers(PurePosixPath(record.runtime.openclaw))
    named = plugins | ({choice.provider} if variable is not None else set())
    found = choices.located(config, choice, known, frozenset(named))
    its = parse_key(variable or choices.variable_of(config, choice.provider, known))
    local = choices.takes_no_key(choice.provider)
    has = choices.has_key(config, choice.provider, secrets, its)
    missing = not (no_key or local or has or choices.has_way_in(config, choice.provider, secrets, known))
    if variable is not None and not no_key:
        missing = its not in secrets
    # Of a provider that OpenClaw does not come with it would refuse an entry without an address.
    alone = its in known.get(choice.provider, (its,))
    return Need(choice=found, variable=its, missing=missing, found_alone=alone)


def choose(context: Context, name: InstanceName, wanted: Wanted, effort: Effort, *, dry_run: bool) -> Chosen:
    """Give an instance a model and its key: both or, where anything fails, neither.

    A gateway that runs is restarted where it has to read a new key, and proved. Raises `OcmError` and changes
    nothing where OpenClaw would refuse the config, or the gateway is not ready with it.
    """
    if wanted.need.missing and wanted.key is None:
        message = f"{name} has no key for {wanted.need.choice.provider}"
        hint = f"ocm model {name} {wanted.need.choice.reference} --key-stdin < FILE gives it one"
        raise Invalid(message, hint=hint, code="key_missing")
    record = ready_for_session(context, name)
    opened = near_places([wanted.need.choice.base_url or ""], record.allow) if record.isolated else ()
    if not opened:
        return _chosen(context, name, wanted, effort, dry_run=dry_run)
    network = set_network(context, name, Change(allow=opened), effort, dry_run=dry_run)
    try:
        chosen = _chosen(context, name, wanted, effort, dry_run=dry_run)
    except BaseException:
        if network.changed:
            set_network(context, name, Change(deny=opened), effort, dry_run=False)
        raise
    may = "would be allowed to reach" if dry_run else "may reach"
    told = tuple(f"{name} {may} {each}: ocm network {name} deny {each} ends that" for each in opened)
    return replace(chosen, steps=(*network.steps, *chosen.steps), notes=(*told, *chosen.notes))


def _chosen(context: Context, name: InstanceName, wanted: Wanted, effort: Effort, *, dry_run: bool) -> Chosen:
    with changing(context, name) as worker:
        return with_attempts(
            context, name, lambda: _choose_once(worker.again(), wanted, effort, dry_run=dry_run)
        )


def _choose_once(worker: Instance, wanted: Wanted, effort: Effort, *, dry_run: bool) -> Chosen:
    need, secrets = wanted.need, read_secrets(worker.paths)
    if wanted.key is not None:
        secrets = {**secrets, need.variable: wanted.key}
    refer = need.variable in secrets
    written = write_both(
        worker,
        "model",
        lambda config: choices.chosen(
            config, need.choice, variable=need.variable, refer=refer, found_alone=need.found_alone
        ),
        secrets,
        own=None if wanted.key is None else need.variable,
        effort=effort,
        dry_run=dry_run,
    )
    own = choices.own_models(written.proposal.after)
    notes = (f"agents with a model of their own keep it: {', '.join(map(printable, own))}",) if own else ()
    return Chosen(
        name=worker.name,
        changed=written.outcome.changed,
        dry_run=dry_run,
        model=need.choice.reference,
        key=need.variable if refer else None,
        keys=written.proposal.keys,
        restarted=written.restarted,
        running=worker.process.activity.will_run,
        notes=(*notes, *written.proposal.notes),
        steps=written.outcome.steps,
    )
