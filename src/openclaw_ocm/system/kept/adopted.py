"""What an instance was before it was adopted, kept where it cannot reach: keys and all, for the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from openclaw_ocm.core.adoption.steps import Service
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import InstancePaths

_VERSION = 1
# Two configs and a few units, in base64.
_MAX_BYTES = 2**25


class UnitFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of a service of the user's: where it was, what it holds, and its mode."""

    path: str
    data: bytes
    mode: int


class Adopted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was adopted.

    `what` says it in words, `was_main` whether others inherit from it; `state`, `config` and `port` are those
    that it had, `became` is the state of the instance then. `before` and `after` are its config as it was and
    as OCM wrote it, `dotenv` is its `.env` where its variables became secrets; `secrets` are these, and their
    values then. `link` is where its config led as a link in its state. One that was not `moved` is a copy of
    what was left where it was.
    """

    version: Annotated[int, msgspec.Meta(ge=_VERSION, le=_VERSION)] = _VERSION
    what: str
    moved: bool
    was_main: bool = False
    state: str
    config: str
    port: int
    became: str
    before: bytes
    after: bytes
    dotenv: bytes | None = None
    secrets: dict[str, bytes] = {}
    link: str | None = None
    unit: str | None = None
    files: tuple[UnitFile, ...] = ()
    service: Service | None = None


def read_adopted(paths: InstancePaths) -> Adopted | None:
    """Return what an instance was before, None where it was not adopted; `OcmError` where that is corrupt."""
    data = files.read_own(paths.adopted, limit=_MAX_BYTES)
    return None if data is None else _parse(data, paths.adopted)


def _parse(data: bytes, path: PurePosixPath) -> Adopted:
    try:
        return msgspec.json.decode(data, type=Adopted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = f"{path} is corrupt: what the instance was before is not known"
        hint = f"put it back from a backup of your own, or keep {path.stem} as it is"
        raise OcmError(message, hint=hint, code="adopted_corrupt") from None


def encode_adopted(adopted: Adopted) -> bytes:
    """Return what an instance was before as its file holds it."""
    return msgspec.json.encode(adopted)
