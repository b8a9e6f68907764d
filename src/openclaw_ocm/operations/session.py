"""`ocm use` and `ocm enter`: a command in the very sandbox of an instance, or in a box within it."""

from __future__ import annotations

import contextlib
import secrets
import signal
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.boxes import agent_box
from openclaw_ocm.core.openclaw.run import environment, openclaw_argv
from openclaw_ocm.core.sandbox.launch import BWRAP, DOCKER_NAME, with_secrets
from openclaw_ocm.core.sandbox.obstacle import NOT_STARTED, setup_failure
from openclaw_ocm.core.status import taken_in_words
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import instance_of, open_instance
from openclaw_ocm.instances.sandboxed import captured, refuse_obstacle
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.system import boxes, packages
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.runtime import check_runtime
from openclaw_ocm.system.sandbox_directories import is_current, make_shell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.backends.protocol import Session
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.openclaw.boxes import AgentBox
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.runner import Completed

# Of what OpenClaw prints for OCM on each stream: a list of all models is the longest.
_MOST_PRINTED = 2**24
_SHELL = ("/bin/bash", "--noprofile", "--norc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What the caller's standard streams are: `attached` where both ends are a terminal."""

    attached: bool
    environ: Mapping[str, str]


def use(context: Context, name: InstanceName, arguments: tuple[str, ...], terminal: Terminal) -> int:
    """Run `openclaw ARGUMENTS` as the instance on the caller's streams and return its exit status."""
    worker = instance_of(context, ready_for_session(context, name))
    refuse_stranger(worker)
    status = _pass_through(worker, openclaw_argv(worker.record, arguments), terminal)
    if status in NOT_STARTED or setup_failure(status) is not None:
        # What was printed went to the user.
        refuse_obstacle(name, status, "", exit_code=status)
    return status


def enter(context: Context, name: InstanceName, terminal: Terminal) -> int:
    """Open a shell in the instance's sandbox and return its exit status."""
    worker = instance_of(context, ready_for_session(context, name))
    prompt = {"PS1": f"[{name}] \\w\\$ "}
    named = Terminal(attached=terminal.attached, environ={**terminal.environ, **prompt})
    return _pass_through(worker, _SHELL, named)


def enter_box(context: Context, name: InstanceName, agent: str | None, terminal: Terminal) -> int:
    """Open a shell in a box as sessions other than main of an agent get one, and return its exit status.

    It is a box of its own: one that works for a session would not be made anew while somebody is in it, and
    what runs there could meddle with the shell. Raises `OcmError` where none can be made.
    """
    worker = open_instance(context, name)
    _refuse_boxless(worker)
    wanted = agent_box(worker.paths, worker.read_config()[1], agent)
    record, tool_host = ready_for_session(context, name), worker.process.pid
    if tool_host is None or not worker.process.activity.has_process:
        message = f"the gateway of {name} does not run, which makes the boxes"
        raise OcmError(message, hint=f"ocm start {name}", code="not_running")
    socket = boxes.socket_of(worker.paths)
    box = f"ocm-enter-{secrets.token_hex(8)}"
    environ = {**terminal.environ, "PS1": f"[{name} box of {wanted.agent}] \\w\\$ "}
    shell = ("-i", *(("-t",) if terminal.attached else ()), *_each("-e", environ), box, *_SHELL)
    try:
        asked = ("--workdir", str(wanted.directory), *_each("-e", wanted.environ), *_bound(worker, wanted))
        boxes.ask(socket, tool_host, "create", "--name", box, *asked, "ocm", "sleep", "infinity")
        boxes.ask(socket, tool_host, "start", box)
        docker = str(worker.paths.bin / DOCKER_NAME)
        return _pass_through(instance_of(context, record), (docker, "exec", *shell), terminal)
    finally:
        with contextlib.suppress(OcmError):
            boxes.call(socket, tool_host, "rm", "-f", box)


def _refuse_boxless(worker: Instance) -> None:
    """Raise `OcmError` where there are no boxes of OCM's."""
    name, record = worker.name, worker.record
    if record.docker:
        message = f"the boxes of {name} are Docker's: docker = true in its record"
        raise OcmError(message, hint="docker ps, docker exec", code="box_impossible")
    if not record.sealed:
        message = f"{name} has no sandbox that could make a box: it is unsealed"
        raise OcmError(message, code="box_impossible")
    if not Path(BWRAP).exists():
        message = "no box can be made here: bubblewrap is not installed"
        raise OcmError(message, hint=packages.line("bubblewrap"), code="box_impossible")


def _bound(worker: Instance, wanted: AgentBox) -> Iterator[str]:
    """Yield the words that ask for the mounts of a box, as far as these are there.

    What the config adds takes a place that it names as well, but not that of skills that are there.
    """
    found: dict[str, str] = {}
    skills: set[str] = set()
    for mount in wanted.mounts:
        there = _is_directory(mount.source)
        if not there and not mount.optional:
            message = f"{wanted.agent} of {worker.name} has no box yet: there is no directory {mount.source}"
            hint = "OpenClaw makes it when a session other than main first uses a tool"
            raise OcmError(message, hint=hint, code="box_impossible")
        if there:
            found[str(mount.target)] = f"{mount.source}:{mount.target}:{'rw' if mount.writable else 'ro'}"
            skills.update({str(mount.target)} if mount.optional else ())
    for bind in wanted.binds:
        target = str(PurePosixPath(bind.partition(":")[2].partition(":")[0]))
        if target not in skills:
            found[target] = bind
    for text in found.values():
        yield from ("-v", text)


def _is_directory(path: PurePosixPath) -> bool:
    # The name is the instance's: it may be too long, or lead to where nobody may look.
    with contextlib.suppress(OSError):
        return stat.S_ISDIR(Path(path).lstat().st_mode)
    return False


def _each(option: str, environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        yield from (option, f"{name}={value}")


def capture(
    context: Context,
    record: Record,
    arguments: tuple[str, ...],
    *,
    extra: Mapping[str, str],
    timeout: float,
) -> Completed:
    """Run `openclaw ARGUMENTS` in the instance's sandbox and return what it printed."""
    worker = instance_of(context, record)
    program = openclaw_argv(record, arguments)
    session = _session(worker, program, Terminal(attached=False, environ=extra))
    return captured(worker, session, timeout=timeout, limit=_MOST_PRINTED)


def refuse_stranger(worker: Instance) -> None:
    """Raise `OcmError` where somebody else listens on an instance's port, and would be sent its token."""
    stranger = worker.backend.strangers([worker.gateway]).get(worker.name)
    if stranger is None:
        return
    message = f"{worker.name} is not who listens: {taken_in_words(worker.record.port, stranger)}"
    hint = f"stop that program; then ocm token rotate {worker.name}: it may have been sent the token"
    raise OcmError(message, hint=hint, code="stranger")


def ready_for_session(context: Context, name: InstanceName) -> Record:
    """Return the record; what the sandbox needs of OCM's directories is there afterwards."""
    record = read_record(context.host.paths, name)
    paths = context.host.instance(name)
    state = Path(paths.state)
    if state.is_symlink() or not (state.is_dir() and is_current(paths, record)):
        # Who had the lock meanwhile, or was cut off, may have changed the record, renamed the instance or
        # deleted it.
        with changing(context, name) as worker:
            worker.volume.check(name)
            make_shell(worker.paths, worker.record)
            return worker.record
    return record


def _session(worker: Instance, program: tuple[str, ...], terminal: Terminal) -> Session:
    paths, record = worker.paths, worker.record
    check_runtime(record)
    return worker.backend.session(
        record,
        worker.policy,
        with_secrets(paths, record, program),
        environ={**environment(paths, record), **terminal.environ},
        terminal=terminal.attached,
    )


def _pass_through(worker: Instance, argv: tuple[str, ...], terminal: Terminal) -> int:
    session = _session(worker, argv, terminal)
    received: list[int] = []

    def forward(number: int) -> None:
        # The first Ctrl-C is the program's to answer; the second ends it.
        worker.backend.signal_session(session.token, signal.SIGKILL if number in received else number)
        received.append(number)

    return worker.host.runner.pass_through(session.argv, forward, terminal=terminal.attached)
