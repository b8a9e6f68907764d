"""Reads where metrics are written by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.metrics.textfile import Textfile
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import HostPaths

_MAX_BYTES = 2**14


def read_textfile(paths: HostPaths) -> Textfile | None:
    """Return where metrics are written by themselves, None where they are not.

    Raises `OcmError` where that cannot be told.
    """
    data = files.read_own(paths.textfile, limit=_MAX_BYTES)
    try:
        return None if data is None else msgspec.toml.decode(data, type=Textfile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        hint = "ocm metrics --every never removes it, then ask for it again"
        raise OcmError(f"{paths.textfile} is corrupt: {error}", hint=hint, code="record_corrupt") from None


def encode_textfile(textfile: Textfile) -> str:
    """Return the text of its file."""
    return msgspec.toml.encode(textfile).decode()
