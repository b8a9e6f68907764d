"""How large states were when they were measured last: to measure millions of files each minute is no use."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.metrics.sizes import Size
from openclaw_ocm.errors import UnreadableFile
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.paths import HostPaths


def read_sizes(paths: HostPaths) -> dict[str, Size]:
    """Return what is kept, by instance; nothing where that cannot be read: then all is measured anew."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UnreadableFile):
        data = files.read_own(paths.sizes)
        if data is not None:
            return msgspec.json.decode(data, type=dict[str, Size])
    return {}


def keep_sizes(paths: HostPaths, sizes: Mapping[str, Size]) -> None:
    """Keep what was measured; where that cannot be written, it is measured anew the next time."""
    with contextlib.suppress(OSError):
        files.write_file(paths.sizes, msgspec.json.encode(dict(sizes)))
