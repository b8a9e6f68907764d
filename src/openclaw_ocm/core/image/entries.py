"""What a layer holds, by name: files, directories and links, without who wrote them and when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY, FILE, PROGRAM = 0o755, 0o644, 0o755
# The time of all there is in an image: as npm has it in its packages, late enough for every archiver.
MOMENT = 499162500
_EXECUTABLE = 0o111


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a name of a layer stands for.

    A file with `content`, or that of another file where it is a path; a link to `target`; a directory where
    there is neither. `owner` is user and group alike.
    """

    mode: int
    content: bytes | PurePosixPath | None = None
    target: str | None = None
    owner: int = 0


def file(content: bytes | PurePosixPath, mode: int = FILE) -> Entry:
    """Return a file; of its mode nothing stays but whether it can be run, as in all images."""
    return Entry(mode=PROGRAM if mode & _EXECUTABLE else FILE, content=content)


def directory(mode: int = DIRECTORY, owner: int = 0) -> Entry:
    """Return a directory."""
    return Entry(mode=mode, owner=owner)


def link(target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(mode=0o777, target=target)


def whole(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return entries in their order, each after the directories that it is in, which are added."""
    parents = {str(parent) for name in entries for parent in PurePosixPath(name).parents} - {"."}
    made = {name: directory() for name in parents if name not in entries}
    return dict(sorted({**made, **entries}.items(), key=lambda found: found[0].split("/")))
