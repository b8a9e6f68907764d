"""What operations work with: the host and its backends, and how an instance's policy comes about."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openclaw_ocm.backends import registry
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.host import Host, resolver_directory
from openclaw_ocm.system.kept.records import read_record

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
            record = read_record(self.host.paths, name)
        except OcmError as error:
            return self if error.code == "unknown_instance" else self._having(name)
        return self.on(record.backend)

    def _having(self, name: InstanceName) -> Context:
        """Return the context with the backend that has an instance, whose record does not tell.

        A corrupt record keeps nobody from stopping or deleting the instance.
        """
        for backend in self.backends.values():
            with contextlib.suppress(OcmError):
                if backend.observe([name])[name].installed:
                    return replace(self, backend=backend)
        return self

    def on(self, backend: BackendName) -> Context:
        """Return the context with the backend of that name; raises `OcmError` for one that there is not."""
        if backend not in self.backends:
            raise registry.unknown_backend(backend)
        return replace(self, backend=self.backends[backend])

    def observe(
        self, names: Iterable[InstanceName], records: Mapping[InstanceName, Record]
    ) -> dict[InstanceName, Process | OcmError]:
        """Return what the backends know of each instance, with one call for each backend in use.

        `records` are those that could be read. Of the instances of a backend that does not answer it is the
        error that tells why.
        """
        kept: dict[BackendName, list[InstanceName]] = {}
        for name in names:
            of = self.on(records[name].backend) if name in records else self._having(name)
            kept.setdefault(of.backend.name, []).append(name)
        found: dict[InstanceName, Process | OcmError] = {}
        for backend, instances in kept.items():
            try:
                found |= self.backends[backend].observe(instances)
            except OcmError as error:
                found |= dict.fromkeys(instances, error)
        return found

    def timers(self, records: Mapping[InstanceName, Record]) -> dict[InstanceName, Timer]:
        """Return what is known of the scheduled backups of those that have any, as `observe` does."""
        kept: dict[BackendName, list[InstanceName]] = {}
        for name, record in records.items():
            if record.backups:
                kept.setdefault(record.backend, []).append(name)
        found: dict[InstanceName, Timer] = {}
        for backend, names in kept.items():
            found |= self.on(backend).backend.timers.observe(names)
        return found

    def policy(self, name: InstanceName, record: Record) -> Policy:
        """Return the policy of an instance on this host."""
        return instance_policy(self.host.instance(name), record, resolver=resolver_directory())

    def definition(self, name: InstanceName, record: Record) -> Definition:
        """Return the definition that the record asks for."""
        return self.on(record.backend).backend.definition(record, self.policy(name, record))


def make_context(host: Host, report: Callable[[str], None], *, wanted: BackendName | None = None) -> Context:
    """Return the context of `host`; `wanted` is the backend that the user asked for by name."""
    backends = registry.Backends(host)
    backend = backends[registry.chosen(host, wanted)]
    return Context(host=host, backends=backends, backend=backend, report=report, wanted_backend=wanted)
