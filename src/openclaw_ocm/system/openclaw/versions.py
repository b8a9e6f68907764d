"""The OpenClaws that OCM installed, beside each other, each in a directory named by its version."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.releases import is_newer, is_release
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.package import OPENCLAW, is_whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.paths import HostPaths


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
    return {name: package for name, package in brought(paths).items() if is_whole(package, name)}


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
