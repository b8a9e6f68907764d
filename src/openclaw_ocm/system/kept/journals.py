"""Journals of changes that did not end: looked for, never read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import names_in

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths


def interrupted(paths: HostPaths) -> tuple[str, ...]:
    """Return a sentence on each change that was cut off and is still to be finished or undone.

    One on which another ocm is at work is none. Nothing is changed, and no lock is waited for.
    """
    try:
        names = unfinished_in(paths)
    except OcmError as error:
        return (f"cannot tell whether a change was interrupted: {error.message}",)
    return tuple(
        f"a change of {name} was interrupted: the next command that changes something mends it, "
        "or ocm doctor --fix"
        for name in dict.fromkeys(names)
        if not files.is_locked(paths.locks / f"{name}.lock")
    )


def unfinished_in(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return what `unfinished` does, of a user whose backends need not be known."""
    main = (MAIN,) if os.path.lexists(paths.transactions / f"{MAIN}.jsonl") else ()
    return (*main, *names_in(paths.transactions, suffix=".jsonl"), *half_written_journals(paths))


def half_written_journals(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the instances of which no more than the beginning of a journal was written, or is just now."""
    found = []
    for path in sorted(Path(paths.transactions).glob(temporary.BESIDE_GLOB)):
        owner = temporary.owner_of_journal(path.name)
        with contextlib.suppress(Invalid):
            found += [parse_name(owner)] if owner is not None else []
    return tuple(found)
