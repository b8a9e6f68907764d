"""OpenClaws beside each other: each whole in a directory named by its version, which nothing changes."""

from __future__ import annotations

import contextlib
import filecmp
import os
import stat
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import ENTRY
from openclaw_ocm.core.releases import check_release, is_newer, is_release
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.machine.install import (
    OPENCLAW,
    alone,
    leftovers,
    make_openclaw,
    published,
    put,
    staging,
)
from openclaw_ocm.system.openclaw.find import PENDING, package_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.install import Report

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def place(paths: HostPaths, version: str) -> PurePosixPath:
    """Return the package directory of a version, without links, as a record names it."""
    return PurePosixPath(os.path.realpath(paths.runtimes)) / version / OPENCLAW


def brought(paths: HostPaths) -> dict[str, PurePosixPath]:
    """Return the package directory of each OpenClaw that OCM brought, whole or not, the newest first."""
    try:
        with os.scandir(paths.runtimes) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        message = f"{paths.runtimes} cannot be read: {error.strerror}"
        raise OcmError(message, code="unreadable") from None
    return {name: place(paths, name) for name in _newest_first(filter(is_release, names))}


def installed(paths: HostPaths) -> dict[str, PurePosixPath]:
    """Return those of them that are whole: another is brought anew where it is wanted."""
    return {name: package for name, package in brought(paths).items() if _is_whole(package, name)}


def _is_whole(package: PurePosixPath, version: str) -> bool:
    with contextlib.suppress(OcmError):
        whole = Path(package, ENTRY).is_file() and not Path(package, PENDING).exists()
        return whole and package_version(package) == version
    return False


def package_of(paths: HostPaths, version: str) -> PurePosixPath:
    """Return the package directory of a version that OCM brought; raise `OcmError` where it is not there."""
    package = installed(paths).get(version)
    if package is None:
        hint = f"ocm runtime install {version}"
        raise OcmError(f"OpenClaw {version} is not installed here", hint=hint, code="runtime_missing")
    return package


def _newest_first(versions: Iterable[str]) -> list[str]:
    ordered: list[str] = []
    for version in sorted(versions):
        place = next((i for i, other in enumerate(ordered) if is_newer(version, other)), len(ordered))
        ordered.insert(place, version)
    return ordered


def resolve(host: Host, wanted: str) -> str:
    """Return the version that a release or a channel of npm's is; a version that is there is not asked for.

    Raises `OcmError` where there is none such, or one that is older than OCM can run.
    """
    check_release(wanted)
    if wanted in installed(host.paths):
        return wanted
    with tempfile.TemporaryDirectory(prefix="ocm-") as beside:
        version = published(host, wanted, PurePosixPath(beside))
    check_release(version)
    return version


def install_runtime(host: Host, version: str, report: Report) -> bool:
    """Bring an OpenClaw whole, or leave nothing; tell whether it was not there before.

    What other versions have as well is on the disk once (hard links). Raises `OcmError` where it cannot be
    fetched, where no Node here fits it, or where it does not start.
    """
    with alone(host, report) as lock:
        for leftover in leftovers(host):
            files.remove_tree(leftover)
        have = installed(host.paths)
        if version in have:
            return False
        with staging(host.paths.runtimes) as beside:
            make_openclaw(host, version, beside, report, lock)
            made = beside / "made" / OPENCLAW
            files.make_directory(made.parent)
            Path(beside, OPENCLAW).rename(made)
            _settle(made, tuple(have.values()))
            put(beside / "made", host.paths.runtimes / version, beside)
    return True


def remove_runtime(host: Host, version: str, report: Report) -> None:
    """Remove an OpenClaw that OCM brought, or what is left of one."""
    # No command that looks meanwhile finds half of it.
    missing = contextlib.suppress(FileNotFoundError)
    with alone(host, report), staging(host.paths.runtimes) as beside, missing:
        Path(host.paths.runtimes, version).rename(beside / "removed")


def size(package: PurePosixPath) -> int:
    """Return the bytes on the disk that go with an OpenClaw when it is removed: those of no other version."""
    return sum(found.st_blocks * 512 for _path, found in _files(package) if found.st_nlink == 1)


def _settle(made: PurePosixPath, others: tuple[PurePosixPath, ...]) -> None:
    """Let nobody write to the files of a new version, and share those that others have the same."""
    for path, found in _files(made):
        below = path.relative_to(made)
        same = next((other / below for other in others if _is_same(path, found, other / below)), None)
        os.chmod(path, stat.S_IMODE(found.st_mode) & ~_WRITABLE)  # noqa: PTH101 - a pure path
        if same is not None:
            # There may be as many links as the file system allows.
            with contextlib.suppress(OSError):
                beside = path.with_name(f"{path.name}.ocm-same")
                os.link(same, beside)
                Path(beside).rename(path)


def _is_same(path: PurePosixPath, found: os.stat_result, other: PurePosixPath) -> bool:
    with contextlib.suppress(OSError):
        theirs = os.lstat(other)
        alike = stat.S_ISREG(theirs.st_mode) and theirs.st_size == found.st_size
        executable = (theirs.st_mode ^ found.st_mode) & stat.S_IXUSR == 0
        return alike and executable and filecmp.cmp(path, other, shallow=False)
    return False


def _files(directory: PurePosixPath) -> Iterator[tuple[PurePosixPath, os.stat_result]]:
    """Yield the regular files below a directory."""
    for parent, _directories, names in os.walk(directory):
        for name in names:
            path = PurePosixPath(parent, name)
            # One that is removed meanwhile takes no room.
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode):
                    yield path, found
