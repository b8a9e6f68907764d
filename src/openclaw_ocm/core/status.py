"""What an instance is doing, judged from what was observed: its unit, its answers, its port."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from openclaw_ocm.core.sandbox.obstacle import NOT_STARTED, setup_failure

CONFIG_ERROR = 78
MISSED = "enabled, not started since the user manager began before the home was there: ocm start --all"
QUEUED = "waits for its turn: not all start at once"
OUT_OF_MEMORY = "oom-kill"
# How what runs a program for another, a shell or the init of a sandbox, tells that a signal ended it.
_SIGNAL_BASE = 128
_SIGNALS = range(1, 65)
# The slowest first start seen took 36 s on a busy machine with 2 cores; a small server has a fraction of one.
START_GRACE_SECONDS = 300


class Activity(str, Enum):
    """What a backend says that the process of an instance does.

    WAITING is for the next automatic restart; FAILED is given up, until it is started or stopped.
    """

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    WAITING = "waiting"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def has_process(self) -> bool:
        """Tell whether there is a process, be it one that ends."""
        return self in (Activity.RUNNING, Activity.STARTING, Activity.STOPPING)

    @property
    def is_up(self) -> bool:
        """Tell whether there is a process, or will be another one by itself."""
        return self not in (Activity.STOPPED, Activity.FAILED)

    @property
    def will_run(self) -> bool:
        """Tell whether a gateway runs, or would by itself in a moment: one that is stopping does not."""
        return self in (Activity.RUNNING, Activity.STARTING, Activity.WAITING)


class State(str, Enum):
    """One word for what an instance is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the backend says of an instance's process.

    `exit_status` is that of the last process that ended; `since` is in seconds since the epoch;
    `definition` is the file that defines the process for the backend, `overrides` are those that
    change it; `memory_bytes` and `cpu_seconds` are None where the backend keeps no account. `missed` means
    that it was to start with the backend, which began before it could be seen; `queued` that it starts when
    it is its turn, and has no process yet. `reason` is what the backend says of it in words, where it knows
    more than the exit status tells. `elsewhere` means that it runs, but not as a process of this machine:
    there is no `pid` then.
    """

    activity: Activity
    installed: bool
    autostart: bool
    pid: int | None = None
    exit_status: int | None = None
    killed_by: int | None = None
    result: str = "success"
    restarts: int = 0
    since: float | None = None
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    changed_on_disk: bool = False
    definition: str | None = None
    overrides: tuple[str, ...] = ()
    missed: bool = False
    queued: bool = False
    elsewhere: bool = False
    reason: str | None = None

    @property
    def run(self) -> float | None:
        """What tells this run of a gateway from those before and after, None where it does not run."""
        return self.since if self.elsewhere else self.pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the gateway said over HTTP; `problem` says why there is no usable answer."""

    ready: bool = False
    phase: str | None = None
    version: str | None = None
    failing: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The process that listens on an instance's port; `pid` is None where the kernel does not tell."""

    pid: int | None
    command: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The verdict on one instance, with the reason where it is not ready; `fatal` where waiting is no use.

    `taken` where somebody else has its port. `failing` is what the gateway says does not work, None where it
    says nothing of that.
    """

    state: State
    reason: str | None = None
    version: str | None = None
    fatal: bool = False
    taken: bool = False
    failing: tuple[str, ...] | None = None


def judge(  # noqa: PLR0911 - one for each state
    process: Process, answer: Answer, *, port: int, stranger: Listener | None, now: float
) -> Health:
    """Return the verdict on an instance.

    `stranger` is a listener on the instance's port that is no process of the instance; `now` is in
    seconds since the epoch.
    """
    if process.activity is Activity.STOPPING:
        reason = process.reason or "stopping, work in progress may finish"
        return Health(state=State.DRAINING, reason=reason)
    if stranger is not None and process.activity is not Activity.STOPPED:
        return Health(state=State.FAILED, reason=taken_in_words(port, stranger), fatal=True, taken=True)
    if process.queued:
        return Health(state=State.STARTING, reason=QUEUED)
    if process.activity is Activity.FAILED:
        return Health(state=State.FAILED, reason=process.reason or _failure(process), fatal=True)
    if process.activity is Activity.STOPPED:
        return Health(state=State.STOPPED, reason=MISSED if process.missed else None)
    if process.activity is Activity.WAITING:
        reason = f"{process.reason or _failure(process)}; it is started again by itself"
        return Health(state=State.FAILED, reason=reason, fatal=True)
    if answer.phase == "draining":
        return Health(state=State.DRAINING, reason="draining", version=answer.version)
    if answer.ready:
        return Health(state=State.READY, version=answer.version, failing=())
    return _not_ready(process, answer, now)


def _not_ready(process: Process, answer: Answer, now: float) -> Health:
    age = now - process.since if process.since is not None else 0.0
    reason = process.reason or answer.problem or ", ".join(answer.failing) or "not ready"
    if answer.phase == "started":
        return Health(
            state=State.FAILED, reason=f"not ready: {reason}", version=answer.version, failing=answer.failing
        )
    if age > START_GRACE_SECONDS:
        return Health(
            state=State.FAILED, reason=f"not ready after {round(age)} s: {reason}", version=answer.version
        )
    return Health(state=State.STARTING, reason=reason, version=answer.version)


def signal_in(status: int | None) -> int | None:
    """Return the signal that an exit status tells of, None where it tells of none."""
    return status - _SIGNAL_BASE if status is not None and status - _SIGNAL_BASE in _SIGNALS else None


def taken_in_words(port: int, stranger: Listener) -> str:
    """Return in words who listens on a port that is an instance's."""
    if stranger.pid is None:
        return f"port {port} is taken by another process"
    return f"port {port} is taken by PID {stranger.pid} ({stranger.command or 'unknown'})"


def _failure(process: Process) -> str:
    """Return in words why the process ended."""
    if process.result == OUT_OF_MEMORY:
        return "out of memory: the kernel killed it (it needs a higher limit or a larger machine)"
    if process.exit_status == CONFIG_ERROR:
        return "exit 78: OpenClaw refuses its config or its state"
    if process.exit_status in NOT_STARTED:
        return f"exit {process.exit_status}: what runs it is not there, or may not be executed"
    words = None if process.exit_status is None else setup_failure(process.exit_status)
    if words is not None:
        return f"it never ran: {words}"
    if process.result == "start-limit-hit":
        return f"gave up after too many restarts, last exit {_exit(process)}"
    return f"ended with {_exit(process)}"


def _exit(process: Process) -> str:
    return f"signal {process.killed_by}" if process.killed_by is not None else f"exit {process.exit_status}"
