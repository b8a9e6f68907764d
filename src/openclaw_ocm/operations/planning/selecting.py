"""What of an instance's state a backup or a clone takes: its workspaces are those that its config names."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.layout import STATE
from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.core.openclaw.document import included
from openclaw_ocm.core.openclaw.workspaces import workspaces
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.text import printable
from openclaw_ocm.system.openclaw.config import read_included

if TYPE_CHECKING:
    from openclaw_ocm.instances.instance import Instance

_SHOWN = 3


def select(
    worker: Instance, *, exclude: tuple[str, ...] = (), tags: bool = False
) -> tuple[Selection, tuple[str, ...]]:
    """Return what is taken of an instance's state, and in words what of its workspaces lies elsewhere."""
    state = worker.paths.state
    found = workspaces(worker.paths, worker.config, read_included(worker.volume, state, worker.config))
    selection = Selection(
        state=state, workspaces=found.inside, exclude=exclude, needed=_needed(worker), tags=tags
    )
    if not found.outside:
        return selection, ()
    shown = [printable(path, limit=200) for path in found.outside[:_SHOWN]]
    more = ["..."] if len(found.outside) > _SHOWN else []
    what = "a workspace" if len(found.outside) == 1 else "workspaces"
    return selection, (f"left out, for it lies outside of the state: {what}, {', '.join([*shown, *more])}",)


def _needed(worker: Instance) -> frozenset[str]:
    """Return the members without which an archive would be no backup: the config, and what it includes."""
    state = worker.paths.state
    paths = {os.path.normpath(state / path) for path in included(worker.config)}
    within = (
        PurePosixPath(path).relative_to(state) for path in paths if PurePosixPath(path).is_relative_to(state)
    )
    return frozenset(f"{STATE}/{path}" for path in (CONFIG_NAME, *within))
