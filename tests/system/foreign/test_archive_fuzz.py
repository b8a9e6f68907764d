"""Foreign archives that somebody bent: refused in a sentence and without a trace, or a state comes out."""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from tests.archives import pure
from tests.system.foreign.test_archive import REAL, STATE, member, packed, state_of

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.foreign.archive import look, unpack

pytestmark = pytest.mark.slow
MORE = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = {version: zlib.decompress(path.read_bytes(), wbits=31) for version, path in REAL.items()}


def taken(data: bytes) -> bool:
    """Tell whether a state comes out of an archive; of what is refused nothing may be left."""
    with tempfile.TemporaryDirectory() as directory:
        path, into = Path(directory, "archive"), Path(directory, "out")
        path.write_bytes(data)
        try:
            unpack(pure(path), look(pure(path)), pure(into), free_bytes=2**28)
        except OcmError as refused:
            check_refusal(refused, Path(directory))
            return False
        assert sorted(one.name for one in Path(directory).iterdir()) == ["archive", "out"]
        assert [one.name for one in into.iterdir()] == ["state"]
        assert (into / "state" / "openclaw.json").is_file()
        assert not (into / "state" / "openclaw.json").is_symlink()
        return True


def check_refusal(error: OcmError, directory: Path) -> None:
    assert error.code in ("archive_invalid", "no_space")
    assert error.message.isprintable()
    assert [one.name for one in directory.iterdir()] == ["archive"]


@pytest.mark.parametrize("version", WHOLE)
@MORE
@given(data=st.data())
def test_bytes_that_are_bent(version: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[version])
    # What is told of members, of which there are more bytes than headers.
    headers = [at for at in range(0, len(whole), 512) if whole[at + 257 : at + 262] == b"ustar"]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(headers)) + data.draw(st.integers(0, 1000))
        whole[min(at, len(whole) - 1)] = data.draw(st.integers(0, 255))
    event(str(taken(_summed(bytes(whole)) if data.draw(st.booleans()) else bytes(whole))))


def _summed(whole: bytes) -> bytes:
    """Return a tar in which each header has its right sum, whatever it says."""
    out = bytearray(whole)
    for at in range(0, len(whole) - 511, 512):
        if whole[at + 257 : at + 262] == b"ustar":
            block = bytearray(out[at : at + 512])
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            out[at : at + 512] = block
    return bytes(out)


NAMES = st.one_of(
    st.sampled_from(
        [
            "openclaw.json",
            "state/openclaw.sqlite",
            "workspace/x",
            ".env",
            "../x",
            "/x",
            ".",
            "",
            "a//b",
            "./a/./b",
        ]
    ),
    st.text(max_size=30),
    st.binary(max_size=20).map(lambda data: data.decode(errors="surrogateescape")),
)
KINDS = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        b"V",
    ]
)


@MORE
@given(
    found=st.lists(st.tuples(NAMES, KINDS, NAMES, st.binary(max_size=40)), max_size=6),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
@example(
    found=[("\udcff", tarfile.REGTYPE, "", b""), ("a\nb", tarfile.SYMTYPE, "x", b"")], form=tarfile.GNU_FORMAT
)
def test_members_of_any_name_and_kind(
    found: list[tuple[str, bytes, str, bytes]], form: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("made") / "archive"
    members = [
        member(f"{STATE}/{name}", None if kind == tarfile.DIRTYPE else content, kind=kind, target=target)
        for name, kind, target, content in found
    ]
    try:
        packed(path, *state_of(), *members, form=form)
    except (UnicodeError, ValueError):
        # A name that Python's own tar does not write.
        return
    event(str(taken(path.read_bytes())))
