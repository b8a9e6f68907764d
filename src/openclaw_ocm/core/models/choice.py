"""The model that an instance is to use, where it is served and by which variable it gets its key.

What the fields mean to OpenClaw is in its docs/gateway/config-tools/custom-providers.md (2026.9.6).
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.extract import key_variable
from openclaw_ocm.core.models.listing import PROVIDERS, Model, is_model_id
from openclaw_ocm.core.models.update import new_entry
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.openclaw.secret_places import is_secret_reference, referred
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
EXAMPLE = "openrouter/z-ai/glm-4.6"
_API = "openai-completions"
# In the clear only to this machine: the key goes along. No `$`, which OpenClaw would take for a variable.
_URL = re.compile(
    r"(https://[A-Za-z0-9][A-Za-z0-9.-]*|http://(localhost|127\.[0-9.]+|\[::1\]))"
    r"(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?"
)
# Usually programs on this machine, which ask for no key.
_LOCAL = frozenset({"ollama", "lmstudio", "vllm", "sglang", "litellm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A model as OpenClaw refers to it, `PROVIDER/MODEL`; `base_url` is where it is served, if one was named.

    The model is empty where the provider alone was named.
    """

    provider: str
    model: str = ""
    base_url: str | None = None

    @property
    def reference(self) -> str:
        """The model as OpenClaw refers to it."""
        return f"{self.provider}/{self.model}"


def parse_choice(text: str, base_url: str | None = None) -> Choice:
    """Return `PROVIDER/MODEL` as a choice, or raise `Invalid`."""
    provider, _slash, model = text.partition("/")
    if not _PROVIDER.fullmatch(provider) or not is_model_id(model):
        message = f"{text!r} is no model: write PROVIDER/MODEL such as {EXAMPLE}"
        raise Invalid(message, hint="ocm model NAME lists what the providers offer", code="model_invalid")
    if base_url is not None and not _URL.fullmatch(base_url):
        message = f"{base_url!r} is no address of a provider"
        hint = "write https://HOST/v1 without a user name, or http:// where the server is on this machine"
        raise Invalid(message, hint=hint, code="url_invalid")
    return Choice(provider=provider, model=model, base_url=base_url)


def entry_of(config: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """Return what a config says of a provider, whose name may have dots in it."""
    return as_object(as_object(lookup(config, "models.providers")).get(provider))


def variable_of(config: Mapping[str, Any], provider: str, known: Mapping[str, tuple[str, ...]]) -> str:
    """Return the variable in which an instance is to have the key of a provider.

    It is the one to which its config refers already, else the one in which OpenClaw looks: `known` has them.
    """
    key = entry_of(config, provider).get("apiKey")
    if isinstance(key, str) and (name := referred(key)) is not None:
        return name
    if isinstance(key, dict) and is_secret_reference(key) and key.get("source") == "env":
        return str(key["id"])
    return key_variable(provider, known)


def has_key(config: Mapping[str, Any], provider: str, secrets: Container[str], variable: str) -> bool:
    """Tell whether an instance has a key for a provider: in `variable`, or written out in its config."""
    key = entry_of(config, provider).get("apiKey")
    if isinstance(key, dict):
        return key.get("source") != "env" or variable in secrets
    return variable in secrets or (isinstance(key, str) and bool(key) and referred(key) is None)


def has_way_in(
    config: Mapping[str, Any],
    provider: str,
    secrets: Container[str],
    known: Mapping[str, tuple[str, ...]],
) -> bool:
    """Tell whether an instance has a login at a provider, or a key in its config or a secret.

    `known` are the variables in which OpenClaw looks, `secrets` those that it is given.
    """
    logins = as_object(lookup(config, "auth.profiles")).values()
    variables = (variable_of(config, provider, known), *known.get(provider, ()))
    return any(as_object(one).get("provider") == provider for one in logins) or any(
        has_key(config, provider, secrets, one) for one in variables
    )


def is_served_without_key(
    config: Mapping[str, Any],
    provider: str,
    secrets: Mapping[str, str],
    known: Mapping[str, tuple[str, ...]],
) -> bool:
    """Tell whether a provider whose address is in the config gets no key; `known` as in `has_way_in`."""
    has_address = isinstance(entry_of(config, provider).get("baseUrl"), str)
    return has_address and not has_way_in(config, provider, secrets, known)


def takes_no_key(provider: str) -> bool:
    """Tell whether a provider usually is a program on this machine, which asks for no key."""
    return provider in _LOCAL


def located(
    config: Mapping[str, Any], choice: Choice, known: Mapping[str, tuple[str, ...]], plugins: frozenset[str]
) -> Choice:
    """Return a choice with the address of its provider where OpenClaw does not know that and OCM does.

    `known` and `plugins` are what OpenClaw comes with. Raises `OcmError` for a provider of which none of them
    nor the config of the instance says a thing.
    """
    configured = as_object(lookup(config, "models.providers"))
    if choice.base_url or choice.provider in configured or choice.provider in known.keys() | plugins:
        return choice
    if choice.provider in PROVIDERS:
        return replace(choice, base_url=PROVIDERS[choice.provider].base_url)
    message = f"OpenClaw comes without a provider {choice.provider}"
    hint = (
        "--base-url URL names the address of any service that speaks as OpenAI does; for a provider of a "
        "plugin, first ocm use NAME plugins install, then name its --key-variable"
    )
    raise OcmError(message, hint=hint, code="provider_unknown")


def chosen(
    config: Mapping[str, Any],
    choice: Choice,
    *,
    variable: str | None,
    refer: bool,
    found_alone: bool = True,
) -> dict[str, Any]:
    """Return `config` with the model as the one of all agents that have none of their own.

    With `refer` the provider's entry, where it has or gets one, takes its key from `variable`;
    it gets one where OpenClaw does not find that variable by itself (`found_alone`).
    """
    changed = copy.deepcopy(dict(config))
    entry = as_object(as_object(as_object(changed.get("models")).get("providers")).get(choice.provider))
    wanted = _entry(entry, choice, variable if refer else None, found_alone=found_alone)
    if wanted:
        _object_at(_object_at(changed, "models"), "providers")[choice.provider] = wanted
    defaults = _object_at(_object_at(changed, "agents"), "defaults")
    model = defaults.get("model")
    defaults["model"] = {**(model if isinstance(model, dict) else {}), "primary": choice.reference}
    return changed


def _entry(old: dict[str, Any], choice: Choice, variable: str | None, *, found_alone: bool) -> dict[str, Any]:
    if not old and choice.base_url is None:
        return {"apiKey": f"${{{variable}}}"} if variable is not None and not found_alone else {}
    entry = dict(old)
    if choice.base_url is not None:
        entry["baseUrl"] = choice.base_url
        entry.setdefault("api", _API)
    if variable is not None and not _refers(entry.get("apiKey"), variable):
        entry["apiKey"] = f"${{{variable}}}"
    models = entry.get("models", [])
    if "baseUrl" in entry and isinstance(models, list):
        ids = [as_object(one).get("id") for one in models]
        added = [] if choice.model in ids else [new_entry(Model(id=choice.model, name=choice.model))]
        entry["models"] = [*models, *added]
    return entry


def _refers(key: object, variable: str) -> bool:
    """Tell whether a key in a config is a reference to a variable."""
    if isinstance(key, dict):
        return key.get("source") == "env" and key.get("id") == variable
    return isinstance(key, str) and referred(key) == variable


def _object_at(parent: dict[str, Any], key: str) -> dict[str, Any]:
    below = parent.setdefault(key, {})
    if not isinstance(below, dict):
        raise OcmError(f"{key} is no object", hint="ocm use NAME doctor may mend it", code="config_invalid")
    return below


def primary(config: Mapping[str, Any]) -> str | None:
    """Return the model that a config names for its agents, None where it names none."""
    model = lookup(config, "agents.defaults.model")
    found = lookup(model, "primary") if isinstance(model, dict) else model
    return found if isinstance(found, str) and found else None


def agent_model(config: Mapping[str, Any], agent: str) -> str | None:
    """Return the model of an agent: its own, or that of all, None where it has none."""
    own = as_object(as_object(lookup(config, "agents.entries")).get(agent)).get("model")
    return primary({"agents": {"defaults": {"model": own}}}) or primary(config)


def has_default_model(secrets: Container[str]) -> bool:
    """Tell whether an agent without a model may answer all the same: OpenClaw takes one of OpenAI then."""
    return "OPENAI_API_KEY" in secrets


def own_models(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the agents that have a model of their own, which the choice leaves alone."""
    entries = as_object(lookup(config, "agents.entries"))
    return tuple(str(name) for name, entry in entries.items() if as_object(entry).get("model"))
