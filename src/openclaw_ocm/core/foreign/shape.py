"""What an archive is that is none of OCM's, by its members and the documents among them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from openclaw_ocm.core.backup.layout import Refused, path_problem
from openclaw_ocm.core.foreign.documents import ENVIRONMENT, MANIFEST, Export, OpenClawBackup, decode
from openclaw_ocm.core.paths import CONFIG_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.foreign.documents import Asset

Kind = Literal["backup", "environment", "state"]
_SCHEMA, _FORMAT = 1, 1
_WINDOWS = "win32"
_STATE = ".openclaw"
# What a directory has beside its config if it is a state, and what older names of that are.
_BESIDE = ("state", "agents", "credentials", "identity", "workspace")
_DATABASE = "state/openclaw.sqlite"
_OLDER = ("clawdbot.json", "moltbot.json")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that lay outside of the state and is in the archive; `agent` is whose own directory it is."""

    kind: str
    source: PurePosixPath
    prefix: str
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an archive is: `prefix` is where the state lies in it, empty for its top.

    `former` is where that lay on its machine, and `config` the member that is its config. `version` is that
    of its OpenClaw, `name` that of its environment or profile; each is None where it is not told.
    """

    kind: Kind
    prefix: str
    config: str
    former: PurePosixPath | None = None
    version: str | None = None
    name: str | None = None
    port: int | None = None
    parts: tuple[Part, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """What it is, in words that follow its name."""
        of = f" of {self.former}" if self.former is not None else ""
        by = f", made by OpenClaw {self.version}" if self.version else ""
        if self.kind == "backup":
            return f"a backup of OpenClaw's own backup create{of}{by}"
        if self.kind == "environment":
            return f"the environment {self.name} of the official OpenClaw manager{of}"
        return f"a state directory of OpenClaw{of}"


def shape_of(seen: Mapping[str, str], documents: Mapping[str, bytes]) -> Shape:
    """Return what an archive is by the kinds of its members, and those of its documents that are small.

    Raises `Refused` where it holds no state of an OpenClaw, more than one, or one without its config.
    """
    tops = {path.partition("/")[0] for path in seen}
    top = next(iter(tops)) if len(tops) == 1 else None
    manifest = documents.get(f"{top}/{MANIFEST}")
    if manifest is not None and any(path.startswith(f"{top}/payload/") for path in seen):
        return _of_backup(decode(manifest, OpenClawBackup, MANIFEST), f"{top}", seen)
    if ENVIRONMENT in documents:
        return _of_environment(decode(documents[ENVIRONMENT], Export, ENVIRONMENT), seen)
    return _of_state(seen)


def is_document(path: str) -> bool:
    """Tell whether a member may be one of those documents."""
    return path == ENVIRONMENT or (path.endswith(f"/{MANIFEST}") and path.count("/") == 1)


def _of_backup(manifest: OpenClawBackup, top: str, seen: Mapping[str, str]) -> Shape:
    if manifest.schema_version != _SCHEMA or manifest.archive_root != top:
        raise Refused(f"its {MANIFEST} is of a kind that this OCM does not know")
    if manifest.options.only_config:
        raise Refused("it holds the config of an OpenClaw alone, and no state")
    if manifest.platform == _WINDOWS:
        raise Refused("it was made on Windows, and its paths cannot follow to here")
    states = [asset for asset in manifest.assets if asset.kind == "state"]
    if len(states) != 1:
        raise Refused("it holds no state of an OpenClaw" if not states else "it holds several states")
    for asset in manifest.assets:
        _check(asset, top)
    state = states[0]
    agents = {root.source_path: root.agent_id for root in manifest.paths.agent_roots}
    parts = tuple(
        Part(
            kind=asset.kind,
            source=PurePosixPath(asset.source_path),
            prefix=asset.archive_path,
            agent=agents.get(asset.source_path) if asset.kind == "agent" else None,
        )
        for asset in manifest.assets
        if asset is not state
    )
    former = PurePosixPath(state.source_path)
    config = _config_in(manifest, state)
    if seen.get(config) != "file":
        raise Refused(f"it holds no config of its OpenClaw, which was {manifest.paths.config_path}")
    return Shape(
        kind="backup",
        prefix=state.archive_path,
        config=config,
        former=former,
        version=manifest.runtime_version,
        name=profile_of(former.name),
        parts=tuple(part for part in parts if part.prefix != config),
    )


def _check(asset: Asset, top: str) -> None:
    """Raise `Refused` for what lies nowhere in the archive, or lay nowhere."""
    problem = path_problem(asset.archive_path)
    if problem or not asset.archive_path.startswith(f"{top}/payload/"):
        raise Refused(f"its {MANIFEST} names what is not in it: {asset.archive_path[:100]!r}")
    source = PurePosixPath(asset.source_path)
    if not source.is_absolute() or ".." in source.parts or len(source.parts) < 2:  # noqa: PLR2004 - below the root
        raise Refused(f"its {MANIFEST} names a place that is none: {asset.source_path[:100]!r}")


def _config_in(manifest: OpenClawBackup, state: Asset) -> str:
    """Return the member that is the config: a part of its own, or one of the state."""
    path = PurePosixPath(manifest.paths.config_path)
    for asset in manifest.assets:
        if asset.kind == "config" and asset.source_path == manifest.paths.config_path:
            return asset.archive_path
    if path.is_relative_to(state.source_path) and ".." not in path.parts:
        return f"{state.archive_path}/{path.relative_to(state.source_path)}"
    return f"{state.archive_path}/{CONFIG_NAME}"


def _of_environment(export: Export, seen: Mapping[str, str]) -> Shape:
    if export.format_version != _FORMAT:
        raise Refused(f"its {ENVIRONMENT} is of a kind that this OCM does not know")
    prefix = f"root/{_STATE}"
    if seen.get(f"{prefix}/{CONFIG_NAME}") != "file":
        raise Refused(f"the environment {export.env.name} in it has no {CONFIG_NAME}")
    root = export.env.source_root
    return Shape(
        kind="environment",
        prefix=prefix,
        config=f"{prefix}/{CONFIG_NAME}",
        former=state_of_root(root) if root else None,
        name=export.env.name,
        port=export.env.gateway_port,
    )


def state_of_root(root: str) -> PurePosixPath | None:
    """Return where the state of an environment lies that has that root, None where that is no place."""
    path = PurePosixPath(root)
    return path / _STATE if path.is_absolute() and ".." not in path.parts else None


def _of_state(seen: Mapping[str, str]) -> Shape:
    outer: list[str] = []
    for path in sorted(_states(seen), key=lambda path: (path.count("/") if path else -1, path)):
        # What is called so in a workspace is a file of its agent's.
        if not any(above in outer for above in _above(path)):
            outer.append(path)
            if len(outer) > _SHOWN:
                break
    if len(outer) > 1:
        shown = ", ".join(path or "its top" for path in outer[:_SHOWN])
        more = ", ..." if len(outer) > _SHOWN else ""
        raise Refused(f"it holds several states of OpenClaw, and one is wanted: {shown}{more}")
    if not outer:
        raise Refused(_why_none(seen))
    name = PurePosixPath(outer[0]).name
    config = f"{outer[0]}/{CONFIG_NAME}".removeprefix("/")
    return Shape(kind="state", prefix=outer[0], config=config, name=profile_of(name))


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _states(seen: Mapping[str, str]) -> Iterator[str]:
    ordered = sorted(seen)
    for path, kind in seen.items():
        parent, _, name = path.rpartition("/")
        if name == CONFIG_NAME and kind == "file" and _looks_like_state(parent, ordered):
            yield parent


def _looks_like_state(path: str, ordered: list[str]) -> bool:
    name = path.rpartition("/")[2]
    if name == _STATE or name.startswith(f"{_STATE}-"):
        return True
    within = f"{path}/" if path else ""
    return any(is_there(f"{within}{beside}", ordered) for beside in _BESIDE)


def is_there(path: str, ordered: list[str]) -> bool:
    """Tell whether there is a member of that path, or one below it: not every tar names its directories."""
    index = bisect_left(ordered, path)
    if index < len(ordered) and ordered[index] == path:
        return True
    index = bisect_left(ordered, f"{path}/")
    return index < len(ordered) and ordered[index].startswith(f"{path}/")


def _why_none(seen: Mapping[str, str]) -> str:
    for path in seen:
        if path == _DATABASE or path.endswith(f"/{_DATABASE}"):
            where = path.removesuffix(_DATABASE).rstrip("/") or "its top"
            return f"it holds a state of OpenClaw, {where}, without its {CONFIG_NAME}"
        if path.rpartition("/")[2] in _OLDER:
            return f"it is of a time when OpenClaw had another name: {path}"
    return f"it holds no state of an OpenClaw: no directory in it has {CONFIG_NAME} and what lies beside"


def profile_of(directory: str) -> str | None:
    """Return the profile of a state directory of that name, None where it has none."""
    return directory.removeprefix(f"{_STATE}-") if directory.startswith(f"{_STATE}-") else None
