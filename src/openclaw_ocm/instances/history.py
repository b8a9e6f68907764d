"""The history: a line for each change of an instance, so that it is known later what happened last night.

It tells which command it was, never what was given to it. Whoever cannot write it works all the same.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.errors import OcmError, UndoIncomplete
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.core.plan import Plan
    from openclaw_ocm.instances.context import Context

# Some 3000 changes, and as many before them.
_MOST_BYTES = 2**19
DONE = "done"
UNDONE = "undone"
UNDONE_IN_PART = "undone in part"
KEPT = "kept as it was"
REFUSED = "failed, nothing was changed"
TO_BE_FINISHED = "to be finished"
UNDONE_LATER = "cut off, undone later"
FINISHED_LATER = "cut off, finished later"


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an instance, and of `others` with it.

    `when` it began, in ISO 8601, UTC; `command` with the names of its options, and the `operation` of which
    that was one, such as the stop of an apply; how it `ended`; how many seconds it took, where that is known;
    the slug of the `error` that ended it.
    """

    when: str
    command: str
    operation: str | None = None
    instance: str
    others: tuple[str, ...] = ()
    ended: str
    seconds: float | None = None
    error: str | None = None


def note(
    context: Context, plan: Plan, ended: str, *, began: float, error: BaseException | None = None
) -> None:
    """Add how a plan ended that was begun at the moment `began`, and the `error` that ended it."""
    word = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    _append(
        context.host.paths,
        HistoryEntry(
            when=_iso(began),
            command=context.command or plan.operation,
            operation=plan.operation,
            instance=plan.name,
            others=plan.others,
            ended=ended if error is None else f"{word}, {ended}",
            seconds=round(time.time() - began, 1),
            error=_slug(error),
        ),
    )


def note_refusal(
    context: Context, name: InstanceName, operation: str, error: BaseException, *, began: float
) -> None:
    """Add that a command which nobody saw failed before it changed anything."""
    _append(
        context.host.paths,
        HistoryEntry(
            when=_iso(began),
            command=context.command or operation,
            operation=operation,
            instance=name,
            ended="interrupted" if isinstance(error, KeyboardInterrupt) else REFUSED,
            seconds=round(time.time() - began, 1),
            error=_slug(error),
        ),
    )


def note_recovery(context: Context, plan: Plan, ended: str) -> None:
    """Add what became of a plan whose command was cut off: nobody else could tell."""
    _append(
        context.host.paths,
        HistoryEntry(
            when=_iso(time.time()),
            command=plan.operation,
            operation=plan.operation,
            instance=plan.name,
            others=plan.others,
            ended=ended,
        ),
    )


def read_history(paths: HostPaths, name: InstanceName | None = None) -> tuple[HistoryEntry, ...]:
    """Return the changes, of one instance or of all, oldest first.

    A line that is none is passed over, as is a file that cannot be read: `readable_history` tells of that.
    """
    return readable_history(paths, name)[0]


def readable_history(
    paths: HostPaths, name: InstanceName | None = None
) -> tuple[tuple[HistoryEntry, ...], tuple[OcmError, ...]]:
    """Return what `read_history` does, and an error for each file that is there and cannot be read."""
    found: list[HistoryEntry] = []
    refused: list[OcmError] = []
    for path in (paths.older_history, paths.history):
        try:
            # Those who write at the moment at which it grows too long may all add their line.
            data = files.read_own(path, limit=2 * _MOST_BYTES, tail=True) or b""
        except OcmError as error:
            refused.append(error)
            continue
        for line in data.splitlines():
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                found.append(msgspec.json.decode(line, type=HistoryEntry))
    its = (change for change in found if name in (None, change.instance, *change.others))
    return tuple(its), tuple(refused)


def last_change(paths: HostPaths, name: InstanceName) -> HistoryEntry | None:
    """Return the last change of an instance, None where that is not known."""
    return next(reversed(read_history(paths, name)), None)


def _append(paths: HostPaths, change: HistoryEntry) -> None:
    with contextlib.suppress(OSError, OcmError):
        files.append_line(
            paths.history, msgspec.json.encode(change), most=_MOST_BYTES, older=paths.older_history
        )


def _slug(error: BaseException | None) -> str | None:
    """Return the stable word for an error: its message may tell what a config says."""
    if isinstance(error, KeyboardInterrupt):
        return None
    if isinstance(error, UndoIncomplete) and isinstance(error.__context__, OcmError):
        error = error.__context__
    if isinstance(error, OcmError):
        return error.code
    return None if error is None else ("os_error" if isinstance(error, OSError) else "bug")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")
