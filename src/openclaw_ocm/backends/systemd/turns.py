"""Has gateways start in turns: the template of the units for that, and who need not wait for theirs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.unit import render_turn
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system import files, programs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.system.host import Host


def keep(paths: HostPaths, defined: Collection[InstanceName]) -> None:
    """Write template and program as this OCM has them, or remove what no unit of those `defined` wants."""
    if any(is_wanted(paths, name) for name in defined):
        bring(paths, defined)
    else:
        for path in _wanted(paths):
            files.remove_file(path)


def bring(paths: HostPaths, names: Collection[InstanceName]) -> bool:
    """Write what is missing or of another OCM, where a unit of `names` wants it; tell whether it was."""
    if not any(is_wanted(paths, name) for name in names):
        return False
    old = [(path, content) for path, content in _wanted(paths).items() if not _is(path, content)]
    for path, content in old:
        files.write_file(path, content)
    return bool(old)


def is_wanted(paths: HostPaths, name: InstanceName) -> bool:
    """Tell whether the unit of an instance waits for its turn: those that an older OCM wrote do not."""
    wants = f"Wants={places.turn_name(name)}\n".encode()
    with contextlib.suppress(UnreadableFile):
        return wants in (files.read_own(places.unit(paths.instance(name))) or b"")
    return False


@contextlib.contextmanager
def passed(host: Host, names: Collection[InstanceName]) -> Iterator[None]:
    """Have gateways that are started meanwhile wait for nobody: who starts them bounds how many at once."""
    directory = host.runtime / places.TURNS
    passes = [directory / f"{name}.pass" for name in names if is_wanted(host.paths, name)]
    with contextlib.suppress(OcmError, OSError):
        for path in passes:
            files.write_file(path, b"")
    try:
        yield
    finally:
        for path in passes:
            with contextlib.suppress(OcmError, OSError):
                files.remove_file(path)


def _wanted(paths: HostPaths) -> dict[PurePosixPath, bytes]:
    return {
        places.turn(paths): render_turn(paths).encode(),
        places.turn_program(paths): programs.text("take_turn.pl").encode(),
    }


def _is(path: PurePosixPath, content: bytes) -> bool:
    with contextlib.suppress(UnreadableFile):
        return files.read_own(path) == content
    return False
