"""Looks for what an instance may have left in its state that has power outside of its sandbox."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.system import files
from openclaw_ocm.system.archive.taking import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

SET_ID, CAPABLE, DEVICES = "set-id files", "files with capabilities", "device nodes"
OPEN, LISTED, LINKED = "names that everybody may write", "names with access lists", "files with names outside"
_CAPABILITY = "security.capability"
_ACCESS_LIST = "system.posix_acl_"


@dataclass(kw_only=True)
class Seen:
    """How many of each kind there are, the path of the first of each, and how many names were looked at.

    `cut` tells that there are more.
    """

    count: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    looked: int = 0
    cut: bool = False

    def add(self, kind: str, path: str) -> None:
        """Count one more."""
        self.count[kind] += 1
        self.first.setdefault(kind, path)


def others_enter(directory: PurePosixPath) -> bool:
    """Tell whether every user of the machine may enter a directory; one that is not there nobody enters."""
    with contextlib.suppress(OSError):
        return all(Path(path).stat().st_mode & stat.S_IXOTH for path in (directory, *directory.parents))
    return False


def look_through(state: PurePosixPath, *, most: int, seconds: float) -> Seen:
    """Look at up to `most` names in a state for so many seconds; no link is followed, and no other disk.

    Raises `OcmError` where the state cannot be opened.
    """
    seen, deadline = Seen(), time.monotonic() + seconds
    # By file: how many names it has, how many of them were seen, and the first.
    names: dict[int, tuple[int, int, str]] = {}
    with files.open_state(state) as top:
        for directory, path, entry in _below(top, seen):
            if seen.looked >= most or time.monotonic() >= deadline:
                seen.cut = True
                break
            seen.looked += 1
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                for kind in _kinds(status.st_mode, f"/proc/self/fd/{directory}/{entry.name}"):
                    seen.add(kind, path)
                if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    _, before, first = names.get(status.st_ino, (0, 0, path))
                    names[status.st_ino] = (status.st_nlink, before + 1, first)
    if not seen.cut:
        for has, found, first in names.values():
            if has > found:
                seen.add(LINKED, first)
    return seen


def _kinds(mode: int, path: str) -> Iterator[str]:
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        yield DEVICES
    if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
        yield SET_ID
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield OPEN
    attributes = os.listxattr(path, follow_symlinks=False)
    if _CAPABILITY in attributes:
        yield CAPABLE
    if any(name.startswith(_ACCESS_LIST) for name in attributes):
        yield LISTED


def _below(top: int, seen: Seen) -> Iterator[tuple[int, str, os.DirEntry[str]]]:
    """Yield what is below an open directory: the open directory that it is in, its path, its entry.

    Nothing of it is sorted or kept, for an instance may go on making names. What is too deep is not entered.
    """
    disk = os.fstat(top).st_dev
    levels = [(top, "", os.scandir(top))]
    try:
        while levels:
            directory, parent, entries = levels[-1]
            entry = next(entries, None)
            if entry is None:
                _leave(levels)
                continue
            path = f"{parent}{entry.name}"
            yield directory, path, entry
            if not entry.is_dir(follow_symlinks=False):
                continue
            seen.cut = seen.cut or len(levels) > MAX_DEPTH
            handle = None if len(levels) > MAX_DEPTH else _entered(directory, entry.name, disk)
            if handle is not None:
                levels.append((handle, f"{path}/", os.scandir(handle)))
    finally:
        while levels:
            _leave(levels)


def _leave(levels: list[tuple[int, str, os._ScandirIterator[str]]]) -> None:
    directory, _parent, entries = levels.pop()
    entries.close()
    if levels:
        os.close(directory)


def _entered(directory: int, name: str, disk: int) -> int | None:
    """Return an open directory of the same disk, None where it cannot be entered or is none any more."""
    with contextlib.suppress(OSError):
        handle = os.open(name, files.CLOSED_DIRECTORY, dir_fd=directory)
        if os.fstat(handle).st_dev == disk:
            return handle
        os.close(handle)
    return None
