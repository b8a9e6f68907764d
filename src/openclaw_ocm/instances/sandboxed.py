"""Runs a program for Node in the sandbox of an instance: where alone its live databases are opened."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import environment, node_argv
from openclaw_ocm.core.sandbox.obstacle import obstacle
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import FAILED, OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.runner import Command, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.instances.instance import Instance

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
    record = worker.record
    session = worker.backend.session(
        record,
        worker.policy,
        node_argv(record, programs.text(program)),
        environ=environment(worker.paths, record),
        terminal=False,
    )
    command = Command(argv=session.argv, timeout_seconds=timeout, stdin=request)
    try:
        done = worker.host.runner.follow(command, on_line, limit=_MAX_PRINTED + more)
    except BaseException:
        worker.backend.signal_session(session.token, signal.SIGKILL)
        raise
    refuse_obstacle(record.name, done.returncode, done.stdout)
    if done.returncode:
        raise failure(
            (record.runtime.node,),
            done.returncode,
            "\n".join(map(printable, done.stdout.splitlines()[-_TAIL_LINES:])),
        )
