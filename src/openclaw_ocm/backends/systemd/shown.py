"""Reads what `systemctl show` prints of units."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from openclaw_ocm.core.status import Activity, Process, signal_in

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "MainPID", "NRestarts"),
    *("ExecMainStatus", "ExecMainCode", "ActiveEnterTimestamp", "MemoryCurrent", "CPUUsageNSec"),
    *("NeedDaemonReload", "DropInPaths", "FragmentPath", "InvocationID", "Wants"),
    *("InactiveExitTimestamp", "Job"),
)
_NOT_LOADED = "not-found"
_KILLED_CODES = ("2", "3")  # CLD_KILLED, CLD_DUMPED (sigaction(2))
_ACTIVITIES = {
    "active": Activity.RUNNING,
    "activating": Activity.STARTING,
    "deactivating": Activity.STOPPING,
    "failed": Activity.FAILED,
}


def parse_block(text: str) -> dict[str, str]:
    """Return the properties of one unit."""
    return dict(line.partition("=")[::2] for line in text.splitlines())


def process_in(properties: Mapping[str, str]) -> Process:
    """Return what the properties of a unit say of its process."""
    killed = properties.get("ExecMainCode") in _KILLED_CODES
    status = _number(properties.get("ExecMainStatus"))
    number = status if killed else signal_in(status)
    queued = _is_queued(properties)
    return Process(
        activity=Activity.STARTING if queued else _activity(properties),
        installed=properties.get("LoadState") != _NOT_LOADED,
        autostart=properties.get("UnitFileState") in ("enabled", "enabled-runtime"),
        pid=_number(properties.get("MainPID")) or None,
        exit_status=status if number is None else None,
        killed_by=number,
        result=properties.get("Result", "success"),
        restarts=_number(properties.get("NRestarts")) or 0,
        # While it waits that is of the time before.
        since=None if queued else _number(properties.get("ActiveEnterTimestamp", "").lstrip("@")),
        memory_bytes=_number(properties.get("MemoryCurrent")),
        cpu_seconds=_nanoseconds(properties.get("CPUUsageNSec")),
        changed_on_disk=properties.get("NeedDaemonReload") == "yes",
        definition=properties.get("FragmentPath") or None,
        overrides=tuple(properties.get("DropInPaths", "").split()),
        queued=queued,
    )


def with_network(process: Process, network: Process) -> Process:
    """Return a gateway's process with what was changed of the unit that makes its network."""
    return replace(
        process,
        changed_on_disk=process.changed_on_disk or network.changed_on_disk,
        overrides=(*process.overrides, *network.overrides),
    )


def may_have_missed(process: Process, properties: Mapping[str, str]) -> bool:
    """Tell whether a unit was to start with the manager, and has never begun under it."""
    began = _number(properties.get("InactiveExitTimestamp", "").lstrip("@"))
    return process.autostart and process.activity is Activity.STOPPED and not began


def was_killed(process: Process) -> bool:
    """Tell whether a gateway was killed, and has not been started again."""
    return process.killed_by == signal.SIGKILL and process.activity is not Activity.RUNNING


def _is_queued(properties: Mapping[str, str]) -> bool:
    """Tell whether a unit is to be started and waits for others: without a process, and with a job."""
    return properties.get("ActiveState") in ("inactive", "failed") and bool(_number(properties.get("Job")))


def _activity(properties: Mapping[str, str]) -> Activity:
    active, sub = properties.get("ActiveState", ""), properties.get("SubState", "")
    if sub in ("auto-restart", "auto-restart-queued"):
        return Activity.WAITING
    return _ACTIVITIES.get(active, Activity.STOPPED)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and int(text) < 2**63 else None


def _nanoseconds(text: str | None) -> float | None:
    value = _number(text)
    return value / 1e9 if value is not None else None
