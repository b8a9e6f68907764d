"""A state in a pod gives the archive, and is told of, as the same state in a directory of this host."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.archives import pure, snapshot
from tests.backends.pods import LocalPod, send_changed
from tests.leases import leased

from openclaw_ocm.backends.kubernetes import pod_state
from openclaw_ocm.backends.kubernetes.carried import Entry, Lost, Piece, encode
from openclaw_ocm.backends.kubernetes.volume import argv_of, request
from openclaw_ocm.core.backup.copying import Answer
from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import workspaces
from openclaw_ocm.system.archive.state import Copies, StateStore, Survey, survey
from openclaw_ocm.system.archive.taking import TooLarge, Unreadable, chunks, copied
from openclaw_ocm.system.archive.writer import ArchiveWriter
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import IO

    from openclaw_ocm.backends.kubernetes.carried import Told
    from openclaw_ocm.core.backup.layout import Manifest
    from openclaw_ocm.system.archive.taking import Content, State, Walk
    from openclaw_ocm.system.volume import Volume

PLENTY = 2**40
LONG = os.urandom(300_000) + bytes(3_000_000) + os.urandom(70_000)
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
DATABASE = b"SQLite format 3\0" + b"page" * 1000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make a state with all that a walk may meet."""
    state = tmp_path / "state"
    for folder in ("agents/main/agent", "cache/deep", "workspace/.git", "workspace/tagged", "tagged/deep"):
        (state / folder).mkdir(parents=True)
    (state / "openclaw.json").write_text("{}")
    (state / "agents/main/agent/own.sqlite").write_bytes(DATABASE)
    (state / "cache/deep/remade").write_text("remade")
    (state / "cache.lock").write_text("temporary")
    (state / "workspace/image").write_bytes(LONG)
    (state / "workspace/run").write_text("#!/bin/sh")
    (state / "workspace/run").chmod(0o755)
    os.utime(state / "workspace/run", (1_700_000_000, 1_700_000_000))
    (state / "workspace/link").symlink_to("../openclaw.json")
    (state / "workspace/absolute").symlink_to(state / "openclaw.json")
    for path in ("workspace/out", "out"):
        (state / path).symlink_to("/etc/passwd")
    os.mkfifo(state / "workspace/pipe")
    for path in ("workspace/tagged", "tagged"):
        (state / path / "CACHEDIR.TAG").write_bytes(SIGNATURE)
    (state / "tagged/deep/file").write_bytes(b"cached")
    (state / "workspace/skip/kept").mkdir(parents=True)
    (state / "workspace/skip.d").write_text("comes after what is below skip, by its bytes before it")
    for name in (b"\xff\xfe", b"new\nline", "é".encode()):
        Path(os.fsdecode(os.fsencode(state) + b"/workspace/" + name)).write_bytes(name)
    deep = state / "workspace/deep"
    for _ in range(203):
        deep.mkdir()
        deep /= "d"
    with (state / "workspace/holes").open("wb") as file:
        file.seek(2**30)
        file.write(b"middle")
        file.truncate(2**36)
    return state


def selection_of(state: Path) -> Selection:
    needed = frozenset({"state/openclaw.json"})
    return Selection(state=pure(state), exclude=("run", "skip"), needed=needed, tags=True)


VOLUMES: Mapping[str, Callable[[Path], Volume]] = {
    "directory": lambda state: Directory(pure(state)),
    "pod": lambda state: LocalPod(state).volume(),
}


@pytest.fixture(params=VOLUMES)
def opened(request: pytest.FixtureRequest, state: Path) -> Iterator[State]:
    with VOLUMES[request.param](state).opened() as found:
        yield found


def each(state: Path, look: Callable[[State], object]) -> list[object]:
    """Return what is seen in each volume."""
    seen = []
    for volume in VOLUMES.values():
        with volume(state).opened() as found:
            seen.append(look(found))
    return seen


def test_its_archive_and_what_is_told_are_those_of_the_directory(state: Path, tmp_path: Path) -> None:
    selection = selection_of(state)

    def stored(walk: Walk) -> tuple[bytes, Manifest, list[tuple[str, str]]]:
        out: list[bytes] = []
        writer = ArchiveWriter(out.append)
        store = StateStore(writer, selection, Copies(), pure(tmp_path), PLENTY)
        store.store(walk, 0o700, lambda _bytes: None)
        manifest = writer.finish(left_out=store.told.left_out, notes=store.told.notes)
        return b"".join(out), manifest, store.told.paths

    def twice(found: State) -> list[object]:
        # The second walk knows what the first one left out.
        survey(found.walk(selection, content=False), selection)
        return [stored(found.walk(selection)), found.mode, found.disk.size]

    expected, seen = each(state, twice)
    assert seen == expected
    assert each(state, lambda found: stored(found.walk(selection)))[1] == expected[0]  # type: ignore[index]


def test_what_there_is_of_it_is_what_the_directory_has(state: Path) -> None:
    selection = selection_of(state)

    def seen(found: Survey) -> tuple[object, ...]:
        told = found.told
        return (
            found.databases,
            found.copied,
            found.files,
            found.size,
            found.largest,
            told.left_out,
            told.notes,
        )

    def look(found: State) -> list[object]:
        walks = (found.walk(selection, content=content) for content in (True, False, True))
        return [seen(survey(walk, selection)) for walk in walks]

    expected, other = each(state, look)
    assert other == expected
    assert "state/agents/main/agent/own.sqlite" in repr(expected)
    reasons = repr(expected)
    for reason in ("CACHEDIR.TAG", "too deep", "excluded by skip", "temporary", "names that no archive"):
        assert reason in reasons


def test_its_workspaces_are_copied_as_those_of_the_directory(state: Path, tmp_path: Path) -> None:
    selection, told = Selection(state=pure(state)), []
    (state / "workspace/holes").unlink()
    for name, volume in VOLUMES.items():
        (tmp_path / name).mkdir()
        with volume(state).opened() as found:
            walk = found.walk(selection, content=False)
            told.append(workspaces.survey_workspaces(walk, selection, PLENTY))
            workspaces.copy_workspaces(found.walk(selection), selection, pure(tmp_path / name))
    assert snapshot(tmp_path / "pod") == snapshot(tmp_path / "directory")
    assert snapshot(tmp_path / "pod")["workspace/run"] == (0o700, b"#!/bin/sh")
    assert told[0] == told[1]


@contextlib.contextmanager
def content_of(found: State, path: str, *, content: bool = True) -> Iterator[Content]:
    """Yield what is at a path, while a walk is there."""
    walk = found.walk(Selection(state=pure(Path("/home/node/.openclaw"))), content=content)
    yield next(one for entry, one in walk if entry.path == f"state/{path}")
    next(walk, None)


def read(content: Content, spool: Path) -> bytes | None:
    with copied(content, pure(spool), limit=PLENTY) as copy:
        return None if copy is None else b"".join(chunks(copy))


def test_a_file_that_changes_while_it_is_read_comes_anew(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have a program in the pod change it twice, and each time be another size."""
    (state / "workspace/note").write_bytes(b"one")
    change = """
        if before.st_size in (3, 9):
            with open("/proc/self/fd/%d" % file.fileno(), "ab") as other:
                other.write(b", more")
"""
    steady = "        steady = self.place is not None"
    send_changed(monkeypatch, "give_state.py", steady, f"{change}{steady}")
    with LocalPod(state).volume().opened() as found, content_of(found, "workspace/note") as content:
        with copied(content, pure(tmp_path), limit=PLENTY) as copy:
            assert copy is not None
            assert copy.steady
            assert b"".join(chunks(copy)) == b"one, more, more"
        assert read(content, tmp_path) is None, "it comes once"


def test_that_a_file_never_rested_is_known(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = "        steady = self.place is not None"
    send_changed(monkeypatch, "give_state.py", steady, f"        os.utime(file.fileno())\n{steady}")
    for path in ("image", "holes", "run"):
        (state / "workspace" / path).unlink()
    with (
        LocalPod(state).volume().opened() as found,
        content_of(found, "openclaw.json") as content,
        copied(content, pure(tmp_path), limit=PLENTY) as copy,
    ):
        assert copy is not None
        assert not copy.steady
        assert b"".join(chunks(copy)) == b"{}"


def test_what_grows_without_an_end_is_read_to_one(opened: State, state: Path, tmp_path: Path) -> None:
    (state / "workspace/log").write_bytes(LONG)
    ended = threading.Event()

    def instance() -> None:
        with (state / "workspace/log").open("ab", buffering=0) as file:
            while not ended.wait(0.0001):
                file.write(b"more")

    writer = threading.Thread(target=instance)
    writer.start()
    try:
        with content_of(opened, "workspace/log") as content:
            data = read(content, tmp_path)
    finally:
        ended.set()
        writer.join()
    assert data is not None
    assert (state / "workspace/log").read_bytes().startswith(data)
    assert len(data) >= len(LONG)


@pytest.mark.parametrize("content", [True, False])
def test_what_cannot_be_read_is_not_taken_for_gone(opened: State, state: Path, content: bool) -> None:  # noqa: FBT001 - a parameter
    with leased(state / "openclaw.json"), content_of(opened, "openclaw.json", content=content) as found:
        with pytest.raises(Unreadable, match="unavailable"):
            found.begin(0)
        with pytest.raises(Unreadable), found.opened():
            pass


@pytest.mark.parametrize("content", [True, False])
def test_how_a_file_begins_is_told_in_each_walk(opened: State, content: bool) -> None:  # noqa: FBT001 - a parameter
    with content_of(opened, "agents/main/agent/own.sqlite", content=content) as found:
        assert found.begin(16) == DATABASE[:16]
        assert found.target() is None
    with content_of(opened, "workspace/link", content=content) as found:
        assert found.target() == "../openclaw.json"


def test_copies_of_databases_are_read_from_where_they_lie(opened: State, state: Path, tmp_path: Path) -> None:
    (state / "copies").mkdir()
    (state / "copies/small").write_bytes(b"onetwothree" + LONG)
    (state / "copies/7").write_bytes(LONG)
    with opened.copies("copies") as copy_of:
        for place, expected in (((0, 3), b"one"), ((3, 3), b"two"), ((11, len(LONG)), LONG)):
            content = copy_of(Answer(index=1, problem=None, place=place))
            assert [read(content, tmp_path) for _ in range(2)] == [expected, expected]
            with copied(content, pure(tmp_path), limit=PLENTY) as copy:
                assert copy is not None
                assert copy.steady
        assert read(copy_of(Answer(index=7, problem=None)), tmp_path) == LONG
        assert copy_of(Answer(index=7, problem=None)).begin(5) == LONG[:5]
        assert read(copy_of(Answer(index=8, problem=None)), tmp_path) is None
        (state / "copies/8").symlink_to("7")
        assert read(copy_of(Answer(index=8, problem=None)), tmp_path) is None
        (state / "copies/8").unlink()
        with leased(state / "copies/7"), pytest.raises(Unreadable, match="unavailable"):
            read(copy_of(Answer(index=7, problem=None)), tmp_path)
    (state / "copies/d").mkdir()
    opened.discard_copies("copies")
    assert [path.name for path in (state / "copies").iterdir()] == ["d"]
    (state / "copies/d").rmdir()
    for _ in range(2):
        opened.discard_copies("copies")
    (state / "copies").symlink_to("workspace")
    opened.discard_copies("copies")
    assert (state / "workspace/image").exists()
    with pytest.raises(OcmError) as caught, opened.copies("copies"):
        pass
    assert caught.value.code == "backup_failed"


def test_what_was_left_out_is_not_sent_again(state: Path) -> None:
    selection = selection_of(state)
    pod = LocalPod(state)
    sent: list[bytes] = []

    @dataclass
    class Heard:
        """What is read of a stream, kept."""

        source: IO[bytes]

        def readline(self, size: int) -> bytes:
            sent.append(self.source.readline(size))
            return sent[-1]

        def read(self, size: int) -> bytes:
            sent.append(self.source.read(size))
            return sent[-1]

    @contextlib.contextmanager
    def stream(argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        with pod.started(argv) as (source, write):
            yield Heard(source), write  # type: ignore[misc]

    (state / "tagged/deep/file").write_bytes(b"a cache that is large")
    (state / "workspace/skip/kept/file").write_bytes(b"excluded and large")
    with replace(pod.volume(), stream=stream).opened() as found:
        survey(found.walk(selection, content=False), selection)
        assert b"large" not in b"".join(sent), "no content was asked for"
        for _found in found.walk(selection):
            pass
    everything = b"".join(sent)
    assert b"large" not in everything
    assert LONG[-100:] in everything
    with replace(pod.volume(), stream=stream).opened() as found:
        for _found in found.walk(selection):
            pass
    assert b"remade" not in b"".join(sent), "nor by the first walk what is known by its name"


def telling(state: Path, *told: Told) -> Volume:
    """Return the volume of a pod that tells this of its state."""
    entries = sum(isinstance(one, Entry) for one in told)
    count = sum(len(one.data) for one in told if isinstance(one, Piece))
    done = b'{"kind":"done","entries":%d,"bytes":%d}\n' % (entries, count)

    @contextlib.contextmanager
    def stream(_argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        yield io.BytesIO(b"".join(map(encode, told)) + done), io.BytesIO()

    return replace(LocalPod(state).volume(), stream=stream)


def test_a_directory_that_cannot_be_read_is_not_taken_for_empty(state: Path) -> None:
    told = Entry(path=b"workspace", shape="directory", number=13)
    with telling(state, told).opened() as found:
        ((entry, _content),) = found.walk(selection_of(state))
    assert entry.reason == "cannot be read"


def test_a_file_that_cannot_be_read_to_its_end_is_not_taken_for_shorter(state: Path, tmp_path: Path) -> None:
    told = (Entry(path=b"file", shape="file", open=True, size=9), Piece(0, b"begin"), Lost(number=5))
    with telling(state, *told).opened() as found:
        ((_entry, content),) = (
            (one, read_or_not(content, tmp_path)) for one, content in walked(found, state)
        )
    assert content == "Input/output error"


def walked(found: State, state: Path) -> Walk:
    return found.walk(selection_of(state))


def read_or_not(content: Content, spool: Path) -> object:
    try:
        return read(content, spool)
    except Unreadable as error:
        return str(error)


def test_copies_that_cannot_be_removed_are_left(state: Path) -> None:
    answers = iter((b'{"kind":"ok","size":24}\n' + bytes(24), b'{"kind":"error","number":5}\n'))
    volume = replace(LocalPod(state).volume(), run=lambda _argv, _given, _limit: next(answers))
    with volume.opened() as found:
        found.discard_copies("copies")


def test_a_state_that_breaks_off_is_none(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_state, "_MOST_BYTES", 10_000)
    with LocalPod(state).volume().opened() as found, pytest.raises(OcmError) as caught:
        survey(found.walk(selection_of(state)), selection_of(state))
    assert caught.value.code == "state_too_large"


def test_whatever_a_pod_makes_of_it_is_a_state_or_refused(state: Path, tmp_path: Path) -> None:
    (state / "workspace/image").unlink()
    pod, selection = LocalPod(state), selection_of(state)
    with pod.started(argv_of("give_state.py")) as (source, write):
        write.write(request({"what": "all", "content": True, "skip": []}))
        write.flush()
        data = source.read()

    @given(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3))
    def bent(changes: list[tuple[int, int]]) -> None:
        told = bytearray(data)
        for place, value in changes:
            told[place] = value

        @contextlib.contextmanager
        def stream(_argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
            yield io.BytesIO(told), io.BytesIO()

        with (
            replace(pod.volume(), stream=stream, run=run).opened() as found,
            contextlib.suppress(OcmError, OSError),
        ):
            for entry, content in found.walk(selection):
                if entry.is_file:
                    with (
                        contextlib.suppress(Unreadable, TooLarge),
                        copied(content, pure(tmp_path), limit=2**20),
                    ):
                        pass

    answers = {b'"about"': b'{"kind":"ok","size":24}\n' + bytes(24), b'"names"': b'{"kind":"ok","size":0}\n'}

    def run(_argv: tuple[str, ...], asked: bytes, _limit: int) -> bytes:
        return next(answer for what, answer in answers.items() if what in asked)

    bent()


def test_one_that_is_left_early_holds_nobody_up(state: Path) -> None:
    with LocalPod(state).volume().opened() as found:
        walk: Walk = found.walk(selection_of(state))
        next(walk)
        walk.close()  # type: ignore[attr-defined]


def closing(found: AbstractContextManager[State]) -> State:
    with found as opened:
        return opened


def test_a_state_that_is_none_is_not_opened(state: Path) -> None:
    state.rename(state.with_name("elsewhere"))
    for volume in VOLUMES.values():
        with pytest.raises(OcmError) as caught:
            closing(volume(state).opened())
        assert caught.value.code == "state_unreadable"
