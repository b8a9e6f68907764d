"""The state of an instance in a cluster: each question is one program, run once in a pod that has its claim.

What answers runs as the instance does, in its own pod or in one that stands in for it (volume_pod.py), and
says whatever the instance likes: that can be a lie about its own state, as that state could be made to be,
and nothing else. It is bounded in size and read with suspicion; no word of it is printed but the names of
files. Where the cluster gives no answer the error is that of who runs the program.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from openclaw_ocm.backends.kubernetes.places import STATE_DIRECTORY, VOLUME_ROOT
from openclaw_ocm.core.image.contents import STATE
from openclaw_ocm.core.sandbox.launch import PYTHON
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.archive.taking import Disk, State

# How a program is run in the pod: its words, its standard input, and how many bytes it may print. Returns
# what it printed once it ended well; whatever else becomes of it is an `OcmError`.
Run = Callable[[tuple[str, ...], bytes, int], bytes]
# The same for more than is held in memory: what is read of it and what is written to it. It is ended where
# this is left early, and where it does not end well that is an `OcmError`.
Stream = Callable[[tuple[str, ...]], AbstractContextManager[tuple[IO[bytes], IO[bytes]]]]

# In the pod of an instance its state lies in its home, in one that has the whole volume below the root of it.
PLACES = (str(VOLUME_ROOT / STATE_DIRECTORY), str(STATE))
_MAX_LINE = 256
_MAX_NAME = 255
# More files, and more bytes in them, than databases of any state: sums of them become deadlines.
_MOST_SIZES, _MOST_BYTES = 1_000_000, 2**40
_SIZE_BYTES = 8
_MOST_ON_DISK, _MODE = 2**60, 0o177777
# What these say of a file is no error of a file to who catches them: of its standard output, for instance.
_OF_OTHER_THINGS = (ConnectionError, ChildProcessError, InterruptedError, ProcessLookupError, TimeoutError)

_Number = Annotated[int, msgspec.Meta(ge=1, le=4095)]


class _Ok(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ok"):
    size: Annotated[int, msgspec.Meta(ge=0)]


class Failed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="error"):
    """A file could not be used, by its errno."""

    number: _Number


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="refused"):
    """What is there, or was asked for, is not used."""

    why: Literal["link", "special", "large", "restless", "outside", "many", "unclear"]


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="closed"):
    """The state itself cannot be opened."""

    number: _Number
    link: bool


def argv_of(program: str) -> tuple[str, ...]:
    """Return the command that runs a program in a pod that has the state."""
    return (PYTHON, "-I", "-S", "-c", programs.text(program), *PLACES)


def request(asked: dict[str, Any], given: bytes = b"") -> bytes:
    """Return what such a program reads: what it is asked and given."""
    words = json.dumps(asked).encode()
    return b"".join((b"%d %d\n" % (len(words), len(given)), words, given))


@dataclass(frozen=True, slots=True, kw_only=True)
class PodVolume:
    """A volume that is a claim in a cluster; `where` is the namespace, for a person to find it."""

    where: str
    run: Run = field(repr=False)
    stream: Stream = field(repr=False)

    def check(self, name: InstanceName) -> None:
        """Raise `OcmError` where there is no state, or a link, which no pod mounts."""
        found = self._ask("check", "", most=_MAX_LINE)
        if found == b"link":
            raise _is_link(self.where)
        if found == b"nothing":
            message = f"{name} has no state {self.place('')}"
            hint = f"ocm restore a backup of it, or ocm delete {name}"
            raise OcmError(message, hint=hint, code="state_missing")
        if found != b"directory":
            raise unclear(self.where)

    def place(self, path: str) -> str:
        """Return where a file lies, for a person to find it."""
        return _place(self.where, path)

    def read(self, path: str, *, limit: int, tail: bool = False) -> bytes:
        """Return the content of a regular file, with `tail` its last `limit` bytes."""
        return self._ask("read", path, most=limit, limit=limit, tail=tail)

    def write(self, name: str, data: bytes) -> None:
        """Write a file at the top, 0600, so that it is there whole or not at all, after a crash too."""
        self._ask("write", name, data, most=0)

    def replace(self, name: str, data: bytes, *, before: bytes, limit: int, beside: str) -> bool:
        """Replace `before`, the content of a file at the top, by `data`; tell if it was done."""
        digest = hashlib.sha256(before).hexdigest()
        more = {"before": digest, "limit": limit, "beside": encoded(beside)}
        return self._is_so(self._ask("replace", name, data, most=1, **more))

    def remove(self, name: str) -> None:
        """Remove a file or a link at the top; nothing where there is none."""
        self._ask("remove", name, most=0)

    def names(self, folder: str = ".", *, most: int) -> tuple[str, ...]:
        """Return what is in a directory, none where there is none; in no order, and `most` of any number."""
        answer = self._ask("names", folder, most=most * (_MAX_NAME + 1), count=most)
        found = tuple(answer.split(b"\0")) if answer else ()
        if len(found) > most or not all(map(is_name, found)):
            raise unclear(self.where)
        return tuple(map(os.fsdecode, found))

    def has(self, *folders: str) -> bool:
        """Tell whether there is one of these directories."""
        return self._is_so(self._ask("has", "", most=1, folders=[*map(encoded, folders)]))

    @contextlib.contextmanager
    def opened(self) -> Iterator[State]:
        """Yield the whole state, to be walked; raises `OcmError` where there is none that can be opened."""
        # Few commands do.
        from openclaw_ocm.backends.kubernetes.pod_state import PodState

        mode, disk = self.about()
        yield PodState(volume=self, mode=mode, disk=disk)

    def about(self) -> tuple[int, Disk]:
        """Return the mode of the directory, and what is known of the disk that it is on."""
        from openclaw_ocm.system.archive.taking import Disk

        answer = self._ask("about", "", most=3 * _SIZE_BYTES)
        if len(answer) != 3 * _SIZE_BYTES:
            raise unclear(self.where)
        mode, size, free = struct.unpack(">3Q", answer)
        return mode & _MODE, Disk(size=min(size, _MOST_ON_DISK), free=min(free, _MOST_ON_DISK))

    def discard(self, folder: str) -> None:
        """Remove a directory at the top with the files in it, as far as that can be done."""
        self._ask("discard", folder, most=0)

    def sizes(self, *folders: str, most: int | None = None) -> tuple[int, ...]:
        """Return what each file in these directories takes on disk, without what cannot be looked at.

        Raises `OcmError` where they are more than the databases of any state, or larger.
        """
        bound = _MOST_SIZES + 1 if most is None else most
        told = [*map(encoded, folders)]
        answer = self._ask("sizes", "", most=bound * _SIZE_BYTES, folders=told, count=bound)
        if len(answer) % _SIZE_BYTES:
            raise unclear(self.where)
        sizes = struct.unpack(f">{len(answer) // _SIZE_BYTES}Q", answer)
        if (most is None and len(sizes) > _MOST_SIZES) or sum(sizes) > _MOST_BYTES:
            raise _too_large(self.where, " and ".join(folders))
        return sizes

    def _ask(self, what: str, path: str, given: bytes = b"", *, most: int, **more: object) -> bytes:
        """Ask the program for something, and return the bytes that it answers, at the most `most`.

        Raises what a `Directory` does; where that is an `OSError` of the pod's it is about `path`.
        """
        asked = {"what": what, "path": encoded(path), **more}
        answer = self.run(argv_of("volume.py"), request(asked, given), most + _MAX_LINE)
        line, newline, data = answer.partition(b"\n")
        try:
            said = msgspec.json.decode(line, type=_Ok | Failed | Refused | Closed)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise unclear(self.where) from None
        if isinstance(said, _Ok):
            if not newline or said.size != len(data) or said.size > most:
                raise unclear(self.where)
            return data
        raise failure(self.where, said, path, more.get("limit"))

    def _is_so(self, answer: bytes) -> bool:
        if answer not in (b"0", b"1"):
            raise unclear(self.where)
        return answer == b"1"


def failure(
    where: str, said: Failed | Refused | Closed, path: str = "", limit: object = None
) -> OcmError | OSError:
    """Return what is to be raised for what a pod of the namespace `where` says, about a path in the state."""
    if isinstance(said, Failed):
        return _failed(where, said.number, path)
    if isinstance(said, Refused):
        return _refused(where, said, path, limit)
    if said.link:
        return _is_link(where)
    message = f"the state {_place(where, '')} cannot be opened: {os.strerror(said.number)}"
    return OcmError(message, code="state_unreadable")


def unclear(where: str) -> OcmError:
    """Return what is to be raised for an answer that is none."""
    message = f"what was answered about the state in {where} is no answer"
    return OcmError(message, hint="a program in the pod may stand in the way", code="volume_unclear")


def encoded(path: str) -> str:
    """Return a path with a character for each byte; raise `ValueError` where no file can have it."""
    if "\0" in path:
        message = "embedded null byte"
        raise ValueError(message)
    return os.fsencode(path).decode("latin-1")


def is_name(name: bytes) -> bool:
    """Tell whether something in a directory can have this name."""
    return 0 < len(name) <= _MAX_NAME and not {*b"/\0"} & {*name} and name not in (b".", b"..")


def _failed(where: str, number: int, path: str) -> OcmError | OSError:
    if number not in errno.errorcode:
        return unclear(where)
    words, place = os.strerror(number), _place(where, path)
    error = OSError(number, words, place)
    if isinstance(error, _OF_OTHER_THINGS):
        return OcmError(f"{words}: {place}", code="os_error")
    return error


def _refused(where: str, said: Refused, path: str, limit: object) -> OcmError:
    name = path.rpartition("/")[2]
    if said.why == "unclear":
        return unclear(where)
    if said.why == "many":
        return _too_large(where, "")
    if said.why == "restless":
        message = f"{name} never rests: it is written all the time"
        return OcmError(message, hint="try again", code="config_changed")
    why = {
        "link": "is a link, which OCM does not follow",
        "special": "is no regular file",
        "large": f"is larger than {limit} bytes",
        "outside": "is no place in the state",
    }
    return OcmError(f"{name} {why[said.why]}", code="config_unreadable")


def _too_large(where: str, path: str) -> OcmError:
    message = f"there are more or larger files in {_place(where, path)} than OCM counts"
    return OcmError(message, hint="remove what is not needed, by ocm enter", code="state_too_large")


def _is_link(where: str) -> OcmError:
    message = f"the state {_place(where, '')} is a link, which no pod mounts"
    hint = f"put the directory itself in its place, at {STATE_DIRECTORY} in the volume"
    return OcmError(message, hint=hint, code="state_link")


def _place(where: str, path: str) -> str:
    return f"{where}:{STATE / path}"
