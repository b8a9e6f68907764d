"""Files: written beside and renamed, locked, and read with suspicion where an instance can write."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.errors import Locked, OcmError, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

_LOCK_POLL_SECONDS = 0.1
# For what an instance may have put there: a link is an error, and a pipe keeps nobody waiting.
CLOSED_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CLOSED_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ENCRYPTION_POLICY = 0xC0096616  # FS_IOC_GET_ENCRYPTION_POLICY_EX (linux/fscrypt.h)
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_directory(path: PurePosixPath) -> None:
    """Make a directory of OCM's own, 0700, with the parents it needs; nothing where it exists."""
    missing = [parent for parent in (Path(path), *Path(path).parents) if not parent.exists()]
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)


def is_encrypted(directory: PurePosixPath) -> bool:
    """Tell whether the file system encrypts a directory by itself (fscrypt)."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, CLOSED_DIRECTORY)
        try:
            # How much room there is for the policy, and that room.
            fcntl.ioctl(handle, _ENCRYPTION_POLICY, bytearray((24).to_bytes(8, sys.byteorder) + bytes(24)))
        finally:
            os.close(handle)
        return True
    return False


def write_file(path: PurePosixPath, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file so that it is there whole or not at all, after a crash too."""
    make_directory(path.parent)
    directory = os.open(path.parent, CLOSED_DIRECTORY & ~os.O_NOFOLLOW)
    try:
        write_in(directory, path.name, data, mode=mode)
    finally:
        os.close(directory)


def write_new(path: PurePosixPath, data: bytes) -> None:
    """Write a file of OCM's own that is not there yet and of no account until it is renamed."""
    make_directory(path.parent)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    keep_names(path.parent)


def write_in(directory: int, name: str, data: bytes, *, mode: int = 0o600) -> None:
    """Write file `name` in an open directory: beside, flushed to disk, renamed. Follows no link."""
    beside = name_beside(name)
    descriptor = os.open(beside, NEW_FILE, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=directory)
        raise
    os.fsync(directory)


def read_own(path: PurePosixPath, *, limit: int = 2**20, tail: bool = False) -> bytes | None:
    """Return the first `limit` bytes of a file of OCM's own, with `tail` the last; None where there is none.

    Raises `UnreadableFile` where something is there that cannot be read, such as a directory, or a file of
    another user's; a pipe is not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableFile(path, "it is no file")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                file.seek(max(status.st_size - limit, 0) if tail else 0)
                return file.read(limit)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFile(path, error.strerror or str(error)) from None


def append_line(path: PurePosixPath, line: bytes, *, most: int, older: PurePosixPath) -> None:
    """Add a line to a file of OCM's own, 0600, by one write: several may do so at once.

    A file of more than `most` bytes becomes `older` first, in the place of what that was. Raises `OSError`
    where the line could not be written, in full or at all; the next one begins on a line of its own.
    """
    make_directory(path.parent)
    if _size(path) > most:
        # One does it, and looks again: meanwhile it may have been done.
        with (
            # Where it cannot be, too long a file is better than a lost line.
            contextlib.suppress(Locked, OSError),
            lock(path.with_name(f"@{path.name}.lock"), path.name, wait_seconds=0),
        ):
            if _size(path) > most:
                os.rename(path, older)  # noqa: PTH104 - no Path in this module's hands
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        # The kernel shows a line that crosses a page before all of it is there.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        begun = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * begun + line + b"\n")
    finally:
        os.close(descriptor)


def _size(path: PurePosixPath) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size  # noqa: PTH116 - no Path in this module's hands
    except FileNotFoundError:
        return 0


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads, all links followed; raises nothing where they lead in a circle."""
    # Path.resolve raises RuntimeError then.
    return Path(os.path.realpath(path))


def link_target(path: PurePosixPath) -> str | None:
    """Return where a link leads, None where there is no link."""
    try:
        return str(Path(path).readlink())
    except OSError:
        return None


def is_link(path: PurePosixPath) -> OcmError:
    """Return what is said of a state directory that is a link, by whatever needs one."""
    message = f"the directory {path} is a link, which OCM does not follow"
    real = real_path(path)
    hint = (
        f"put the directory itself in its place: rm {path}, then mv {real} {path}; "
        f"or leave it where it is: rm {path}, mkdir {path}, sudo mount --bind {real} {path}"
    )
    return OcmError(message, hint=hint, code="state_link")


@contextlib.contextmanager
def open_state(path: PurePosixPath) -> Iterator[int]:
    """Open a directory that an instance can write and yield its descriptor; a link is refused."""
    try:
        directory = os.open(path, CLOSED_DIRECTORY)
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114 - no Path in this module's hands
            raise is_link(path) from None
        message = f"the state directory {path} cannot be opened: {os.strerror(error.errno or 0)}"
        raise OcmError(message, code="state_unreadable") from None
    try:
        yield directory
    finally:
        os.close(directory)


def read_below(directory: int, path: str, *, limit: int, tail: bool = False) -> bytes:
    """Return the content of a file at a path below a directory, as `read_in` does: no link is followed."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as opened:
        for folder in folders:
            directory = os.open(folder, CLOSED_DIRECTORY, dir_fd=directory)
            opened.callback(os.close, directory)
        return read_in(directory, name, limit=limit, tail=tail)


def read_in(directory: int, name: str, *, limit: int, tail: bool = False) -> bytes:
    """Return the content of a regular file that an instance can write, with `tail` its last `limit` bytes.

    Raises `OcmError` for a link, a pipe, a device or a file above `limit` bytes, any of which an
    instance could put there, and `FileNotFoundError` where there is none.
    """
    try:
        descriptor = os.open(name, CLOSED_FILE, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        message = f"{name} is a link, which OCM does not follow"
        raise OcmError(message, code="config_unreadable") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = f"{name} is no regular file"
        raise OcmError(message, code="config_unreadable")
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(os.fstat(descriptor).st_size - limit, 0) if tail else 0)
        data = file.read(limit if tail else limit + 1)
    if len(data) > limit:
        message = f"{name} is larger than {limit} bytes"
        raise OcmError(message, code="config_unreadable")
    return data


def sizes_in(directory: int, *names: str) -> Iterator[int]:
    """Yield what the files in a directory below an open one take on disk, without what cannot be looked at.

    What is mostly holes counts for little. `*` among the names stands for each directory there. No link is
    followed.
    """
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        if not names:
            found = (entry.stat(follow_symlinks=False) for entry in entries)
            yield from (status.st_blocks * 512 for status in found if stat.S_ISREG(status.st_mode))
            return
        for entry in entries:
            if names[0] in (entry.name, "*") and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    below = os.open(entry.name, CLOSED_DIRECTORY, dir_fd=directory)
                    try:
                        yield from sizes_in(below, *names[1:])
                    finally:
                        os.close(below)


def name_beside(name: str) -> str:
    """Return a name of its own for what is written beside its place, there to be called `name`."""
    return temporary.beside(name, secrets.token_hex(temporary.TOKEN_BYTES))


def keep_names(directory: PurePosixPath) -> None:
    """Have the names in a directory outlast a power cut."""
    descriptor = os.open(directory, CLOSED_DIRECTORY & ~os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush(directory: int) -> None:
    """Have all that was written to the file system of an open directory be on disk (syncfs(2))."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if library.syncfs(directory):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def remove_file(path: PurePosixPath) -> None:
    """Remove a file or a link; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def remove(path: PurePosixPath) -> None:
    """Remove a file, or a directory with all that is in it; follows no link."""
    if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - no Path in this module's hands
        remove_tree(path)
    else:
        remove_file(path)


def remove_tree(path: PurePosixPath) -> None:
    """Remove a directory with all that is in it, whatever an instance made of it; follows no link.

    Directories are moved up to the top before they are emptied, so that no nesting is too deep: neither for
    the length of a path, nor for open files, nor for recursion, at each of which shutil.rmtree fails.
    """
    if not os.path.lexists(path):
        return
    open_up(path)
    top = os.open(path, CLOSED_DIRECTORY)
    try:
        while waiting := _empty(top, top):
            for name in waiting:
                directory = os.open(name, CLOSED_DIRECTORY, dir_fd=top)
                try:
                    _empty(directory, top)
                finally:
                    os.close(directory)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    Path(path).rmdir()


def _empty(directory: int, top: int) -> list[str]:
    """Remove the files in an open directory, move its directories to `top` and return their names there."""
    moved = []
    # Files first: on a full disk there may be no room for another name before some are gone.
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.is_dir(follow_symlinks=False)):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
            continue
        open_up(entry.name, directory)
        name = temporary.removed(secrets.token_hex(temporary.LONG_TOKEN_BYTES))
        os.rename(entry.name, name, src_dir_fd=directory, dst_dir_fd=top)
        moved.append(name)
    return moved


def open_up(path: str | PurePosixPath, within: int | None = None, mode: int = 0o700) -> None:
    """Let the owner of a directory into it, alone; what was put there in its place is not touched."""
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        os.chmod(f"/proc/self/fd/{handle}", mode)  # noqa: PTH101 - chmod(2) would follow a link
    finally:
        os.close(handle)


@contextlib.contextmanager
def lock(path: PurePosixPath, what: str, *, wait_seconds: float = 10.0) -> Iterator[int]:
    """Hold the lock file `path` exclusively and yield its descriptor, by which a child can hold it too.

    Raises `OcmError` where another ocm keeps it too long.
    """
    make_directory(path.parent)
    deadline = time.monotonic() + wait_seconds
    while (descriptor := _try_lock(path)) is None:
        if time.monotonic() >= deadline:
            message = f"{what} is being changed by another ocm"
            raise Locked(message, hint="wait for it to end and try again", code="locked")
        time.sleep(_LOCK_POLL_SECONDS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def giving_up(descriptor: int, seconds: float) -> Iterator[None]:
    """Give up a lock that is held, by its descriptor, if the block takes longer than that."""
    timer = threading.Timer(seconds, fcntl.flock, (descriptor, fcntl.LOCK_UN))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # Not to do it to what has that number by then.
        timer.join()


def is_locked(path: PurePosixPath) -> bool:
    """Tell whether another process holds the lock file `path`; of one that cannot be opened nobody knows."""
    try:
        if Path(path).exists():
            with lock(path, path.name, wait_seconds=0):
                return False
    except Locked:
        return True
    except OSError:
        return False
    return False


def _try_lock(path: PurePosixPath) -> int | None:
    """Return the open, locked file, or None where another process holds it or has just removed it.

    One that cannot be written is locked as it is, and where none can be made the directory in its place: a
    disk that is full or read-only must not keep anybody from stopping what runs.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        path = path if os.path.lexists(path) else path.parent
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
