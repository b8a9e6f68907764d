"""`ocm logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocm.errors import CommandFailed, Invalid
from ocm.system.journal import entries
from ocm.system.records import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocm.core.journal import Entry
    from ocm.core.names import InstanceName
    from ocm.system.context import Context


def logs(
    context: Context, name: InstanceName, *, lines: int | None, follow: bool, since: str | None
) -> Iterator[Entry]:
    """Yield what the instance's gateway and its backend logged; raises `Invalid` for a time that is none."""
    read_record(context.host.paths, name)
    try:
        yield from entries(context, name, lines=lines, follow=follow, since=since)
    except CommandFailed as error:
        if since is not None and "parse timestamp" in error.stderr:
            message = f"{since!r} is no time: write '2026-11-22 10:00', '1 hour ago' or 'today'"
            raise Invalid(message, code="time_invalid") from None
        raise
