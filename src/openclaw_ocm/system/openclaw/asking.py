"""Asks what is called node or openclaw who it is: a shim or a wrapper starts what it stands for.

Version managers choose by the directory and by variables: it is asked in the home, with none of this shell.
"""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.core.releases import is_node_version
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.kept.records import readable_records
from openclaw_ocm.system.runner import SAFE_PATH, Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.system.host import Host

_SECONDS = 20.0
_MOST_PRINTED = 2**16
_MOST_SAID = 120


class Node(NamedTuple):
    """A Node as it says itself that it is."""

    path: PurePosixPath
    version: str


def is_in_state(paths: HostPaths, program: PurePosixPath) -> bool:
    """Tell whether a program lies in the state of main or of an instance, or where one may write."""
    own = (paths.ocm_state, paths.ocm_data / "instances")
    if any(program.is_relative_to(place) for each in own for place in (each, resolved(each))):
        return True
    for home in (paths.home, resolved(paths.home)):
        first = program.relative_to(home).parts[:1] if program.is_relative_to(home) else ()
        if first == (".openclaw",) or "".join(first).startswith((".openclaw-", ".ocm-incoming-")):
            return True
    return any(program.is_relative_to(place) for place in _shown_to_write(paths))


def _shown_to_write(paths: HostPaths) -> Iterator[PurePosixPath]:
    """Yield the folders of the machine in which an instance may write, by both their names."""
    for record in readable_records(paths):
        for shown in record.mounts:
            if shown.writable:
                yield from (PurePosixPath(shown.path), resolved(shown.path))


def resolved(path: PurePosixPath | str) -> PurePosixPath:
    """Return a path without links."""
    return PurePosixPath(os.path.realpath(path))


def ask_node(host: Host, program: PurePosixPath) -> Node | str:
    """Return the Node that a program is or leads to, or in words why it is none.

    Where it leads to another, that one is asked as well, alone: what a version manager needs to choose is
    not there in a sandbox.
    """
    found = _node_that_answers(host, program, host.search_path)
    if isinstance(found, str) or str(found.path) == os.path.realpath(program):
        return found
    itself = _node_that_answers(host, found.path, "")
    if itself != found:
        return f"it says that it is {printable(str(found.path))}, which says otherwise"
    return found


def _node_that_answers(host: Host, program: PurePosixPath, search_path: str) -> Node | str:
    answer = _ask(host, (str(program), "--print", programs.text("who_is_node.mjs")), search_path)
    if isinstance(answer, str):
        return answer
    path, version = answer.get("path"), answer.get("version")
    if answer.get("node") is not True or not isinstance(path, str) or not isinstance(version, str):
        return "what answers is no Node"
    if not is_node_version(version) or not path.startswith("/"):
        return f"there is no Node {printable(version)[:_MOST_SAID]}"
    return Node(PurePosixPath(os.path.realpath(path)), version)


def ask_entry(host: Host, program: PurePosixPath) -> PurePosixPath | str:
    """Return the file that Node would run for a program, or why that cannot be told. It is not run.

    `NODE_OPTIONS` and `--import` are read by every Node of `core.releases` (node(1)).
    """
    module = (programs.DIRECTORY / "where_is_entry.mjs").as_uri()
    env = {"NODE_OPTIONS": f"--import={module}"}
    answer = _ask(host, (str(program), "--version"), host.search_path, env)
    if isinstance(answer, str):
        return answer
    entry = answer.get("entry")
    return PurePosixPath(entry) if isinstance(entry, str) else "it started nothing by Node"


def _ask(
    host: Host, argv: tuple[str, ...], search_path: str, env: dict[str, str] | None = None
) -> dict[str, Any] | str:
    """Return the object that a program prints on a line of its own, or why there is none."""
    # A shim calls others by their names: none that an instance may have written.
    listed = [place for place in search_path.split(os.pathsep) if place.startswith("/")]
    listed = [place for place in listed if not is_in_state(host.paths, resolved(place))]
    path = os.pathsep.join(dict.fromkeys((*listed, *SAFE_PATH.split(os.pathsep))))
    home = str(host.paths.home)
    command = Command(
        argv=argv,
        timeout_seconds=_SECONDS,
        env={"PATH": path, **(env or {})},
        directory=home if os.path.isdir(home) else "/",  # noqa: PTH112 - a text, for a command
    )
    try:
        done = host.runner.follow(command, lambda _line: None, limit=_MOST_PRINTED)
    except OcmError as error:
        return error.message
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    for line in lines:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, dict):
            return answer
    said = printable(lines[-1].strip())[:_MOST_SAID] if lines else "it says nothing"
    return f"exit status {done.returncode}, {said}"
