"""Databases that were made to keep whoever checks them busy for ever, or to take all memory."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.system.archive import database
from openclaw_ocm.system.archive.database import integrity_problem

if TYPE_CHECKING:
    import pytest

_PLAIN = "1 + a"


def indexed(path: Path, expression: str) -> PurePosixPath:
    """Make a database with an index on that expression, which SQLite never was asked to compute."""
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("create table notes (a)")
        made.execute("insert into notes values (1)")
        made.execute(f"create index one on notes (length(hex(zeroblob({_PLAIN}))))")
        made.execute("pragma writable_schema = on")
        made.execute("update sqlite_schema set sql = replace(sql, ?, ?)", (_PLAIN, expression))
        made.commit()
    return PurePosixPath(path)


def test_a_sound_database_has_no_problem(tmp_path: Path) -> None:
    assert integrity_problem(indexed(tmp_path / "sound%41?.db", _PLAIN)) is None


def test_what_takes_all_memory_is_refused(tmp_path: Path) -> None:
    problem = integrity_problem(indexed(tmp_path / "large.db", "a + 499999998"))
    assert problem is not None
    assert "memory" in problem or "too big" in problem


def test_what_no_interrupt_reaches_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search within one call: the first half of what is looked for fits everywhere."""
    monkeypatch.setattr(database, "_SECONDS", 1)
    long = "a + instr(hex(zeroblob(20000000)), hex(zeroblob(9000000)) || 1)"
    assert "takes longer" in (integrity_problem(indexed(tmp_path / "slow.db", long)) or "")


def test_what_is_no_database_has_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "fake.db"
    path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    assert integrity_problem(PurePosixPath(path)) == "file is not a database"


def triggered(path: Path, body: str) -> PurePosixPath:
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute('create table "no""tes" (a, b generated always as (a) virtual)')
        made.execute("create table seen (a)")
        made.execute("create virtual table words using fts5 (a)")
        made.execute(f'create trigger one after update of a on "no""tes" begin {body}; end')
        made.commit()
    return PurePosixPath(path)


def test_a_trigger_that_keeps_a_restore_from_its_changes_is_a_problem(tmp_path: Path) -> None:
    hostile = triggered(tmp_path / "hostile.db", "insert into seen values (unheard_of(new.a))")
    assert integrity_problem(hostile, changes=True) == "no such function: unheard_of"
    assert integrity_problem(hostile) is None, "of an agent's own nothing is changed"
    sound = triggered(tmp_path / "sound.db", "insert into words select lower(new.a)")
    assert integrity_problem(sound, changes=True) is None
