"""Who inherits from main, and what becomes of them when main is an instance."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.adopted import read_adopted
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.whereabouts import find_main

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.host import Host


def followers(host: Host) -> tuple[InstanceName, ...]:
    """Return the instances that inherit from main, as far as that can be read."""
    found = []
    for name in instance_names(host.paths):
        with contextlib.suppress(OcmError):
            inherited = read_inherited(host.instance(name))
            found += [name] if inherited is not None and inherited.source == MAIN else []
    return tuple(found)


def told_of_followers(host: Host, became: InstanceName) -> tuple[str, ...]:
    """Return in sentences who inherits from main, which becomes an instance."""
    return tuple(
        f"{name} inherits from main: ocm sync {name} --inherit-from {became} has it go on from there"
        for name in followers(host)
    )


def refuse_another_main(host: Host, name: InstanceName) -> None:
    """Raise `OcmError` where main became an instance, and what is found as main by now is another OpenClaw.

    Who inherited from the one would get the keys of the other.
    """
    for became in instance_names(host.paths):
        adopted = None
        with contextlib.suppress(OcmError):
            adopted = read_adopted(host.instance(became))
        if adopted is None or not adopted.moved or not adopted.was_main or became == name:
            continue
        main = find_main(host)
        if main.found and main.state != PurePosixPath(adopted.state):
            message = f"main is the instance {became} now; {main.state} is another OpenClaw"
            raise OcmError(message, hint=f"ocm sync {name} --inherit-from {became}", code="source_invalid")
