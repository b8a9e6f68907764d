"""Where Control UIs are, for a person: what is to be typed goes to stdout, the sentences about it do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.outcome import show_notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.operations.open import ControlUi, Seat


def show_links(pages: Sequence[ControlUi], place: Seat) -> None:
    """Print links, one a line, and first the line that forwards their ports where a person came by ssh."""
    line = pages[0].ssh
    if place.remote:
        show_notes(["on the machine where your browser is, type this and leave it running:"])
        click.echo(line)
        show_notes(["then open there:"])
    elif place.container:
        show_notes(
            ["these are addresses of this machine or container alone; ocm expose opens an instance to others"]
        )
    elif not place.desktop:
        show_notes([f"these are addresses of this machine alone; from another one, first: {line}"])
    width = max(len(page.name) for page in pages)
    for page in pages:
        click.echo(f"{page.name.ljust(width)}  {page.link}")
        for network, link in page.elsewhere.items():
            click.echo(f"{page.name.ljust(width)}  {link}  from {network}")
    if any(page.token == "hidden" for page in pages):  # noqa: S105 - no token
        show_notes(["on a terminal the links have their tokens; elsewhere --show-token adds them"])
    _show_more(pages)


def show_opened(pages: Sequence[ControlUi]) -> None:
    """Print what a browser was given; `pages` are without their tokens."""
    for page in pages:
        what = "in the browser" if len(pages) == 1 else "on the page in the browser"
        click.echo(f"{page.name}: {page.url} is {what}")
        for network, link in page.elsewhere.items():
            click.echo(f"{page.name}: {link} from {network}")
    show_notes(["if nothing comes up, --print shows the link to type there"])
    _show_more(pages)


def _show_more(pages: Sequence[ControlUi]) -> None:
    for page in pages:
        show_notes(page.notes)
