"""Nothing is lost: of a config that a gateway writes at the same moment, of what a plan puts in place."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import hosts

from openclaw_ocm.errors import InTheWay, OcmError
from openclaw_ocm.system import exchange, files
from openclaw_ocm.system.exchange import inode, put_in_place, replace_in, take_out_of_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 2**20


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "c.json").write_bytes(b"before")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"], "nothing is left beside"


def content(directory: int) -> bytes:
    return files.read_in(directory, "c.json", limit=LIMIT)


def test_what_was_read_is_replaced(directory: int, tmp_path: Path) -> None:
    assert replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert content(directory) == b"after"
    assert (tmp_path / "c.json").stat().st_mode & 0o777 == 0o600


def test_what_was_not_read_stays(directory: int) -> None:
    assert not replace_in(directory, "c.json", b"after", before=b"older", limit=LIMIT)
    assert content(directory) == b"before"


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_write_at_the_very_moment_is_put_back(
    directory: int, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    done = 0
    real = exchange._exchange

    def interrupted(directory: int, one: str, other: str) -> bool:
        nonlocal done
        if done < writes:
            done += 1
            files.write_in(directory, other, f"write {done}".encode())
        return real(directory, one, other)

    monkeypatch.setattr(exchange, "_exchange", interrupted)
    assert not replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert content(directory) == f"write {writes}".encode()


def test_a_writer_without_end_holds_nobody_up(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = exchange._exchange
    done = 0

    def interrupted(directory: int, one: str, other: str) -> bool:
        nonlocal done
        done += 1
        assert done < 10_000
        files.write_in(directory, other, f"write {done}".encode())
        return real(directory, one, other)

    monkeypatch.setattr(exchange, "_exchange", interrupted)
    with pytest.raises(OcmError) as caught:
        replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert caught.value.code == "config_changed"
    assert content(directory).startswith(b"write")


def test_a_file_system_that_cannot_exchange_gets_a_rename(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_exchange", lambda *_arguments: False)
    assert replace_in(directory, "c.json", b"after", before=b"before", limit=LIMIT)
    assert content(directory) == b"after"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "c.json").symlink_to("secret")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OcmError):
        replace_in(descriptor, "c.json", b"after", before=b"secret", limit=LIMIT)
    os.close(descriptor)
    assert (tmp_path / "secret").read_text() == "secret"


def test_what_takes_the_place_of_a_directory_that_is_moved_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, outside = tmp_path / "state", tmp_path / "outside"
    state.mkdir(mode=0o500)
    outside.mkdir(mode=0o500)
    real = os.lstat

    def swapped(path: PurePosixPath) -> os.stat_result:
        found = real(path)
        state.rmdir()
        state.symlink_to(outside)
        return found

    monkeypatch.setattr(os, "lstat", swapped)
    with pytest.raises(OSError, match="Not a directory"):
        exchange._make_movable(PurePosixPath(state))
    assert outside.stat().st_mode & 0o777 == 0o500


def test_of_a_writer_that_renames_whatever_is_there_nothing_is_lost(directory: int) -> None:
    files.write_in(directory, "c.json", b"{}")

    def gateway() -> None:
        for number in range(60):
            files.write_in(directory, "c.json", json.dumps({"gateway": number}).encode())

    writer = threading.Thread(target=gateway)
    writer.start()
    replaced = 0
    while writer.is_alive() or not replaced:
        before = content(directory)
        after = json.dumps({**json.loads(before), "ocm": replaced}).encode()
        replaced += replace_in(directory, "c.json", after, before=before, limit=LIMIT)
    writer.join()
    assert json.loads(content(directory))["gateway"] == 59


@pytest.fixture(params=["exchange", "renames"])
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a file system that can exchange, and one that cannot."""
    if request.param == "renames":
        monkeypatch.setattr(exchange, "_exchange", lambda *_arguments: False)
    return str(request.param)


def put_and_take(base: Path, *, occupied: bool) -> tuple[PurePosixPath, PurePosixPath, int]:
    """Make what is staged and what is in its place to be; return both and the inode."""
    for name in ("staged", *(["place"] if occupied else [])):
        (base / name).mkdir()
        (base / name / "file").write_text(name)
    number = inode(PurePosixPath(base / "staged"))
    assert number is not None
    return PurePosixPath(base / "place"), PurePosixPath(base / "staged"), number


BEFORE = {True: {"staged/file": "staged", "place/file": "place"}, False: {"staged/file": "staged"}}
AFTER = {True: {"staged/file": "place", "place/file": "staged"}, False: {"place/file": "staged"}}


@pytest.mark.usefixtures("means")
@pytest.mark.parametrize("occupied", [True, False])
def test_what_is_staged_takes_its_place_and_gives_it_back_and_again_does_nothing(
    tmp_path: Path, *, occupied: bool
) -> None:
    place, staged, number = put_and_take(tmp_path, occupied=occupied)
    take_out_of_place(place, staged, number)
    assert hosts.contents(tmp_path) == BEFORE[occupied], "nothing to undo"
    for _time in range(2):
        put_in_place(place, staged, number)
        assert hosts.contents(tmp_path) == AFTER[occupied]
    for _time in range(2):
        take_out_of_place(place, staged, number)
        assert hosts.contents(tmp_path) == BEFORE[occupied]


def test_what_is_no_longer_staged_is_said_and_nothing_is_touched(tmp_path: Path) -> None:
    place, staged, number = put_and_take(tmp_path, occupied=True)
    with pytest.raises(InTheWay, match="not there any more"):
        put_in_place(place, staged, number + 1)
    take_out_of_place(place, staged, number + 1)
    assert hosts.contents(tmp_path) == BEFORE[True]


class Killed(BaseException):
    """What stands for SIGKILL: nothing handles it."""


def killed_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have the process die after so many renames and exchanges."""
    left = [count]

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            done = real(*arguments, **options)
            left[0] -= done is not False
            if not left[0]:
                raise Killed
            return done

        return call

    monkeypatch.setattr(os, "rename", dying(os.rename))
    monkeypatch.setattr(exchange, "_exchange", dying(exchange._exchange))


@pytest.mark.usefixtures("means")
@pytest.mark.parametrize("occupied", [True, False])
@pytest.mark.parametrize(
    ("during", "finish"),
    [
        (put_in_place, put_in_place),
        (put_in_place, take_out_of_place),
        # Nothing puts in place again what an undo was taking out.
        (take_out_of_place, take_out_of_place),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_kill_after_any_rename_is_undone_and_finished(  # noqa: PLR0913 - every combination
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    during: Callable[..., None],
    finish: Callable[..., None],
    count: int,
    *,
    occupied: bool,
) -> None:
    place, staged, number = put_and_take(tmp_path, occupied=occupied)
    if during is take_out_of_place:
        put_in_place(place, staged, number)
    with monkeypatch.context() as patched, contextlib.suppress(Killed):
        killed_after(patched, count)
        during(place, staged, number)
    finish(place, staged, number)
    assert hosts.contents(tmp_path) == (AFTER if finish is put_in_place else BEFORE)[occupied]
    assert {path.name for path in tmp_path.iterdir()} <= {"place", "staged"}
