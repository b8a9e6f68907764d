"""An OpenClaw config in a state directory, which whoever lives there can write."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core import temporary
from openclaw_ocm.core.openclaw.document import MAX_BYTES, included, parse_config
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.system.volume import Volume

_MAX_INCLUDED = 100
_MOST_NAMES = 100_000


def read_config(volume: Volume, name: InstanceName) -> tuple[bytes, dict[str, Any]]:
    """Return the config in the volume of an instance as it is written and as data, or raise `OcmError`."""
    place = volume.place(CONFIG_NAME)
    try:
        return _read(volume)
    except FileNotFoundError:
        message = f"{name} has no config {place}"
        raise OcmError(message, hint=f"put it back, {place}.bak may hold it", code="config_missing") from None
    except OSError as error:
        # It is there: a lease, a disk that fails, a mode.
        message = f"{place} cannot be read: {error.strerror}"
        hint = f"look at {place}, and make it yours again"
        if error.errno == errno.EAGAIN:
            hint = f"a program in {name} holds it, by a lease: ocm stop {name} ends that"
        raise OcmError(message, hint=hint, code="config_unreadable") from None


def find_config(volume: Volume) -> dict[str, Any]:
    """Return the config in a volume, empty where it cannot be read."""
    try:
        return _read(volume)[1]
    except (OcmError, OSError):
        return {}


def _read(volume: Volume) -> tuple[bytes, dict[str, Any]]:
    data = volume.read(CONFIG_NAME, limit=MAX_BYTES)
    return data, parse_config(data, source=volume.place(CONFIG_NAME))


def read_included(
    volume: Volume, state: PurePosixPath, config: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
    """Return what a config includes of files in its volume, as far as that can be read.

    `state` is where the instance itself sees the volume. An array, or whatever else a file may hold, is the
    member `included` of an object.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting = [*included(config)]
    while waiting and len(found) < _MAX_INCLUDED:
        path = os.path.normpath(state / waiting.pop())
        if path in found or not path.startswith(f"{state}/"):
            continue
        found[path] = {}
        with contextlib.suppress(OcmError, OSError, ValueError):
            data = volume.read(path[len(f"{state}/") :], limit=MAX_BYTES)
            wrapped = b'{"included":' + data.removeprefix(b"\xef\xbb\xbf") + b"\n}"
            found[path] = parse_config(wrapped, source=path)
            waiting += included(found[path])
    return tuple(found.values())


@contextlib.contextmanager
def candidate(volume: Volume, data: bytes) -> Iterator[str]:
    """Write a config beside the real one, for OpenClaw to judge where its includes are, and yield its name.

    The caller holds the lock under which one is made at a time: what a kill left of another goes as well.
    """
    for name in filter(temporary.is_candidate, volume.names(most=_MOST_NAMES)):
        # An instance can put a directory there, which is no matter of ours.
        with contextlib.suppress(OSError):
            volume.remove(name)
    name = temporary.candidate(secrets.token_hex(temporary.TOKEN_BYTES))
    volume.write(name, data)
    try:
        yield name
    finally:
        volume.remove(name)
