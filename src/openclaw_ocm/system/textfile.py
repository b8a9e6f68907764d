"""The file that the textfile collector of node_exporter reads, in a directory that is not OCM's."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.metrics.textfile import FILE
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.ways import refuse_reached

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host

_ROOT = 0
_FOR_ALL = 0o644
_OTHERS_ENTER = stat.S_IXOTH


def write_textfile(host: Host, directory: PurePosixPath, text: str) -> None:
    """Write the file whole or not at all, for everybody to read; a link in its place is replaced.

    Raises `OcmError` where the directory is not one to write it into.
    """
    with _opened(host, directory) as opened:
        _refuse_foreign(host, directory, opened)
        try:
            files.write_in(opened, FILE, text.encode(), mode=_FOR_ALL)
        except OSError as error:
            raise _refused(directory, f"{FILE} cannot be written there: {error.strerror}") from None


def check_textfile(host: Host, directory: PurePosixPath) -> tuple[str, ...]:
    """Raise `OcmError` where the file could not be written; return what to know of the place."""
    with _opened(host, directory) as opened:
        _refuse_foreign(host, directory, opened)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise _refused(directory, "you may not write there")
    closed = [path for path in (Path(directory), *Path(directory).parents) if not _lets_in(path)]
    if not closed:
        return ()
    return (
        f"{closed[-1]} is closed to other users: node_exporter reads nothing there unless it runs as you",
    )


def remove_textfile(host: Host, directory: PurePosixPath) -> None:
    """Remove the file, lest old numbers stay; nothing where it is gone, or is none of this user's."""
    with (
        contextlib.suppress(OSError, OcmError),
        _opened(host, directory) as opened,
    ):
        status = os.stat(FILE, dir_fd=opened, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and status.st_uid == host.uid:
            os.unlink(FILE, dir_fd=opened)


@contextlib.contextmanager
def _opened(host: Host, directory: PurePosixPath) -> Iterator[int]:
    """Open a directory that is the user's or root's, by no link of anybody else's; yield its descriptor."""
    trusted = (_ROOT, host.uid)
    refuse_reached(host.paths, directory / FILE, directory)
    try:
        for path in (Path(directory), *Path(directory).parents):
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode) and status.st_uid not in trusted:
                raise _refused(directory, f"{path} is a link of somebody else's")
        opened = os.open(files.real_path(directory), files.CLOSED_DIRECTORY)
    except FileNotFoundError:
        raise _refused(directory, "there is no such directory", hint=f"mkdir {directory}") from None
    except NotADirectoryError:
        raise _refused(directory, "it is no directory") from None
    except OSError as error:
        raise _refused(directory, f"it cannot be opened: {error.strerror}") from None
    try:
        if os.fstat(opened).st_uid not in trusted:
            raise _refused(directory, "it belongs to somebody else")
        yield opened
    finally:
        os.close(opened)


def _refuse_foreign(host: Host, directory: PurePosixPath, opened: int) -> None:
    """Raise `OcmError` where the file is that of another user, whose instances would be told no more."""
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(FILE, dir_fd=opened, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            raise _refused(directory, f"{FILE} is a directory there")
        if stat.S_ISREG(status.st_mode) and status.st_uid != host.uid:
            raise _refused(directory, f"{FILE} there belongs to another user")


def _lets_in(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS_ENTER)
    except OSError:
        return True


def _refused(directory: PurePosixPath, why: str, hint: str | None = None) -> OcmError:
    own = "choose a directory that is yours or root's, and that you may write"
    return OcmError(
        f"no metrics are written to {directory}: {why}", hint=hint or own, code="textfile_refused"
    )
