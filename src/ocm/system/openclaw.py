"""Finds the Node and the OpenClaw that an instance is to run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ocm.core.launch import ENTRY, NODE_FLAGS
from ocm.core.record import Runtime
from ocm.errors import OcmError
from ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocm.system.host import Host

# What OpenClaw 2026.9.6 states in its package.json, and the first release that OCM was measured with.
NODE_RANGE = ">=24.16.0 <25 or >=26.1.0"
OLDEST_OPENCLAW = (2026, 9, 6)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_NODE_HINT = f"install Node {NODE_RANGE}: npm install --global --prefix ~/.local node@24 brings one"
_OPENCLAW_HINT = "npm install --global --prefix ~/.npm-global openclaw"


def find_runtime(host: Host) -> Runtime:
    """Return the first Node and OpenClaw on the PATH or in the usual places, as resolved paths.

    Raises `OcmError` with the command that mends it where one is missing or too old.
    """
    node = _find_node(host)
    package = _find_openclaw(host)
    version = package_version(package)
    if _numbers(version) < OLDEST_OPENCLAW:
        message = f"OpenClaw {version} in {package} is too old: OCM needs 2026.9.6 or newer"
        raise OcmError(message, hint=f"{_OPENCLAW_HINT}@latest", code="openclaw_too_old")
    return Runtime(node=str(node), openclaw=str(package))


def main_command(
    runtime: Runtime, arguments: tuple[str, ...], *, env: Mapping[str, str], timeout_seconds: float
) -> Command:
    """Return `openclaw ARGUMENTS` as main, the user's own OpenClaw: on its own state, in no sandbox."""
    entry = str(PurePosixPath(runtime.openclaw) / ENTRY)
    argv = (runtime.node, *NODE_FLAGS, entry, *arguments)
    return Command(argv=argv, env=env, timeout_seconds=timeout_seconds, stdin=b"")


def package_version(package: PurePosixPath) -> str:
    """Return the version that a package directory of OpenClaw states, or raise `OcmError`."""
    try:
        with Path(package, "package.json").open("rb") as file:
            stated = json.load(file)
        version = stated["version"]
        if stated["name"] == "openclaw" and isinstance(version, str) and _VERSION.match(version):
            return version
    except (OSError, ValueError, KeyError, TypeError):
        pass
    message = f"there is no OpenClaw in {package}"
    raise OcmError(message, hint=_OPENCLAW_HINT, code="openclaw_missing")


def _numbers(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(int(part) for part in match.groups()) if match else (0, 0, 0)


def _search(host: Host, program: str) -> PurePosixPath | None:
    home = host.paths.home
    usual = (home / ".npm-global/bin", home / ".local/bin", PurePosixPath("/usr/local/bin"))
    found = shutil.which(program, path=":".join((host.search_path, *map(str, usual))))
    return PurePosixPath(Path(found).resolve()) if found else None


def _find_node(host: Host) -> PurePosixPath:
    node = _search(host, "node")
    if node is None:
        message = "Node is not installed"
        raise OcmError(message, hint=_NODE_HINT, code="node_missing")
    printed = host.runner.run(Command(argv=(str(node), "--version"), timeout_seconds=20), check=False)
    version = _numbers(printed.stdout.strip())
    if not ((24, 16, 0) <= version < (25, 0, 0) or version >= (26, 1, 0)):
        message = f"Node {printed.stdout.strip() or 'of unknown version'} ({node}) cannot run OpenClaw"
        raise OcmError(message, hint=_NODE_HINT, code="node_too_old")
    return node


def _find_openclaw(host: Host) -> PurePosixPath:
    entry = _search(host, "openclaw")
    # OCM's own wrapper is named openclaw too, but only inside a sandbox; a wrapper of the user's ends here.
    if entry is None or entry.name != ENTRY:
        message = "OpenClaw is not installed" if entry is None else f"{entry} is no OpenClaw package"
        raise OcmError(message, hint=_OPENCLAW_HINT, code="openclaw_missing")
    return entry.parent
