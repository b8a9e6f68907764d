"""The documents by which other programs tell what they keep; what is not needed of them is not looked at.

`manifest.json` is that of `openclaw backup create` (docs/cli/backup of OpenClaw 2026.9.6, and its archives
since 2026.7.35), the others are those of the official manager (openclaw/ocm 0.2.33: src/store/envs,
src/env/lifecycle, src/infra/archive).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from openclaw_ocm.core.backup.layout import MAX_PATH, Refused, is_plain

MANIFEST, ENVIRONMENT, REGISTRY = "manifest.json", "meta/env.json", "envs.json"
# Of an archive of any number of links, and of an environment.
MAX_SIZES = {MANIFEST: 16 * 2**20, ENVIRONMENT: 2**18, REGISTRY: 4 * 2**20}
_MANY = 200
_T = TypeVar("_T", bound=msgspec.Struct)
Text = Annotated[str, msgspec.Meta(max_length=MAX_PATH)]
Word = Annotated[str, msgspec.Meta(max_length=100)]

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of those, whose texts are plain: they are shown."""

    def __post_init__(self) -> None:
        """Refuse what is no plain text; msgspec tells where it is."""
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, str) and not is_plain(value):
                message = f"{field} is no plain text"
                raise ValueError(message)


class Asset(_Document, frozen=True, kw_only=True):
    """Something that a backup holds: of which kind, where it lay, and where it is in the archive."""

    kind: Word
    source_path: Text
    archive_path: Text


class AgentRoot(_Document, frozen=True, kw_only=True):
    """Where an agent's own directory lay."""

    agent_id: Word
    source_path: Text


class Paths(_Document, frozen=True, kw_only=True):
    """Where what was backed up lay."""

    state_dir: Text
    config_path: Text
    agent_roots: Annotated[tuple[AgentRoot, ...], msgspec.Meta(max_length=_MANY)] = ()


class Options(_Document, frozen=True, kw_only=True):
    """What was asked of `openclaw backup create`."""

    only_config: bool = False


class OpenClawBackup(_Document, frozen=True, kw_only=True):
    """The manifest of an archive of `openclaw backup create`."""

    schema_version: int
    archive_root: Word
    runtime_version: Word
    platform: Word = ""
    options: Options = Options()
    paths: Paths
    assets: Annotated[tuple[Asset, ...], msgspec.Meta(max_length=_MANY)]


class Environment(_Document, frozen=True, kw_only=True):
    """An environment of the official manager: `root` is the home of its OpenClaw, where it lies or lay."""

    name: Word
    root: Text | None = None
    source_root: Text | None = None
    gateway_port: Port | None = None
    default_runtime: Text | None = None
    service_running: bool = False


class Export(_Document, frozen=True, kw_only=True):
    """What an archive of `ocm env export`, or a snapshot, of the official manager says of itself."""

    kind: Literal["ocm-env-archive"]
    format_version: int
    env: Environment


class Registry(_Document, frozen=True, kw_only=True):
    """The environments of the official manager."""

    kind: Literal["ocm-env-registry"]
    envs: Annotated[tuple[Environment, ...], msgspec.Meta(max_length=_MANY)]


def decode(data: bytes, kind: type[_T], what: str) -> _T:
    """Return a document; raise `Refused` where it is none, or damaged."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"{what} in it is damaged: {error}") from None
