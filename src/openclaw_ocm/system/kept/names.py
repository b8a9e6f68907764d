"""Which instances there are: the names of the record files, none of them read (completion is fast)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths


def instance_names(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the names of all instances, sorted; a file whose name is no instance name is passed over."""
    return names_in(paths.records, suffix=".toml")


def names_in(directory: PurePosixPath, *, prefix: str = "", suffix: str = "") -> tuple[InstanceName, ...]:
    """Return, sorted, the instances after which what is in a directory is named; others are passed over."""
    names = []
    for path in sorted(Path(directory).iterdir()) if Path(directory).is_dir() else ():
        if path.name.startswith(prefix) and path.name.endswith(suffix):
            with contextlib.suppress(Invalid):
                names.append(parse_name(path.name[len(prefix) : len(path.name) - len(suffix)]))
    return tuple(names)
