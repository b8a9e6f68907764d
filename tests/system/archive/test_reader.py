"""Archives that are true come out whole; those that are not are refused in one sentence and leave nothing."""

from __future__ import annotations

import io
import os
import resource
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.archives import (
    HEADER,
    INHERITED,
    RECORD,
    SECRET,
    database_bytes,
    plain,
    pure,
    raw_tar,
    snapshot,
    tree,
    write_archive,
    write_compressed,
)

from openclaw_ocm.core.backup.holes import encode_map
from openclaw_ocm.core.backup.layout import MANIFEST, Header
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive import age
from openclaw_ocm.system.archive import reader as archive
from openclaw_ocm.system.archive.compression import Target
from openclaw_ocm.system.archive.members import Member, encode_member, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.archives import Tree

    from openclaw_ocm.system.archive.compression import Format
    from openclaw_ocm.system.archive.reader import Contents
    from openclaw_ocm.system.archive.writer import ArchiveWriter

PLENTY = 2**32


def extract(
    path: Path,
    *,
    identities: Sequence[object] = (),
    free_bytes: int = PLENTY,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Contents:
    into = pure(path.parent / "out")
    return archive.extract(pure(path), into, identities=identities, free_bytes=free_bytes, progress=progress)


def refused(path: Path, *, identities: Sequence[object] = ()) -> str:
    """Return the sentence with which an archive is refused, by both who read it; nothing of it is left."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(OcmError) as by_verify:
        archive.verify(pure(path), pure(path.parent / "scratch"), identities=identities)
    with pytest.raises(OcmError) as error:
        extract(path, identities=identities)
    assert error.value.code == "archive_invalid"
    assert str(by_verify.value) == str(error.value)
    assert sorted(path.parent.iterdir()) == before
    message = error.value.message
    assert message.startswith(f"{path} is no backup that can be used: ")
    assert "\n" not in message
    return message.partition("used: ")[2]


@pytest.mark.parametrize("form", ["gz", "zst", "tar"])
def test_an_archive_comes_out_as_it_went_in(tmp_path: Path, form: Format) -> None:
    state = tree(tmp_path)
    path = write_archive(tmp_path / "any name", state, form=form)
    read: list[int] = []
    contents = extract(path, progress=read.append)
    modes = {None: 0o700, str: 0o777, bytes: 0o600}
    expected = {
        name: (modes[None if content is None else type(content)], content) for name, content in state.items()
    }
    assert snapshot(tmp_path / "out") == expected
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out/state/openclaw.json").stat().st_mtime == 1_700_000_000
    assert (contents.header, contents.secrets, contents.inherited) == (HEADER, SECRET, INHERITED)
    assert contents.record == RECORD.decode()
    assert contents.manifest.databases == ("state/state/openclaw.sqlite",)
    assert contents.manifest.left_out == {"temporary": 2}
    assert sum(read) == path.stat().st_size
    assert "PLANTED" not in repr(contents)
    assert archive.verify(pure(path), pure(tmp_path / "scratch")) == contents
    assert not (tmp_path / "scratch").exists()
    assert archive.read_header(pure(path)) == HEADER


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_the_same_gives_the_same_bytes(tmp_path: Path, form: Format) -> None:
    state = tree(tmp_path)
    one, two = (write_archive(tmp_path / name, state, form=form).read_bytes() for name in ("one", "two"))
    assert one == two


def test_secrets_and_what_was_inherited_need_not_be_there(tmp_path: Path) -> None:
    contents = extract(write_archive(tmp_path / "a", tree(tmp_path), secrets=None, inherited=None))
    assert (contents.secrets, contents.inherited) == (None, None)


def test_an_encrypted_archive_is_opened_by_its_identity_only(tmp_path: Path) -> None:
    state = tree(tmp_path)
    open_one = write_archive(tmp_path / "open", state)
    identity, recipient = age.momentary()
    encrypted = tmp_path / "a"
    with open_one.open("rb") as source, encrypted.open("wb") as target:
        age.encrypt(source, target, [recipient])
    assert b"worker1" not in encrypted.read_bytes()
    with pytest.raises(OcmError, match="is encrypted") as error:
        extract(encrypted)
    assert error.value.code == "identity_missing"
    other, _ = age.momentary()
    assert "does not open it" in refused(encrypted, identities=[other])
    data = encrypted.read_bytes()
    for bad in (data[:-1], data + b"x", data[:300] + bytes([data[300] ^ 1]) + data[301:], data[:40]):
        encrypted.write_bytes(bad)
        refused(encrypted, identities=[identity])
    encrypted.write_bytes(data)
    assert extract(encrypted, identities=[other, identity]) == archive.verify(
        pure(open_one), pure(tmp_path / "scratch")
    )


def test_modes_keep_what_they_give_the_owner(tmp_path: Path) -> None:
    members = bent(tmp_path, mode=0o6755, names={"state/openclaw.json", "state/workspace"})
    extract(write_compressed(tmp_path / "a", members))
    for name in ("openclaw.json", "workspace"):
        assert (tmp_path / "out/state" / name).stat().st_mode & 0o7777 == 0o700


def test_a_closed_directory_comes_out_closed_and_full(tmp_path: Path) -> None:
    members = bent(tmp_path, mode=0o500, names={"state", "state/workspace"})
    extract(write_compressed(tmp_path / "a", members))
    assert (tmp_path / "out/state").stat().st_mode & 0o7777 == 0o500
    assert (tmp_path / "out/state/workspace/NOTES.md").exists()


def bent(directory: Path, *, mode: int, names: set[str]) -> bytes:
    """Return the tar of an archive whose members of those names have that mode, in the manifest too."""
    members = list(split(plain(tree(directory))))
    manifest = msgspec.json.decode(members.pop()[1])
    for entry in manifest["members"]:
        if entry["path"] in names:
            entry["mode"] = mode & 0o700
    changed = [(header(info, mode if info.name in names else info.mode), data) for info, data in members]
    data = msgspec.json.encode(manifest)
    return raw_tar([*changed, (Member(path=MANIFEST, kind="file", mode=0o600, size=len(data)), data)])


def split(data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (info, (tar.extractfile(info) or io.BytesIO()).read() if info.isreg() else b"") for info in tar
        ]


def header(info: tarfile.TarInfo, mode: int) -> Member:
    kind: Any = "directory" if info.isdir() else "link" if info.issym() else "file"
    return Member(path=info.name, kind=kind, mode=mode, size=info.size, target=info.linkname)


HOSTILE: dict[str, tuple[Tree, str]] = {
    "traversal": ({"state/../../x": b"x"}, "path that is not its own"),
    "absolute": ({"/etc/x": b"x"}, "absolute or empty path"),
    "absolute in the state": ({"state//etc/x": b"x"}, "absolute or empty path"),
    "escape": ({"state/\x1b[2J": b"x"}, "no plain text"),
    "long name": ({"state/" + "x" * 256: b"x"}, "too long a name"),
    "deep": ({"state" + "/d" * 2100: b"x"}, "too long a path"),
    "link out": ({"state/l": "../x"}, "leads out of the state"),
    "absolute link": ({"state/l": "/etc/shadow"}, "leads out of the state"),
    "link through a link": ({"state/l": "workspace/../../x"}, "leads out of the state"),
    "link to another's databases": ({"state/state/l": "/home/ann/.openclaw/state"}, "leads out of the state"),
    "link of an agent's": ({"state/agents": None, "state/agents/main": "/etc"}, "leads out of the state"),
    "below a link": ({"state/l": "workspace", "state/l/x": b"x"}, "below what is no directory"),
    "below a file": ({"state/openclaw.json/x": b"x"}, "below what is no directory"),
    "twice": ({"state/twice": b"x"}, "is in it twice"),
    "outside": ({"elsewhere": b"x"}, "is no part of a backup"),
    "no directory": ({"state/none/x": b"x"}, "is no part of a backup"),
    "state again": ({"state": b"x"}, "is in it twice"),
    "wal": ({"state/state/openclaw.sqlite-wal": b"x"}, "would change a database"),
    "journal": ({"state/state/openclaw.sqlite-journal": b"x"}, "would change a database"),
    "damaged database": ({"state/d.sqlite": b"SQLite format 3\0" + b"x" * 5000}, "d.sqlite is damaged"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_is_refused(tmp_path: Path, what: str) -> None:
    more, sentence = HOSTILE[what]
    more = {"state/twice": b"x", **more} if what != "twice" else more
    state = {**tree(tmp_path), **({} if what == "state again" else more)}
    path = write_archive(tmp_path / "a", state)
    if what in ("twice", "state again"):
        data = plain(state)
        extra = Member(path=next(iter(more)) if what == "twice" else "state", kind="file", mode=0o600, size=1)
        at = data.index(encode_member(Member(path=MANIFEST, kind="file", mode=0o600))[:100])
        write_compressed(path, data[:at] + encode_member(extra) + b"x" + padding(1) + data[at:])
    assert sentence in refused(path)


def with_holes(to: Path, path: str, content: bytes, real: int) -> Path:
    """Write an archive with a file of holes."""
    state = tree(to.parent)
    state.pop(path, None)

    def added(writer: ArchiveWriter) -> None:
        member = Member(path=path, kind="file", mode=0o600, size=len(content), real=real)
        writer.file(member, [content], "file")

    return write_archive(to, state, more=added)


def test_a_file_of_holes_is_read_and_takes_no_room(tmp_path: Path) -> None:
    content = encode_map(((2**32, 5),), 2**33) + b"bytes"
    path = with_holes(tmp_path / "a", "state/workspace/disk.img", content, 2**33)
    extract(path)
    found = tmp_path / "out/state/workspace/disk.img"
    assert (found.stat().st_size, found.stat().st_blocks < 100) == (2**33, True)
    with found.open("rb") as file:
        file.seek(2**32 - 1)
        assert file.read(7) == b"\0bytes\0"
    assert archive.verify(pure(path), pure(tmp_path / "scratch")).manifest.members[-1].real == 2**33


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("state/state/openclaw.sqlite", encode_map((), 2**20), "has holes, which none has"),
        ("state/openclaw.json", encode_map((), 2**20), "has holes, which none has"),
        ("state/workspace/x", b"rubbish\n", "a map that is none"),
        ("state/workspace/x", encode_map(((2**20, 9),), 2**20) + b"x" * 9, "parts are not its own"),
    ],
)
def test_a_file_of_holes_that_is_none_is_refused(tmp_path: Path, path: str, content: bytes, why: str) -> None:
    assert why in refused(with_holes(tmp_path / "a", path, content, 2**20))


def test_a_file_of_holes_takes_no_more_of_the_disk_than_it_may(tmp_path: Path) -> None:
    # A page of the disk for each byte, and next to nothing in the archive.
    parts = tuple((2 * 4096 * number, 1) for number in range(1000))
    content = encode_map(parts, 2**23) + b"x" * len(parts)
    path = with_holes(tmp_path / "a", "state/workspace/disk.img", content, 2**23)
    with pytest.raises(OcmError, match="more than is free on the disk") as caught:
        archive.extract(pure(path), pure(tmp_path / "out"), free_bytes=2**20)
    assert caught.value.code == "no_space"
    assert not (tmp_path / "out").exists()
    archive.extract(pure(path), pure(tmp_path / "out"), free_bytes=2**23)


@pytest.mark.parametrize("real", ["0" * 20 + "9" * 5000, "9" * 5000, str(2**44 + 1), "-1"])
def test_a_file_of_holes_has_a_size_that_can_be(tmp_path: Path, real: str) -> None:
    info = tarfile.TarInfo("state/workspace/x")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "state/workspace/x",
        "GNU.sparse.realsize": real,
    }
    data = plain(tree(tmp_path))
    at = data.index(b"state/openclaw.json\0")
    write_compressed(tmp_path / "a", data[:at] + info.tobuf(tarfile.PAX_FORMAT) + data[at:])
    assert "a header in it is not OCM's" in refused(tmp_path / "a")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.XGLTYPE,
        tarfile.AREGTYPE,
        b"?",
    ],
)
def test_what_is_no_file_directory_or_symbolic_link_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("state/strange")
    info.type, info.linkname, info.mode = kind, "state/openclaw.json", 0o600
    data = plain(tree(tmp_path))
    at = data.index(b"state/openclaw.json\0")
    write_compressed(tmp_path / "a", data[:at] + info.tobuf(tarfile.USTAR_FORMAT) + data[at:])
    assert "neither a file, a directory nor a symbolic link" in refused(tmp_path / "a")


@pytest.mark.parametrize(
    "records",
    [
        b"20 GNU.sparse.size=1\n",
        b"11 path=ab\nx",
        b"999999 path=x\n",
        b"0 path=x\n",
        b"x",
        b"13 path=\xff\xfe\xfd\xfc\n",
        b"11 path=ab\n11 path=ab\n",
        b"10 size=x\n",
        b"11 size=-1\n",
        b"9 path=\n",
        b"18 mtime=99999999\n",
    ],
)
def test_an_extended_header_that_is_not_ours_is_refused(tmp_path: Path, records: bytes) -> None:
    data = plain(tree(tmp_path))
    at = data.index(b"state/openclaw.json\0")
    write_compressed(tmp_path / "a", data[:at] + extended(records) + data[at:])
    refused(tmp_path / "a")


def extended(records: bytes) -> bytes:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + padding(len(records))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 2**33 - 1
    write_compressed(tmp_path / "a", info.tobuf(tarfile.USTAR_FORMAT) + bytes(10_000_000))
    assert "too large" in refused(tmp_path / "a")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"", b"\x1f\x8b", b"hello", os.urandom(3000), plain(tree(tmp_path))[:-1]):
        path.write_bytes(data)
        refused(path)
    write_compressed(path, b"")
    assert "cut off" in refused(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    for path in (tmp_path / "a", tmp_path):
        with pytest.raises((OcmError, IsADirectoryError)):
            archive.verify(pure(path), pure(tmp_path / "scratch"))
    with pytest.raises(OcmError, match="there is no file"):
        archive.verify(pure(tmp_path / "none"), pure(tmp_path / "scratch"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_what_follows_the_end_is_refused(tmp_path: Path, form: Format) -> None:
    path = write_archive(tmp_path / "a", tree(tmp_path), form=form)
    whole = path.read_bytes()
    for more in (b"x", b"\0", whole):
        path.write_bytes(whole + more)
        assert "something follows its end" in refused(path)
    data = plain(tree(tmp_path))
    for more in (b"x", bytes(511), bytes(512) * 20, bytes(511) + b"x"):
        write_compressed(path, data + more, form)
        assert "at its end" in refused(path)
    write_compressed(path, data + bytes(512), form)
    extract(path)


def test_a_record_or_manifest_that_cannot_be_is_refused(tmp_path: Path) -> None:
    assert "no text" in refused(write_archive(tmp_path / "a", tree(tmp_path), record=b"\xff"))
    big = write_archive(tmp_path / "a", tree(tmp_path), record=os.urandom(2**20 + 1))
    assert "record.toml is larger" in refused(big)
    data = plain(tree(tmp_path))
    assert "manifest.json is damaged" in refused(
        write_compressed(tmp_path / "a", data.replace(b'"members"', b'"numbers"'))
    )
    assert "not what the manifest says" in refused(
        write_compressed(tmp_path / "a", data.replace(b"remember", b"forgetit", 1))
    )
    assert "a header in it is damaged" in refused(
        write_compressed(tmp_path / "a", data.replace(b"NOTES.md\0", b"NOTED.md\0", 1))
    )


def told(directory: Path, **words: object) -> Path:
    """Return an archive whose manifest tells that as well."""
    members = list(split(plain(tree(directory))))
    data = msgspec.json.encode(msgspec.json.decode(members.pop()[1]) | words)
    kept = [(header(info, info.mode), content) for info, content in members]
    manifest = Member(path=MANIFEST, kind="file", mode=0o600, size=len(data))
    return write_compressed(directory / "a", raw_tar([*kept, (manifest, data)]))


def test_a_manifest_that_tells_without_an_end_is_refused_before_it_is_held(tmp_path: Path) -> None:
    """As notes of no text, each of which takes more in memory than in the archive."""
    extract(told(tmp_path, notes=["a note" * 600] * 51, left_out=dict.fromkeys("abcdefghij", 3)))
    shutil.rmtree(tmp_path / "out")
    assert "is damaged" in refused(told(tmp_path, notes=[""] * 101))
    assert "is damaged" in refused(told(tmp_path, left_out=dict.fromkeys(map(str, range(101)), 1)))
    assert "manifest.json is larger" in refused(told(tmp_path, notes=[""] * 1_000_000))
    assert "manifest.json is larger" in refused(told(tmp_path, notes=["long" * 2**20]))


def test_an_archive_without_manifest_or_cut_off_is_refused(tmp_path: Path) -> None:
    data = plain(tree(tmp_path))
    at = data.index(b"manifest.json\0")
    assert "no manifest" in refused(write_compressed(tmp_path / "a", data[:at] + bytes(1024)))
    for size in (at, at + 600, len(data) - 1024, len(data) - 600):
        refused(write_compressed(tmp_path / "a", data[:size]))
    moved = data[:-1024] + encode_member(Member(path="state/late", kind="file", mode=0o600)) + bytes(1024)
    assert "after the manifest" in refused(write_compressed(tmp_path / "a", moved))


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_gigabyte_of_zeros_is_refused_before_it_is_written(tmp_path: Path, form: Format) -> None:
    data = plain(tree(tmp_path))
    at = data.index(b"state/openclaw.json\0")
    path = tmp_path / "a"
    with path.open("wb") as file:
        target = Target(file, form)
        target.write(data[:at] + encode_member(Member(path="state/big", kind="file", mode=0o600, size=2**30)))
        for _ in range(2**10):
            target.write(bytes(2**20))
        target.finish()
    written: list[int] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "expands to more than" in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    with pytest.raises(OcmError):
        extract(path, progress=written.append)
    assert sum(written) < 2**20


def test_what_is_more_than_is_free_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_archive(tmp_path / "a", tree(tmp_path))
    with pytest.raises(OcmError, match="more than is free") as caught:
        extract(path, free_bytes=10_000)
    assert caught.value.code == "no_space"
    assert not (tmp_path / "out").exists()
    assert archive.free_bytes(pure(tmp_path)) > 0
    monkeypatch.setattr(archive, "free_bytes", lambda _directory: 10)
    with pytest.raises(OcmError, match="more than is free"):
        archive.verify(pure(path), pure(tmp_path / "scratch"))
    assert not (tmp_path / "scratch").exists()


def test_a_directory_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", tree(tmp_path))
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        extract(path)
    assert (tmp_path / "out").is_dir()


def test_a_database_is_read_with_nothing_beside_it(tmp_path: Path) -> None:
    """A `-wal` that is archived as a file beside what is no database to the manifest changes nothing."""
    state = {**tree(tmp_path), "state/workspace/x.sqlite": database_bytes(tmp_path, 500)}
    contents = extract(write_archive(tmp_path / "a", state))
    assert "state/workspace/x.sqlite" in contents.manifest.databases


def test_a_header_is_told_without_the_rest(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", tree(tmp_path))
    path.write_bytes(path.read_bytes()[:-200])
    assert isinstance(archive.read_header(pure(path)), Header)
    write_compressed(path, plain(tree(tmp_path))[2048:])
    with pytest.raises(OcmError, match="can be used"):
        archive.read_header(pure(path))
