"""Reads a log file that is rotated: FILE is the newest, FILE.1 the one before, and so on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from openclaw_ocm.backends.supervisord.program import LOG_BACKUPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

_CHUNK = 2**20
# More of a line is not kept: a program may print without ever ending one.
_MAX_LINE = 2**16


class RotatedFile:
    """A place in a rotated log, which moves from the oldest file to the end of the newest."""

    def __init__(self, path: PurePosixPath) -> None:
        self._paths = [Path(path), *(Path(f"{path}.{number}") for number in range(1, LOG_BACKUPS + 1))]
        self._file: IO[bytes] | None = None
        self._begun = b""

    def oldest_change(self) -> float | None:
        """Return when the oldest file was written to last, in seconds since the epoch, None without any."""
        for path in reversed(self._paths):
            with contextlib.suppress(FileNotFoundError):
                return path.stat().st_mtime
        return None

    def skip_to_last(self, count: int) -> None:
        """Have the first `lines` begin near the end, with at least `count` lines where there are so many.

        Empty lines do not count. The first line may be the end of one.
        """
        for path in self._paths:
            file = _open(path)
            if file is None:
                continue
            place = os.fstat(file.fileno()).st_size
            while place > 0 and count > 0:
                begin = max(0, place - _CHUNK)
                chunk = os.pread(file.fileno(), place - begin, begin)
                count -= sum(1 for line in chunk.split(b"\n") if line)
                place = begin
            if count <= 0:
                file.seek(place)
                self._file = file
                return
            file.close()

    def lines(self, *, whole: bool) -> Iterator[str]:
        """Yield the lines that were not yielded yet; the last one, where it has no end, unless `whole`."""
        while True:
            yield from self._rest()
            # Looked for only now: what was written before a rotation is read by now.
            following = self._following()
            if following is None:
                break
            yield from self._unfinished()
            self.close()
            self._file = following
        if not whole:
            yield from self._unfinished()

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rest(self) -> Iterator[str]:
        while self._file is not None and (data := self._file.read(_CHUNK)):
            *ended, begun = (self._begun + data).split(b"\n")
            self._begun = begun[:_MAX_LINE]
            # An instance that prints nothing but line ends must not keep a reader busy.
            for line in filter(None, ended):
                yield line.decode(errors="replace")

    def _unfinished(self) -> Iterator[str]:
        if self._begun:
            yield self._begun.decode(errors="replace")
            self._begun = b""

    def _following(self) -> IO[bytes] | None:
        """Open and return the file that came after the open one, the oldest where none is open."""
        files = [file for path in self._paths if (file := _open(path)) is not None]
        place = len(files)
        if self._file is not None:
            current = os.fstat(self._file.fileno())
            same = (os.path.samestat(os.fstat(file.fileno()), current) for file in files)
            place = next((number for number, found in enumerate(same) if found), place)
        following = files.pop(place - 1) if place else None
        for file in files:
            file.close()
        return following


def _open(path: Path) -> IO[bytes] | None:
    with contextlib.suppress(FileNotFoundError):
        return path.open("rb", buffering=0)
    return None
