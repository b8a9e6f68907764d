"""`ocm use` and `ocm enter`: a command in the very sandbox of an instance, whether or not it runs."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.run import environment, openclaw_argv
from openclaw_ocm.core.sandbox.launch import with_secrets
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.runner import Command
from openclaw_ocm.system.sandbox_directories import check_state, is_current, make_shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.backends.protocol import Session
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.runner import Completed

_SHELL = ("/bin/bash", "--noprofile", "--norc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What the caller's standard streams are: `attached` where both ends are a terminal."""

    attached: bool
    environ: Mapping[str, str]


def use(context: Context, name: InstanceName, arguments: tuple[str, ...], terminal: Terminal) -> int:
    """Run `openclaw ARGUMENTS` as the instance on the caller's streams and return its exit status."""
    record = ready_for_session(context, name)
    return _pass_through(context, name, record, openclaw_argv(record, arguments), terminal)


def enter(context: Context, name: InstanceName, terminal: Terminal) -> int:
    """Open a shell in the instance's sandbox and return its exit status."""
    record = ready_for_session(context, name)
    prompt = {"PS1": f"[{name}] \\w\\$ "}
    named = Terminal(attached=terminal.attached, environ={**terminal.environ, **prompt})
    return _pass_through(context, name, record, _SHELL, named)


def capture(
    context: Context,
    record: Record,
    arguments: tuple[str, ...],
    *,
    extra: Mapping[str, str],
    timeout: float,
) -> Completed:
    """Run `openclaw ARGUMENTS` in the instance's sandbox and return what it printed."""
    name = InstanceName(record.name)
    program = openclaw_argv(record, arguments)
    session = _session(context, name, record, program, Terminal(attached=False, environ=extra))
    command = Command(argv=session.argv, timeout_seconds=timeout, stdin=b"")
    try:
        return context.host.runner.run(command, check=False)
    except BaseException:
        context.backend.signal_session(session.token, signal.SIGKILL)
        raise


def ready_for_session(context: Context, name: InstanceName) -> Record:
    """Return the record; what the sandbox needs of OCM's directories is there afterwards."""
    record = read_record(context.host.paths, name)
    paths = context.host.instance(name)
    check_state(paths)
    if not is_current(paths, record):
        with changing(context, name):
            make_shell(paths, record)
    return record


def _session(
    context: Context, name: InstanceName, record: Record, program: tuple[str, ...], terminal: Terminal
) -> Session:
    paths = context.host.instance(name)
    return context.backend.session(
        record,
        context.policy(name, record),
        with_secrets(paths, record, program),
        environ={**environment(paths, record), **terminal.environ},
        terminal=terminal.attached,
    )


def _pass_through(
    context: Context, name: InstanceName, record: Record, argv: tuple[str, ...], terminal: Terminal
) -> int:
    session = _session(context, name, record, argv, terminal)
    received: list[int] = []

    def forward(number: int) -> None:
        # The first Ctrl-C is the program's to answer; the second ends it.
        context.backend.signal_session(session.token, signal.SIGKILL if number in received else number)
        received.append(number)

    return context.host.runner.pass_through(session.argv, forward, terminal=terminal.attached)
