"""What to say of installed programs where a state lies elsewhere now: each names its Python by the path."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.core import prefix
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName

# uv has no command that makes the links to all its programs anew as well (0.13).
_ANEW = {
    "uv": "uv tool list | sed -n 's/ v.*//p' | xargs -n 1 uv tool install --force --reinstall",
    "pipx": "pipx reinstall-all",
}


def stale_programs(name: InstanceName, state: PurePosixPath) -> tuple[str, ...]:
    """Return a note on the programs in a state that name the path where it lay before, none without such."""
    found: list[str] = []
    with contextlib.suppress(OcmError, OSError), files.open_state(state) as directory:
        # Each environment has a file pyvenv.cfg.
        found += (
            place[0]
            for place in prefix.ENVIRONMENTS
            if any(True for _size in files.sizes_in(directory, prefix.NAME, *place, "*"))
        )
    if not found:
        return ()
    typed = "; ".join(_ANEW[one] for one in found)
    return (f"what {' and '.join(found)} installed names its old path: ocm enter {name}, and there {typed}",)
