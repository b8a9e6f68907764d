"""What of a config tells, without asking anybody, that its agent cannot answer.

Nothing is said of what is not known for sure: a login, a plugin or a program of this machine may well give
what no config names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.models.choice import (
    agent_model,
    entry_of,
    has_default_model,
    has_way_in,
    takes_no_key,
)
from openclaw_ocm.core.network import near_places
from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.turn import Failure, advice, agent_of, sentence
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# At any other address may be a program of this machine, which asks for no key.
_REMOTE = re.compile(r"https?://(?!localhost\b|127\.|\[)")
# What of a provider's entry may let it in without an API key.
_OTHER_WAYS = ("auth", "headers", "request")
_UNKNOWN = (
    "OpenClaw comes without a provider {}, and its config has none: ocm model {} lists those that are known"
)


def obstacle(
    name: str,
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
    known: Mapping[str, tuple[str, ...]],
    is_mentioned: Callable[[str], bool],
) -> str | None:
    """Return in words what keeps the agent of an instance from answering, None where nothing is known.

    `known` are the variables in which OpenClaw looks for keys, by provider; `is_mentioned` tells whether its
    plugins speak of a provider at all.
    """
    model = agent_model(config, agent_of(config))
    if model is None:
        return None if has_default_model(secrets) else _in_words(Failure.NO_MODEL, name, "")
    provider, slash, _ = model.partition("/")
    if not slash or len(model) > len(printable(model)):
        return None  # an alias, or what no provider has
    entry = entry_of(config, provider)
    if not entry and provider != provider.lower():
        return None  # whether OpenClaw knows it all the same was not seen
    if not entry and not is_mentioned(provider):
        return None if _has_plugins(config, is_mentioned) else _UNKNOWN.format(provider, name)
    if _may_have_key(config, provider, entry, secrets, known):
        return None
    return _in_words(Failure.NO_KEY, name, model)


def out_of_reach(name: str, config: Mapping[str, Any], allow: Iterable[str]) -> str | None:
    """Return in words where the provider of an instance's agent is near and not allowed, None elsewhere.

    `allow` is what an instance in a network of its own may reach.
    """
    provider = (agent_model(config, agent_of(config)) or "").partition("/")[0]
    address = entry_of(config, provider).get("baseUrl")
    for place in near_places([address], allow) if isinstance(address, str) else ():
        return f"its provider is at {place}, which it may not reach: ocm network {name} allow {place}"
    return None


def _in_words(failure: Failure, name: str, model: str) -> str:
    return f"{sentence(failure, model, 0)}: {advice(failure, name, model)}"


def _has_plugins(config: Mapping[str, Any], is_mentioned: Callable[[str], bool]) -> bool:
    """Tell whether OpenClaw may have providers that it does not come with."""
    plugins = as_object(config.get("plugins"))
    names = as_object(plugins.get("entries"))
    return bool(plugins.get("load") or plugins.get("installs")) or not all(map(is_mentioned, names))


def _may_have_key(
    config: Mapping[str, Any],
    provider: str,
    entry: Mapping[str, Any],
    secrets: Mapping[str, str],
    known: Mapping[str, tuple[str, ...]],
) -> bool:
    remote = _REMOTE.match(str(entry.get("baseUrl", "https://")))
    if takes_no_key(provider) or not remote or any(entry.get(way) for way in _OTHER_WAYS):
        return True
    if not known.get(provider) and "baseUrl" not in entry:
        return True  # nobody knows where it would look
    env = as_object(config.get("env"))
    return has_way_in(config, provider, {*secrets, *env, *as_object(env.get("vars"))}, known)
