"""What operations work with: the host, its backends, and where progress is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from openclaw_ocm.backends import registry
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A host, its backends by name, and where progress is told: `report` gets a few words at each phase.

    `chosen` is the backend that a new instance gets, or why that is not known, and in the context of an
    `Instance` the one that it has; `wanted_backend` is the one that the user asked for by name. `inheritance`
    is what a new instance is to inherit, as it was read for the plan that makes it: the plan itself holds no
    secret. `ask` has an agent asked for a plan that has it so. With `dry_run` nothing is recovered. `command`
    is what the user typed, in the history's words: never a value.
    """

    host: Host
    backends: Mapping[BackendName, Backend]
    chosen: Backend | OcmError
    report: Callable[[str], None]
    wanted_backend: BackendName | None = None
    command: str | None = None
    dry_run: bool = False
    inheritance: Inheritance | None = field(default=None, repr=False)
    ask: Callable[[Context, InstanceName, float], None] | None = None

    @property
    def backend(self) -> Backend:
        """The backend that is meant; raises `OcmError` where the settings name none that there is."""
        if isinstance(self.chosen, OcmError):
            raise self.chosen
        return self.chosen

    def on(self, backend: BackendName) -> Context:
        """Return the context with the backend of that name; raises `OcmError` for one that there is not."""
        if backend not in self.backends:
            raise registry.unknown_backend(backend)
        return replace(self, chosen=self.backends[backend])


def make_context(host: Host, report: Callable[[str], None], *, wanted: BackendName | None = None) -> Context:
    """Return the context of `host`; `wanted` is the backend that the user asked for by name.

    Settings that cannot be read are told by what needs them: nobody is kept from stopping an instance.
    """
    backends = registry.Backends(host)
    chosen: Backend | OcmError
    try:
        chosen = backends[registry.chosen(host, wanted)]
    except OcmError as error:
        chosen = error
    return Context(host=host, backends=backends, chosen=chosen, report=report, wanted_backend=wanted)
