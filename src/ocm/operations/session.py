"""`ocm use` and `ocm enter`: a command in the very sandbox of an instance, whether or not it runs."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocm.core.journal import printable
from ocm.core.launch import environment, node_argv, openclaw_argv, with_secrets
from ocm.core.names import InstanceName
from ocm.operations.change import changing
from ocm.system.records import read_record
from ocm.system.runner import Command, failure
from ocm.system.shell import check_state, is_current, make_shell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocm.core.record import Record
    from ocm.system.backend import Session
    from ocm.system.context import Context
    from ocm.system.runner import Completed

_SHELL = ("/bin/bash", "--noprofile", "--norc")
_MAX_PRINTED = 16 * 2**20
_TAIL_LINES = 5


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


def run_node(  # noqa: PLR0913 - whose, what, and what is done with its answer
    context: Context,
    record: Record,
    script: str,
    request: bytes,
    on_line: Callable[[str], None],
    *,
    timeout: float,
) -> None:
    """Run a script, a module, by the instance's Node in its sandbox, without its secrets.

    It starts in the state directory and gets `request` on its standard input; `on_line` is given each line
    that it prints. What it prints is not to be trusted: other processes of the instance can write there.
    Raises `CommandFailed` with the last it said where it fails, and `OcmError` where it takes too long.
    """
    name = InstanceName(record.name)
    session = context.backend.session(
        record,
        context.policy(name, record),
        node_argv(record, script),
        environ=environment(context.host.instance(name), record),
        terminal=False,
    )
    command = Command(argv=session.argv, timeout_seconds=timeout, stdin=request)
    try:
        done = context.host.runner.follow(command, on_line, limit=_MAX_PRINTED)
    except BaseException:
        context.backend.signal_session(session.token, signal.SIGKILL)
        raise
    if done.returncode:
        raise failure(
            (record.runtime.node,),
            done.returncode,
            "\n".join(map(printable, done.stdout.splitlines()[-_TAIL_LINES:])),
        )


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
