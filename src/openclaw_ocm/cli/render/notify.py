"""By which ways messages go, and what was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.table import moment, show_table
from openclaw_ocm.core.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.operations.notify import Notified, Tested, WayShown


def show_ways(ways: Sequence[WayShown]) -> None:
    """Print the ways, one a line, and how each does."""
    if not ways:
        click.echo("nobody is told: ocm notify add ntfy, webhook, email or command adds a way", err=True)
        return
    show_table(
        ("NAME", "KIND", "TO", "LAST"),
        ((one.name, one.kind, printable(one.target), _last(one)) for one in ways),
    )


def _last(one: WayShown) -> str:
    """Return in words when the last message went, or why the next one did not."""
    if one.failure is None:
        return "-" if one.sent is None else f"sent {moment(one.sent)}"
    waiting = f"{counted(one.waiting, 'message')} to send"
    lost = f", {one.lost} dropped" if one.lost else ""
    return f"fails since {moment(one.failing_since)}: {one.failure}; {waiting}{lost}"


def show_tested(tested: Tested) -> None:
    """Print that a test message went."""
    click.echo(f"{tested.name}: a test message went to {printable(tested.target)}")


def show_notified(notified: Notified) -> None:
    """Print what was told, or would be, and by which ways."""
    if not notified.told:
        click.echo("nothing to tell")
    for told in notified.told:
        if notified.dry_run:
            how = f"would go by {', '.join(told.waits_for)}" if told.waits_for else "would be told to nobody"
        else:
            waits = f"waits for {', '.join(told.waits_for)}" if told.waits_for else ""
            how = "; ".join(filter(None, (f"sent by {', '.join(told.ways)}" if told.ways else "", waits)))
        click.echo(f"{printable(told.message.title)}: {how}")
        click.echo(f"  {printable(told.message.text)}")
