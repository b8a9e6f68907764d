"""The templates of the units beside gateways, and the program of one: there as long as a unit wants them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.unit import render_turn, render_uplink
from openclaw_ocm.errors import UnreadableFile
from openclaw_ocm.system import files, programs
from openclaw_ocm.system.half_written import remove_half_written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths


def keep(paths: HostPaths, defined: Collection[InstanceName]) -> None:
    """Write each as this OCM has it, or remove it where no unit of those `defined` wants it.

    Raises `OcmError` where another ocm writes them for long.
    """
    with _alone(paths):
        for template in (places.UPLINK, places.TURN):
            if any(is_wanted(paths, template, name) for name in defined):
                _write(paths, template)
            else:
                for path in _files(paths, template):
                    files.remove_file(path)


def bring(paths: HostPaths, template: str, names: Collection[InstanceName]) -> bool:
    """Write what is missing or of another OCM, where a unit of `names` wants it; tell whether it was.

    Raises `OcmError` where another ocm writes them for long.
    """
    with _alone(paths):
        return any(is_wanted(paths, template, name) for name in names) and _write(paths, template)


def is_current(paths: HostPaths, template: str) -> bool:
    """Tell whether a template is there as this OCM has it."""
    return not _old(paths, template)


def is_wanted(paths: HostPaths, template: str, name: InstanceName) -> bool:
    """Tell whether the unit of an instance wants one of a template: those that an older OCM wrote do not."""
    wants = f"Wants={places.of_template(template, name)}\n".encode()
    # Another's unit may be anything, a link to nowhere as systemd masks one included.
    with contextlib.suppress(UnreadableFile):
        return wants in (files.read_own(places.unit(paths.instance(name))) or b"")
    return False


@contextlib.contextmanager
def _alone(paths: HostPaths) -> Iterator[None]:
    """Have nobody else write them meanwhile, and remove what a kill left of one that was being written."""
    with files.lock(paths.locks / "@templates.lock", "what all units share"):
        for path in (places.uplink(paths), places.turn(paths), places.turn_program(paths)):
            remove_half_written(path)
        yield


def _files(paths: HostPaths, template: str) -> dict[PurePosixPath, bytes]:
    if template == places.UPLINK:
        return {places.uplink(paths): render_uplink(paths).encode()}
    return {
        places.turn(paths): render_turn(paths).encode(),
        places.turn_program(paths): programs.text("take_turn.pl").encode(),
    }


def _old(paths: HostPaths, template: str) -> dict[PurePosixPath, bytes]:
    """Return what of a template is missing or of another OCM, with what it is to be."""
    return {path: content for path, content in _files(paths, template).items() if not _is(path, content)}


def _write(paths: HostPaths, template: str) -> bool:
    old = _old(paths, template)
    for path, content in old.items():
        files.write_file(path, content)
    return bool(old)


def _is(path: PurePosixPath, content: bytes) -> bool:
    with contextlib.suppress(UnreadableFile):
        return files.read_own(path) == content
    return False
