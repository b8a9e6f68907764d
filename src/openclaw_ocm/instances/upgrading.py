"""The steps of an upgrade that no other change has: one apply for each, and its undo where it has one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core import upgrade_steps as steps
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.instances.plugins import prove_plugins
from openclaw_ocm.instances.schemas import migrate, prove_state
from openclaw_ocm.instances.verify import watch
from openclaw_ocm.system import slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.instances.context import Context


def _watch(step: steps.Watch, context: Context) -> None:
    watch(context, InstanceName(step.name), seconds=step.seconds)


def _ask(step: steps.Ask, context: Context) -> None:
    if context.ask is not None:
        context.ask(context, InstanceName(step.name), step.seconds)


def _keep_state(step: steps.KeepState, context: Context) -> None:
    slots.keep(context.host, PurePosixPath(step.path), PurePosixPath(step.kept), step.record)


def _bring_state_back(step: steps.KeepState, _context: Context) -> str:
    return step.describe() if slots.bring_back(PurePosixPath(step.path), PurePosixPath(step.kept)) else ""


def _migrate(step: steps.Migrate, context: Context) -> None:
    migrate(context, InstanceName(step.name))


def _end_migration(step: steps.Migrate, context: Context) -> str:
    # One whose ocm was killed goes on, and would write into what an undo puts back.
    context.backend.stop_sessions([InstanceName(step.name)])
    return ""


def _prove_state(step: steps.ProveState, context: Context) -> None:
    prove_state(context, InstanceName(step.name))


def _prove_plugins(step: steps.ProvePlugins, context: Context) -> None:
    prove_plugins(context, InstanceName(step.name), step.failed)


STEPS: tuple[tuple[Any, Callable[..., None], Callable[..., str | None] | None], ...] = (
    (steps.Watch, _watch, None),
    (steps.Ask, _ask, None),
    (steps.KeepState, _keep_state, _bring_state_back),
    (steps.Migrate, _migrate, _end_migration),
    (steps.ProveState, _prove_state, None),
    (steps.ProvePlugins, _prove_plugins, None),
)
