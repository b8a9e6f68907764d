"""How a provider's model list is merged into an OpenClaw config: what changes, what stays, what is refused.

What the fields mean to OpenClaw is in its docs/gateway/config-tools/custom-providers.md (2026.9.6).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.models.listing import read_count
from openclaw_ocm.core.openclaw.document import INCLUDE, as_object, changed_keys, lookup
from openclaw_ocm.core.text import counted, some_of
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openclaw_ocm.core.models.listing import Listing, Model, Provider

# Providers whose models OpenClaw 2026.9.6 knows without configuration (docs/providers).
_BUILT_IN = frozenset({"anthropic", "openai", "google", "openrouter", "groq", "mistral", "xai", "minimax"})
_MAX_NOTES = 20
_MAX_WILDCARDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a merge changed in one provider, as model ids.

    `kept` are models that the list does not have and that stay all the same; `total` is how many there are
    now.
    """

    provider: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    kept: tuple[str, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A config with a list in it, what that changed, and what the user should know."""

    config: dict[str, Any]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def merge(config: dict[str, Any], provider: Provider, listing: Listing, *, force: bool) -> Merged:
    """Return `config` with a list as the models of its provider, or of each of its older ids that is there.

    Nothing else in the config changes. In a model that is there already the list decides what it says:
    prices, context window, images, reasoning, and an upper bound of `maxTokens`. All else in it stays: the
    name, a smaller `maxTokens`, `contextTokens`, `compat`, and what the list does not say. A model that the
    list does not have stays where the config names it, and where it is served at another address.

    Raises `OcmError` where the list is empty or less than half of what is there, unless `force`, and where
    the provider comes from an `$include` or is none.
    """
    if not listing.models and not force:
        message = "the list holds no model that an agent can talk to"
        raise OcmError(message, hint="--force takes it all the same", code="list_empty")
    providers = _providers(config)
    known = (provider.id, *provider.older_ids)
    changes, notes = [], [*_doubts(listing)]
    present = [key for key in providers if key.lower() in known]
    if provider.configured and not present:
        message = f"the config has no provider {provider.id}"
        hint = "ocm sync NAME has an instance get those of main, where it inherits from there"
        raise OcmError(message, hint=hint, code="provider_unknown")
    for key in present or [provider.id]:
        old = _own_object(providers, key, f"models.providers.{key}")
        _refuse_other_models(key, old)
        _refuse_shrink(key, old, provider, listing, force=force)
        merged, change = _merge_provider(config, key, old, provider, listing)
        providers = {**providers, key: merged}
        changes.append(change)
        notes += _bounded(_notes(config, old, change, provider, listing))
        if "apiKey" in merged and "apiKey" not in old:
            where = "in the environment or in .env beside the config"
            notes.append(f"{key} takes its key from {provider.key_variable}, {where}")
    models = {**as_object(config.get("models")), "providers": providers}
    return Merged(config={**config, "models": models}, changes=tuple(changes), notes=tuple(notes))


def _providers(config: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_include(config, "the config")
    models = _own_object(config, "models", "models")
    return _own_object(models, "providers", "models.providers")


def _own_object(parent: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    """Return the object at `key`, empty where there is none."""
    value = parent.get(key, {})
    if not isinstance(value, dict):
        raise OcmError(f"{name} is no object", hint="openclaw doctor may mend it", code="config_invalid")
    _refuse_include(value, name)
    return value


def _refuse_include(value: Mapping[str, Any], name: str) -> None:
    if INCLUDE in value:
        message = f"{name} has an {INCLUDE}, which ocm does not follow"
        hint = f"have models.providers in openclaw.json itself, with no {INCLUDE} in it or above it"
        raise OcmError(message, hint=hint, code="config_included")


def _refuse_other_models(key: str, old: Mapping[str, Any]) -> None:
    if not isinstance(old.get("models", []), list):
        _own_object(old, "models", f"models.providers.{key}.models")
        message = f"models.providers.{key}.models is no list"
        raise OcmError(message, hint="openclaw doctor may mend it", code="config_invalid")


def _refuse_shrink(
    key: str, old: Mapping[str, Any], provider: Provider, listing: Listing, *, force: bool
) -> None:
    count = sum(not _is_elsewhere(entry, provider) for entry in _entries(old))
    if len(listing.models) * 2 < count and not force:
        message = f"the list has {len(listing.models)} models, less than half of the {count} of {key}"
        raise OcmError(message, hint="--force takes it all the same", code="list_shrunk")


def _merge_provider(
    config: Mapping[str, Any], key: str, old: dict[str, Any], provider: Provider, listing: Listing
) -> tuple[dict[str, Any], Change]:
    listed = {model.id: model for model in listing.models}
    entries: list[Any] = []
    removed, changed, kept = [], [], []
    is_needed = _needed(config, key)
    for entry in _entries(old):
        identifier = _id_of(entry)
        if identifier in listed:
            entries.append(_merge_entry(entry, listed[identifier]))
            changed += [identifier] if changed_keys(entry, entries[-1]) else []
        elif identifier is None or _is_elsewhere(entry, provider):
            entries.append(entry)
        elif is_needed(identifier):
            entries.append(entry)
            kept.append(identifier)
        else:
            removed.append(identifier)
    there = {_id_of(entry) for entry in entries}
    added = [model for model in listing.models if model.id not in there]
    entries += map(new_entry, added)
    change = Change(
        provider=key,
        added=tuple(model.id for model in added),
        removed=tuple(removed),
        changed=tuple(changed),
        kept=tuple(kept),
        total=len(entries),
    )
    # One that is configured is reached as its config says, with a key or without.
    reached = {} if provider.configured else _connection(config, key, old, provider)
    return {**reached, **old, "models": entries}, change


def _entries(provider: Mapping[str, Any]) -> list[Any]:
    entries: list[Any] = provider.get("models", [])
    return entries


def _id_of(entry: object) -> str | None:
    identifier = as_object(entry).get("id")
    return identifier if isinstance(identifier, str) else None


def _is_elsewhere(entry: object, provider: Provider) -> bool:
    """Tell whether a model is one that the list is not about: it is served at another address."""
    return bool(as_object(entry).get("baseUrl")) or (_id_of(entry) or "").startswith(provider.leave_out)


def _connection(
    config: Mapping[str, Any], key: str, old: Mapping[str, Any], provider: Provider
) -> dict[str, Any]:
    """Return how a provider is reached where its config does not say; a key only where none is in sight."""
    profiles = as_object(lookup(config, "auth.profiles")).values()
    of_profiles = {str(as_object(profile).get("provider")).lower() for profile in profiles}
    has_key = key.lower() in of_profiles or any(old.get(name) for name in ("auth", "headers", "request"))
    reference = {} if has_key else {"apiKey": f"${{{provider.key_variable}}}"}
    return {"baseUrl": provider.base_url, **reference, "api": "openai-completions"}


def new_entry(model: Model) -> dict[str, Any]:
    """Return a model as a config has it; what its list does not say is left to OpenClaw."""
    entry: dict[str, Any] = {"id": model.id, "name": model.name, "reasoning": False, "input": ["text"]}
    if model.tools is False:
        # OpenClaw sends tools with every turn, and such a model answers that with an error.
        entry["compat"] = {"supportsTools": False}
    return _merge_entry(entry, model)


def _merge_entry(old: dict[str, Any], model: Model) -> dict[str, Any]:
    entry = dict(old)
    if not isinstance(entry.get("name"), str) or not entry["name"]:
        entry["name"] = model.name
    if model.reasoning is not None:
        entry["reasoning"] = model.reasoning
    if model.image is not None:
        entry["input"] = ["text", "image"] if model.image else ["text"]
    if model.prices:
        entry["cost"] = {**as_object(entry.get("cost")), **model.prices}
    if model.context_window is not None:
        entry["contextWindow"] = model.context_window
    if model.max_tokens is not None:
        bounds = (
            read_count(entry.get("maxTokens")),
            read_count(entry.get("contextWindow")),
            model.max_tokens,
        )
        entry["maxTokens"] = min(filter(None, bounds))
    return entry


def _doubts(listing: Listing) -> Iterator[str]:
    """Yield what is odd about a list."""
    yield from listing.notes
    if listing.wildcards:
        some = some_of(listing.wildcards, _MAX_WILDCARDS)
        yield f"left out: {some}, each of which stands for many models: their server names none"
    if listing.missing:
        yield f"the server says that it has {counted(listing.missing, 'more model')} than it listed"
    if listing.unusable:
        yield f"left out: {counted(listing.unusable, 'row')} of the list without a usable id"
    unpriced = sum(not {"input", "output"} <= model.prices.keys() for model in listing.models)
    if unpriced:
        yield f"the list gives no usable price for {counted(unpriced, 'model')}: it stays unknown"


def _notes(
    config: Mapping[str, Any], old: Mapping[str, Any], change: Change, provider: Provider, listing: Listing
) -> Iterator[str]:
    """Yield what a change means for the config: a primary model or a fallback that the list does not have."""
    if change.kept and _has_include(config):
        yield f"nothing was removed from {change.provider}: ocm does not read what the config includes"
    elsewhere = {str(_id_of(entry)).lower() for entry in _entries(old) if _is_elsewhere(entry, provider)}
    served = {model.id.lower() for model in listing.models} | elsewhere
    kept = {identifier.lower() for identifier in change.kept}
    for path, text in _strings(_outside(config)):
        names = _readings(text, change.provider)
        mine = text.lower().startswith(f"{change.provider.lower()}/") or names & kept
        if _selects_model(path) and mine and not names & served:
            what = "its entry was kept" if names & kept else "no entry defines it"
            yield f"{'.'.join(path)} is {text}, which the list does not have: {what}"


def _bounded(notes: Iterator[str]) -> Iterator[str]:
    """Yield the first notes and how many more there are: an instance decides what its config says."""
    yield from itertools.islice(notes, _MAX_NOTES)
    if more := sum(1 for _note in notes):
        yield f"and {counted(more, 'more warning')} of this kind"


def _selects_model(path: tuple[str, ...]) -> bool:
    """Tell whether the string at `path` chooses a model to run, as a first one or as a fallback."""
    return path[-1] in ("model", "primary", "fallbacks") or path[-1].endswith("Model")


def _outside(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "models"}


def _has_include(config: Mapping[str, Any]) -> bool:
    return any(text == INCLUDE for _path, text in _strings(_outside(config)))


def _needed(config: Mapping[str, Any], key: str) -> Callable[[str], bool]:
    """Return a function that tells whether a model of the provider may be in use.

    All strings of the config count, not only the fields that are known to name a model: one model too many
    is kept rather than one too few. So is every model where an included file may name it.
    """
    if _has_include(config):
        return lambda _identifier: True
    named = {name for _path, text in _strings(_outside(config)) for name in _readings(text, key)}
    return lambda identifier: identifier.lower() in named


def _readings(text: str, key: str) -> set[str]:
    """Return, in lower case, the ids that a reference may mean: `key/id` or `id`, with `@profile` or not."""
    lower, prefix = text.lower(), f"{key.lower()}/"
    names = {lower, lower.rpartition("@")[0]}
    return names | {name.removeprefix(prefix) for name in names}


def _strings(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every string in a config with its path, for an item of a list that of the list.

    The keys of objects are strings as well: aliases are kept by model reference.
    """
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield (*path, "the keys"), key
            yield from _strings(below, (*path, key))
    elif isinstance(value, list):
        for below in value:
            yield from _strings(below, path)


def model_note(name: str, model: str | None, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Say how the new instance `name` gets to know its model's provider, where nobody may know it yet.

    `known` are the providers that the instance's config has.
    """
    provider = (model or "").partition("/")[0]
    if not provider or provider in _BUILT_IN | known:
        return ()
    type_this = f"ocm model {name} {model} --base-url URL"
    return (f"if OpenClaw does not know the provider {provider}, {type_this} says where it is",)
