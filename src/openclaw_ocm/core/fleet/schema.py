"""The JSON Schema of a fleet file, by which an editor completes and checks it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from openclaw_ocm.core.fleet.file import OF_ONE, Described
from openclaw_ocm.core.names import NAME
from openclaw_ocm.core.openclaw.document import as_object, objects_in

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFINITIONS = "$defs"
# Editors read patterns as JavaScript does, which knows neither of the two.
_ANCHORS = (("\\A", "^"), ("\\Z", "$"))
_NULL = {"type": "null"}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fleet file of OCM."""

    version: Literal[1] = 1
    """The version of this form."""
    defaults: Described = Described()
    """What all instances are to be, where they say nothing else."""
    groups: dict[str, Described] = msgspec.field(default_factory=dict)
    """What those are to be that name the group."""
    instances: dict[str, Described] = msgspec.field(default_factory=dict)
    """The instances, by their names."""


def schema(told: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
    """Return the schema; `told` says what fields are for, by the names of their tables."""
    made = msgspec.json.schema(_File)
    definitions: dict[str, Any] = made[_DEFINITIONS]
    for node in map(as_object, objects_in(made)):
        _as_editors_read(node)
    for table, texts in (told or {}).items():
        for field, node in definitions.get(table, {}).get("properties", {}).items():
            if field in texts:
                definitions[table]["properties"][field] = {**node, "description": texts[field]}
    for field in ("inherit_from", "backups", "auto_upgrade"):
        choices = definitions["Described"]["properties"][field]["anyOf"]
        choices[:] = [{"const": False} if one == {"type": "boolean"} else one for one in choices]
    definitions["Source"] |= {"minProperties": 1, "maxProperties": 1}
    definitions["Defaults"] = _without(definitions["Described"], OF_ONE)
    definitions["Group"] = _without(definitions["Described"], (*OF_ONE, "groups"))
    top = definitions["_File"]["properties"]
    top["defaults"]["$ref"] = f"#/{_DEFINITIONS}/Defaults"
    top["groups"]["additionalProperties"] = {"$ref": f"#/{_DEFINITIONS}/Group"}
    top["instances"]["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _as_editors_read(node: dict[str, Any]) -> None:
    if isinstance(pattern := node.get("pattern"), str):
        for old, new in _ANCHORS:
            pattern = pattern.replace(old, new)
        node["pattern"] = pattern
    if isinstance(choices := node.get("anyOf"), list) and _NULL in choices:
        # TOML has no such value.
        choices.remove(_NULL)
    if isinstance(node.get("default", ""), dict | list) or node.get("default", "") is None:
        del node["default"]


def _without(table: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    found = copy.deepcopy(table)
    for field in fields:
        del found["properties"][field]
    return found
