"""By which ways messages go, and what was told and is still to be sent: in files of OCM's own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.notify.queue import Notices
from openclaw_ocm.core.notify.ways import Ways
from openclaw_ocm.errors import OcmError, is_full
from openclaw_ocm.system import files, reserve

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths

_MOST_BYTES = 2**23
# What is to be told of a disk that is full has to be noted, or it would be told again and again.
_RESERVED = 2**16
_PLACE = re.compile(r"\(at line [0-9]+, column [0-9]+\)|`\$[.\[\]0-9a-z.]*`")


def read_ways(paths: HostPaths) -> Ways:
    """Return the ways by which messages go, none where there is no file.

    Raises `OcmError` for one that is damaged, which does not tell what is in it: these are secrets.
    """
    data = files.read_own(paths.ways)
    if data is None:
        return Ways()
    try:
        return msgspec.toml.decode(data, type=Ways)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        place = _PLACE.search(str(error))
        where = f" {place[0]}" if place else ""
        message = f"{paths.ways} is corrupt{where}"
        hint = "mend it, or move it away and add the ways again"
        raise OcmError(message, hint=hint, code="record_corrupt") from None


def encode_ways(ways: Ways) -> bytes:
    """Return the text of the file of the ways."""
    return b"# Made by ocm notify. It holds secrets.\n" + msgspec.toml.encode(ways)


def read_notices(paths: HostPaths) -> Notices:
    """Return what was told and what waits; nothing where there is no file, or a damaged one.

    To tell something twice is better than to tell nothing ever again. Raises `UnreadableFile` where it is
    there and cannot be read.
    """
    data = files.read_own(paths.notices, limit=_MOST_BYTES)
    try:
        return Notices() if data is None else msgspec.json.decode(data, type=Notices)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Notices()


def keep_notices(paths: HostPaths, notices: Notices) -> None:
    """Note what was told and what waits, whole or not at all; raises `OSError` where that cannot be.

    Where the disk is full there is room for it.
    """
    data, kept = msgspec.json.encode(notices), reserve_of(paths)
    try:
        files.write_file(paths.notices, data)
    except OSError as error:
        if not is_full(error) or not (_in_reserve(paths, data) or _in_place(paths.notices, data)):
            raise
        return
    reserve.keep(kept, _RESERVED)


def reserve_of(paths: HostPaths) -> PurePosixPath:
    """Return the room on the disk that is kept for what was told."""
    return paths.notices.with_name("notify.reserve")


def _in_reserve(paths: HostPaths, data: bytes) -> bool:
    try:
        reserve.write(paths.notices, data, kept=reserve_of(paths))
    except OSError:
        return False
    return True


def _in_place(path: PurePosixPath, data: bytes) -> bool:
    """Write where the file is, which what was the reserve has the room for; tell whether that was so."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if len(data) > size or os.pwrite(descriptor, data.ljust(size, b"\n"), 0) < size:
                return False
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True
