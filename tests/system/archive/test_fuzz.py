"""Archives that somebody bent: refused without a trace, or they come out as they went in."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from tests.archives import plain, pure, snapshot, tree, write_archive, write_compressed

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive import age
from openclaw_ocm.system.archive import reader as archive

if TYPE_CHECKING:
    from tests.archives import Tree

    from openclaw_ocm.system.archive.compression import Format
    from openclaw_ocm.system.archive.reader import Contents

    Extracted = tuple[Contents, dict[str, tuple[int, bytes | str | None]]]

pytestmark = pytest.mark.slow

IDENTITY, RECIPIENT = age.momentary()
MORE = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


def extracted(data: bytes) -> Extracted | None:
    """Return what comes out of an archive, None where it is refused: then nothing may be left."""
    with tempfile.TemporaryDirectory() as directory:
        path, into = Path(directory, "archive"), Path(directory, "out")
        path.write_bytes(data)
        try:
            contents = archive.extract(pure(path), pure(into), identities=[IDENTITY], free_bytes=2**30)
        except OcmError as refused:
            check_refusal(refused, Path(directory))
            return None
        return contents, snapshot(into)


def kept(found: Extracted | None) -> Extracted | None:
    """Return what was extracted without what its list tells besides: no checksum of its own covers that."""
    if found is None:
        return None
    contents, files = found
    told = msgspec.structs.replace(contents.manifest, left_out={}, notes=())
    return replace(contents, manifest=told), files


def check_refusal(error: OcmError, directory: Path) -> None:
    """Check that an archive was refused for what it is, and that nothing is left of it."""
    assert error.code == "archive_invalid"
    assert [one.name for one in directory.iterdir()] == ["archive"]


def archive_bytes(directory: Path, form: Format, *, encrypted: bool = False) -> bytes:
    path = write_archive(directory / "made", tree(directory), form=form)
    if encrypted:
        with path.open("rb") as source, (directory / "encrypted").open("wb") as target:
            age.encrypt(source, target, [RECIPIENT])
        path = directory / "encrypted"
    return path.read_bytes()


@pytest.fixture(scope="module", params=["gz", "zst", "gz.age"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    form: Format = "zst" if request.param == "zst" else "gz"
    return archive_bytes(tmp_path_factory.mktemp("whole"), form, encrypted=request.param.endswith(".age"))


@MORE
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused_or_does_nothing(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    bent = bytearray(whole)
    bent[at] ^= data.draw(st.integers(1, 255))
    assert extracted(bytes(bent)) in (None, extracted(whole))


@settings(MORE, max_examples=600)
@given(data=st.data())
def test_a_flipped_bit_below_the_compression_is_refused_or_does_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.getbasetemp()
    tar = plain(tree(directory))
    bent = bytearray(tar)
    bent[data.draw(st.integers(0, len(tar) - 1))] ^= data.draw(st.integers(1, 255))
    found, true = (
        kept(extracted(write_compressed(directory / "bent", bytes(one)).read_bytes())) for one in (bent, tar)
    )
    assert found in (None, true)


@pytest.mark.parametrize("form", ["gz", "zst", "tar"])
def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path, form: Format) -> None:
    noise = random.Random(1).randbytes(2**20)
    data = write_archive(tmp_path / "a", {**tree(tmp_path), "state/noise": noise}, form=form).read_bytes()
    assert extracted(data) is not None
    sizes = [*range(0, len(data), 2**16), *range(64), *(len(data) - n for n in range(1, 64))]
    assert [size for size in sizes if extracted(data[:size]) is not None] == []


NAMES = st.sampled_from(["a", "b", "c", "..", ".", "", "a-wal", "x" * 256, "\n", "\u00e4"])
# Where OpenClaw keeps its own, no link leads out.
OWN = ("state/state", "state/agents/a/agent", "state/credentials")
PATHS = st.tuples(st.sampled_from(["state", *OWN]), st.lists(NAMES, min_size=1, max_size=3)).map(
    lambda drawn: "/".join((drawn[0], *drawn[1]))
)
TARGETS = st.lists(NAMES, max_size=4).map("/".join) | st.sampled_from(["/etc/passwd", "../../x"])
CONTENTS = st.none() | TARGETS | st.binary(max_size=20) | st.just(b"SQLite format 3\0")


def place_of(path: Path) -> str:
    """Return where a path leads; in a circle nowhere, of which realpath makes anything."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return str(path)
    return os.path.realpath(path)


@settings(MORE, max_examples=600)
@given(st.lists(st.tuples(PATHS, CONTENTS), max_size=6))
@example([("state/b", "b//a")])
def test_whatever_comes_out_lies_within(members: list[tuple[str, bytes | str | None]]) -> None:
    there = ["state", "state/a", "state/a/b", "state/d", "state/d/a", "state/agents", "state/agents/a", *OWN]
    state: Tree = dict.fromkeys(there)
    state.update(sorted(members, key=lambda member: member[0]))
    with tempfile.TemporaryDirectory() as directory:
        outer = Path(directory)
        try:
            path = write_archive(outer / "archive", state)
        except UnicodeEncodeError:
            return
        into = outer / "out"
        try:
            archive.extract(pure(path), pure(into), free_bytes=2**30)
        except OcmError as refused:
            check_refusal(refused, outer)
            event("refused")
            return
        event("taken")
        assert sorted(one.name for one in outer.iterdir()) == ["archive", "out"]
        for found in into.rglob("*"):
            if os.path.commonpath([place_of(found), into / "state"]) != str(into / "state"):
                below = str(found.relative_to(into))
                assert found.is_symlink(), found
                assert below.count("/") > 1, found
                assert not below.startswith(OWN), found
        assert set(snapshot(into)) == set(state)
