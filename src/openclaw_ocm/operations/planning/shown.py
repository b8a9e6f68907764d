"""What is said of mounts where an instance is copied: they belong to the machine, and go into no copy."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.shown import in_words

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record, Shown


def not_shown(name: InstanceName, record: Record) -> tuple[str, ...]:
    """Return what `record` shows its instance, and the new instance `name` is not shown."""
    return tuple(
        f"{name} is not shown {in_words(one)}: ocm mount {name} {_arguments(one)}" for one in record.mounts
    )


def not_held(record: Record) -> tuple[str, ...]:
    """Return what an instance is shown and no backup of it has."""
    shown = ", ".join(one.path for one in record.mounts)
    return (f"not part of it is what {record.name} is shown: {shown}",) if shown else ()


def _arguments(shown: Shown) -> str:
    """Return what is typed after `ocm mount NAME` to be shown it."""
    at = () if shown.at == shown.path else ("--at", shown.at)
    return shlex.join((shown.path, *at, *(("--rw",) if shown.writable else ())))
