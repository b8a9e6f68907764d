"""A backend that keeps gateways in memory, for tests of all that stands above backends.

It is a third backend as any other would be: `REGISTERED` is its line in the registry, this module its folder.
Definitions lie on disk, where OCM writes them; a session is a real process; a gateway is an entry in `World`.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from openclaw_ocm.backends.definition import Definition, fingerprint, signed
from openclaw_ocm.backends.protocol import Session, is_ours, scheduled_argv
from openclaw_ocm.backends.supervisord import sessions
from openclaw_ocm.core.backup.schedule import Timer, dues, parse_rule
from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.sandbox.launch import ENV, clean
from openclaw_ocm.core.status import CONFIG_ERROR, Activity, Answer, Listener, Process, signal_in
from openclaw_ocm.errors import CommandFailed
from openclaw_ocm.system import files, processes
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.names import names_in
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.needs import Need
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.errors import OcmError
    from openclaw_ocm.system.host import Host

NAME = "fake"
REGISTERED = f"{__name__}:Fake"
READY = Answer(ready=True, phase="started", version="2026.9.6")
# What ends a gateway's script at once, where it has one.
_ENDS = re.compile(r"exit ([0-9]+)\s*\Z")
# What has it go on although it is asked to stop.
_DEAF = "trap '' TERM"
# Above what Linux gives to a process.
_FIRST_PID = 2**23


@dataclass(kw_only=True)
class Gateway:
    """One gateway, and the definition that was taken up for it."""

    activity: Activity = Activity.STOPPED
    pid: int | None = None
    exit_status: int | None = None
    since: float | None = None
    restarts: int = 0
    loaded: str | None = None


@dataclass(kw_only=True)
class World:
    """All that the fake knows of one home, and what is to go wrong there.

    `calls` are the methods that were called, with the instances; `failing` raise their error when they are;
    `refused` cannot be started at all; `exits` end at once with a status; `answers` say something else than
    that they are ready; `queued` wait for their turn; `violations` is what changes a sandbox from outside,
    `unproved` what a proof finds; `strangers` listen in the place of gateways, by their ports;
    `volumes` are states that lie elsewhere.
    """

    gateways: dict[InstanceName, Gateway] = field(default_factory=dict)
    enabled: set[InstanceName] = field(default_factory=set)
    timers: dict[tuple[InstanceName, Purpose], str] = field(default_factory=dict)
    entries: dict[InstanceName, list[tuple[float, Entry]]] = field(default_factory=dict)
    more: threading.Condition = field(default_factory=threading.Condition)
    pids: Iterator[int] = field(default_factory=lambda: itertools.count(_FIRST_PID))
    calls: list[tuple[str, tuple[InstanceName, ...]]] = field(default_factory=list)
    failing: dict[str, OcmError] = field(default_factory=dict)
    refused: set[InstanceName] = field(default_factory=set)
    exits: dict[InstanceName, int] = field(default_factory=dict)
    answers: dict[InstanceName, Answer] = field(default_factory=dict)
    queued: set[InstanceName] = field(default_factory=set)
    violations: dict[InstanceName, tuple[str, ...]] = field(default_factory=dict)
    unproved: dict[InstanceName, tuple[str, ...]] = field(default_factory=dict)
    strangers: dict[int, Listener] = field(default_factory=dict)
    volumes: dict[InstanceName, PurePosixPath] = field(default_factory=dict)
    foreground: tuple[str, ...] | None = None

    def tell(self, name: InstanceName, source: str, message: str) -> None:
        """Log a line."""
        now = time.time()
        stamp = datetime.fromtimestamp(now, tz=timezone.utc).isoformat(timespec="milliseconds")
        with self.more:
            self.entries.setdefault(name, []).append((now, Entry(time=stamp, source=source, message=message)))
            self.more.notify_all()

    def entry(self, name: InstanceName, index: int) -> Entry:
        """Return the line of a log with that index, once it is there."""
        with self.more:
            self.more.wait_for(lambda: len(self.entries.get(name, [])) > index)
            return self.entries[name][index][1]

    def answer(self, name: InstanceName) -> Answer:
        """Return what a gateway says of itself."""
        gateway = self.gateways.get(name)
        if gateway is None or gateway.pid is None:
            return Answer(problem="not listening yet")
        return self.answers.get(name, READY)


_WORLDS: dict[PurePosixPath, World] = {}


def world_of(host: Host) -> World:
    """Return what the fake knows of a host: the same for every backend that is made for it."""
    return _WORLDS.setdefault(host.paths.home, World())


@dataclass(frozen=True, kw_only=True)
class FakeTimers:
    """Scheduled backups and upgrades that are never made."""

    host: Host
    purpose: Purpose

    def check(self, every: str) -> None:
        parse_rule(every)

    def dues(self, every: str, after: float, count: int) -> tuple[float, ...]:
        return dues(parse_rule(every), after, local_zone(), count)

    def definitions(self, name: InstanceName, every: str) -> tuple[Definition, ...]:
        text = signed(f"{every} {' '.join(scheduled_argv(self.host, name, self.purpose))}\n")
        return (Definition(path=self._path(name), text=text),)

    def set(self, wanted: Mapping[InstanceName, str]) -> None:
        for name, every in wanted.items():
            for definition in self.definitions(name, every):
                files.write_file(definition.path, definition.text.encode())
                self._world.timers[name, self.purpose] = definition.text

    def clear(self, names: Collection[InstanceName]) -> None:
        for name in names:
            files.remove_file(self._path(name))
            self._world.timers.pop((name, self.purpose), None)

    def known(self) -> tuple[InstanceName, ...]:
        found = names_in(self._directory, suffix=".timer")
        return tuple(name for name in found if is_ours(self._path(name)))

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Timer]:
        return {name: self._timer(name) for name in names}

    def _timer(self, name: InstanceName) -> Timer:
        text = self._world.timers.get((name, self.purpose))
        if text is None:
            return Timer(active=False)
        data = files.read_own(self._path(name))
        return Timer(active=True, stale=data is None or data.decode() != text)

    def _path(self, name: InstanceName) -> PurePosixPath:
        return self._directory / f"{name}.timer"

    @property
    def _directory(self) -> PurePosixPath:
        return definitions(self.host) / self.purpose.value

    @property
    def _world(self) -> World:
        return world_of(self.host)


def definitions(host: Host) -> PurePosixPath:
    """Return the directory of the fake's definitions."""
    return host.paths.ocm_config / NAME


@dataclass(frozen=True, kw_only=True)
class Fake:
    """Keeps the gateways of `host` in memory."""

    name: ClassVar[BackendName] = NAME
    needs: ClassVar[frozenset[Need]] = frozenset()
    host: Host

    @property
    def world(self) -> World:
        return world_of(self.host)

    def timers(self, purpose: Purpose = Purpose.BACKUP) -> FakeTimers:
        self._called("timers")
        return FakeTimers(host=self.host, purpose=purpose)

    def answers(self) -> bool:
        return "answers" not in self.world.failing

    def check(self, *, sealed: bool) -> None:  # noqa: ARG002 - it seals nothing
        self._called("check")

    def gaps(self, record: Record, process: Process) -> tuple[str, ...]:  # noqa: ARG002 - always the same
        return ("a fake enforces nothing",)

    def notes(self) -> tuple[str, ...]:
        return ("a fake ends with the tests",)

    def definition(self, record: Record, policy: Policy) -> Definition:
        self._called("definition")
        asked = (record.name, record.port, record.sealed, record.limits, record.docker, record.runtime)
        text = signed("".join(f"{word}\n" for word in (*asked, record.environment, policy)))
        return Definition(path=self._path(record.name), text=text)

    def definition_path(self, name: InstanceName) -> PurePosixPath:
        return self._path(name)

    def written(self, paths: InstancePaths) -> tuple[PurePosixPath, ...]:
        return tuple(definitions(self.host) / f"{paths.name}.{kind}" for kind in ("gateway", "timer"))

    def defined(self) -> tuple[InstanceName, ...]:
        self._called("defined")
        found = names_in(definitions(self.host), suffix=".gateway")
        made = (name for name in found if is_ours(self._path(name)))
        return tuple(dict.fromkeys((*made, *(name for name in self.world.enabled if name not in found))))

    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:  # noqa: ARG002 - as injected
        self._called("violations", [name])
        yield from self.world.violations.get(name, ())

    def prove(self, gateway: Observed, policy: Policy) -> tuple[str, ...]:  # noqa: ARG002 - as injected
        name = gateway.record.name
        self._called("prove", [name])
        if gateway.process.run is None:
            return ("the gateway is not running",)
        found = (*self.world.violations.get(name, ()), *self.world.unproved.get(name, ()))
        return found if gateway.record.sealed else ()

    def ask(
        self,
        gateways: Collection[Observed],
        *,
        deadline_seconds: float,  # noqa: ARG002 - nobody is waited for
    ) -> dict[InstanceName, Answer]:
        names = [one.record.name for one in gateways]
        self._called("ask", names)
        return {name: self.world.answer(name) for name in names}

    def strangers(self, gateways: Collection[Observed]) -> dict[InstanceName, Listener]:
        self._called("strangers", [one.record.name for one in gateways])
        places = {one.record.name: one.record.port for one in gateways}
        taken = self.world.strangers
        return {name: taken[port] for name, port in places.items() if port in taken}

    def lives(self, process: Process) -> bool:
        self._called("lives")
        return process.run is not None

    def use(self, process: Process) -> tuple[int | None, float | None]:
        if process.pid is not None and process.memory_bytes is None:
            return processes.memory_and_cpu(process.pid)
        return process.memory_bytes, process.cpu_seconds

    def load(self, names: Collection[InstanceName]) -> None:
        self._called("load", names)
        for name in names:
            loaded = self._read(name)
            if loaded is None:
                self._forget(name)
            else:
                self._gateway(name).loaded = loaded

    def remove(self, names: Collection[InstanceName]) -> None:
        self._called("remove", names)
        for name in names:
            files.remove_file(self._path(name))
            self._forget(name)

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        self._called("observe", names)
        return {name: self._process(name) for name in names}

    def start(self, names: Collection[InstanceName]) -> None:
        self._called("start", names)
        for name in names:
            loaded = self._read(name)
            if loaded is None or name in self.world.refused:
                raise CommandFailed(f"{name} could not be started", returncode=1, stderr="")
            gateway = self._gateway(name)
            self.world.queued.discard(name)
            if gateway.activity not in (Activity.RUNNING, Activity.STARTING):
                gateway.loaded, gateway.restarts = loaded, 0
                self._run(name, gateway)

    def _run(self, name: InstanceName, gateway: Gateway) -> None:
        self.world.tell(name, NAME, "started")
        gateway.since = time.time()
        status = self.world.exits.get(name, self._scripted(name))
        if status is None:
            gateway.activity, gateway.pid = Activity.RUNNING, next(self.world.pids)
            self.world.tell(name, "gateway", "up")
        else:
            gateway.activity = Activity.FAILED if status == CONFIG_ERROR else Activity.WAITING
            gateway.exit_status = status
            self.world.tell(name, NAME, f"ended with {status}")

    def stop(self, names: Collection[InstanceName]) -> None:
        self._called("stop", names)
        self.world.queued -= set(names)
        for name in names:
            gateway = self.world.gateways.get(name)
            if gateway is None:
                continue
            if gateway.pid is not None:
                self.world.tell(name, "gateway", "down")
                self.world.tell(name, NAME, "stopped")
            if gateway.pid is not None and _DEAF in self._script(name):
                gateway.activity = Activity.STOPPING
                while gateway.pid is not None:
                    time.sleep(0.01)
            gateway.activity, gateway.pid, gateway.since = Activity.STOPPED, None, None

    def kill(self, names: Collection[InstanceName]) -> tuple[InstanceName, ...]:
        self._called("kill", names)
        late = tuple(name for name in names if self._gateway(name).activity is Activity.STOPPING)
        for name in late:
            self._gateway(name).pid = None
        return late

    def stop_sessions(self, names: Collection[InstanceName]) -> None:
        self._called("stop_sessions", names)
        if names:
            sessions.stop_sessions([self.host.instance(name) for name in names])

    def in_session(self) -> tuple[InstanceName, ...]:
        self._called("in_session")
        return sessions.in_session(self.host.paths)

    def enable(self, names: Collection[InstanceName]) -> None:
        self._called("enable", names)
        self.world.enabled |= set(names)

    def disable(self, names: Collection[InstanceName]) -> None:
        self._called("disable", names)
        self.world.enabled -= set(names)

    def volume(self, name: InstanceName) -> Directory:
        return Directory(self.world.volumes.get(name, self.host.instance(name).state))

    def session(
        self,
        record: Record,
        policy: Policy,  # noqa: ARG002 - nothing is sealed
        program: tuple[str, ...],
        *,
        environ: Mapping[str, str],
        terminal: bool,  # noqa: ARG002 - the caller's streams do
    ) -> Session:
        paths = self.host.instance(record.name)
        token = sessions.new_token(paths)
        argv = clean({**environ, sessions.VARIABLE: token}, program)
        return Session(argv=(ENV, f"--chdir={paths.state}", *argv), token=token)

    def signal_session(self, token: str, number: int) -> None:
        sessions.signal_session(token, number)

    def foreground_argv(self) -> tuple[str, ...] | None:
        self._called("foreground_argv")
        return self.world.foreground

    def log(
        self, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
    ) -> Iterator[Entry]:
        self._called("log", [name])
        kept = self.world.entries.get(name, [])
        told = len(kept)
        found = [entry for moment, entry in kept if since is None or moment >= since]
        yield from found[len(found) - lines if lines is not None and lines < len(found) else 0 :]
        while follow:
            yield self.world.entry(name, told)
            told += 1

    def _called(self, method: str, names: Collection[InstanceName] = ()) -> None:
        self.world.calls.append((method, tuple(names)))
        if method in self.world.failing:
            raise self.world.failing[method]

    def _path(self, name: InstanceName) -> PurePosixPath:
        return definitions(self.host) / f"{name}.gateway"

    def _read(self, name: InstanceName) -> str | None:
        data = files.read_own(self._path(name))
        return None if data is None else fingerprint(data)

    def _scripted(self, name: InstanceName) -> int | None:
        """Return the status with which a gateway's script ends at once, None where it goes on or has none."""
        ends = _ENDS.search(self._script(name))
        return int(ends[1]) if ends else None

    def _script(self, name: InstanceName) -> str:
        with contextlib.suppress(OSError):
            return Path(self.host.instance(name).state, "script").read_text()
        return ""

    def _gateway(self, name: InstanceName) -> Gateway:
        return self.world.gateways.setdefault(name, Gateway())

    def _forget(self, name: InstanceName) -> None:
        self.world.gateways.pop(name, None)
        self.world.entries.pop(name, None)
        self.world.enabled.discard(name)

    def _process(self, name: InstanceName) -> Process:
        gateway, on_disk = self.world.gateways.get(name, Gateway()), self._read(name)
        number = signal_in(gateway.exit_status)
        return Process(
            activity=Activity.STARTING if name in self.world.queued else gateway.activity,
            queued=name in self.world.queued,
            installed=on_disk is not None,
            autostart=name in self.world.enabled,
            pid=gateway.pid,
            exit_status=gateway.exit_status if number is None else None,
            killed_by=number,
            restarts=gateway.restarts,
            since=gateway.since,
            memory_bytes=2**20 if gateway.pid is not None else None,
            cpu_seconds=1.0 if gateway.pid is not None else None,
            changed_on_disk=gateway.loaded not in (None, on_disk),
            definition=str(self._path(name)),
        )
