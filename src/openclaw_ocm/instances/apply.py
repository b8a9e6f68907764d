"""One apply and one undo for each kind of step. Both may run again after a crash, to the same end."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core import plan as steps
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.openclaw.document import (
    format_config,
    overlay,
    refuse_large,
    with_value,
    without_value,
)
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.openclaw.settings import BIND, initial_config
from openclaw_ocm.core.paths import STATE_DIRECTORIES
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.errors import CommandFailed, InTheWay, OcmError
from openclaw_ocm.instances.follow import rewrite_paths, rewrite_paths_back, write_changed
from openclaw_ocm.instances.inheritance import (
    Inherited,
    read_inheritance,
    set_source,
    write_duplicate,
    write_inherited,
    write_secrets,
)
from openclaw_ocm.instances.last_words import last_words
from openclaw_ocm.instances.verify import verify
from openclaw_ocm.system import files, ufw
from openclaw_ocm.system.exchange import put_in_place, take_out_of_place
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.config import read_config
from openclaw_ocm.system.sandbox_directories import make_shell
from openclaw_ocm.system.workspaces import copy_workspaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context

_TOKEN_BYTES = 32


def apply_step(context: Context, step: Step) -> None:
    """Run one step."""
    _APPLY[type(step)](context, step)


def undo_step(context: Context, step: Step) -> bool:
    """Undo one step that was begun, whether or not it came to its end; False where there is no undoing it."""
    undo = _UNDO.get(type(step))
    if undo is not None:
        undo(context, step)
    return undo is not None


def _write_record(_context: Context, step: steps.WriteRecord) -> None:
    files.write_file(PurePosixPath(step.path), step.text.encode())


def _restore_record(_context: Context, step: steps.WriteRecord) -> None:
    if step.previous is None:
        files.remove_file(PurePosixPath(step.path))
    else:
        files.write_file(PurePosixPath(step.path), step.previous.encode())


def _make_state(_context: Context, step: steps.MakeState) -> None:
    try:
        Path(step.path).mkdir(mode=0o700)
    except FileExistsError:
        message = f"{step.path} exists already"
        raise InTheWay(message, hint="move it away, or choose another name", code="state_exists") from None
    for directory in STATE_DIRECTORIES:
        Path(step.path, directory).mkdir(mode=0o700)


def _remove_state(_context: Context, step: steps.MakeState) -> None:
    files.remove_tree(PurePosixPath(step.path))


def _make_shell(context: Context, step: steps.MakeShell) -> None:
    name = parse_name(PurePosixPath(step.shell).name)
    make_shell(context.host.instance(name), read_record(context.host.paths, name))


def _remove_shell(context: Context, step: steps.MakeShell) -> None:
    if step.fresh:
        files.remove_tree(PurePosixPath(step.shell))
        files.remove_tree(PurePosixPath(step.scratch))
        files.remove_file(context.host.instance(parse_name(PurePosixPath(step.shell).name)).secrets)


def _write_config(context: Context, step: steps.WriteConfig) -> None:
    name = _name_of_config(step.path)
    record = read_record(context.host.paths, name)
    config = _initial_config(context, record, step.model)
    if step.inherit is not None:
        inheritance = read_inheritance(context.host, step.inherit, record)
        names = tuple(sorted(inheritance.secrets))
        paths = context.host.instance(name)
        write_inherited(paths, Inherited(source=step.inherit, config=inheritance.config, secrets=names))
        write_secrets(context.host, name, inheritance.secrets)
        config = overlay(inheritance.config, config)
    _write_first(step.path, config)


def _clone_config(context: Context, step: steps.CloneConfig) -> None:
    record = read_record(context.host.paths, _name_of_config(step.path))
    found = write_duplicate(context.host, parse_name(step.source), record)
    _write_first(step.path, overlay(_initial_config(context, record, None), found.config))


def _initial_config(context: Context, record: Record, model: str | None) -> dict[str, Any]:
    return initial_config(
        context.host.paths.named(record.name),
        port=record.port,
        cdp_port=record.port + CDP_OFFSET,
        token=secrets.token_hex(_TOKEN_BYTES),
        model=model,
    )


def _write_first(path: str, config: dict[str, Any]) -> None:
    text = format_config(config)
    refuse_large(text)
    with files.open_state(PurePosixPath(path).parent) as directory:
        files.write_in(directory, PurePosixPath(path).name, text)


def _name_of_config(path: str) -> InstanceName:
    return parse_name(PurePosixPath(path).parent.name.removeprefix(".openclaw-"))


def _forget_inherited(context: Context, step: steps.WriteConfig | steps.CloneConfig) -> None:
    # The config itself goes with its directory, and the secrets with the shell.
    files.remove_file(context.host.instance(_name_of_config(step.path)).inherited)


def _copy_workspaces(_context: Context, step: steps.CopyWorkspaces) -> None:
    copy_workspaces(PurePosixPath(step.source), PurePosixPath(step.path))


def _link_config(_context: Context, step: steps.LinkConfig) -> None:
    files.make_directory(PurePosixPath(step.link).parent)
    try:
        Path(step.link).symlink_to(step.target)
    except FileExistsError:
        message = f"{step.link} exists already"
        raise InTheWay(message, hint="move it away, or choose another name", code="link_exists") from None


def _remove_link(_context: Context, step: steps.LinkConfig | steps.RemoveLink) -> None:
    link = Path(step.link)
    if link.is_symlink():
        link.unlink()
    with contextlib.suppress(OSError):
        # Only an empty directory goes: one that OCM made, for main keeps its state in it.
        link.parent.rmdir()


def _write_definition(_context: Context, step: steps.WriteDefinition) -> None:
    files.write_file(PurePosixPath(step.path), step.text.encode(), mode=0o644)


def _restore_definition(context: Context, step: steps.WriteDefinition) -> None:
    if step.previous is None:
        files.remove_file(PurePosixPath(step.path))
    else:
        files.write_file(PurePosixPath(step.path), step.previous.encode(), mode=0o644)
    context.backend.load([InstanceName(step.name)])


def _remove_definition(context: Context, step: steps.RemoveDefinition) -> None:
    context.backend.remove([InstanceName(step.name)])


def _load(context: Context, step: steps.Load) -> None:
    context.backend.load([InstanceName(step.name)])


def _enable(context: Context, step: steps.Enable | steps.Disable) -> None:
    context.backend.enable([InstanceName(step.name)])


def _disable(context: Context, step: steps.Enable | steps.Disable) -> None:
    context.backend.disable([InstanceName(step.name)])


def _start_again(context: Context, step: steps.Stop) -> None:
    if step.ran:
        _launch(context, InstanceName(step.name))


def _start(context: Context, step: steps.Start) -> None:
    _launch(context, InstanceName(step.name))


def _restart(context: Context, step: steps.Restart) -> None:
    name = InstanceName(step.name)
    context.backend.stop([name])
    _launch(context, name)


def _launch(context: Context, name: InstanceName) -> None:
    paths, began = context.host.instance(name), time.time()
    # An instance may have opened its state to other users of the machine.
    Path(paths.state).chmod(0o700)
    try:
        context.backend.start([name])
    except CommandFailed as error:
        message = f"{name} could not be started: {error.message}"
        words = last_words(context, name, since=began)
        raise OcmError(message, hint=f"ocm logs {name}", code="not_started", details=words) from None


def _stop(context: Context, step: steps.Stop) -> None:
    name = InstanceName(step.name)
    context.backend.stop_sessions([name])
    context.backend.stop([name])


def _stop_gateway(context: Context, step: steps.Start) -> None:
    context.backend.stop([InstanceName(step.name)])


def _verify(context: Context, step: steps.Verify) -> None:
    verify(context, InstanceName(step.name), timeout_seconds=step.timeout_seconds)


def _set_bind(context: Context, step: steps.SetBind) -> None:
    _write_bind(context, step, step.bind)


def _restore_bind(context: Context, step: steps.SetBind) -> None:
    _write_bind(context, step, step.previous)


def _write_bind(context: Context, step: steps.SetBind, bind: str | None) -> None:
    paths = context.host.instance(InstanceName(step.name))
    config = read_config(paths)[1]
    changed = without_value(config, BIND) if bind is None else with_value(config, BIND, bind)
    write_changed(paths, config, changed)


def _set_rules(context: Context, step: steps.SetRules) -> None:
    ufw.set_rules(context.host, step.name, step.port, step.rules)


def _restore_rules(context: Context, step: steps.SetRules) -> None:
    ufw.restore_rules(context.host, step.name, step.port, step.previous)


def _set_timer(context: Context, step: steps.SetTimer) -> None:
    _keep_time(context, step.name, step.every, fresh=step.every != step.previous)


def _restore_timer(context: Context, step: steps.SetTimer) -> None:
    _keep_time(context, step.name, step.previous, fresh=step.every != step.previous)


def _keep_time(context: Context, name: str, every: str | None, *, fresh: bool) -> None:
    """Have backups made at the times `every`; `fresh` forgets when they were made at others."""
    timers, instance = context.backend.timers, InstanceName(name)
    if fresh or every is None:
        # By the time of the last run systemd would at once make up for what other times had asked for.
        timers.clear([instance])
    if every is not None:
        timers.set({instance: every})


def _stage(_context: Context, step: steps.Stage) -> None:
    files.make_directory(PurePosixPath(step.path))


def _unstage(_context: Context, step: steps.Stage) -> None:
    files.remove_tree(PurePosixPath(step.path))
    for path in step.files:
        files.remove_file(PurePosixPath(path))


def _exchange(_context: Context, step: steps.Exchange) -> None:
    put_in_place(PurePosixPath(step.path), PurePosixPath(step.staged), step.inode)


def _exchange_back(_context: Context, step: steps.Exchange) -> None:
    take_out_of_place(PurePosixPath(step.path), PurePosixPath(step.staged), step.inode)


def _rewrite_paths(context: Context, step: steps.RewritePaths) -> None:
    move = Move(before=PurePosixPath(step.before), after=PurePosixPath(step.after))
    rewrite_paths(context, InstanceName(step.name), move, restored=step.fresh)


def _rewrite_paths_back(context: Context, step: steps.RewritePaths) -> None:
    if not step.fresh:
        move = Move(before=PurePosixPath(step.before), after=PurePosixPath(step.after))
        rewrite_paths_back(context, InstanceName(step.name), move)


def _set_source(context: Context, step: steps.SetSource) -> None:
    set_source(context.host.instance(InstanceName(step.name)), step.source)


def _restore_source(context: Context, step: steps.SetSource) -> None:
    set_source(context.host.instance(InstanceName(step.name)), step.previous)


def _remove_file(_context: Context, step: steps.RemoveFile) -> None:
    files.remove_file(PurePosixPath(step.path))


def _remove_tree(_context: Context, step: steps.RemoveTree) -> None:
    files.remove_tree(PurePosixPath(step.path))


_APPLY: dict[type, Callable[..., None]] = {
    steps.WriteRecord: _write_record,
    steps.MakeState: _make_state,
    steps.MakeShell: _make_shell,
    steps.WriteConfig: _write_config,
    steps.CloneConfig: _clone_config,
    steps.CopyWorkspaces: _copy_workspaces,
    steps.LinkConfig: _link_config,
    steps.WriteDefinition: _write_definition,
    steps.Load: _load,
    steps.RemoveDefinition: _remove_definition,
    steps.Enable: _enable,
    steps.Disable: _disable,
    steps.Start: _start,
    steps.Restart: _restart,
    steps.Stop: _stop,
    steps.Verify: _verify,
    steps.SetBind: _set_bind,
    steps.SetRules: _set_rules,
    steps.SetTimer: _set_timer,
    steps.Stage: _stage,
    steps.Exchange: _exchange,
    steps.RewritePaths: _rewrite_paths,
    steps.SetSource: _set_source,
    steps.RemoveFile: _remove_file,
    steps.RemoveLink: _remove_link,
    steps.RemoveTree: _remove_tree,
}
_UNDO: dict[type, Callable[..., None]] = {
    steps.WriteRecord: _restore_record,
    steps.MakeState: _remove_state,
    steps.MakeShell: _remove_shell,
    steps.WriteConfig: _forget_inherited,
    steps.CloneConfig: _forget_inherited,
    steps.LinkConfig: _remove_link,
    steps.WriteDefinition: _restore_definition,
    steps.Enable: _disable,
    steps.Disable: _enable,
    steps.Start: _stop_gateway,
    steps.Stop: _start_again,
    steps.SetBind: _restore_bind,
    steps.SetRules: _restore_rules,
    steps.SetTimer: _restore_timer,
    steps.Stage: _unstage,
    steps.Exchange: _exchange_back,
    steps.RewritePaths: _rewrite_paths_back,
    steps.SetSource: _restore_source,
}
