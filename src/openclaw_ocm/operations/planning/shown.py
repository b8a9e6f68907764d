"""What is said of mounts where an instance is copied: they belong to the machine, and go into no copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.shown import in_words

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record


def not_shown(name: InstanceName, record: Record) -> tuple[str, ...]:
    """Return what `record` shows its instance, and the new instance `name` is not shown."""
    return tuple(
        f"{name} is not shown {in_words(one)}: ocm mount {name} {one.path}{_options(one.path, one.at)}"
        for one in record.mounts
    )


def not_held(record: Record) -> tuple[str, ...]:
    """Return what an instance is shown and no backup of it has."""
    shown = ", ".join(one.path for one in record.mounts)
    return (f"not part of it is what {record.name} is shown: {shown}",) if shown else ()


def _options(path: str, at: str) -> str:
    return "" if at == path else f" --at {at}"
