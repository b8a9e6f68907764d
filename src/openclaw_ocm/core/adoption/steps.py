"""Steps by which an OpenClaw that ran without OCM becomes an instance, and goes back. No secrets."""

from __future__ import annotations

import msgspec


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How a service of the user manager's is: whether its files are there, it starts by itself, and runs."""

    there: bool
    enabled: bool
    runs: bool

    def describe(self) -> str:
        """Return it in words."""
        if not self.there:
            return "stopped, disabled and set aside"
        return f"{'enabled' if self.enabled else 'disabled'} and {'started' if self.runs else 'stopped'}"


class SetService(msgspec.Struct, frozen=True, tag="set-service", kw_only=True):
    """Have the service `unit` be as `after` says; an undo has it be as it was `before`.

    Its `files` are written anew from what is kept of what was adopted as the instance `name`.
    """

    name: str
    unit: str
    files: tuple[str, ...]
    before: Service
    after: Service

    def describe(self) -> str:
        """Return the step in words."""
        return f"have {self.unit} be {self.after.describe()} in exchange for {self.name}"


class CopyState(msgspec.Struct, frozen=True, tag="copy-state", kw_only=True):
    """Copy a state of OpenClaw's to `path`, a directory of OCM's that is empty.

    `file` is its config. One that is not `live` must be used by nobody meanwhile: how it was is `noted` in a
    file of that name. What is `left_out` are names in it.
    """

    source: str
    path: str
    file: str
    live: bool
    noted: str | None = None
    left_out: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the step in words."""
        without = f" without {', '.join(self.left_out)}" if self.left_out else ""
        running = ", while it may run" if self.live else ""
        return f"copy {self.source}{without} to {self.path}{running}"


class RefuseChanged(msgspec.Struct, frozen=True, tag="refuse-changed", kw_only=True):
    """Fail where a state is not as it was `noted` before it was copied: what is new would be lost."""

    path: str
    noted: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"see that nothing wrote in {self.path} since"


class RemoveFormer(msgspec.Struct, frozen=True, tag="remove-former", kw_only=True):
    """Remove a state from where it was before it was adopted; links to configs of instances stay there."""

    path: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"remove {self.path}, of which there is a copy"


class PutBack(msgspec.Struct, frozen=True, tag="put-back", kw_only=True):
    """Copy the state of a stopped instance to where it was before its adoption; an undo removes the copy."""

    source: str
    path: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"copy {self.source} back to {self.path}"


class TakeBack(msgspec.Struct, frozen=True, tag="take-back", kw_only=True):
    """Take back what OCM changed in the config of an adopted instance, whose databases were moved back."""

    name: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"take back what was changed in the config of {self.name} when it was adopted"


class AwaitGateway(msgspec.Struct, frozen=True, tag="await-gateway", kw_only=True):
    """Wait until the gateway on `port`, that of the service `unit`, is ready."""

    unit: str
    port: int
    timeout_seconds: float

    def describe(self) -> str:
        """Return the step in words."""
        return f"wait until the gateway of {self.unit} is ready on port {self.port}"


Step = SetService | CopyState | RefuseChanged | RemoveFormer | PutBack | TakeBack | AwaitGateway
