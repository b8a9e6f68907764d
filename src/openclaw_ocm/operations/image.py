"""`ocm image build` and `ocm image push`: what a gateway runs from in a container, as one file."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.core.image import contents
from openclaw_ocm.core.image.debian import ARCHITECTURES, PACKAGES
from openclaw_ocm.core.image.documents import NAME, Content, Layer, reference
from openclaw_ocm.core.image.entries import PROGRAM, Entry, file
from openclaw_ocm.core.image.reference import parse_reference, tag_of
from openclaw_ocm.core.needs import InstallNode, Progress
from openclaw_ocm.core.openclaw.run import COLLECT_NAME
from openclaw_ocm.core.releases import (
    CHANNELS,
    NODE_VERSION,
    OPENCLAW_VERSION,
    check_release,
    is_within,
    parse_range,
    parse_version,
)
from openclaw_ocm.core.sandbox.launch import DOCKER_NAME, INIT_NAME, SECRETS_NAME, TOOL_HOST_NAME
from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.setup import look_at_runtime
from openclaw_ocm.system import files, programs
from openclaw_ocm.system.image import skopeo
from openclaw_ocm.system.image.apt import check_tools, debian
from openclaw_ocm.system.image.archive import image_in, write_archive
from openclaw_ocm.system.image.layer import write_layer
from openclaw_ocm.system.image.trees import entries_of
from openclaw_ocm.system.machine.fetch import alone, leftovers, staging
from openclaw_ocm.system.machine.install import install
from openclaw_ocm.system.machine.runtimes import resolve, resolve_later
from openclaw_ocm.system.openclaw.find import node_target
from openclaw_ocm.system.openclaw.versions import package_of
from openclaw_ocm.system.seccomp import check_library, make_filters
from openclaw_ocm.system.ways import refuse_reached

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.needs import Install
    from openclaw_ocm.core.releases import Release
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that was built, or with `dry_run` would be: `digest`, sizes and layers are known afterwards.

    `reference` is the name that it has in the file `path`; `steps` are what is done for it, in words.
    """

    reference: str
    digest: str | None
    path: str
    size_bytes: int | None
    openclaw: str
    node: str
    architecture: str
    layers: tuple[Layer, ...] = ()
    steps: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """An image that was copied to a registry, or with `dry_run` would be: `reference` is where to."""

    reference: str
    digest: str
    path: str
    dry_run: bool = False


def build(
    host: Host, wanted: str | None, output: PurePosixPath | None, report: Report, *, dry_run: bool
) -> Image:
    """Build the image of an OpenClaw, by its version or npm's name of a channel; one like it is replaced.

    What is not here of it is brought first. Without `wanted` it is the OpenClaw that OCM installs, without
    `output` the file is among OCM's own. Raises `OcmError` where that cannot be; nothing is left then but
    what was brought.
    """
    check_release(wanted or OPENCLAW_VERSION)
    architecture = _architecture()
    check_tools()
    check_library()
    if output is not None:
        _check_output(host, output)
    release = resolve_later(host, wanted or OPENCLAW_VERSION)
    missing = _missing(host, release)
    if missing and not dry_run:
        install(host, missing, report)
        release = resolve(host, release.version)
    content = Content(openclaw=release.version, node=NODE_VERSION, architecture=architecture)
    path = output or _place(host, content)
    _check_output(host, path)
    steps = (
        *(step.describe() for step in missing),
        f"fetch and unpack Debian's packages ({' '.join(PACKAGES)})",
        f"write {path}",
    )
    layers, digest = ((), None) if dry_run else _write(host, content, path, report)
    return Image(
        reference=reference(content.openclaw),
        digest=digest,
        path=str(path),
        size_bytes=None if dry_run else Path(path).stat().st_size,
        openclaw=content.openclaw,
        node=content.node,
        architecture=architecture,
        layers=layers,
        steps=steps,
        dry_run=dry_run,
    )


def _architecture() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        message = f"there is no image for this machine: {machine} is none of {', '.join(ARCHITECTURES)}"
        raise OcmError(message, hint="build it on one of these", code="image_impossible")
    return ARCHITECTURES[machine]


def _place(host: Host, content: Content) -> PurePosixPath:
    return host.paths.images / f"openclaw-{content.openclaw}-{content.architecture}.tar"


def _missing(host: Host, release: Release) -> tuple[Install, ...]:
    """Return what brings OpenClaw and OCM's own Node: every image has that, whatever is on the PATH here."""
    if not is_within(parse_version(NODE_VERSION) or (0, 0, 0), parse_range(release.node_range) or ()):
        message = f"OpenClaw {release.version} does not run on Node {NODE_VERSION}, which an image has"
        raise OcmError(message, hint="ocm image build, for another version", code="node_unusable")
    setup = look_at_runtime(host, release)
    setup.check(installing=True)
    target = node_target(host)
    node = () if Path(target, "bin", "node").exists() else (InstallNode(target=str(target)),)
    return (*node, *(step for step in setup.steps if not isinstance(step, InstallNode)))


def _check_output(host: Host, path: PurePosixPath) -> None:
    """Raise `Invalid` where the image cannot be written, or an instance could change it, or no image goes."""
    there = Path(path.parent).is_dir() or path.parent == host.paths.images
    if Path(path).is_dir() or not there:
        message = f"{path} is a directory" if Path(path).is_dir() else f"there is no directory {path.parent}"
        raise Invalid(message, hint="name a file in a directory that is there", code="output_invalid")
    refuse_reached(host.paths, path, path.parent)
    if os.path.lexists(path) and not _is_own(path):
        message = f"{path} is there already, and no image of OCM's"
        raise Invalid(message, hint="move it away, or name another file", code="exists")


def _is_own(path: PurePosixPath) -> bool:
    try:
        return image_in(path)[1].startswith(f"{NAME}:")
    except OcmError:
        return False


def _write(
    host: Host, content: Content, path: PurePosixPath, report: Report
) -> tuple[tuple[Layer, ...], str]:
    """Write the image and return its layers and its digest.

    Nothing is installed or removed meanwhile.
    """
    with alone(host, report) as lock:
        _sweep(host)
        with staging(host.paths.ocm_data) as beside:
            node, openclaw = node_target(host), package_of(host.paths, content.openclaw)
            parts: dict[str, Callable[[], dict[str, Entry]]] = {
                "Debian": lambda: debian(host, content.architecture, beside, report, lock),
                f"Node {content.node}": lambda: _node(node),
                f"OpenClaw {content.openclaw}": lambda: entries_of(openclaw, contents.openclaw_place),
                "OCM": lambda: _programs(beside / "filters"),
            }
            layers = tuple(write_layer(name, part(), beside, report) for name, part in parts.items())
            report(Progress(what=f"write {path.name}"))
            if path.parent == host.paths.images:
                files.make_directory(path.parent)
            return layers, write_archive(beside, content, layers, path)


def _sweep(host: Host) -> None:
    """Remove what those left that were killed; the lock of all installs is held."""
    for leftover in leftovers(host):
        files.remove_tree(leftover)
    for half_written in Path(host.paths.images).glob(temporary.BESIDE_GLOB):
        files.remove_file(PurePosixPath(half_written))


def _node(node: PurePosixPath) -> dict[str, Entry]:
    npm = entries_of(node / "lib" / "node_modules" / "npm", contents.node_place)
    return {
        contents.inside(contents.NODE): file(node / "bin" / "node", PROGRAM),
        **npm,
        **contents.node_links(),
    }


def _programs(beside: PurePosixPath) -> dict[str, Entry]:
    names = (INIT_NAME, SECRETS_NAME, COLLECT_NAME, TOOL_HOST_NAME, DOCKER_NAME)
    texts = {name: programs.beside_gateway(name) for name in names}
    make_filters(beside, ADDRESS_FAMILIES)
    return contents.programs(texts, {path.name: path.read_bytes() for path in Path(beside).iterdir()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an image is to be pushed: as it was typed, and whether over HTTP or unchecked TLS."""

    reference: str
    insecure: bool = False


def push(
    host: Host, target: Target, source: str | PurePosixPath | None, report: Report, *, dry_run: bool
) -> Pushed:
    """Copy an image to a registry: the file `source`, or that of a version as `build` has it.

    Where the target has no tag it is that of the image, the version of one that OCM built. Raises `OcmError`
    where there is no such image, no skopeo, or the registry does not take it.
    """
    parse_reference(target.reference, "tag")
    path = source if isinstance(source, PurePosixPath) else _built(host, source or OPENCLAW_VERSION)
    pushed = _pushed(target, path, dry_run=dry_run)
    skopeo.check_skopeo()
    if dry_run:
        return pushed
    with alone(host, report) as lock:
        _sweep(host)
        # Another ocm may have built it anew meanwhile.
        pushed = _pushed(target, path, dry_run=False)
        copy = skopeo.Copy(archive=path, reference=pushed.reference, insecure=target.insecure)
        with staging(host.paths.ocm_data) as beside:
            skopeo.push(host, copy, beside, report, lock)
    return pushed


def _pushed(target: Target, path: PurePosixPath, *, dry_run: bool) -> Pushed:
    digest, name = image_in(path)
    place = parse_reference(target.reference, tag_of(name))
    return Pushed(reference=place, digest=digest, path=str(path), dry_run=dry_run)


def _built(host: Host, wanted: str) -> PurePosixPath:
    check_release(wanted)
    version = resolve(host, wanted).version if wanted in CHANNELS else wanted
    return _place(host, Content(openclaw=version, node=NODE_VERSION, architecture=_architecture()))
