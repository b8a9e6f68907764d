"""The documents of an image, byte for byte."""

from __future__ import annotations

import json

import pytest

from openclaw_ocm import __version__
from openclaw_ocm.core.image import documents
from openclaw_ocm.core.image.documents import Content, Layer

CONTENT = Content(openclaw="2026.9.6", node="24.19.0", architecture="amd64")
LAYERS = tuple(
    Layer(
        name=name,
        digest=f"sha256:{digit * 64}",
        size_bytes=100,
        unpacked_digest=f"sha256:{digit.upper() * 64}",
        unpacked_bytes=300,
    )
    for name, digit in (("Debian", "a"), ("OCM", "b"))
)


def test_the_config_says_how_it_is_run_and_by_whom() -> None:
    said = json.loads(documents.config(CONTENT, LAYERS))
    environment = said["config"].pop("Env")
    assert said == {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": "1000:1000",
            "ExposedPorts": {"18789/tcp": {}},
            "Entrypoint": [
                *("/usr/bin/perl", "/opt/ocm/bin/init", "/usr/bin/node", "--max-semi-space-size=2"),
                *("--import=/opt/ocm/bin/collect-when-idle.mjs", "--disable-warning=ExperimentalWarning"),
                *("--disable-sigusr1", "/app/node_modules/openclaw/openclaw.mjs"),
            ],
            "Cmd": ["gateway", "run"],
            "WorkingDir": "/home/node",
            "Labels": {
                "org.opencontainers.image.title": "OpenClaw",
                "org.opencontainers.image.description": "An OpenClaw gateway, as OCM runs it",
                "org.opencontainers.image.version": "2026.9.6",
                "dev.ocm.node": "24.19.0",
                "dev.ocm.version": __version__,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'A' * 64}", f"sha256:{'B' * 64}"]},
        "history": [
            {"created_by": "ocm image build: Debian"},
            {"created_by": "ocm image build: OCM"},
        ],
    }
    assert environment[0] == "HOME=/home/node"
    assert environment[1].startswith("PATH=/opt/ocm/bin:/usr/local/bin:/usr/bin:")
    for wanted in (
        "OPENCLAW_STATE_DIR=/home/node/.openclaw",
        "OPENCLAW_CONFIG_PATH=/home/node/.openclaw/openclaw.json",
        "OPENCLAW_DISABLE_BONJOUR=1",
        "SHELL=/opt/ocm/bin/bash",
    ):
        assert wanted in environment


def test_the_manifest_and_the_index_name_each_other_by_digest() -> None:
    config = b"{}"
    manifest = documents.manifest(config, LAYERS)
    assert manifest == (
        b'{"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",'
        b'"mediaType":"application/vnd.oci.image.config.v1+json","size":2},"layers":['
        b'{"digest":"sha256:' + b"a" * 64 + b'",'
        b'"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":100},'
        b'{"digest":"sha256:' + b"b" * 64 + b'",'
        b'"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":100}],'
        b'"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )
    index = documents.index(manifest, CONTENT)
    assert json.loads(index) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": documents.digest(manifest),
                "size": len(manifest),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": "localhost/ocm/openclaw:2026.9.6",
                    "org.opencontainers.image.ref.name": "localhost/ocm/openclaw:2026.9.6",
                },
            }
        ],
    }
    found = documents.parse_index(index)
    assert found == (documents.digest(manifest), "localhost/ocm/openclaw:2026.9.6")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"manifests": []}',
        b'{"manifests": [{}, {}]}',
        b'{"manifests": [{"digest": "sha256:0", "annotations": []}]}',
        b'{"manifests": [{"digest": 1, "annotations": {"org.opencontainers.image.ref.name": "a"}}]}',
        b'{"manifests": [{"digest": "sha256:%s", "annotations": {"org.opencontainers.image.ref.name": 1}}]}'
        % (b"0" * 64),
        b'{"manifests": [{"digest": "sha256:0", "annotations": {"org.opencontainers.image.ref.name": "a"}}]}',
        b'{"manifests": 1}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_index_of_one_image_with_a_name_is_none(data: bytes) -> None:
    assert documents.parse_index(data) is None
