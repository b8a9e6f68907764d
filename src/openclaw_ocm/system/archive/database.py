"""Asks SQLite about databases that OCM extracted: copies, alone in a directory of OCM's own.

Never about a live one, which an instance can write: a journal beside it may name any file for SQLite to
delete. And in a process of its own: what a database's own expressions ask for (an index on one is computed
row by row) may take gigabytes, or years within a single function that nothing interrupts.

One process for all, as long as none of them ends it: an instance can make any number.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import quote_from_bytes

from openclaw_ocm.system import programs
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import PurePosixPath

_MEMORY = 2**30
# Of CPU time: what all have together that take longer than sound ones, what each adds to it, and its bytes. A
# sound database is read at a hundred times this speed.
_SECONDS = 5.0
_EACH_SECONDS = 0.1
_BYTES_PER_SECOND = 2_000_000
# The disk and the machine may be busy.
_PATIENCE_SECONDS = 300
_PATIENCE = 60
# So many are asked about before the first is waited for, together of so many bytes.
_AHEAD = 64
_AHEAD_BYTES = 2**26
# Of questions that are sent at once: each time may take the processor from who asks.
_TOGETHER_BYTES = 2**11
_KEPT_BYTES = 2**16
_CHUNK = 2**12
_MEMORY_ANSWER = "memory"
_LARGE = "to check it takes more memory than any does"
_FAILED = "to check it takes longer than any does, or SQLite fails at it"

Told = Callable[[str | None], None]


class Ask(Protocol):
    """Asks about a database, and has the answer told."""

    def __call__(self, path: str | PurePosixPath, told: Told, *, changes: bool = False) -> None:
        """Ask, and wait for answers as long as too much is asked."""


@contextlib.contextmanager
def checking() -> Iterator[Ask]:
    """Yield a function that asks about a database, which is to stay where it is until that is answered.

    The answer is told at any time, in the order of the questions and at the end of the block at the latest:
    what `PRAGMA integrity_check` finds wrong with it, None where it finds nothing. One that takes far more
    time or memory than its size explains is wrong too, and one that a restore `changes` where a trigger would
    keep it from that.
    """
    checker = _Checker()
    try:
        yield checker.ask
        checker.finish()
    finally:
        checker.end()


class Slots:
    """Files in a directory for databases that are asked about, each used again once that is answered.

    A file system may take longer to make and remove thousands than SQLite takes to check them.
    """

    def __init__(self, directory: PurePosixPath) -> None:
        self._paths = itertools.cycle([f"{directory}/slot-{number}" for number in range(_AHEAD + 1)])

    def write(self, chunks: Iterable[bytes]) -> str:
        """Write a database into the next one and return its path."""
        path = next(self._paths)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.writelines(chunks)
            file.truncate()
        return path

    def free(self, path: str) -> None:
        """Give back what is large, of a database that is answered."""
        if os.stat(path).st_size > _KEPT_BYTES:  # noqa: PTH116 - of thousands
            os.truncate(path, 0)


class _Checker:
    """A process that answers, begun when it is needed, and what it was asked and has not answered yet."""

    def __init__(self) -> None:
        self._running = contextlib.ExitStack()
        self._pipes: tuple[IO[bytes], IO[bytes]] | None = None
        self._seconds = _SECONDS
        self._unsent = self._said = b""
        self._asked: deque[tuple[str | PurePosixPath, int, bool, Told]] = deque()
        self._bytes = 0

    def ask(self, path: str | PurePosixPath, told: Told, *, changes: bool = False) -> None:
        """Ask about a database; wait for answers as long as too much is asked."""
        size = os.stat(path).st_size  # noqa: PTH116 - of thousands
        self._asked.append((path, size, changes, told))
        self._bytes += size
        self._send(path, size, changes=changes)
        while len(self._asked) > _AHEAD or self._bytes > _AHEAD_BYTES:
            self._hear()

    def finish(self) -> None:
        """Wait for all answers."""
        while self._asked:
            self._hear()

    def end(self) -> None:
        """End the process."""
        self._pipes, self._unsent, self._said = None, b"", b""
        self._running.close()

    def _send(self, path: str | PurePosixPath, size: int, *, changes: bool) -> None:
        seconds, kind = _EACH_SECONDS + size / _BYTES_PER_SECOND, "changes" if changes else "keeps"
        self._unsent += f"{seconds:f} {kind} file://{quote_from_bytes(os.fsencode(path))}\n".encode()
        if len(self._unsent) > _TOGETHER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._unsent:
            return
        if self._pipes is None:
            limits = (str(_MEMORY), str(self._seconds))
            argv = (sys.executable, "-I", "-S", "-c", programs.text("check_database.py"), *limits)
            self._pipes = self._running.enter_context(Runner(environ={}).companion(argv))
        # Where it has ended, that is heard.
        with contextlib.suppress(BrokenPipeError):
            self._pipes[0].write(self._unsent)
        self._unsent = b""

    def _hear(self) -> None:
        """Tell the first answer that is still wanting."""
        _, size, _, told = self._asked[0]
        answer = self._line(time.monotonic() + _PATIENCE_SECONDS + size / _BYTES_PER_SECOND * _PATIENCE)
        self._asked.popleft()
        self._bytes -= size
        if answer in (None, _MEMORY_ANSWER):
            # It took the time that was left for all; what it keeps of the memory would be wanting.
            self.end()
            self._seconds = 0.0
            for path, size, changes, _ in self._asked:
                self._send(path, size, changes=changes)
        told(_FAILED if answer is None else _LARGE if answer == _MEMORY_ANSWER else answer or None)

    def _line(self, deadline: float) -> str | None:
        """Return the next line of the process; None where it ends, or says nothing for too long."""
        while b"\n" not in self._said:
            self._flush()
            left = max(deadline - time.monotonic(), 0)
            if self._pipes is None or not select.select(self._pipes[1:], [], [], left)[0]:
                return None
            data = os.read(self._pipes[1].fileno(), _CHUNK)
            if not data:
                return None
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()
