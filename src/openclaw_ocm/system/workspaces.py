"""Copies the workspaces of an instance, which may write them meanwhile and may have made them to do harm."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive import taking
from openclaw_ocm.system.archive.reader import free_bytes

if TYPE_CHECKING:
    from openclaw_ocm.core.backup.selection import Selection
    from openclaw_ocm.system.archive.taking import Content, Found, Walk


def survey_workspaces(walk: Walk, selection: Selection, free: int) -> tuple[str, ...]:
    """Return in words what of a state's workspaces is not copied.

    Raises `OcmError` where all of them take more than the `free` bytes of the disk.
    """
    told = taking.Told()
    size = 0
    for found, content in _in_workspaces(walk, selection):
        reason = found.reason
        if stat.S_ISLNK(found.mode) and _target(found, content, selection) is None:
            reason = taking.LINKS
        if reason is None and found.is_file:
            size += found.on_disk
            reason = None if taking.is_readable(content) else taking.UNREADABLE
        if reason is not None:
            told.leave_out(found, reason)
    if size > free:
        message = f"the workspaces in {selection.state} take {size} bytes, more than is free on the disk"
        raise OcmError(message, code="state_too_large")
    counts = (
        f"left out of the workspace: {count} {reason}" for reason, count in sorted(told.left_out.items())
    )
    return (*counts, *told.notes)


def copy_workspaces(walk: Walk, selection: Selection, target: PurePosixPath) -> None:
    """Copy the workspaces of a state to the new state `target`, which nobody else writes yet.

    What was copied before is replaced. Links are made last.
    """
    links: list[tuple[str, str]] = []
    with files.open_state(target) as write:
        top = (entry.name for entry in Path(target).iterdir())
        for old in {
            *selection.workspaces,
            *filter(lambda name: selection.is_in_workspace(_member(name)), top),
        }:
            files.remove_tree(target / old)
        left = free_bytes(target)
        for found, content in _in_workspaces(walk, selection):
            path = found.path.removeprefix(f"{layout.STATE}/")
            if stat.S_ISLNK(found.mode) and found.reason is None:
                kept = _target(found, content, selection)
                links += [(path, kept)] if kept is not None else []
            elif found.is_directory:
                # One in which a workspace lies may be there.
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o700, dir_fd=write)
            elif found.is_file:
                left -= _copy(content, write, path, target, left)
        for path, kept in links:
            os.symlink(kept, path, dir_fd=write)


def _member(path: str) -> str:
    return f"{layout.STATE}/{path}"


def _copy(content: Content, write: int, path: str, spool: PurePosixPath, limit: int) -> int:
    """Copy one file and return the room that it takes; none where it is no file any more, or unreadable."""
    try:
        with taking.copied(content, spool, limit=limit) as copy:
            if copy is None:
                return 0
            descriptor = os.open(path, files.NEW_FILE, 0o600, dir_fd=write)
            with os.fdopen(descriptor, "wb") as file:
                for offset, piece in taking.pieces(copy):
                    file.seek(offset)
                    file.write(piece)
                file.truncate(copy.size)
                os.fchmod(descriptor, copy.mode)
            return copy.kept
    except taking.TooLarge as error:
        raise OcmError(f"{path} is {error}", code="state_too_large") from None
    except taking.Unreadable:
        return 0


def _in_workspaces(walk: Walk, selection: Selection) -> Walk:
    for found, content in walk:
        if selection.is_in_workspace(found.path) or (
            found.is_directory and selection.leads_to_workspace(found.path)
        ):
            yield found, content


def _target(found: Found, content: Content, selection: Selection) -> str | None:
    """Return where a link of the copy leads, None where there is to be none."""
    try:
        target = content.target()
    except taking.Unreadable:
        return None
    return None if target is None else selection.target(found.path, target)
