"""Asks SQLite about databases that OCM extracted: copies, alone in a directory of OCM's own.

Never about a live one, which an instance can write: a journal beside it may name any file for SQLite to
delete.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath


def integrity_problem(path: PurePosixPath) -> str | None:
    """Return what `PRAGMA integrity_check` finds wrong with a database, None where it finds nothing."""
    import contextlib
    import sqlite3

    # immutable: SQLite then reads this file and nothing that might lie beside it.
    address = f"{Path(path).as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            database.text_factory = bytes
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    except (sqlite3.Error, OverflowError) as error:
        return str(error)
    return None if answer == b"ok" else answer.decode(errors="replace")
