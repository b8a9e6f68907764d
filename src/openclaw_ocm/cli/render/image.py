"""An image that was built, and where it was pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.table import amount, show_table
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from openclaw_ocm.operations.image import Image, Pushed


def show_built(built: Image) -> None:
    """Print the layers of an image, its name and digest, and the file; or what would be done for it."""
    if built.dry_run:
        click.echo(f"{built.reference}: would be built for {built.architecture}")
        for step in built.steps:
            click.echo(printable(f"  {step}"))
        return
    rows = ((layer.name, amount(layer.size_bytes), amount(layer.unpacked_bytes)) for layer in built.layers)
    show_table(("LAYER", "SIZE", "UNPACKED"), rows)
    click.echo(f"{built.reference}@{built.digest}")
    click.echo(printable(f"{built.path} ({amount(built.size_bytes or 0)}, for {built.architecture})"))


def show_pushed(pushed: Pushed) -> None:
    """Print where an image is now, as others pull exactly this one."""
    click.echo(f"{pushed.reference}@{pushed.digest}: {'would be pushed' if pushed.dry_run else 'pushed'}")
