"""When a gateway is started again by itself, and what it is doing meanwhile: decided here, done elsewhere.

The semantics of Restart=always, RestartSec=5, RestartPreventExitStatus=78, StartLimitBurst=10 and
StartLimitIntervalSec=300 in the systemd unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from openclaw_ocm.core.status import Activity

DELAY_SECONDS = 5.0
_LIMIT_STARTS = 10
_LIMIT_SECONDS = 300.0
# EX_CONFIG: OpenClaw would say the same at every start.
_FINAL_STATUS = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened to a gateway since somebody asked for its start.

    `starts` are the moments of its starts, `due` is that of the next one; all on one clock in seconds.
    `code` tells how it ended last: its exit status, or minus the number of the signal that killed it, or
    None where it could not be started or has not ended yet.
    """

    starts: tuple[float, ...] = ()
    restarts: int = 0
    due: float | None = None
    code: int | None = None
    gave_up: bool = False
    failed: bool = False


def after_start(history: History, now: float) -> History:
    """Return the history of a gateway that is started at `now`, by itself where a start was due."""
    by_itself = history.due is not None
    recent = tuple(start for start in history.starts if start > now - _LIMIT_SECONDS)
    return replace(
        history, starts=(*recent, now), restarts=history.restarts + by_itself, due=None, failed=False
    )


def after_end(history: History, code: int | None, now: float) -> History:
    """Return the history of a gateway that ended at `now` although nobody asked for it."""
    due = now + DELAY_SECONDS
    recent = [start for start in history.starts if start > due - _LIMIT_SECONDS]
    gave_up = len(recent) >= _LIMIT_STARTS
    failed = gave_up or code == _FINAL_STATUS
    return replace(history, code=code, due=None if failed else due, gave_up=gave_up, failed=failed)


def activity(history: History, *, alive: bool, stopping: bool) -> Activity:
    """Return what a gateway is doing."""
    if alive:
        return Activity.STOPPING if stopping else Activity.RUNNING
    if history.due is not None:
        return Activity.WAITING
    return Activity.FAILED if history.failed else Activity.STOPPED
