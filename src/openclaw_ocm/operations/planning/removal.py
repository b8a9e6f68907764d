"""What a plan removes past its commit point, from where there is no way back, and the look at it before."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.steps import RemoveDefinition, RemoveFile, RemoveLink, RemoveTree
from openclaw_ocm.system import removable
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step


def removal_steps(paths: InstancePaths) -> list[Step]:
    """Return the steps that remove all that OCM has of an instance but its record, definition and state."""
    kept = (paths.secrets, paths.inherited, paths.adopted, paths.last_backup, paths.last_upgrade)
    # What may resist comes last: all else is gone by then.
    trees = (paths.shell, paths.scratch)
    return [
        RemoveLink(link=str(paths.config_link)),
        *(RemoveFile(path=str(path)) for path in kept),
        *(RemoveTree(path=str(path)) for path in trees),
        *Slots(paths).discard(),
    ]


def refuse_unremovable(backend: Backend, steps: Iterable[Step]) -> None:
    """Raise `OcmError` where one of the steps that remove something could not be carried out."""
    for step in steps:
        if isinstance(step, RemoveTree):
            removable.check_tree(PurePosixPath(step.path))
        elif isinstance(step, RemoveFile):
            removable.check_file(PurePosixPath(step.path))
        elif isinstance(step, RemoveDefinition):
            removable.check_file(backend.definition_path(InstanceName(step.name)))
