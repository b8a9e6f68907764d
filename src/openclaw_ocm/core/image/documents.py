"""The documents of an image as the Open Container Initiative has them (image-spec 1.1), byte for byte.

The same image has the same bytes: nothing tells when or where it was made.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm import __version__
from openclaw_ocm.core.image import contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LAYOUT_NAME, INDEX_NAME = "oci-layout", "index.json"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_OF_OCI = "application/vnd.oci.image"
INDEX, MANIFEST = f"{_OF_OCI}.index.v1+json", f"{_OF_OCI}.manifest.v1+json"
CONFIG, LAYER = f"{_OF_OCI}.config.v1+json", f"{_OF_OCI}.layer.v1.tar+zstd"
# No registry but one's own has it.
NAME = "localhost/ocm/openclaw"
REF_NAME = "org.opencontainers.image.ref.name"
# containerd takes the whole name from it, and else puts a date before the other.
_CONTAINERD_NAME = "io.containerd.image.name"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of an image: its digest and size, and those of what is compressed in it."""

    name: str
    digest: str
    size_bytes: int
    unpacked_digest: str
    unpacked_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an image has: versions, and for which machines it is."""

    openclaw: str
    node: str
    architecture: str


def digest(data: bytes) -> str:
    """Return the digest of a document, as the others name it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob(digest: str) -> str:
    """Return where in a layout something lies."""
    return f"blobs/{digest.replace(':', '/')}"


def reference(version: str) -> str:
    """Return how the image of a version is called on a machine."""
    return f"{NAME}:{version}"


def config(content: Content, layers: Iterable[Layer]) -> bytes:
    """Return the config: how it is run, by whom, and the layers unpacked."""
    layers = tuple(layers)
    environment = [f"{name}={value}" for name, value in contents.environment().items()]
    return _document(
        {
            "architecture": content.architecture,
            "os": "linux",
            "config": {
                "User": f"{contents.UID}:{contents.UID}",
                "ExposedPorts": {f"{contents.PORT}/tcp": {}},
                "Env": environment,
                "Entrypoint": contents.entrypoint(),
                "Cmd": contents.command(),
                "WorkingDir": str(contents.HOME),
                "Labels": _labels(content),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.unpacked_digest for layer in layers]},
            "history": [{"created_by": f"ocm image build: {layer.name}"} for layer in layers],
        }
    )


def manifest(config: bytes, layers: Iterable[Layer]) -> bytes:
    """Return the manifest, whose digest is that of the image."""
    return _document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
            "layers": [
                {"mediaType": LAYER, "digest": layer.digest, "size": layer.size_bytes} for layer in layers
            ],
        }
    )


def index(manifest: bytes, content: Content) -> bytes:
    """Return the index of a layout that holds this image alone, by its name."""
    name = reference(content.openclaw)
    one = {
        "mediaType": MANIFEST,
        "digest": digest(manifest),
        "size": len(manifest),
        "platform": {"architecture": content.architecture, "os": "linux"},
        "annotations": {_CONTAINERD_NAME: name, REF_NAME: name},
    }
    return _document({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one]})


def _labels(content: Content) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": "OpenClaw",
        "org.opencontainers.image.description": "An OpenClaw gateway, as OCM runs it",
        "org.opencontainers.image.version": content.openclaw,
        "dev.ocm.node": content.node,
        "dev.ocm.version": __version__,
    }


def _document(value: dict[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def parse_index(data: bytes) -> tuple[str, str] | None:
    """Return digest and name of the one image that an index has, None where it is no such index."""
    try:
        found: Sequence[dict[str, object]] = json.loads(data)["manifests"]
        (one,) = found
        annotations = one["annotations"]
        named, at = one["digest"], annotations[REF_NAME] if isinstance(annotations, dict) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(named, str) or _DIGEST.fullmatch(named) is None:
        return None
    return (named, at) if isinstance(at, str) else None
