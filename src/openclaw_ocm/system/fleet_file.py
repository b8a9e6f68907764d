"""Reads a fleet file of the user's: it says which programs print secrets, so nobody else may write it."""

from __future__ import annotations

import os
import stat
from typing import IO, TYPE_CHECKING

from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system.ways import changed_by, writable_places

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths

_MOST = 2**20
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def read_fleet_file(paths: HostPaths, path: PurePosixPath) -> str:
    """Return the text of a fleet file; raises `OcmError` where there is none, or others may write it."""
    if (name := changed_by(writable_places(paths), path)) is not None:
        message = f"{path} can be changed by {name}, and it says which programs are run"
        raise OcmError(message, hint="keep it where no instance writes", code="fleet_unsafe")
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        message = f"there is no {path}"
        hint = f"ocm plan --example prints one; ocm export -o {path} writes what there is"
        raise OcmError(message, hint=hint, code="fleet_missing") from None
    except OSError as error:
        raise UnreadableFile(path, error.strerror or str(error)) from None
    try:
        # Of what was opened: by its path it may be another one the next moment.
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(path, "it is no file")
        if status.st_uid not in (os.getuid(), 0) or status.st_mode & _OTHERS:
            message = f"{path} can be written by others, and it says which programs are run"
            raise OcmError(message, hint=f"chmod go-w {path}", code="fleet_unsafe")
        data = os.read(opened, _MOST + 1)
    finally:
        os.close(opened)
    return _text(data, str(path))


def read_fleet_stream(stream: IO[bytes]) -> str:
    """Return the text of a fleet file that comes on a stream; raises `OcmError` where it is none."""
    return _text(stream.read(_MOST + 1), "standard input")


def _text(data: bytes, where: str) -> str:
    if len(data) > _MOST:
        raise OcmError(f"{where} is larger than {_MOST} bytes", code="fleet_invalid")
    try:
        # Some editors begin a file with a mark.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OcmError(f"{where} is no UTF-8 text", code="fleet_invalid") from None
