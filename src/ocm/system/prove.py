"""Proves a sandbox: asks from within the gateway's own namespaces what a process there can do."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from ocm.core import expectations, probe
from ocm.core.launch import clean
from ocm.core.unit import has_private_pids
from ocm.errors import OcmError
from ocm.system import processes
from ocm.system.names import instance_names
from ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import PurePosixPath

    from ocm.core.names import InstanceName
    from ocm.core.record import Record
    from ocm.core.state import Process
    from ocm.system.context import Context

_PROBE_SECONDS = 60.0


def prove(context: Context, name: InstanceName, record: Record, process: Process) -> tuple[str, ...]:
    """Return in words what a process in the gateway's own namespaces can do against the policy."""
    if process.pid is None:
        return ("the gateway is not running",)
    paths, runtime = context.host.instance(name), context.host.runtime
    policy = context.policy(name, record)
    listings = expectations.listings(paths, policy)
    others = tuple(other for other in instance_names(context.host.paths) if other != name)
    private_pids = has_private_pids(context.backend.version())
    with _canaries(expectations.canary_places(paths, runtime=runtime)) as canaries:
        checks = (
            *expectations.checks(paths, policy, runtime=runtime, others=others),
            *expectations.canary_checks(canaries),
        )
        try:
            kernel = processes.kernel_view(process.pid)
        except OSError:
            return ("the gateway ended before it could be looked at",)
        answers = _ask_inside(
            context, record, process.pid, kernel.own_namespaces, probe.questions(checks, listings)
        )
    return probe.violations(answers, kernel, checks=checks, listings=listings, private_pids=private_pids)


def _ask_inside(
    context: Context, record: Record, pid: int, own: frozenset[str], questions: dict[str, list[str]]
) -> dict[str, object]:
    """Run the probe in the namespaces that the process `pid` has for its own, and return its answers.

    nsenter(1) and not a second unit: a drop-in of the gateway's unit would weaken only the gateway.
    """
    namespaces = (f"--{name.replace('mnt', 'mount')}" for name in sorted(own))
    enter = ("nsenter", f"--target={pid}", *namespaces, "--preserve-credentials", "--wd=/", "--")
    argv = (*enter, *clean({}, (record.runtime.node, "-e", probe.SCRIPT)))
    completed = context.host.runner.run(
        Command(argv=argv, stdin=json.dumps(questions).encode(), timeout_seconds=_PROBE_SECONDS), check=False
    )
    try:
        answers = json.loads(completed.stdout)
    except ValueError:
        answers = None
    if not isinstance(answers, dict):
        said = tuple(completed.stderr.strip().splitlines()[-5:])
        message = "the probe inside the sandbox gave no usable answer"
        raise OcmError(message, code="not_sealed", details=said)
    return answers


@contextlib.contextmanager
def _canaries(places: Iterable[PurePosixPath]) -> Iterator[tuple[str, ...]]:
    """Plant a file in each place that the user can write, and remove them afterwards."""
    token = secrets.token_hex(8)
    planted: list[str] = []
    try:
        for place in places:
            path = str(place / f".ocm-canary-{token}")
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
                planted.append(path)
        yield tuple(planted)
    finally:
        for path in planted:
            Path(path).unlink(missing_ok=True)
