"""Databases that were made to keep whoever checks them busy for ever, or to take all memory."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import pytest

from openclaw_ocm.system.archive import database
from openclaw_ocm.system.archive.database import Slots, checking
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def problems(*paths: PurePosixPath, changes: bool = False) -> list[str | None]:
    found: list[str | None] = []
    with checking() as ask:
        for path in paths:
            ask(path, found.append, changes=changes)
    return found


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return the processes that are begun, each as whether it was ended."""
    ended, true = [], Runner.companion

    @contextlib.contextmanager
    def companion(runner: Runner, argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        with true(runner, argv) as pipes:
            ended.append(False)
            yield pipes
        ended[-1] = True

    monkeypatch.setattr(Runner, "companion", companion)
    return ended


def test_a_sound_database_has_no_problem(tmp_path: Path) -> None:
    assert problems(indexed(tmp_path / "sound%41?.db", _PLAIN)) == [None]


def test_any_encoding_is_sound_after_any_other(tmp_path: Path) -> None:
    paths = []
    for encoding in ("UTF-16le", "UTF-8", "UTF-16be"):
        paths.append(PurePosixPath(tmp_path, encoding))
        with contextlib.closing(sqlite3.connect(paths[-1])) as made:
            made.execute(f"pragma encoding = '{encoding}'")
            made.execute("create table notes (line text)")
    assert problems(*paths, *paths) == [None] * 6


def test_one_process_answers_for_any_number(tmp_path: Path, begun: list[bool]) -> None:
    sound, fake = indexed(tmp_path / "sound.db", _PLAIN), PurePosixPath(tmp_path, "fake.db")
    Path(fake).write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    assert problems(*[sound, fake] * 200) == [None, "file is not a database"] * 200
    assert begun == [True]
    assert problems() == []
    assert begun == [True]


def test_few_files_hold_any_number_until_each_is_answered(tmp_path: Path) -> None:
    sound = Path(indexed(tmp_path / "sound.db", _PLAIN)).read_bytes()
    large, fake = sound + bytes(2**20), b"SQLite format 3\0" + b"nonsense" * 1000
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    slots, found = Slots(PurePosixPath(scratch)), []

    def ask_about(content: bytes) -> None:
        path = slots.write([content])

        def told(problem: str | None) -> None:
            found.append(problem)
            slots.free(path)

        ask(path, told)

    with checking() as ask:
        for _ in range(100):
            for content in (sound, fake, large):
                ask_about(content)
    assert found == [None, "file is not a database", None] * 100
    assert len(list(scratch.iterdir())) <= 100
    assert sum(path.stat().st_size for path in scratch.iterdir()) < 2**20


def test_what_takes_all_memory_is_refused_alone(tmp_path: Path) -> None:
    sound = indexed(tmp_path / "sound.db", _PLAIN)
    large = indexed(tmp_path / "large.db", "a + 499999998")
    found = problems(sound, large, sound, sound)
    assert "memory" in (found[1] or "") or "too big" in (found[1] or "")
    assert [found[0], *found[2:]] == [None] * 3


def test_what_no_interrupt_reaches_is_ended_and_the_others_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search within one call: the first half of what is looked for fits everywhere."""
    monkeypatch.setattr(database, "_SECONDS", 1.0)
    long = "a + instr(hex(zeroblob(20000000)), hex(zeroblob(9000000)) || 1)"
    sound, slow = indexed(tmp_path / "sound.db", _PLAIN), indexed(tmp_path / "slow.db", long)
    found = problems(sound, slow, sound, slow, sound)
    assert [found[0], found[2], found[4]] == [None] * 3
    assert all("takes longer" in (found[index] or "") for index in (1, 3))


def test_those_that_take_long_have_their_time_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_SECONDS", 1.0)
    slow = indexed(tmp_path / "slow.db", "a + instr(hex(zeroblob(20000000)), hex(zeroblob(9000000)) || 1)")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    problems(*[slow] * 8)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5


def test_what_is_no_database_has_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "fake.db"
    path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    assert problems(PurePosixPath(path)) == ["file is not a database"]


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
    assert problems(hostile, changes=True) == ["no such function: unheard_of"]
    assert problems(hostile) == [None], "of an agent's own nothing is changed"
    sound = triggered(tmp_path / "sound.db", "insert into words select lower(new.a)")
    assert problems(sound, changes=True) == [None]
