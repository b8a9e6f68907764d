"""Finds the Node and the OpenClaw that an instance is to run."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.needs import Found
from openclaw_ocm.core.openclaw.run import ENTRY, NODE_FLAGS
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.core.releases import (
    NODE_VERSION,
    OLDEST_OPENCLAW,
    Span,
    is_newer,
    is_within,
    parse_version,
)
from openclaw_ocm.core.sandbox.policy import npm_beside
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.asking import ask_entry, ask_node, is_in_state, resolved
from openclaw_ocm.system.openclaw.package import PENDING, UPDATE, node_range, package_version
from openclaw_ocm.system.openclaw.versions import installed
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.openclaw.asking import Node

# Seen from the home.
_USUAL = (".npm-global/bin", ".local/bin", "/usr/local/bin")
# How far above its entry a package begins, and how many that were passed over are told.
_MOST_ABOVE, _MOST_TOLD = 4, 3
_BRING = "ocm setup brings one"
_NAME_IT = "name a Node, a package of OpenClaw, or a directory with programs of these names"
_IN_STATE = "lies in the state of main or of an instance, or where one may write"


def find_runtime(host: Host) -> Runtime:
    """Return the first Node and OpenClaw on the PATH or in the usual places, as resolved paths.

    Raises `OcmError` with the command that mends it where one is missing or too old.
    """
    openclaw = find_openclaw(host)
    node = find_node(host, node_range(PurePosixPath(openclaw.path)))
    return Runtime(node=node.path, openclaw=openclaw.path)


def find_openclaw(host: Host, *, own: bool = True) -> Found:
    """Return the first OpenClaw that OCM can use, as its package directory.

    After those on the PATH come, with `own`, those that OCM installed, the newest first. Raises `OcmError`
    where there is none, with what was passed over and the mend of the first.
    """
    refused: list[OcmError] = []
    for program in _programs(host, "openclaw"):
        try:
            return _openclaw_of(host, program)
        except OcmError as error:
            refused.append(error)
    for version, package in installed(host.paths).items() if own else ():
        return Found(path=str(package), version=version)
    if not refused:
        raise OcmError("OpenClaw is not installed", hint=_BRING, code="openclaw_missing")
    first = refused[0]
    raise OcmError(_each(error.message for error in refused), hint=first.hint, code=first.code)


def _openclaw_of(host: Host, program: PurePosixPath) -> Found:
    """Return the OpenClaw that a program is or starts; raise `OcmError` where OCM cannot use it."""
    hint = f"put one before it: {UPDATE}"
    # What an instance may have written is not even asked.
    _refuse_in_state(host.paths, program, resolved(program))
    package = _package_above(resolved(program))
    if package is None:
        # A wrapper, or the shim of a version manager: OCM's own is named openclaw too, but only inside.
        entry = ask_entry(host, program)
        package = None if isinstance(entry, str) else _package_above(entry)
        if package is None:
            why = entry if isinstance(entry, str) else f"it starts {printable(str(entry))}"
            raise OcmError(f"{program} is no OpenClaw package: {why}", hint=hint, code="openclaw_unusable")
    _refuse_in_state(host.paths, package)
    version = package_version(package)
    if is_newer(OLDEST_OPENCLAW, version):
        message = f"OpenClaw {version} in {package} is too old: OCM needs {OLDEST_OPENCLAW} or newer"
        raise OcmError(message, hint=UPDATE, code="openclaw_too_old")
    if Path(package, PENDING).exists():
        message = f"OpenClaw {version} in {package} is not completely installed"
        raise OcmError(message, hint="openclaw --version completes it", code="openclaw_incomplete")
    return Found(path=str(package), version=version)


def _package_above(file: PurePosixPath) -> PurePosixPath | None:
    """Return the directory of OpenClaw's package in which a file is, None where it is in none."""
    for directory in file.parents[:_MOST_ABOVE]:
        with contextlib.suppress(OcmError):
            package_version(directory)
            return directory if Path(directory, ENTRY).is_file() else None
    return None


def _refuse_in_state(paths: HostPaths, *programs: PurePosixPath) -> None:
    """Raise `OcmError` for what lies where no other instance looks, and one may write."""
    for program in programs:
        if is_in_state(paths, program):
            raise OcmError(f"{program} {_IN_STATE}", hint=UPDATE, code="openclaw_unusable")


class Named(NamedTuple):
    """What a path leads to: a Node, a package of OpenClaw, or both."""

    node: str | None = None
    openclaw: str | None = None


def program_at(host: Host, path: PurePosixPath) -> Named:
    """Return what a path leads to; in a directory the programs of these names count.

    Raises `OcmError` where it is neither.
    """
    if Path(path).is_dir() and not Path(path, ENTRY).is_file():
        passed: list[str] = []
        node = next(_answering(host, _programs_in(str(path), "node"), passed), None)
        entry = next(_programs_in(str(path), "openclaw"), None)
        openclaw = None if entry is None else _openclaw_of(host, entry).path
        if node is None and openclaw is None:
            message = _each(passed) or f"there is neither a Node nor an OpenClaw in {path}"
            raise OcmError(message, hint=_NAME_IT, code="runtime_unusable")
        return Named(None if node is None else str(node.path), openclaw)
    if not Path(path).exists():
        raise OcmError(f"there is no {path}", hint=_NAME_IT, code="runtime_unusable")
    if Path(path).is_dir():
        return Named(openclaw=_openclaw_of(host, path / ENTRY).path)
    if path.name in ("openclaw", ENTRY):
        return Named(openclaw=_openclaw_of(host, path).path)
    found = next(_answering(host, [path], passed := []), None)
    if found is None:
        raise OcmError(_each(passed), hint=_NAME_IT, code="runtime_unusable")
    return Named(node=str(found.path))


def find_node(
    host: Host,
    spans: tuple[Span, ...],
    *,
    first: PurePosixPath | None = None,
    only: PurePosixPath | None = None,
) -> Found:
    """Return the first Node within `spans`: `first`, those on the PATH, those of OCM's; or `only` that one.

    Without one it raises `OcmError`, with what was passed over.
    """
    passed: list[str] = []
    nodes = _answering(host, [only], passed) if only else _nodes(host, passed, first)
    for found in nodes:
        if is_within(parse_version(found.version) or (0, 0, 0), spans):
            return Found(path=str(found.path), version=found.version)
        passed.append(f"Node {found.version} ({found.path}) cannot run OpenClaw")
    if not passed:
        raise OcmError("Node is not installed", hint=_BRING, code="node_missing")
    old = any(each.startswith("Node ") for each in passed)
    raise OcmError(_each(passed), hint=_BRING, code="node_too_old" if old else "node_unusable")


def _each(reasons: Iterable[str]) -> str:
    told = list(dict.fromkeys(reasons))
    more = f"; and {len(told) - _MOST_TOLD} more" if told[_MOST_TOLD:] else ""
    return "; ".join(told[:_MOST_TOLD]) + more


def find_npm(host: Host, spans: tuple[Span, ...]) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Return a Node within `spans` and the npm that came with it, None where no Node has one."""
    for found in _nodes(host, []):
        npm = npm_of(found.path)
        if npm is not None and is_within(parse_version(found.version) or (0, 0, 0), spans):
            return found.path, npm
    return None


def npm_of(node: PurePosixPath) -> PurePosixPath | None:
    """Return the npm that came with a Node, None where there is none beside it."""
    npm = npm_beside(node) / "bin" / "npm-cli.js"
    return npm if Path(npm).is_file() else None


def main_command(
    runtime: Runtime, arguments: tuple[str, ...], *, env: Mapping[str, str], timeout_seconds: float
) -> Command:
    """Return `openclaw ARGUMENTS` as main, the user's own OpenClaw: on its own state, in no sandbox."""
    entry = str(PurePosixPath(runtime.openclaw) / ENTRY)
    argv = (runtime.node, *NODE_FLAGS, entry, *arguments)
    return Command(argv=argv, env=env, timeout_seconds=timeout_seconds, stdin=b"")


def node_target(host: Host) -> PurePosixPath:
    """Return where OCM installs a Node of its own."""
    return host.paths.ocm_data / f"node-{NODE_VERSION}"


def _nodes(host: Host, passed: list[str], first: PurePosixPath | None = None) -> Iterator[Node]:
    """Yield every Node: `first`, those on the PATH and in the usual places, OCM's own from the newest on."""
    own = Path(host.paths.ocm_data).glob("node-*/bin/node")
    newest = sorted(own, key=lambda path: parse_version(path.parts[-3][5:]) or (0, 0, 0), reverse=True)
    before = () if first is None else (first,)
    return _answering(host, (*before, *_programs(host, "node"), *map(PurePosixPath, newest)), passed)


def _answering(host: Host, programs: Iterable[PurePosixPath], passed: list[str]) -> Iterator[Node]:
    """Yield the Nodes among programs, each once; what is none or may not be run is told to `passed`."""
    seen = set()
    for program in programs:
        if is_in_state(host.paths, program) or is_in_state(host.paths, resolved(program)):
            passed.append(f"{program} {_IN_STATE}")
            continue
        found = ask_node(host, program)
        if isinstance(found, str):
            passed.append(f"{program} does not answer as Node: {found}")
        elif is_in_state(host.paths, found.path):
            passed.append(f"{found.path} {_IN_STATE}")
        elif found.path not in seen:
            seen.add(found.path)
            yield found


def _programs(host: Host, name: str) -> Iterator[PurePosixPath]:
    """Yield the programs of a name on the PATH and in the usual places as found, each once.

    A link is not resolved: a shim does what it is called.
    """
    usual = (str(host.paths.home / place) for place in _USUAL)
    seen = set()
    for directory in (*host.search_path.split(os.pathsep), *usual):
        for found in _programs_in(directory, name):
            if resolved(found) not in seen:
                seen.add(resolved(found))
                yield found


def _programs_in(directory: str, name: str) -> Iterator[PurePosixPath]:
    # What a relative entry means depends on where OCM is called, which may be an instance's workspace.
    found = shutil.which(name, path=directory) if Path(directory).is_absolute() else None
    if found is not None:
        yield PurePosixPath(found)
