"""Finds environments of the official OpenClaw manager, whose command is `ocm` too; writes nothing of its own.

As openclaw/ocm 0.2.33 has them (src/store/layout, src/store/envs): `~/.ocm`, or OCM_HOME, has the list of
them, `envs.json`, and in `envs` those that lie nowhere else. The root of one is the home of its OpenClaw.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.layout import Refused
from openclaw_ocm.core.foreign.documents import MAX_SIZES, REGISTRY, Registry, decode
from openclaw_ocm.core.foreign.shape import state_of_root
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOME, _ENVIRONMENTS = ".ocm", "envs"
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentPlace:
    """An environment: where its state is, and the port that its manager gave it."""

    name: str
    state: PurePosixPath
    port: int | None


def environment_at(home: PurePosixPath, path: PurePosixPath) -> EnvironmentPlace | None:
    """Return the environment that has a directory as its root, or as its state, None where none has.

    `home` is the user's. Raises `OcmError` where the directory holds them all, and where their list cannot
    be read.
    """
    real = PurePosixPath(files.real_path(path))
    if _is_there(real / REGISTRY) and not _is_there(real / CONFIG_NAME):
        named = [one.name for one in _environments(real)]
        message = f"{path} holds environments of the official OpenClaw manager, and one is wanted"
        some = ", ".join(named[:_SHOWN]) or "none"
        raise OcmError(message, hint=f"ocm adopt {path}/{_ENVIRONMENTS}/NAME: {some}", code="adopt_refused")
    for place in _managers(home, real):
        for one in _environments(place):
            if real in (PurePosixPath(files.real_path(one.state)), _root_of(one)):
                return one
    return None


def state_below(path: PurePosixPath) -> PurePosixPath:
    """Return the state of an OpenClaw whose home a directory is; the directory itself where it is none."""
    inner = state_of_root(str(path))
    is_home = inner is not None and not _is_there(path / CONFIG_NAME) and _is_there(inner / CONFIG_NAME)
    return inner if is_home and inner is not None else path


def _is_there(path: PurePosixPath) -> bool:
    """Tell whether there is something, as far as that can be seen: a person may write any text for a path."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib raises for what no path can be, and what is closed


def _managers(home: PurePosixPath, path: PurePosixPath) -> Iterator[PurePosixPath]:
    yield home / _HOME
    for above in path.parents:
        if above.name == _ENVIRONMENTS and above.parent != home / _HOME:
            yield above.parent


def _root_of(one: EnvironmentPlace) -> PurePosixPath:
    return PurePosixPath(files.real_path(one.state.parent))


def _environments(place: PurePosixPath) -> tuple[EnvironmentPlace, ...]:
    data = files.read_own(place / REGISTRY, limit=MAX_SIZES[REGISTRY])
    if data is None:
        return ()
    try:
        found = decode(data, Registry, REGISTRY).envs
    except Refused as refused:
        message = f"{place / REGISTRY} cannot be used: {refused}"
        raise OcmError(message, hint="ocm env list, of the official manager", code="adopt_refused") from None
    states = ((one, state_of_root(one.root or "")) for one in found)
    return tuple(
        EnvironmentPlace(name=one.name, state=state, port=one.gateway_port)
        for one, state in states
        if state is not None
    )
