"""`ocm logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.instances.instance import open_instance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context


def logs(
    context: Context, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
) -> Iterator[Entry]:
    """Yield what the instance's gateway and its backend logged; `since` is in seconds since the epoch."""
    yield from open_instance(context, name).backend.log(name, lines=lines, follow=follow, since=since)
