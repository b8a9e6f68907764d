"""What a clone has of an instance: all that is not bound to the one that it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.extract import extract
from openclaw_ocm.core.inheritance.selection import selected
from openclaw_ocm.core.openclaw.moved import moved_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.inheritance.extract import Inheritance, Source
    from openclaw_ocm.core.inheritance.merge import Place
    from openclaw_ocm.core.openclaw.moved import Move

# What a clone has beside what is inherited: nothing that is of one gateway, its ports, devices or channels.
_CLONED = frozenset(
    {"agents", "tools", "skills", "session", "messages", "commands", "memory", "mcp", "tts", "talk", "ui"}
)
# Every new instance has its own.
_MADE_ANEW = frozenset({"gateway", "browser", "discovery", "update", "logging", "meta", "wizard"})


def duplicate(source: Source, move: Move, heir: str) -> Inheritance:
    """Return what the clone `heir` has of an instance: the settings of its agents, tools and skills too.

    `move` is from the state of the one to that of the other. Secrets come along as far as what is kept refers
    to them. What is bound to one instance is left out and told: its gateway, and channels, for two that
    share a bot's token take each other's messages.
    """
    taken = moved_config({**selected(source), **_settings(source.config)}, move)
    left = sorted(source.config.keys() - taken.keys() - _MADE_ANEW)
    notes = [f"left out of the config: {', '.join(left)}"] if left else []
    if "agents" in taken:
        taken["agents"], outside = _without_paths(taken["agents"], move, ("agents",))
        notes += [f"left out, for it lies outside of {move.before.name}: {place}" for place in outside]
    return extract(replace(source, notes=(*notes, *source.notes)), taken, heir)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key in _CLONED and isinstance(value, dict)}


def _without_paths(value: object, move: Move, place: Place) -> tuple[Any, list[str]]:
    """Return a value without the absolute paths that lie outside of the clone's state, and their places."""
    if isinstance(value, list):
        kept = [item for item in value if not _is_outside(item, move)]
        return kept, [".".join(place)] if len(kept) < len(value) else []
    if not isinstance(value, dict):
        return value, []
    members: dict[str, Any] = {}
    outside: list[str] = []
    for key, item in value.items():
        if _is_outside(item, move):
            outside.append(".".join((*place, key)))
        else:
            members[key], found = _without_paths(item, move, (*place, key))
            outside += found
    return members, outside


def _is_outside(value: object, move: Move) -> bool:
    inside = any(value == after or str(value).startswith(f"{after}/") for _before, after in move.pairs)
    return isinstance(value, str) and value.startswith(("/", "~/")) and not inside
