"""What is known, without asking a model, of whether agents can answer and their tools have boxes."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.network import near_places
from openclaw_ocm.core.openclaw.channels import channel_addresses, channels_in
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.settings import provider_addresses, proxy_address
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.able import ability, behind_main
from openclaw_ocm.operations.planning.browser import browser_findings
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.operations.planning.offers import read_around
from openclaw_ocm.system import packages
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.machine.boxes import has_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.instance import Instance

_MOST_ADDRESSES, _MOST_TOLD, _MOST_NAME = 200, 10, 40


def unanswered(record: Record, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why nobody in a chat is answered where there are channels, and no boxes for what they ask."""
    boxed = record.makes_boxes and lookup(config, "agents.defaults.sandbox.mode") != "off"
    if not boxed or not channels_in(config) or has_boxes(record) is not False:
        return ()
    mend = packages.line("bubblewrap")
    return (f"{record.name} answers in no chat, for that takes a box, and a box takes bubblewrap: {mend}",)


def closed_places(record: Record, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a config names for providers and channels that is near and not reached by `record`.

    The config is the instance's to write: it is looked through so far and no further.
    """
    if not record.isolated:
        return ()
    named = {"a provider": list(itertools.islice(provider_addresses(config), _MOST_ADDRESSES))}
    if proxy := proxy_address(config):
        named["the proxy"] = [proxy]
    for channel, text in itertools.islice(channel_addresses(config), _MOST_ADDRESSES):
        named.setdefault(f"the channel {printable(channel)[:_MOST_NAME]}", []).append(text)
    closed = (
        f"it has {what} at {place}: ocm network {record.name} allow {place}"
        for what, addresses in named.items()
        for place in near_places(addresses, record.allow)
    )
    return tuple(itertools.islice(closed, _MOST_TOLD))


def others_closed(worker: Instance, told: str | None) -> tuple[str, ...]:
    """Return what is near and closed but that of which `told` tells, what keeps the agent from answering."""
    closed = closed_places(worker.record, worker.config)
    return tuple(one for one in closed if one.partition(": ")[2] not in (told or ""))


def agent_findings(workers: Iterable[Instance]) -> Iterator[Finding]:
    """Yield what keeps agents from answering: worth knowing, for a new instance may not have all yet.

    So is what those that inherit have not of what stands around main, or another source.
    What keeps a browser from starting that a config asks for is wrong.
    """
    sources: dict[tuple[PurePosixPath, str], Mapping[str, Variable]] = {}
    for worker in workers:
        yield from browser_findings(worker)
        able = ability(worker)
        for problem in (*able.notes, *others_closed(worker, able.agent)):
            yield Finding(problem=f"{worker.name}: {problem}", name=worker.name)
        for behind in behind_source(worker, sources):
            yield Finding(problem=f"{worker.name}: {behind}", name=worker.name)


def behind_source(
    worker: Instance, sources: dict[tuple[PurePosixPath, str], Mapping[str, Variable]] | None = None
) -> tuple[str, ...]:
    """Return what an instance has not of what stands around main, or around what else it inherits from.

    `sources` holds what was read of those for others.
    """
    known = {} if sources is None else sources
    # What cannot be read is told by a sync, and by who looks at main.
    with contextlib.suppress(OcmError):
        inherited = read_inherited(worker.paths)
        if inherited is not None:
            package = PurePosixPath(worker.record.runtime.openclaw)
            around = known.get((package, inherited.source))
            if around is None:
                around = read_around(worker.host, package, inherited.source)
                known[package, inherited.source] = around
            return behind_main(worker, around, worker.config, read_secrets(worker.paths))
    return ()
