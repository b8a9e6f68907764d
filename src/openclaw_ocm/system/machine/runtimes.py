"""OpenClaws beside each other: each whole in a directory named by its version, which nothing changes."""

from __future__ import annotations

import contextlib
import filecmp
import os
import stat
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.releases import (
    CHANNELS,
    Release,
    channel_of,
    check_release,
    is_newer,
    is_patch,
    patches_of,
)
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.newest import Newest, keep_newest
from openclaw_ocm.system.machine.fetch import alone, put, staging
from openclaw_ocm.system.machine.npm import has_npm, make_openclaw, published
from openclaw_ocm.system.openclaw.package import OPENCLAW, stated_range
from openclaw_ocm.system.openclaw.versions import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def resolve(host: Host, wanted: str) -> Release:
    """Return the release that a version or a channel of npm's is; a version that is there is not asked for.

    What a channel has is kept, for `list` and `status` to tell.

    Raises `OcmError` where there is none such, or one that is older than OCM can run.
    """
    check_release(wanted)
    have = installed(host.paths).get(wanted)
    if have is not None:
        return Release(wanted, stated_range(have))
    with tempfile.TemporaryDirectory(prefix="ocm-") as beside:
        release = published(host, wanted, PurePosixPath(beside))
    if wanted in CHANNELS:
        keep_newest(host.paths, wanted, Newest(version=release.version, asked=time.time()))
    check_release(release.version)
    return release


def newest_patch(host: Host, version: str) -> str | None:
    """Return the newest release of the month of a version, None where npm's registry has none newer.

    The channel of the version is asked first: what it does not have yet is not looked for.
    """
    newest = resolve(host, channel_of(version)).version
    if not is_patch(newest, version) and is_newer(newest, version):
        with tempfile.TemporaryDirectory(prefix="ocm-") as beside:
            newest = published(host, patches_of(version), PurePosixPath(beside)).version
    return newest if is_patch(newest, version) and is_newer(newest, version) else None


def resolve_later(host: Host, wanted: str) -> Release:
    """Return the same, but what was asked for where there is no npm yet that could tell."""
    check_release(wanted)
    return resolve(host, wanted) if wanted in installed(host.paths) or has_npm(host) else Release(wanted)


def make_runtime(host: Host, wanted: str, report: Report, lock: int) -> None:
    """Bring an OpenClaw whole, or leave nothing; the lock of all installs is held.

    What other versions have as well is on the disk once (hard links). Raises `OcmError` where it cannot be
    fetched, where no Node here fits it, or where it does not start.
    """
    version, have = resolve(host, wanted).version, installed(host.paths)
    if version in have:
        return
    with staging(host.paths.runtimes) as beside:
        make_openclaw(host, version, beside, report, lock)
        made = beside / "made" / OPENCLAW
        files.make_directory(made.parent)
        Path(beside, OPENCLAW).rename(made)
        _settle(made, tuple(have.values()))
        put(beside / "made", host.paths.runtimes / version, beside)


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
