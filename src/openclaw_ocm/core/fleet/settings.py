"""Which settings of an instance's config are its own, for the fleet file of what there is. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.core.openclaw.document import as_object, overlay, parse_key
from openclaw_ocm.core.openclaw.secret_places import masked
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.inheritance.merge import Place

# What OpenClaw 2026.9.6 writes there by itself.
_OF_OPENCLAW = frozenset({"meta", "wizard"})
_MODEL = ("agents", "defaults", "model")
# How far a setting that only the instance has is taken apart: `models` is several, `models.providers` one.
_APART = 2


class Settings(NamedTuple):
    """The values by their dotted keys, and the keys of those that a fleet file cannot hold, with why."""

    values: dict[str, Any]
    left_out: tuple[str, ...]


def own_settings(
    config: Mapping[str, Any], *, made: Mapping[str, Any], inherited: Mapping[str, Any]
) -> Settings:
    """Return what a config has beside what OCM makes of a new instance and what that inherits.

    What OCM itself sets is no setting of the instance's, whatever is there by now. A secret and what TOML
    cannot say are left out, each with all that is no use without it.
    """
    values: dict[str, Any] = {}
    left_out = []
    base = overlay(inherited, made)
    for place, value in _differing(config, base, made, ()):
        why = _unfit(place, value)
        if why is None:
            values[".".join(place)] = value
        else:
            left_out.append(f"{'.'.join(place)}, {why}")
    return Settings(values, tuple(left_out))


def _differing(
    config: Mapping[str, Any], base: Mapping[str, Any], made: Mapping[str, Any], above: Place
) -> Iterator[tuple[Place, Any]]:
    """Yield each place that is otherwise than in `base`, with its value; what is of OCM is not."""
    for key, value in config.items():
        place, below = (*above, key), base.get(key)
        if (place[0] in _OF_OPENCLAW) or value == below or value in ({}, []):
            continue
        if isinstance(value, dict) and (isinstance(below, dict) or (below is None and len(place) < _APART)):
            yield from _differing(value, as_object(below), as_object(made.get(key)), place)
        elif key not in made and place != _MODEL:
            yield place, value


def _unfit(place: Place, value: object) -> str | None:
    """Return why a fleet file cannot hold a value, None where it can."""
    try:
        parse_key(".".join(place))
    except Invalid:
        return "which has an odd name"
    if masked(value, place) != value:
        return "which holds a secret"
    return None if _is_sayable(value) else "which holds what TOML has no word for"


def _is_sayable(value: object) -> bool:
    """Tell whether TOML can say a value of JSON."""
    if isinstance(value, dict):
        return all(map(_is_sayable, value.values()))
    if isinstance(value, list):
        return all(map(_is_sayable, value))
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
