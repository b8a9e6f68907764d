"""What lies on the disk, as entries of a layer."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.image.entries import Entry, directory, file, link

if TYPE_CHECKING:
    from collections.abc import Callable


def entries_of(root: PurePosixPath, place: Callable[[str], str | None]) -> dict[str, Entry]:
    """Return the files, directories and links below a directory, each where `place` puts it.

    `place` takes a path below `root`, and returns None for what is left out, a directory with all in it. What
    is neither of the three is left out too.
    """
    found: dict[str, Entry] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(root / below) as listed:
            # In an order that is the same on each file system, for two may have one place.
            for one in sorted(listed, key=lambda entry: entry.name):
                path = f"{below}{one.name}"
                if one.is_dir(follow_symlinks=False):
                    waiting.append(f"{path}/")
                at, entry = place(path), _entry(one)
                if at is not None and entry is not None:
                    found[at] = entry
    return found


def _entry(one: os.DirEntry[str]) -> Entry | None:
    if one.is_symlink():
        return link(str(Path(one.path).readlink()))
    if one.is_dir():
        return directory()
    if one.is_file():
        return file(PurePosixPath(one.path), one.stat().st_mode)
    return None
