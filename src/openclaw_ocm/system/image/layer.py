"""Writes a layer: a tar of its entries, compressed, whose bytes depend on nothing but these."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from openclaw_ocm.core.image.documents import Layer, blob
from openclaw_ocm.core.image.entries import MOMENT, Entry, whole
from openclaw_ocm.core.needs import Progress
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.compression import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.system.machine.fetch import Report

_TOLD_BYTES = 2**22


def write_layer(name: str, entries: Mapping[str, Entry], layout: PurePosixPath, report: Report) -> Layer:
    """Write a layer among the blobs of a layout, under the name of its digest; how far it is, is reported."""
    beside = layout / f"{name}.layer"
    files.make_directory(layout / "blobs" / "sha256")
    ordered = whole(entries)
    told = _Told(name, sum(map(_size, ordered.values())), report)
    with Path(beside).open("wb") as file:
        packed = _Measured(file)
        target = Target(cast("IO[bytes]", packed), "zst")
        plain = _Measured(target)
        try:
            # As a stream: nothing is written twice.
            with tarfile.open(fileobj=cast("Any", plain), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path, entry in ordered.items():
                    _add(tar, path, entry)
                    told.more(_size(entry))
        finally:
            target.finish()
    layer = Layer(
        name=name,
        digest=packed.digest,
        size_bytes=packed.size,
        unpacked_digest=plain.digest,
        unpacked_bytes=plain.size,
    )
    Path(beside).rename(layout / blob(layer.digest))
    return layer


class _Measured:
    """Passes on what is written to it, and keeps its size and digest."""

    def __init__(self, target: Any) -> None:  # noqa: ANN401 - a file, or what compresses into one
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class _Told:
    """Reports every few megabytes how much of a layer is written."""

    def __init__(self, name: str, total: int, report: Report) -> None:
        self._name = name
        self._total = total
        self._report = report
        self._done = self._said = 0
        self._tell()

    def more(self, size: int) -> None:
        self._done += size
        if self._done - self._said > _TOLD_BYTES or self._done == self._total:
            self._tell()

    def _tell(self) -> None:
        self._said = self._done
        self._report(
            Progress(what=f"pack {self._name}", done=self._done, total=self._total, unit="bytes"),
        )


def _size(entry: Entry) -> int:
    if isinstance(entry.content, PurePosixPath):
        return os.stat(entry.content, follow_symlinks=False).st_size  # noqa: PTH116 - a pure path
    return len(entry.content or b"")


def _add(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    made = tarfile.TarInfo(path)
    made.mode, made.mtime, made.uid, made.gid = entry.mode, MOMENT, entry.owner, entry.owner
    if entry.target is not None:
        made.type, made.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(made)
    elif entry.content is None:
        made.type = tarfile.DIRTYPE
        tar.addfile(made)
    elif isinstance(entry.content, bytes):
        made.size = len(entry.content)
        tar.addfile(made, io.BytesIO(entry.content))
    else:
        with Path(entry.content).open("rb") as file:
            made.size = os.fstat(file.fileno()).st_size
            tar.addfile(made, file)
