"""Columns, and amounts and moments in words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from openclaw_ocm.core.text import moment_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of states, in the words of click and of rich.
COLOURS = {
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    "failed": "red",
    "have": "green",
    "missing": "red",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def show_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print columns, the second of which is a state."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    for index, line in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        if index:
            padded[1] = click.style(padded[1], fg=COLOURS.get(line[1]))
        click.echo("  ".join((*padded, line[-1])).rstrip(), color=_colour())


def _colour() -> bool | None:
    import os

    return False if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else None


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole >= _DAY:
        return f"{whole // _DAY}d{whole % _DAY // _HOUR}h"
    if whole >= _HOUR:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE}m"
    return f"{whole // _MINUTE}m{whole % _MINUTE}s" if whole >= _MINUTE else f"{whole}s"


def moment(seconds: float | None) -> str:
    """Return a moment, in seconds since the epoch, as the machine's clock shows it, with the zone of that."""
    from openclaw_ocm.system.host import local_zone

    return "-" if seconds is None else moment_in_words(seconds, local_zone())


def amount(size: int) -> str:
    """Return a size in the unit that is read most easily."""
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= divisor:
            return f"{size / divisor:.1f} {unit}"
    return f"{size} bytes"
