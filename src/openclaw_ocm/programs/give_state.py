"""Gives out an instance's state where its volume is, as a stream of frames.

Its arguments, and what it reads, are those of volume.py. A frame is a line of JSON, whose `kind` says what it
is; bytes in it are base64. Each `entry` is something of the state; what is in a directory comes after it,
sorted by the bytes of names. What is `open` goes on: a directory as the entries below it, a file as its
content. That is any number of `data`, each followed by its bytes, with their place in the file; between them
are zeros. `again` says that the file changed while it was read and comes anew, `end` that this was all, and
`lost` that it cannot be read. The last frame is `done`, with the number of entries and of bytes of data, or
says why there is none.

An instance may have made anything of its state and goes on doing so: no link is followed, and nothing but
directories and regular files is opened. What of it is wanted is for who asked to say: what is in `skip` is
not opened.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import itertools
import json
import os
import stat
import sys
import time
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOSED_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CLOSED_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OPENED = {"directory": CLOSED_DIRECTORY, "file": CLOSED_FILE}
# As openclaw_ocm.system.archive.snapshot has them.
MAX_DEPTH, MAX_NAMES, ATTEMPTS, TICK_SECONDS = 200, 1_000_000, 5, 0.02
CHUNK, HOLE = 2**18, 2**16
# What is gone, or is another thing by now; ENXIO is said of a socket.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO)
TAG, SIGNATURE = b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"
BEGIN = 16
# What one can make of a time and a size is more than anybody takes (openclaw_ocm.core.backup.holes).
LAST_SECOND, MAX_REAL = 2**33, 2**44


class Ended(Exception):
    """There is nothing more to be done; the argument is the last frame."""


class Found(NamedTuple):
    """Something in an open directory; `opened` where it was, and `number` why it could not be."""

    path: bytes
    directory: int
    shape: str
    status: os.stat_result | None
    opened: int | None
    number: int

    @property
    def name(self) -> bytes:
        """Its name in that directory."""
        return self.path.rpartition(b"/")[2]


def encoded(data: bytes) -> str:
    """Return bytes as they are in a frame."""
    return base64.b64encode(data).decode()


def shape_of(mode: int) -> str:
    """Return the word for what has a mode."""
    shapes = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
    return shapes.get(stat.S_IFMT(mode), "special")


def walk(state: int, skip: set[bytes]) -> Iterator[Found]:
    """Yield what is below an open directory, a directory before what is in it."""
    room = MAX_NAMES
    first = names_in(state, room)
    room -= len(first)
    levels = [(state, b"", iter(first))]
    while levels:
        directory, above, names = levels[-1]
        name = next(names, None)
        if name is None:
            levels.pop()
            if levels:
                os.close(directory)
            continue
        path = above + name
        found = look(directory, path, name, opens=path not in skip, deep=len(levels) > MAX_DEPTH)
        if found is not None:
            yield found
            if found.shape == "directory" and found.opened is not None:
                below = names_in(found.opened, room)
                room -= len(below)
                levels.append((found.opened, path + b"/", iter(below)))


def names_in(directory: int, room: int) -> list[bytes]:
    """Return what is in a directory; raise `Ended` where it is more than anybody takes."""
    with os.scandir(directory) as entries:
        # A name that is moved while it is looked for may come twice.
        names = {os.fsencode(entry.name) for entry in itertools.islice(entries, room + 1)}
    if len(names) > room:
        raise Ended({"kind": "refused", "why": "many"})
    return sorted(names)


def look(directory: int, path: bytes, name: bytes, *, opens: bool, deep: bool) -> Found | None:
    """Return what a name stands for, None where it is gone; a directory too `deep` is not opened."""
    shape, status = "unread", None
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        shape = shape_of(status.st_mode)
        if not opens or shape not in OPENED or (deep and shape == "directory"):
            return Found(path, directory, shape, status, None, 0)
        opened = os.open(name, OPENED[shape], dir_fd=directory)
    except OSError as error:
        if error.errno in GONE:
            return None
        return Found(path, directory, shape, status, None, error.errno or 0)
    status = os.fstat(opened)
    if shape_of(status.st_mode) != shape:
        os.close(opened)
        return None
    return Found(path, directory, shape, status, opened, 0)


class Giver:
    """Writes what is found as frames, with the `content` of files or with how they begin.

    With a `place`, an offset and a size, what lies there in a file is all that is looked at, and is written
    by nobody any more.
    """

    def __init__(self, write: IO[bytes], *, content: bool, place: list[int] | None = None) -> None:
        self.write = write
        self.content = content
        self.place = place
        self.entries = self.bytes = 0

    def frame(self, kind: str, **said: object) -> None:
        """Write one frame."""
        self.write.write(json.dumps({"kind": kind, **said}).encode() + b"\n")

    def give(self, found: Found) -> None:
        """Write something of the state."""
        file = found.opened if found.shape == "file" else None
        status = found.status if file is None or not self.content else settled(file)
        said = {"path": encoded(found.path), "shape": found.shape, "number": found.number}
        said |= {} if status is None else told_by(status)
        if self.place is not None and status is not None:
            said["size"] = self.bounds(status)[1] - self.bounds(status)[0]
        said["open"] = found.opened is not None and (self.content or file is None)
        try:
            if found.shape == "link":
                said["target"] = encoded(os.readlink(found.name, dir_fd=found.directory))
            elif found.opened is not None and found.shape == "directory":
                said["cache"] = is_cache(found.opened)
            elif found.opened is not None and not self.content:
                said["begin"] = encoded(os.pread(found.opened, BEGIN, 0))
        except OSError as error:
            if found.shape == "link" and error.errno in GONE:
                return
            said |= {"number": error.errno, **({"shape": "unread"} if found.shape == "link" else {})}
        self.entries += 1
        self.frame("entry", **said)
        if file is not None:
            with os.fdopen(file, "rb", buffering=0) as opened:
                if self.content and status is not None:
                    self.give_content(opened, status)

    def give_content(self, file: IO[bytes], before: os.stat_result) -> None:
        """Write what a file holds, until nothing changed it meanwhile."""
        try:
            for attempt in range(ATTEMPTS):
                if attempt:
                    time.sleep(TICK_SECONDS * 2**attempt)
                    before = settled(file.fileno())
                    self.frame("again", size=before.st_size)
                size, steady = self.give_once(file, before)
                if steady:
                    break
        except OSError as error:
            self.frame("lost", number=error.errno)
        else:
            self.frame("end", size=size, steady=steady)

    def bounds(self, status: os.stat_result) -> tuple[int, int]:
        """Return between which places of a file it is looked at."""
        if self.place is None:
            return 0, status.st_size
        return min(self.place[0], status.st_size), min(sum(self.place), status.st_size)

    def give_once(self, file: IO[bytes], before: os.stat_result) -> tuple[int, bool]:
        """Write what a file holds; return how much that was, and whether it was all at one moment."""
        begin, end = self.bounds(before)
        if before.st_size > MAX_REAL:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        position = begin
        while position < end and (data := next_data(file, position, end)) is not None:
            position = file.seek(data)
            chunk = file.read(min(end - position, CHUNK))
            if not chunk:
                return position - begin, False
            self.give_chunk(position - begin, chunk)
            position += len(chunk)
        steady = self.place is not None or version(before) == version(os.fstat(file.fileno()))
        return end - begin, steady

    def give_chunk(self, position: int, chunk: bytes) -> None:
        """Write what was read, less what is nothing but zeros."""
        for offset in range(0, len(chunk), HOLE):
            block = chunk[offset : offset + HOLE]
            if block.count(0) < len(block):
                self.bytes += len(block)
                self.frame("data", at=position + offset, size=len(block))
                self.write.write(block)


def told_by(status: os.stat_result) -> dict[str, object]:
    """Return what a frame says of something."""
    return {
        "mode": stat.S_IMODE(status.st_mode),
        "mtime": min(max(int(status.st_mtime), 0), LAST_SECOND - 1),
        "size": status.st_size,
        "taken": status.st_blocks * 512,
    }


def settled(descriptor: int) -> os.stat_result:
    """Return what a file says of itself, once what is written from now on leaves a trace in its time."""
    status = os.fstat(descriptor)
    if 0 <= time.time() - status.st_ctime < TICK_SECONDS:
        time.sleep(TICK_SECONDS)
        status = os.fstat(descriptor)
    return status


def version(status: os.stat_result) -> tuple[int, ...]:
    """Return what is another once a file was written."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def next_data(file: IO[bytes], position: int, size: int) -> int | None:
    """Return where a file has data again, in whole blocks, None where it has no more."""
    try:
        data = os.lseek(file.fileno(), position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        # A file system that knows of no holes.
        return position
    return max(position, data - data % HOLE) if data < size else None


def is_cache(directory: int) -> bool:
    """Tell whether a directory says that it is a cache (bford.info/cachedir)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(TAG, CLOSED_FILE, dir_fd=directory)
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return is_file and os.read(descriptor, len(SIGNATURE)) == SIGNATURE
        finally:
            os.close(descriptor)
    return False


def give_out(state: str, ask: dict[str, Any], write: IO[bytes]) -> dict[str, object]:
    """Write all that is in a state, or one file of it, and return the last frame."""
    try:
        top = os.open(state, CLOSED_DIRECTORY)
    except OSError as error:
        return {"kind": "closed", "number": error.errno, "link": os.path.islink(state)}
    if ask["what"] == "one":
        giver = Giver(write, content=True, place=ask["place"])
        giver.give(one(top, ask["path"].encode("latin-1")))
    else:
        giver = Giver(write, content=ask["content"])
        for found in walk(top, {path.encode("latin-1") for path in ask["skip"]}):
            giver.give(found)
    return {"kind": "done", "entries": giver.entries, "bytes": giver.bytes}


def one(directory: int, path: bytes) -> Found:
    """Return a file at a path; raise `FileNotFoundError` where there is none."""
    *folders, name = path.split(b"/")
    for folder in folders:
        directory = os.open(folder, CLOSED_DIRECTORY, dir_fd=directory)
    found = look(directory, name, name, opens=True, deep=False)
    if found is None or found.shape != "file":
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def main() -> None:
    """Do what standard input asks."""
    read, write = sys.stdin.buffer, sys.stdout.buffer
    asked, _ = (int(word) for word in read.readline(64).split())
    ask = json.loads(read.read(asked))
    places = sys.argv[1:]
    state = next((place for place in places if os.path.isdir(os.path.dirname(place))), places[-1])
    try:
        last = give_out(state, ask, write)
    except Ended as ended:
        last = ended.args[0]
    except OSError as error:
        last = {"kind": "error", "number": error.errno}
    write.write(json.dumps(last).encode() + b"\n")
    write.flush()


if __name__ == "__main__":
    main()
