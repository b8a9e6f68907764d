from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.system import disk_use as module
from openclaw_ocm.system.disk_use import disk_use

if TYPE_CHECKING:
    import pytest

SECONDS = 60.0


def use(path: Path, *, seconds: float = SECONDS) -> int | None:
    return disk_use(PurePosixPath(path), seconds=seconds)


def blocks(*paths: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in paths)


def test_what_is_below_counts_as_the_disk_has_it(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**40)
    assert use(tmp_path) == blocks(tmp_path, tmp_path / "a", deep, deep / "file", tmp_path / "hole")


def test_a_link_is_not_followed_and_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    state, outside = tmp_path / "state", tmp_path / "outside"
    state.mkdir()
    outside.mkdir()
    (outside / "large").write_bytes(b"x" * 1_000_000)
    (state / "link").symlink_to(outside)
    (state / "one").write_bytes(b"x" * 100_000)
    os.link(state / "one", state / "two")
    assert use(state) == blocks(state, state / "one", state / "link")
    (tmp_path / "door").symlink_to(state)
    assert use(tmp_path / "door") is None
    os.mkfifo(state / "pipe")
    assert use(state) is not None


def test_what_cannot_be_looked_at_has_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert use(tmp_path / "gone") is None
    (tmp_path / "closed").mkdir()
    real = os.open

    def refuse(path: str, *arguments: int, **options: int) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert use(tmp_path) is None


def test_a_state_of_too_many_files_or_levels_comes_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert use(tmp_path) is not None
    assert use(tmp_path, seconds=-1.0) is None
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(module._MAX_DEPTH + 1):
        os.mkdir("down", dir_fd=directory)
        below = os.open("down", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    assert use(tmp_path) is None
