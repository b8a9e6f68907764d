"""The commands that make images for containers and clusters."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, json_option
from openclaw_ocm.cli.runtime import VersionType


@click.group(epilog="Example: ocm image build")
def image() -> None:
    """Make images that gateways run from in containers and clusters."""


@image.command("build", epilog="Example: ocm image build --openclaw 2026.9.6")
@click.option(
    "--openclaw",
    type=VersionType(),
    metavar="VERSION",
    help="The OpenClaw in it, installed where it is not; the one that setup installs if left out.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="The file to write; one among OCM's own, named by the version, if left out.",
)
@dry_run_option
@json_option
@click.pass_context
def build(
    ctx: click.Context, *, openclaw: str | None, output: str | None, dry_run: bool, as_json: bool
) -> int:
    """Build an image with Node, an OpenClaw and OCM's programs, for machines like this one.

    It takes no root and no daemon. The packages of Debian come from where this machine has its own, Node and
    OpenClaw are OCM's own, brought where they are not there. The file is an OCI archive, for
    `ctr images import`, podman and skopeo. Of the same parts the same image is made, byte for byte, where the
    libraries for zstd and seccomp are the same.
    """
    from openclaw_ocm.cli.progress import installing
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.image import show_built
    from openclaw_ocm.operations.image import build as run

    with installing() as report:
        built = run(frame.this_host(ctx), openclaw, _path(output), report, dry_run=dry_run)
    if as_json:
        print_json("image build", [built])
    else:
        show_built(built)
    return 0


@image.command("push", epilog="Example: ocm image push ghcr.io/me/openclaw")
@click.argument("reference", metavar="REFERENCE")
@click.option(
    "--openclaw",
    type=VersionType(),
    metavar="VERSION",
    help="The OpenClaw whose image it is; the one that setup installs if left out.",
)
@click.option("--archive", type=click.Path(), metavar="FILE", help="Push the image in this file.")
@click.option(
    "--insecure", is_flag=True, help="Accept a registry without TLS, or whose certificate is unknown."
)
@dry_run_option
@json_option
@click.pass_context
def push(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    *,
    reference: str,
    openclaw: str | None,
    archive: str | None,
    insecure: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Copy an image to a registry, by skopeo.

    REFERENCE is the registry, a name in it and a tag, such as ghcr.io/me/openclaw:2026.9.6. Without a tag it
    is that of the image, the version of OpenClaw in one that OCM built. Who may write there is what
    `skopeo login`, podman or docker keep; REGISTRY_AUTH_FILE and DOCKER_CONFIG say where.
    """
    from openclaw_ocm.cli.progress import installing
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.image import show_pushed
    from openclaw_ocm.operations.image import Target
    from openclaw_ocm.operations.image import push as run

    if openclaw is not None and archive is not None:
        message = "--openclaw and --archive name two images: say one"
        raise click.UsageError(message)
    target = Target(reference=reference, insecure=insecure)
    with installing() as report:
        pushed = run(frame.this_host(ctx), target, _path(archive) or openclaw, report, dry_run=dry_run)
    if as_json:
        print_json("image push", [pushed])
    else:
        show_pushed(pushed)
    return 0


def _path(typed: str | None) -> PurePosixPath | None:
    return None if typed is None else PurePosixPath(os.path.abspath(typed))  # noqa: PTH100 - follows no link


COMMANDS = {"image": image}
