"""Plugins that an OpenClaw comes without: which there are, and which an instance has installed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.backup.layout import Plugin

_MAX_BYTES = 4 * 2**20
_MOST_PROJECTS = 500


class Official(NamedTuple):
    """The npm packages of the plugins that OpenClaw names and comes without, by provider and by channel."""

    providers: Mapping[str, str]
    channels: Mapping[str, str]


@functools.cache
def official_plugins(package: PurePosixPath) -> Official:
    """Return what an OpenClaw's own lists say (2026.9.6), nothing where it has none."""
    return Official(
        providers=dict(_listed(package, "provider", _providers)),
        channels=dict(_listed(package, "channel", _channels)),
    )


def _listed(
    package: PurePosixPath, kind: str, named: Callable[[Mapping[str, object]], list[str]]
) -> Iterator[tuple[str, str]]:
    path = Path(package, "scripts", "lib", f"official-external-{kind}-catalog.json")
    try:
        with path.open("rb") as file:
            entries = as_object(json.loads(file.read(_MAX_BYTES))).get("entries")
    except (OSError, ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else ():
        said = as_object(as_object(entry).get("openclaw"))
        spec = as_object(said.get("install")).get("npmSpec") or as_object(entry).get("name")
        yield from ((one, str(spec)) for one in named(said))


def _providers(said: Mapping[str, object]) -> list[str]:
    listed = said.get("providers")
    return [str(as_object(one).get("id")) for one in listed] if isinstance(listed, list) else []


def _channels(said: Mapping[str, object]) -> list[str]:
    name = as_object(said.get("channel")).get("id")
    return [name] if isinstance(name, str) else []


def is_installed(state: PurePosixPath, package: str, name: str) -> bool | None:
    """Tell whether an instance has a plugin, of the npm `package` or in a directory of that `name`.

    None where that cannot be seen. OpenClaw 2026.9.6 has each package in a project of its own
    (docs/plugins/dependency-resolution); no link is followed.
    """
    at = package.rpartition("@")[0] or package
    try:
        with files.open_state(state) as top:
            placed = any(_is_there(top, (place, name)) for place in ("extensions", "git"))
            return placed or any(_is_there(one, ("node_modules", *at.split("/"))) for one in _projects(top))
    except (OcmError, OSError):
        return None


def has_own(state: PurePosixPath) -> bool:
    """Tell whether an instance has plugins that OpenClaw did not bring, or none can tell."""
    try:
        with files.open_state(state) as top:
            return any(_is_filled(top, place) for place in (("extensions",), ("git",), ("npm", "projects")))
    except (OcmError, OSError):
        return True


def _is_filled(top: int, parts: tuple[str, ...]) -> bool:
    with _opened(top, parts) as found:
        if found is None:
            return False
        with os.scandir(found) as entries:
            return next(entries, None) is not None


def absent(state: PurePosixPath, plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Return those plugins of a backup of which nothing is at their place in a state, so far as is seen."""
    try:
        with files.open_state(state) as top:
            return tuple(one for one in plugins if not _is_there(top, tuple(one.path.split("/"))))
    except (OcmError, OSError):
        return ()


def _projects(top: int) -> Iterator[int]:
    """Yield the descriptors of the projects of npm in a state."""
    with _opened(top, ("npm", "projects")) as directory:
        if directory is None:
            return
        with os.scandir(directory) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST_PROJECTS)]
        for name in names:
            with _opened(directory, (name,)) as project:
                if project is not None:
                    yield project


def _is_there(top: int, parts: tuple[str, ...]) -> bool:
    with _opened(top, parts) as found:
        return found is not None


@contextlib.contextmanager
def _opened(top: int, parts: tuple[str, ...]) -> Iterator[int | None]:
    """Give the descriptor of a directory below one, None where there is none."""
    with contextlib.ExitStack() as opened:
        at = top
        for part in parts:
            try:
                at = os.open(part, files.CLOSED_DIRECTORY, dir_fd=at)
            except (FileNotFoundError, NotADirectoryError):
                yield None
                return
            opened.callback(os.close, at)
        yield at
