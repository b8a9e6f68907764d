"""The state of an OpenClaw of the user's own, which is no instance: who uses it, copies, and its removal.

It is the user's, so its databases are opened here: SQLite copies those that a gateway is writing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.paths import CONFIG_NAME, STATE_DIRECTORIES
from openclaw_ocm.errors import InTheWay
from openclaw_ocm.system import files, removable
from openclaw_ocm.system.copying import copy_tree
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.own_copy import below, copy_below
from openclaw_ocm.system.openclaw.texts import read_bounded
from openclaw_ocm.system.openclaw.whereabouts import lock_of, running_on

if TYPE_CHECKING:
    from collections.abc import Collection

    from openclaw_ocm.system.host import Host

_MAX_LOCK = 65536
# Locks, and what its processes tell each other.
_SCRATCH = "tmp"


def refuse_used(host: Host, state: PurePosixPath) -> None:
    """Raise `InTheWay` where a gateway uses a state; `OcmError` where its lock cannot be read."""
    read_bounded(Path(lock_of(host, state)), _MAX_LOCK, str(lock_of(host, state)))
    found = running_on(host, state)
    if found is not None:
        message = f"a gateway, PID {found[1]}, still uses {state}"
        raise InTheWay(message, hint="end it, and see what started it", code="adopt_running")


def links_in(host: Host, state: PurePosixPath) -> tuple[str, ...]:
    """Return the names in main's state that are links to configs of instances: they are OCM's."""
    links = [host.instance(name).config_link for name in instance_names(host.paths)]
    return tuple(link.name for link in links if link.parent == state and Path(link).is_symlink())


def copy_cold(host: Host, source: PurePosixPath, target: PurePosixPath, left_out: Collection[str]) -> None:
    """Copy a state that nobody uses into a directory, as it is; raise `OcmError` where that cannot be."""
    copy_tree(host, source, target, into=True)
    for name in {*left_out, *links_in(host, source), _SCRATCH}:
        files.remove(target / name)
    _relink(host, source, target)
    with files.open_state(target) as directory:
        files.flush(directory)


def copy_live(host: Host, source: PurePosixPath, target: PurePosixPath, left_out: Collection[str]) -> None:
    """Copy a state that a gateway may be writing: each database whole, each file as it is read.

    What is gone meanwhile is left out, and so are sockets. Raises `OcmError` where one cannot be copied.
    """
    copy_below(source, target, {*left_out, *links_in(host, source), _SCRATCH})
    _relink(host, source, target)
    with files.open_state(target) as directory:
        files.flush(directory)


def _relink(host: Host, source: PurePosixPath, copy: PurePosixPath) -> None:
    """Have links of a copy that name a place in what was copied, in full, lead to the same in the copy.

    Links of OCM's that were there before are none of the copy's.
    """
    kept = {str(copy / name) for name in links_in(host, copy)}
    for entry in below(copy):
        link = Path(entry.path)
        target = PurePosixPath(os.path.normpath(link.readlink())) if entry.is_symlink() else None
        if target is None or not target.is_relative_to(source) or entry.path in kept:
            continue
        inside = copy / target.relative_to(source)
        link.unlink()
        link.symlink_to(os.path.relpath(inside, link.parent))


def make_directories(state: PurePosixPath) -> None:
    """Make what OpenClaw and the sandbox find in a state of an instance, and close it to others."""
    Path(state).chmod(0o700)
    for name in STATE_DIRECTORIES:
        with contextlib.suppress(FileExistsError):
            Path(state, name).mkdir(mode=0o700)


def with_config(config: PurePosixPath, state: PurePosixPath) -> None:
    """Have the config of a state that was copied be a file in it, wherever it was and whatever its name."""
    copied = state / CONFIG_NAME
    if config.name == CONFIG_NAME and Path(copied).is_file() and not Path(copied).is_symlink():
        return
    data = files.real_path(config).read_bytes()
    files.remove(copied)
    files.write_file(copied, data)


def remove_former(host: Host, path: PurePosixPath) -> None:
    """Remove a state but for links to configs of instances, and its directory where nothing is left in it."""
    kept = links_in(host, path)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(path):  # noqa: PTH208 - a pure path
            if name not in kept:
                removable.remove(path / name)
    with contextlib.suppress(OSError):
        os.rmdir(path)  # noqa: PTH106 - a pure path
