"""Reads an instance's OpenClaw config, which the instance can write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocm.core.config import MAX_BYTES, parse_config
from ocm.core.paths import CONFIG_NAME
from ocm.errors import OcmError
from ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath


def read_config(state: PurePosixPath) -> tuple[bytes, dict[str, Any]]:
    """Return the config in a state directory as it is written and as data, or raise `OcmError`."""
    path = state / CONFIG_NAME
    with files.open_state(state) as directory:
        try:
            data = files.read_in(directory, CONFIG_NAME, limit=MAX_BYTES)
        except FileNotFoundError:
            hint = f"put it back, {path}.bak may hold it"
            raise OcmError(f"there is no config {path}", hint=hint, code="config_missing") from None
    return data, parse_config(data, source=str(path))


def find_config(state: PurePosixPath) -> dict[str, Any]:
    """Return the config in a state directory, empty where it cannot be read."""
    try:
        return read_config(state)[1]
    except (OcmError, OSError):
        return {}
