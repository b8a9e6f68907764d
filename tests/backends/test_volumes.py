"""A state is read and written alike wherever it is, whatever an instance makes of it meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.backends.pods import LocalPod
from tests.leases import leased
from tests.samples import NAME

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.system.volume import Volume

LIMIT = 100
ODD = (b"\xff\xfe", b"new\nline", b" ", b"*", "é".encode(), b"x" * 255, b"-rf", b'"', b"\x1b[31m", b"...")


@dataclass(frozen=True)
class Held:
    """A volume and the directory that it is."""

    volume: Volume
    state: Path


@pytest.fixture(params=["directory", "pod"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Held:
    state = tmp_path / "state"
    state.mkdir()
    kinds: dict[str, Callable[[], Volume]] = {
        "directory": lambda: Directory(PurePosixPath(state)),
        "pod": LocalPod(state).volume,
    }
    return Held(kinds[request.param](), state)


@pytest.fixture
def volume(held: Held) -> Volume:
    return held.volume


@pytest.fixture
def state(held: Held) -> Path:
    return held.state


@contextlib.contextmanager
def refused(code: str = "config_unreadable", *, match: str | None = None) -> Iterator[None]:
    with pytest.raises(OcmError, match=match) as caught:
        yield
    assert caught.value.code == code


@contextlib.contextmanager
def failed(kind: type[OSError]) -> Iterator[None]:
    """Expect an error of a file, of this kind and no other."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its kind is looked at
        yield
    assert type(caught.value) is kind


def listed(state: Path) -> set[str]:
    return {path.name for path in state.iterdir()}


def test_what_is_written_is_read_and_is_its_users_alone(volume: Volume, state: Path) -> None:
    for data in (b"", b"\0\xff\n" * 9, os.urandom(3 * 2**20)):
        volume.write("config", data)
        assert volume.read("config", limit=len(data)) == data == (state / "config").read_bytes()
    assert stat.S_IMODE((state / "config").stat().st_mode) == 0o600
    assert listed(state) == {"config"}
    assert volume.place("config").endswith("/config")


def test_a_file_that_is_read_meanwhile_stays_whole(volume: Volume, state: Path) -> None:
    volume.write("config", b"old")
    with (state / "config").open("rb") as reader:
        volume.write("config", b"new")
        assert reader.read() == b"old"


def test_as_much_is_read_as_is_asked_for(volume: Volume, state: Path) -> None:
    (state / "file").write_bytes(b"0123456789")
    assert volume.read("file", limit=10) == b"0123456789"
    with refused(match="file is larger than 9 bytes"):
        volume.read("file", limit=9)
    with refused(match="file is larger than 0 bytes"):
        volume.read("file", limit=0)
    assert volume.read("file", limit=3, tail=True) == b"789"
    assert volume.read("file", limit=10, tail=True) == volume.read("file", limit=11, tail=True)
    assert volume.read("file", limit=0, tail=True) == b""
    (state / "file").write_bytes(b"")
    assert volume.read("file", limit=0) == volume.read("file", limit=9, tail=True) == b""


def test_a_huge_file_costs_no_more_than_what_is_asked_for(volume: Volume, state: Path) -> None:
    with (state / "huge").open("wb") as file:
        file.truncate(2**40)
        file.seek(2**40 - 4)
        file.write(b"last")
    with refused(match="huge is larger than 100 bytes"):
        volume.read("huge", limit=LIMIT)
    assert volume.read("huge", limit=6, tail=True) == b"\0\0last"
    (state / "d").mkdir()
    (state / "huge").rename(state / "d/huge")
    assert 0 < sum(volume.sizes("d")) < 2**20


def test_that_there_is_none_is_told_from_all_else(volume: Volume, state: Path) -> None:
    (state / "d").mkdir()
    (state / "file").touch()
    (state / "link").symlink_to("d")
    for missing in ("nothing", "d/nothing", "nothing/at/all"):
        with failed(FileNotFoundError):
            volume.read(missing, limit=LIMIT)
    for path in ("file/nothing", "link/nothing"):
        with failed(NotADirectoryError):
            volume.read(path, limit=LIMIT)
    with failed(OSError):
        volume.read("x" * 256, limit=LIMIT)
    with failed(OSError):
        volume.write("x" * 256, b"")
    with leased(state / "file"), failed(BlockingIOError):
        volume.read("file", limit=LIMIT)
    for path in ("nul\0", "lone \ud800 surrogate"):
        with pytest.raises(ValueError, match=r"null byte|surrogates not allowed"):
            volume.read(path, limit=LIMIT)


def test_what_is_no_file_is_neither_read_nor_waited_for(
    volume: Volume, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (state / "link").symlink_to(tmp_path / "secret")
    (state / "nowhere").symlink_to("nothing")
    (state / "round").symlink_to("round")
    for name in ("link", "nowhere", "round"):
        with refused(match=f"{name} is a link, which OCM does not follow"):
            volume.read(name, limit=LIMIT)
    os.mkfifo(state / "pipe")
    (state / "d").mkdir()
    special = ["pipe", "d"]
    with contextlib.suppress(PermissionError):
        os.mknod(state / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        special.append("zero")
    for name in special:
        with refused(match=f"{name} is no regular file"):
            volume.read(name, limit=LIMIT)
    monkeypatch.chdir(state)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with failed(OSError):
            volume.read("socket", limit=LIMIT)


def test_what_is_written_takes_the_place_of_whatever_is_there(
    volume: Volume, state: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    (state / "link").symlink_to(outside)
    os.mkfifo(state / "pipe")
    for name in ("link", "pipe"):
        volume.write(name, b"new")
        assert (state / name).lstat().st_mode == stat.S_IFREG | 0o600
    assert outside.read_bytes() == b"untouched"
    (state / "d").mkdir()
    with failed(IsADirectoryError):
        volume.write("d", b"new")
    assert listed(state) == {"link", "pipe", "d"}, "nothing is left beside"


def test_a_file_or_a_link_goes_and_nothing_else(volume: Volume, state: Path) -> None:
    (state / "file").touch()
    (state / "link").symlink_to("file")
    (state / "d").mkdir()
    volume.remove("link")
    assert listed(state) == {"file", "d"}
    for _ in range(2):
        volume.remove("file")
    with failed(IsADirectoryError):
        volume.remove("d")
    assert listed(state) == {"d"}


def test_names_are_what_they_are_in_bytes(volume: Volume, state: Path) -> None:
    for name in ODD:
        Path(os.fsdecode(os.fsencode(state) + b"/" + name)).write_bytes(name)
    names = volume.names(most=LIMIT)
    assert sorted(map(os.fsencode, names)) == sorted(ODD)
    assert all(volume.read(name, limit=255) == os.fsencode(name) for name in names)
    assert len(volume.names(most=4)) == 4
    assert volume.names(most=0) == ()
    for found in names:
        volume.remove(found)
    assert volume.names(most=LIMIT) == ()
    volume.write("\udcff", b"odd")
    assert volume.read("\udcff", limit=3) == b"odd"


def test_names_are_those_of_a_directory_and_of_nothing_else(volume: Volume, state: Path) -> None:
    (state / "d/e").mkdir(parents=True)
    (state / "d/file").touch()
    (state / "link").symlink_to("d")
    assert set(volume.names("d", most=LIMIT)) == {"e", "file"}
    for other in ("nothing", "d/file", "link", "link/e", "d/e/nothing"):
        assert volume.names(other, most=LIMIT) == ()
        assert not volume.has(other)
    assert volume.has("nothing", "d/e")
    assert volume.has("d")
    assert not volume.has()


def test_however_deep_a_directory_is_it_is_found(volume: Volume, state: Path) -> None:
    depth = 300
    descriptor = os.open(state, os.O_RDONLY)
    for level in range(depth):
        os.mkdir("a-name-of-20-letters", dir_fd=descriptor)
        below = os.open("a-name-of-20-letters", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        if level == depth - 1:
            os.close(os.open("file", os.O_CREAT, 0o600, dir_fd=descriptor))
    os.close(descriptor)
    folder = "/".join(["a-name-of-20-letters"] * depth)
    assert len(folder) > 4096
    assert volume.names(folder, most=LIMIT) == ("file",)
    assert volume.read(f"{folder}/file", limit=0) == b""
    assert len(volume.sizes(folder)) == 1
    assert volume.has(folder)


def test_sizes_are_those_of_files_and_no_link_is_followed(
    volume: Volume, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(bytes(99))
    for path, size in (("state/one", 5000), ("agents/a/agent/two", 1), ("agents/b/agent/three", 9000)):
        (state / path).parent.mkdir(parents=True)
        (state / path).write_bytes(b"x" * size)
    (state / "agents/link").symlink_to(tmp_path / "outside")
    (state / "agents/a/agent/link").symlink_to("two")
    os.mkfifo(state / "state/pipe")
    expected = [(state / path).stat().st_blocks * 512 for path in ("state/one", "agents/a/agent/two")]
    assert list(volume.sizes("state", "agents/a/agent")) == expected
    assert len(volume.sizes("state", "agents/*/agent", "agents/*", "nothing", "state/one")) == 3
    assert len(volume.sizes("state", "agents/*/agent", most=2)) == 2
    assert volume.sizes("state", most=0) == volume.sizes() == ()


def test_what_was_seen_is_replaced_and_keeps_its_mode(volume: Volume, state: Path) -> None:
    config = state / "config"
    config.write_bytes(b"before")
    config.chmod(0o640)
    (state / "beside").write_bytes(b"left by a kill")
    assert volume.replace("config", b"after", before=b"before", limit=LIMIT, beside="beside")
    assert not volume.replace("config", b"again", before=b"before", limit=LIMIT, beside="beside")
    assert config.read_bytes() == b"after"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert listed(state) == {"config"}


def test_only_a_file_is_replaced(volume: Volume, state: Path) -> None:
    def replace(name: str, limit: int = LIMIT) -> None:
        volume.replace(name, b"after", before=b"before", limit=limit, beside="beside")

    with failed(FileNotFoundError):
        replace("nothing")
    (state / "file").write_bytes(b"before")
    (state / "link").symlink_to("file")
    os.mkfifo(state / "pipe")
    for name in ("link", "pipe"):
        with refused():
            replace(name)
    with refused(match="file is larger than 5 bytes"):
        replace("file", limit=5)
    (state / "beside").mkdir()
    with failed(IsADirectoryError):
        replace("file")
    assert (state / "file").read_bytes() == b"before"


def test_of_a_writer_at_the_same_moment_nothing_is_lost(volume: Volume, state: Path) -> None:
    """Have a gateway count by renames, as OpenClaw writes its config, while OCM counts beside it."""
    config = state / "config"
    config.write_bytes(b"0 0")
    ended = threading.Event()
    written = 0

    def gateway() -> None:
        nonlocal written
        while not ended.wait(0.001):
            before = config.read_bytes()
            ours = int(before.split()[1])
            written += 1
            (state / "new").write_bytes(b"%d %d" % (written, ours))
            (state / "new").rename(config)

    writer = threading.Thread(target=gateway)
    writer.start()
    last = replaced = 0
    try:
        for _ in range(8):
            before = volume.read("config", limit=LIMIT)
            theirs = int(before.split()[0])
            assert theirs >= last, "what the gateway wrote last is never put back to what it wrote earlier"
            last = theirs
            with contextlib.suppress(FileNotFoundError):
                after = b"%d %d" % (theirs, replaced + 1)
                replaced += volume.replace("config", after, before=before, limit=LIMIT, beside="beside")
    finally:
        ended.set()
        writer.join()
    assert int(config.read_bytes().split()[0]) == written
    assert listed(state) == {"config"}


def test_what_comes_and_goes_in_the_place_of_a_file_shows_nothing_of_others(
    volume: Volume, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"secret")
    ended = threading.Event()

    def put(kind: int) -> None:
        new = state / "new"
        if kind == 0:
            new.write_bytes(b"own")
        elif kind == 1:
            new.symlink_to(tmp_path / "outside/file")
        elif kind == 2:
            os.mkfifo(new)
        new.rename(state / "file")

    def instance() -> None:
        kind = 0
        while not ended.is_set():
            put(kind % 3)
            (state / "d").symlink_to(tmp_path / "outside")
            (state / "d").unlink()
            (state / "d").mkdir()
            (state / "d/file").write_bytes(b"own")
            (state / "d/file").unlink()
            (state / "d").rmdir()
            kind += 1

    writer = threading.Thread(target=instance)
    writer.start()
    seen = set()
    try:
        for _ in range(8):
            for path in ("file", "d/file"):
                with contextlib.suppress(OcmError, FileNotFoundError, NotADirectoryError):
                    seen.add(volume.read(path, limit=LIMIT))
            volume.has("d", "file")
            volume.names("d", most=LIMIT)
            volume.sizes("d")
    finally:
        ended.set()
        writer.join()
    assert seen <= {b"own", b""}


@pytest.mark.parametrize("kind", ["nothing", "file", "link"])
def test_a_state_that_is_none_is_no_missing_file(held: Held, kind: str) -> None:
    volume, state = held.volume, held.state
    volume.check(NAME)
    state.rename(state.with_name("elsewhere"))
    if kind == "file":
        state.touch()
    elif kind == "link":
        state.symlink_to("elsewhere")
    missing, closed = (
        ("state_link", "state_link") if kind == "link" else ("state_missing", "state_unreadable")
    )
    with refused(missing):
        volume.check(NAME)
    calls: tuple[Callable[[], object], ...] = (
        lambda: volume.read("file", limit=LIMIT),
        lambda: volume.write("file", b""),
        lambda: volume.replace("file", b"", before=b"", limit=LIMIT, beside="beside"),
        lambda: volume.remove("file"),
        lambda: volume.names(most=LIMIT),
        lambda: volume.has("file"),
        lambda: volume.sizes("file"),
    )
    for call in calls:
        with refused(closed):
            call()
