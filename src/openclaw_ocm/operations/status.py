"""`ocm list`, `health` and `status`: observed now, never remembered."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.backends.definition import is_edited
from openclaw_ocm.core.names import unknown_instance
from openclaw_ocm.core.openclaw.settings import weakened
from openclaw_ocm.core.sandbox.policy import DOCKER_SOCKET
from openclaw_ocm.core.status import Answer, Health, Listener, Process, State, judge
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.expose import rules_in_words
from openclaw_ocm.operations.schedule import look, timer_faults
from openclaw_ocm.system import files, health, processes
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.config import read_config
from openclaw_ocm.system.openclaw.find import package_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Limits, Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.schedule import Backups

_DEADLINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One instance at a glance; `problem` says what is wrong with its record where it cannot be read.

    `isolation` is sealed or unsealed, `backup` what is wrong with scheduled backups.
    """

    name: str
    state: str
    reason: str | None
    port: int | None
    version: str | None
    autostart: bool
    backend: str | None
    isolation: str | None
    pid: int | None
    restarts: int
    uptime_seconds: float | None
    problem: str | None = None
    backup: str | None = None

    @property
    def unhealthy(self) -> bool:
        """Tell whether the instance should be ready and is not."""
        should_run = self.autostart or self.state != State.STOPPED
        broken = self.problem is not None or self.backup is not None
        return broken or (should_run and self.state != State.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything about one instance; `backups` is None where none are scheduled."""

    row: Row
    url: str
    memory_bytes: int | None
    cpu_seconds: float | None
    node: str
    openclaw: str
    limits: str
    expose: tuple[str, ...]
    firewall: str
    backups: Backups | None
    paths: Mapping[str, str]
    gaps: tuple[str, ...]
    drift: tuple[str, ...]
    notes: tuple[str, ...]


def observe(context: Context, names: tuple[InstanceName, ...]) -> tuple[Row, ...]:
    """Return a row for each instance: one call to the backend, one pass over ports, health in parallel."""
    records, problems = _read_records(context, names)
    seen = _observe(context, names, records, problems)
    ports = {name: record.port for name, record in records.items()}
    active = {name: port for name, port in ports.items() if seen[name].activity != "stopped"}
    answers = health.ask_all(active, deadline_seconds=_DEADLINE_SECONDS) if active else {}
    heard = processes.listeners(active.values()) if active else {}
    rows = (
        _broken_row(name, seen[name], problems[name])
        if name in problems
        else _row(records[name], seen[name], answers.get(name, Answer()), heard.get(ports[name]))
        for name in names
    )
    backups = _backups(context, records)
    return tuple(
        replace(row, backup=found.problem) if (found := backups.get(row.name)) else row for row in rows
    )


def _observe(
    context: Context,
    names: tuple[InstanceName, ...],
    records: dict[InstanceName, Record],
    problems: dict[InstanceName, str],
) -> dict[InstanceName, Process]:
    """Return what the backends say; one that does not answer is a problem of its instances alone.

    Raises its error where no backend answers.
    """
    found: dict[InstanceName, Process] = {}
    errors: dict[InstanceName, OcmError] = {}
    for name, seen in context.observe(names, records).items():
        if isinstance(seen, OcmError):
            errors[name] = seen
        else:
            found[name] = seen
    for name, error in errors.items():
        if not found:
            raise error
        problems.setdefault(name, error.message)
        records.pop(name, None)
        found[name] = Process(activity="stopped", installed=False, autostart=False)
    return found


def _backups(context: Context, records: Mapping[InstanceName, Record]) -> dict[str, Backups]:
    """Return the scheduled backups of those instances that have any."""
    timers = context.timers(records)
    looked = {name: look(context, records[name], timer) for name, timer in timers.items()}
    return {name: found for name, found in looked.items() if found is not None}


def _read_records(
    context: Context, names: tuple[InstanceName, ...]
) -> tuple[dict[InstanceName, Record], dict[InstanceName, str]]:
    records: dict[InstanceName, Record] = {}
    problems: dict[InstanceName, str] = {}
    for name in names:
        try:
            record = read_record(context.host.paths, name)
            context.on(record.backend)
            records[name] = record
        except OcmError as error:
            problems[name] = error.message
    return records, problems


def _row(record: Record, process: Process, answer: Answer, heard: Listener | None) -> Row:
    stranger = heard if heard is not None and not _is_own(heard, process) else None
    now = time.time()
    verdict = judge(process, answer, port=record.port, stranger=stranger, now=now)
    if not process.installed:
        verdict = Health(state=State.FAILED, reason=f"no definition: ocm start {record.name} writes it")
    running = process.pid is not None and process.since is not None
    return Row(
        name=record.name,
        state=verdict.state.value,
        reason=verdict.reason,
        port=record.port,
        version=verdict.version or _installed_version(record.runtime.openclaw),
        autostart=process.autostart,
        backend=record.backend,
        isolation="sealed" if record.sealed else "unsealed",
        pid=process.pid,
        restarts=process.restarts,
        uptime_seconds=now - process.since if running and process.since is not None else None,
    )


def _is_own(heard: Listener, process: Process) -> bool:
    if heard.pid is None or process.pid is None:
        return False
    return processes.is_same_or_below(heard.pid, process.pid)


@functools.cache
def _installed_version(package: str) -> str | None:
    try:
        return package_version(PurePosixPath(package))
    except OcmError:
        return None


def _broken_row(name: InstanceName, process: Process, problem: str) -> Row:
    return Row(
        name=name,
        state=State.FAILED.value,
        reason=problem,
        port=None,
        version=None,
        autostart=process.autostart,
        backend=None,
        isolation=None,
        pid=process.pid,
        restarts=process.restarts,
        uptime_seconds=None,
        problem=problem,
    )


def selected(context: Context, names: tuple[InstanceName, ...]) -> tuple[InstanceName, ...]:
    """Return `names`, or every instance where there are none; raise `OcmError` for an unknown one."""
    known = instance_names(context.host.paths)
    for name in names:
        if name not in known:
            raise unknown_instance(name, known)
    return names or known


def status(context: Context, name: InstanceName) -> Status:
    """Return everything about one instance; `OcmError` where there is none."""
    paths = context.host.instance(name)
    record = read_record(context.host.paths, name)
    (row,) = observe(context, (name,))
    process = context.backend.observe([name])[name]
    memory, seconds = process.memory_bytes, process.cpu_seconds
    if row.pid is not None and (memory is None or seconds is None):
        # Where the backend keeps no account, the kernel does.
        memory, seconds = processes.memory_and_cpu(row.pid)
    return Status(
        row=row,
        url=f"http://127.0.0.1:{record.port}/",
        memory_bytes=memory,
        cpu_seconds=seconds,
        node=record.runtime.node,
        openclaw=record.runtime.openclaw,
        limits=_limits_in_words(record.limits),
        expose=record.expose,
        firewall=rules_in_words(context.host, record),
        backups=_backups(context, {name: record}).get(name),
        paths={
            "state": str(paths.state),
            "config": str(paths.config),
            "link": str(paths.config_link),
            "record": str(paths.record),
            "definition": str(context.definition(name, record).path),
        },
        gaps=_gaps(context, process, record),
        drift=tuple(map(str, drift(context, name, record, process))),
        notes=(*context.backend.notes(), *_sandbox_note(record)),
    )


def _limits_in_words(limits: Limits) -> str:
    memory, cpus = limits.memory or "unlimited", limits.cpus or "unlimited"
    return f"memory {memory}, cpus {cpus}, tasks {limits.tasks}"


def _gaps(context: Context, process: Process, record: Record) -> tuple[str, ...]:
    """Return what the policy asks for and this machine cannot enforce."""
    if not record.sealed:
        return ("there is no sandbox: this instance reaches all that you reach",)
    shared = "the network is shared with loopback and abstract sockets: what listens there can be reached"
    return (shared, *context.backend.gaps(record, process))


def _sandbox_note(record: Record) -> tuple[str, ...]:
    if record.docker and Path(DOCKER_SOCKET).exists():
        return ()
    return (
        "OpenClaw would run sessions other than main in Docker, which is out of reach here: they fail closed",
    )


class Drift(NamedTuple):
    """What is otherwise than the record asks for, a word for its kind, and what a person types about it."""

    kind: str
    what: str
    mend: str | None = None

    def __str__(self) -> str:
        """Return it as one line."""
        return self.what if self.mend is None else f"{self.what}: {self.mend}"


def drift(context: Context, name: InstanceName, record: Record, process: Process) -> Iterator[Drift]:
    """Yield in what an instance differs from its record, on disk and in the eyes of its backend."""
    paths = context.host.instance(name)
    yield from _definition_drift(context, name, record)
    backend = context.backend.name
    if process.autostart is not record.autostart:
        word = "enable" if record.autostart else "disable"
        what = f"the record and {backend} differ on starting with the machine"
        yield Drift("autostart", what, f"ocm {word} {name} settles it")
    if process.changed_on_disk:
        yield Drift("unread", f"{backend} has not read the definition as it is now", f"ocm restart {name}")
    for override in process.overrides:
        yield Drift("override", f"a drop-in changes the definition: {override}")
    for fault in timer_faults(context, name, record):
        yield Drift("timer", fault, f"ocm start {name} mends it")
    if files.link_target(paths.config_link) != str(paths.config):
        yield Drift("link", f"{paths.config_link} is no longer the link to the config")
    try:
        config = read_config(paths)[1]
        for weakness in weakened(config, port=record.port, expose=record.expose):
            yield Drift("config", weakness)
    except (OcmError, OSError) as error:
        yield Drift("config", f"the config cannot be read: {error}")


def _definition_drift(context: Context, name: InstanceName, record: Record) -> Iterator[Drift]:
    wanted = context.definition(name, record)
    data = files.read_own(wanted.path)
    text = data.decode(errors="replace") if data is not None else None
    if text is None:
        yield Drift("missing", f"the definition {wanted.path} is missing", f"ocm start {name} writes it")
    elif is_edited(text):
        mend = f"ocm start {name} --repair writes it anew"
        yield Drift("edited", "the definition was edited by hand", mend)
    elif text != wanted.text:
        yield Drift("old", "the definition is older than the record or this ocm", f"ocm restart {name}")
