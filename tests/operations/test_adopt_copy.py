"""What lies in a state of the user's own is copied as it is, or it is said that it cannot be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw import own_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.operations.owned import Owned


WORK, COPY = parse_name("work"), parse_name("work-copy")
HOLES = 2**34
TOLD = "in the log alone"
WRITING = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.execute("pragma journal_mode = wal")
database.execute("create table told (what text)")
database.execute("insert into told values (?)", sys.argv[2:])
database.commit()
print("written", flush=True)
time.sleep(600)
"""


def copied(owned: Owned, name: str) -> Path:
    return Path(owned.kept.paths(COPY).state, name)


def test_holes_stay_holes_and_what_is_between_them_is_copied(owned: Owned) -> None:
    image = owned.state / "workspace/disk.img"
    with image.open("wb") as file:
        file.seek(2**20)
        file.write(b"in the midst" * 1000)
        file.truncate(HOLES)
    owned.adopt("work")
    status = copied(owned, "workspace/disk.img").stat()
    assert status.st_size == HOLES
    assert status.st_blocks * 512 < 2**22
    with copied(owned, "workspace/disk.img").open("rb") as file:
        file.seek(2**20)
        assert file.read(12000) == b"in the midst" * 1000
        assert file.read(100) == bytes(100)


def test_a_database_that_is_mostly_holes_is_counted_in_full(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = owned.state / "state/other.sqlite"
    with database.open("wb") as file:
        file.write(b"SQLite format 3\0")
        file.truncate(HOLES)
    monkeypatch.setattr("openclaw_ocm.operations.adopt.free_bytes", lambda _path: 2**30)
    with pytest.raises(OcmError, match="are free beside") as caught:
        owned.adopt("work")
    assert caught.value.code == "no_space"


def test_what_cannot_be_read_is_not_left_out_unsaid(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = owned.state / "workspace/closed"
    closed.mkdir()
    (closed / "memory").write_text("of the agent")
    scandir = os.scandir

    def refusing(path: str = ".") -> Iterator[os.DirEntry[str]]:
        # The tests may run as root, whom no mode keeps out.
        if str(path).endswith("workspace/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    before = owned.kept.files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        for move in (False, True):
            with pytest.raises(OcmError, match="closed cannot be read: Permission denied") as caught:
                owned.adopt("work", move=move)
            assert caught.value.code == "not_kept"
    assert owned.kept.files() == before
    owned.adopt("work")
    assert copied(owned, "workspace/closed/memory").read_text() == "of the agent"


def test_no_nesting_is_too_deep_for_a_copy_or_a_sentence(owned: Owned) -> None:
    workspace = owned.state / "workspace"
    handle = os.open(workspace, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    try:
        owned.adopt("work", move=True)
        owned.unadopt(WORK)
        deeper = workspace.joinpath(*["n" * 250] * 8)
        deeper.mkdir(parents=True)
        (workspace / "d").rename(deeper / "d")
        with pytest.raises(OcmError, match="cannot be read: File name too long") as caught:
            owned.adopt("work")
        assert len(str(caught.value)) < 500
    finally:
        # No other removal gets through it.
        files.remove_tree(PurePosixPath(workspace))


def test_a_damaged_database_of_somebody_else_is_a_file(owned: Owned) -> None:
    fixture = owned.state / "workspace/fixture.sqlite"
    fixture.write_bytes(b"SQLite format 3\0" + b"damaged" * 100)
    Path(f"{fixture}-shm").write_bytes(b"as if it were open")
    Path(f"{fixture}-wal").write_bytes(b"beside it")
    owned.adopt("work")
    for end in ("", "-shm", "-wal"):
        kept = copied(owned, f"workspace/fixture.sqlite{end}")
        assert kept.read_bytes() == Path(f"{fixture}{end}").read_bytes()


def test_an_open_database_of_somebody_else_is_copied_whole(owned: Owned) -> None:
    path = owned.state / "workspace/app.sqlite"
    with writing(path):
        owned.adopt("work")
    assert not copied(owned, "workspace/app.sqlite-wal").exists()
    assert rows(copied(owned, "workspace/app.sqlite")) == [(TOLD,)]


@pytest.mark.parametrize("name", ["state/openclaw.sqlite", "workspace/app.sqlite"])
def test_what_a_killed_one_left_of_a_database_is_read_and_never_written(owned: Owned, name: str) -> None:
    path = owned.state / name
    with writing(path):
        pass
    assert Path(f"{path}-shm").exists(), "what SQLite would write on opening it"
    before = {end: facts(Path(f"{path}{end}")) for end in ("", "-shm", "-wal")}
    owned.adopt("work")
    assert {end: facts(Path(f"{path}{end}")) for end in before} == before
    assert rows(copied(owned, name)) == [(TOLD,)]


@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "link"])
def test_what_is_named_as_if_a_database_were_open_is_waited_for_by_nobody(owned: Owned, kind: str) -> None:
    path = owned.state / "workspace/app.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table told (what text)")
        database.execute("insert into told values (?)", (TOLD,))
        database.commit()
    beside = Path(f"{path}-shm")
    if kind == "pipe":
        os.mkfifo(beside)
    elif kind == "socket":
        os.mknod(beside, stat.S_IFSOCK | 0o600)
    elif kind == "directory":
        beside.mkdir()
    else:
        beside.symlink_to("nowhere")
    owned.adopt("work")
    assert rows(copied(owned, "workspace/app.sqlite")) == [(TOLD,)]


@pytest.mark.parametrize("end", ["-shm", "-wal", "-journal"])
def test_a_pipe_beside_a_database_of_openclaw_is_waited_for_by_nobody(owned: Owned, end: str) -> None:
    path = owned.state / "state/openclaw.sqlite"
    os.mkfifo(f"{path}{end}")
    owned.adopt("work")
    with contextlib.closing(sqlite3.connect(copied(owned, "state/openclaw.sqlite"))) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("text", [b"a note", b"SQLite format 3\0 by its beginning"])
def test_a_name_with_no_room_for_another_end_is_copied_as_a_file(owned: Owned, text: bytes) -> None:
    name = f"workspace/{'n' * 255}"
    (owned.state / name).write_bytes(text)
    owned.adopt("work")
    assert copied(owned, name).read_bytes() == text


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Have another process write a database whose last row is in its log alone; then kill it."""
    argv = [sys.executable, "-c", WRITING, str(path), TOLD]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"written\n"
            yield
        finally:
            process.kill()


def facts(path: Path) -> tuple[bytes, int, int]:
    status = path.stat()
    return path.read_bytes(), status.st_ino, status.st_mtime_ns


def rows(path: Path) -> list[tuple[str]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("select what from told").fetchall()


def test_a_damaged_database_of_openclaw_is_named(owned: Owned) -> None:
    path = owned.state / "state/openclaw.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"damaged" * 1000)
    before = owned.kept.files()
    with pytest.raises(OcmError, match=r"state/openclaw\.sqlite cannot be "):
        owned.adopt("work")
    assert owned.kept.files() == before


def test_no_database_is_copied_to_where_a_kill_would_leave_it(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    back_up = own_copy._back_up

    def looking(address: str, target: Path) -> None:
        seen.append(Path(address.removeprefix("file:")))
        back_up(address, target)

    monkeypatch.setattr(own_copy, "_back_up", looking)
    owned.adopt("work")
    assert seen
    for path in seen:
        assert path.is_relative_to(owned.kept.home)
        assert "incoming" in str(path), "a staging directory, which the next command removes"
