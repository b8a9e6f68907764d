"""Whole states of an instance beside its own, in slots that no instance reaches: directories beside it.

In one a state is made ready that is to take its place; others hold what it was before an upgrade.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.core.steps import Exchange, RemoveTree, Stage
from openclaw_ocm.core.upgrade_steps import KeepState
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.copying import copy_tree
from openclaw_ocm.system.exchange import inode, put_in_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.system.host import Host

_STATE, _RECORD, _WHOLE = "state", "record.toml", "whole"
# Where OpenClaw installs them beside `extensions`, which is in every backup.
_PLUGINS = ("npm", "git")
_DIGITS = 20
_RECORD_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is kept of an instance: the slot, its state in it, and the text of its record."""

    directory: PurePosixPath
    state: PurePosixPath
    inode: int
    record: str
    when: float


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of an instance: what is there, and the steps that make, fill, exchange and remove them."""

    paths: InstancePaths

    def stage(self, token: str, files: Iterable[PurePosixPath]) -> Stage:
        """Return the step that makes one in which a state is made ready, and with it `files` elsewhere."""
        slot = self.paths.state.with_name(temporary.incoming(self.paths.name, token))
        return Stage(path=str(slot), files=tuple(map(str, files)))

    def keep(self, record: str) -> KeepState:
        """Return the step that keeps the state, and the text of its record, in a new one."""
        token = secrets.token_hex(temporary.TOKEN_BYTES)
        slot = self.paths.state.with_name(temporary.kept(self.paths.name, token))
        return KeepState(path=str(self.paths.state), kept=str(slot), record=record)

    def exchange(self, state: PurePosixPath, number: int | None = None) -> Exchange:
        """Return the step that has the instance's state and one in a slot change places.

        `number` is the inode of what is in the slot, where that was noted before.
        """
        return Exchange(path=str(self.paths.state), staged=str(state), inode=number or inode(state) or 0)

    def kept(self) -> tuple[Before, ...]:
        """Return what is kept whole, the newest first."""
        with contextlib.suppress(FileNotFoundError):
            found = map(_before, self._all_kept())
            return tuple(sorted(filter(None, found), key=lambda one: one.when, reverse=True))
        return ()

    def discard(self) -> list[Step]:
        """Return the steps that remove what is kept, whole or not."""
        return [RemoveTree(path=str(slot)) for slot in self._all_kept()]

    def _all_kept(self) -> list[PurePosixPath]:
        return [
            PurePosixPath(entry.path)
            for entry in os.scandir(self.paths.state.parent)
            if temporary.is_kept(entry.name, self.paths.name)
        ]


def keep(host: Host, state: PurePosixPath, kept: PurePosixPath, record: str) -> None:
    """Copy a state that nobody writes into the new directory `kept`, whole or not at all.

    Raises `OcmError` where it cannot be read or there is no room; nothing is left then.
    """
    files.remove_tree(kept)
    files.make_directory(kept)
    try:
        copy_tree(host, state, kept / _STATE)
    except OcmError:
        files.remove_tree(kept)
        raise
    files.write_new(kept / _RECORD, record.encode())
    with files.open_state(kept) as directory:
        files.flush(directory)
    # What is kept counts from here on, and is known by its number whatever its name.
    files.write_file(kept / _WHOLE, f"{inode(kept / _STATE)}\n".encode())


def copy_plugins(host: Host, state: PurePosixPath, target: PurePosixPath) -> None:
    """Copy what OpenClaw installed of plugins into a state that nobody reaches; no link is followed.

    Raises `OcmError` as `keep` does.
    """
    for name in _PLUGINS:
        # What an archive has there is left as it is, be it a link.
        if os.path.isdir(state / name) and not os.path.lexists(target / name):  # noqa: PTH112 - no Path here
            copy_tree(host, state / name, target / name)


def bring_back(state: PurePosixPath, kept: PurePosixPath) -> bool:
    """Put what is kept whole in the place of a state, and remove the rest; tell whether there was such."""
    number = _number(kept)
    if number is not None:
        put_in_place(state, kept / _STATE, number)
    files.remove_tree(kept)
    return number is not None


def _before(kept: PurePosixPath) -> Before | None:
    number, record = _number(kept), files.read_own(kept / _RECORD, limit=_RECORD_BYTES)
    if number is None or record is None:
        return None
    return Before(
        directory=kept,
        state=kept / _STATE,
        inode=number,
        record=record.decode(),
        when=Path(kept, _WHOLE).stat().st_mtime,
    )


def _number(kept: PurePosixPath) -> int | None:
    data = files.read_own(kept / _WHOLE, limit=_DIGITS + 2)
    text = b"" if data is None else data.strip()
    return int(text) if text.isdigit() and len(text) <= _DIGITS else None
