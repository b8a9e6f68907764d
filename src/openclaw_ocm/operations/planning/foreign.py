"""What is said of an archive that OCM did not make: what it is, and the command that takes it."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.foreign.archive import look, own_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName


@contextlib.contextmanager
def naming_foreign(archive: PurePosixPath, name: InstanceName | None = None) -> Iterator[None]:
    """Have an archive that is refused as a backup be named, where another program made it.

    Raises `OcmError` with the code `archive_foreign` then, and whatever was raised otherwise.
    """
    try:
        yield
    except OcmError as error:
        if error.code != "archive_invalid" or not _is_foreign(archive):
            raise
        found = look(archive)
        called = name or found.shape.name or "NAME"
        message = f"{archive} is no backup of OCM's: it is {found.shape.sentence}"
        hint = f"ocm adopt {shlex.quote(str(archive))} --name {called}"
        raise OcmError(message, hint=hint, code="archive_foreign") from None


def _is_foreign(archive: PurePosixPath) -> bool:
    with contextlib.suppress(OcmError):
        return own_header(archive) is None
    return False
