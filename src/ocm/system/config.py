"""An OpenClaw config in a state directory, which whoever lives there can write."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Any

from ocm.core.config import MAX_BYTES, parse_config
from ocm.core.paths import CONFIG_NAME
from ocm.errors import OcmError
from ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

_CANDIDATE = ".ocm-candidate-"


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


@contextlib.contextmanager
def candidate(directory: int, data: bytes) -> Iterator[str]:
    """Write a config beside the real one, for OpenClaw to judge where its includes are, and yield its name.

    The caller holds the lock under which one is made at a time: what a kill left of another goes as well.
    """
    for name in os.listdir(directory):
        if name.startswith(_CANDIDATE):
            # An instance can put a directory there, which is no matter of ours.
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)
    name = f"{_CANDIDATE}{secrets.token_hex(6)}.json"
    files.write_in(directory, name, data)
    try:
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
