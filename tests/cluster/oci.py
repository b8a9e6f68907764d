"""Makes an image of a few files, as `docker save` writes it, for what a test needs a pod for."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def archive(
    reference: str, files: Mapping[str, bytes], command: Sequence[str], links: Mapping[str, str]
) -> bytes:
    """Return an image whose files are all programs, `links` those that lead to one."""
    raw = layer_of(files, links)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(raw)]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        add(tar, "layer.tar", raw, 0o644)
        add(tar, "config.json", json.dumps(config).encode(), 0o644)
        add(tar, "manifest.json", json.dumps(manifest).encode(), 0o644)
    return whole.getvalue()


def with_programs(source: Path, target: Path, files: Mapping[str, bytes]) -> None:
    """Write an image that has programs more than another; both are archives of an OCI layout."""
    raw = layer_of(files, {})
    with tarfile.open(source) as before, tarfile.open(target, "w") as after:
        index = json.load(opened(before, "index.json"))
        (described,) = index["manifests"]
        manifest = json.load(opened(before, blob(described["digest"])))
        config = json.load(opened(before, blob(manifest["config"]["digest"])))
        config["rootfs"]["diff_ids"].append(digest_of(raw))
        if "history" in config:
            config["history"].append({"created_by": "a test"})
        manifest["config"] |= put(after, json.dumps(config).encode())
        kind = "application/vnd.oci.image.layer.v1.tar"
        manifest["layers"].append({"mediaType": kind, **put(after, raw)})
        described |= put(after, json.dumps(manifest).encode())
        add(after, "index.json", json.dumps(index).encode(), 0o644)
        for member in before.getmembers():
            if member.name != "index.json":
                after.addfile(member, before.extractfile(member))


def layer_of(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, content in files.items():
            add(tar, name, content, 0o755)
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return layer.getvalue()


def opened(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    assert found is not None
    return found


def put(tar: tarfile.TarFile, content: bytes) -> dict[str, Any]:
    """Add a blob and return what describes it."""
    add(tar, blob(digest_of(content)), content, 0o644)
    return {"digest": digest_of(content), "size": len(content)}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
