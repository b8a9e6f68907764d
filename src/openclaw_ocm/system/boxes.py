"""Asks the tool host of a running instance for boxes, from outside of its sandbox."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.sandbox.launch import TOOL_HOST_SOCKET
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import InstancePaths

_SECONDS = 60.0
_MOST_BYTES = 2**22
_PARTS = 3


class Answer(NamedTuple):
    """What a call of docker's came to."""

    status: int
    output: str
    error: str


def socket_of(paths: InstancePaths) -> PurePosixPath:
    """Return where, for others than the instance, the tool host of its gateway listens."""
    return paths.temporary(TOOL_HOST_SOCKET.parent) / TOOL_HOST_SOCKET.name


def call(path: PurePosixPath, tool_host: int, *words: str, stdin: bytes = b"") -> Answer:
    """Return what the tool host, of that process, answers to a call of docker's; exec gets `stdin`.

    The socket lies where the instance writes: raises `OcmError` where another process listens on it, or where
    what answers is no answer.
    """
    data = b"\0".join((b"ocm1", str(len(words)).encode(), *map(os.fsencode, words)))
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(path))
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", peer)[0] != tool_host:
                raise _failed("another process answers in its place")
            return _exchange(connection, len(data).to_bytes(4, "big") + data, words[0], stdin)
    except OSError as error:
        raise _failed(error.strerror or str(error)) from None


def ask(path: PurePosixPath, tool_host: int, *words: str, stdin: bytes = b"") -> Answer:
    """Do as `call`; raises `OcmError`, with what the tool host says, for a call that it does not do."""
    answer = call(path, tool_host, *words, stdin=stdin)
    if answer.status != 0:
        said = printable(answer.error.strip()) or f"exit status {answer.status}"
        raise OcmError(said, code="box_failed")
    return answer


def _exchange(connection: socket.socket, data: bytes, verb: str, stdin: bytes) -> Answer:
    if verb != "exec":
        connection.sendall(data)
        return _answer(connection)
    # A file of its own in memory for each stream: a box gets nothing of the caller's.
    streams = [os.memfd_create("ocm-box") for _ in range(_PARTS)]
    try:
        os.pwrite(streams[0], stdin, 0)
        sent = socket.send_fds(connection, [data], streams)
        connection.sendall(data[sent:])
        answer = _answer(connection)
        output, error = (os.pread(stream, _MOST_BYTES, 0).decode(errors="replace") for stream in streams[1:])
        return Answer(answer.status, output, answer.error + error)
    finally:
        for stream in streams:
            os.close(stream)


def _answer(connection: socket.socket) -> Answer:
    answer = b""
    while part := connection.recv(2**16):
        answer += part
        if len(answer) > _MOST_BYTES:
            raise _failed("its answer has no end")
    parts = [part.decode(errors="replace") for part in answer.split(b"\0")]
    if len(parts) != _PARTS or not parts[0].isdecimal():
        raise _failed("its answer is none")
    return Answer(int(parts[0]), parts[1], parts[2])


def _failed(why: str) -> OcmError:
    return OcmError(f"the tool host of the sandbox does not answer: {why}", code="tool_host_failed")
