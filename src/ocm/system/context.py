"""What operations work with: the host and its backend, and how an instance's policy comes about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocm.core.policy import instance_policy
from ocm.core.unit import render_unit
from ocm.system.host import Host, resolver_directory
from ocm.system.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocm.core.names import InstanceName
    from ocm.core.policy import Policy
    from ocm.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A host, its backend, and where progress is told: `report` gets a few words at each phase."""

    host: Host
    backend: Systemd
    report: Callable[[str], None]

    def policy(self, name: InstanceName, record: Record) -> Policy:
        """Return the policy of an instance on this host."""
        return instance_policy(self.host.instance(name), record, resolver=resolver_directory())

    def unit_text(self, name: InstanceName, record: Record) -> str:
        """Return the unit that the record asks for."""
        return render_unit(
            self.host.instance(name),
            record,
            self.policy(name, record),
            systemd_version=self.backend.version(),
        )


def make_context(host: Host, report: Callable[[str], None]) -> Context:
    """Return the context of `host` with the backend that it has."""
    return Context(host=host, backend=Systemd(host=host), report=report)
