"""Debian's packages, by the machine's own apt and without root: fetched, checked, unpacked."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.image.debian import (
    CERTIFICATES,
    PACKAGES,
    apt_settings,
    dpkg_status,
    lacking,
    own_files,
    place,
)
from openclaw_ocm.core.needs import Progress
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.image.trees import entries_of
from openclaw_ocm.system.machine.fetch import FETCH_SECONDS, check
from openclaw_ocm.system.runner import SAFE_PATH, Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.image.entries import Entry
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report
    from openclaw_ocm.system.runner import Completed

_TOOLS = ("apt-get", "dpkg-deb")
_WHAT = "Debian's packages"
_GOT = "Get:"
_MOST_PRINTED = 2**24


def check_tools() -> None:
    """Raise `OcmError` on a machine without Debian's tools."""
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=SAFE_PATH) is None]
    if missing:
        message = f"an image is made of Debian's packages, and this machine has no {' and no '.join(missing)}"
        hint = "build it on Debian or Ubuntu, and copy the file"
        raise OcmError(message, hint=hint, code="image_impossible")


def debian(
    host: Host, architecture: str, beside: PurePosixPath, report: Report, lock: int
) -> dict[str, Entry]:
    """Return what of Debian is in an image, whose files lie in the directory `beside` as long as that does.

    What is run holds the lock of all installs too, even if this ocm is killed: another clears the directory.
    Raises `OcmError` where packages cannot be fetched or unpacked.
    """
    packages = _fetch(host, architecture, beside, report, lock)
    root = beside / "root"
    controls = []
    for number, package in enumerate(packages):
        report(Progress(what=f"unpack {_WHAT}", done=number, total=len(packages), unit="packages"))
        _deb(host, lock, "--extract", package, root)
        controls.append(_deb(host, lock, "--field", package))
    report(Progress(what=f"unpack {_WHAT}", done=len(packages), total=len(packages), unit="packages"))
    _check_whole(controls)
    found = entries_of(root, place)
    tops = (path.name for path in Path(root).iterdir())
    made = own_files(_certificates(found), dpkg_status(controls), tops)
    return {**found, **made}


def _fetch(
    host: Host, architecture: str, beside: PurePosixPath, report: Report, lock: int
) -> tuple[PurePosixPath, ...]:
    """Return the packages as files, checked by apt as it checks what is installed on this machine.

    A source that is `[trusted=yes]` here is trusted.
    """
    settings, archives = beside / "apt.conf", beside / "cache" / "archives"
    for directory in (archives / "partial", beside / "state" / "lists" / "partial", beside / "log"):
        files.make_directory(directory)
    files.write_file(beside / "state" / "status", b"")
    files.write_file(settings, apt_settings(beside, architecture).encode())
    got = 0

    def on_line(line: str) -> None:
        nonlocal got
        got += line.startswith(_GOT)
        report(Progress(what=f"fetch {_WHAT}", done=got, unit="files"))

    def run(*arguments: str) -> Completed:
        argv = ("apt-get", "--config-file", str(settings), *arguments)
        environ = {"DEBIAN_FRONTEND": "noninteractive", **host.network}
        command = Command(
            argv=argv,
            timeout_seconds=FETCH_SECONDS,
            env=environ,
            directory=str(beside),
            descriptors=(lock,),
        )
        return host.runner.follow(command, on_line, limit=_MOST_PRINTED)

    report(Progress(what=f"fetch {_WHAT}"))
    updated = run("update")
    check("apt-get", _WHAT, updated)
    done = run("install", "--yes", "--download-only", *PACKAGES)
    check("apt-get", _WHAT, done, said_before=updated.stdout)
    return tuple(map(PurePosixPath, sorted(Path(archives).glob("*.deb"))))


def _deb(host: Host, lock: int, *arguments: str | PurePosixPath) -> str:
    argv = ("dpkg-deb", *map(str, arguments))
    command = Command(argv=argv, timeout_seconds=FETCH_SECONDS, limit=_MOST_PRINTED, descriptors=(lock,))
    return host.runner.run(command).stdout


def _check_whole(controls: list[str]) -> None:
    missing = lacking(controls)
    if missing:
        message = f"apt-get fetched {_WHAT} without {', '.join(missing)}"
        hint = "name a mirror, or copy: in the place of file: (sources.list(5))"
        raise OcmError(message, hint=hint, code="image_impossible")


def _certificates(found: Mapping[str, Entry]) -> list[bytes]:
    """Return the certificates that Debian trusts."""
    paths = (entry.content for name, entry in sorted(found.items()) if name.startswith(CERTIFICATES))
    return [Path(path).read_bytes() for path in paths if isinstance(path, PurePosixPath)]
