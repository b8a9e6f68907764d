"""What an instance takes over from main: providers, models and keys, and nothing else of main's config.

The keys leave the config: what an instance gets in their stead are `${NAME}` references, and the values
beside, by name. Shapes are those of OpenClaw 2026.9.6; no value is trusted to have the type it should have.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.addresses import keys_away
from openclaw_ocm.core.inheritance.selection import selected
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

    from openclaw_ocm.core.inheritance.addresses import Away
    from openclaw_ocm.core.inheritance.merge import Place
    from openclaw_ocm.core.openclaw.main_place import Variable

# Never inherited: what a login is renewed with, what another file holds, and what starts a program.
_REFRESH = re.compile(r"(?i)refresh.?token$")
_LEFT_OUT = (INCLUDE, "localService")
_MAX_DEPTH = 100
_MAX_NOTES = 20
_MAX_NAMED = 5
_KINDS = {
    "exec": "a program",
    "file": "a file",
    "store": "a store",
    "env": "a variable of main's",
}
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an instance inherits from, as it was read.

    `config` has its includes resolved; `variables` are those that its process would have; `profiles` are
    those of its store of credentials, by id; `provider_variables` are the variables in which OpenClaw looks
    for the key of a provider, by the provider; `resolve` returns the value of a reference to a file, or None;
    `port` is that of main's gateway where this is main's own config; `place` is the file of the config;
    `around` are all variables that main has; `given` are variables that the heir has anyway.
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
    around: Mapping[str, Variable] = field(default_factory=dict, repr=False)
    given: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """What is inherited: a config without a secret in it, the secrets that it refers to, and warnings.

    `port` and `place` are those of the source, and `around` all variables that main has, of
    which an heir gets nothing else.
    """

    config: dict[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    port: int | None = None
    place: str = ""
    around: Mapping[str, Variable] = field(default_factory=dict, repr=False)


def inherit(source: Source, heir: str) -> Inheritance:
    """Return what the instance `heir` takes over from `source`."""
    return extract(source, selected(source), heir)


def extract(source: Source, taken: Mapping[str, Any], heir: str) -> Inheritance:
    """Return a part of the config of `source` without a secret in it, and its secrets beside.

    `heir` is the instance that gets them, for the commands in the notes.
    """
    extraction = _Extraction(source, heir, taken)
    extraction.take_variables(taken)
    keys = extraction.take_profiles(taken)
    config = extraction.replace(taken)
    extraction.note_others()
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


class _Extraction:
    """The secrets found so far, by the names that they get."""

    def __init__(self, source: Source, heir: str, taken: Mapping[str, Any]) -> None:
        self._heir = heir
        keys, left_out = _keys_by_provider(source, taken), _plugins_left_out(source)
        away = keys_away(keys, source.variables, source.given, taken=taken, left_out=left_out)
        self._away = tuple(away)
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
        keys = known | made_up
        spare = (name for name in source.variables if any(_is_spare(name, key) for key in keys))
        for name in (*references(taken), *sorted(keys), *sorted(spare)):
            value = source.variables.get(name)
            if value and is_key(name):
                self._put(name, value)
        for name in references(taken):
            if name not in self.secrets and not is_reserved(name) and self._away_of(name) is None:
                said = f"{source.name} refers to {name}, which is not set there"
                self.notes.append(f"{said}: ocm secret set {self._heir} {name}")
            elif is_reserved(name):
                self.notes.append(f"{source.name} refers to {name}, which no instance gets from there")

    def take_profiles(self, taken: Mapping[str, Any]) -> dict[str, str]:
        """Take the keys in the store of credentials; return the names that they have, by provider."""
        source = self._source
        by_provider: dict[str, dict[str, str]] = {}
        unread: dict[str, tuple[str, dict[str, Any], Mapping[str, Any]]] = {}
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
            elif (key := self._profile_key(fields)) is not None:
                by_provider.setdefault(provider, {})[name] = key
            elif (reference := _reference_of(fields)) is not None:
                unread.setdefault(provider, (name, fields, reference))
        orders = as_object(as_object(taken.get("auth")).get("order"))
        for provider, keys in by_provider.items():
            names = _ordered(list(keys), orders.get(provider))
            wanted = self._variable(provider, as_object(source.profiles[names[0]]))
            self._take_keys(provider, wanted, [keys[name] for name in names])
        for provider, (name, fields, reference) in unread.items():
            wanted = self._variable(provider, fields)
            if provider not in self._keys and wanted not in self.secrets:
                self._keys[provider] = wanted
                self._note_unread(f"the key of {name}", reference, wanted)
        return self._keys

    def _take_keys(self, provider: str, wanted: str, keys: list[str]) -> None:
        """Take the keys of one provider; OpenClaw takes a spare one where it looks for the first."""
        self._keys[provider] = self._named(wanted, keys[0])
        _first, *more = dict.fromkeys(keys)
        known = provider.lower() in self._source.provider_variables and wanted.endswith("_API_KEY")
        if more and not known:
            said = f"of {len(more) + 1} keys of {provider} the first is inherited, as {self._keys[provider]}"
            self.notes.append(said)
        for number, value in enumerate(more if known else (), start=2):
            self._put(f"{wanted}_{number}", value)

    def note_others(self) -> None:
        """Tell of the keys that main has and that belong to no provider which comes along."""
        named = (name for name in self._source.variables if name.endswith(("_API_KEY", "_API_KEYS")))
        left = [name for name in sorted(named) if is_key(name) and self._away_of(name) is None]
        left = [name for name in left if name not in self.secrets]
        if left and self._source.around:
            some = ", ".join(left[:_MAX_NAMED])
            said = f"main also has {some}, of no provider in its config"
            self.notes.append(f"{said}: ocm secret set {self._heir} {left[0]}")

    def _away_of(self, name: str) -> Away | None:
        return next((away for away in self._away if away.holds(name)), None)

    def _note_unread(self, what: str, reference: Mapping[str, Any], name: str) -> None:
        kind = _KINDS.get(str(reference.get("source")), "a place")
        said = f"{what} comes from {kind} that an instance cannot read"
        self.notes.append(f"{said}: ocm secret set {self._heir} {name}")

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
        return self._resolved(as_object(profile.get(reference)) or as_object(value))

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
        if self._is_away(place):
            return _NOTHING
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
        if self._is_away(place):
            return _NOTHING
        name, value = self._name(place), self._resolved(reference)
        name = name if is_key(name) else f"OTHER_{name}"
        if value is not None and is_value(value):
            return f"${{{self._named(name, value)}}}"
        self._note_unread(".".join(place), reference, name)
        return f"${{{name}}}"

    def _is_away(self, place: Place) -> bool:
        """Tell, noting it, whether a secret belongs to an address that stays; `apiKey` goes by its name."""
        away = next((away for away in self._away if away.is_below(place)), None)
        if away is None or place[:1] + place[3:] == ("models", "apiKey"):
            return False
        self.notes.append(away.sentence(".".join(place), self._heir))
        return True

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
        away = self._away_of(name)
        if away is not None:
            self.notes.append(away.sentence(name, self._heir))
        elif is_value(value):
            self.secrets[name] = value
        else:
            self.notes.append(f"{name} is not inherited: it is longer than a line")


def _reference_of(profile: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference by which a profile has its key, None where it has none."""
    for place in ("keyRef", "tokenRef", "key", "token"):
        value = profile.get(place)
        if isinstance(value, dict) and is_secret_reference(value):
            return value
        if isinstance(value, str) and referred(value):
            return {"source": "env", "id": referred(value)}
    return None


def _ordered(names: list[str], order: object) -> list[str]:
    """Return the profiles of a provider as OpenClaw tries them: those of its order alone, if there."""
    wanted = [name for name in order if name in names] if isinstance(order, list) else []
    return wanted or names


def _is_spare(name: str, key: str) -> bool:
    """Tell whether OpenClaw takes a variable for more keys like `key` (docs/gateway/authentication)."""
    return key.endswith("_API_KEY") and (name == f"{key}S" or name.startswith(f"{key}_"))


def _keys_by_provider(source: Source, taken: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the variables of the keys of each provider that OpenClaw or the source knows."""
    stored = {str(as_object(profile).get("provider")) for profile in source.profiles.values()}
    known = source.provider_variables
    return {
        provider: (*known.get(provider.lower(), ()), key_variable(provider, known))
        for provider in sorted({*known, *_providers(taken), *stored})
    }


def _plugins_left_out(source: Source) -> dict[str, Any]:
    entries = as_object(as_object(source.config.get("plugins")).get("entries"))
    return {name: entry for name, entry in entries.items() if name not in source.provider_plugins}


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
