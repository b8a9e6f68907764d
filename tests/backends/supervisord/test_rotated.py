from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.backends.supervisord.program import LOG_BACKUPS
from openclaw_ocm.backends.supervisord.rotated import RotatedFile

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def following(log: Path) -> Iterator[RotatedFile]:
    with contextlib.closing(RotatedFile(PurePosixPath(log))) as opened:
        yield opened


def rotate(log: Path) -> None:
    """Rotate as supervisord does."""
    for number in range(LOG_BACKUPS - 1, 0, -1):
        if Path(f"{log}.{number}").exists():
            Path(f"{log}.{number}").replace(f"{log}.{number + 1}")
    log.replace(f"{log}.1")
    log.touch()


def write(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_without_a_file_there_are_no_lines(following: RotatedFile) -> None:
    assert list(following.lines(whole=False)) == []
    assert following.oldest_change() is None


def test_lines_come_from_the_oldest_file_to_the_newest(log: Path, following: RotatedFile) -> None:
    for number in range(LOG_BACKUPS + 1):
        write(log, f"{number}\n")
        if number < LOG_BACKUPS:
            rotate(log)
    assert list(following.lines(whole=False)) == ["0", "1", "2", "3"]


def test_a_line_that_has_no_end_yet_waits_where_whole_ones_are_wanted(
    log: Path, following: RotatedFile
) -> None:
    write(log, "one\ntw")
    assert list(following.lines(whole=True)) == ["one"]
    write(log, "o\n")
    assert list(following.lines(whole=True)) == ["two"]
    write(log, "end")
    assert list(following.lines(whole=False)) == ["end"]


def test_nothing_is_lost_or_read_twice_across_rotations(log: Path, following: RotatedFile) -> None:
    found: list[str] = []
    for number in range(12):
        write(log, f"{number}\n")
        if number % 3 == 0:
            rotate(log)
            write(log, f"after {number}\n")
        if number % 2:
            found += following.lines(whole=True)
    found += following.lines(whole=False)
    wanted = [line for n in range(12) for line in ([f"{n}", f"after {n}"] if n % 3 == 0 else [f"{n}"])]
    assert found == wanted


def test_two_rotations_between_two_looks_lose_nothing(log: Path, following: RotatedFile) -> None:
    write(log, "a\n")
    assert list(following.lines(whole=True)) == ["a"]
    for text in ("b\n", "c\n", "d\n"):
        write(log, text)
        rotate(log)
    write(log, "e\n")
    assert list(following.lines(whole=True)) == ["b", "c", "d", "e"]


def test_a_line_that_ends_with_its_file_is_told(log: Path, following: RotatedFile) -> None:
    write(log, "cut off")
    assert list(following.lines(whole=True)) == []
    rotate(log)
    write(log, "next\n")
    assert list(following.lines(whole=True)) == ["cut off", "next"]


def test_what_is_no_text_and_a_line_without_an_end_are_no_error(log: Path, following: RotatedFile) -> None:
    log.write_bytes(b"\xff\xfe\n" + b"x" * 5_000_000)
    first, second = following.lines(whole=False)
    assert first == "\ufffd\ufffd"
    assert set(second) == {"x"}


def test_the_last_lines_are_found_across_files_without_the_rest(log: Path, following: RotatedFile) -> None:
    write(log, "".join(f"old {number}\n" for number in range(300_000)))
    rotate(log)
    write(log, "new 0\n" + "\n" * 3_000_000 + "new 1\n")
    following.skip_to_last(5)
    found = list(following.lines(whole=False))
    assert found[-5:] == ["old 299997", "old 299998", "old 299999", "new 0", "new 1"]
    assert len(found) < 150_000


def test_of_fewer_lines_than_asked_for_all_are_there(log: Path, following: RotatedFile) -> None:
    write(log, "one\n")
    rotate(log)
    write(log, "two\n")
    following.skip_to_last(100)
    assert list(following.lines(whole=False)) == ["one", "two"]
