"""What a package directory of OpenClaw says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.run import ENTRY
from openclaw_ocm.core.openclaw.schemas import parse_stated
from openclaw_ocm.core.releases import NODE_RANGE, parse_range, readable_range
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.core.openclaw.schemas import Stated
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.core.releases import Span

# Where npm puts it below its prefix.
OPENCLAW = "lib/node_modules/openclaw"
# In a package whose scripts did not run: OpenClaw runs them at its next start, but a sandbox forbids it.
PENDING = ".openclaw-lifecycle-pending"
UPDATE = "npm install --global openclaw@latest"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def stated_range(package: PurePosixPath) -> str:
    """Return the Node versions that a package states it runs with, such as `>=24.16.0 <25 || >=26.1.0`.

    Where it says nothing that can be read, those that OCM was measured with.
    """
    try:
        return readable_range(_read(package)["engines"]["node"])
    except (OSError, ValueError, KeyError, TypeError):
        return NODE_RANGE


def node_range(package: PurePosixPath) -> tuple[Span, ...]:
    """Return the same as spans of versions."""
    return parse_range(stated_range(package)) or ()


def default_range() -> tuple[Span, ...]:
    """Return the Node versions for the OpenClaw that OCM installs."""
    return parse_range(NODE_RANGE) or ()


def package_version(package: PurePosixPath) -> str:
    """Return the version that a package directory of OpenClaw states, or raise `OcmError`."""
    try:
        stated = _read(package)
        version = stated["version"]
        if stated["name"] == "openclaw" and isinstance(version, str) and _VERSION.match(version):
            return version
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise OcmError(f"there is no OpenClaw in {package}", hint=UPDATE, code="openclaw_unusable")


def stated_schemas(package: PurePosixPath) -> Stated | None:
    """Return the versions of databases that a package states, None where it is not there or states none."""
    try:
        return parse_stated(_read(package))
    except (OSError, ValueError, AttributeError):
        return None


def version_of(runtime: Runtime) -> str:
    """Return the version of the OpenClaw that an instance runs, or raise `OcmError` as where it is gone."""
    return package_version(PurePosixPath(runtime.openclaw))


def is_whole(package: PurePosixPath, version: str) -> bool:
    """Tell whether a package directory holds that version of OpenClaw, completely installed."""
    try:
        whole = Path(package, ENTRY).is_file() and not Path(package, PENDING).exists()
        return whole and package_version(package) == version
    except (OcmError, OSError):
        return False


def _read(package: PurePosixPath) -> dict[str, Any]:
    with Path(package, "package.json").open("rb") as file:
        stated: dict[str, Any] = json.load(file)
    return stated
