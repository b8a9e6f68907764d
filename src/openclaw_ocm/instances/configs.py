"""The config of an instance, or of main, replaced by a plan and put back by its undo.

OpenClaw may write it at any moment. Neither side's change is lost: with another config than the plan was made
for nothing is replaced, and an undo takes back from what it finds what the plan changed and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.merge import merge, same
from openclaw_ocm.core.names import MAIN, InstanceName
from openclaw_ocm.core.openclaw.document import MAX_BYTES, format_config, parse_config
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import InTheWay, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.exchange import replace_in
from openclaw_ocm.system.openclaw.main_config import main_place, replace_main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.steps import ReplaceConfig
    from openclaw_ocm.system.host import Host

# OpenClaw writes its config now and then; one that is written without end must not hold OCM up.
_ATTEMPTS = 20
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Config:
    """A config in an open directory that whoever owns it can write."""

    directory: int
    name: str

    def read(self, name: str | None = None) -> bytes:
        """Return what the config holds, or another file beside it."""
        return files.read_in(self.directory, name or self.name, limit=MAX_BYTES)

    def replace(self, before: bytes, after: bytes, beside: str) -> bool:
        """Put `after` in the place of `before`, with the same mode; False where something else is there."""
        mode = stat.S_IMODE(os.stat(self.name, dir_fd=self.directory, follow_symlinks=False).st_mode)
        return replace_in(
            self.directory, self.name, after, before=before, limit=MAX_BYTES, mode=mode, beside=beside
        )


def replace_config(host: Host, step: ReplaceConfig) -> None:
    """Put the config staged as `after` in its place; raises `InTheWay` where OpenClaw wrote another."""
    before, after = (
        files.read_own(PurePosixPath(path), limit=MAX_BYTES) for path in (step.before, step.after)
    )
    if before is None or after is None:
        raise InTheWay(f"what was made ready for {step.name} is gone", hint="try again", code="staged_gone")
    if step.name == MAIN:
        replace_main(host, before, after, beside=step.beside)
        return
    with _open(host, step.name) as config:
        if not config.replace(before, after, step.beside):
            message = f"the config of {step.name} was changed by someone else meanwhile"
            raise InTheWay(message, hint="try again", code="config_changed")


def put_config_back(host: Host, step: ReplaceConfig) -> str | None:
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
        with _open(host, step.name) as config:
            said = _take_back(config, before, after, step.beside)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(step.beside, dir_fd=config.directory)
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


@contextlib.contextmanager
def _open(host: Host, name: str) -> Iterator[_Config]:
    path = main_place(host) if name == MAIN else host.instance(InstanceName(name)).state / CONFIG_NAME
    with files.open_state(path.parent) as directory:
        yield _Config(directory=directory, name=path.name)
