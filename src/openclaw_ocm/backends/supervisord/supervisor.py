"""The supervisord backend: gateways as programs of a supervisord of OCM's own, sealed by bubblewrap."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from openclaw_ocm.backends.definition import Definition, fingerprint
from openclaw_ocm.backends.local import LocalBackend
from openclaw_ocm.backends.protocol import Session, is_ours
from openclaw_ocm.backends.supervisord import places, sessions
from openclaw_ocm.backends.supervisord.bubblewrap import (
    OUTSIDE,
    PROC,
    Entrance,
    entry_argv,
    limited_argv,
    namespace_arguments,
    sandbox_argv,
    with_network,
)
from openclaw_ocm.backends.supervisord.daemon import Daemon
from openclaw_ocm.backends.supervisord.log import read_log
from openclaw_ocm.backends.supervisord.program import (
    LOG_BACKUPS,
    gateway_command,
    render_daemon,
    render_program,
)
from openclaw_ocm.backends.supervisord.timers import SupervisordTimers
from openclaw_ocm.core.needs import Need
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.sandbox.launch import BWRAP, ENV, clean, on_own_terminal, under_tool_host
from openclaw_ocm.core.status import Activity, Process, signal_in
from openclaw_ocm.errors import NotRunning, OcmError, UnreadableFile
from openclaw_ocm.system import files, processes, programs
from openclaw_ocm.system.host import namespaces_forbidden
from openclaw_ocm.system.kept.names import names_in
from openclaw_ocm.system.packages import as_root
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.supervisord.daemon import Seen
    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.paths import HostPaths, InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 30.0
_STOP_SECONDS = STOP_TIMEOUT_SECONDS + 60.0


@dataclass(frozen=True, kw_only=True)
class Supervisord(LocalBackend):
    """The supervisord that OCM runs for the user of `host`; it is started when it is needed."""

    name: ClassVar[BackendName] = "supervisord"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NAMESPACES, Need.BUBBLEWRAP, Need.BOXES})

    def timers(self, purpose: Purpose = Purpose.BACKUP) -> SupervisordTimers:
        """Return what has scheduled backups made, or upgrades."""
        return SupervisordTimers(host=self.host, purpose=purpose)

    def answers(self) -> bool:
        """Tell whether supervisor is installed: OCM depends on it and starts it."""
        return importlib.util.find_spec("supervisor") is not None

    def check(self, *, sealed: bool) -> None:
        """Raise `OcmError` where this machine cannot run or seal an instance, with what mends it."""
        from openclaw_ocm.system.machine.lacking import check_bubblewrap, check_programs

        render_daemon(self._paths, user=None)
        check_programs()
        if not sealed:
            return
        check_bubblewrap()
        from openclaw_ocm.system.seccomp import check_library

        check_library()
        if "Unknown option" in (self._refused or ""):
            hint = "Debian 12 and newer have it"
            raise OcmError("bubblewrap is older than 0.8", hint=hint, code="bubblewrap_too_old")
        if self._refused is not None:
            mend = namespaces_forbidden()
            allow = f"{as_root(f'sysctl -w {mend}')} allows them; " if mend is not None else ""
            raise OcmError(
                f"this machine forbids what a sandbox is made of: {self._refused}",
                hint=f"{allow}--unsealed accepts running without a sandbox",
                code="namespaces_forbidden",
            )

    @functools.cached_property
    def _refused(self) -> str | None:
        """What bwrap says when it is to make a sandbox here, None where it makes one."""
        made_of = (*namespace_arguments(), "--ro-bind", "/", "/", *PROC)
        command = Command(argv=(BWRAP, *made_of, "--", "/usr/bin/true"), timeout_seconds=_CHECK_SECONDS)
        done = self.host.runner.run(command, check=False)
        if done.returncode == 0:
            return None
        return " ".join(done.stderr.split()) or f"bwrap ended with exit status {done.returncode}"

    def gaps(self, record: Record, process: Process) -> tuple[str, ...]:  # noqa: ARG002 - they always bind
        """Return what the record asks for and cannot be enforced without control groups."""
        gaps = []
        if record.limits.memory is not None or record.limits.cpus is not None:
            gaps.append("without control groups of its own supervisord does not bind memory and CPU")
        if self.host.uid == 0:
            gaps.append("the limit of tasks does not bind root")
            gaps.append(
                "as root, what root alone may read below /etc is covered when the instance starts: a file "
                "that is made or replaced after that is not"
            )
        return tuple(gaps)

    def notes(self) -> tuple[str, ...]:
        """Say what ends the gateways, and what starts them again."""
        ends = "instances end with this container or machine: `ocm supervise` starts the enabled ones"
        gone = self._daemon.gone()
        if gone is None:
            return (ends,)
        hint = "ocm stop --all, then ocm start --all, has this ocm run it"
        return (ends, f"supervisord runs by {gone}, which is gone: {hint}")

    def definition(self, record: Record, policy: Policy) -> Definition:
        """Return the program file that the record asks for."""
        paths = self._paths.instance(record.name)
        command = gateway_command(
            paths, record, policy, entrance=self._entrance(policy), covers=_covers(policy)
        )
        return Definition(
            path=places.program(paths), text=render_program(paths, command, sealed=record.sealed)
        )

    def written(self, paths: InstancePaths) -> tuple[PurePosixPath, ...]:
        """Return the files that are written for an instance."""
        return places.written(paths)

    def definition_path(self, name: InstanceName) -> PurePosixPath:
        """Return the path of the instance's program file."""
        return places.program(self.host.instance(name))

    def defined(self) -> tuple[InstanceName, ...]:
        """Return the instances with a program file that OCM made, or with the mark of one that is gone."""
        programs = places.programs(self._paths)
        made = [
            name
            for name in names_in(programs, suffix=".conf")
            if is_ours(places.program(self.host.instance(name)))
        ]
        marked = [name for name in names_in(programs / "enabled") if self._read(name) is None]
        return tuple(dict.fromkeys((*made, *marked)))

    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:
        """Yield where supervisord runs the gateway by another definition than the one on disk."""
        program = places.program(self.host.instance(name))
        if process.definition is None and process.pid is None:
            # It is not up, or has not been told of one that was never started.
            return
        if process.definition != str(program):
            yield f"supervisord runs {process.definition} and not {program}"
        elif process.changed_on_disk:
            yield f"the gateway runs by an older definition than {program}"

    def load(self, names: Collection[InstanceName]) -> None:
        """Have supervisord read definitions; one that does not run reads them when it starts.

        With a definition that is gone goes all that was kept for it, and with the last one supervisord.
        """
        gone = [name for name in names if self._read(name) is None]
        there = [name for name in names if name not in gone]
        if names:
            with self._daemon.lock(), contextlib.suppress(NotRunning):
                self._daemon.forget(gone)
                self._daemon.take_up(there)
        for name in gone:
            paths = self.host.instance(name)
            for path in (places.enabled(paths), *_output_files(paths)):
                files.remove_file(path)
        if gone:
            self._daemon.retire()

    def remove(self, names: Collection[InstanceName]) -> None:
        """Remove program files, and with each its mark and its log."""
        for name in names:
            files.remove_file(places.program(self.host.instance(name)))
        self.load(names)

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        """Return what is known of each gateway; all are stopped where supervisord does not run."""
        if not names:
            return {}
        seen: dict[str, Seen] = {}
        with contextlib.suppress(NotRunning):
            seen = self._daemon.observe()
        return {name: _process(self.host.instance(name), seen.get(name)) for name in names}

    def start(self, names: Collection[InstanceName]) -> None:
        """Start gateways by their definitions as they are now, before them supervisord if it does not run."""
        if not names:
            return
        with self._daemon.lock():
            self._daemon.ensure()
            self._daemon.take_up(names)
        for name in names:
            self._daemon.start(name)

    def stop(self, names: Collection[InstanceName]) -> None:
        """Stop gateways, and return once they are down."""
        with contextlib.suppress(NotRunning):
            for name in names:
                self._daemon.stop(name)
            deadline = time.monotonic() + _STOP_SECONDS
            while late := self._alive() & set(names):
                if time.monotonic() > deadline:
                    message = f"not stopped within {_STOP_SECONDS:g} s: {', '.join(sorted(late))}"
                    raise OcmError(message, code="timeout")
                time.sleep(_POLL_SECONDS)

    def _alive(self) -> set[str]:
        return {name for name, seen in self._daemon.observe().items() if seen.pid is not None}

    def kill(self, names: Collection[InstanceName]) -> tuple[InstanceName, ...]:
        """Kill those gateways that are being stopped and take their time; return which."""
        late: tuple[InstanceName, ...] = ()
        with contextlib.suppress(NotRunning):
            seen = self._daemon.observe()
            late = tuple(name for name in names if name in seen and seen[name].activity is Activity.STOPPING)
            for name in late:
                self._daemon.kill(name)
        return late

    def stop_sessions(self, names: Collection[InstanceName]) -> None:
        """Stop every session in the sandboxes of `names`."""
        if names:
            sessions.stop_sessions([self._paths.instance(name) for name in names])

    def in_session(self) -> tuple[InstanceName, ...]:
        """Return the instances, with a record or without, in whose sandboxes sessions are."""
        return sessions.in_session(self._paths)

    def enable(self, names: Collection[InstanceName]) -> None:
        """Have gateways start with supervisord."""
        for name in names:
            files.write_file(places.enabled(self.host.instance(name)), b"")

    def disable(self, names: Collection[InstanceName]) -> None:
        """Have gateways no longer start with supervisord."""
        for name in names:
            files.remove_file(places.enabled(self.host.instance(name)))

    def session(
        self,
        record: Record,
        policy: Policy,
        program: tuple[str, ...],
        *,
        environ: Mapping[str, str],
        terminal: bool,
    ) -> Session:
        """Return the command that runs `program` in a sandbox like the gateway's, with its files and /tmp."""
        from openclaw_ocm.system.machine.lacking import check_bubblewrap, check_programs

        check_programs()
        paths = self._paths.instance(record.name)
        token = sessions.new_token(paths)
        outer = {sessions.VARIABLE: token}
        if record.sealed:
            check_bubblewrap()
            from openclaw_ocm.system.seccomp import make_filters

            make_filters(places.filters(self._paths), policy.address_families, hosting=True)
            sandbox = sandbox_argv(policy, covers=_covers(policy), directory=paths.state)
            program = on_own_terminal(program) if terminal else program
            program = under_tool_host(paths, record, program, *OUTSIDE)
            limited = limited_argv(clean(environ, program))
            sealed = with_network(paths, record, (*sandbox, *limited), gateway=False)
            argv = entry_argv(self._entrance(policy), sealed, variables=outer)
        else:
            argv = (ENV, f"--chdir={paths.state}", *clean({**environ, **outer}, program))
        return Session(argv=_on_terminal(argv, environ, outer) if terminal else argv, token=token)

    def signal_session(self, token: str, number: int) -> None:
        """Send a signal to the program of a session."""
        sessions.signal_session(token, number)

    def log(
        self, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
    ) -> Iterator[Entry]:
        """Yield what the gateway printed and what supervisord says of it, oldest first."""
        return read_log(self.host.instance(name), lines=lines, follow=follow, since=since)

    def foreground_argv(self) -> tuple[str, ...]:
        """Return the command that is supervisord in the foreground; raises `OcmError` where one runs."""
        return self._daemon.foreground_argv()

    @property
    def _daemon(self) -> Daemon:
        return Daemon(host=self.host)

    @property
    def _paths(self) -> HostPaths:
        return self.host.paths

    def _entrance(self, policy: Policy) -> Entrance:
        from openclaw_ocm.system.seccomp import filters

        return Entrance(
            program=programs.text("enter_sandbox.pl"),
            filters=filters(places.filters(self._paths), policy.address_families, hosting=True),
        )

    def _read(self, name: InstanceName) -> bytes | None:
        return _read_program(self.host.instance(name))


def _covers(policy: Policy) -> dict[PurePosixPath, bool]:
    """Return which hidden paths are there to be covered, and which of them are directories."""
    # Not Path.exists(), which raises below a directory that is closed.
    return {path: os.path.isdir(path) for path in policy.hidden if os.path.exists(path)}  # noqa: PTH110, PTH112


def _on_terminal(
    argv: tuple[str, ...], environ: Mapping[str, str], outer: Mapping[str, str]
) -> tuple[str, ...]:
    """Return `argv` run on a terminal of its own, so that nothing inside ever holds the caller's."""
    shell = {"SHELL": "/bin/sh", "TERM": environ.get("TERM", "dumb"), **outer}
    return clean(shell, ("/usr/bin/script", "-qec", f"exec {shlex.join(argv)}", "/dev/null"))


def _output_files(paths: InstancePaths) -> tuple[PurePosixPath, ...]:
    output = places.output(paths)
    rotated = (output.with_name(f"{output.name}.{number}") for number in range(1, LOG_BACKUPS + 1))
    return (output, *rotated)


def _process(paths: InstancePaths, seen: Seen | None) -> Process:
    data = _read_program(paths)
    installed, autostart = data is not None, Path(places.enabled(paths)).exists()
    if seen is None:
        return Process(activity=Activity.STOPPED, installed=installed, autostart=autostart)
    pid = seen.pid
    if pid is not None and data is not None and BWRAP.encode() in data:
        pid = _first_inside(pid)
    number = -seen.code if seen.code is not None and seen.code < 0 else signal_in(seen.code)
    begins = seen.queued or (seen.pid is not None and pid is None)
    return Process(
        activity=Activity.STARTING if begins else seen.activity,
        queued=seen.queued,
        installed=installed,
        autostart=autostart,
        pid=pid,
        exit_status=seen.code if number is None else None,
        killed_by=number,
        result="start-limit-hit" if seen.gave_up else "success",
        restarts=seen.restarts,
        since=seen.since,
        changed_on_disk=data is not None and seen.loaded != fingerprint(data),
        definition=str(places.program(paths)),
    )


def _read_program(paths: InstancePaths) -> bytes | None:
    """Return a definition, None where there is none; one that cannot be read is there, whatever it says."""
    try:
        return files.read_own(places.program(paths))
    except UnreadableFile:
        return b""


def _first_inside(pid: int) -> int | None:
    """Return the first process in the sandbox that `pid` makes, None while it has made none."""
    if processes.command_name(pid) != Path(BWRAP).name:
        return None
    return next(iter(processes.children(pid)), None)
