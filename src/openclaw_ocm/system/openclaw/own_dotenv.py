"""The `.env` that an adopted OpenClaw had, and what came to lie in its place since."""

from __future__ import annotations

from openclaw_ocm.core.openclaw.dotenv import with_missing
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

_NAME, _MAX_BYTES = ".env", 2**20


def as_it_was(state: int, former: bytes) -> bytes:
    """Return what is to be in the `.env` of a state that is open: all that is there, and what is missing.

    Raises `OcmError` where something is there that is no file, or that is too large: keys would be lost.
    """
    try:
        now = files.read_in(state, _NAME, limit=_MAX_BYTES)
    except FileNotFoundError:
        return former
    except OcmError as error:
        hint = f"move it out of the state first: the {_NAME} of before comes back there"
        raise OcmError(error.message, hint=hint, code="exists") from None
    text = now.decode(errors="surrogateescape")
    return with_missing(text, former.decode(errors="surrogateescape")).encode(errors="surrogateescape")
