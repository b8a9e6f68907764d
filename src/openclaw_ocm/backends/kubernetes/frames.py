"""What is said over a connection to a program in a pod: no byte of that is moved in here.

The API server's websocket carries channels: the first byte of a message says which (`exec`, subprotocols
`v4.channel.k8s.io` and `v5.channel.k8s.io`). With the former no end of the input can be told, and with both
output may be cut off without a word when a program ends (kubernetes/kubernetes#60140). So on the channels lie
the frames of programs/run_remote.pl, by which both sides know what is whole: what ends without the last of
them was cut off.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, STATUS = range(4)
OUTPUT, ERRORS = b"o", b"r"
# How much of a program's input may be on its way: as many bytes go into one round trip at most. And how much
# of it goes into one message.
WINDOW, PIECE = 2**21, 2**15
# run_remote.pl tells 64 KiB at once; a Status is some hundred bytes.
_LONGEST_FRAME, _MOST_COMPLAINT = 2**17, 2**16
_HEAD = struct.Struct(">cI")
_END = struct.Struct(">BBQQ")
_COUNT, _SIZE = struct.Struct(">I"), struct.Struct(">HH")
_LAST_LINES = 5
_UNREADABLE = "the cluster gives no reason that can be read"


class Garbled(Exception):
    """What came from a pod is not what run_remote.pl says."""


class Refused(Exception):
    """The cluster did not run the program, or ended what runs it; in words of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run in a container: with its variables and `environ`, in `directory`.

    With a `size`, rows and columns, it has a terminal of its own. `token` marks the processes of it.
    """

    argv: tuple[str, ...]
    token: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    directory: str | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a program ended; `whole` where all that it printed had come by then."""

    status: int
    whole: bool


def frame(letter: bytes, content: bytes = b"") -> bytes:
    """Return a frame as run_remote.pl reads and writes it."""
    return _HEAD.pack(letter, len(content)) + content


def opening(program: Program, variable: str) -> bytes:
    """Return the frames that begin a program, whose token is in the environment by the name `variable`."""
    variables = {**program.environ, variable: program.token}
    frames = [
        *([] if program.directory is None else [frame(b"d", program.directory.encode())]),
        *(frame(b"v", f"{name}={value}".encode()) for name, value in variables.items()),
        *(frame(b"a", word.encode()) for word in program.argv),
        *([] if program.size is None else [size(*program.size)]),
        frame(b"g"),
    ]
    return b"".join(frames)


def size(rows: int, columns: int) -> bytes:
    """Return the frame by which a terminal has a size."""
    return frame(b"w", _SIZE.pack(rows & 0xFFFF, columns & 0xFFFF))


class Talk:
    """What was said so far with one program: what comes is taken in, and what goes out is counted."""

    def __init__(self) -> None:
        self.room = WINDOW
        self.end: End | None = None
        self._begun = bytearray()
        self._lengths = {OUTPUT: 0, ERRORS: 0}
        self._complaint = bytearray()
        self._status = bytearray()

    def given(self, data: bytes) -> bytes:
        """Return the frame that gives input to the program; there has to be room for it."""
        self.room -= len(data)
        return frame(b"i", data)

    def receive(self, message: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what the program printed, of which stream and what, as a message of the server tells it.

        Raises `Garbled` where it says nothing that can be, and `Refused` where the cluster says the end.
        """
        channel, content = message[:1], message[1:]
        if channel == bytes([STDOUT]):
            self._begun += content
            for letter, data in self._frames():
                yield from self._take(letter, data)
        elif channel == bytes([STDERR]):
            # What runs the program has nothing to say, unless it cannot go on.
            self._complaint += content[: _MOST_COMPLAINT - len(self._complaint)]
        elif channel == bytes([STATUS]):
            self._status += content[: _MOST_COMPLAINT - len(self._status)]
            if self.end is None and self._status:
                self._refuse()
        else:
            raise Garbled(f"a message on channel {channel.hex() or 'none'}")

    def _frames(self) -> Iterator[tuple[bytes, bytes]]:
        while len(self._begun) >= _HEAD.size:
            letter, length = _HEAD.unpack_from(self._begun)
            if length > _LONGEST_FRAME:
                raise Garbled("a frame that is too long")
            whole = _HEAD.size + length
            if len(self._begun) < whole:
                return
            content = bytes(self._begun[_HEAD.size : whole])
            del self._begun[:whole]
            yield letter, content

    def _take(self, letter: bytes, content: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self.end is not None:
            raise Garbled("a frame after the last one")
        if letter in self._lengths:
            self._lengths[letter] += len(content)
            if content:
                yield letter, content
        elif letter == b"c" and len(content) == _COUNT.size:
            self.room += _COUNT.unpack(content)[0]
            if self.room > WINDOW:
                raise Garbled("more input taken than was given")
        elif letter == b"x" and len(content) == _END.size:
            status, whole, *lengths = _END.unpack(content)
            if lengths != list(self._lengths.values()):
                raise Garbled("another length than came")
            self.end = End(status=status, whole=bool(whole))
        else:
            raise Garbled("an unknown frame")

    def _refuse(self) -> None:
        said = refusal(bytes(self._status), bytes(self._complaint))
        if said is not None:
            raise Refused(said)


def refusal(status: bytes, complaint: bytes = b"") -> str | None:
    """Return in words why a program was not run to its end, None while the Status has not come as a whole.

    `status` is the JSON of the last channel: what runs the program ended, which it does after its last frame
    alone, or never ran. `complaint` is what it printed to the error stream.
    """
    try:
        told: Any = json.loads(status)
    except ValueError:
        return None if len(status) < _MOST_COMPLAINT else _UNREADABLE
    except RecursionError:
        return _UNREADABLE
    lines = [text for line in complaint.decode(errors="replace").splitlines() if (text := printable(line))]
    said = f": {' '.join(lines[-_LAST_LINES:])}" if lines else ""
    if not isinstance(told, dict):
        return _UNREADABLE
    if told.get("status") == "Success":
        return f"what ran it ended too early{said}"
    if told.get("reason") == "NonZeroExitCode":
        return f"what ran it ended with exit status {_exit_code(told)}{said}"
    return printable(str(told.get("message") or told.get("reason") or "no reason given"), limit=400) + said


def _exit_code(told: dict[str, Any]) -> str:
    causes = lookup(told, "details.causes")
    for cause in map(as_object, causes if isinstance(causes, list) else ()):
        if cause.get("reason") == "ExitCode":
            return printable(str(cause.get("message")), limit=10)
    return "unknown"
