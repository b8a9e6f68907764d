"""Keeps the time of scheduled backups and upgrades in supervisord: a few at a time, each a child of its own.

What is to be run lies in files, when it was run last in others: nothing is lost with the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup.schedule import (
    RUN_TIMEOUT_SECONDS,
    SHORT_TIMEOUT_SECONDS,
    TOGETHER,
    TURN_SECONDS,
    Job,
    Moment,
    next_due,
    parse_rule,
)
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system import files
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.names import names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName

# How often the files are looked at.
LOOK_SECONDS = 3.0
# A clock that was set back by less does not make a run of a moment ago one of the future.
_SLACK_SECONDS = 3600.0
_GRACE_SECONDS = 600.0
# By which a shell tells that there is no such program.
_NOT_FOUND = 127


class Stamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a backup was started last, or its time first kept, and how that ended: `History.code`."""

    last: Moment
    code: int | None = None


@dataclass(slots=True, kw_only=True)
class _Running:
    """A job that runs; on the monotonic clock its turn ends at `turn`, and it at `deadline`.

    That is later once it was asked to end.
    """

    name: InstanceName
    pid: int
    since: float
    turn: float
    deadline: float
    asked: bool = False


def stamp_file(directory: PurePosixPath, name: str) -> PurePosixPath:
    """Return the file of an instance's stamp."""
    return directory / f"{name}.json"


def log_file(directory: PurePosixPath, name: str) -> PurePosixPath:
    """Return the file of what an instance's last scheduled backup printed."""
    return directory / f"{name}.log"


class Jobs:
    """The jobs of a purpose that the files in `schedules` ask for; `timers` holds when each was run last."""

    def __init__(
        self,
        schedules: PurePosixPath,
        timers: PurePosixPath,
        log: Callable[[str], None],
        purpose: Purpose = Purpose.BACKUP,
    ) -> None:
        self._schedules = schedules
        self._timers = timers
        self._log = log
        self._purpose = purpose
        self._running: dict[int, _Running] = {}
        self._looked = 0.0
        self._refused: set[tuple[str, str]] = set()

    def tend(self) -> None:
        """Start the job that is due for longest, if there is a turn; call it often, it does not wait."""
        for running in self._running.values():
            self._end_late(running)
        turns = sum(time.monotonic() < running.turn for running in self._running.values())
        if turns < TOGETHER and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            now, busy = time.time(), self._names()
            upcoming = ((moment, name) for name, _job, moment in self._upcoming(now) if name not in busy)
            due = min(upcoming, default=None)
            if due is not None and due[0] <= now:
                self._start(due[1], now)

    def look(self) -> None:
        """Take up the files as they are now: a job whose time was never kept is kept from now on."""
        self._looked = 0.0
        for _ in self._upcoming(time.time()):
            pass

    def timers(self) -> Iterator[dict[str, str | float | bool]]:
        """Yield what is known of each job, as `schedule.Timer` has it, and its name."""
        for name, _job, moment in self._upcoming(time.time()):
            stamp = self._stamp(name)
            failed = stamp is not None and stamp.code not in (None, 0) and name not in self._names()
            yield {
                "name": name,
                "active": True,
                "next": moment,
                **({"failure": _ended_in_words(stamp.code or 0)} if stamp is not None and failed else {}),
            }

    def ended(self, pid: int, status: int) -> None:
        """Note how a child of supervisord ended, where that is a job."""
        running = self._running.pop(pid, None)
        if running is None:
            return
        code = os.waitstatus_to_exitcode(status)
        if code or self._purpose in OF_INSTANCES:
            self._log(f"the {self._what} of {running.name} ended with {code}")
        # Where the time is kept no more, nothing is left of it.
        if Path(self._schedules, f"{running.name}.toml").exists():
            self._write(running.name, Stamp(last=running.since, code=code))

    def stop(self) -> None:
        """Have the jobs that run end."""
        for running in self._running.values():
            _end(running)

    @property
    def _what(self) -> str:
        return self._purpose.value

    def _names(self) -> frozenset[InstanceName]:
        return frozenset(running.name for running in self._running.values())

    def _end_late(self, running: _Running) -> None:
        if time.monotonic() > running.deadline:
            running.deadline = time.monotonic() + _GRACE_SECONDS
            _end(running)

    def _upcoming(self, now: float) -> Iterator[tuple[InstanceName, Job, float]]:
        """Yield each job with the moment at which it is due, which may have passed."""
        zone = local_zone()
        for name in names_in(self._schedules, suffix=".toml"):
            try:
                job = self._job(name)
                rule = parse_rule(job.every)
            except (OSError, ValueError, OcmError) as error:
                self._refuse(name, str(error))
                continue
            stamp = self._stamp(name)
            if stamp is None or stamp.last > now + _SLACK_SECONDS:
                stamp = Stamp(last=now)
                self._write(name, stamp)
            yield name, job, next_due(rule, stamp.last, zone)

    def _start(self, name: InstanceName, now: float) -> None:
        command = self._job(name).command
        # Before the start: one that takes supervisord along must not be tried again at once.
        self._write(name, Stamp(last=now))
        try:
            pid = _spawn(command, output=str(log_file(self._timers, name)))
        except OSError as error:
            self._log(f"the {self._what} of {name} could not be started: {error}")
            self._write(name, Stamp(last=now, code=_NOT_FOUND))
            return
        began, of_instance = time.monotonic(), self._purpose in OF_INSTANCES
        self._running[pid] = _Running(
            name=name,
            pid=pid,
            since=now,
            turn=began + TURN_SECONDS,
            deadline=began + (RUN_TIMEOUT_SECONDS if of_instance else SHORT_TIMEOUT_SECONDS),
        )
        # What is done every few minutes is told where it fails.
        if of_instance:
            self._log(f"the {self._what} of {name} is due and was started as PID {pid}")

    def _job(self, name: InstanceName) -> Job:
        data = Path(self._schedules, f"{name}.toml").read_bytes()
        return msgspec.toml.decode(data, type=Job)

    def _stamp(self, name: InstanceName) -> Stamp | None:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, UnreadableFile):
            data = files.read_own(stamp_file(self._timers, name))
            return None if data is None else msgspec.json.decode(data, type=Stamp)
        return None

    def _write(self, name: InstanceName, stamp: Stamp) -> None:
        files.write_file(stamp_file(self._timers, name), msgspec.json.encode(stamp))

    def _refuse(self, name: InstanceName, why: str) -> None:
        """Say once in the log that a file cannot be used."""
        if (name, why) not in self._refused:
            self._refused.add((name, why))
            self._log(f"the schedule of {name} cannot be used: {why}")


def _end(running: _Running) -> None:
    """Have a job end: at first it is asked to."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL if running.asked else signal.SIGTERM)
    running.asked = True


def _spawn(command: tuple[str, ...], *, output: str) -> int:
    """Start a program as a child that leads a process group, with nothing but its command; return its PID."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    return os.posix_spawn(
        command[0],
        command,
        {},
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ),
        setpgroup=0,
        setsigmask=(),
        # Python ignores them, and what is ignored stays so in a child.
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
    )


def _ended_in_words(code: int) -> str:
    return f"it ended with {'exit' if code > 0 else 'signal'} {abs(code)}"
