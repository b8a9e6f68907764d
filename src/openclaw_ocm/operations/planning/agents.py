"""What is known, without asking a model, of whether agents can answer and their tools have boxes."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.models.obstacle import obstacle, out_of_reach
from openclaw_ocm.core.network import near_places
from openclaw_ocm.core.openclaw.channels import channel_addresses
from openclaw_ocm.core.openclaw.settings import provider_addresses
from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.core.sandbox.policy import DOCKER_SOCKET
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.browser import browser_findings
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.providers import known_providers, mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance


def has_boxes(record: Record) -> bool | None:
    """Tell whether tools of sessions other than main have boxes; None where they would be Docker's."""
    if record.makes_boxes:
        return Path(BWRAP).exists()
    return None if Path(DOCKER_SOCKET).exists() else False


def agent_obstacle(worker: Instance) -> str | None:
    """Return in words what keeps an agent from answering, None where nothing is known."""
    package = PurePosixPath(worker.record.runtime.openclaw)
    known = _known(package)
    if not worker.config or not known:
        return None
    if worker.record.isolated and (far := out_of_reach(worker.name, worker.config, worker.record.allow)):
        return far
    try:
        secrets = read_secrets(worker.paths)
    except OcmError:
        return None
    return obstacle(worker.name, worker.config, secrets, known, functools.partial(mentions, package))


def closed_providers(worker: Instance, record: Record) -> Iterator[str]:
    """Yield which providers of an instance's config are near and not reached in the network of `record`."""
    if record.isolated:
        for place in near_places(provider_addresses(worker.config), record.allow):
            yield f"it has a provider at {place}: ocm network {worker.name} allow {place}"


def closed_channels(worker: Instance, record: Record) -> Iterator[str]:
    """Yield which channels of an instance's config are near and not reached in the network of `record`."""
    for channel, text in channel_addresses(worker.config) if record.isolated else ():
        for place in near_places([text], record.allow):
            yield f"its {printable(channel)} is at {place}: ocm network {worker.name} allow {place}"


def agent_findings(workers: Iterable[Instance]) -> Iterator[Finding]:
    """Yield what keeps agents from answering: worth knowing, for a new instance may not have all yet.

    What keeps a browser from starting that a config asks for is wrong.
    """
    for worker in workers:
        yield from browser_findings(worker)
        problem = agent_obstacle(worker)
        if problem is not None:
            yield Finding(problem=f"{worker.name}: {problem}", name=worker.name)
        for closed in closed_channels(worker, worker.record):
            yield Finding(problem=f"{worker.name}: {closed}", name=worker.name)


@functools.cache
def _known(package: PurePosixPath) -> dict[str, tuple[str, ...]]:
    return known_providers(package)[0]
