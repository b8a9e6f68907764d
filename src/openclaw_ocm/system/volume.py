"""What holds the state of an instance, which may write there at any moment whatever it likes.

A directory of this host is one. Another may lie elsewhere: each call is one question to where it is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.exchange import replace_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.archive.taking import State


class Volume(Protocol):
    """Files by their paths below it, `/` between names; no link is followed.

    `FileNotFoundError` says that there is none, and nothing else does: what is there and cannot be reached is
    another `OSError`, a volume that cannot be opened an `OcmError`.
    """

    def check(self, name: InstanceName) -> None:
        """Raise `OcmError` where there is none for the instance of that name to run on."""

    def place(self, path: str) -> str:
        """Return where a file lies, for a person to find it."""

    def read(self, path: str, *, limit: int, tail: bool = False) -> bytes:
        """Return the content of a regular file, with `tail` its last `limit` bytes.

        Raises `OcmError` for a link, a pipe, a device or a file above `limit` bytes, any of which an instance
        could put there, and `FileNotFoundError` where there is none.
        """

    def write(self, name: str, data: bytes) -> None:
        """Write a file at the top, 0600, so that it is there whole or not at all, after a crash too."""

    def replace(self, name: str, data: bytes, *, before: bytes, limit: int, beside: str) -> bool:
        """Replace `before`, the content of a file at the top, by `data`, with its mode; tell if it was done.

        False where the file holds something else, which it then goes on holding: nothing that is written at
        the same moment is lost. `beside` is the name by which the two are exchanged, under which a kill may
        leave what was displaced. Raises as `read` does, and `OcmError` where the file changes without end.
        """

    def remove(self, name: str) -> None:
        """Remove a file or a link at the top; nothing where there is none."""

    def names(self, folder: str = ".", *, most: int) -> tuple[str, ...]:
        """Return what is in a directory, none where there is none; in no order, and `most` of any number."""

    def has(self, *folders: str) -> bool:
        """Tell whether there is one of these directories, with one question for all of them."""

    def opened(self) -> AbstractContextManager[State]:
        """Yield the whole state, to be walked; raises `OcmError` where there is none that can be opened."""

    def sizes(self, *folders: str, most: int | None = None) -> tuple[int, ...]:
        """Return what each file in these directories takes on disk, without what cannot be looked at.

        What is mostly holes counts for little. `*` stands for every directory there. With `most` it is looked
        at no more than so many.
        """


@dataclass(frozen=True, slots=True)
class Directory:
    """A volume that is a directory of this host."""

    path: PurePosixPath

    def check(self, name: InstanceName) -> None:
        """Raise `OcmError` where there is no such directory, or a link, which no sandbox follows."""
        if Path(self.path).is_symlink():
            raise files.is_link(self.path)
        if not Path(self.path).is_dir():
            message = f"{name} has no state directory {self.path}"
            raise OcmError(message, hint=f"put it back, or ocm delete {name}", code="state_missing")

    def place(self, path: str) -> str:
        """Return where a file lies, for a person to find it."""
        return str(self.path / path)

    def read(self, path: str, *, limit: int, tail: bool = False) -> bytes:
        """Return the content of a regular file, with `tail` its last `limit` bytes."""
        with files.open_state(self.path) as directory:
            return files.read_below(directory, path, limit=limit, tail=tail)

    def write(self, name: str, data: bytes) -> None:
        """Write a file at the top, 0600, so that it is there whole or not at all, after a crash too."""
        with files.open_state(self.path) as directory:
            files.write_in(directory, name, data)

    def replace(self, name: str, data: bytes, *, before: bytes, limit: int, beside: str) -> bool:
        """Replace `before`, the content of a file at the top, by `data`; tell if it was done."""
        with files.open_state(self.path) as directory:
            mode = stat.S_IMODE(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
            return replace_in(directory, name, data, before=before, limit=limit, mode=mode, beside=beside)

    def remove(self, name: str) -> None:
        """Remove a file or a link at the top; nothing where there is none."""
        with files.open_state(self.path) as directory, contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)

    def names(self, folder: str = ".", *, most: int) -> tuple[str, ...]:
        """Return what is in a directory, none where there is none; in no order, and `most` of any number."""
        with files.open_state(self.path) as top, _opened(top, folder) as directory:
            if directory is None:
                return ()
            with os.scandir(directory) as entries:
                return tuple(entry.name for entry in itertools.islice(entries, most))

    def has(self, *folders: str) -> bool:
        """Tell whether there is one of these directories."""
        with files.open_state(self.path) as top:
            return any(_is_there(top, folder) for folder in folders)

    @contextlib.contextmanager
    def opened(self) -> Iterator[State]:
        """Yield the whole state, to be walked; raises `OcmError` where it is a link, or is not there."""
        # Few commands do.
        from openclaw_ocm.system.archive.snapshot import OpenDirectory

        with files.open_state(self.path) as directory:
            yield OpenDirectory(directory)

    def sizes(self, *folders: str, most: int | None = None) -> tuple[int, ...]:
        """Return what each file in these directories takes on disk, without what cannot be looked at."""
        with files.open_state(self.path) as directory:
            found = (files.sizes_in(directory, *folder.split("/")) for folder in folders)
            return tuple(itertools.islice(itertools.chain.from_iterable(found), most))


def _is_there(top: int, folder: str) -> bool:
    with _opened(top, folder) as found:
        return found is not None


@contextlib.contextmanager
def _opened(top: int, folder: str) -> Iterator[int | None]:
    """Give the descriptor of a directory below an open one, None where there is none."""
    with contextlib.ExitStack() as opened:
        at = top
        for name in folder.split("/"):
            try:
                at = os.open(name, files.CLOSED_DIRECTORY, dir_fd=at)
            except (FileNotFoundError, NotADirectoryError):
                yield None
                return
            opened.callback(os.close, at)
        yield at
