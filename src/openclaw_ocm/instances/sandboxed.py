"""Runs programs in the sandbox of an instance: where alone its live databases are opened."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import environment, node_argv, openclaw_argv
from openclaw_ocm.core.sandbox.launch import with_secrets
from openclaw_ocm.core.sandbox.obstacle import obstacle
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import FAILED, OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.runner import Command, failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.backends.protocol import Session
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.runner import Completed

_MAX_PRINTED = 4 * 2**20
_TAIL_LINES = 5


def refuse_obstacle(name: str, status: int, said: str, *, exit_code: int = FAILED) -> None:
    """Raise `OcmError` where a program in the sandbox of an instance failed before it could do its work.

    So that nobody takes it for what the program says of a config or of data.
    """
    words = obstacle(status, said)
    if words is not None:
        message = f"nothing was run in the sandbox of {name}: {words}"
        hint = f"ocm doctor tells what is missing, ocm status {name} how it is"
        raise OcmError(message, hint=hint, code="not_launched", exit_code=exit_code)


def run_node(  # noqa: PLR0913 - what is run, and what it may take
    worker: Instance,
    program: str,
    request: bytes,
    on_line: Callable[[str], None],
    *,
    timeout: float,
    more: int = 0,
) -> None:
    """Run one of OCM's programs, a module, by the instance's Node in its sandbox, without its secrets.

    It starts in the state directory and gets `request` on its standard input; `on_line` is given each line
    that it prints, `more` bytes than others print. That is not to be trusted: other processes of the instance
    can write there.
    Raises `CommandFailed` with the last it said where it fails, and `OcmError` where it takes too long or
    could not be started.
    """
    argv = node_argv(worker.record, programs.text(program))
    _run(worker, argv, {}, request, on_line, timeout=timeout, limit=_MAX_PRINTED + more)


def run_openclaw(
    worker: Instance, arguments: tuple[str, ...], extra: Mapping[str, str], *, timeout: float
) -> None:
    """Run `openclaw ARGUMENTS` in an instance's sandbox with its secrets, and `extra` in its environment.

    Nothing that it asks is answered. Raises as `run_node` does.
    """
    argv = with_secrets(worker.paths, worker.record, openclaw_argv(worker.record, arguments))
    _run(worker, argv, extra, b"", lambda _line: None, timeout=timeout, limit=_MAX_PRINTED)


def _run(  # noqa: PLR0913 - what is run, and what it may take
    worker: Instance,
    argv: tuple[str, ...],
    extra: Mapping[str, str],
    request: bytes,
    on_line: Callable[[str], None],
    *,
    timeout: float,
    limit: int,
) -> None:
    record = worker.record
    environ = {**environment(worker.paths, record), **extra}
    session = worker.backend.session(record, worker.policy, argv, environ=environ, terminal=False)
    command = Command(argv=session.argv, timeout_seconds=timeout, stdin=request)
    try:
        done = worker.host.runner.follow(command, on_line, limit=limit)
    except BaseException:
        worker.backend.signal_session(session.token, signal.SIGKILL)
        raise
    refuse_obstacle(record.name, done.returncode, done.stdout)
    if done.returncode:
        said = [line for line in map(printable, done.stdout.splitlines()) if line.strip()]
        raise failure((record.runtime.node,), done.returncode, "\n".join(said[-_TAIL_LINES:]))


def read_openclaw(worker: Instance, arguments: tuple[str, ...], *, timeout: float) -> str:
    """Return what `openclaw ARGUMENTS` prints in an instance's sandbox, with its secrets, however it ends.

    Raises `OcmError` where it takes too long, prints too much or could not be started.
    """
    record = worker.record
    argv = with_secrets(worker.paths, record, openclaw_argv(record, arguments))
    environ = environment(worker.paths, record)
    session = worker.backend.session(record, worker.policy, argv, environ=environ, terminal=False)
    return captured(worker, session, timeout=timeout, limit=_MAX_PRINTED).stdout


def captured(worker: Instance, session: Session, *, timeout: float, limit: int) -> Completed:
    """Run a session and return what it printed, however it ends; it ends with this at the latest.

    Raises `OcmError` where it takes too long, prints more bytes than `limit` or could not be started.
    """
    command = Command(argv=session.argv, timeout_seconds=timeout, limit=limit)
    try:
        done = worker.host.runner.run(command, check=False)
    except BaseException:
        worker.backend.signal_session(session.token, signal.SIGKILL)
        raise
    refuse_obstacle(worker.name, done.returncode, done.stderr)
    return done
