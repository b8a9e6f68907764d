"""What of a config tells, without asking anybody, that its agent cannot answer.

Nothing is said of what is not known for sure: a login, a plugin or a program of this machine may well give
what no config names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.core.models.choice import (
    agent_model,
    entry_of,
    has_default_model,
    has_way_in,
    takes_no_key,
    variable_of,
)
from openclaw_ocm.core.network import near_places
from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.settings import variables_in
from openclaw_ocm.core.openclaw.turn import Failure, advice, agent_of, sentence
from openclaw_ocm.core.secrets import is_key
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

# At any other address may be a program of this machine, which asks for no key.
_REMOTE = re.compile(r"https?://(?!localhost\b|127\.|\[)")
# What of a provider's entry may let it in without an API key.
_OTHER_WAYS = ("auth", "headers", "request")
_UNKNOWN = "OpenClaw comes without a provider {}, and its config has none"


class Cloud(NamedTuple):
    """A provider whose credentials are no key of its own: the variables that lead to them, what to type."""

    variables: tuple[str, ...]
    mend: str


_AWS = Cloud(
    (
        *("AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONFIG_FILE"),
    ),
    "ocm secret set {0} AWS_ACCESS_KEY_ID, so AWS_SECRET_ACCESS_KEY; ocm env {0} set AWS_REGION=REGION",
)
_GOOGLE = Cloud(
    ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_API_KEY"),
    "ocm secret set {0} GOOGLE_CLOUD_API_KEY, or ocm env {0} set GOOGLE_APPLICATION_CREDENTIALS=FILE",
)
_CLOUDS = {
    "amazon-bedrock": _AWS,
    "amazon-bedrock-mantle": _AWS,
    "google-vertex": _GOOGLE,
    "anthropic-vertex": _GOOGLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an instance has to answer with.

    `variables` are the names that its processes have from OCM; `known` are those in which OpenClaw looks for
    keys, by provider; `is_mentioned` tells whether its plugins speak of a provider at all.

    `provider_plugins` and `channel_plugins` are the packages of plugins that OpenClaw comes without and that
    are not installed here, by what they bring; `brought` is what those bring that are. `asks_machine` tells
    that the machine, where it is a cloud's, may be asked for credentials.
    """

    name: str
    config: Mapping[str, Any]
    variables: Collection[str]
    known: Mapping[str, tuple[str, ...]]
    is_mentioned: Callable[[str], bool]
    provider_plugins: Mapping[str, str] = field(default_factory=dict)
    channel_plugins: Mapping[str, str] = field(default_factory=dict)
    brought: frozenset[str] = frozenset()
    asks_machine: bool = True


class Lack(NamedTuple):
    """What a model needs and an instance has not: `mend` is what to type, and `own` for its agent's own."""

    what: str
    mend: str
    own: str


def obstacle(given: Given) -> str | None:
    """Return in words what keeps the agent of an instance from answering, None where nothing is known."""
    model = agent_model(given.config, agent_of(given.config))
    if model is None:
        if has_default_model(given.variables):
            return None
        failure = Failure.NO_MODEL
        return f"{sentence(failure, '', 0)}: {advice(failure, given.name, '')}"
    lack = lacking(given, model)
    return None if lack is None else f"{lack.what}: {lack.own}"


def lacking(given: Given, model: str) -> Lack | None:
    """Return what a model needs that an instance has not, None where nothing is known."""
    provider, slash, _ = model.partition("/")
    if not slash or len(model) > len(printable(model)):
        return None  # an alias, or what no provider has
    entry = entry_of(given.config, provider)
    if not entry and provider != provider.lower():
        return None  # whether OpenClaw knows it all the same was not seen
    return _plugin_lack(given, provider, entry) or _key_lack(given, model, provider, entry)


def _plugin_lack(given: Given, provider: str, entry: Mapping[str, Any]) -> Lack | None:
    config, name = given.config, given.name
    package = given.provider_plugins.get(provider)
    if package is not None and not entry.get("baseUrl"):
        mend = f"ocm use {name} plugins install {package}, then ocm restart {name}"
        return Lack(f"it has no plugin for {provider}", mend, mend)
    known = entry or provider in _CLOUDS or given.is_mentioned(provider)
    if known or provider in given.brought or _has_plugins(config, given.is_mentioned):
        return None
    mend = f"ocm model {name} lists those that are known"
    return Lack(_UNKNOWN.format(provider), mend, mend)


def _key_lack(given: Given, model: str, provider: str, entry: Mapping[str, Any]) -> Lack | None:
    if provider in _CLOUDS:
        return _cloud_lack(given, provider)
    if (not entry and not given.is_mentioned(provider)) or _may_have_key(given, provider, entry):
        return None
    variable = variable_of(given.config, provider, given.known)
    own = advice(Failure.NO_KEY, given.name, model)
    mend = f"ocm secret set {given.name} {variable}" if is_key(variable) else own
    return Lack(sentence(Failure.NO_KEY, model, 0), mend, own)


def _cloud_lack(given: Given, provider: str) -> Lack | None:
    cloud = _CLOUDS[provider]
    if given.asks_machine or any(one in _names(given) for one in cloud.variables):
        return None
    mend = cloud.mend.format(given.name)
    return Lack(f"it has no credentials for {provider}", mend, mend)


def out_of_reach(name: str, config: Mapping[str, Any], allow: Iterable[str]) -> str | None:
    """Return in words where the provider of an instance's agent is near and not allowed, None elsewhere.

    `allow` is what an instance in a network of its own may reach.
    """
    provider = (agent_model(config, agent_of(config)) or "").partition("/")[0]
    address = entry_of(config, provider).get("baseUrl")
    for place in near_places([address], allow) if isinstance(address, str) else ():
        return f"its provider is at {place}, which it may not reach: ocm network {name} allow {place}"
    return None


def _has_plugins(config: Mapping[str, Any], is_mentioned: Callable[[str], bool]) -> bool:
    """Tell whether OpenClaw may have providers that it does not come with."""
    plugins = as_object(config.get("plugins"))
    names = as_object(plugins.get("entries"))
    return bool(plugins.get("load") or plugins.get("installs")) or not all(map(is_mentioned, names))


def _may_have_key(given: Given, provider: str, entry: Mapping[str, Any]) -> bool:
    address = str(entry.get("baseUrl", "https://"))
    # Servers of one's own network often ask for no key.
    remote = _REMOTE.match(address) and not near_places([address])
    if takes_no_key(provider) or not remote or any(entry.get(way) for way in _OTHER_WAYS):
        return True
    if not given.known.get(provider) and "baseUrl" not in entry:
        return True  # nobody knows where it would look
    return has_way_in(given.config, provider, _names(given), given.known)


def _names(given: Given) -> set[str]:
    """Return the variables that an instance has, those of its config too."""
    return {*given.variables, *variables_in(given.config)}
