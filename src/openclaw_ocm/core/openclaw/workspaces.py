"""Which workspaces an OpenClaw config names.

As OpenClaw 2026.9.6 derives them (src/agents/agent-scope-config): an agent's own, else the one of all agents,
in a directory of its own where there are several, else `workspace` or `workspace-ID` in the state. The last
two need not be looked for: whatever is called so is a workspace.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.backup.layout import MAX_PATH
from openclaw_ocm.core.openclaw.document import as_object, lookup, objects_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.core.paths import InstancePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspaces:
    """Workspaces that lie in the state, as paths below it, and those that lie elsewhere, in full."""

    inside: frozenset[str]
    outside: tuple[str, ...]


def workspaces(
    paths: InstancePaths, config: Mapping[str, Any], includes: Iterable[Mapping[str, Any]] = ()
) -> Workspaces:
    """Return the workspaces that a config names, and what it `includes`, of which any place may be one."""
    return workspaces_of(paths.state, paths.host.home, config, includes)


def workspaces_of(
    state: PurePosixPath,
    home: PurePosixPath,
    config: Mapping[str, Any],
    includes: Iterable[Mapping[str, Any]] = (),
) -> Workspaces:
    """Return those of a config whose state and whose user's home lie at these places."""
    texts = [*_named(config), *(text for one in includes for text in _anywhere(one))]
    # What is longer than any path is none, and an instance may write one of millions of names.
    named = (text.strip() for text in texts if len(text) <= MAX_PATH)
    found = dict.fromkeys(_resolved(state, home, text) for text in named if text)
    inside = (path for path in found if path.is_relative_to(state) and path != state)
    outside = (path for path in found if not path.is_relative_to(state))
    return Workspaces(
        inside=frozenset(str(path.relative_to(state)) for path in inside),
        outside=tuple(map(str, outside)),
    )


def _named(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a config names: `agents.list` is what older OpenClaws had in the place of `entries`."""
    listed = lookup(config, "agents.list")
    entries = as_object(lookup(config, "agents.entries")).values()
    for entry in (lookup(config, "agents.defaults"), *entries, *(listed if isinstance(listed, list) else ())):
        named = as_object(entry).get("workspace")
        if isinstance(named, str):
            yield named


def _anywhere(value: object) -> Iterator[str]:
    for one in objects_in(value):
        named = one.get("workspace")
        if isinstance(named, str) and named.strip().startswith(("/", "~")):
            yield named


def _resolved(state: PurePosixPath, home: PurePosixPath, text: str) -> PurePosixPath:
    written = text.replace("\0", "")
    full = f"{home}{written[1:]}" if written == "~" or written.startswith("~/") else written
    return PurePosixPath(posixpath.normpath(posixpath.join(state, full)))
