"""Reads files of the user's own, whose links are followed: bounded, and of regular files alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

HINT = "mend it, or leave it out with --no-inherit"
_MAX_FILE = 2**20


def read_bounded(path: Path, limit: int, shown: str) -> bytes | None:
    """Return a regular file of the user's, None where there is none, or raise `OcmError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # A name with a zero byte in it is that of no file.
        return None
    except OSError as error:
        raise OcmError(
            f"{shown} cannot be read: {error.strerror}", hint=HINT, code="config_unreadable"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OcmError(f"{shown} is no regular file", hint=HINT, code="config_unreadable")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        message = f"{shown} is larger than {limit} bytes"
        raise OcmError(message, hint=HINT, code="config_unreadable")
    return data


def read_text(path: PurePosixPath | str) -> str:
    """Return a text of the user's, nothing where there is none; raise `OcmError` where it cannot be read."""
    return (read_bounded(Path(path), _MAX_FILE, str(path)) or b"").decode(errors="replace")
