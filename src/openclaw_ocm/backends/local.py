"""What backends have in common whose gateways are processes of this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.system import health, listening, processes, uplinks
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.core.status import Answer, Listener, Process
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, kw_only=True)
class LocalBackend(ABC):
    """Keeps gateways as processes of the user of `host`."""

    host: Host

    @abstractmethod
    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:
        """Yield in words what makes the sandbox another than the definition says."""

    def volume(self, name: InstanceName) -> Directory:
        """Return the directory that holds the state of an instance, whether or not there is one."""
        return Directory(self.host.instance(name).state)

    def prove(self, gateway: Observed, policy: Policy) -> tuple[str, ...]:
        """Return in words what is not as the policy says, asked of the kernel and from within the sandbox."""
        # No command needs it that starts nothing.
        from openclaw_ocm.backends.local_proof import prove

        outside = self.violations(gateway.record.name, gateway.process)
        return prove(self.host, gateway, policy, outside)

    def ask(self, gateways: Collection[Observed], *, deadline_seconds: float) -> dict[InstanceName, Answer]:
        """Ask gateways on the loopback how they are."""
        ports = {one.record.name: one.record.port for one in gateways}
        # For a single one too: the deadline is for the whole answer, which an instance may draw out.
        return health.ask_all(ports, deadline_seconds=deadline_seconds)

    def strangers(self, gateways: Collection[Observed]) -> dict[InstanceName, Listener]:
        """Return who else listens on the ports of gateways: one pass over all of them."""
        serving = {one.record.port: self._serving(one) for one in gateways}
        roots = {port: pid for port, pid in serving.items() if pid is not None}
        heard = listening.listeners(serving, roots)
        found = {}
        for one in gateways:
            who = heard.get(one.record.port)
            # What serves an isolated one may have begun to since it was asked for.
            if who and not any(_is_own(who, pid) for pid in {serving[one.record.port], self._serving(one)}):
                found[one.record.name] = who
        return found

    def _serving(self, gateway: Observed) -> int | None:
        """Return the process that is to listen on the host for a gateway, None where none is up."""
        if not gateway.record.isolated:
            return gateway.process.pid
        # Nothing inside can listen on the host: what serves the port there is OCM's.
        return uplinks.server(self.host.instance(gateway.record.name))

    def lives(self, process: Process) -> bool:
        """Tell whether the kernel has the process."""
        return process.pid is not None and processes.lives(process.pid)

    def use(self, process: Process) -> tuple[int | None, float | None]:
        """Return what the backend counted, and where it keeps no account, what the kernel did."""
        memory, seconds = process.memory_bytes, process.cpu_seconds
        if process.pid is not None and (memory is None or seconds is None):
            return processes.memory_and_cpu(process.pid)
        return memory, seconds


def _is_own(heard: Listener, serving: int | None) -> bool:
    if heard.pid is None or serving is None:
        return False
    return processes.is_same_or_below(heard.pid, serving)
