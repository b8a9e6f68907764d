"""Reads and writes files of an instance's state where its volume is: one question, one answer.

Runs as the instance, which may have made anything of what is here and goes on doing so: no link is followed,
nothing but a regular file is read, and a pipe keeps nobody waiting. Its arguments are where the state may be:
it is at the first of them whose directory is there. Standard input has a line with two sizes, then an object
of JSON and bytes of these sizes; it need not end. Paths in it have a character for each byte. The answer is
a line of JSON and, where its `kind` is `ok`, `size` bytes. The semantics are those of
openclaw_ocm.system.volume.Directory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLOSED_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CLOSED_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
EXCHANGE = 2
ATTEMPTS = 100
TOKEN_BYTES = 6


class Refused(Exception):
    """What is there is not for OCM to read or write; the argument is the word for why."""


def names_in(path: str) -> list[bytes]:
    """Return the names of a path; raise `Refused` for one that could lead out of the state."""
    names = path.encode("latin-1").split(b"/")
    if b".." in names:
        raise Refused("outside")
    return names


def name_in(path: str) -> bytes:
    """Return the one name that a path is; raise `Refused` where it is more."""
    names = names_in(path)
    if len(names) > 1:
        raise Refused("outside")
    return names[0]


@contextlib.contextmanager
def opened(top: int, names: list[bytes]) -> Iterator[int]:
    """Give the descriptor of a directory below an open one."""
    with contextlib.ExitStack() as closing:
        at = top
        for name in names:
            at = os.open(name, CLOSED_DIRECTORY, dir_fd=at)
            closing.callback(os.close, at)
        yield at


@contextlib.contextmanager
def found(top: int, folder: str) -> Iterator[int | None]:
    """Give the descriptor of a directory below an open one, None where there is none."""
    with contextlib.ExitStack() as closing:
        try:
            at = closing.enter_context(opened(top, names_in(folder)))
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        yield at


def read_in(directory: int, name: bytes, limit: int, *, tail: bool = False) -> bytes:
    """Return the content of a regular file, with `tail` its last `limit` bytes."""
    try:
        descriptor = os.open(name, CLOSED_FILE, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Refused("link") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Refused("special")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        file.seek(max(status.st_size - limit, 0) if tail else 0)
        data = up_to(file.read, limit if tail else limit + 1)
    if len(data) > limit:
        raise Refused("large")
    return data


def up_to(read: Callable[[int], bytes], most: int) -> bytes:
    """Return what there is to be read, and no more."""
    pieces = []
    while most and (piece := read(min(most, 2**20))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def write_new(directory: int, name: bytes, data: bytes, mode: int) -> None:
    """Write a file that is not there yet, and have it be on the disk."""
    with os.fdopen(os.open(name, NEW_FILE, 0o600, dir_fd=directory), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_in(directory: int, name: bytes) -> None:
    """Remove a file or a link; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def exchange(directory: int, one: bytes, other: bytes) -> bool:
    """Exchange two files; False where the file system cannot."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(directory, one, directory, other, EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number))


def put_back(top: int, two: tuple[bytes, bytes], held: tuple[bytes, bytes], limit: int) -> None:
    """Bring what is beside back to its place, unless what has come there since is newer still.

    `two` are the names beside and in place, `held` is what is in place and what was to be.
    """
    beside, name = two
    live, kept = held
    for _attempt in range(ATTEMPTS):
        exchange(top, beside, name)
        displaced = read_in(top, beside, limit)
        if displaced == live:
            return
        live, kept = kept, displaced
    raise Refused("restless")


def read(top: int, ask: dict[str, Any], _given: bytes) -> bytes:
    """Answer with the content of a file."""
    *folders, name = names_in(ask["path"])
    with opened(top, folders) as directory:
        return read_in(directory, name, ask["limit"], tail=ask["tail"])


def write(top: int, ask: dict[str, Any], given: bytes) -> bytes:
    """Write a file at the top, so that it is there whole or not at all."""
    name = name_in(ask["path"])
    beside = b".%b.%b.ocm" % (name, os.urandom(TOKEN_BYTES).hex().encode())
    try:
        write_new(top, beside, given, 0o600)
        os.rename(beside, name, src_dir_fd=top, dst_dir_fd=top)
    except BaseException:
        remove_in(top, beside)
        raise
    os.fsync(top)
    return b""


def replace(top: int, ask: dict[str, Any], given: bytes) -> bytes:
    """Replace what a file holds, by its hash in `before`; answer whether it was done."""
    name, beside, limit = name_in(ask["path"]), name_in(ask["beside"]), ask["limit"]
    mode = stat.S_IMODE(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode)
    if digest(before := read_in(top, name, limit)) != ask["before"]:
        return b"0"
    try:
        remove_in(top, beside)
        write_new(top, beside, given, mode)
        if not exchange(top, beside, name):
            os.rename(beside, name, src_dir_fd=top, dst_dir_fd=top)
            return b"1"
        displaced = read_in(top, beside, limit)
        if displaced == before:
            return b"1"
        put_back(top, (beside, name), (given, displaced), limit)
        return b"0"
    finally:
        remove_in(top, beside)
        os.fsync(top)


def digest(data: bytes) -> str:
    """Return what stands for data."""
    return hashlib.sha256(data).hexdigest()


def remove(top: int, ask: dict[str, Any], _given: bytes) -> bytes:
    """Remove a file or a link at the top."""
    remove_in(top, name_in(ask["path"]))
    return b""


def names(top: int, ask: dict[str, Any], _given: bytes) -> bytes:
    """Answer with names in a directory, between them a NUL."""
    with found(top, ask["path"]) as directory:
        if directory is None:
            return b""
        with os.scandir(directory) as entries:
            return b"\0".join(os.fsencode(entry.name) for entry in itertools.islice(entries, ask["count"]))


def has(top: int, ask: dict[str, Any], _given: bytes) -> bytes:
    """Answer whether there is one of some directories."""
    return b"1" if any(is_there(top, folder) for folder in ask["folders"]) else b"0"


def is_there(top: int, folder: str) -> bool:
    """Tell whether there is a directory."""
    with found(top, folder) as directory:
        return directory is not None


def sizes(top: int, ask: dict[str, Any], _given: bytes) -> bytes:
    """Answer with what files in directories take on disk."""
    each = (sizes_in(top, *names_in(folder)) for folder in ask["folders"])
    taken = itertools.islice(itertools.chain.from_iterable(each), ask["count"])
    return b"".join(struct.pack(">Q", size) for size in taken)


def sizes_in(directory: int, *below: bytes) -> Iterator[int]:
    """Yield what the files in a directory take; `*` stands for each directory there."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        if not below:
            statuses = (entry.stat(follow_symlinks=False) for entry in entries)
            yield from (status.st_blocks * 512 for status in statuses if stat.S_ISREG(status.st_mode))
            return
        for entry in entries:
            if below[0] in (os.fsencode(entry.name), b"*") and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError), opened(directory, [os.fsencode(entry.name)]) as inner:
                    yield from sizes_in(inner, *below[1:])


def about(top: int, _ask: dict[str, Any], _given: bytes) -> bytes:
    """Answer with the mode of the state, and with how large its disk is and how much of that is free."""
    disk = os.fstatvfs(top)
    sizes = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)
    return struct.pack(">3Q", os.fstat(top).st_mode, *sizes)


def discard(top: int, ask: dict[str, Any], _given: bytes) -> bytes:
    """Remove a directory at the top and the files in it; what is there besides files stays."""
    name = name_in(ask["path"])
    with contextlib.suppress(OSError):
        with opened(top, [name]) as directory:
            for entry in os.listdir(directory):
                with contextlib.suppress(OSError):
                    os.unlink(entry, dir_fd=directory)
        os.rmdir(name, dir_fd=top)
    return b""


def check(state: str) -> bytes:
    """Answer what is in the place of the state."""
    try:
        mode = os.lstat(state).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return b"nothing"
    return b"link" if stat.S_ISLNK(mode) else b"directory" if stat.S_ISDIR(mode) else b"nothing"


CALLS = {one.__name__: one for one in (read, write, replace, remove, names, has, sizes, about, discard)}


def answer(state: str, ask: dict[str, Any], given: bytes) -> tuple[dict[str, object], bytes]:
    """Do what is asked, and return what is said of it and the bytes that go with that."""
    try:
        if ask["what"] == "check":
            data = check(state)
        else:
            try:
                top = os.open(state, CLOSED_DIRECTORY)
            except OSError as error:
                return {"kind": "closed", "number": error.errno, "link": os.path.islink(state)}, b""
            data = CALLS[ask["what"]](top, ask, given)
    except Refused as refused:
        return {"kind": "refused", "why": refused.args[0]}, b""
    except OSError as error:
        return {"kind": "error", "number": error.errno}, b""
    return {"kind": "ok", "size": len(data)}, data


def main() -> None:
    """Answer what standard input asks."""
    words = sys.stdin.buffer.readline(64).split()
    asked, size = (int(word) for word in words)
    ask = json.loads(sys.stdin.buffer.read(asked))
    given = sys.stdin.buffer.read(size)
    if len(given) < size:
        # Who asked is gone: half of what was to be written is worth nothing.
        sys.exit("what was given was cut off")
    places = sys.argv[1:]
    state = next((place for place in places if os.path.isdir(os.path.dirname(place))), places[-1])
    said, data = answer(state, ask, given)
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
