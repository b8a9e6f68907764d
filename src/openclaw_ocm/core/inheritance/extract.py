"""What an instance takes over from main: providers, models and keys, and nothing else of main's config.

The keys leave the config: what an instance gets in their stead are `${NAME}` references, and the values
beside, by name. Shapes are those of OpenClaw 2026.9.6; no value is trusted to have the type it should have.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.left_behind import Around
from openclaw_ocm.core.openclaw.document import INCLUDE, as_object
from openclaw_ocm.core.openclaw.secret_places import (
    expanded,
    is_secret,
    is_secret_reference,
    references,
    referred,
    texts,
)
from openclaw_ocm.core.secrets import is_key, is_reserved, is_value
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.inheritance.merge import Place

# Of agents.defaults, beside all whose name has "model" in it.
_MODEL_SETTINGS = ("params", "thinkingDefault", "fastModeDefault")
_PLUGIN_SETTINGS = ("enabled", "apiKey", "env", "config", "llm")
# Never inherited: what a login is renewed with, what another file holds, and what starts a program.
_REFRESH = re.compile(r"(?i)refresh.?token$")
_LEFT_OUT = (INCLUDE, "localService")
_MAX_DEPTH = 100
_MAX_NOTES = 20
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an instance inherits from, as it was read.

    `config` has its includes resolved; `variables` are those that its process would have; `profiles` are
    those of its store of credentials, by id; `provider_variables` are the variables in which OpenClaw looks
    for the key of a provider, by the provider; `resolve` returns the value of a reference to a file, or None;
    `port` is that of main's gateway where this is main's own config; `place` is the file of the config, and
    `around` what stands around main.
    """

    name: str
    config: Mapping[str, Any] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False, default_factory=dict)
    profiles: Mapping[str, Any] = field(repr=False, default_factory=dict)
    provider_variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    provider_plugins: frozenset[str] = frozenset()
    resolve: Callable[[Mapping[str, Any]], str | None] = lambda _reference: None
    notes: tuple[str, ...] = ()
    port: int | None = None
    place: str = ""
    around: Around = field(default_factory=Around, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """What is inherited: a config without a secret in it, the secrets that it refers to, and warnings.

    `port` and `place` are those of the source, and `around` what stands around it, of which an heir gets
    nothing else.
    """

    config: dict[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    port: int | None = None
    place: str = ""
    around: Around = field(default_factory=Around, repr=False)


def inherit(source: Source, heir: str) -> Inheritance:
    """Return what the instance `heir` takes over from `source`."""
    return extract(source, selected(source), heir)


def extract(source: Source, taken: Mapping[str, Any], heir: str) -> Inheritance:
    """Return a part of the config of `source` without a secret in it, and its secrets beside.

    `heir` is the instance that gets them, for the commands in the notes.
    """
    extraction = _Extraction(source, heir)
    extraction.take_variables(taken)
    keys = extraction.take_profiles(taken)
    config = extraction.replace(taken)
    _refer_to_keys(config, keys)
    notes = tuple(dict.fromkeys(map(printable, (*source.notes, *extraction.notes))))
    more = (f"and {len(notes) - _MAX_NOTES} more of the kind",) if len(notes) > _MAX_NOTES else ()
    return Inheritance(
        config=config,
        secrets=extraction.secrets,
        notes=(*notes[:_MAX_NOTES], *more),
        port=source.port,
        place=source.place,
        around=source.around,
    )


def key_variable(provider: str, known: Mapping[str, tuple[str, ...]]) -> str:
    """Return the variable in which OpenClaw looks for the API key of a provider, a made-up one for others."""
    own = f"{_as_name(provider)}_API_KEY"
    names = known.get(provider.lower(), ())
    usual = [name for name in names if name.endswith("_API_KEY")]
    return own if own in names or not names else (usual or list(names))[0]


def selected(source: Source) -> dict[str, Any]:
    """Return the part of a config that is inherited, as it is."""
    config = source.config
    defaults = as_object(as_object(config.get("agents")).get("defaults"))
    settings = {key: value for key, value in defaults.items() if _is_model_setting(key)}
    taken = {
        "models": config.get("models"),
        "agents": {"defaults": settings} if settings else None,
        "auth": _auth(as_object(config.get("auth"))),
        "secrets": _secret_providers(as_object(config.get("secrets"))),
        "plugins": _plugins(as_object(config.get("plugins")), source.provider_plugins),
        "proxy": config.get("proxy"),
    }
    return {key: value for key, value in taken.items() if isinstance(value, dict) and value}


def _is_model_setting(key: str) -> bool:
    return "model" in key.lower() or key in _MODEL_SETTINGS


def _auth(auth: Mapping[str, Any]) -> dict[str, Any]:
    """Return `auth` without the profiles of logins, whose tokens are not inherited."""
    profiles = as_object(auth.get("profiles"))
    logins = {name for name, profile in profiles.items() if as_object(profile).get("mode") == "oauth"}
    kept = dict(auth)
    if isinstance(auth.get("profiles"), dict):
        kept["profiles"] = {name: value for name, value in auth["profiles"].items() if name not in logins}
    if isinstance(auth.get("order"), dict):
        orders = {
            provider: [one for one in order if str(one) not in logins] if isinstance(order, list) else order
            for provider, order in auth["order"].items()
        }
        kept["order"] = {provider: order for provider, order in orders.items() if order}
    return {key: value for key, value in kept.items() if value not in ({}, [])}


def _secret_providers(secrets: Mapping[str, Any]) -> dict[str, Any]:
    """Return of `secrets` what means something inside a sandbox: where variables come from.

    Files and programs of main's are not there, nor is its store, and the egress proxy is its gateway's.
    """
    providers = {
        name: provider
        for name, provider in as_object(secrets.get("providers")).items()
        if as_object(provider).get("source") == "env"
    }
    defaults = {key: value for key, value in as_object(secrets.get("defaults")).items() if key == "env"}
    kept = {"providers": providers, "defaults": defaults}
    return {key: value for key, value in kept.items() if value}


def _plugins(plugins: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    entries = {}
    for name, entry in as_object(plugins.get("entries")).items():
        settings = {key: value for key, value in as_object(entry).items() if key in _PLUGIN_SETTINGS}
        if name in known and settings:
            entries[name] = settings
    return {"entries": entries} if entries else {}


class _Extraction:
    """The secrets found so far, by the names that they get."""

    def __init__(self, source: Source, heir: str) -> None:
        self._heir = heir
        self.secrets: dict[str, str] = {}
        self.notes: list[str] = []
        self._source = source
        # What a store says goes before what the config says (OpenClaw 2026.9.6, model-auth).
        self._keys: dict[str, str] = {}
        # The name that a value has, of those that were wanted alike, and how many there are of these.
        self._names: dict[tuple[str, str], str] = {}
        self._alike: dict[str, int] = {}

    def take_variables(self, taken: Mapping[str, Any]) -> None:
        """Take the variables to which the config refers, and those with a key of a provider."""
        source = self._source
        known = {name for names in source.provider_variables.values() for name in names}
        made_up = {f"{_as_name(provider)}_API_KEY" for provider in _providers(taken)}
        for name in (*references(taken), *sorted(known | made_up)):
            value = source.variables.get(name)
            if value and is_key(name):
                self._put(name, value)
        for name in references(taken):
            if name not in self.secrets and not is_reserved(name):
                said = f"{source.name} refers to {name}, which is not set there"
                self.notes.append(f"{said}: ocm secret set {self._heir} {name}")
            elif is_reserved(name):
                self.notes.append(f"{source.name} refers to {name}, which no instance gets from there")

    def take_profiles(self, taken: Mapping[str, Any]) -> dict[str, str]:
        """Take the keys in the store of credentials; return the names that they have, by provider."""
        source = self._source
        by_provider: dict[str, list[str]] = {}
        for name, profile in source.profiles.items():
            fields = as_object(profile)
            provider = fields.get("provider")
            if not isinstance(provider, str) or not provider:
                continue
            if fields.get("type") == "oauth" or fields.get("refresh"):
                self.notes.append(
                    f"the login {name} is not inherited: its refresh token changes with every use, and used "
                    f"twice it ends both; log in anew: ocm use {self._heir} models auth login"
                )
            elif self._profile_key(fields) is not None:
                by_provider.setdefault(provider, []).append(name)
        orders = as_object(as_object(taken.get("auth")).get("order"))
        for provider, names in by_provider.items():
            order = orders.get(provider)
            first = next((name for name in order if name in names), None) if isinstance(order, list) else None
            fields = as_object(source.profiles[first or names[0]])
            key = self._profile_key(fields)
            if key is not None:
                self._keys[provider] = self._named(self._variable(provider, fields), key)
        return self._keys

    def _variable(self, provider: str, profile: Mapping[str, Any]) -> str:
        names = self._source.provider_variables.get(provider.lower(), ())
        tokens = [name for name in names if name.endswith("OAUTH_TOKEN")]
        if profile.get("type") == "token" and tokens:
            return tokens[0]
        return key_variable(provider, self._source.provider_variables)

    def _profile_key(self, profile: Mapping[str, Any]) -> str | None:
        kinds = {"api_key": ("key", "keyRef"), "token": ("token", "tokenRef")}
        plain, reference = kinds.get(str(profile.get("type")), ("", ""))
        value = profile.get(plain)
        if isinstance(value, str) and value:
            return self._source.variables.get(referred(value) or "") if referred(value) else value
        return self._resolved(as_object(profile.get(reference)))

    def _resolved(self, reference: Mapping[str, Any]) -> str | None:
        if reference.get("source") == "env":
            return self._source.variables.get(str(reference.get("id")))
        return self._source.resolve(reference) if reference.get("source") == "file" else None

    def replace(self, taken: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config with references in the place of secrets."""
        replaced = self._replaced(taken, ())
        return replaced if isinstance(replaced, dict) else {}

    def _replaced(self, value: object, place: Place) -> Any:  # noqa: ANN401 - any JSON value
        if len(place) > _MAX_DEPTH:
            return _NOTHING
        if isinstance(value, dict):
            if is_secret_reference(value):
                return self._replaced_reference(value, place)
            members = {key: self._member(item, (*place, key)) for key, item in value.items()}
            return {key: item for key, item in members.items() if item is not _NOTHING}
        if isinstance(value, list):
            # The place of an item is that of its list: `args` and `headers` are no secrets by a number.
            return [item for each in value if (item := self._replaced(each, place)) is not _NOTHING]
        if isinstance(value, str) and is_secret(place, value):
            return self._replaced_text(value, place)
        # Infinity and NaN are JSON5 but no JSON.
        return _NOTHING if isinstance(value, float) and not math.isfinite(value) else value

    def _member(self, value: object, place: Place) -> Any:  # noqa: ANN401 - any JSON value
        if place[-1] in _LEFT_OUT or _REFRESH.search(place[-1]):
            self.notes.append(f"{'.'.join(place)} is not inherited")
            return _NOTHING
        return self._replaced(value, place)

    def _replaced_text(self, value: str, place: Place) -> Any:  # noqa: ANN401 - a text or nothing
        profile = self._source.profiles.get(value)
        if place[-1] == "apiKey" and profile is not None:
            # An apiKey may be the id of a profile in the store (OpenClaw 2026.9.6, model-auth-provider).
            key = self._profile_key(as_object(profile))
            if key is None:
                return _NOTHING
            value = key
        else:
            value = expanded(value, self._source.variables)
        if not is_value(value):
            self.notes.append(f"{'.'.join(place)} is not inherited: it is longer than a line")
            return _NOTHING
        return f"${{{self._named(self._name(place), value)}}}"

    def _replaced_reference(self, reference: Mapping[str, Any], place: Place) -> Any:  # noqa: ANN401
        if reference.get("source") == "env":
            fields = {key: reference[key] for key in ("source", "provider", "id")}
            return fields if all(isinstance(value, str) for value in fields.values()) else _NOTHING
        name, value = self._name(place), self._resolved(reference)
        name = name if is_key(name) else f"OTHER_{name}"
        if value is not None and is_value(value):
            return f"${{{self._named(name, value)}}}"
        self.notes.append(
            f"{'.'.join(place)} comes from a {reference.get('source')} that an instance cannot read: "
            f"ocm secret set {self._heir} {name}"
        )
        return f"${{{name}}}"

    def _name(self, place: Place) -> str:
        if place[:2] == ("models", "providers") and place[3:] == ("apiKey",):
            return key_variable(place[2], self._source.provider_variables)
        return _as_name("_".join(place))

    def _named(self, wanted: str, value: str) -> str:
        """Return the name under which a secret is kept: the wanted one unless that has another value."""
        name = self._names.get((wanted, value), wanted)
        # Not NAME_2: of a name that OpenClaw knows it would take that for a spare key (docs, authentication).
        while not is_key(name) or self.secrets.get(name, value) != value:
            number = self._alike[wanted] = self._alike.get(wanted, 0) + 1
            name = f"OTHER{number}_{wanted}"[:128]
            name = name if is_key(name) else f"OTHER{number}_KEY"
        self._names[wanted, value] = name
        self._put(name, value)
        return name

    def _put(self, name: str, value: str) -> None:
        if is_value(value):
            self.secrets[name] = value
        else:
            self.notes.append(f"{name} is not inherited: it is longer than a line")


def _refer_to_keys(config: dict[str, Any], keys: Mapping[str, str]) -> None:
    """Have the providers of the config use the keys of the store."""
    providers = as_object(as_object(config.get("models")).get("providers"))
    for provider, name in keys.items():
        entry = providers.get(provider)
        if isinstance(entry, dict):
            entry["apiKey"] = f"${{{name}}}"


def _providers(taken: Mapping[str, Any]) -> set[str]:
    """Return the providers that a config speaks of."""
    named = set(as_object(as_object(taken.get("models")).get("providers")))
    for profile in as_object(as_object(taken.get("auth")).get("profiles")).values():
        named.add(str(as_object(profile).get("provider")))
    defaults = as_object(as_object(taken.get("agents")).get("defaults"))
    named |= {text.partition("/")[0] for text in (*texts(defaults), *as_object(defaults.get("models")))}
    return {provider for provider in named if re.fullmatch(r"[A-Za-z0-9._-]{1,60}", provider)}


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")[:100]
    return name if name[:1].isalpha() else f"KEY_{name}"
