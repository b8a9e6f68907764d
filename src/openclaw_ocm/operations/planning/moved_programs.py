"""What to say of installed programs where a state lies elsewhere now: each names its Python by the path."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.core import prefix
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.volume import Volume

# uv has no command that makes the links to all its programs anew as well (0.13).
_ANEW = {
    "uv": "uv tool list | sed -n 's/ v.*//p' | xargs -n 1 uv tool install --force --reinstall",
    "pipx": "pipx reinstall-all",
}


def stale_programs(name: InstanceName, volume: Volume) -> tuple[str, ...]:
    """Return a note on the programs in a state that name the path where it lay before, none without such."""
    found: list[str] = []
    with contextlib.suppress(OcmError, OSError):
        # Each environment has a file pyvenv.cfg.
        places = {place[0]: "/".join((prefix.NAME, *place, "*")) for place in prefix.ENVIRONMENTS}
        found += (program for program, place in places.items() if volume.sizes(place, most=1))
    if not found:
        return ()
    typed = "; ".join(_ANEW[one] for one in found)
    return (f"what {' and '.join(found)} installed names its old path: ocm enter {name}, and there {typed}",)
