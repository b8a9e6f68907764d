"""What a kill leaves beside the files that were being written for an instance: hidden, and of no account."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.leftovers import sweep_backups
from openclaw_ocm.system.half_written import remove_half_written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.instances.context import Context

# Of a state, before the search is given up.
_LOOKED_AT = 100_000


def sweep(context: Context, name: InstanceName) -> None:
    """Remove what was being written for an instance, whose lock is held: nobody else writes it now."""
    paths = context.host.instance(name)
    for path in (*paths.written, *_of_backends(context, paths), paths.host.transactions / f"{name}.jsonl"):
        if path == paths.config:
            _sweep_state(path)
        else:
            remove_half_written(path)
    sweep_backups(paths.host.backups, name)
    for found in os.listdir(paths.state.parent):  # noqa: PTH208 - a pure path
        if temporary.is_rehearsal(found, name):
            files.remove_tree(paths.state.parent / found)


def _of_backends(context: Context, paths: InstancePaths) -> Iterator[PurePosixPath]:
    """Yield the files that backends write for an instance; one that does not answer keeps nobody's."""
    for backend in context.backends.values():
        with contextlib.suppress(OcmError):
            yield from backend.written(paths)


def _sweep_state(path: PurePosixPath) -> None:
    """Remove what was being written in the state, where an instance that runs may put anything.

    A directory is never OCM's there: to empty one that is filled meanwhile would have no end.
    """
    with (
        contextlib.suppress(OcmError),
        files.open_state(path.parent) as directory,
        os.scandir(directory) as entries,
    ):
        for entry in itertools.islice(entries, _LOOKED_AT):
            if temporary.is_beside(entry.name, path.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.name, dir_fd=directory)
