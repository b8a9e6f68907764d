"""What npm's registry said was the newest OpenClaw, and when: so `list` tells it without asking anybody."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import msgspec

from openclaw_ocm.core.backup.schedule import Moment
from openclaw_ocm.core.releases import CHANNELS, is_release
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths

_MAX_BYTES = 4096


class Newest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The newest OpenClaw of a channel, and when npm's registry was `asked`, in seconds since the epoch."""

    version: Annotated[str, msgspec.Meta(max_length=64)]
    asked: Moment

    def __post_init__(self) -> None:
        """Refuse what is no version."""
        if not is_release(self.version):
            message = f"{self.version!r} is no version of OpenClaw"
            raise ValueError(message)


def keep_newest(paths: HostPaths, channel: str, newest: Newest) -> None:
    """Keep what the registry said of a channel; where that cannot be written, nothing else fails for it."""
    with contextlib.suppress(OSError):
        files.write_file(_path(paths, channel), msgspec.json.encode(newest))


def read_newest(paths: HostPaths) -> tuple[dict[str, Newest], tuple[OcmError, ...]]:
    """Return what the registry said last of each channel that it was asked for.

    With it comes an error for each file that is there and cannot be read.
    """
    found: dict[str, Newest] = {}
    refused: list[OcmError] = []
    for channel in CHANNELS:
        path = _path(paths, channel)
        try:
            data = files.read_own(path, limit=_MAX_BYTES)
            if data is not None:
                found[channel] = msgspec.json.decode(data, type=Newest)
        except UnreadableFile as error:
            refused.append(error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            hint = "ocm outdated asks npm's registry anew"
            refused.append(OcmError(f"{path} is corrupt", hint=hint, code="unreadable"))
    return found, tuple(refused)


def _path(paths: HostPaths, channel: str) -> PurePosixPath:
    return paths.newest / f"{channel}.json"
