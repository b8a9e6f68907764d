"""Takes a state in where a volume is, as a stream of the frames of give_state.py.

Its arguments, and what it reads first, are those of volume.py. The state comes into the directory `stage`
beside where one is, which it makes; where that fails what was written by then is left there. Of the entries
only directories, files and links are taken, and only in the order in which they are given out. The answer is
one frame: `done`, with the number of entries and of bytes of data, or why there is none.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import IO, Any

CLOSED_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_LINE = 2**18
OWN_MODE = 0o700


class Ended(Exception):
    """There is nothing more to be done; the argument is the last frame."""


class Taker:
    """Makes of frames what they tell of, below an open directory that nobody else writes."""

    def __init__(self, top: int) -> None:
        # Each directory on the way to where it is: its path, the open one, its mode, and its last name.
        self.levels: list[tuple[bytes, int, int, bytes]] = [(b"", top, OWN_MODE, b"")]
        self.file: int | None = None
        self.said: dict[str, Any] = {}
        self.entries = self.bytes = 0

    def take(self, said: dict[str, Any], read: IO[bytes]) -> bool:
        """Do what one frame says; return whether there are more."""
        kind = said["kind"]
        if self.file is not None:
            self.take_content(self.file, said, read)
        elif kind == "entry":
            self.take_entry(said)
        elif kind == "done" and (said["entries"], said["bytes"]) == (self.entries, self.bytes):
            while self.levels:
                self.close()
            return False
        else:
            raise Ended({"kind": "refused", "why": "unclear"})
        return True

    def take_entry(self, said: dict[str, Any]) -> None:
        """Make what an entry tells of; where it is a file, its content follows."""
        path = base64.b64decode(said["path"])
        above, _, name = path.rpartition(b"/")
        while self.levels and self.levels[-1][0] != above:
            self.close()
        # Sorted, so that none comes twice.
        if not self.levels or name in (b"", b".", b"..") or name <= self.levels[-1][3]:
            raise Ended({"kind": "refused", "why": "unclear"})
        directory = self.levels[-1][1]
        self.levels[-1] = (*self.levels[-1][:3], name)
        if said["shape"] == "directory":
            os.mkdir(name, OWN_MODE, dir_fd=directory)
            opened = os.open(name, CLOSED_DIRECTORY, dir_fd=directory)
            self.levels.append((path, opened, said["mode"] & OWN_MODE, b""))
        elif said["shape"] == "file":
            self.file, self.said = os.open(name, NEW_FILE, 0o600, dir_fd=directory), said
        elif said["shape"] == "link":
            os.symlink(base64.b64decode(said["target"]), name, dir_fd=directory)
        else:
            raise Ended({"kind": "refused", "why": "unclear"})
        self.entries += 1

    def take_content(self, file: int, said: dict[str, Any], read: IO[bytes]) -> None:
        """Write some of a file, or end it."""
        if said["kind"] == "data":
            data = memoryview(read.read(said["size"]))
            self.bytes += len(data)
            at = said["at"]
            while data:
                count = os.pwrite(file, data, at)
                data, at = data[count:], at + count
        elif said["kind"] == "again":
            os.truncate(file, 0)
        elif said["kind"] == "end":
            os.truncate(file, said["size"])
            os.fchmod(file, self.said["mode"] & OWN_MODE)
            os.utime(file, (self.said["mtime"], self.said["mtime"]))
            os.close(file)
            self.file = None
        else:
            raise Ended({"kind": "refused", "why": "unclear"})

    def close(self) -> None:
        """Leave a directory as it is to be."""
        _, directory, mode, _ = self.levels.pop()
        os.fchmod(directory, mode)
        os.close(directory)


def take_in(state: str, ask: dict[str, Any], read: IO[bytes]) -> dict[str, object]:
    """Take in a state as the new directory `stage` beside where one is, and return the last frame."""
    name = ask["stage"].encode("latin-1")
    if b"/" in name or name in (b"", b".", b".."):
        return {"kind": "refused", "why": "unclear"}
    beside = os.open(os.path.dirname(state), CLOSED_DIRECTORY)
    os.mkdir(name, OWN_MODE, dir_fd=beside)
    taker = Taker(os.open(name, CLOSED_DIRECTORY, dir_fd=beside))
    more = True
    while more:
        line = read.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            sys.exit("what was given was cut off")
        more = taker.take(json.loads(line), read)
    flush(beside)
    return {"kind": "done", "entries": taker.entries, "bytes": taker.bytes}


def flush(directory: int) -> None:
    """Have all that was written to the file system of a directory be on disk (syncfs(2))."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syncfs(directory):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Do what standard input asks."""
    read, write = sys.stdin.buffer, sys.stdout.buffer
    asked, _ = (int(word) for word in read.readline(64).split())
    ask = json.loads(read.read(asked))
    places = sys.argv[1:]
    state = next((place for place in places if os.path.isdir(os.path.dirname(place))), places[-1])
    try:
        last = take_in(state, ask, read)
    except Ended as ended:
        last = ended.args[0]
    except OSError as error:
        last = {"kind": "error", "number": error.errno}
    write.write(json.dumps(last).encode() + b"\n")
    write.flush()


if __name__ == "__main__":
    main()
