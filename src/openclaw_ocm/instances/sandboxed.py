"""Runs a program for Node in the sandbox of an instance: where alone its live databases are opened."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import environment, node_argv
from openclaw_ocm.core.text import printable
from openclaw_ocm.system import programs
from openclaw_ocm.system.runner import Command, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.instances.instance import Instance

_MAX_PRINTED = 4 * 2**20
_TAIL_LINES = 5


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
    Raises `CommandFailed` with the last it said where it fails, and `OcmError` where it takes too long.
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
    if done.returncode:
        raise failure(
            (record.runtime.node,),
            done.returncode,
            "\n".join(map(printable, done.stdout.splitlines()[-_TAIL_LINES:])),
        )
