"""A state comes out of a pod and goes into one as it is; whatever a pod makes of it is a tree or refused."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.pods import LocalPod, send_changed
from tests.leases import leased

from openclaw_ocm.backends.kubernetes import carried, volume
from openclaw_ocm.backends.kubernetes.carried import (
    Again,
    End,
    Entry,
    Lost,
    Piece,
    encode,
    give_out,
    read_told,
    take_in,
)
from openclaw_ocm.core.backup.holes import MAX_REAL
from openclaw_ocm.core.backup.layout import MAX_MEMBERS
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.archive.taking import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

    from _typeshed import WriteableBuffer

    from openclaw_ocm.backends.kubernetes.carried import Told

WHERE = "ocm-worker1"
LIMIT = 2**26
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


@pytest.fixture
def pod(tmp_path: Path) -> LocalPod:
    (tmp_path / "state").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"secret")
    return LocalPod(tmp_path / "state")


def fill(state: Path) -> None:
    """Make a state of all that one has."""
    (state / "agents/main").mkdir(parents=True)
    (state / "agents/empty").mkdir(mode=0o500)
    (state / "openclaw.json").write_bytes(b"{}\n")
    (state / "openclaw.json").chmod(0o600)
    (state / "agents/main/run").write_bytes(b"#!/bin/sh\n")
    (state / "agents/main/run").chmod(0o755)
    os.utime(state / "agents/main/run", (1_700_000_000, 1_700_000_000))
    (state / "agents/main/large").write_bytes(os.urandom(2**20 + 7))
    with (state / "agents/main/holes").open("wb") as file:
        file.seek(2**24)
        file.write(b"middle")
        file.truncate(2**36)
    (state / "agents/main/nothing").touch()
    (state / "agents/latest").symlink_to("main")
    (state / "agents/away").symlink_to("/nowhere/at all")
    for name in (b"\xff\xfe", b"new\nline", b"agents-2", b"agents.d", "é".encode()):
        Path(os.fsdecode(os.fsencode(state) + b"/" + name)).write_bytes(name)


def snapshot(top: Path) -> dict[str, tuple[object, ...]]:
    """Return what is below a directory, but for what is never taken in."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(top))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", status.st_mode & 0o700)
        else:
            content = path.read_bytes() if status.st_size < 2**30 else content_at(path, 2**24)
            found[name] = (
                status.st_mode & 0o700,
                int(status.st_mtime),
                status.st_size,
                content,
                status.st_blocks < 2**16,
            )
    return found


def content_at(path: Path, position: int) -> bytes:
    with path.open("rb") as file:
        file.seek(position)
        return file.read(10)


def out(
    pod: LocalPod, *, content: bool = True, skip: tuple[str, ...] = (), limit: int = LIMIT
) -> Iterator[Told]:
    return give_out(WHERE, pod.started, content=content, skip=skip, limit=limit)


def entries(told: Iterable[Told]) -> dict[str, Entry]:
    return {os.fsdecode(one.path): one for one in told if isinstance(one, Entry)}


def files(told: Iterable[Told]) -> dict[str, bytes]:
    """Return what files hold that came whole."""
    found: dict[str, bytes] = {}
    path, content = "", bytearray()
    for one in told:
        if isinstance(one, Entry):
            path = os.fsdecode(one.path)
        if isinstance(one, (Entry, Again)):
            content = bytearray()
        elif isinstance(one, Piece):
            content += bytes(one.at - len(content)) + one.data
        elif isinstance(one, End):
            found[path] = bytes(content) + bytes(one.size - len(content))
    return found


def test_a_state_is_taken_in_as_it_was_given_out(pod: LocalPod, tmp_path: Path) -> None:
    fill(pod.state)
    take_in(WHERE, pod.started, "stage", out(pod))
    before, after = snapshot(pod.state), snapshot(tmp_path / "stage")
    assert after == before
    assert len(after) == 15
    assert before["agents/main/holes"][3:] == (b"middle\0\0\0\0", True)
    assert stat.S_IMODE((tmp_path / "stage").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "stage/agents/main/run").stat().st_mode) == 0o700


def test_it_comes_sorted_by_bytes_and_the_same_each_time(pod: LocalPod) -> None:
    fill(pod.state)
    first, second = list(out(pod)), list(out(pod))
    assert first == second
    paths = [one.path.split(b"/") for one in first if isinstance(one, Entry)]
    assert paths == sorted(paths)
    assert len(paths) == 15


def test_without_content_it_is_told_what_there_is(pod: LocalPod) -> None:
    fill(pod.state)
    for name, text in (("cache", SIGNATURE + b"\n"), ("none", b"Signature: another")):
        (pod.state / name).mkdir()
        (pod.state / name / "CACHEDIR.TAG").write_bytes(text)
    for name in ("pretends", "pipe"):
        (pod.state / name).mkdir()
    (pod.state / "pretends/CACHEDIR.TAG").symlink_to("../cache/CACHEDIR.TAG")
    os.mkfifo(pod.state / "pipe/CACHEDIR.TAG")
    pipe = os.open(pod.state / "pipe/CACHEDIR.TAG", os.O_RDWR)
    os.write(pipe, SIGNATURE)
    told = list(out(pod, content=False))
    os.close(pipe)
    assert all(isinstance(one, Entry) for one in told)
    found = entries(told)
    assert [path for path, one in found.items() if one.cache] == ["cache"]
    assert not any(one.open for one in found.values() if one.shape != "directory")
    large = (pod.state / "agents/main/large").read_bytes()
    assert found["agents/main/large"].begin == large[:16]
    assert found["agents/main/nothing"].begin == b""
    holes = found["agents/main/holes"]
    assert holes.size == 2**36
    assert 0 < holes.taken < 2**20
    assert (found["agents/main/run"].mode, found["agents/main/run"].mtime) == (0o755, 1_700_000_000)
    assert found["agents/latest"].target == b"main"


def test_zeros_take_nothing_on_the_way(pod: LocalPod) -> None:
    content = bytes(2**18) + b"x" + bytes(2**18)
    (pod.state / "file").write_bytes(content)
    told = list(out(pod))
    assert [(one.at, len(one.data)) for one in told if isinstance(one, Piece)] == [(2**18, 2**16)]
    assert files(told) == {"file": content}


def test_what_is_skipped_is_told_and_not_opened(pod: LocalPod) -> None:
    fill(pod.state)
    os.mkfifo(pod.state / "agents/main/pipe")
    told = list(out(pod, skip=("agents/main", "openclaw.json", "\udcff\udcfe", "nothing")))
    found = entries(told)
    assert not any(path.startswith("agents/main/") for path in found)
    for path in ("agents/main", "openclaw.json", "\udcff\udcfe"):
        assert not found[path].open
    assert {*files(told)} == {"new\nline", "agents-2", "agents.d", "é"}


def test_what_is_no_file_is_told_and_not_opened(
    pod: LocalPod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod.state / "link").symlink_to(tmp_path / "outside/file")
    (pod.state / "folder").symlink_to(tmp_path / "outside")
    os.mkfifo(pod.state / "pipe")
    (pod.state / "leased").write_bytes(b"held")
    monkeypatch.chdir(pod.state)
    with socket.socket(socket.AF_UNIX) as listening, leased(pod.state / "leased"):
        listening.bind("socket")
        told = list(out(pod))
    shapes = {path: one.shape for path, one in entries(told).items()}
    assert shapes == {
        "folder": "link",
        "leased": "file",
        "link": "link",
        "pipe": "special",
        "socket": "special",
    }
    assert (entries(told)["leased"].number, entries(told)["leased"].open) == (11, False)
    assert files(told) == {}


def test_a_tree_too_deep_ends_where_it_is(pod: LocalPod) -> None:
    path = pod.state
    for _ in range(MAX_DEPTH + 3):
        path /= "d"
        path.mkdir()
    told = [one for one in out(pod) if isinstance(one, Entry)]
    assert len(told) == MAX_DEPTH + 1
    assert [one.open for one in told[-2:]] == [True, False]


@pytest.mark.parametrize("paths", [("a", "b", "d/1", "d/2", "d/3"), ("d/1", "d/2", "e/1", "e/2")])
def test_more_names_than_anybody_takes_are_no_state(
    pod: LocalPod, monkeypatch: pytest.MonkeyPatch, paths: tuple[str, ...]
) -> None:
    for path in paths:
        (pod.state / path).parent.mkdir(exist_ok=True)
        (pod.state / path).touch()
    send_changed(monkeypatch, "give_state.py", "1_000_000", "5")
    with pytest.raises(OcmError) as caught:
        list(out(pod))
    assert caught.value.code == "state_too_large"
    (pod.state / paths[-1]).unlink()
    assert len(entries(out(pod))) == 5


def test_a_state_that_is_larger_than_its_limit_is_left(pod: LocalPod) -> None:
    (pod.state / "file").write_bytes(b"x" * 10_000)
    assert files(out(pod, limit=11_000)) == {"file": b"x" * 10_000}
    with pytest.raises(OcmError) as caught:
        list(out(pod, limit=10_000))
    assert caught.value.code == "state_too_large"


def test_a_state_that_is_none_is_no_empty_one(pod: LocalPod) -> None:
    pod.state.rename(pod.state.with_name("elsewhere"))
    with pytest.raises(OcmError) as caught:
        list(out(pod))
    assert caught.value.code == "state_unreadable"
    pod.state.symlink_to("elsewhere")
    with pytest.raises(OcmError) as caught:
        list(out(pod))
    assert caught.value.code == "state_link"


def test_times_and_sizes_beyond_all_bounds_are_no_hindrance(pod: LocalPod) -> None:
    for name, moment in (("before", -5), ("late", 2**33 + 5)):
        (pod.state / name).touch()
        os.utime(pod.state / name, (moment, moment))
    with (pod.state / "large").open("wb") as file:
        file.seek(2**44 - 2**17)
        file.write(b"data")
        file.truncate(2**44 - 2**16)
    told = list(out(pod))
    found = entries(told)
    assert found["before"].mtime == 0
    assert found["late"].mtime <= 2**33 - 1
    late = [found["late"], End(size=0)]
    (piece,) = (one for one in told if isinstance(one, Piece))
    assert told[2:] == [found["large"], piece, End(size=2**44 - 2**16), *late]
    assert (piece.at, piece.data.rstrip(b"\0")) == (2**44 - 2**17, b"data")


def test_a_file_that_never_rests_ends_and_says_so(pod: LocalPod, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod.state / "file").write_bytes(b"content")
    after = "        steady = self.place is not None"
    send_changed(monkeypatch, "give_state.py", after, f"        os.utime(file.fileno())\n{after}")
    told = list(out(pod))
    assert told[-1] == End(size=7, steady=False)
    assert sum(isinstance(one, Again) for one in told) == 4
    assert files(told) == {"file": b"content"}


def test_a_file_that_grows_without_an_end_has_one(pod: LocalPod) -> None:
    (pod.state / "log").write_bytes(os.urandom(2**22))
    ended = threading.Event()

    def instance() -> None:
        with (pod.state / "log").open("ab", buffering=0) as file:
            while not ended.wait(0.0001):
                file.write(b"more")

    writer = threading.Thread(target=instance)
    writer.start()
    try:
        told = list(out(pod))
    finally:
        ended.set()
        writer.join()
    (content,) = files(told).values()
    assert (pod.state / "log").read_bytes().startswith(content)
    assert len(content) >= 2**22


def test_what_changes_places_meanwhile_shows_nothing_of_others(pod: LocalPod, tmp_path: Path) -> None:
    (pod.state / "d").mkdir()
    ended = threading.Event()

    def instance() -> None:
        link, folder = pod.state / "link", pod.state / "folder"
        while not ended.is_set():
            folder.mkdir()
            (folder / "file").write_bytes(b"own")
            folder.rename(pod.state / "d/x")
            link.symlink_to(tmp_path / "outside")
            (pod.state / "d/x").rename(pod.state / "old")
            link.rename(pod.state / "d/x")
            (pod.state / "d/x").unlink()
            (pod.state / "old/file").unlink()
            (pod.state / "old").rmdir()

    writer = threading.Thread(target=instance)
    writer.start()
    seen = set()
    try:
        for _ in range(8):
            seen |= {*files(out(pod)).values()}
    finally:
        ended.set()
        writer.join()
    assert seen <= {b"own", b""}


def directory(path: bytes) -> Entry:
    return Entry(path=path, shape="directory", open=True, mode=0o700)


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path=path, shape="link", target=target)


def file(path: bytes, data: bytes = b"x") -> list[Told]:
    return [Entry(path=path, shape="file", open=True, mode=0o600), Piece(0, data), End(size=len(data))]


HOSTILE: dict[str, list[Told]] = {
    "above": file(b"../escaped"),
    "through above": [directory(b"a"), *file(b"a/../../escaped")],
    "absolute": file(b"/tmp/escaped"),
    "empty": [directory(b"a"), *file(b"a/")],
    "here": [directory(b".")],
    "through a link": [link(b"a", b"../outside"), *file(b"a/escaped")],
    "over a link": [link(b"a", b"../outside/file"), *file(b"a")],
    "twice": [*file(b"a"), *file(b"a")],
    "unsorted": [*file(b"b"), *file(b"a")],
    "back in a directory": [directory(b"a"), *file(b"b"), *file(b"a/c")],
    "below a file": [*file(b"a"), *file(b"a/b")],
    "below nothing": file(b"a/b"),
    "a pipe": [Entry(path=b"a", shape="special")],
    "two files in one": [file(b"a")[0], *file(b"b")],
    "no file": [End(size=0)],
    "lost": [file(b"a")[0], Lost(number=5)],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_is_taken_in_that_is_no_tree(case: str, pod: LocalPod, tmp_path: Path) -> None:
    with pytest.raises(OcmError) as caught:
        take_in(WHERE, pod.started, "stage", HOSTILE[case])
    assert caught.value.code == "volume_unclear"
    assert {path.name for path in tmp_path.iterdir()} == {"state", "outside", "stage"}
    assert {path.name for path in (tmp_path / "outside").iterdir()} == {"file"}
    assert (tmp_path / "outside/file").read_bytes() == b"secret"
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_is_given_out_that_is_no_tree(case: str) -> None:
    if case in ("lost", "a pipe"):
        return  # those may be told of
    stream = io.BytesIO(b"".join(map(encode, HOSTILE[case])))
    with pytest.raises(OcmError) as caught:
        list(read_told(WHERE, stream, limit=LIMIT))
    assert caught.value.code == "volume_unclear"


DISORDERED: dict[str, list[Told]] = {
    "again the same": [Piece(0, b"ab"), Piece(1, b"c")],
    "backwards": [Piece(5, b"a"), Piece(0, b"b")],
    "beyond all bounds": [Piece(2**44, b"a")],
    "over its end": [Piece(0, b"abc"), End(size=2)],
}


@pytest.mark.parametrize("case", DISORDERED)
def test_what_a_file_holds_comes_in_order(case: str) -> None:
    stream = io.BytesIO(b"".join(map(encode, [file(b"a")[0], *DISORDERED[case]])))
    with pytest.raises(OcmError) as caught:
        list(read_told(WHERE, stream, limit=LIMIT))
    assert caught.value.code == "volume_unclear"


STRANGE: dict[str, list[Told]] = {
    "a link to nowhere": [link(b"a", b"")],
    "a link with a NUL": [link(b"a", b"b\0c")],
    "a name with a NUL": file(b"a\0b"),
    "too long a name": file(b"a" * 256),
    "an open link": [Entry(path=b"a", shape="link", target=b"b", open=True)],
    "an open pipe": [Entry(path=b"a", shape="special", open=True)],
    "too deep": [directory(b"/".join([b"d"] * depth)) for depth in range(1, MAX_DEPTH + 2)],
}


@pytest.mark.parametrize("case", STRANGE)
def test_no_state_has_what_none_can_have(case: str) -> None:
    stream = io.BytesIO(b"".join(map(encode, STRANGE[case])))
    with pytest.raises(OcmError) as caught:
        list(read_told(WHERE, stream, limit=LIMIT))
    assert caught.value.code == "volume_unclear"


@pytest.mark.parametrize(
    ("told", "entries", "count"), [(file(b"a"), 2, 1), (file(b"a"), 1, 2), (file(b"a")[:2], 1, 1)]
)
def test_an_end_that_is_none_is_refused(told: list[Told], entries: int, count: int) -> None:
    done = b'{"kind":"done","entries":%d,"bytes":%d}\n' % (entries, count)
    with pytest.raises(OcmError) as caught:
        list(read_told(WHERE, io.BytesIO(b"".join(map(encode, told)) + done), limit=LIMIT))
    assert caught.value.code == "volume_unclear"


def test_more_than_an_archive_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openclaw_ocm.backends.kubernetes.carried.MAX_MEMBERS", 2)
    stream = io.BytesIO(b"".join(encode(link(b"%d" % number, b"a")) for number in range(3)))
    with pytest.raises(OcmError) as caught:
        list(read_told(WHERE, stream, limit=LIMIT))
    assert caught.value.code == "volume_unclear"


def test_it_is_taken_in_where_nothing_is_and_nowhere_else(pod: LocalPod, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "away").symlink_to("outside/new")
    for name in ("there", "state", "away"):
        with pytest.raises(FileExistsError):
            take_in(WHERE, pod.started, name, file(b"a"))
    for name in ("", ".", "..", "outside/new", "../new", "/tmp/new"):
        with pytest.raises(OcmError) as caught:
            take_in(WHERE, pod.started, name, file(b"a"))
        assert caught.value.code == "volume_unclear"
    assert {path.name for path in tmp_path.iterdir()} == {"state", "outside", "there", "away"}
    assert [*(tmp_path / "there").iterdir()] == [*pod.state.iterdir()] == []


def test_one_that_ends_early_is_heard_though_more_is_written(pod: LocalPod) -> None:
    (pod.state.parent / "stage").mkdir()
    large = (told for number in range(200) for told in file(b"%03d" % number, b"x" * 2**17))
    with pytest.raises(FileExistsError):
        take_in(WHERE, pod.started, "stage", large)


def test_what_is_taken_in_is_as_much_as_was_sent(pod: LocalPod) -> None:
    frames = b"".join(map(encode, file(b"a", b"xyz")))
    for entries, count, kind in ((1, 2, "refused"), (2, 3, "refused"), (1, 3, "done")):
        asked = {"stage": f"stage-{entries}-{count}"}
        done = b'{"kind":"done","entries":%d,"bytes":%d}\n' % (entries, count)
        given = volume.request(asked) + frames + done
        assert f'"kind": "{kind}"'.encode() in pod.run(volume.argv_of("take_state.py"), given, LIMIT)


def test_a_state_that_breaks_off_on_its_way_in_is_none(pod: LocalPod) -> None:
    def told() -> Iterator[Told]:
        yield from file(b"a")
        raise OcmError("the archive is damaged", code="archive_invalid")

    with pytest.raises(OcmError, match="the archive is damaged"):
        take_in(WHERE, pod.started, "stage", told())


def whole(pod: LocalPod) -> bytes:
    """Return the stream of a small state."""
    (pod.state / "a/b").mkdir(parents=True)
    (pod.state / "a/b/file").write_bytes(b"content")
    (pod.state / "link").symlink_to("a")
    (pod.state / "z").write_bytes(b"last")
    asked = {"what": "all", "content": True, "skip": []}
    return pod.run(volume.argv_of("give_state.py"), volume.request(asked), LIMIT)


def told_of(data: bytes) -> list[Told] | None:
    """Return what a pod tells by a stream, None where it is refused; check that it is a tree."""
    told: list[Told] = []
    try:
        told.extend(read_told(WHERE, io.BytesIO(data), limit=LIMIT))
    except (OcmError, OSError):
        return None
    finally:
        seen = {b""}
        for one in told:
            if isinstance(one, Entry):
                above, _, name = one.path.rpartition(b"/")
                assert above in seen
                assert one.path not in seen
                assert name not in (b"", b".", b"..")
                seen.add(one.path)
    return told


def test_a_stream_that_is_cut_off_anywhere_is_none(pod: LocalPod) -> None:
    data = whole(pod)
    assert len(told_of(data) or ()) == 9
    for size in range(len(data)):
        assert told_of(data[:size]) is None, size


def test_whatever_a_pod_makes_of_a_stream_is_a_tree_or_refused(pod: LocalPod) -> None:
    data = whole(pod)
    lines = data.splitlines(keepends=True)
    places = st.integers(0, len(data) - 1)

    @given(st.lists(st.tuples(places, st.integers(0, 255)), max_size=3))
    def flipped(changes: list[tuple[int, int]]) -> None:
        bent = bytearray(data)
        for place, value in changes:
            bent[place] = value
        told_of(bytes(bent))

    @given(st.permutations(lines))
    def shuffled(order: list[bytes]) -> None:
        told_of(b"".join(order))

    @given(st.binary(max_size=200), places)
    def filled(junk: bytes, place: int) -> None:
        told_of(junk)
        told_of(data[:place] + junk + data[place:])

    for each in (flipped, shuffled, filled):
        each()


class Endless(io.RawIOBase):
    """A stream that begins in some way and goes on in another without an end."""

    def __init__(self, first: bytes, then: Callable[[], bytes]) -> None:
        self.left, self.then, self.given = first, then, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self.left = self.left or self.then()
        room = memoryview(buffer)
        count = min(len(room), len(self.left))
        room[:count], self.left = self.left[:count], self.left[count:]
        self.given += count
        assert self.given < 2**22, "it is not read without an end"
        return count


@pytest.mark.parametrize("kind", ["line", "data", "again", "entries"])
def test_what_never_ends_is_left(kind: str) -> None:
    numbers = iter(range(10**9))

    def data() -> bytes:
        return encode(Piece(next(numbers) * 2**10, b"x" * 2**10))

    goes_on: dict[str, tuple[bytes, Callable[[], bytes]]] = {
        "line": (b"", lambda: b"x" * 2**16),
        "data": (encode(file(b"a")[0]), data),
        "again": (encode(file(b"a")[0]), lambda: encode(Again())),
        "entries": (b"", lambda: encode(directory(b"%09d" % next(numbers)))),
    }
    stream = io.BufferedReader(Endless(*goes_on[kind]))
    with pytest.raises(OcmError) as caught:
        for _ in read_told(WHERE, stream, limit=2**20):
            pass
    assert caught.value.code == ("volume_unclear" if kind == "line" else "state_too_large")


def test_what_the_cluster_says_comes_through() -> None:
    @contextlib.contextmanager
    def stream(_argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        yield io.BytesIO(), io.BytesIO()
        raise AssertionError

    for call in (
        lambda: list(give_out(WHERE, stream, content=True, limit=LIMIT)),
        lambda: take_in(WHERE, stream, "stage", file(b"a")),
    ):
        with pytest.raises(OcmError) as caught:
            call()
        assert caught.value.code == "state_cut_off"


def test_both_ends_have_the_same_bounds() -> None:
    text = programs.text("give_state.py")
    assert f"MAX_DEPTH, MAX_NAMES, ATTEMPTS, TICK_SECONDS = {MAX_DEPTH}, 1_000_000, 5, 0.02" in text
    assert MAX_MEMBERS == 1_000_000
    assert f"LAST_SECOND, MAX_REAL = 2**33, 2**{MAX_REAL.bit_length() - 1}" in text
    assert carried._LAST_SECOND == 2**33
    assert f"CHUNK, HOLE = 2**{carried._CHUNK.bit_length() - 1}," in text
