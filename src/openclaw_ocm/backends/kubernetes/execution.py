"""Runs programs in pods: what they are given and what they print, whole or not at all.

Each is run by programs/run_remote.pl, which is sent along, over the `exec` of the API server.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from openclaw_ocm.backends.kubernetes.frames import (
    ERRORS,
    OUTPUT,
    PIECE,
    STDIN,
    SUBPROTOCOLS,
    End,
    Garbled,
    Program,
    Refused,
    Talk,
    frame,
    opening,
    size,
)
from openclaw_ocm.backends.kubernetes.kinds import place
from openclaw_ocm.core.sandbox.launch import PERL
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.runner import failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# What marks the processes of a program in a pod, as those of a session on a host.
VARIABLE = "OCM_SESSION"
# run_remote.pl says every 10 s that it is there.
_SILENCE_SECONDS = 60.0
_LAST_BYTES = 2**14
_CUT_SECONDS = 2.0
_FIRST_SECONDS, _LAST_WORDS_SECONDS, _POLL_SECONDS = 5.0, 1.0, 0.05
_LONGEST_MESSAGE = 2**16


class Socket(Protocol):
    """An open websocket, as httpx2 has it."""

    stream: Any
    connection: Any

    @property
    def subprotocol(self) -> str | None:
        """Which of the subprotocols the server took."""

    def send_bytes(self, data: bytes) -> None:
        """Send a message."""

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message; raises `TimeoutError` where none comes."""


class Websockets(Protocol):
    """The part of a cluster that opens websockets."""

    def websocket(
        self, path: str, parameters: Sequence[tuple[str, str]], subprotocols: Sequence[str]
    ) -> contextlib.AbstractContextManager[Socket]:
        """Yield an open websocket; raises `OcmError` where there is none to be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A container of a pod."""

    namespace: str
    pod: str
    container: str

    def __str__(self) -> str:
        """Return how it is called in a sentence."""
        return f"pod {self.pod} of {self.namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a program ended and what it printed."""

    status: int
    stdout: bytes
    stderr: bytes


def own_token() -> str:
    """Return the token of a program that is no session's."""
    return f".{secrets.token_hex(8)}"


class Call:
    """A program that runs in a pod, over an open connection. One thread alone sends, and one receives."""

    def __init__(self, socket: Socket, target: Target) -> None:
        self._socket = socket
        self._target = target
        self._talk = Talk()
        self._heard = time.monotonic()
        self._deaf = False
        self._first: bytes | None = None

    @property
    def end(self) -> End | None:
        """How the program ended, None while it has not."""
        return self._talk.end

    @property
    def room(self) -> int:
        """How many bytes of input may be given now."""
        return 0 if self._deaf else self._talk.room

    def begin(self, program: Program) -> None:
        """Send what runs the program, and which it is.

        The first message comes without that (`createWebSocketStreams` of k8s.io/kubelet): one who is gone
        again by then has said why.
        """
        self._first = self.message(wait_seconds=_FIRST_SECONDS)
        text = programs.text("run_remote.pl").encode()
        self._send(text + opening(program, VARIABLE))

    def give(self, data: bytes) -> None:
        """Give input, for which there has to be `room`."""
        self._send(self._talk.given(data))

    def end_input(self) -> None:
        """Say that there is no more input."""
        self._send(frame(b"e"))

    def resize(self, rows: int, columns: int) -> None:
        """Say that the terminal has another size."""
        self._send(size(rows, columns))

    def _send(self, data: bytes) -> None:
        from httpx2.websockets import HTTPXWSException
        from wsproto.utilities import LocalProtocolError

        try:
            for begin in range(0, len(data), _LONGEST_MESSAGE):
                self._socket.send_bytes(bytes([STDIN]) + data[begin : begin + _LONGEST_MESSAGE])
        except (HTTPXWSException, LocalProtocolError):
            # Why nobody listens may have been said before: it is heard first.
            self._deaf = True

    def message(self, *, wait_seconds: float) -> bytes | None:
        """Return what comes next, None where nothing comes in time; raises `OcmError` where it breaks off."""
        first, self._first = self._first, None
        if first is not None:
            return first
        silent = self._heard + _SILENCE_SECONDS - time.monotonic()
        patience = min(silent, _LAST_WORDS_SECONDS) if self._deaf else silent
        try:
            with self._told():
                message = self._socket.receive_bytes(timeout=max(0.0, min(wait_seconds, patience)))
        except TimeoutError:
            if self._deaf:
                raise _lost(self._target, "broke off") from None
            if wait_seconds > silent:
                raise _lost(self._target, f"was silent for {_SILENCE_SECONDS:g} s") from None
            return None
        self._heard = time.monotonic()
        return message

    def take(self, message: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what a message says that the program printed: of which stream, and what."""
        with self._told():
            yield from self._talk.receive(message)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Have what goes wrong on the way raised as `OcmError`."""
        from httpx2.websockets import HTTPXWSException

        try:
            yield
        except HTTPXWSException:
            raise _lost(self._target, "broke off") from None
        except Garbled as error:
            raise _lost(self._target, f"makes no sense: {error}") from None
        except Refused as error:
            message = f"a program was not run to its end in {self._target}: {error}"
            raise OcmError(message, hint="ocm doctor", code="pod_refused") from None


@contextlib.contextmanager
def calling(cluster: Websockets, target: Target, program: Program) -> Iterator[Call]:
    """Run a program in a container; it is ended with the block, at the latest.

    Raises `OcmError` where it cannot be run or the connection breaks.
    """
    length = len(programs.text("run_remote.pl").encode())
    words = (PERL, "-e", without_comments(programs.text("read_program.pl")), str(length))
    streams = (("stdin", "true"), ("stdout", "true"), ("stderr", "true"), ("tty", "false"))
    path = place("Pod", namespace=target.namespace, name=target.pod).path("exec")
    asked = (*(("command", word) for word in words), ("container", target.container), *streams)
    with cluster.websocket(path, asked, SUBPROTOCOLS) as opened:
        try:
            if opened.subprotocol not in SUBPROTOCOLS:
                raise _lost(target, "speaks another language")
            call = Call(opened, target)
            call.begin(program)
            yield call
        finally:
            _cut(opened)


def without_comments(program: str) -> str:
    """Return a program of Perl without its comments, each of which is a line of its own."""
    return "\n".join(line for line in program.splitlines() if not line.startswith("#"))


def _cut(opened: Socket) -> None:
    """End a connection at once, whoever waits on it.

    Without that a thread of the library's which sends or receives would hold up the exit; and it is not to
    close the connection while that thread does (httpx2 2.16).
    """
    from httpx2.websockets import HTTPXWSException
    from wsproto.connection import ConnectionState

    connection = opened.stream.get_extra_info("socket")
    with contextlib.suppress(OSError):
        # Not its own, which would leave TLS before.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    deadline = time.monotonic() + _CUT_SECONDS
    while opened.connection.state is ConnectionState.OPEN and time.monotonic() < deadline:
        with contextlib.suppress(HTTPXWSException, TimeoutError):
            opened.receive_bytes(timeout=_POLL_SECONDS)


def run(  # noqa: PLR0913 - what, where, and how much at most
    cluster: Websockets,
    target: Target,
    argv: tuple[str, ...],
    *,
    given: Iterable[bytes] = (),
    limit: int,
    deadline_seconds: float,
) -> Done:
    """Run a program in a container, with this input, and return how it ended and what it printed.

    Raises `OcmError` where it prints more than `limit` bytes on a stream, does not end in time, or cannot be
    run or followed to its end.
    """
    program = Program(argv=argv, token=own_token())
    printed = {OUTPUT: bytearray(), ERRORS: bytearray()}
    with calling(cluster, target, program) as call:
        for letter, data in exchange(call, given, deadline_of(target, argv, deadline_seconds)):
            printed[letter] += data
            if len(printed[letter]) > limit:
                raise _too_much(target, argv, limit)
    return Done(
        status=_whole(call, target, argv), stdout=bytes(printed[OUTPUT]), stderr=bytes(printed[ERRORS])
    )


def stream_in(  # noqa: PLR0913 - what, where, and how much at most
    cluster: Websockets,
    target: Target,
    argv: tuple[str, ...],
    given: Iterable[bytes],
    *,
    limit: int = 2**20,
    deadline_seconds: float,
) -> bytes:
    """Give a program in a container its input, of any length, and return what it printed.

    Raises `OcmError` as `run` does, and where it ends with another exit status than 0. Where `given` raises,
    the program does not see an end of its input: it is killed.
    """
    done = run(cluster, target, argv, given=given, limit=limit, deadline_seconds=deadline_seconds)
    if done.status:
        raise failure(argv, done.status, done.stderr.decode(errors="replace"))
    return done.stdout


def stream_out(
    cluster: Websockets,
    target: Target,
    argv: tuple[str, ...],
    *,
    limit: int,
    deadline_seconds: float,
) -> Iterator[bytes]:
    """Yield what a program in a container prints, as it comes.

    Raises as `stream_in` does, or where it prints more than `limit` bytes: what ends without was whole.
    """
    program = Program(argv=argv, token=own_token())
    length, said = 0, b""
    with calling(cluster, target, program) as call:
        for letter, data in exchange(call, (), deadline_of(target, argv, deadline_seconds)):
            if letter == ERRORS:
                said = (said + data)[-_LAST_BYTES:]
                continue
            length += len(data)
            if length > limit:
                raise _too_much(target, argv, limit)
            yield data
    ended_well(call, target, argv, said)


def exchange(call: Call, given: Iterable[bytes], deadline: Deadline) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a program prints, of which stream and what, until it ends, while it is given its input."""
    pieces = _pieces(given)
    piece = next(pieces, b"")
    if not piece:
        call.end_input()
    while call.end is None:
        if piece and call.room >= len(piece):
            call.give(piece)
            piece = next(pieces, b"")
            if not piece:
                call.end_input()
            message = call.message(wait_seconds=0)
        else:
            message = call.message(wait_seconds=deadline.left())
        if message is not None:
            yield from call.take(message)
        elif not deadline.left():
            raise deadline.late


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when something has to be done, on a clock that nobody sets, and what is raised after that."""

    moment: float
    late: OcmError

    def left(self) -> float:
        """Return how many seconds are left, 0 for none."""
        return max(0.0, self.moment - time.monotonic())


def deadline_of(target: Target, argv: tuple[str, ...], seconds: float) -> Deadline:
    """Return that a program has to end within so many seconds from now."""
    message = f"{argv[0]} in {target} did not end within {seconds:g} s"
    return Deadline(time.monotonic() + seconds, OcmError(message, code="timeout"))


def _pieces(given: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in given:
        for begin in range(0, len(chunk), PIECE):
            yield chunk[begin : begin + PIECE]


def _whole(call: Call, target: Target, argv: tuple[str, ...]) -> int:
    """Return the exit status of a program whose output has all come."""
    if call.end is None or not call.end.whole:
        message = f"{argv[0]} in {target} left something behind that writes on"
        raise OcmError(message, code="command_failed")
    return call.end.status


def ended_well(call: Call, target: Target, argv: tuple[str, ...], stderr: bytes) -> None:
    """Raise `OcmError` where a program did not end with 0, or not all of its output came."""
    status = _whole(call, target, argv)
    if status:
        raise failure(argv, status, stderr.decode(errors="replace"))


def _too_much(target: Target, argv: tuple[str, ...], limit: int) -> OcmError:
    return OcmError(f"{argv[0]} in {target} printed more than {limit} bytes", code="command_failed")


def _lost(target: Target, how: str) -> OcmError:
    message = f"the connection to {target} {how}"
    return OcmError(message, hint="try again", code="pod_lost")
