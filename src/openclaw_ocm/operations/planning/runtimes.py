"""Which Node and OpenClaw an instance is to run in the place of those that it has, and the steps to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.record import Runtime
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.steps import Remember, Restart
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.planning.change import record_steps
from openclaw_ocm.operations.planning.repair import remember, repair_steps, shell_for_undo
from openclaw_ocm.system.openclaw.find import find_node, find_openclaw, find_runtime, program_at
from openclaw_ocm.system.openclaw.package import node_range
from openclaw_ocm.system.openclaw.runtime import gone, node_is_gone, openclaw_is_gone
from openclaw_ocm.system.openclaw.versions import package_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferred:
    """What the user named to be run, None for what OCM finds; `anew` takes what is found for all else."""

    node: str | None = None
    openclaw: str | None = None
    anew: bool = False


def named(host: Host, paths: Iterable[str], *, anew: bool) -> Preferred:
    """Return what paths name: a Node, a package of OpenClaw, or a directory with programs of these names.

    Raises `OcmError` for one that is neither, `Invalid` where two name the same.
    """
    nodes, openclaws = [], []
    for path in paths:
        found = program_at(host, PurePosixPath(os.path.abspath(path)))  # noqa: PTH100 - links stay
        nodes.append(found.node)
        openclaws.append(found.openclaw)
    return Preferred(node=_only("Node", nodes), openclaw=_only("OpenClaw", openclaws), anew=anew)


def _only(what: str, named: list[str | None]) -> str | None:
    found = list(dict.fromkeys(filter(None, named)))
    if len(found) > 1:
        message = f"an instance runs one {what}, and these are several: {', '.join(found)}"
        raise Invalid(message, code="runtime_invalid")
    return found[0] if found else None


def runtime_of(host: Host, version: str | None) -> Runtime:
    """Return the OpenClaw of a version that OCM installed, or that of the PATH, with a Node that fits.

    Raises `OcmError` where there is none.
    """
    if version is None:
        return find_runtime(host)
    package = package_of(host.paths, version)
    return Runtime(node=find_node(host, node_range(package)).path, openclaw=str(package))


def refuse_older(name: InstanceName, have: str, wanted: str) -> None:
    """Raise `OcmError` where a version is older than the one that wrote the state of an instance."""
    if is_newer(have, wanted):
        message = f"{name} runs OpenClaw {have}, and {wanted} is older: it cannot read what {have} wrote"
        hint = f"ocm rollback {name} goes back to before an upgrade"
        raise OcmError(message, hint=hint, code="version_older")


def next_runtime(host: Host, have: Runtime, chosen: Preferred) -> Runtime:
    """Return what an instance is to run: what was chosen, what it has and is still there, or what is found.

    Raises `OcmError` where there is none that fits.
    """
    openclaw = chosen.openclaw
    if openclaw is None:
        keeps = not chosen.anew and not openclaw_is_gone(have)
        openclaw = have.openclaw if keeps else find_openclaw(host).path
    spans = node_range(PurePosixPath(openclaw))
    if chosen.node is not None:
        return Runtime(node=find_node(host, spans, only=PurePosixPath(chosen.node)).path, openclaw=openclaw)
    keeps = not chosen.anew and not node_is_gone(have)
    only = PurePosixPath(have.node) if keeps else None
    return Runtime(node=find_node(host, spans, first=only).path, openclaw=openclaw)


def runtime_steps(worker: Instance, runtime: Runtime, effort: Effort) -> list[Step]:
    """Return the steps by which an instance runs another Node and OpenClaw; one that runs is restarted."""
    name, after = worker.name, msgspec.structs.replace(worker.record, runtime=runtime)
    record, runs = record_steps(worker, after), worker.process.activity.will_run
    if not record:
        return []
    steps = [shell_for_undo(worker), *record, *repair_steps(worker.with_record(after), repair=effort.repair)]
    if not runs:
        return steps
    before = remember(worker)
    if gone(worker.record.runtime) is None:
        return [before, *steps, Restart(name=name), effort.verify(name)]
    # What is gone cannot be brought back by an undo, which then stops what was started in its place.
    stopped = Remember(name=name, runs=False, pid=before.pid, since=before.since)
    return [*steps, stopped, Restart(name=name), effort.verify(name)]
