"""The steps that upgrades brought, some of which a restore and an unadopt take as well; as `core.steps`."""

from __future__ import annotations

import msgspec

from openclaw_ocm.core.steps import OfInstance


class Watch(msgspec.Struct, frozen=True, tag="watch", kw_only=True):
    """See for some time that a gateway which became ready goes on: one may fall over a minute later."""

    name: str
    seconds: float

    def describe(self) -> str:
        """Return the step in words."""
        return f"watch {self.name} for {self.seconds:g} s"


class Ask(msgspec.Struct, frozen=True, tag="ask", kw_only=True):
    """Ask an agent something, as who makes the plan has it asked; one that does not answer fails."""

    name: str
    seconds: float

    def describe(self) -> str:
        """Return the step in words."""
        return f"ask {self.name}, which uses its model"


class KeepState(msgspec.Struct, frozen=True, tag="keep-state", kw_only=True):
    """Copy the state `path` of a stopped instance into `kept`; an undo puts the copy in its place.

    `record` is the text of its record, which is kept beside it.
    """

    path: str
    kept: str
    record: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"keep a copy of {self.path} in {self.kept}"


class Migrate(OfInstance, frozen=True, tag="migrate", kw_only=True):
    """Have OpenClaw bring the state of a stopped instance up to its version, in its sandbox."""

    words = "have OpenClaw migrate the state of"


class ProveState(OfInstance, frozen=True, tag="prove-state", kw_only=True):
    """See that the databases of an instance are what its OpenClaw reads: a gateway is ready without."""

    words = "prove that OpenClaw can read the state of"


class ProvePlugins(msgspec.Struct, frozen=True, tag="prove-plugins", kw_only=True):
    """See that OpenClaw loads the plugins of an instance but those that it `failed` to load before."""

    name: str
    failed: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the step in words."""
        return f"see that OpenClaw loads the plugins of {self.name}"
