"""Layers and archives: the same bytes for the same content, and no more read of one than is reasonable."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.image.documents import Content, blob
from openclaw_ocm.core.image.entries import Entry, directory, file, link
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive.compression import _zstd
from openclaw_ocm.system.image.archive import image_in, write_archive
from openclaw_ocm.system.image.layer import write_layer
from openclaw_ocm.system.image.trees import entries_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.needs import Progress

CONTENT = Content(openclaw="2026.9.6", node="24.19.0", architecture="amd64")


def tree(root: Path, *, names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """Make a tree, its names in that order; times and modes differ from one to the next."""
    root.mkdir(parents=True)
    for name in names:
        (root / name).mkdir()
        (root / name / "file").write_text(name)
        (root / name / "program").write_text(f"#!{name}")
        (root / name / "program").chmod(0o700)
    (root / "link").symlink_to("nowhere")
    os.link(root / "a" / "file", root / "same")
    os.mkfifo(root / "pipe")
    return root


def build(root: Path, layout: Path, output: Path) -> str:
    entries = {**entries_of(PurePosixPath(root), lambda path: f"app/{path}"), "tmp": directory(0o1777)}
    said: list[Progress] = []
    layer = write_layer("app", entries, PurePosixPath(layout), said.append)
    assert (said[-1].done, said[-1].unit) == (said[-1].total, "bytes")
    return write_archive(PurePosixPath(layout), CONTENT, (layer,), PurePosixPath(output))


def test_the_same_tree_elsewhere_is_the_same_image(tmp_path: Path) -> None:
    before = os.umask(0o022)
    first = build(tree(tmp_path / "one"), tmp_path / "x", tmp_path / "one.tar")
    os.umask(0o077)
    other = tree(tmp_path / "deep" / "two", names=("c", "b", "a"))
    os.umask(before)
    os.utime(other / "a" / "file", (1, 1))
    second = build(other, tmp_path / "deep" / "y", tmp_path / "two.tar")
    assert first == second
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert image_in(PurePosixPath(tmp_path / "one.tar")) == (first, "localhost/ocm/openclaw:2026.9.6")
    (other / "a" / "file").write_text("b")
    assert build(other, tmp_path / "z", tmp_path / "three.tar") != first


def test_of_two_with_one_place_it_is_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir
    for folder in ("bin", "usr/bin", "usr/lib"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x").write_text(folder)

    def found(*, backwards: bool) -> str:
        @contextlib.contextmanager
        def scandir(path: Path) -> Iterator[list[os.DirEntry[str]]]:
            with listed(path) as entries:
                yield sorted(entries, key=lambda entry: entry.name, reverse=backwards)

        monkeypatch.setattr(os, "scandir", scandir)
        entry = entries_of(PurePosixPath(tmp_path), lambda path: path.rpartition("/")[2])["x"]
        monkeypatch.undo()
        return str(entry.content)

    assert found(backwards=False) == found(backwards=True)


def test_a_layer_names_nobody_and_no_time(tmp_path: Path) -> None:
    root = PurePosixPath(tree(tmp_path / "tree"))
    entries = {**entries_of(root, lambda path: None if path.startswith("b") else path), "x/y": file(b"z")}
    entries["home"] = directory(0o700, owner=1000)
    layer = write_layer("app", entries, PurePosixPath(tmp_path), lambda _progress: None)
    packed = (tmp_path / blob(layer.digest)).read_bytes()
    assert len(packed) == layer.size_bytes
    plain = _zstd().decompress(packed)
    assert len(plain) == layer.unpacked_bytes
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [
        *("a", "a/file", "a/program", "c", "c/file", "c/program", "home", "link", "same", "x", "x/y"),
    ]
    assert {(one.uname, one.gname, one.mtime) for one in members} == {("", "", 499162500)}
    modes = {one.name: (one.mode, one.uid) for one in members}
    assert modes["a"] == modes["a/program"] == (0o755, 0)
    assert modes["a/file"] == modes["same"] == (0o644, 0)
    assert modes["home"] == (0o700, 1000)
    assert next(one for one in members if one.name == "link").linkname == "nowhere"


def test_what_one_that_was_killed_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".one.tar.0123456789ab.ocm"
    other = tmp_path / ".two.tar.0123456789ab.ocm"
    left.touch()
    other.touch()
    build(tree(tmp_path / "tree"), tmp_path / "x", tmp_path / "one.tar")
    assert not left.exists()
    assert other.exists()


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "out" / "one.tar"
    output.parent.mkdir()
    build(tree(tmp_path / "tree"), tmp_path / "x", output)
    before = output.read_bytes()
    gone = Entry(mode=0o644, content=PurePosixPath("/nowhere"))
    with pytest.raises(FileNotFoundError):
        write_layer("app", {"a": gone, "b": link("a")}, PurePosixPath(tmp_path / "y"), lambda _told: None)
    layer = write_layer("app", {"a": file(b"")}, PurePosixPath(tmp_path / "z"), lambda _told: None)
    (tmp_path / "z" / blob(layer.digest)).unlink()
    with pytest.raises(FileNotFoundError):
        write_archive(PurePosixPath(tmp_path / "z"), CONTENT, (layer,), PurePosixPath(output))
    assert [path.name for path in output.parent.iterdir()] == ["one.tar"]
    assert output.read_bytes() == before


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "text", "other", "many"])
def test_what_is_no_image_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.tar"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "text":
        path.write_text("no tar" * 1000)
    elif kind in ("other", "many"):
        with tarfile.open(path, "w") as tar:
            for number in range(1100 if kind == "many" else 3):
                tar.addfile(tarfile.TarInfo(str(number)))
            data = b'{"manifests": [{"digest": "d", "annotations": {"a": "b"}}]}'
            last = tarfile.TarInfo("index.json")
            last.size = len(data)
            tar.addfile(last, io.BytesIO(data))
    with pytest.raises(OcmError) as caught:
        image_in(PurePosixPath(path))
    assert caught.value.code == ("image_missing" if kind == "missing" else "image_unusable")
    assert caught.value.hint == "ocm image build makes one"
