"""Runs inside supervisord: starts gateways again, at its own start the enabled ones, and tells what it knows.

supervisord takes it by its own extension point, supervisor.rpcinterface_factory. Whatever goes wrong in here
is logged and must not end supervisord, which is the parent of every gateway.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
import traceback
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from supervisor import events
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

from openclaw_ocm.backends.definition import fingerprint
from openclaw_ocm.backends.supervisord.jobs import Jobs
from openclaw_ocm.backends.supervisord.places import SCHEDULES, TIMERS
from openclaw_ocm.backends.supervisord.restarts import (
    DELAY_SECONDS,
    History,
    activity,
    after_end,
    after_start,
)
from openclaw_ocm.backends.supervisord.turns import Turns, jobs_in, port_in
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.system import capacity

if TYPE_CHECKING:
    from collections.abc import Callable

_EXEC_SECONDS = 2.0
_STOPPABLE = (ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.BACKOFF)
# An object of supervisor's, which has no types.
Foreign: TypeAlias = Any


class Second:
    """An event that supervisord raises every second; its own shortest interval is five."""

    period = 1

    def __init__(self, when: float, supervisord: Foreign) -> None:
        self.when = when
        self.supervisord = supervisord


def make_interface(supervisord: Foreign) -> Supervision:
    """Return the RPC namespace `ocm` of a supervisord; its config names this function."""
    if Second not in events.TICK_EVENTS:
        events.TICK_EVENTS.append(Second)
    return Supervision(supervisord)


def _guarded(method: Callable[[Supervision, Foreign], None]) -> Callable[[Supervision, Foreign], None]:
    @functools.wraps(method)
    def guarded(self: Supervision, subject: Foreign) -> None:
        try:
            method(self, subject)
        except Exception:  # noqa: BLE001 - see the module
            self.log(f"error in {method.__name__}: {traceback.format_exc()}")

    return guarded


class Supervision:
    """What supervisord does of its own accord for each program, and the calls by which OCM steers it."""

    def __init__(self, supervisord: Foreign) -> None:
        self._supervisord = supervisord
        self._options = supervisord.options
        self._programs = Path(self._options.configfile).with_suffix("")
        self._histories: dict[str, History] = {}
        self._loaded: dict[str, str | None] = {}
        self._turns = Turns()
        self._ended: tuple[int, int] = (0, 0)
        state = PurePosixPath(self._options.pidfile).parent
        self._jobs = {
            purpose.value: Jobs(
                PurePosixPath(self._programs, SCHEDULES[purpose]),
                state / TIMERS[purpose],
                self.log,
                purpose,
            )
            for purpose in Purpose
        }
        self._remember_how_processes_end()
        for name in supervisord.process_groups:
            self._loaded[name] = self._definition(name)
        events.subscribe(events.ProcessStateStartingEvent, self.on_start)
        events.subscribe(events.ProcessStateExitedEvent, self.on_end)
        events.subscribe(events.ProcessStateFatalEvent, self.on_end)
        events.subscribe(events.ProcessGroupAddedEvent, self.on_load)
        events.subscribe(events.SupervisorRunningEvent, self.on_running)
        events.subscribe(events.SupervisorStoppingEvent, self.on_stopping)
        events.subscribe(Second, self.on_second)

    # The calls of RPC.

    def observe(self) -> list[dict[str, Any]]:
        """Return what is known of each program; what is not known is left out, for XML-RPC knows no None."""
        return [
            {key: value for key, value in self._seen(name).items() if value is not None}
            for name in self._supervisord.process_groups
        ]

    def start(self, name: str) -> str:
        """Start a program unless it runs, with a new history; return why that cannot be, or nothing."""
        process = self._process(name)
        if process is None:
            raise RPCError(Faults.BAD_NAME, name)
        if not process.pid:
            self._histories[name] = History()
            process.spawn()
        return process.spawnerr or ""

    def stop(self, name: str) -> bool:
        """Ask a program to stop, and forget its history; it is stopped once `observe` says so."""
        self._histories.pop(name, None)
        self._turns.over(name)
        process = self._process(name)
        if process is not None and process.get_state() in _STOPPABLE:
            _wait_for_exec(process.pid)
            process.stop()
        return True

    def kill(self, name: str) -> bool:
        """Kill a program that was asked to stop, with its process group, and tell whether it was."""
        process = self._process(name)
        if process is None or process.get_state() != ProcessStates.STOPPING:
            return False
        process.kill(signal.SIGKILL)
        return True

    def timers(self, purpose: str = Purpose.BACKUP.value) -> list[dict[str, Any]]:
        """Return what is known of scheduled backups, or upgrades; what is not known is left out."""
        return list(self._jobs[purpose].timers())

    def look(self, purpose: str = Purpose.BACKUP.value) -> bool:
        """Take up when these are to be made."""
        self._jobs[purpose].look()
        return True

    def is_foreground(self) -> bool:
        """Tell whether somebody runs supervisord as a program of their own, and not OCM as a daemon."""
        return bool(self._options.nodaemon)

    # What supervisord raises.

    @_guarded
    def on_start(self, event: Foreign) -> None:  # noqa: D102 - by its name
        name, now = event.process.config.name, time.monotonic()
        self._histories[name] = after_start(self._histories.get(name, History()), now)
        self._turns.began(name, port_in(event.process.config.command), now)

    @_guarded
    def on_end(self, event: Foreign) -> None:  # noqa: D102 - by its name
        process = event.process
        name, (pid, status) = process.config.name, self._ended
        code = os.waitstatus_to_exitcode(status) if pid and pid == process.pid else None
        history = after_end(self._histories.get(name, History()), code, time.monotonic())
        self._histories[name] = history
        self._turns.over(name)
        if history.gave_up:
            self.log(f"{name} was started too often, it stays down")
        elif history.due is None:
            self.log(f"{name} stays down: its config or its state is refused")
        else:
            self.log(f"{name} is started again in {DELAY_SECONDS:g} s")

    @_guarded
    def on_load(self, event: Foreign) -> None:  # noqa: D102 - by its name
        self._loaded[event.group] = self._definition(event.group)

    @_guarded
    def on_running(self, _event: Foreign) -> None:  # noqa: D102 - by its name
        for name in self._supervisord.process_groups:
            if (self._programs / "enabled" / name).exists():
                self._turns.wait(name)
        self._start_due()

    @_guarded
    def on_stopping(self, _event: Foreign) -> None:  # noqa: D102 - by its name
        for jobs in self._jobs.values():
            jobs.stop()
        # By itself supervisord stops one after the other, each of which may take minutes.
        for name in list(self._supervisord.process_groups):
            self.stop(name)

    @_guarded
    def on_second(self, _event: Foreign) -> None:  # noqa: D102 - by its name
        if self._options.mood != SupervisorStates.RUNNING:
            return
        now = time.monotonic()
        for name, history in list(self._histories.items()):
            if history.due is not None and history.due <= now:
                self._turns.wait(name)
        self._start_due()
        for jobs in self._jobs.values():
            jobs.tend()

    def _start_due(self) -> None:
        """Start whose turn it is: as many at a time as a command would."""
        jobs = jobs_in(self._programs.with_name("settings.toml"))
        now, cores, free = time.monotonic(), capacity.cores(), capacity.free_memory()
        for name in self._turns.due(now, cores=cores, free=free, jobs=jobs):
            self._spawn(name)

    @_guarded
    def _spawn(self, name: str) -> None:
        process = self._process(name)
        self._turns.over(name)
        if process is None:
            self._histories.pop(name, None)
        elif not process.pid:
            process.spawn()

    @_guarded
    def _note_end(self, ended: Foreign) -> None:
        for jobs in self._jobs.values():
            jobs.ended(*ended)

    def log(self, text: str) -> None:
        """Write a line into supervisord's log."""
        self._options.logger.info("ocm: %(text)s", text=text)

    def _seen(self, name: str) -> dict[str, Any]:
        process, history = self._process(name), self._histories.get(name, History())
        alive = bool(process.pid)
        stopping = process.get_state() == ProcessStates.STOPPING
        return {
            "name": name,
            "activity": activity(history, alive=alive, stopping=stopping).value,
            "pid": process.pid or None,
            "since": float(process.laststart) if alive else None,
            "code": history.code,
            "restarts": history.restarts,
            "gave_up": history.gave_up,
            "loaded": self._loaded.get(name),
            "queued": not alive and history.due is None and self._turns.is_waiting(name),
        }

    def _process(self, name: str) -> Foreign:
        group = self._supervisord.process_groups.get(name)
        return group.processes.get(name) if group is not None else None

    def _definition(self, name: str) -> str | None:
        with contextlib.suppress(OSError):
            return fingerprint((self._programs / f"{name}.conf").read_bytes())
        return None

    def _remember_how_processes_end(self) -> None:
        # supervisord forgets the number of the signal that killed a process.
        waitpid = self._options.waitpid

        def remembering() -> tuple[int | None, int | None]:
            pid, status = waitpid()
            if pid:
                self._ended = (pid, status)
                self._note_end((pid, status))
            return pid, status

        self._options.waitpid = remembering


def _wait_for_exec(pid: int) -> None:
    """Wait until a child is more than a copy of supervisord, whose handlers would swallow a signal."""
    deadline = time.monotonic() + _EXEC_SECONDS
    with contextlib.suppress(OSError):
        own = Path("/proc/self/cmdline").read_bytes()
        while Path(f"/proc/{pid}/cmdline").read_bytes() == own and time.monotonic() < deadline:
            time.sleep(0.005)
