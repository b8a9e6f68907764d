"""Waits until a gateway is ready, then proves its sandbox from within."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ocm.core import probe
from ocm.core.policy import DOCKER_SOCKET
from ocm.core.probe import Check, Listing
from ocm.core.state import State, judge
from ocm.core.unit import PRIVATE_PIDS_VERSION
from ocm.errors import OcmError
from ocm.system import health, processes
from ocm.system.journal import last_words
from ocm.system.openclaw import package_version
from ocm.system.names import instance_names
from ocm.system.records import read_record
from ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocm.core.names import InstanceName
    from ocm.core.policy import Policy
    from ocm.core.record import Record
    from ocm.core.state import Health, Process
    from ocm.system.context import Context

_POLL_SECONDS = 0.5
_ASK_SECONDS = 5.0
_PROBE_SECONDS = 60.0


def verify(context: Context, name: InstanceName, *, timeout_seconds: float) -> None:
    """Return once the gateway is ready with the right version and its sandbox is proved.

    Raises `OcmError` with the gateway's own last words otherwise.
    """
    record = read_record(context.host.paths, name)
    began = time.time()
    context.report("wait for the gateway")
    process = _wait_until_ready(context, name, record, timeout_seconds)
    context.report("prove the sandbox")
    found = prove(context, name, record, process)
    if found:
        message = f"the sandbox of {name} is not in force"
        raise OcmError(
            message,
            hint=f"look for drop-ins: systemctl --user cat openclaw-gateway-{name}",
            code="not_sealed",
            details=found,
        )
    if context.backend.observe([name])[name].pid != process.pid:
        message = f"the gateway of {name} ended while it was verified"
        raise OcmError(message, code="not_ready", details=last_words(context, name, since=began))


def _wait_until_ready(
    context: Context, name: InstanceName, record: Record, timeout_seconds: float
) -> Process:
    began, wall = time.monotonic(), time.time()
    wanted = package_version(PurePosixPath(record.runtime.openclaw))
    while True:
        process = context.backend.observe([name])[name]
        verdict = verdict_on(process, record)
        if verdict.state is State.READY and process.pid is not None:
            if verdict.version != wanted:
                message = f"{name} answers as OpenClaw {verdict.version}, not {wanted}"
                raise OcmError(message, code="wrong_version")
            return process
        waited = time.monotonic() - began
        if verdict.state is State.FAILED or waited > timeout_seconds:
            reason = verdict.reason or f"not ready after {round(waited)} s"
            if verdict.state is not State.FAILED:
                reason = f"not ready after {round(waited)} s ({reason})"
            message = f"{name} did not become ready: {reason}"
            raise OcmError(
                message,
                hint=f"ocm logs {name}" if verdict.state is State.FAILED else "--timeout gives it longer",
                code="not_ready",
                details=last_words(context, name, since=wall),
            )
        time.sleep(_POLL_SECONDS)


def verdict_on(process: Process, record: Record) -> Health:
    """Return the verdict on one instance whose process was just observed."""
    answer = health.ask(record.port, _ASK_SECONDS)
    heard = processes.listeners([record.port]).get(record.port)
    own = heard is None or (
        heard.pid is not None
        and process.pid is not None
        and processes.is_same_or_below(heard.pid, process.pid)
    )
    return judge(process, answer, port=record.port, stranger=None if own else heard, now=time.time())


def prove(context: Context, name: InstanceName, record: Record, process: Process) -> tuple[str, ...]:
    """Return in words what a process in the gateway's own namespaces can do against the policy."""
    pid = process.pid
    if pid is None:
        return ("the gateway is not running",)
    policy = context.policy(name, record)
    listings = tuple(_listings(context, name, policy))
    private_pids = context.backend.version() >= PRIVATE_PIDS_VERSION
    with _canaries(context) as canaries:
        checks = (*_checks(context, name, policy), *(Check(action=probe.READ, path=path, allowed=False) for path in canaries))
        try:
            kernel = processes.kernel_view(pid)
        except OSError:
            return ("the gateway ended before it could be looked at",)
        answers = _ask_inside(context, record, pid, private_pids, probe.questions(checks, listings))
    return probe.violations(
        answers, kernel, checks=checks, listings=listings, private_pids=private_pids
    )


def _ask_inside(
    context: Context, record: Record, pid: int, private_pids: bool, questions: dict[str, list[str]]
) -> dict[str, object]:
    """Run the probe in the namespaces of the process `pid` and return its answers.

    nsenter(1) and not a second unit: a drop-in of the gateway's unit would weaken only the gateway.
    """
    namespaces = ("--user", "--mount", "--ipc", *(["--pid"] if private_pids else []))
    enter = ("nsenter", f"--target={pid}", *namespaces, "--preserve-credentials", "--wd=/", "--")
    argv = (*enter, "/usr/bin/env", "-i", record.runtime.node, "-e", probe.SCRIPT)
    completed = context.host.runner.run(
        Command(argv=argv, stdin=json.dumps(questions).encode(), timeout_seconds=_PROBE_SECONDS)
    )
    try:
        answers = json.loads(completed.stdout)
    except ValueError:
        answers = None
    if not isinstance(answers, dict):
        message = "the probe inside the sandbox gave no usable answer"
        raise OcmError(message, code="not_sealed")
    return answers


def _checks(context: Context, name: InstanceName, policy: Policy) -> Iterator[Check]:
    host, paths = context.host, context.host.instance(name)
    for mount in policy.mounts:
        if mount.writable and mount.target != DOCKER_SOCKET:
            yield Check(action=probe.WRITE, path=str(mount.target), allowed=True)
        elif not mount.optional:
            yield Check(action=probe.READ, path=str(mount.target), allowed=True)
            yield Check(action=probe.WRITE, path=str(mount.target), allowed=False)
    yield Check(action=probe.READ, path=str(paths.config), allowed=True)
    yield Check(action=probe.READ, path=str(host.paths.main_state / paths.config_link.name), allowed=True)
    unreadable = (
        *(host.paths.main_state / entry for entry in ("openclaw.json", ".env", "state", "credentials")),
        *(host.paths.ocm_config, host.paths.ocm_state, host.paths.transactions, host.paths.units, paths.root),
        *(host.instance(other).state for other in instance_names(host.paths) if other != name),
        *(host.paths.home / entry for entry in (".ssh", ".bashrc", ".profile", "backups")),
        *map(PurePosixPath, ("/run/dbus", "/run/systemd/system", "/var/log", "/var/lib", "/root/.ssh")),
    )
    for path in unreadable:
        yield Check(action=probe.READ, path=str(path), allowed=False)
    for path in ("/", "/etc", "/usr", "/run", "/var", "/home", "/root", "/dev", "/sys/fs/cgroup", str(host.paths.home)):
        yield Check(action=probe.WRITE, path=path, allowed=False)
    for socket in (
        *(host.runtime / "bus", host.runtime / "systemd/private", PurePosixPath("/run/dbus/system_bus_socket")),
        PurePosixPath("/run/systemd/journal/socket"),
        *([] if DOCKER_SOCKET in policy.writable else [DOCKER_SOCKET]),
    ):
        yield Check(action=probe.CONNECT, path=str(socket), allowed=False)


def _listings(context: Context, name: InstanceName, policy: Policy) -> Iterator[Listing]:
    """Yield the directories that must hold nothing of the host's, with what may be in each."""
    home, link = context.host.paths.home, context.host.instance(name).config_link
    yield Listing(path=str(context.host.paths.main_state), names=frozenset({link.name}))
    below = (mount.target for mount in policy.mounts if mount.target.is_relative_to(home))
    yield Listing(path=str(home), names=frozenset(path.relative_to(home).parts[0] for path in below))
    for path in ("/dev/pts", "/run/user"):
        yield Listing(path=path, names=frozenset())


@contextlib.contextmanager
def _canaries(context: Context) -> Iterator[tuple[str, ...]]:
    """Put a file where the instance must not see one, in every place that a sandbox could leak."""
    host = context.host
    places = (host.paths.home, host.paths.ocm_config, host.runtime, *map(PurePosixPath, ("/tmp", "/var/tmp", "/dev/shm")))  # noqa: S108
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
