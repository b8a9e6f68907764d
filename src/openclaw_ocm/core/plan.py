"""A plan: the steps of an operation on one instance, and up to which a failure undoes them."""

from __future__ import annotations

import msgspec

from openclaw_ocm.core.adoption import steps as adoption
from openclaw_ocm.core.names import BackendName
from openclaw_ocm.core.steps import (
    CloneConfig,
    CopyWorkspaces,
    Disable,
    Enable,
    Exchange,
    LinkConfig,
    Load,
    MakeShell,
    MakeState,
    Remember,
    RemoveDefinition,
    RemoveFile,
    RemoveLink,
    RemoveTree,
    ReplaceConfig,
    Restart,
    RewritePaths,
    SetBind,
    SetRules,
    SetSource,
    SetTimer,
    Stage,
    StageFiles,
    Start,
    Stop,
    Verify,
    WriteConfig,
    WriteDefinition,
    WriteRecord,
)
from openclaw_ocm.core.upgrade_steps import Ask, KeepState, Migrate, ProvePlugins, ProveState, Watch

Step = (
    WriteRecord
    | MakeState
    | MakeShell
    | WriteConfig
    | CloneConfig
    | CopyWorkspaces
    | LinkConfig
    | WriteDefinition
    | Load
    | RemoveDefinition
    | Enable
    | Disable
    | Start
    | Remember
    | Restart
    | Stop
    | Verify
    | Watch
    | Ask
    | KeepState
    | Migrate
    | ProveState
    | ProvePlugins
    | SetBind
    | SetRules
    | SetTimer
    | Stage
    | StageFiles
    | Exchange
    | ReplaceConfig
    | RewritePaths
    | SetSource
    | RemoveFile
    | RemoveLink
    | RemoveTree
    | adoption.SetService
    | adoption.CopyState
    | adoption.RefuseChanged
    | adoption.RemoveFormer
    | adoption.PutBack
    | adoption.TakeBack
    | adoption.AwaitGateway
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation does to one instance, which is under the care of `backend`.

    Up to `commit` steps a failure undoes what was done; from there on the rest is finished, at the
    latest by the next command. `others` are further instances that the steps touch.
    """

    operation: str
    name: str
    backend: BackendName
    steps: tuple[Step, ...]
    commit: int
    others: tuple[str, ...] = ()

    def describe(self) -> tuple[str, ...]:
        """Return the steps in words."""
        return tuple(step.describe() for step in self.steps)
