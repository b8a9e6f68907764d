"""Copies a directory that nobody writes, as it is: links, modes, times and holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host

_SECONDS = 3600.0


def copy_tree(host: Host, source: PurePosixPath, target: PurePosixPath, *, into: bool = False) -> None:
    """Copy a directory as `target`, or what it holds `into` the one that is there; no link in it is followed.

    Where the file system can, both share what neither changes. Raises `OcmError` where some of it cannot be
    read, or there is no room; what was copied by then stays.
    """
    what = f"{source}/." if into else str(source)
    argv = ("cp", "--archive", "--reflink=auto", "--", what, str(target))
    done = host.runner.run(Command(argv=argv, timeout_seconds=_SECONDS), check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["cp failed"])[-1]
        raise OcmError(f"{source} cannot be copied: {said}", hint="make room there", code="not_kept")
