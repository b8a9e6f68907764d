"""An image as one file: the tar of a layout of OCI's, as podman, skopeo and containerd read and write it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path, PurePosixPath

from openclaw_ocm.core.image import documents
from openclaw_ocm.core.image.documents import INDEX_NAME, LAYOUT, LAYOUT_NAME, Content, Layer, blob, digest
from openclaw_ocm.core.image.entries import DIRECTORY, FILE, MOMENT
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.half_written import remove_half_written

_MOST_MEMBERS, _MOST_BYTES = 1000, 2**20


def write_archive(
    layout: PurePosixPath, content: Content, layers: tuple[Layer, ...], output: PurePosixPath
) -> str:
    """Write an image, whose layers are blobs of `layout`, so that it is there whole or not at all.

    Returns the digest of its manifest.
    """
    config = documents.config(content, layers)
    manifest = documents.manifest(config, layers)
    blobs: dict[str, bytes | PurePosixPath] = {blob(digest(each)): each for each in (config, manifest)}
    blobs |= {blob(layer.digest): layout / blob(layer.digest) for layer in layers}
    beside = output.with_name(files.name_beside(output.name))
    remove_half_written(output)
    try:
        with Path(beside).open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            _add(tar, LAYOUT_NAME, LAYOUT)
            _add(tar, INDEX_NAME, documents.index(manifest, content))
            for name in ("blobs", "blobs/sha256"):
                _add(tar, name, None)
            for name, data in sorted(blobs.items()):
                _add(tar, name, data)
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        Path(beside).rename(output)
    except BaseException:
        files.remove_file(beside)
        raise
    files.keep_names(output.parent)
    return digest(manifest)


def _add(tar: tarfile.TarFile, name: str, data: bytes | PurePosixPath | None) -> None:
    made = tarfile.TarInfo(name)
    made.mtime = MOMENT
    if data is None:
        made.type, made.mode = tarfile.DIRTYPE, DIRECTORY
        tar.addfile(made)
        return
    made.mode = FILE
    if isinstance(data, bytes):
        made.size = len(data)
        tar.addfile(made, io.BytesIO(data))
        return
    with Path(data).open("rb") as file:
        made.size = os.fstat(file.fileno()).st_size
        tar.addfile(made, file)


def image_in(archive: PurePosixPath) -> tuple[str, str]:
    """Return digest and name of the image in an archive; raise `OcmError` where there is none, or several."""
    try:
        # Not to wait for the writer of a named pipe.
        descriptor = os.open(archive, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"there is no image {archive}: {error.strerror}"
        raise OcmError(message, hint="ocm image build makes one", code="image_missing") from None
    try:
        found = documents.parse_index(_index(descriptor))
    finally:
        os.close(descriptor)
    if found is None:
        message = f"{archive} is no archive of one image of OCI's with a name"
        raise OcmError(message, hint="ocm image build makes one", code="image_unusable")
    return found


def _index(descriptor: int) -> bytes:
    """Return what an archive has as its index, nothing where it has none that is of a reasonable size."""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for _number in range(_MOST_MEMBERS):
                member = tar.next()
                if member is None:
                    break
                if member.name.removeprefix("./") == INDEX_NAME and member.isfile():
                    opened = tar.extractfile(member)
                    return opened.read(_MOST_BYTES) if opened is not None else b""
    # The last three are what a made-up header does to tarfile.
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError):
        pass
    return b""
