"""What an instance inherited, kept where it cannot reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import InstancePaths

_VERSION = 1
_MAX_BYTES = 8 * 2**20


class Inherited(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an instance took over when it last did: `source` is main or an instance.

    `source` is empty where it follows nothing until the user names a source: so it is restored.

    `config` holds references and no secret; `secrets` are the names of those that came along. One of another
    name in the instance's file is its own.
    """

    version: Annotated[int, msgspec.Meta(ge=_VERSION, le=_VERSION)] = _VERSION
    source: str
    config: dict[str, Any]
    secrets: tuple[str, ...]


def read_inherited(paths: InstancePaths) -> Inherited | None:
    """Return what an instance inherited, None where it does not; raise `OcmError` where that is corrupt."""
    data = files.read_own(paths.inherited, limit=_MAX_BYTES)
    return None if data is None else parse_inherited(data, paths.inherited)


def parse_inherited(data: bytes, path: PurePosixPath) -> Inherited:
    """Return what the content of the file at `path` says; raise `OcmError` where it is corrupt."""
    try:
        return msgspec.json.decode(data, type=Inherited)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = f"{path} is corrupt"
        hint = f"ocm sync {path.stem} --no-inherit gives it up: the instance keeps what it has"
        raise OcmError(message, hint=hint, code="inherited_corrupt") from None


def write_inherited(paths: InstancePaths, inherited: Inherited) -> None:
    """Keep what an instance inherited."""
    files.write_file(paths.inherited, encode_inherited(inherited))


def encode_inherited(inherited: Inherited) -> bytes:
    """Return what was inherited as its file holds it."""
    return msgspec.json.format(msgspec.json.encode(inherited), indent=1)


def set_source(paths: InstancePaths, source: str) -> None:
    """Have an instance inherit from `source` from now on, where it inherits at all."""
    inherited = read_inherited(paths)
    if inherited is not None and inherited.source != source:
        write_inherited(paths, msgspec.structs.replace(inherited, source=source))


def without_secret(inherited: Inherited | None, key: str) -> Inherited | None:
    """Return what is inherited without a secret that becomes the instance's own, None where it was not."""
    if inherited is None or key not in inherited.secrets:
        return None
    kept = tuple(known for known in inherited.secrets if known != key)
    return msgspec.structs.replace(inherited, secrets=kept)
