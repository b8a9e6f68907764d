"""Which plugins OpenClaw could not load, as `plugins doctor --json` tells it (2026.8.2 to 2026.9.6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# It loads them without running them, and asks no gateway.
ASK = ("plugins", "doctor", "--json")
_MOST = 200
_LONGEST = 300


def parse_plugin_errors(text: str) -> dict[str, str] | None:
    """Return what is wrong with plugins by their names, None where nothing was told.

    An instance may have it say anything.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    errors = as_object(said).get("pluginErrors")
    if not isinstance(errors, list):
        return None
    diagnosed = as_object(said).get("diagnostics")
    return dict(list(_found(errors, diagnosed if isinstance(diagnosed, list) else []))[:_MOST])


def _found(errors: Iterable[Any], diagnosed: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for one in map(as_object, diagnosed):
        if one.get("level") == "error" and one.get("pluginId"):
            yield _short(one["pluginId"]), _short(one.get("message"))
    for one in map(as_object, errors):
        if one.get("id"):
            yield _short(one["id"]), _short(one.get("error"))


def _short(value: object) -> str:
    return printable(" ".join(str(value or "it cannot be loaded").split()))[:_LONGEST]


def refused(before: Iterable[str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return in words which plugins cannot be loaded now that could be before."""
    known = frozenset(before)
    return tuple(f"{name}: {why}" for name, why in sorted(now.items()) if name not in known)
