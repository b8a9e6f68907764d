"""What operations work with: the host and its backends, and how an instance's policy comes about."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.host import Host, resolver_directory
from openclaw_ocm.system.kept.records import read_record, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from openclaw_ocm.backends.definition import Definition
    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.core.status import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A host, its backends by name, and where progress is told: `report` gets a few words at each phase.

    `backend` is the one of the instance that is worked on (`of`), or that a new one would get;
    `wanted_backend` is the one that the user asked for by name.
    """

    host: Host
    backends: Mapping[BackendName, Backend]
    backend: Backend
    report: Callable[[str], None]
    wanted_backend: BackendName | None = None

    def of(self, name: InstanceName) -> Context:
        """Return the context of an instance: with the backend that its record names."""
        try:
            return self.on(read_record(self.host.paths, name).backend)
        except OcmError as error:
            if error.code == "unknown_instance":
                return self
        # A corrupt record keeps nobody from stopping or deleting the instance.
        for backend in self.backends.values():
            with contextlib.suppress(OcmError):
                if backend.observe([name])[name].installed:
                    return replace(self, backend=backend)
        return self

    def on(self, backend: BackendName) -> Context:
        """Return the context with the backend of that name."""
        return replace(self, backend=self.backends[backend])

    def observe(
        self, names: Iterable[InstanceName], records: Mapping[InstanceName, Record]
    ) -> dict[InstanceName, Process]:
        """Return what the backends know of each instance, with one call for each backend in use.

        `records` are those that could be read.
        """
        contexts = {
            name: self.on(records[name].backend) if name in records else self.of(name) for name in names
        }
        found: dict[InstanceName, Process] = {}
        for backend in self.backends.values():
            found |= backend.observe([name for name, of in contexts.items() if of.backend is backend])
        return found

    def timers(self, records: Mapping[InstanceName, Record]) -> dict[InstanceName, Timer]:
        """Return what is known of the scheduled backups of those that have any, as `observe` does."""
        found: dict[InstanceName, Timer] = {}
        for backend in self.backends.values():
            found |= backend.timers.observe(
                [
                    name
                    for name, record in records.items()
                    if record.backups and record.backend == backend.name
                ]
            )
        return found

    def policy(self, name: InstanceName, record: Record) -> Policy:
        """Return the policy of an instance on this host."""
        return instance_policy(self.host.instance(name), record, resolver=resolver_directory())

    def definition(self, name: InstanceName, record: Record) -> Definition:
        """Return the definition that the record asks for."""
        return self.backends[record.backend].definition(record, self.policy(name, record))


def make_context(host: Host, report: Callable[[str], None], *, wanted: BackendName | None = None) -> Context:
    """Return the context of `host`.

    A new instance gets the backend `wanted`, else that of the settings, else systemd where a user manager
    answers, else supervisord.
    """
    backends: dict[BackendName, Backend] = {
        backend.name: backend for backend in (Systemd(host=host), Supervisord(host=host))
    }
    chosen = wanted or read_settings(host.paths).backend
    if chosen is None:
        chosen = "systemd" if backends["systemd"].answers() else "supervisord"
    backend = backends[chosen]
    return Context(host=host, backends=backends, backend=backend, report=report, wanted_backend=wanted)
