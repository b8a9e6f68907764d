"""How packages are installed on this machine, and what else takes root is typed."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from openclaw_ocm.core.packages import install_line, parse_family

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")


@functools.cache
def family() -> str | None:
    """Return whose packages this machine has, None where that is none of those known."""
    for path in _OS_RELEASE:
        with contextlib.suppress(OSError):
            return parse_family(Path(path).read_text(encoding="utf-8", errors="replace"))
    return None


def as_root(command: str) -> str:
    """Return a command that takes root as whoever runs this types it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def line(*names: str) -> str:
    """Return the line that installs packages here, by their names on Debian."""
    return install_line(family(), names, root=os.geteuid() == 0)
