"""Copies the workspaces of an instance, which may write them meanwhile and may have made them to do harm."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive import snapshot
from openclaw_ocm.system.archive.reader import free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.system.archive.snapshot import Found

_WORKSPACE = "workspace"


def survey_workspaces(state: PurePosixPath) -> tuple[str, ...]:
    """Return in words what of a state's workspaces is not copied; raise `OcmError` where all is too much."""
    told = snapshot.Told()
    size = 0
    with files.open_state(state) as directory:
        for found in _in_workspaces(directory):
            reason = found.reason
            if stat.S_ISLNK(found.status.st_mode) and _target(found, state) is None:
                reason = snapshot.LINKS
            if reason is None and found.is_file:
                size += found.status.st_size
                reason = None if snapshot.is_readable(found) else snapshot.UNREADABLE
            if reason is not None:
                told.leave_out(found, reason)
    if size > free_bytes(state):
        message = f"the workspaces in {state} take {size} bytes, more than is free on the disk"
        raise OcmError(message, code="state_too_large")
    counts = (
        f"left out of the workspace: {count} {reason}" for reason, count in sorted(told.left_out.items())
    )
    return (*counts, *told.notes)


def copy_workspaces(source: PurePosixPath, target: PurePosixPath) -> None:
    """Copy the workspaces in the state `source` to the new state `target`, which nobody else writes yet.

    What was copied before is replaced. Links are made last, and only those that stay in the state.
    """
    links: list[tuple[str, str]] = []
    with files.open_state(source) as read, files.open_state(target) as write:
        for old in Path(target).iterdir():
            if _is_workspace(old.name):
                files.remove_tree(target / old.name)
        left = free_bytes(target)
        for found in _in_workspaces(read):
            path = found.path.removeprefix(f"{layout.STATE}/")
            if stat.S_ISLNK(found.status.st_mode) and found.reason is None:
                kept = _target(found, source)
                links += [(path, kept)] if kept is not None else []
            elif found.is_directory:
                os.mkdir(path, 0o700, dir_fd=write)
            elif found.is_file:
                left -= _copy(found, write, path, target, left)
        for path, kept in links:
            os.symlink(kept, path, dir_fd=write)


def _copy(found: Found, write: int, path: str, spool: PurePosixPath, limit: int) -> int:
    """Copy one file and return its size; nothing where it is none any more, or cannot be read."""
    try:
        with snapshot.copied(found.directory, found.name, spool, limit=limit) as copy:
            if copy is None:
                return 0
            descriptor = os.open(path, files.NEW_FILE, 0o600, dir_fd=write)
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(copy.file, file)
                os.fchmod(descriptor, copy.mode)
            return copy.size
    except snapshot.Unreadable:
        return 0


def _in_workspaces(directory: int) -> Iterator[Found]:
    for found in snapshot.walk(directory):
        if _is_workspace(found.path.split("/")[1]):
            yield found


def _is_workspace(name: str) -> bool:
    return name == _WORKSPACE or name.startswith(f"{_WORKSPACE}-")


def _target(found: Found, state: PurePosixPath) -> str | None:
    try:
        target = os.readlink(found.name, dir_fd=found.directory)
    except OSError:
        return None
    return layout.stored_target(found.path, target, state)
