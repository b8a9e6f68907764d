"""Plugins that an OpenClaw comes without: which there are, and which an instance has installed."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.backup.layout import Plugin
    from openclaw_ocm.system.volume import Volume

_MAX_BYTES = 4 * 2**20
_MOST_PROJECTS = 500
_PLACES, _PROJECTS = ("extensions", "git"), "npm/projects"


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


def is_installed(volume: Volume, package: str, name: str) -> bool | None:
    """Tell whether an instance has a plugin, of the npm `package` or in a directory of that `name`.

    None where that cannot be seen. OpenClaw 2026.9.6 has each package in a project of its own
    (docs/plugins/dependency-resolution); no link is followed.
    """
    at = package.rpartition("@")[0] or package
    try:
        if volume.has(*(f"{place}/{name}" for place in _PLACES)):
            return True
        projects = volume.names(_PROJECTS, most=_MOST_PROJECTS)
        return volume.has(*(f"{_PROJECTS}/{project}/node_modules/{at}" for project in projects))
    except (OcmError, OSError):
        return None


def has_own(volume: Volume) -> bool:
    """Tell whether an instance has plugins that OpenClaw did not bring, or none can tell."""
    try:
        return any(volume.names(place, most=1) for place in (*_PLACES, _PROJECTS))
    except (OcmError, OSError):
        return True


def absent(volume: Volume, plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Return those plugins of a backup of which nothing is at their place in a state, so far as is seen."""
    try:
        return tuple(one for one in plugins if not volume.has(one.path))
    except (OcmError, OSError):
        return ()
