"""Asks SQLite about databases that OCM extracted: copies, alone in a directory of OCM's own.

Never about a live one, which an instance can write: a journal beside it may name any file for SQLite to
delete. And in a process of its own: what a database's own expressions ask for (an index on one is computed
row by row) may take gigabytes, or years within a single function that nothing interrupts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.runner import Command, Runner

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_MEMORY = 2**30
# Of CPU time; a sound database is read at a hundred times this speed.
_SECONDS = 5
_BYTES_PER_SECOND = 2_000_000
# The disk and the machine may be busy.
_PATIENCE = 60


def integrity_problem(path: PurePosixPath, *, changes: bool = False) -> str | None:
    """Return what `PRAGMA integrity_check` finds wrong with a database, None where it finds nothing.

    One that a restore `changes` has no trigger that would keep it from that.

    One that takes far more time or memory than its size explains is wrong too.
    """
    seconds = _SECONDS + Path(path).stat().st_size // _BYTES_PER_SECOND
    argv = (
        sys.executable,
        "-I",
        "-S",
        "-c",
        programs.text("check_database.py"),
        Path(path).as_uri(),
        str(_MEMORY),
        str(seconds),
        "changes" if changes else "keeps",
    )
    command = Command(argv=argv, timeout_seconds=seconds * _PATIENCE)
    try:
        done = Runner(environ={}).run(command, check=False)
    except OcmError as error:
        return error.message
    if done.returncode:
        return "to check it takes longer than any does, or SQLite fails at it"
    return done.stdout or None
