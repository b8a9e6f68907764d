"""`ocm use` and `ocm enter`: a command in the very sandbox of an instance, whether or not it runs."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import environment, openclaw_argv
from openclaw_ocm.core.sandbox.launch import with_secrets
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.runner import Command
from openclaw_ocm.system.sandbox_directories import check_state, is_current, make_shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.backends.protocol import Session
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.runner import Completed

_SHELL = ("/bin/bash", "--noprofile", "--norc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What the caller's standard streams are: `attached` where both ends are a terminal."""

    attached: bool
    environ: Mapping[str, str]


def use(context: Context, name: InstanceName, arguments: tuple[str, ...], terminal: Terminal) -> int:
    """Run `openclaw ARGUMENTS` as the instance on the caller's streams and return its exit status."""
    worker = instance_of(context, ready_for_session(context, name))
    return _pass_through(worker, openclaw_argv(worker.record, arguments), terminal)


def enter(context: Context, name: InstanceName, terminal: Terminal) -> int:
    """Open a shell in the instance's sandbox and return its exit status."""
    worker = instance_of(context, ready_for_session(context, name))
    prompt = {"PS1": f"[{name}] \\w\\$ "}
    named = Terminal(attached=terminal.attached, environ={**terminal.environ, **prompt})
    return _pass_through(worker, _SHELL, named)


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
    command = Command(argv=session.argv, timeout_seconds=timeout, stdin=b"")
    try:
        return context.host.runner.run(command, check=False)
    except BaseException:
        worker.backend.signal_session(session.token, signal.SIGKILL)
        raise


def ready_for_session(context: Context, name: InstanceName) -> Record:
    """Return the record; what the sandbox needs of OCM's directories is there afterwards."""
    record = read_record(context.host.paths, name)
    paths = context.host.instance(name)
    check_state(paths)
    if not is_current(paths, record):
        # Who had the lock meanwhile, or was cut off, may have changed the record, or deleted the instance.
        with changing(context, name) as worker:
            make_shell(worker.paths, worker.record)
            return worker.record
    return record


def _session(worker: Instance, program: tuple[str, ...], terminal: Terminal) -> Session:
    paths, record = worker.paths, worker.record
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
