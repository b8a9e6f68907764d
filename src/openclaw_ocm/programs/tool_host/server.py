"""Answers the `docker` of an instance over a socket, and bounds what whoever asks may use."""

from __future__ import annotations

import array
import contextlib
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING, NoReturn

from . import binds, boxes, commands
from .calls import (
    NOT_A_CALL,
    VERSION,
    Create,
    Execute,
    Inspect,
    InspectImage,
    InspectSandbox,
    Pause,
    Refused,
    Remove,
    Start,
    State,
    Version,
    described,
    described_sandbox,
    parse,
)
from .gateway import complain

if TYPE_CHECKING:
    from .calls import Call

_PROTOCOL = b"ocm1"
MOST_BYTES = 2**21
MOST_CONNECTIONS = 64
MOST_BOXES = 64
MOST_COMMANDS = 64
# Of these in one box: a stranger leaves some for the others.
MOST_COMMANDS_OF_ONE = 24
MOST_WORDS = 4096
ASKING_SECONDS = 10.0
# OpenClaw waits up to 315 seconds for what a group left in the background before it ends (2026.9.6).
BOXES_SECONDS = 15.0
_STREAMS = 3
_LENGTH_BYTES = 4
_NO_SUCH = 1


class Asked:
    """A connection whose request is still being read."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.data = bytearray()
        self.files: list[int] = []
        self.until = time.monotonic() + ASKING_SECONDS

    def close(self) -> None:
        """Close the connection and what came over it."""
        while self.files:
            # What came may fail to be closed, and is closed all the same.
            with contextlib.suppress(OSError):
                os.close(self.files.pop())
        self.connection.close()

    def read(self) -> bool:
        """Read what is there and tell whether the request is whole; raises `Refused` for what is none."""
        room = socket.CMSG_SPACE(_STREAMS * array.array("i").itemsize)
        data, ancillary, flags, _ = self.connection.recvmsg(2**16, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                handles = array.array("i")
                handles.frombytes(payload[: len(payload) - len(payload) % handles.itemsize])
                self.files += handles
        self.data += data
        if flags & socket.MSG_CTRUNC or len(self.files) > _STREAMS:
            raise Refused("too many descriptors")
        if not data:
            raise Refused("the request ended early")
        if len(self.data) < _LENGTH_BYTES:
            return False
        length = int.from_bytes(self.data[:_LENGTH_BYTES], "big")
        if length > MOST_BYTES or len(self.data) > _LENGTH_BYTES + length:
            raise Refused("the request is longer than it may be")
        return len(self.data) == _LENGTH_BYTES + length


def fields(data: bytes) -> tuple[list[str], list[str]]:
    """Return the words and the files of a request: version, number of words, words, files, between NULs."""
    version, _, rest = data.partition(b"\0")
    count, _, rest = rest.partition(b"\0")
    if version != _PROTOCOL or not count.isdigit() or len(count) > len(str(MOST_WORDS)):
        raise Refused("the request is not one of OCM's docker")
    texts = [os.fsdecode(part) for part in rest.split(b"\0", 2 * MOST_WORDS)]
    if int(count) > min(len(texts), MOST_WORDS):
        raise Refused("the request holds less than it says")
    return texts[: int(count)], texts[int(count) :]


class Server:
    """The boxes of an instance, and who asks for them."""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        roots: tuple[str, ...],
        owner: tuple[int, int],
        filters: tuple[bytes, ...],
    ) -> None:
        self.listener, self.selector = listener, selector
        self.roots, self.owner, self.filters = roots, owner, filters
        self.boxes: dict[str, boxes.Box] = {}
        self.until: float | None = None
        self.stopping = False
        selector.register(listener, selectors.EVENT_READ, self)

    def answer(self, ready: object) -> None:
        """Take in what is ready to be read: a new connection, or of a request."""
        if isinstance(ready, Asked):
            self._read(ready)
        else:
            self._accept()

    def _accept(self) -> None:
        """Take a new connection; one too many is closed."""
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        if len(self._asking()) >= MOST_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)  # noqa: FBT003 - as the standard library has it
        self.selector.register(connection, selectors.EVENT_READ, Asked(connection))

    def has_deadline(self) -> bool:
        """Tell whether something is to be done when its time comes: `expire` does it."""
        return bool(self._asking()) or self.until is not None

    def _asking(self) -> list[Asked]:
        return [key.data for key in self.selector.get_map().values() if isinstance(key.data, Asked)]

    def _read(self, asked: Asked) -> None:
        """Read of a request, and answer it once it is whole."""
        try:
            if not asked.read():
                return
            self.selector.unregister(asked.connection)
            self._answer(asked)
        except Refused as refused:
            self._finish(asked, refused.code, error=f"{refused}\n")
        except OSError as error:
            self._finish(asked, NOT_A_CALL, error=f"OCM's tool host: {error.strerror}\n")
        except Exception as error:  # noqa: BLE001 - whoever asks, all others are to be answered
            self._finish(asked, NOT_A_CALL, error=f"OCM's tool host: {type(error).__name__}\n")

    def expire(self) -> None:
        """Close connections that took too long to ask, and end the boxes of an instance that is to stop."""
        if self.until is not None and time.monotonic() > self.until:
            self.stopping, self.until = True, None
            for box in self.boxes.values():
                box.stop()
        for asked in self._asking():
            if time.monotonic() > asked.until:
                self._finish(asked, NOT_A_CALL, error="the request took too long\n")

    def ended(self, process: int) -> None:
        """Take note that a process ended, whose status was read."""
        for box in self.boxes.values():
            box.commands.discard(process)
            if box.process == process:
                box.ended()

    def end_soon(self) -> None:
        """End the boxes in a while, and make no more then: the instance is to stop."""
        if not self.stopping and self.until is None:
            self.until = time.monotonic() + BOXES_SECONDS

    def close(self) -> None:
        """End all boxes, and leave no socket that nobody answers at."""
        for box in self.boxes.values():
            box.stop()
        with contextlib.suppress(OSError):
            os.unlink(self.listener.getsockname())

    def _finish(self, asked: Asked, code: int, *, output: str = "", error: str = "") -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(asked.connection)
        if error and code == NOT_A_CALL:
            complain(repr(error.strip()[:500]))
        with contextlib.suppress(OSError):
            asked.connection.settimeout(1)
            asked.connection.sendall(reply(code, output, error))
            asked.connection.shutdown(socket.SHUT_RDWR)
        asked.close()

    def _answer(self, asked: Asked) -> None:
        call = parse(*fields(bytes(asked.data[_LENGTH_BYTES:])))
        if isinstance(call, Execute):
            self._execute(asked, call)
        else:
            self._finish(asked, 0, output=self._do(call))

    def _do(self, call: Call) -> str:
        if isinstance(call, InspectImage | InspectSandbox | Version):
            return _constant(call)
        if isinstance(call, Create):
            return f"{self._create(call).identity}\n"
        name = call.name
        box = self._box(name)
        if isinstance(call, Inspect):
            state = State(up=box.process is not None, running=bool(box.commands), paused=box.paused)
            return f"{described(box.wanted, call.layout, identity=box.identity, state=state)}\n"
        if isinstance(call, Start):
            if self.stopping:
                raise Refused("the instance is stopping", 1)
            if box.paused:
                raise Refused("cannot start a paused container, try unpause instead", 1)
            box.start(self.roots, self.owner, self.filters)
        elif isinstance(call, Remove):
            box.stop()
            del self.boxes[box.wanted.name]
        elif isinstance(call, Pause):
            _pause(box, call)
        return f"{name}\n"

    def _create(self, call: Create) -> boxes.Box:
        wanted = call.box
        if wanted.name in self.boxes:
            raise Refused(f"Conflict. The container name {wanted.name!r} is already in use", 1)
        if len(self.boxes) >= MOST_BOXES:
            self._make_room()
        uid, gid = self.owner
        if wanted.user not in ("", str(uid), f"{uid}:{gid}"):
            raise Refused(f"docker create --user {wanted.user[:50]}: a box has one user, {uid}:{gid}")
        binds.check(wanted.binds, self.roots)
        if wanted.unenforced:
            listed = ", ".join(wanted.unenforced)
            complain(f"{wanted.name}: {listed} do nothing, the limits of the instance hold")
        box = self.boxes[wanted.name] = boxes.Box(wanted)
        return box

    def _make_room(self) -> None:
        """Remove the box in which nothing runs for the longest time: OpenClaw makes one anew that is gone."""
        idle = [box for box in self.boxes.values() if not box.commands and not box.paused]
        if not idle:
            raise Refused(f"in {MOST_BOXES} boxes commands run already", 1)
        oldest = min(idle, key=lambda box: box.used)
        oldest.stop()
        del self.boxes[oldest.wanted.name]

    def _box(self, name: str) -> boxes.Box:
        for box in self.boxes.values():
            if name in (box.wanted.name, box.identity, box.identity[:12]):
                return box
        raise Refused(f"Error: No such object: {name}", _NO_SUCH)

    def _execute(self, asked: Asked, call: Execute) -> None:
        box = self._box(call.name)
        if box.process is None:
            raise Refused(f"Error response from daemon: container {call.name} is not running", 1)
        if box.paused:
            raise Refused(
                f"Error response from daemon: container {call.name} is paused,"
                " unpause the container before exec",
                1,
            )
        if len(asked.files) != _STREAMS:
            raise Refused("exec wants three descriptors")
        if len(box.commands) >= MOST_COMMANDS_OF_ONE:
            raise Refused(f"{MOST_COMMANDS_OF_ONE} commands run in this box already", 1)
        if sum(len(each.commands) for each in self.boxes.values()) >= MOST_COMMANDS:
            raise Refused(f"{MOST_COMMANDS} commands run in boxes already", 1)
        keeper = os.fork()
        if keeper == 0:
            self._keep(asked, box, call)
        box.commands.add(keeper)
        box.used = time.monotonic()
        asked.close()

    def _keep(self, asked: Asked, box: boxes.Box, call: Execute) -> NoReturn:
        """In a process of its own: run a command, and tell who asked how it ended."""
        code, error = NOT_A_CALL, ""
        try:
            asker = asked.connection.fileno()
            commands.leave_host({asker, *asked.files, *(handle for _, handle in box.namespaces)})
            asked.connection.setblocking(True)  # noqa: FBT003 - as the standard library has it
            code = commands.run(box, call, commands.Streams(asked.files, asker), self.filters)
        except OSError as failed:
            error = f"OCM's tool host: {failed.strerror}\n"
        except Exception as failed:  # noqa: BLE001 - it must not go on as a second tool host
            error = f"OCM's tool host: {type(failed).__name__}\n"
        with contextlib.suppress(OSError):
            asked.connection.sendall(reply(code, "", error))
        os._exit(0)


def _constant(call: InspectImage | InspectSandbox | Version) -> str:
    """Return the answer to what is not about a box."""
    if isinstance(call, InspectImage):
        return "[]\n"  # each is there: it is the system's own /usr
    return f"{VERSION if isinstance(call, Version) else described_sandbox()}\n"


def _pause(box: boxes.Box, call: Pause) -> None:
    """Pause a box or let it go on, as docker does; raises `Refused` where that cannot be."""
    if box.process is None or box.paused == call.paused:
        why = "running" if box.process is None else "paused"
        text = f"is {'already' if call.paused and box.paused else 'not'} {why}"
        raise Refused(f"Error response from daemon: container {call.name} {text}", 1)
    box.paused = call.paused
    if not commands.settle(box) and call.paused:
        box.paused = False
        commands.settle(box)
        raise Refused(f"container {call.name} could not be paused in time", 1)


def reply(code: int, output: str, error: str) -> bytes:
    """Return an answer: exit status, output and errors, with NULs between."""
    return b"\0".join((str(code).encode(), os.fsencode(output), os.fsencode(error)))
