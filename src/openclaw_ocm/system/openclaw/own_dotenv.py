"""The `.env` that an adopted OpenClaw had, and what came to lie in its place since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.dotenv import with_missing
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.system.volume import Volume

NAME, _MAX_BYTES = ".env", 2**20


def as_it_was(volume: Volume, former: bytes) -> bytes:
    """Return what is to be in the `.env` of a state: all that is there, and what is missing.

    Raises `OcmError` where something is there that is no file, or that is too large: keys would be lost.
    """
    try:
        now = volume.read(NAME, limit=_MAX_BYTES)
    except FileNotFoundError:
        return former
    except OcmError as error:
        if error.code != "config_unreadable":
            # The state itself cannot be opened.
            raise
        hint = f"move it out of the state first: the {NAME} of before comes back there"
        raise OcmError(error.message, hint=hint, code="exists") from None
    text = now.decode(errors="surrogateescape")
    return with_missing(text, former.decode(errors="surrogateescape")).encode(errors="surrogateescape")
