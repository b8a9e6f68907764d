"""What an instance has to do its work with, and what it will miss: told wherever it is made or looked at."""

from __future__ import annotations

import functools
import itertools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.extract import key_variable
from openclaw_ocm.core.models.able import missing_channels, models_of, unable_models
from openclaw_ocm.core.models.choice import agent_model, entry_of
from openclaw_ocm.core.models.obstacle import Given, obstacle, out_of_reach
from openclaw_ocm.core.network import deaf, parse_allowed
from openclaw_ocm.core.offers import offer_notes
from openclaw_ocm.core.openclaw.channels import channels_in
from openclaw_ocm.core.openclaw.document import as_object, lookup, overlay
from openclaw_ocm.core.openclaw.settings import variables_in
from openclaw_ocm.core.openclaw.turn import agent_of
from openclaw_ocm.core.unseen import unseen
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.offers import find_offers
from openclaw_ocm.system import named, processes
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.plugins import is_installed, official_plugins
from openclaw_ocm.system.openclaw.providers import known_providers, mentions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.result import Outcome

_MOST_PLUGINS = 20
_INSTALL = " plugins install "
_PROVIDER = re.compile(r"it has no key for ([A-Za-z0-9._-]+)")
# Where a machine of a cloud is asked for its credentials.
_METADATA = parse_allowed("169.254.169.254:80")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What is known without asking a model: `agent` keeps the agent from answering, `others` comes beside."""

    agent: str | None = None
    others: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All of it."""
        return (*filter(None, [self.agent]), *self.others)


def ability(worker: Instance) -> Ability:
    """Return what is known of an instance that is there."""
    resolving = _resolving(worker)
    try:
        secrets = read_secrets(worker.paths)
    except OcmError:
        return Ability(others=resolving)
    found = judged(worker, worker.config, secrets)
    hidden = unseen(worker.record, secrets, worker.policy, worker.host.paths.home, os.path.exists)
    others = hidden if worker.record.sealed else ()
    return replace(found, others=(*found.others, *others, *resolving))


def agent_obstacle(worker: Instance) -> str | None:
    """Return what keeps the agent of an instance that is there from answering, and none of what comes beside.

    A list of many asks no more of each.
    """
    try:
        secrets = read_secrets(worker.paths)
    except OcmError:
        return None
    given = _given(worker, worker.config, secrets, fresh=False)
    return None if given is None else _agent(worker.record, worker.config, given)


def judged(
    worker: Instance, config: Mapping[str, Any], secrets: Collection[str], *, fresh: bool = False
) -> Ability:
    """Return what is known of an instance by a config and secrets, be it one that is still to be made.

    One that is `fresh` has no logins of its own yet, whatever the config says of another's.
    """
    given = _given(worker, config, secrets, fresh=fresh)
    if given is None:
        return Ability()
    agent = _agent(worker.record, config, given)
    return Ability(agent=agent, others=(*unable_models(given, agent), *missing_channels(given)))


def _agent(record: Record, config: Mapping[str, Any], given: Given) -> str | None:
    closed = out_of_reach(record.name, config, record.allow) if record.isolated else None
    return closed or obstacle(given)


def silent_channels(worker: Instance, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which channels of a config are silent for want of a plugin in the state of an instance."""
    given = _given(worker, config, (), fresh=False)
    return () if given is None else tuple(missing_channels(given))


def _given(
    worker: Instance, config: Mapping[str, Any], secrets: Collection[str], *, fresh: bool
) -> Given | None:
    """Return what an instance has to answer with, None where its OpenClaw tells nothing of providers."""
    package = PurePosixPath(worker.record.runtime.openclaw)
    known = _known(package)
    if not config or not known:
        return None
    if fresh:
        auth = {key: value for key, value in as_object(config.get("auth")).items() if key != "profiles"}
        config = {**config, "auth": auth}
    return Given(
        name=worker.name,
        config=config,
        variables=frozenset((*secrets, *worker.record.environment)),
        known=known,
        is_mentioned=functools.partial(mentions, package),
        asks_machine=not worker.record.isolated or _reaches_metadata(worker.record),
        **_plugins(worker, config, package, fresh=fresh),
    )


def _plugins(
    worker: Instance, config: Mapping[str, Any], package: PurePosixPath, *, fresh: bool
) -> dict[str, Any]:
    """Return the fields of `Given` on plugins: which of those that a config needs are there."""
    used = [agent_model(config, agent_of(config)) or "", *(model for _, model in models_of(config))]
    providers = {model.partition("/")[0] for model in used if "/" in model}
    wanted = [one for one in sorted(providers - _known(package).keys()) if not entry_of(config, one)]
    channels = [one for one in channels_in(config) if not _comes_with(package, one)]
    # What is loaded from elsewhere may be any of them.
    if not (wanted or channels) or lookup(config, "plugins.load.paths"):
        return {}
    official = official_plugins(package)
    there = functools.partial(is_installed, worker.volume)
    missing: dict[str, dict[str, str]] = {"provider_plugins": {}, "channel_plugins": {}}
    brought = set()
    for kind, names, listed in (
        ("provider_plugins", wanted, official.providers),
        ("channel_plugins", channels, official.channels),
    ):
        for name in itertools.islice((one for one in names if one in listed), _MOST_PLUGINS):
            if (fresh or there(listed[name], name) is False) and not _comes_with(package, name):
                missing[kind][name] = listed[name]
            else:
                brought.add(name)
    return {**missing, "brought": frozenset(brought)}


def _comes_with(package: PurePosixPath, plugin: str) -> bool:
    return "/" not in plugin and "\0" not in plugin and Path(package, "dist", "extensions", plugin).is_dir()


def _reaches_metadata(record: Record) -> bool:
    return any(parse_allowed(one).covers(_METADATA) for one in record.allow)


def _resolving(worker: Instance) -> tuple[str, ...]:
    """Return why no name can be looked up in an instance's sandbox, or not as on this machine."""
    record = worker.record
    if not record.sealed or record.network == "none":
        return ()
    text = named.name_servers()
    problem = deaf(record.name, text, isolated=record.isolated)
    if problem is not None or record.isolated or worker.process.pid is None:
        return tuple(filter(None, [problem]))
    return tuple(_outdated(worker, worker.process.pid, text))


def _outdated(worker: Instance, pid: int, text: str | None) -> Iterator[str]:
    gateway = processes.gateway_below(pid)
    if gateway is not None and named.name_servers_inside(gateway) != text:
        yield f"the name servers of this machine changed since it started: ocm restart {worker.name}"


def missed(
    worker: Instance, found: Inheritance | None, model: str | None = None, said: Collection[str] = ()
) -> tuple[str, ...]:
    """Return what a new instance will miss, with `model` as its own if it was asked for.

    `said` are notes that there are anyway: of a key that one of them asks for nothing is said again.
    """
    asked = {"agents": {"defaults": {"model": {"primary": model}}}} if model else {}
    config = overlay(found.config if found else {}, asked)
    secrets = found.secrets if found else {}
    able = judged(worker, config, secrets, fresh=True)
    # Without any model there is nothing to miss yet: who deploys is offered to choose one.
    own = [able.agent] if able.agent and agent_model(config, agent_of(config)) else []
    notes = (*own, *able.others, *_resolving(worker))
    return tuple(note for note in notes if not _is_said(note, said))


def without_installed(worker: Instance, outcome: Outcome) -> Outcome:
    """Return an outcome without the notes of plugins that OpenClaw installed when it started."""
    if outcome.dry_run or not any(_INSTALL in note for note in outcome.notes):
        return outcome
    now = ability(worker.again()).notes
    notes = tuple(note for note in outcome.notes if _INSTALL not in note or note in now)
    return replace(outcome, notes=notes)


def behind_main(
    worker: Instance, main: Mapping[str, Variable], config: Mapping[str, Any], secrets: Collection[str]
) -> tuple[str, ...]:
    """Return what an instance of such a config and secrets has not of what is set around main and here."""
    known = {*secrets, *worker.record.environment, *variables_in(config)}
    return tuple(offer_notes(worker.name, find_offers(worker.host, main, known=known)))


def missed_now(
    worker: Instance, found: Inheritance, config: Mapping[str, Any], secrets: Collection[str]
) -> tuple[str, ...]:
    """Return what an instance misses with another config and other secrets, of main's too."""
    able = judged(worker, config, secrets)
    behind = behind_main(worker, found.around, config, secrets)
    notes = (*able.notes, *behind, *_resolving(worker))
    return tuple(note for note in notes if not _is_said(note, found.notes))


def _is_said(note: str, said: Collection[str]) -> bool:
    """Tell whether a key that a note is about is asked for by another one."""
    provider = _PROVIDER.search(note)
    if provider is None:
        return False
    asked = key_variable(provider[1], {})
    return any(one.endswith(f" {asked}") for one in said)


@functools.cache
def _known(package: PurePosixPath) -> dict[str, tuple[str, ...]]:
    return known_providers(package)[0]
