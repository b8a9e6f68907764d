"""Which instances there are: the names of the record files, none of them read (completion is fast)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocm.core.names import InstanceName, parse_name
from ocm.errors import Invalid

if TYPE_CHECKING:
    from ocm.core.paths import HostPaths


def instance_names(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the names of all instances, sorted; a file whose name is no instance name is passed over."""
    names = []
    directory = Path(paths.records)
    for path in sorted(directory.glob("*.toml")) if directory.is_dir() else ():
        try:
            names.append(parse_name(path.stem))
        except Invalid:
            continue
    return tuple(names)
