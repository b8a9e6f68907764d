"""Compressed and encrypted files as streams: told apart by how they begin, read no further than allowed."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
import tarfile
import tempfile
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, Literal

from openclaw_ocm.core.backup.layout import Refused
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.archive import age

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import PurePosixPath

Format = Literal["gz", "zst", "tar"]

CHUNK = 2**16
# What is compressed at once, and how much of it may wait for that.
_PART = 2**18
_PARTS = 8
# As it is kept in a repository, where what archives share is told by their content.
_USTAR, _USTAR_AT = b"ustar", 257
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 6
# What a decompressor may be made to hold: 8 MB, what zstd needs up to level 19.
_ZSTD_WINDOW = 23
# An archive expands at the most by this much, or to this size where that is more: no state does by itself.
_RATIO = 500
_ALWAYS = 256 * 2**20
# Far more than a header takes, however it is compressed.
_BEGINNING = 2**20


class Source:
    """Gives what a stream of chunks holds in the sizes that are asked for, up to `limit` bytes in all."""

    def __init__(self, chunks: Iterator[bytes], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._taken = 0
        self._buffer = b""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only where no more come; raise `Refused` past the limit."""
        parts, wanted = [], size
        while wanted:
            if not self._buffer:
                self._buffer = next(self._chunks, b"")
                if not self._buffer:
                    break
            parts.append(self._buffer[:wanted])
            self._buffer = self._buffer[wanted:]
            wanted -= len(parts[-1])
        self._taken += size - wanted
        self.expect(0)
        return b"".join(parts)

    def expect(self, size: int) -> None:
        """Raise `Refused` where `size` bytes more are past the limit."""
        if self._taken + size > self._limit:
            raise Refused(f"it expands to more than {_RATIO} times its size")


@contextlib.contextmanager
def open_source(
    archive: PurePosixPath,
    identities: Sequence[object],
    progress: Callable[[int], None],
    spool: PurePosixPath | None,
) -> Iterator[Source]:
    """Open an archive and yield what it holds; `progress` is told the compressed bytes that were read.

    What is encrypted is decrypted into a file without a name in the directory `spool`, and for None no more
    of it than its beginning, in memory. Raises `OcmError`
    where there is no such file or no identity is given for it, and `Refused`.
    """
    with _open_file(archive) as given, _decrypted(given, archive, identities, spool) as file:
        magic = file.read(tarfile.BLOCKSIZE)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)

        def counted(count: int) -> bytes:
            data: bytes = file.read(count)
            progress(len(data))
            return data

        if magic.startswith(_GZIP):
            chunks = _gunzip(counted)
        elif magic.startswith(_ZSTD):
            chunks = _unzstd(counted)
        elif magic[_USTAR_AT:].startswith(_USTAR):
            chunks = iter(lambda: counted(CHUNK), b"")
        else:
            raise Refused("it is neither a tar, gzip, zstd nor age")
        yield Source(chunks, max(_ALWAYS, size * _RATIO))


@contextlib.contextmanager
def _open_file(path: PurePosixPath) -> Iterator[IO[bytes]]:
    # Not to wait for the writer of a named pipe.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise OcmError(message, hint="name a file that is yours", code="archive_missing") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OcmError(f"{path} is no file", code="archive_invalid")
        yield file


@contextlib.contextmanager
def _decrypted(
    file: IO[bytes], archive: PurePosixPath, identities: Sequence[object], spool: PurePosixPath | None
) -> Iterator[IO[bytes]]:
    """Yield the file itself, or what is encrypted in it."""
    begin = file.read(len(age.MAGIC))
    file.seek(0)
    if begin != age.MAGIC:
        yield file
        return
    if not identities:
        message = f"{archive} is encrypted"
        raise OcmError(message, hint="--identity names the file with its key", code="identity_missing")
    if spool is None:
        yield io.BytesIO(age.decrypt_beginning(file, identities, _BEGINNING))
        return
    with tempfile.TemporaryFile(dir=spool) as plain:
        age.decrypt(file, plain, identities)
        plain.seek(0)
        yield plain


def _gunzip(read: Callable[[int], bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj(wbits=_GZIP_WINDOW)
    while not engine.eof:
        data = engine.unconsumed_tail or read(CHUNK)
        try:
            out = engine.decompress(data, CHUNK)
        except zlib.error:
            raise Refused("its compressed data is damaged") from None
        if not data and not out:
            raise Refused("it is cut off")
        if out:
            yield out
    if engine.unused_data or read(1):
        raise Refused("something follows its end")


def _unzstd(read: Callable[[int], bytes]) -> Iterator[bytes]:
    zstd = _zstd()
    engine = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})
    while not engine.eof:
        data = read(CHUNK) if engine.needs_input else b""
        if engine.needs_input and not data:
            raise Refused("it is cut off")
        try:
            out = engine.decompress(data, CHUNK)
        except zstd.ZstdError:
            raise Refused("its compressed data is damaged") from None
        if out:
            yield out
    if engine.unused_data or read(1):
        raise Refused("something follows its end")


class Target:
    """Compresses what is written to it into a file; the same bytes for the same content.

    A thread of its own does so, for neither reading nor hashing is to wait for it.
    """

    def __init__(self, file: IO[bytes], form: Format) -> None:
        self._file = file
        self._part = bytearray()
        self._thread = ThreadPoolExecutor(1)
        self._parts: deque[Future[None]] = deque()
        self._engine: Any
        if form == "gz":
            # zlib writes the header itself: without a name and without a time.
            self._engine = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)
            self._last: tuple[Any, ...] = ()
        elif form == "tar":
            self._engine, self._last = _Plain(), ()
        else:
            zstd = _zstd()
            parameter = zstd.CompressionParameter
            options = {parameter.compression_level: _ZSTD_LEVEL, parameter.checksum_flag: 1}
            self._engine = zstd.ZstdCompressor(options=options)
            self._last = (zstd.ZstdCompressor.FLUSH_FRAME,)

    def write(self, data: bytes) -> None:
        """Add content; raise what kept some of before from being written."""
        self._part += data
        if len(self._part) >= _PART:
            self._hand_over()
            if len(self._parts) > _PARTS:
                self._parts.popleft().result()

    def finish(self) -> None:
        """Write what is still held back, and the end."""
        self._hand_over()
        for part in self._parts:
            part.result()
        self._thread.shutdown()
        self._file.write(self._engine.flush(*self._last))

    def _hand_over(self) -> None:
        self._parts.append(self._thread.submit(self._compress, bytes(self._part)))
        self._part.clear()

    def _compress(self, data: bytes) -> None:
        self._file.write(self._engine.compress(data))


class _Plain:
    """Compresses nothing."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _zstd() -> Any:  # noqa: ANN401 - one of two modules of the same shape
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
