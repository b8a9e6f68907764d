"""Reads secrets where a fleet file says that they are: in a file, a variable, or from a command."""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.secrets import MAX_VALUE, parse_value
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.runner import Command
from openclaw_ocm.system.ways import changed_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.fleet.file import Source
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.host import Host

# A program may ask its user for a password.
_SECONDS = 120.0
_SHOWN = 300
# The slug of a program that did not end in time.
LATE = "timeout"
_OTHERS = stat.S_IROTH | stat.S_IWOTH
# What stands in a text for bytes that are none.
_NO_TEXT = "\ufffd"


def read_source(host: Host, source: Source, writable: Mapping[PurePosixPath, InstanceName]) -> str:
    """Return the secret that a source holds; raises `OcmError`, which holds none, where it cannot be had.

    `writable` are the places that instances can write.
    """
    try:
        return parse_value(_text(host, source, writable))
    except OcmError as error:
        message = f"{source.describe()}: {error.message}"
        raise OcmError(message, code=LATE if error.code == LATE else "source_failed") from None


def source_note(source: Source) -> str | None:
    """Return what to know of a source: that others read the file, or write it."""
    if source.file is None:
        return None
    try:
        mode = os.stat(source.file).st_mode  # noqa: PTH116 - no Path in this module's hands
    except OSError:
        return None
    return f"other users can read {source.file}: chmod go-rwx {source.file}" if mode & _OTHERS else None


def _text(host: Host, source: Source, writable: Mapping[PurePosixPath, InstanceName]) -> str:
    program = (source.command or ("",))[0]
    path = source.file or (program if program.startswith("/") else None)
    if path is not None and (name := changed_by(writable, PurePosixPath(path))) is not None:
        raise OcmError(f"{name} can change it")
    if source.file is not None:
        return _of_file(source.file)
    if source.env is not None:
        if source.env not in os.environ:
            raise OcmError("it is not set")
        return os.environ[source.env]
    return _printed(host, source.command or ())


def _of_file(path: str) -> str:
    try:
        data = files.read_own(PurePosixPath(path), limit=MAX_VALUE + 3)
    except OcmError as error:
        raise OcmError(error.message.removeprefix(f"{path} ")) from None
    if data is None:
        raise OcmError("there is no such file")
    return data.decode("utf-8", "surrogateescape")


def _printed(host: Host, argv: tuple[str, ...]) -> str:
    command = Command(argv=argv, timeout_seconds=_SECONDS, env=dict(os.environ), limit=2 * MAX_VALUE)
    try:
        done = host.runner.run(command, check=False)
    except OcmError as error:
        said = "there is no such program" if error.code == "missing" else error.message
        raise OcmError(said, code=error.code) from None
    except OSError as error:
        raise OcmError(f"it cannot be run: {error.strerror}") from None
    if done.returncode:
        # What it printed may be part of a secret; what it says of an error is for a person.
        said = printable(done.stderr.strip().rpartition("\n")[2], limit=_SHOWN)
        raise OcmError(f"it ended with {done.returncode}{f': {said}' if said else ''}")
    if _NO_TEXT in done.stdout:
        raise OcmError("what it prints is no UTF-8 text")
    return done.stdout
