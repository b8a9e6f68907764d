"""`ocm setup`, and the same where `create` or `deploy` meets a machine that lacks something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.backends import registry
from openclaw_ocm.core.inventory import RUNTIME, findings
from openclaw_ocm.core.needs import Found, Keeper, check, installs
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.system.machine.install import install
from openclaw_ocm.system.machine.look import observe_machine
from openclaw_ocm.system.openclaw.package import OPENCLAW

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.names import BackendName
    from openclaw_ocm.core.needs import Finding, Install, Machine, Progress
    from openclaw_ocm.core.releases import Release
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What this machine has and lacks, the steps that mend it, and the runtime that is there after them.

    `bounded` tells whether one instance is kept from taking all inotify instances of its user.
    """

    findings: tuple[Finding, ...]
    steps: tuple[Install, ...]
    runtime: Runtime
    root: bool
    bounded: bool = True

    def describe(self) -> tuple[str, ...]:
        """Return the steps in words."""
        return tuple(step.describe() for step in self.steps)

    def check(self, *, installing: bool) -> None:
        """Raise `OcmError` for what is required and missing, `installing` apart from what the steps bring."""
        check(self.findings, root=self.root, installing=installing)


def look(
    host: Host,
    *,
    backend: BackendName | None = None,
    sealed: bool = True,
    recommended: bool = False,
    release: Release | None = None,
) -> Setup:
    """Return what the machine lacks for instances on `backend`, `sealed` or not, and what would bring it.

    With `recommended` the steps bring more than OCM cannot do without. `release` is the OpenClaw that they
    are to run, where that is not the one of the PATH. Raises `OcmError` for a backend that there is not.
    """
    machine = observe_machine(host, sealed=sealed, release=release)
    keeper = registry.load(registry.to_prepare(host, machine, backend), host)
    return _setup(
        machine, findings(machine, Keeper(name=keeper.name, needs=keeper.needs)), recommended=recommended
    )


def look_at_runtime(host: Host, release: Release) -> Setup:
    """Return what the machine lacks to run an OpenClaw at all: its package, a Node, an npm."""
    machine = observe_machine(host, release=release)
    nobody = Keeper(name=registry.suited(machine), needs=frozenset())
    return _setup(machine, tuple(one for one in findings(machine, nobody) if one.what in RUNTIME))


def _setup(machine: Machine, found: tuple[Finding, ...], *, recommended: bool = False) -> Setup:
    steps = installs(found, root=machine.root, recommended=recommended)
    return Setup(
        findings=found, steps=steps, runtime=_runtime(machine), root=machine.root, bounded=machine.bounded
    )


def bring(host: Host, setup: Setup, report: Callable[[Progress], None]) -> None:
    """Run the steps; raises `OcmError` for the one that failed."""
    install(host, setup.steps, report)


def _runtime(machine: Machine) -> Runtime:
    """Return the Node and the OpenClaw that instances would get once all steps are done."""
    node, openclaw = machine.node, machine.openclaw
    target, prefix = PurePosixPath(machine.node_target), PurePosixPath(machine.npm_prefix)
    if machine.version is not None:
        prefix = PurePosixPath(machine.runtimes, machine.version)
    return Runtime(
        node=node.path if isinstance(node, Found) else str(target / "bin" / "node"),
        openclaw=openclaw.path if isinstance(openclaw, Found) else str(prefix / OPENCLAW),
    )
