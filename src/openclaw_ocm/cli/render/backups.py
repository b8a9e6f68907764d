"""Backups: made, kept, checked, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.outcome import show_notes
from openclaw_ocm.cli.render.table import amount, moment, show_table
from openclaw_ocm.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.operations.backup import Backup
    from openclaw_ocm.operations.backups import Pruned, Stored, Verified
    from openclaw_ocm.operations.planning.timers import Backups


def backups_in_words(backups: Backups | None) -> str:
    """Return in words what scheduled backups there are, and what became of the last one."""
    if backups is None:
        return "none scheduled"
    last = backups.last
    if last is None:
        made = "none made yet"
    elif last.archive is None:
        made = f"last tried {moment(last.ended)}"
    else:
        made = f"last {moment(last.ended)}, {last.archive} ({amount(last.size_bytes or 0)})"
    parts = (f"{backups.every}, next {moment(backups.next)}", made, f"kept: {backups.keep}", backups.problem)
    return "; ".join(filter(None, parts))


def show_backup(backup: Backup, *, verbose: bool = False) -> None:
    """Print where a backup is and what it holds, or would hold; with `verbose` each path that it does not."""
    encrypted = ", encrypted" if backup.encrypted else ""
    size = "would be made" if backup.dry_run else f"{amount(backup.size_bytes)}{encrypted}"
    click.echo(f"{backup.name}: {backup.path} ({size})")
    files, databases = counted(backup.files, "file"), counted(backup.databases, "database")
    click.echo(f"  {files} and {databases}, {amount(backup.state_bytes)}")
    if backup.left_out:
        counts = ", ".join(f"{count} {reason}" for reason, count in backup.left_out.items())
        click.echo(f"  left out: {counts}")
    if backup.plugins:
        click.echo(f"  plugins, to be installed again after a restore: {', '.join(backup.plugins)}")
    if verbose:
        for one in backup.left_out_paths:
            click.echo(f"    {one.path} ({one.reason})")
        more = sum(backup.left_out.values()) - len(backup.left_out_paths)
        if more > 0:
            click.echo(f"    and {more} more")
    show_notes(backup.notes)


def show_stored(backups: Sequence[Stored]) -> None:
    """Print backups as a table."""
    if not backups:
        click.echo("no backups: ocm backup NAME makes one", err=True)
        return
    header = ("NAME", "TIME", "SIZE", "ENCRYPTED", "FILE")
    rows = [
        (one.name, one.time, amount(one.size_bytes), "yes" if one.encrypted else "no", one.path)
        for one in backups
    ]
    show_table(header, rows)


def show_verified(verified: Verified) -> None:
    """Print what a backup that is whole holds."""
    files, databases = counted(verified.files, "file"), counted(verified.databases, "database")
    click.echo(
        f"{verified.path}: whole: {verified.name}, {files} and {databases}, {amount(verified.state_bytes)}"
    )
    if verified.drill is not None:
        click.echo(f"  drill: {verified.drill}, and deleted again")
    show_notes(verified.missed)


def show_pruned(pruned: Pruned) -> None:
    """Print which backups of an instance went, or would go."""
    word = "would remove" if pruned.dry_run else "removed"
    click.echo(f"{pruned.name}: {word} {len(pruned.removed)}, {len(pruned.kept)} kept")
    for path in pruned.removed:
        click.echo(f"  {path}")
