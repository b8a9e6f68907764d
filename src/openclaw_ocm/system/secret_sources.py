"""Reads secrets where a fleet file says that they are: in a file, a variable, or from a command."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.secrets import MAX_VALUE, parse_value
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from openclaw_ocm.core.fleet.file import Source
    from openclaw_ocm.system.host import Host

# A program may ask its user for a password.
_SECONDS = 120.0
_SHOWN = 300


def read_source(host: Host, source: Source) -> str:
    """Return the secret that a source holds; raises `OcmError`, which holds none, where it cannot be had."""
    try:
        return parse_value(_text(host, source))
    except OcmError as error:
        message = f"{source.describe()}: {error.message}"
        raise OcmError(message, hint=error.hint, code="source_failed") from None


def _text(host: Host, source: Source) -> str:
    if source.file is not None:
        data = files.read_own(PurePosixPath(source.file), limit=MAX_VALUE + 3)
        if data is None:
            raise OcmError("there is no such file")
        return data.decode("utf-8", "surrogateescape")
    if source.env is not None:
        if source.env not in os.environ:
            raise OcmError("it is not set")
        return os.environ[source.env]
    command = Command(
        argv=source.command or (), timeout_seconds=_SECONDS, env=dict(os.environ), limit=2 * MAX_VALUE
    )
    done = host.runner.run(command, check=False)
    if done.returncode:
        # What it printed may be part of a secret; what it says of an error is for a person.
        said = printable(done.stderr.strip().rpartition("\n")[2], limit=_SHOWN)
        raise OcmError(f"it ended with {done.returncode}{f': {said}' if said else ''}")
    return done.stdout
