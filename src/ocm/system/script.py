"""Runs a Node script in the sandbox of an instance: where alone its live databases are opened."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from ocm.core.journal import printable
from ocm.core.launch import NODE_FLAGS, environment
from ocm.core.names import InstanceName
from ocm.errors import OcmError
from ocm.system.runner import Command

if TYPE_CHECKING:
    from ocm.core.record import Record
    from ocm.system.context import Context
    from ocm.system.runner import Completed

_LAST_LINES = 5


def run_script(
    context: Context, record: Record, script: str, arguments: tuple[str, ...], *, timeout_seconds: float
) -> Completed:
    """Run `script` by the instance's Node in its sandbox, without its secrets; whether or not it runs.

    Raises `OcmError` on an exit status other than 0. What it printed is the instance's to decide: no more is
    to be made of it than of any file of the instance's.
    """
    name = InstanceName(record.name)
    paths = context.host.instance(name)
    session = context.backend.session(
        record,
        context.policy(name, record),
        (record.runtime.node, *NODE_FLAGS, "-", *arguments),
        environ=environment(paths, record),
        terminal=False,
    )
    command = Command(argv=session.argv, timeout_seconds=timeout_seconds, stdin=script.encode())
    try:
        done = context.host.runner.run(command, check=False)
    except BaseException:
        context.backend.signal_session(session.token, signal.SIGKILL)
        raise
    if done.returncode:
        lines = tuple(printable(line) for line in done.stderr.splitlines() if line.strip())
        message = f"a script in the sandbox of {name} failed with status {done.returncode}"
        raise OcmError(message, code="script_failed", details=lines[-_LAST_LINES:])
    return done
