"""Steps that prove something of an instance beside what each start proves; data as those of `core.steps`."""

from __future__ import annotations

import msgspec


class ProvePlugins(msgspec.Struct, frozen=True, tag="prove-plugins", kw_only=True):
    """See that OpenClaw loads the plugins of an instance but those that it `failed` to load before."""

    name: str
    failed: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the step in words."""
        return f"see that OpenClaw loads the plugins of {self.name}"
