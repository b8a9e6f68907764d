"""A program in a pod as two files: what is read of it, and what is written to it, in turns."""

from __future__ import annotations

import contextlib
import io
from typing import IO, TYPE_CHECKING, cast

from openclaw_ocm.backends.kubernetes.execution import (
    calling,
    deadline_of,
    ended_well,
    own_token,
)
from openclaw_ocm.backends.kubernetes.frames import OUTPUT, PIECE, Program
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from openclaw_ocm.backends.kubernetes.execution import Call, Deadline, Target, Websockets

# What a program may have printed before it is read, while it is written to; and of what it complains the end.
_MOST_UNREAD, _LAST_BYTES = 2**22, 2**14


@contextlib.contextmanager
def started(
    cluster: Websockets, target: Target, argv: tuple[str, ...], *, limit: int, deadline_seconds: float
) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Start a program in a container, and yield what is read of it and what is written to it.

    Once it ended, reading finds an end and writing raises `BrokenPipeError`. It is killed where the block
    raises or is left early; after the block its input ends, and the rest of its output is not looked at.
    Raises `OcmError`, from reading and writing too, where it prints more than `limit` bytes, does not end
    well or in time, or cannot be run or followed to its end.
    """
    program = Program(argv=argv, token=own_token())
    with calling(cluster, target, program) as call:
        ends = _Ends(call, target, deadline_of(target, argv, deadline_seconds), limit)
        yield cast("IO[bytes]", io.BufferedReader(_Printed(ends), PIECE)), cast("IO[bytes]", _Given(ends))
        ends.finish()
        ended_well(call, target, argv, bytes(ends.said))


class _Ends:
    """Both of them, over one connection."""

    def __init__(self, call: Call, target: Target, deadline: Deadline, limit: int) -> None:
        self._call, self._target, self._deadline, self._left = call, target, deadline, limit
        self.unread, self.said = bytearray(), bytearray()

    def read(self, count: int) -> bytes:
        while not self.unread and self._call.end is None:
            self._take()
        data = bytes(self.unread[:count])
        del self.unread[:count]
        return data

    def write(self, data: bytes) -> None:
        while self._call.end is None and self._call.room < len(data):
            if len(self.unread) > _MOST_UNREAD:
                raise OcmError(f"what runs in {self._target} prints more than is read", code="command_failed")
            self._take()
        if self._call.end is not None:
            raise BrokenPipeError
        self._call.give(data)

    def finish(self) -> None:
        if self._call.end is None:
            self._call.end_input()
        while self._call.end is None:
            self.unread.clear()
            self._take()

    def _take(self) -> None:
        message = self._call.message(wait_seconds=self._deadline.left())
        if message is None:
            if not self._deadline.left():
                raise self._deadline.late
            return
        for letter, data in self._call.take(message):
            if letter != OUTPUT:
                self.said = (self.said + data)[-_LAST_BYTES:]
                continue
            self._left -= len(data)
            if self._left < 0:
                raise OcmError(f"what runs in {self._target} prints too much", code="command_failed")
            self.unread += data


class _Printed(io.RawIOBase):
    def __init__(self, ends: _Ends) -> None:
        super().__init__()
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._ends.read(len(view))
        view[: len(data)] = data
        return len(data)


class _Given(io.RawIOBase):
    def __init__(self, ends: _Ends) -> None:
        super().__init__()
        self._ends = ends

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), PIECE):
            self._ends.write(bytes(view[begin : begin + PIECE]))
        return len(view)
