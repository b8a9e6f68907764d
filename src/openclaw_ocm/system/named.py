"""Where the host has what programs look for by a name of the system's: name servers and certificates."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath

from openclaw_ocm.core.sandbox.policy import LOOKED_UP, RESOLVER, SYSTEM, TRUSTED, Named
from openclaw_ocm.errors import UnreadableFile
from openclaw_ocm.system import files

_MAX_LINKS = 40
_MAX_BYTES = 64 * 1024


def named_files() -> tuple[Named, ...]:
    """Return where the names lead, those left out that lead to nothing that this user can read."""
    return tuple(
        Named(name=name, source=PurePosixPath(os.path.realpath(name)), target=place_inside(name))
        for name in (RESOLVER, *LOOKED_UP, *TRUSTED)
        if _has_content(Path(name))
    )


def name_servers() -> str | None:
    """Return the beginning of /etc/resolv.conf, None where it cannot be read."""
    return _text(RESOLVER)


def name_servers_inside(pid: int) -> str | None:
    """Return it as a sandbox has it, that of the process `pid`; None where nothing is read there.

    What a sandbox is shown there nothing inside can change.
    """
    return _text(PurePosixPath(f"/proc/{pid}/root{place_inside(RESOLVER)}"))


def place_inside(name: PurePosixPath) -> PurePosixPath:
    """Return where links lead from a name, followed as long as a sandbox sees them.

    From the first place on that it does not see, there are no links inside, whatever the host has there.
    """
    here, rest = PurePosixPath("/"), list(name.parts[1:])
    for _ in range(_MAX_LINKS):
        if not rest:
            break
        here, rest = _step(here, rest)
        seen = any(here.is_relative_to(directory) for directory in SYSTEM)
        if seen and (led := files.link_target(here)) is not None:
            target = PurePosixPath(led)
            here = PurePosixPath("/") if target.is_absolute() else here.parent
            rest = [*(part for part in target.parts if part != "/"), *rest]
    while rest:
        here, rest = _step(here, rest)
    return here


def _step(here: PurePosixPath, rest: list[str]) -> tuple[PurePosixPath, list[str]]:
    return (here.parent if rest[0] == ".." else here / rest[0]), rest[1:]


def _has_content(path: Path) -> bool:
    """Tell whether there is anything to read, as the probe asks it inside."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            with os.scandir(path) as entries:
                return next(entries, None) is not None
        return path.is_file() and path.stat().st_size > 0 and os.access(path, os.R_OK)
    return False


def _text(path: PurePosixPath) -> str | None:
    with contextlib.suppress(UnreadableFile):
        data = files.read_own(path, limit=_MAX_BYTES)
        return None if data is None else data.decode(errors="replace")
    return None
