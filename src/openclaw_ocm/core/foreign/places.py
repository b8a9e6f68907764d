"""Where what is in a foreign archive goes in the state of an instance: nothing of it lies outside of that."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.selection import REMADE, Selection
from openclaw_ocm.core.foreign.shape import Part, is_there
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.openclaw.moved import moved_text
from openclaw_ocm.core.openclaw.workspaces import workspaces_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.foreign.shape import Shape

OTHER, SECOND = "not of the state", "in the way of what takes its place"
_SAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 40
_WORKSPACE = "workspace"
# Plugins lie there, with what they need: nothing brings them again by itself.
_KEPT = frozenset({"npm", "git"})
# Of which nothing is told.
UNKNOWN = PurePosixPath("/nowhere/.openclaw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What lay at `source`, outside of the state, and is at `inside`, a path below it; not `there`: empty."""

    source: PurePosixPath
    inside: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where each member goes.

    `former` is where the state lay, and `config` what it says once what lay elsewhere lies in the state.
    `missing` are workspaces that lay in the state and are not in the archive, as paths below it.
    """

    shape: Shape
    former: PurePosixPath
    config: dict[str, Any] = field(repr=False)
    moved: tuple[Moved, ...]
    missing: tuple[str, ...]
    selection: Selection
    prefixes: tuple[tuple[str, str], ...]

    def target(self, path: str) -> tuple[str | None, str]:
        """Return where a member goes, `state/...`, or None and why it goes nowhere."""
        if path == self.shape.config:
            return layout.CONFIG, ""
        for prefix, inside in self.prefixes:
            if path == prefix or path.startswith(f"{prefix}/") or not prefix:
                below = path[len(prefix) :].removeprefix("/")
                target = "/".join(part for part in (layout.STATE, inside, below) if part)
                return self._kept(target)
        return None, OTHER

    def _kept(self, target: str) -> tuple[str | None, str]:
        if target == layout.STATE:
            return target, ""
        if target == layout.CONFIG:
            return None, SECOND
        reason = self.selection.left_out(target)
        if reason == REMADE and target.split("/")[1] in _KEPT:
            return target, ""
        return (None, reason) if reason is not None else (target, "")

    def link(self, path: str, target: str) -> str | None:
        """Return the target of a link at `state/...` as it is kept, None where it leads out."""
        return self.selection.target(path, target)


def places(
    shape: Shape, former: PurePosixPath | None, config: dict[str, Any], seen: Mapping[str, str]
) -> Places:
    """Return where the members of an archive go, those that were `seen`, and what its config says then."""
    state = former or UNKNOWN
    home = state.parent
    named = workspaces_of(state, home, config)
    ordered_paths = sorted(seen)
    # What an unknown place is named within cannot be told from what lies elsewhere.
    outside = [] if former is None else [PurePosixPath(path) for path in named.outside]
    taken = {
        path[len(shape.prefix) :].strip("/").partition("/")[0]
        for path in seen
        if not shape.prefix or path.startswith(f"{shape.prefix}/")
    }
    # What an agent has by its usual name is no other's, whether or not it is there.
    taken |= {path.partition("/")[0] for path in (*named.inside, *_usual(config))}
    around = {path: _in_archive(shape, state, path) for path in outside}
    beside = [
        Part(kind="workspace", source=path, prefix=prefix)
        for path, prefix in around.items()
        if prefix is not None and is_there(prefix, ordered_paths)
    ]
    moved, prefixes = _workspaces((*shape.parts, *beside), outside, taken)
    for part, inside in _others(shape, seen):
        prefixes.append((part.prefix, inside))
        moved.append(Moved(source=part.source, inside=inside, there=True))
    # What lay in the state stays there, whatever lay around it.
    whole = Moved(source=state, inside="", there=True)
    pairs = tuple(pair for one in (whole, *moved) for pair in _pairs(one, state, home))
    changed = _followed(config, pairs)
    kept = frozenset({*named.inside, *(one.inside for one in moved if one.inside.startswith(_WORKSPACE))})
    # The longest first: an agent's own directory may lie within a workspace.
    ordered = sorted([*prefixes, (shape.prefix, "")], key=lambda pair: -len(pair[0]))
    return Places(
        shape=shape,
        former=state,
        config=changed,
        moved=tuple(moved),
        missing=tuple(
            path
            for path in sorted({*named.inside, *_usual(config)} - {one.inside for one in moved})
            if not is_there("/".join(part for part in (shape.prefix, path) if part), ordered_paths)
        ),
        selection=Selection(state=state, workspaces=kept),
        prefixes=tuple(ordered),
    )


def _usual(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the workspaces that agents have of which a config names none, as OpenClaw 2026.9.6 calls them."""
    if lookup(config, "agents.defaults.workspace") is not None:
        return
    yield _WORKSPACE
    for agent, entry in as_object(lookup(config, "agents.entries")).items():
        if "workspace" not in as_object(entry) and agent != "main" and layout.path_problem(agent) is None:
            yield f"{_WORKSPACE}-{agent}"


def _in_archive(shape: Shape, state: PurePosixPath, path: PurePosixPath) -> str | None:
    """Return where a path would be in a tar that was made of more than the state, None where nowhere."""
    above, _, name = shape.prefix.rpartition("/")
    if (
        shape.kind == "backup"
        or not shape.prefix
        or name != state.name
        or not path.is_relative_to(state.parent)
    ):
        return None
    below = str(path.relative_to(state.parent))
    return "/".join(part for part in (above, below) if part and part != ".") or None


def _workspaces(
    parts: tuple[Part, ...], outside: list[PurePosixPath], taken: set[str]
) -> tuple[list[Moved], list[tuple[str, str]]]:
    """Return what becomes of workspaces that lay outside of the state, and of the members that hold them."""
    packed = [part for part in parts if part.kind == "workspace"]
    sources = [*outside, *(part.source for part in packed)]
    # A directory that holds those of several agents moves as one.
    roots = [
        one
        for one in dict.fromkeys(sources)
        if not any(one != up and one.is_relative_to(up) for up in sources)
    ]
    moved, prefixes = [], []
    for root in roots:
        held = [part for part in packed if part.source.is_relative_to(root)]
        inside = _free_name(root, taken)
        moved.append(Moved(source=root, inside=inside, there=bool(held)))
        prefixes += [
            (part.prefix, str(PurePosixPath(inside) / part.source.relative_to(root))) for part in held
        ]
    return moved, prefixes


def _free_name(root: PurePosixPath, taken: set[str]) -> str:
    word = _SAFE.sub("-", root.name).strip("-")[:_MAX_NAME] or "elsewhere"
    names = [
        _WORKSPACE,
        f"{_WORKSPACE}-{word}",
        *(f"{_WORKSPACE}-{word}-{number}" for number in range(2, 1000)),
    ]
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _others(shape: Shape, seen: Mapping[str, str]) -> Iterator[tuple[Part, str]]:
    """Yield the other parts that have a place of their own in a state, where nothing is in that yet."""
    for part in shape.parts:
        if part.kind == "credentials":
            inside = "credentials"
        elif part.kind == "agent" and part.agent and layout.path_problem(part.agent) is None:
            inside = f"agents/{part.agent}/agent"
        else:
            continue
        if "/" not in (part.agent or "") and f"{shape.prefix}/{inside}" not in seen:
            yield part, inside


def _pairs(one: Moved, state: PurePosixPath, home: PurePosixPath) -> Iterator[tuple[str, str]]:
    after = str(state / one.inside)
    yield str(one.source), after
    if one.source.is_relative_to(home):
        yield f"~/{one.source.relative_to(home)}", after


def _followed(value: Any, pairs: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _followed(item, pairs) for key, item in value.items()}
    if isinstance(value, list):
        return [_followed(item, pairs) for item in value]
    return moved_text(value, pairs) if isinstance(value, str) else value
