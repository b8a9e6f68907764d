"""One apply and one undo for each kind of step. Both may run again after a crash, to the same end."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.protocol import is_ours
from openclaw_ocm.core import steps
from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.openclaw.document import with_value, without_value
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.openclaw.settings import BIND
from openclaw_ocm.core.paths import STATE_DIRECTORIES
from openclaw_ocm.core.status import Activity
from openclaw_ocm.errors import InTheWay
from openclaw_ocm.instances import adoption, upgrading
from openclaw_ocm.instances.configs import put_config_back, replace_config
from openclaw_ocm.instances.first_config import (
    name_of_config,
    name_of_state,
    write_cloned_config,
    write_first_config,
)
from openclaw_ocm.instances.follow import rewrite_config, rewrite_paths, rewrite_paths_back
from openclaw_ocm.instances.gateway import halt, launch
from openclaw_ocm.instances.verify import verify
from openclaw_ocm.system import files, removable, ufw
from openclaw_ocm.system.exchange import put_in_place, take_out_of_place
from openclaw_ocm.system.kept.inherited import set_source
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.sandbox_directories import make_shell
from openclaw_ocm.system.workspaces import copy_workspaces

if TYPE_CHECKING:
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context


def apply_step(context: Context, step: Step) -> None:
    """Run one step."""
    _apply(step, context)


def undo_step(context: Context, step: Step) -> str | None:
    """Undo one step that was begun, whether or not it came to its end.

    Returns in words what was undone, None where there was nothing to undo.
    """
    if _undo.dispatch(type(step)) is _undo.dispatch(object):
        return None
    said = _undo(step, context)
    return step.describe() if said is None else said or None


@functools.singledispatch
def _apply(step: Step, context: Context) -> None:
    raise NotImplementedError(f"no way to apply {step}: {context}")


@functools.singledispatch
def _undo(step: Step, context: Context) -> str | None:
    """Undo a step; returns other words for it than its own, empty ones where nothing was to be undone."""
    raise NotImplementedError(f"no way to undo {step}: {context}")


@_apply.register(steps.WriteRecord)
def _write_record(step: steps.WriteRecord, _context: Context) -> None:
    files.write_file(PurePosixPath(step.path), step.text.encode())


@_undo.register(steps.WriteRecord)
def _restore_record(step: steps.WriteRecord, _context: Context) -> None:
    if step.previous is None:
        files.remove_file(PurePosixPath(step.path))
    else:
        files.write_file(PurePosixPath(step.path), step.previous.encode())


@_apply.register(steps.MakeState)
def _make_state(step: steps.MakeState, _context: Context) -> None:
    try:
        Path(step.path).mkdir(mode=0o700)
    except FileExistsError:
        message = f"{step.path} exists already"
        raise InTheWay(message, hint="move it away, or choose another name", code="state_exists") from None
    for directory in STATE_DIRECTORIES:
        Path(step.path, directory).mkdir(mode=0o700)


@_undo.register(steps.MakeState)
def _remove_state(step: steps.MakeState, _context: Context) -> None:
    files.remove_tree(PurePosixPath(step.path))


@_apply.register(steps.MakeShell)
def _make_shell(step: steps.MakeShell, context: Context) -> None:
    name = parse_name(PurePosixPath(step.shell).name)
    make_shell(context.host.instance(name), read_record(context.host.paths, name))


@_undo.register(steps.MakeShell)
def _remove_shell(step: steps.MakeShell, context: Context) -> None:
    if step.fresh:
        files.remove_tree(PurePosixPath(step.shell))
        files.remove_tree(PurePosixPath(step.scratch))
        files.remove_file(context.host.instance(parse_name(PurePosixPath(step.shell).name)).secrets)
    elif step.kept:
        _make_shell(step, context)


@_apply.register(steps.WriteConfig)
def _write_config(step: steps.WriteConfig, context: Context) -> None:
    write_first_config(context, step)


@_apply.register(steps.CloneConfig)
def _clone_config(step: steps.CloneConfig, context: Context) -> None:
    write_cloned_config(context, step)


@_undo.register(steps.WriteConfig)
@_undo.register(steps.CloneConfig)
def _forget_inherited(step: steps.WriteConfig | steps.CloneConfig, context: Context) -> None:
    # The config itself goes with its directory, and the secrets with the shell.
    files.remove_file(context.host.instance(name_of_config(step.path)).inherited)


@_apply.register(steps.CopyWorkspaces)
def _copy_workspaces(step: steps.CopyWorkspaces, context: Context) -> None:
    source = Selection(state=PurePosixPath(step.source), workspaces=frozenset(step.workspaces))
    with context.backend.volume(name_of_state(step.source)).opened() as state:
        copy_workspaces(state.walk(source), source, PurePosixPath(step.path))


@_apply.register(steps.LinkConfig)
def _link_config(step: steps.LinkConfig, _context: Context) -> None:
    files.make_directory(PurePosixPath(step.link).parent)
    try:
        Path(step.link).symlink_to(step.target)
    except FileExistsError:
        message = f"{step.link} exists already"
        raise InTheWay(message, hint="move it away, or choose another name", code="link_exists") from None


@_apply.register(steps.RemoveLink)
@_undo.register(steps.LinkConfig)
def _remove_link(step: steps.LinkConfig | steps.RemoveLink, _context: Context) -> None:
    link = Path(step.link)
    if link.is_symlink():
        link.unlink()
    with contextlib.suppress(OSError):
        # Only an empty directory goes: one that OCM made, for main keeps its state in it.
        link.parent.rmdir()


@_apply.register(steps.WriteDefinition)
def _write_definition(step: steps.WriteDefinition, _context: Context) -> None:
    files.write_file(PurePosixPath(step.path), step.text.encode(), mode=0o644)


@_undo.register(steps.WriteDefinition)
def _restore_definition(step: steps.WriteDefinition, context: Context) -> None:
    if step.previous is None:
        if is_ours(PurePosixPath(step.path)):
            files.remove_file(PurePosixPath(step.path))
    else:
        files.write_file(PurePosixPath(step.path), step.previous.encode(), mode=0o644)
    context.backend.load([InstanceName(step.name)])


@_apply.register(steps.RemoveDefinition)
def _remove_definition(step: steps.RemoveDefinition, context: Context) -> None:
    context.backend.remove([InstanceName(step.name)])


@_apply.register(steps.Load)
def _load(step: steps.Load, context: Context) -> None:
    context.backend.load([InstanceName(step.name)])


@_apply.register(steps.Enable)
@_undo.register(steps.Disable)
def _enable(step: steps.Enable | steps.Disable, context: Context) -> None:
    context.backend.enable([InstanceName(step.name)])


@_apply.register(steps.Disable)
@_undo.register(steps.Enable)
def _disable(step: steps.Enable | steps.Disable, context: Context) -> None:
    context.backend.disable([InstanceName(step.name)])


@_undo.register(steps.Stop)
def _start_again(step: steps.Stop, context: Context) -> None:
    if step.ran:
        launch(context, InstanceName(step.name))


@_apply.register(steps.Start)
def _start(step: steps.Start, context: Context) -> None:
    launch(context, InstanceName(step.name))


@_apply.register(steps.Remember)
def _remember(_step: steps.Remember, _context: Context) -> None:
    """Do nothing: the plan itself is the note."""


@_undo.register(steps.Remember)
def _bring_back(step: steps.Remember, context: Context) -> str:
    name = InstanceName(step.name)
    process = context.backend.observe([name])[name]
    if not step.runs:
        if process.activity is Activity.STOPPED:
            return ""
        halt(context, name)
        return f"{name} is stopped again"
    if process.run is not None and (process.pid, process.since) == (step.pid, step.since):
        return ""
    halt(context, name)
    launch(context, name)
    return f"{name} is started again, as it was"


@_apply.register(steps.Restart)
def _restart(step: steps.Restart, context: Context) -> None:
    name = InstanceName(step.name)
    halt(context, name)
    launch(context, name)


@_apply.register(steps.Stop)
def _stop(step: steps.Stop, context: Context) -> None:
    name = InstanceName(step.name)
    context.backend.stop_sessions([name])
    halt(context, name)


@_undo.register(steps.Start)
def _stop_gateway(step: steps.Start, context: Context) -> None:
    halt(context, InstanceName(step.name))


@_apply.register(steps.Verify)
def _verify(step: steps.Verify, context: Context) -> None:
    verify(context, InstanceName(step.name), timeout_seconds=step.timeout_seconds)


@_apply.register(steps.SetBind)
def _set_bind(step: steps.SetBind, context: Context) -> None:
    _write_bind(context, step, step.bind)


@_undo.register(steps.SetBind)
def _restore_bind(step: steps.SetBind, context: Context) -> None:
    _write_bind(context, step, step.previous)


def _write_bind(context: Context, step: steps.SetBind, bind: str | None) -> None:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        return without_value(config, BIND) if bind is None else with_value(config, BIND, bind)

    rewrite_config(context, InstanceName(step.name), change)


@_apply.register(steps.SetRules)
def _set_rules(step: steps.SetRules, context: Context) -> None:
    ufw.set_rules(context.host, step.name, step.port, step.rules)


@_undo.register(steps.SetRules)
def _restore_rules(step: steps.SetRules, context: Context) -> None:
    ufw.restore_rules(context.host, step.name, step.port, step.previous)


@_apply.register(steps.SetTimer)
def _set_timer(step: steps.SetTimer, context: Context) -> None:
    _keep_time(context, step, step.every)


@_undo.register(steps.SetTimer)
def _restore_timer(step: steps.SetTimer, context: Context) -> None:
    _keep_time(context, step, step.previous)


def _keep_time(context: Context, step: steps.SetTimer, every: str | None) -> None:
    """Have a timer keep the times `every`; when it ran at others is forgotten."""
    timers, instance = context.backend.timers(step.purpose), InstanceName(step.name)
    if step.every != step.previous or every is None:
        # By the time of the last run systemd would at once make up for what other times had asked for.
        timers.clear([instance])
    if every is not None:
        timers.set({instance: every})


@_apply.register(steps.Stage)
def _stage(step: steps.Stage, _context: Context) -> None:
    files.make_directory(PurePosixPath(step.path))


@_undo.register(steps.Stage)
def _unstage(step: steps.Stage, _context: Context) -> None:
    files.remove_tree(PurePosixPath(step.path))
    for path in step.files:
        files.remove_file(PurePosixPath(path))


@_apply.register(steps.StageFiles)
def _stage_files(_step: steps.StageFiles, _context: Context) -> None:
    """Do nothing: who makes the plan writes the files, once the journal names them."""


@_undo.register(steps.StageFiles)
def _unstage_files(step: steps.StageFiles, _context: Context) -> str:
    for path in step.files:
        files.remove_file(PurePosixPath(path))
    return ""


@_apply.register(steps.Exchange)
def _exchange(step: steps.Exchange, _context: Context) -> None:
    put_in_place(PurePosixPath(step.path), PurePosixPath(step.staged), step.inode)


@_undo.register(steps.Exchange)
def _exchange_back(step: steps.Exchange, _context: Context) -> None:
    take_out_of_place(PurePosixPath(step.path), PurePosixPath(step.staged), step.inode)


@_apply.register(steps.ReplaceConfig)
def _replace_config(step: steps.ReplaceConfig, context: Context) -> None:
    replace_config(context, step)


@_undo.register(steps.ReplaceConfig)
def _put_config_back(step: steps.ReplaceConfig, context: Context) -> str | None:
    return put_config_back(context, step)


@_apply.register(steps.RewritePaths)
def _rewrite_paths(step: steps.RewritePaths, context: Context) -> None:
    rewrite_paths(context, InstanceName(step.name), _move_of(step), restored=step.fresh)


@_undo.register(steps.RewritePaths)
def _rewrite_paths_back(step: steps.RewritePaths, context: Context) -> None:
    if not (step.fresh or step.copied):
        rewrite_paths_back(context, InstanceName(step.name), _move_of(step))


def _move_of(step: steps.RewritePaths) -> Move:
    # By whom the plan was made saw to it that a state is one.
    return Move(before=PurePosixPath(step.before), after=PurePosixPath(step.after), anywhere=True)


@_apply.register(steps.SetSource)
def _set_source(step: steps.SetSource, context: Context) -> None:
    set_source(context.host.instance(InstanceName(step.name)), step.source)


@_undo.register(steps.SetSource)
def _restore_source(step: steps.SetSource, context: Context) -> None:
    set_source(context.host.instance(InstanceName(step.name)), step.previous)


@_apply.register(steps.RemoveFile)
def _remove_file(step: steps.RemoveFile, _context: Context) -> None:
    files.remove_file(PurePosixPath(step.path))


@_apply.register(steps.RemoveTree)
def _remove_tree(step: steps.RemoveTree, _context: Context) -> None:
    removable.remove(PurePosixPath(step.path))


for _kind, _do, _take_back in (*adoption.STEPS, *upgrading.STEPS):
    _apply.register(_kind, _do)
    if _take_back is not None:
        _undo.register(_kind, _take_back)
