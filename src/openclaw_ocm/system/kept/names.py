"""Which instances there are: the names of the record files, none of them read (completion is fast)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.errors import Invalid, UnreadableFile

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths


def instance_names(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the names of all instances, sorted; a file whose name is no instance name is passed over."""
    return names_in(paths.records, suffix=".toml")


def names_in(directory: PurePosixPath, *, prefix: str = "", suffix: str = "") -> tuple[InstanceName, ...]:
    """Return, sorted, the instances after which what is in a directory is named; others are passed over.

    None where there is no directory. Raises `UnreadableFile` where there is one that cannot be read.
    """
    try:
        found = sorted(path.name for path in Path(directory).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise UnreadableFile(directory, error.strerror or str(error)) from None
    names = []
    for name in found:
        if name.startswith(prefix) and name.endswith(suffix):
            with contextlib.suppress(Invalid):
                names.append(parse_name(name[len(prefix) : len(name) - len(suffix)]))
    return tuple(names)
