"""Images built of stand-ins for Debian's packages, Node and OpenClaw, and pushed by a stand-in for skopeo."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import nodes

from openclaw_ocm.core.image.debian import PACKAGES
from openclaw_ocm.core.image.documents import blob
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations import image
from openclaw_ocm.operations.image import Image, Pushed, Target
from openclaw_ocm.system import seccomp
from openclaw_ocm.system.archive.compression import _zstd
from openclaw_ocm.system.host import Host, current_host
from openclaw_ocm.system.image import apt, skopeo
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from openclaw_ocm.core.needs import Progress

PACKAGE = {
    "./bin/bash": "bash",
    "./lib64/ld.so": "loader",
    "./usr/share/doc/bash/copyright": "licence",
    "./usr/share/doc/bash/changelog": "news",
    "./usr/share/man/man1/bash.1": "manual",
    "./usr/share/ca-certificates/mozilla/b.crt": "B",
    "./usr/share/ca-certificates/mozilla/a.crt": "A\n",
}
# The settings of apt are its second word; what it fetches lies beside them.
APT = """[ "$3" = update ] && exit
[ -e {home}/offline ] && echo "E: Could not resolve 'deb.debian.org'" && exit 100
echo "$@" > {home}/asked
ls -l /proc/$$/fd > {home}/descriptors
[ -e {home}/apart ] && exit
cp {home}/bash.deb "$(dirname "$2")/cache/archives/"
echo "Get:1 http://deb.debian.org bash"
"""
DPKG = """[ "$1" = --field ] && printf 'Package: bash\\nVersion: 1\\nProvides: {provides}\\n' && exit
mkdir -p "$3" && tar -xf "$2" -C "$3"
"""
SKOPEO = """printf '%s\\n' "$@" > {home}/asked
env > {home}/environment
ls -l /proc/$$/fd > {home}/descriptors
[ -e {home}/refused ] && cat {home}/refused && exit 1
tar -tf image.tar > {home}/pushed
echo "Copying blob sha256:0"
"""


def machine(home: Path) -> Host:
    """Return a machine with Debian's tools, the Node of OCM's and an OpenClaw."""
    programs = home / "programs"
    for name, script in {"apt-get": APT, "dpkg-deb": DPKG, "skopeo": SKOPEO}.items():
        nodes.put_script(programs / name, script.format(home=home, provides=", ".join(PACKAGES)))
    with tarfile.open(home / "bash.deb", "w") as tar:
        for path, text in PACKAGE.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    host = Host(
        user="ann",
        uid=os.getuid(),
        paths=host_paths(PurePosixPath(home), {}),
        runtime=PurePosixPath(home, "run"),
        runner=Runner(environ={"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}),
        search_path="",
    )
    node = Path(host.paths.ocm_data, f"node-{NODE_VERSION}")
    nodes.put(node / "bin" / "node", NODE_VERSION)
    for name in ("bin/npm-cli.js", "man/npm.1"):
        (node / "lib/node_modules/npm" / name).parent.mkdir(parents=True)
        (node / "lib/node_modules/npm" / name).touch()
    openclaw(host, OPENCLAW_VERSION)
    return host


def openclaw(host: Host, version: str) -> None:
    package = Path(host.paths.runtimes, version, "lib/node_modules/openclaw")
    (package / "node_modules/.bin").mkdir(parents=True)
    (package / "node_modules/.bin/x").symlink_to("../x/x.js")
    (package / "openclaw.mjs").write_text(version)
    stated = {"name": "openclaw", "version": version, "engines": {"node": ">=24.16.0 <25"}}
    (package / "package.json").write_text(json.dumps(stated))


@pytest.fixture(autouse=True)
def _stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (apt, skopeo):
        monkeypatch.setattr(module, "SAFE_PATH", str(tmp_path / "home" / "programs"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    home = tmp_path / "home"
    home.mkdir()
    return machine(home)


def build(
    host: Host, output: Path | None = None, *, version: str | None = None, dry_run: bool = False
) -> Image:
    said: list[Progress] = []
    path = None if output is None else PurePosixPath(output)
    built = image.build(host, version, path, said.append, dry_run=dry_run)
    assert bool(said) != dry_run
    return built


def push(host: Host, reference: str, source: str | Path | None = None, **options: bool) -> Pushed:
    target = Target(reference=reference, insecure=options.get("insecure", False))
    archive = PurePosixPath(source) if isinstance(source, Path) else source
    return image.push(host, target, archive, lambda _told: None, dry_run=options.get("dry_run", False))


def members(built: Image) -> dict[str, tarfile.TarInfo]:
    """Return all that is in the layers of an image, where a name comes twice the later one."""
    found = {}
    with tarfile.open(built.path) as archive:
        for layer in built.layers:
            opened = archive.extractfile(blob(layer.digest))
            assert opened is not None
            with tarfile.open(fileobj=io.BytesIO(_zstd().decompress(opened.read()))) as tar:
                found.update({member.name: member for member in tar.getmembers()})
    return found


def archive_of(path: Path, name: str) -> Path:
    """Write what another program has as an archive of one image, and return it."""
    one = {"digest": f"sha256:{'0' * 64}", "annotations": {"org.opencontainers.image.ref.name": name}}
    data = json.dumps({"manifests": [one]}).encode()
    with tarfile.open(path, "w") as tar:
        index = tarfile.TarInfo("index.json")
        index.size = len(data)
        tar.addfile(index, io.BytesIO(data))
    return path


def left(host: Host) -> set[str]:
    return {path.name for path in Path(host.paths.ocm_data).iterdir()}


def test_an_image_has_debian_node_openclaw_and_ocm_in_this_order(host: Host) -> None:
    built = build(host)
    assert [layer.name for layer in built.layers] == [
        *("Debian", f"Node {NODE_VERSION}", f"OpenClaw {OPENCLAW_VERSION}", "OCM"),
    ]
    assert built.reference == f"localhost/ocm/openclaw:{OPENCLAW_VERSION}"
    assert built.path == f"{host.paths.images}/openclaw-{OPENCLAW_VERSION}-{built.architecture}.tar"
    assert built.size_bytes == Path(built.path).stat().st_size
    found = members(built)
    assert {"usr/bin/bash", "usr/share/doc/bash/copyright", "usr/bin/node", "opt/ocm/bin/init"} <= set(found)
    assert found["bin"].linkname == "usr/bin"
    assert found["lib64"].linkname == "usr/lib64"
    assert "usr/share/doc/bash/changelog" not in found
    assert "usr/share/man/man1/bash.1" not in found
    assert found["usr/bin/npm"].linkname == "../lib/node_modules/npm/bin/npm-cli.js"
    assert "usr/lib/node_modules/npm/man/npm.1" not in found
    assert found["app/node_modules/openclaw/node_modules/.bin/x"].linkname == "../x/x.js"
    assert {".calls", ".arguments"} <= {PurePosixPath(path).suffix for path in found}
    assert found["etc/ssl/certs/ca-certificates.crt"].size == len("A\nB\n")
    assert left(host) == {f"node-{NODE_VERSION}", "runtimes", "images"}


def test_the_same_image_is_built_by_another_user_elsewhere(host: Host, tmp_path: Path) -> None:
    first = build(host)
    other = tmp_path / "elsewhere" / "home"
    other.mkdir(parents=True)
    again = build(machine(other), tmp_path / "second.tar")
    assert again.digest == first.digest
    assert Path(again.path).read_bytes() == Path(first.path).read_bytes()


def test_of_another_openclaw_only_its_own_layer_differs(host: Host) -> None:
    first = build(host)
    openclaw(host, "2026.9.5")
    second = build(host, version="2026.9.5")
    assert first.digest != second.digest
    same = [one.digest == other.digest for one, other in zip(first.layers, second.layers, strict=True)]
    assert same == [True, True, False, True]
    assert Path(first.path).exists()


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(host: Host) -> None:
    shutil.rmtree(Path(host.paths.ocm_data, f"node-{NODE_VERSION}", "bin"))
    before = left(host)
    built = build(host, dry_run=True)
    assert (built.digest, built.size_bytes, built.layers) == (None, None, ())
    assert built.steps[0].startswith(f"install Node {NODE_VERSION} into ")
    assert built.steps[1].startswith("fetch and unpack Debian's packages (base-files bash ")
    assert built.steps[2] == f"write {built.path}"
    assert left(host) == before


def test_what_cannot_be_fetched_leaves_nothing(host: Host) -> None:
    Path(host.paths.home, "offline").touch()
    before = left(host)
    with pytest.raises(OcmError, match="apt-get cannot reach its package registry") as caught:
        build(host)
    assert caught.value.code == "unreachable"
    assert left(host) == before


def test_what_apt_leaves_where_it_is_is_missed(host: Host) -> None:
    Path(host.paths.home, "apart").touch()
    before = left(host)
    with pytest.raises(OcmError, match="packages without base-files, bash, bsdutils") as caught:
        build(host)
    assert caught.value.code == "image_impossible"
    assert "copy: in the place of file:" in (caught.value.hint or "")
    assert left(host) == before


def test_without_what_makes_filters_nothing_is_fetched(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "_LIBRARY", "libnowhere.so.2")
    with pytest.raises(OcmError, match="is not installed") as caught:
        image.build(host, None, None, lambda _told: None, dry_run=True)
    assert caught.value.code == "libseccomp_missing"


def test_what_is_run_keeps_the_lock(host: Host) -> None:
    said = Path(host.paths.home, "descriptors")
    build(host)
    assert "/@setup.lock" in said.read_text()
    said.unlink()
    push(host, "ghcr.io/me/openclaw")
    assert "/@setup.lock" in said.read_text()


def test_what_was_left_by_a_kill_is_cleared(host: Host) -> None:
    def kill() -> None:
        images = Path(host.paths.images)
        images.mkdir(parents=True, exist_ok=True)
        (images / ".openclaw-2026.9.4-amd64.tar.0123456789ab.ocm").touch()
        Path(host.paths.ocm_data, ".ocm-staging-0123456789ab").mkdir()

    kill()
    built = build(host)
    images = [Path(built.path).name]
    assert [path.name for path in Path(host.paths.images).iterdir()] == images
    kill()
    push(host, "ghcr.io/me/openclaw")
    assert [path.name for path in Path(host.paths.images).iterdir()] == images
    assert left(host) == {f"node-{NODE_VERSION}", "runtimes", "images"}


def test_without_debian_it_says_what_to_do(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "SAFE_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(OcmError, match="this machine has no apt-get and no dpkg-deb") as caught:
        build(host)
    assert (caught.value.code, caught.value.hint) == (
        "image_impossible",
        "build it on Debian or Ubuntu, and copy the file",
    )


def test_an_openclaw_for_another_node_is_refused(host: Host) -> None:
    openclaw(host, "2026.9.5")
    stated = Path(host.paths.runtimes, "2026.9.5/lib/node_modules/openclaw/package.json")
    stated.write_text(stated.read_text().replace(">=24.16.0 <25", ">=30.0.0"))
    with pytest.raises(OcmError, match=f"does not run on Node {NODE_VERSION}"):
        build(host, version="2026.9.5")


def test_a_file_that_is_no_image_is_not_replaced(host: Host, tmp_path: Path) -> None:
    output = tmp_path / "notes"
    output.write_text("mine")
    for place, said in (
        (output, "is there already, and no image of OCM's"),
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "x.tar", "there is no directory"),
    ):
        with pytest.raises(Invalid, match=said):
            build(host, place)
    assert output.read_text() == "mine"
    built = build(host, tmp_path / "x.tar")
    assert build(host, tmp_path / "x.tar").digest == built.digest


def test_an_image_of_another_is_not_replaced(host: Host, tmp_path: Path) -> None:
    output = archive_of(tmp_path / "x.tar", "localhost/me/openclaw:1")
    before = output.read_bytes()
    with pytest.raises(Invalid, match="is there already, and no image of OCM's"):
        build(host, output)
    assert output.read_bytes() == before


def test_nothing_is_installed_for_an_image_that_cannot_be_written(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(Path(host.paths.ocm_data, f"node-{NODE_VERSION}", "bin"))
    installed: list[object] = []
    monkeypatch.setattr(image, "install", lambda _host, steps, _report: installed.extend(steps))
    with pytest.raises(Invalid, match="is a directory"):
        build(host, tmp_path)
    assert installed == []


def test_an_image_is_pushed_with_its_version_as_the_tag(host: Host) -> None:
    built = build(host)
    pushed = push(host, "ghcr.io/me/openclaw")
    assert (pushed.reference, pushed.digest) == (f"ghcr.io/me/openclaw:{OPENCLAW_VERSION}", built.digest)
    asked = Path(host.paths.home, "asked").read_text().splitlines()
    assert asked[0] == "--tmpdir"
    assert asked[2:] == [
        *("copy", "--preserve-digests", "oci-archive:image.tar"),
        f"docker://ghcr.io/me/openclaw:{OPENCLAW_VERSION}",
    ]
    assert not Path(asked[1]).exists()
    assert "index.json" in Path(host.paths.home, "pushed").read_text().splitlines()


def test_a_file_is_pushed_whatever_it_is_called(host: Host, tmp_path: Path) -> None:
    built = build(host, tmp_path / "a:b.tar")
    pushed = push(host, "localhost:1/a:mine", tmp_path / "a:b.tar", insecure=True)
    assert (pushed.reference, pushed.digest) == ("localhost:1/a:mine", built.digest)
    assert "--dest-tls-verify=false" in Path(host.paths.home, "asked").read_text().splitlines()


def test_an_image_without_a_tag_is_pushed_with_yours(host: Host, tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "x.tar", "localhost:5000/other")
    with pytest.raises(Invalid, match="the image has no tag of its own") as caught:
        push(host, "ghcr.io/me/a", archive)
    assert caught.value.hint == "say which: ghcr.io/me/a:TAG"
    assert push(host, "ghcr.io/me/a:1", archive).reference == "ghcr.io/me/a:1"
    archive_of(archive, "latest")
    assert push(host, "ghcr.io/me/a", archive).reference == "ghcr.io/me/a:latest"


def test_skopeo_is_told_where_credentials_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host
) -> None:
    build(host)
    environ = {"REGISTRY_AUTH_FILE": "auth.json", "DOCKER_CONFIG": "/x", "REGISTRY_PASSWORD": "p"}
    around = current_host({**environ, "HOME": str(host.paths.home)}).network
    monkeypatch.chdir(tmp_path)
    push(replace(host, network=around), "ghcr.io/me/a")
    told = Path(host.paths.home, "environment").read_text().splitlines()
    assert f"REGISTRY_AUTH_FILE={tmp_path}/auth.json" in told
    assert "DOCKER_CONFIG=/x" in told
    assert not [line for line in told if line.startswith("REGISTRY_PASSWORD")]


def test_a_dry_run_pushes_nothing(host: Host) -> None:
    built = build(host)
    pushed = push(host, "ghcr.io/me/a", dry_run=True)
    assert (pushed.digest, pushed.dry_run) == (built.digest, True)
    assert not Path(host.paths.home, "pushed").exists()


def test_a_registry_that_refuses_is_told_with_what_lets_in(host: Host) -> None:
    build(host)
    refused = Path(host.paths.home, "refused")
    unchecked = "--insecure accepts a registry without TLS, or whose certificate this machine does not trust"
    for said, message, hint in (
        ("requested access to the resource is denied\n", "not push", "skopeo login ghcr.io lets you in"),
        ("dial tcp: lookup ghcr.io on 127.0.0.53:53: no such host\n", "cannot be reached", None),
        ("http: server gave HTTP response to HTTPS client\n", "not push", unchecked),
        ("x509: certificate signed by unknown authority\n", "not push", unchecked),
        ("no space left on device\n", "skopeo could not push ghcr.io/me/a:2026.9.6", None),
    ):
        refused.write_text(f"Copying blob sha256:0\n{said}")
        with pytest.raises(OcmError, match=message) as caught:
            push(host, "ghcr.io/me/a")
        assert (caught.value.code, caught.value.hint) == ("push_failed", hint)
        assert caught.value.details == (said.strip(),)


def test_without_skopeo_or_an_image_it_says_what_to_type(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OcmError, match="there is no image") as caught:
        push(host, "ghcr.io/me/a")
    assert (caught.value.code, caught.value.hint) == ("image_missing", "ocm image build makes one")
    build(host)
    monkeypatch.setattr(skopeo, "SAFE_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(OcmError, match="skopeo is not installed") as caught:
        push(host, "ghcr.io/me/a")
    assert (caught.value.hint or "").endswith(" skopeo")
    with pytest.raises(Invalid, match="is no version of OpenClaw"):
        push(host, "ghcr.io/me/a", "../x")
    with pytest.raises(Invalid, match="names no place in a registry"):
        push(host, "me/a")
