"""How an archive holds a file of holes: as GNU tar's sparse format 1.0 (info tar, "PAX 1, Sparse Files").

Its content begins with a map: the number of its parts, then the offset and the size of each, a line each and
filled up to a block. The parts follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.layout import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Parts = tuple[tuple[int, int], ...]
MAX_PARTS = 2**16
# The largest file of ext4 is this, less a block.
MAX_REAL = 2**44
_BLOCK = 512
_MAX_DIGITS = 15


def encode_map(parts: Parts, real: int) -> bytes:
    """Return the map of the parts of a file of that size, which tar takes from a last part of nothing."""
    parts = (*parts, (real, 0))
    text = "".join(
        f"{number}\n" for number in (len(parts), *(one for part in parts for one in part))
    ).encode()
    return text + bytes(-len(text) % _BLOCK)


def expand(content: Iterable[bytes], real: int) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of a file, in pieces with their offsets; raise `Refused` where they are none of one."""
    stream = _Stream(content)
    count = stream.number()
    if count > MAX_PARTS + 1 or real > MAX_REAL:
        raise Refused("it holds a file of more parts, or a larger one, than OCM makes")
    parts = [(stream.number(), stream.number()) for _ in range(count)]
    stream.fill()
    end = 0
    for offset, size in parts:
        if offset < end or offset + size > real:
            raise Refused("it holds a file whose parts are not its own")
        end = offset + size
        for piece in stream.take(size):
            yield offset, piece
            offset += len(piece)  # noqa: PLW2901 - where the next piece goes
    if stream.more():
        raise Refused("it holds a file with more than its parts")


class _Stream:
    """Content as numbers, a line each, and then as bytes."""

    def __init__(self, content: Iterable[bytes]) -> None:
        self._content = iter(content)
        self._buffer = b""
        self._read = 0

    def number(self) -> int:
        while b"\n" not in self._buffer and len(self._buffer) <= _MAX_DIGITS:
            self._buffer += self._next()
        digits, newline, _rest = self._buffer.partition(b"\n")
        if not newline or not digits.isdigit() or len(digits) > _MAX_DIGITS:
            raise Refused("it holds a file with a map that is none")
        self._skip(len(digits) + 1)
        return int(digits)

    def fill(self) -> None:
        for piece in self.take(-self._read % _BLOCK):
            if any(piece):
                raise Refused("it holds a file with a map that is none")

    def take(self, size: int) -> Iterator[bytes]:
        while size:
            self._buffer = self._buffer or self._next()
            piece = self._buffer[:size]
            self._skip(len(piece))
            size -= len(piece)
            yield piece

    def more(self) -> bool:
        return bool(self._buffer) or any(self._content)

    def _next(self) -> bytes:
        try:
            return next(self._content)
        except StopIteration:
            raise Refused("it holds a file that is cut off") from None

    def _skip(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self._read += count
