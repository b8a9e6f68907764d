"""Which services start by themselves, by the links that systemctl makes to enable one; nothing is asked."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What pulls a unit in by its directory: systemd.unit(5).
_PULLING = ("wants", "requires", "upholds")


def enabled_in(directories: Iterable[str], unit: str) -> str | None:
    """Return a link in these directories of units that has a unit be started, None where there is none.

    A template stands for each of its instances.
    """
    name = glob.escape(unit).replace("@.", "@*.")
    for directory in directories:
        for pulling in _PULLING:
            found = glob.glob(f"{glob.escape(directory)}/*.{pulling}/{name}")  # noqa: PTH207 - a dangling link too
            if found:
                return found[0]
    return None
