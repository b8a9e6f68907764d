"""`ocm list`, `health` and `status`: observed now, never remembered."""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import unknown_instance
from openclaw_ocm.core.releases import channel_of, is_newer
from openclaw_ocm.core.sandbox.shown import in_words
from openclaw_ocm.core.status import Activity, Process, State
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.history import last_change
from openclaw_ocm.instances.instance import context_of, observed, open_all, open_instance
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.operations.planning.timers import look
from openclaw_ocm.operations.planning.upgrading import look_at_upgrades
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.newest import read_newest
from openclaw_ocm.system.machine.boxes import has_boxes
from openclaw_ocm.system.openclaw.package import package_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.record import Limits, Record
    from openclaw_ocm.core.status import Health
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.history import HistoryEntry
    from openclaw_ocm.instances.instance import Instance, Opened
    from openclaw_ocm.operations.planning.timers import Backups
    from openclaw_ocm.operations.planning.upgrading import Upgrades
    from openclaw_ocm.system.kept.newest import Newest

# It is not ready by then only where something keeps it.
_SOME_SECONDS = 20.0
_NOT_YET = (State.STARTING, State.FAILED)
# Of one of which nothing is known.
_UNKNOWN = Process(activity=Activity.STOPPED, installed=False, autostart=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One instance at a glance; `problem` says what is wrong with its record where it cannot be read.

    `newest` is what npm's registry had on its channel when it was `asked` last, in seconds since the epoch.

    `isolation` is sealed or unsealed, `backup` and `upgrade` what is wrong with scheduled ones, `boxes`
    whether tools of sessions other than main have boxes, `agent` what keeps its agent from answering: `list`
    does not look.
    """

    name: str
    state: str
    reason: str | None
    port: int | None
    version: str | None
    newest: str | None = None
    asked: float | None = None
    outdated: bool | None = None
    autostart: bool
    backend: str | None
    isolation: str | None
    network: Kind | None
    pid: int | None
    restarts: int
    uptime_seconds: float | None
    problem: str | None = None
    backup: str | None = None
    upgrade: str | None = None
    boxes: bool | None = None
    agent: str | None = None

    @property
    def unhealthy(self) -> bool:
        """Tell whether the instance should be ready and is not."""
        should_run = self.autostart or self.state != State.STOPPED
        broken = any(wrong is not None for wrong in (self.problem, self.backup, self.upgrade))
        return broken or (should_run and self.state != State.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything about one instance; `backups` and `upgrades` are None where none are scheduled.

    `last_change` is None where the history tells of none.
    """

    row: Row
    url: str
    memory_bytes: int | None
    cpu_seconds: float | None
    node: str
    openclaw: str
    limits: str
    expose: tuple[str, ...]
    allow: tuple[str, ...]
    variables: Mapping[str, str]
    mounts: tuple[str, ...]
    firewall: str
    backups: Backups | None
    upgrades: Upgrades | None
    last_change: HistoryEntry | None
    paths: Mapping[str, str]
    gaps: tuple[str, ...]
    drift: tuple[str, ...]
    notes: tuple[str, ...]


def observe(context: Context, names: tuple[InstanceName, ...], *, agents: bool = False) -> tuple[Row, ...]:
    """Return a row for each instance: one call to each backend, one pass over ports, health in parallel.

    With `agents` it tells what keeps them from answering as well.

    A backend that does not answer is a problem of its instances alone; raises its error where none answers.
    """
    opened = open_all(context, names)
    seen = observed(opened.instances.values())
    if seen.broken and not seen.instances and not opened.broken:
        raise next(iter(seen.broken.values()))
    return rows(context, names, opened, seen, agents=agents)


def rows(
    context: Context, names: tuple[InstanceName, ...], opened: Opened, seen: Opened, *, agents: bool = False
) -> tuple[Row, ...]:
    """Return a row for each of the instances that were `opened` and `seen`, broken ones too."""
    judged = verdicts(seen.instances.values())
    obstacles = _agent_obstacles(seen) if agents else {}
    newest, _refused = read_newest(context.host.paths)
    found = {}
    for name, one in seen.instances.items():
        try:
            found[name] = _row(one, judged[name], obstacles.get(name), newest)
        except OcmError as error:
            found[name] = _broken_row(name, error, one.process)
    found |= {name: _broken_row(name, error, _known(context, name)) for name, error in opened.broken.items()}
    found |= {name: _broken_row(name, error, _UNKNOWN) for name, error in seen.broken.items()}
    return tuple(found[name] for name in names)


def _agent_obstacles(seen: Opened) -> dict[InstanceName, str | None]:
    # The list is to begin at once, and never needs them.
    from openclaw_ocm.operations.planning.able import agent_obstacle

    return {name: agent_obstacle(one) for name, one in seen.instances.items()}


def _known(context: Context, name: InstanceName) -> Process:
    """Return what is known of the process of an instance whose record cannot be read."""
    with contextlib.suppress(OcmError):
        return context_of(context, name).backend.observe([name])[name]
    return _UNKNOWN


def _row(one: Instance, verdict: Health, agent: str | None, newest: Mapping[str, Newest]) -> Row:
    backups, upgrades = look(one), look_at_upgrades(one)
    record, process = one.record, one.process
    have = installed_version(record.runtime.openclaw)
    known = None if have is None else newest.get(channel_of(have))
    running = process.run is not None and process.since is not None
    return Row(
        name=one.name,
        state=verdict.state.value,
        reason=f"{verdict.reason}: ocm port {one.name} takes another" if verdict.taken else verdict.reason,
        port=record.port,
        version=verdict.version or have,
        newest=None if known is None else known.version,
        asked=None if known is None else known.asked,
        # By what is installed: a gateway may say of itself what it likes.
        outdated=None if known is None or have is None else is_newer(known.version, have),
        autostart=process.autostart,
        backend=record.backend,
        isolation="sealed" if record.sealed else "unsealed",
        network=record.network if record.sealed else "shared",
        pid=process.pid,
        restarts=process.restarts,
        uptime_seconds=time.time() - process.since if running and process.since is not None else None,
        backup=None if backups is None else backups.problem,
        upgrade=None if upgrades is None else upgrades.problem,
        boxes=has_boxes(record),
        agent=agent,
    )


@functools.cache
def installed_version(package: str) -> str | None:
    """Return the version of an OpenClaw by its package directory, None where that cannot be read."""
    try:
        return package_version(PurePosixPath(package))
    except OcmError:
        return None


def _broken_row(name: InstanceName, error: OcmError, process: Process) -> Row:
    return Row(
        name=name,
        state=State.FAILED.value,
        reason=error.message,
        port=None,
        version=None,
        autostart=process.autostart,
        backend=None,
        isolation=None,
        network=None,
        pid=process.pid,
        restarts=process.restarts,
        uptime_seconds=None,
        problem=error.message,
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
    from openclaw_ocm.operations.planning.able import ability
    from openclaw_ocm.operations.planning.agents import behind_source, others_closed
    from openclaw_ocm.operations.planning.drift import drift
    from openclaw_ocm.operations.planning.guard import rules_in_words

    worker = open_instance(context, name)
    record, paths = worker.record, worker.paths
    memory, seconds = worker.use()
    backups, upgrades = look(worker), look_at_upgrades(worker)
    able = ability(worker)
    newest, refused = read_newest(worker.host.paths)
    row = _row(worker, verdicts([worker])[name], able.agent, newest)
    return Status(
        row=row,
        url=_url(worker),
        memory_bytes=memory,
        cpu_seconds=seconds,
        node=record.runtime.node,
        openclaw=record.runtime.openclaw,
        limits=_limits_in_words(record.limits),
        expose=record.expose,
        allow=record.allow if record.isolated else (),
        variables=record.environment,
        mounts=tuple(map(in_words, record.mounts)),
        firewall=rules_in_words(worker.host, record),
        backups=backups,
        upgrades=upgrades,
        last_change=last_change(context.host.paths, name),
        paths={
            "state": str(paths.state),
            "config": str(paths.config),
            "link": str(paths.config_link),
            "record": str(paths.record),
            "definition": str(worker.definition.path),
        },
        gaps=_gaps(worker),
        drift=tuple(map(str, drift(worker))),
        notes=(
            *worker.backend.notes(),
            *_lease_note(worker, row),
            *_sandbox_note(record),
            *able.notes,
            *others_closed(worker, row.agent),
            *behind_source(worker),
            *_browser_notes(worker),
            *(f"{error.message}: {error.hint}" for error in refused),
        ),
    )


def _lease_note(worker: Instance, row: Row) -> Iterator[str]:
    """Yield for what a gateway waits that began some time ago and is not ready."""
    from openclaw_ocm.core.openclaw.leases import in_words
    from openclaw_ocm.instances.leases import awaited_lease
    from openclaw_ocm.system.host import local_zone

    if row.state in _NOT_YET and (row.uptime_seconds or 0.0) > _SOME_SECONDS:
        lease = awaited_lease(worker)
        if lease is not None:
            yield f"it {in_words(lease, local_zone())}"


def _url(worker: Instance) -> str:
    """Return where a gateway is reached: by those that it is exposed to, or else from this machine."""
    from openclaw_ocm.operations.planning.pages import page_here, pages_elsewhere

    elsewhere = pages_elsewhere(worker.config, worker.record)
    return next(iter(elsewhere.values()), page_here(worker.config, worker.record))


def _limits_in_words(limits: Limits) -> str:
    memory, cpus = limits.memory or "unlimited", limits.cpus or "unlimited"
    return f"memory {memory}, cpus {cpus}, tasks {limits.tasks}"


def _gaps(worker: Instance) -> tuple[str, ...]:
    """Return what the policy asks for and this machine cannot enforce."""
    if not worker.record.sealed:
        return ("there is no sandbox: this instance reaches all that you reach",)
    shared = "the network is shared with loopback and abstract sockets: what listens there can be reached"
    network = () if worker.record.isolated else (shared,)
    return (*network, *_boxes_gap(worker.record), *worker.backend.gaps(worker.record, worker.process))


def _boxes_gap(record: Record) -> tuple[str, ...]:
    if record.docker or has_boxes(record) is not False:
        return ()
    return ("bubblewrap is not installed: tools of sessions other than main (chats, cron jobs) fail closed",)


def _browser_notes(worker: Instance) -> tuple[str, ...]:
    from openclaw_ocm.operations.planning.browser import browser_findings

    return tuple(f"{found.problem}: {found.mend}" for found in browser_findings(worker))


def _sandbox_note(record: Record) -> tuple[str, ...]:
    if record.makes_boxes or has_boxes(record) is not False:
        return ()
    return (
        "OpenClaw would run sessions other than main in Docker, which is out of reach here: they fail closed",
    )
