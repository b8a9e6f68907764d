"""What an instance inherited, kept where it cannot reach, and its file of secrets."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from openclaw_ocm.core import secrets
from openclaw_ocm.core.inheritance.clone import duplicate
from openclaw_ocm.core.inheritance.extract import inherit
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.source import read_instance_source, read_main_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.system.host import Host

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


def read_inheritance(host: Host, source: str, record: Record) -> Inheritance:
    """Return what main, or the instance `source`, now has to inherit for the instance of `record`."""
    package = PurePosixPath(record.runtime.openclaw)
    if source == MAIN:
        return inherit(read_main_source(host, package))
    name = parse_name(source)
    read_record(host.paths, name)
    return inherit(read_instance_source(host, name, package, read_secrets(host.instance(name))))


def read_duplicate(host: Host, source: InstanceName, record: Record) -> Inheritance:
    """Return what the instance `source` now has that its clone, the instance of `record`, is to have."""
    read_record(host.paths, source)
    move = Move(before=host.instance(source).state, after=host.paths.named(record.name).state)
    package = PurePosixPath(record.runtime.openclaw)
    variables = read_secrets(host.instance(source))
    return duplicate(read_instance_source(host, source, package, variables), move)


def write_duplicate(host: Host, source: InstanceName, record: Record) -> Inheritance:
    """Give a clone its secrets, have it follow what `source` follows, and return what it has of `source`."""
    found = read_duplicate(host, source, record)
    paths = host.paths.named(record.name)
    inherited = read_inherited(host.instance(source))
    if inherited is not None and inherited.source != record.name:
        kept = tuple(name for name in inherited.secrets if name in found.secrets)
        write_inherited(paths, msgspec.structs.replace(inherited, secrets=kept))
    write_secrets(host, paths.name, found.secrets)
    return found


def read_secrets(paths: InstancePaths) -> dict[str, str]:
    """Return the secrets of an instance; raise `OcmError` where their file is damaged."""
    data = files.read_own(paths.secrets, limit=secrets.MAX_BYTES + 1)
    return secrets.parse_file(data or b"", paths.secrets)


def write_secrets(host: Host, name: InstanceName, content: Mapping[str, str]) -> None:
    """Replace the secrets of an instance; a process has them from its next start."""
    files.write_file(host.instance(name).secrets, secrets.format_file(content))
