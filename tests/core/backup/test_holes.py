"""Files of holes in an archive: what is written is read again, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.backup.holes import MAX_PARTS, MAX_REAL, Parts, encode_map, expand
from openclaw_ocm.core.backup.layout import Refused

GAPS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 2000)), max_size=40)


@given(GAPS, st.integers(1, 700))
def test_parts_come_back_in_whatever_pieces(gaps: list[tuple[int, int]], piece: int) -> None:
    parts, end = [], 0
    for gap, size in gaps:
        parts.append((end + gap, size))
        end += gap + size
    content = encode_map(tuple(parts), end + 9) + b"".join(b"x" * size for _offset, size in parts)
    found = bytearray(end + 9)
    for offset, chunk in expand((content[n : n + piece] for n in range(0, len(content), piece)), end + 9):
        found[offset : offset + len(chunk)] = chunk
    wanted = bytearray(end + 9)
    for offset, size in parts:
        wanted[offset : offset + size] = b"x" * size
    assert found == wanted


@pytest.mark.parametrize(
    ("parts", "real", "why"),
    [
        (((5, 5), (0, 5)), 100, "parts are not its own"),
        (((0, 5), (4, 1)), 100, "parts are not its own"),
        (((0, 101),), 100, "parts are not its own"),
        (((0, 5),), MAX_REAL + 1, "more parts, or a larger one"),
    ],
)
def test_parts_that_are_none_are_refused(parts: Parts, real: int, why: str) -> None:
    with pytest.raises(Refused, match=why):
        list(expand([encode_map(parts, real) + b"x" * 500], real))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cut off"),
        (b"x\n", "a map that is none"),
        (b"-1\n", "a map that is none"),
        (b"1" * 600, "a map that is none"),
        (b"1\n0\n5\n" + b"x" * 505, "a map that is none"),
        (encode_map(((0, 5),), 100) + b"xxx", "cut off"),
        (encode_map(((0, 5),), 100) + b"xxxxxx", "more than its parts"),
        (f"{MAX_PARTS + 2}\n".encode() + bytes(600), "more parts, or a larger one"),
    ],
)
def test_content_that_is_none_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        list(expand([content], 100))
