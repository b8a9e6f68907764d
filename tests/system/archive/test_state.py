"""A state that comes as a stream, each file once, gives the archive that a walk of its directory gives."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import pytest
from tests.archives import pure, snapshot

from openclaw_ocm.core.backup.selection import Selection
from openclaw_ocm.system import workspaces
from openclaw_ocm.system.archive.state import Copies, StateStore, Survey, survey
from openclaw_ocm.system.archive.taking import Found, Reading, Unreadable, copied, judge
from openclaw_ocm.system.archive.writer import ArchiveWriter
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openclaw_ocm.core.backup.layout import Manifest
    from openclaw_ocm.system.archive.taking import Walk

PLENTY = 2**40
KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
LONG = os.urandom(300_000) + bytes(3_000_000) + os.urandom(70_000)


@dataclass
class Streamed:
    """A member of a stream: what was read of it is gone."""

    member: tarfile.TarInfo
    file: IO[bytes] | None

    def begin(self, size: int) -> bytes | None:
        file, self.file = self.file, None
        return None if file is None else file.read(size)

    def target(self) -> str | None:
        return self.member.linkname

    @contextlib.contextmanager
    def opened(self) -> Iterator[Reading | None]:
        file, self.file = self.file, None
        if file is None:
            yield None
            return
        size, mtime = self.member.size, int(self.member.mtime)
        pieces = self.pieces(file)
        yield Reading(size=size, mtime=mtime, mode=self.member.mode, pieces=pieces, is_steady=lambda: True)

    def pieces(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        position = 0
        while piece := file.read(2**17):
            yield position, piece
            position += len(piece)
        yield position, b""


def streamed(data: bytes, selection: Selection) -> Walk:
    """Yield what a tar of a state has, which cannot be gone back in."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        outside = "/"
        for member in tar:
            if member.name == "state" or member.name.startswith(outside):
                continue
            mode = KINDS[member.type] | member.mode
            reason = judge(member.name, mode, member.name.count("/"), selection)
            if reason is not None and member.isdir():
                outside = f"{member.name}/"
            size, mtime = member.size, int(member.mtime)
            found = Found(path=member.name, mode=mode, mtime=mtime, on_disk=size, reason=reason)
            yield found, Streamed(member, tar.extractfile(member) if member.isfile() else None)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make a state with all that a walk may meet."""
    state = tmp_path / "state"
    for folder in ("agents/main/agent", "cache/deep", "workspace/.git"):
        (state / folder).mkdir(parents=True)
    (state / "openclaw.json").write_text("{}")
    (state / "agents/main/agent/own.sqlite").write_bytes(b"SQLite format 3\0" + b"page" * 1000)
    (state / "cache/deep/remade").write_text("remade")
    (state / "cache.lock").write_text("temporary")
    (state / "workspace/image").write_bytes(LONG)
    (state / "workspace/run").write_text("#!/bin/sh")
    (state / "workspace/run").chmod(0o755)
    (state / "workspace/link").symlink_to("../openclaw.json")
    (state / "workspace/out").symlink_to("/etc/passwd")
    (state / "out").symlink_to("/etc/passwd")
    os.mkfifo(state / "workspace/pipe")
    return state


def tar_of(state: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.add(state, arcname="state")
    return out.getvalue()


def selection_of(state: Path) -> Selection:
    return Selection(state=pure(state), exclude=("run",), needed=frozenset({"state/openclaw.json"}))


def test_its_archive_and_what_is_told_are_those_of_the_directory(state: Path, tmp_path: Path) -> None:
    selection, data = selection_of(state), tar_of(state)

    def stored(walk: Walk) -> tuple[bytes, Manifest, list[tuple[str, str]]]:
        out: list[bytes] = []
        writer = ArchiveWriter(out.append)
        store = StateStore(writer, selection, Copies(), pure(tmp_path), PLENTY)
        store.store(walk, 0o700, lambda _bytes: None)
        manifest = writer.finish(left_out=store.told.left_out, notes=store.told.notes)
        return b"".join(out), manifest, store.told.paths

    with Directory(pure(state)).opened() as opened:
        expected = stored(opened.walk(selection))
    assert stored(streamed(data, selection)) == expected
    _archive, manifest, told = expected
    assert [member.path for member in manifest.members if member.real] == ["state/workspace/image"]
    assert told == [
        ("agents/main/agent/own.sqlite", "databases that were made meanwhile"),
        ("cache", "made anew by OpenClaw"),
        ("cache.lock", "temporary"),
        ("out", "links out of the state"),
        ("workspace/pipe", "sockets, pipes and devices"),
        ("workspace/run", "excluded by run"),
    ]


def test_what_there_is_of_it_is_what_the_directory_has(state: Path) -> None:
    selection = selection_of(state)

    def seen(found: Survey) -> tuple[object, ...]:
        return found.databases, found.files, found.told.paths, found.told.left_out, found.hollow

    with Directory(pure(state)).opened() as opened:
        expected = seen(survey(opened.walk(selection), selection))
    assert seen(survey(streamed(tar_of(state), selection), selection)) == expected
    assert expected[0] == ("state/agents/main/agent/own.sqlite",)


def test_its_workspaces_are_copied_as_those_of_the_directory(state: Path, tmp_path: Path) -> None:
    selection, told = Selection(state=pure(state)), []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        with Directory(pure(state)).opened() as opened:
            walks = [
                opened.walk(selection) if name == "one" else streamed(tar_of(state), selection)
                for _ in range(2)
            ]
            told.append(workspaces.survey_workspaces(walks[0], selection, PLENTY))
            workspaces.copy_workspaces(walks[1], selection, pure(tmp_path / name))
    assert snapshot(tmp_path / "other") == snapshot(tmp_path / "one")
    assert snapshot(tmp_path / "one")["workspace/run"] == (0o700, b"#!/bin/sh")
    assert told == [("left out of the workspace: 1 sockets, pipes and devices",)] * 2


@pytest.mark.parametrize("pieces", [((4, b"four"), (0, b"none"), (8, b"")), ((0, b"eight more"), (10, b""))])
def test_a_file_of_parts_that_are_not_its_own_cannot_be_read(
    tmp_path: Path, pieces: tuple[tuple[int, bytes], ...]
) -> None:
    class Bent(Streamed):
        def pieces(self, _file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
            yield from pieces

    member = tarfile.TarInfo("state/file")
    member.size = 8
    with (
        pytest.raises(Unreadable, match="its parts are not its own"),
        copied(Bent(member, io.BytesIO()), pure(tmp_path), limit=PLENTY),
    ):
        pass
