"""The JSON Schema of a fleet file, by which an editor completes and checks it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from openclaw_ocm.core.fleet.file import Described


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


def schema() -> dict[str, Any]:
    """Return the schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(_File)}
