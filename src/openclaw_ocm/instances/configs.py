"""The config of an instance, or of main, replaced by a plan and put back by its undo.

OpenClaw may write it at any moment. Neither side's change is lost: with another config than the plan was made
for nothing is replaced, and an undo takes back from what it finds what the plan changed and nothing else.
"""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.core.inheritance.merge import merge, same
from openclaw_ocm.core.names import MAIN, InstanceName
from openclaw_ocm.core.openclaw.document import MAX_BYTES, format_config, parse_config
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import InTheWay, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw.main_config import main_place, replace_main
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from openclaw_ocm.core.steps import ReplaceConfig
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.volume import Volume

# OpenClaw writes its config now and then; one that is written without end must not hold OCM up.
_ATTEMPTS = 20
_SHOWN = 5


class _Config(NamedTuple):
    """A config by its name in a volume, which whoever owns it can write."""

    volume: Volume
    name: str

    def read(self, name: str | None = None) -> bytes:
        """Return what the config holds, or another file beside it."""
        return self.volume.read(name or self.name, limit=MAX_BYTES)

    def replace(self, before: bytes, after: bytes, beside: str) -> bool:
        """Put `after` in the place of `before`; False where something else is there."""
        return self.volume.replace(self.name, after, before=before, limit=MAX_BYTES, beside=beside)


def replace_config(context: Context, step: ReplaceConfig) -> None:
    """Put the config staged as `after` in its place; raises `InTheWay` where OpenClaw wrote another."""
    before, after = (
        files.read_own(PurePosixPath(path), limit=MAX_BYTES) for path in (step.before, step.after)
    )
    if before is None or after is None:
        raise InTheWay(f"what was made ready for {step.name} is gone", hint="try again", code="staged_gone")
    if step.name == MAIN:
        replace_main(context.host, before, after, beside=step.beside)
        return
    if not _config_of(context, step.name).replace(before, after, step.beside):
        message = f"the config of {step.name} was changed by someone else meanwhile"
        raise InTheWay(message, hint="try again", code="config_changed")


def put_config_back(context: Context, step: ReplaceConfig) -> str | None:
    """Take back what `replace_config` changed, wherever that or an undo of it was cut off.

    Returns in words what could not be taken back because of what the instance did to its config: that keeps
    nobody from the rest of the undo.
    """
    before, after = (
        files.read_own(PurePosixPath(path), limit=MAX_BYTES) for path in (step.before, step.after)
    )
    if before is None or after is None:
        # What is staged goes last: the undo was cut off after that.
        return None
    try:
        config = _config_of(context, step.name)
        said = _take_back(config, before, after, step.beside)
        config.volume.remove(step.beside)
        return said and f"{step.describe()}; {said}"
    except (OcmError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        return f"the config of {step.name} is left as it is: {printable(str(error))}"


def _take_back(config: _Config, before: bytes, after: bytes, beside: str) -> str | None:
    displaced = _displaced(config, beside, after)
    for _attempt in range(_ATTEMPTS):
        now = config.read()
        wanted, said = (displaced or before, None) if now == after else without_change(before, after, now)
        if now == wanted or config.replace(now, wanted, beside):
            return said
    raise OcmError("it is written all the time", hint="try again", code="config_changed")


def _displaced(config: _Config, beside: str, after: bytes) -> bytes | None:
    """Return what a kill left displaced before it was looked at, None where that is nothing.

    OpenClaw may have written it in the same moment; the directory is an instance's, so it may be anything.
    """
    with contextlib.suppress(OcmError, OSError):
        found = config.read(beside)
        parse_config(found, source=beside)
        return None if found == after else found
    return None


def without_change(before: bytes, after: bytes, now: bytes) -> tuple[bytes, str | None]:
    """Return the config `now` without what changed from `before` to `after`, and what that leaves changed."""
    then, ours, theirs = (parse_config(data, source="the config") for data in (before, after, now))
    merged = merge(ours, then, theirs)
    wanted: dict[str, Any] = merged.value
    places = printable(", ".join(".".join(place) for place in merged.conflicts[:_SHOWN]))
    said = f"changed meanwhile, and left so: {places}" if merged.conflicts else None
    if same(wanted, then):
        return before, said
    return (now if same(wanted, theirs) else format_config(wanted)), said


def _config_of(context: Context, name: str) -> _Config:
    if name == MAIN:
        path = main_place(context.host)
        return _Config(Directory(path.parent), path.name)
    return _Config(context.backend.volume(InstanceName(name)), CONFIG_NAME)
