"""The look at what a plan removes past its commit point, from where there is no way back."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.steps import RemoveDefinition, RemoveFile, RemoveTree
from openclaw_ocm.system import removable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.plan import Step


def refuse_unremovable(backend: Backend, steps: Iterable[Step]) -> None:
    """Raise `OcmError` where one of the steps that remove something could not be carried out."""
    for step in steps:
        if isinstance(step, RemoveTree):
            removable.check_tree(PurePosixPath(step.path))
        elif isinstance(step, RemoveFile):
            removable.check_file(PurePosixPath(step.path))
        elif isinstance(step, RemoveDefinition):
            removable.check_file(backend.definition_path(InstanceName(step.name)))
