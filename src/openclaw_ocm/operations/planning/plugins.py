"""Plugins that a backup does not hold and that OpenClaw did not bring: told with what installs them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.document import parse_config
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.operations.planning.able import ability, silent_channels
from openclaw_ocm.system.openclaw.plugins import absent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.archive.reader import Contents


def missed_after(worker: Instance, contents: Contents, *, idle: bool) -> tuple[str, ...]:
    """Return what an instance that was just restored will miss.

    One that is `idle`, as in a drill, has no channels: it is told what that of the archive would miss.
    """
    if not idle:
        able = ability(worker).notes
        return (*able, *_plugins(worker, contents, able))
    config = parse_config(contents.config or b"{}", source=CONFIG_NAME)
    silent = silent_channels(worker, config)
    told = (*silent, *_plugins(worker, contents, silent))
    return tuple(note.replace(worker.name, contents.header.instance) for note in told)


def _plugins(worker: Instance, contents: Contents, said: Sequence[str]) -> Iterator[str]:
    """Yield each plugin of the archive's that is not installed, but for those of which it is `said`."""
    for one in absent(worker.volume, contents.manifest.plugins):
        command = f"plugins install {shlex.quote(one.package)}"
        if not any(command in note for note in said):
            yield f"the plugin {one.name} is in no backup, and not installed: ocm use {worker.name} {command}"
