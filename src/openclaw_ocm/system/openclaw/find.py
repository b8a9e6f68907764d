"""Finds the Node and the OpenClaw that an instance is to run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import Found
from openclaw_ocm.core.openclaw.run import ENTRY, NODE_FLAGS
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.core.releases import (
    NODE_RANGE,
    NODE_VERSION,
    Span,
    is_newer,
    is_within,
    parse_range,
    parse_version,
)
from openclaw_ocm.core.sandbox.policy import npm_beside
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.system.host import Host

# The first release that OCM was measured with.
OLDEST_OPENCLAW = "2026.9.6"
# In a package whose scripts did not run: OpenClaw runs them at its next start, but a sandbox forbids it.
PENDING = ".openclaw-lifecycle-pending"
# Seen from the home.
_USUAL = (".npm-global/bin", ".local/bin", "/usr/local/bin")
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_BRING = "ocm setup brings one"
_UPDATE = "npm install --global openclaw@latest"


def find_runtime(host: Host) -> Runtime:
    """Return the first Node and OpenClaw on the PATH or in the usual places, as resolved paths.

    Raises `OcmError` with the command that mends it where one is missing or too old.
    """
    openclaw = find_openclaw(host)
    node = find_node(host, node_range(PurePosixPath(openclaw.path)))
    return Runtime(node=node.path, openclaw=openclaw.path)


def find_openclaw(host: Host) -> Found:
    """Return the package directory of OpenClaw; raise `OcmError` where there is none that OCM can use."""
    entry = next(_programs(host, "openclaw"), None)
    # OCM's own wrapper is named openclaw too, but only inside a sandbox; a wrapper of the user's ends here.
    if entry is None:
        raise OcmError("OpenClaw is not installed", hint=_BRING, code="openclaw_missing")
    if entry.name != ENTRY:
        message = f"{entry} is no OpenClaw package"
        raise OcmError(message, hint=f"put one before it: {_UPDATE}", code="openclaw_unusable")
    package = entry.parent
    version = package_version(package)
    if is_newer(OLDEST_OPENCLAW, version):
        message = f"OpenClaw {version} in {package} is too old: OCM needs 2026.9.6 or newer"
        raise OcmError(message, hint=_UPDATE, code="openclaw_too_old")
    if Path(package, PENDING).exists():
        message = f"OpenClaw {version} in {package} is not completely installed"
        raise OcmError(message, hint="openclaw --version completes it", code="openclaw_incomplete")
    return Found(path=str(package), version=version)


def find_node(host: Host, spans: tuple[Span, ...]) -> Found:
    """Return the first Node within `spans`, those on the PATH before OCM's; raise `OcmError` without."""
    seen: list[str] = []
    for node in _nodes(host):
        version = _node_version(host, node)
        if is_within(parse_version(version) or (0, 0, 0), spans):
            return Found(path=str(node), version=version)
        seen.append(f"Node {version or 'of unknown version'} ({node}) cannot run OpenClaw")
    message = seen[0] if seen else "Node is not installed"
    raise OcmError(message, hint=_BRING, code="node_too_old" if seen else "node_missing")


def find_npm(host: Host, spans: tuple[Span, ...]) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Return a Node within `spans` and the npm that came with it, None where no Node has one."""
    for node in _nodes(host):
        npm = npm_of(node)
        if npm is not None and is_within(parse_version(_node_version(host, node)) or (0, 0, 0), spans):
            return node, npm
    return None


def npm_of(node: PurePosixPath) -> PurePosixPath | None:
    """Return the npm that came with a Node, None where there is none beside it."""
    npm = npm_beside(node) / "bin" / "npm-cli.js"
    return npm if Path(npm).is_file() else None


def node_range(package: PurePosixPath) -> tuple[Span, ...]:
    """Return the Node versions that an OpenClaw package states it runs with.

    Where it says nothing that can be read, those that OCM was measured with.
    """
    try:
        with Path(package, "package.json").open("rb") as file:
            stated = parse_range(json.load(file)["engines"]["node"])
    except (OSError, ValueError, KeyError, TypeError):
        stated = None
    return stated or default_range()


def default_range() -> tuple[Span, ...]:
    """Return the Node versions for the OpenClaw that OCM installs."""
    return parse_range(NODE_RANGE) or ()


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
    raise OcmError(message, hint=_UPDATE, code="openclaw_unusable")


def node_target(host: Host) -> PurePosixPath:
    """Return where OCM installs a Node of its own."""
    return host.paths.ocm_data / f"node-{NODE_VERSION}"


def _nodes(host: Host) -> Iterator[PurePosixPath]:
    """Yield every Node on the PATH and in the usual places, then those of OCM's own, the newest first."""
    yield from _programs(host, "node")
    own = Path(host.paths.ocm_data).glob("node-*/bin/node")
    for path in sorted(own, key=lambda path: parse_version(path.parts[-3][5:]) or (0, 0, 0), reverse=True):
        yield PurePosixPath(os.path.realpath(path))


def _programs(host: Host, name: str) -> Iterator[PurePosixPath]:
    """Yield the programs of a name on the PATH and in the usual places, resolved, each once."""
    usual = (str(host.paths.home / place) for place in _USUAL)
    seen = set()
    for directory in (*host.search_path.split(os.pathsep), *usual):
        # What a relative entry means depends on where OCM is called, which may be an instance's workspace.
        found = shutil.which(name, path=directory) if Path(directory).is_absolute() else None
        path = PurePosixPath(os.path.realpath(found)) if found else None
        if path is not None and path not in seen:
            seen.add(path)
            yield path


def _node_version(host: Host, node: PurePosixPath) -> str:
    """Return what a Node says is its version, nothing where it cannot be run at all."""
    command = Command(argv=(str(node), "--version"), timeout_seconds=20)
    with contextlib.suppress(OSError):
        return host.runner.run(command, check=False).stdout.strip().removeprefix("v")
    return ""
