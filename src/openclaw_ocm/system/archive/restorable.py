"""What a restore takes of an archive on whatever machine: a backup is whole where it takes all of it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core import secrets
from openclaw_ocm.core.backup.layout import CONFIG, INHERITED, SECRETS, is_main_database
from openclaw_ocm.core.openclaw.document import MAX_BYTES, format_config, parse_config, with_value
from openclaw_ocm.core.openclaw.moved import Move, moved_config
from openclaw_ocm.core.openclaw.settings import BIND, wanted_bind
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.inherited import parse_inherited
from openclaw_ocm.system.kept.records import parse_record

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.system.archive.reader import Contents

_CDP = "browser.profiles.openclaw.cdpPort"


def check_restorable(archive: PurePosixPath, contents: Contents, state: PurePosixPath) -> None:
    """Raise `OcmError` where a restore to the directory `state` would refuse what an archive holds."""
    try:
        record = record_of(contents)
        secrets.parse_file(contents.secrets or b"", PurePosixPath(SECRETS))
        if contents.inherited is not None:
            parse_inherited(contents.inherited, PurePosixPath(INHERITED))
        move = Move(before=PurePosixPath(contents.header.state), after=state)
        format_config(wanted_config(contents, move, record))
    except OcmError as error:
        message = printable(f"{archive} is no backup that can be restored: {error.message}")
        raise OcmError(message, hint="ocm backups list shows others", code="archive_invalid") from None


def check_whole(archive: PurePosixPath, contents: Contents) -> None:
    """Raise `OcmError` where a database of OpenClaw's own in an archive is empty, or none: it began anew."""
    for entry in contents.manifest.members:
        if is_main_database(entry.path) and entry.kind != "database":
            message = f"{archive} is not whole: {entry.path} in it is empty, or no database"
            hint = "a restore brings back the rest, and OpenClaw begins anew; ocm backups list shows others"
            raise OcmError(printable(message), hint=hint, code="archive_invalid")


def record_of(contents: Contents) -> Record:
    """Return the record in an archive, or raise `OcmError`."""
    return parse_record(contents.record, "the record in the archive")


def wanted_config(contents: Contents, move: Move, record: Record) -> dict[str, Any]:
    """Return the config in an archive as a record wants it; raise `OcmError` where it cannot be used."""
    config = moved_config(_config_of(contents), move)
    config = with_value(config, "gateway.port", record.port)
    config = with_value(config, BIND, wanted_bind(record.expose))
    return with_value(config, _CDP, record.port + CDP_OFFSET)


def _config_of(contents: Contents) -> dict[str, Any]:
    found = next((entry for entry in contents.manifest.members if entry.path == CONFIG), None)
    if found is None:
        raise OcmError(f"the archive has no {CONFIG_NAME}", code="archive_invalid")
    if contents.config is None:
        what = f"is larger than {MAX_BYTES} bytes" if found.size > MAX_BYTES else f"is a {found.kind}"
        raise OcmError(f"{CONFIG_NAME} in the archive {what}", code="archive_invalid")
    return parse_config(contents.config, source=CONFIG_NAME)
