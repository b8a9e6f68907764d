"""Which keys belong to an address that does not come along: sent elsewhere, they would be given away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.secret_places import references, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.inheritance.merge import Place

# How the variables end in which OpenClaw 2026.9.6, and the clients in it, look for the address of a provider.
_ENDS = ("BASE_URL", "API_BASE", "API_URL", "API_HOST", "ENDPOINT", "ENDPOINT_URL")
_OF_KEY = re.compile(r"(_API|_OAUTH)?_(KEYS?|TOKEN)$")
_OTHERS = {"OLLAMA": ("OLLAMA_HOST",)}
_ADDRESS = re.compile(r"(?i)^(https?|wss?)://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """Where the address stands to which the keys `names` belong, a variable or a place in the config.

    So do all secrets that stand below one of `places` in the config.
    """

    address: str
    is_variable: bool
    names: frozenset[str]
    places: tuple[Place, ...] = ()

    def holds(self, name: str) -> bool:
        """Tell whether a variable is one of the keys, or a spare one (docs/gateway/authentication)."""
        return any(
            name in (own, f"{own}S") or (own.endswith("_KEY") and name.startswith(f"{own}_"))
            for own in self.names
        )

    def is_below(self, place: Place) -> bool:
        """Tell whether a secret at a place of the config belongs to the address, such as that of a header."""
        return any(place[: len(own)] == own for own in self.places)

    def sentence(self, name: str, heir: str) -> str:
        """Return why a key is not inherited, and what brings it."""
        said = f"{name} is not inherited: main's belongs to the address in {self.address}, and {heir} has"
        if self.is_variable:
            return f"{said} another: ocm env {heir} set {self.address}=URL, then ocm sync {heir}"
        if "." in name:
            return f"{said} not that: set both by ocm edit {heir}"
        return f"{said} not that: set it by ocm edit {heir}, then ocm secret set {heir} {name}"


def is_address(variable: str) -> bool:
    """Tell whether a variable is one in which the address of a provider is looked for."""
    ends = tuple(f"_{end}" for end in _ENDS)
    return variable.endswith(ends) or any(variable in names for names in _OTHERS.values())


def keys_away(
    providers: Mapping[str, Iterable[str]],
    variables: Mapping[str, str],
    given: Mapping[str, str],
    *,
    taken: Mapping[str, Any],
    left_out: Mapping[str, Any],
) -> Iterator[Away]:
    """Yield the keys that belong to an address which does not come along.

    `providers` have the variables of their keys; `variables` are those of the source, `given` those that the
    heir has anyway; `taken` is what comes along of the config, `left_out` are the plugins that do not, by id.
    """
    entries = as_object(as_object(taken.get("models")).get("providers"))
    referred = references(taken)
    for provider, keys in providers.items():
        entry = as_object(entries.get(provider))
        if entry.get("baseUrl"):
            continue
        names = frozenset((*keys, *references(entry)))
        places = tuple(_places(taken, provider))
        plugin = as_object(as_object(left_out.get(provider)).get("config"))
        if any(_ADDRESS.match(text) for text in texts(plugin)):
            yield Away(
                address=f"plugins.entries.{provider}.config", is_variable=False, names=names, places=places
            )
        for variable in _address_variables(provider, names):
            value = variables.get(variable)
            if value and value != given.get(variable) and variable not in referred:
                yield Away(address=variable, is_variable=True, names=names, places=places)


def _places(taken: Mapping[str, Any], provider: str) -> Iterator[Place]:
    """Yield where in a config the secrets of a provider stand that has no address there."""
    yield ("models", "providers", provider)
    plugin = as_object(as_object(as_object(taken.get("plugins")).get("entries")).get(provider))
    if not any(_ADDRESS.match(text) for text in texts(plugin)):
        yield ("plugins", "entries", provider)


def _address_variables(provider: str, names: Iterable[str]) -> tuple[str, ...]:
    own = re.sub(r"[^A-Z0-9]+", "_", provider.upper()).strip("_")
    stems = {own, *(_OF_KEY.sub("", name) for name in names)}
    both = {f"{own}_{stem}" for stem in stems if stem != own}
    found = (f"{stem}_{end}" for stem in sorted(stems | both) for end in _ENDS)
    return (*found, *(name for stem in stems for name in _OTHERS.get(stem, ())))
