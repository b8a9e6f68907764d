"""How instances are: all at a glance, or everything about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.backups import backups_in_words
from openclaw_ocm.cli.render.table import duration, moment, show_table
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.instances.history import HistoryEntry
    from openclaw_ocm.operations.planning.upgrading import Upgrades
    from openclaw_ocm.operations.status import Row, Status


def show_rows(rows: Sequence[Row]) -> None:
    """Print instances as a table: plain columns that `awk` can read, coloured on a terminal."""
    if not rows:
        click.echo("no instances: ocm deploy worker1 makes one", err=True)
        return
    header = ("NAME", "STATE", "PORT", "VERSION", "UPTIME", "AUTOSTART", "ISOLATION", "NETWORK", "REASON")
    show_table(header, map(_cells, rows))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.state,
        str(row.port or "-"),
        row.version or "-",
        duration(row.uptime_seconds),
        "yes" if row.autostart else "no",
        row.isolation or "-",
        row.network or "-",
        "; ".join(filter(None, (row.reason, row.backup, row.upgrade))),
    )


def show_status(status: Status) -> None:
    """Print everything about one instance."""
    row = status.row
    memory = f"{status.memory_bytes / 2**20:.0f} MB" if status.memory_bytes is not None else "-"
    seconds = f"{status.cpu_seconds:.0f} s" if status.cpu_seconds is not None else "-"
    facts = (
        ("state", row.state + (f" ({row.reason})" if row.reason else "")),
        ("url", status.url),
        ("version", row.version or "-"),
        ("newest", newest_in_words(row)),
        ("uptime", duration(row.uptime_seconds)),
        ("restarts", str(row.restarts)),
        ("memory", memory),
        ("cpu", seconds),
        ("limits", status.limits),
        ("exposed", ", ".join(status.expose) or "no"),
        ("network", ", ".join((row.network or "-", *(f"allowed {each}" for each in status.allow)))),
        ("shown", "; ".join(status.mounts) or "nothing of this machine"),
        ("firewall", status.firewall),
        ("variables", ", ".join(status.variables) or "none"),
        ("backups", backups_in_words(status.backups)),
        ("upgrades", upgrades_in_words(status.upgrades)),
        ("changed", change_in_words(status.last_change)),
        ("autostart", "yes" if row.autostart else "no"),
        ("backend", row.backend or "-"),
        ("isolation", row.isolation or "-"),
        ("pid", str(row.pid or "-")),
        ("node", status.node),
        ("openclaw", status.openclaw),
        *(("directory" if key == "state" else key, path) for key, path in status.paths.items()),
    )
    click.echo(row.name)
    for key, value in facts:
        click.echo(f"  {key + ':':<12}{value}")
    for title, lines in (("drift", status.drift), ("not enforced", status.gaps), ("notes", status.notes)):
        if lines:
            click.echo(f"  {title}:")
        for line in lines:
            click.echo(f"    {printable(line)}")


def newest_in_words(row: Row) -> str:
    """Return in words what is newest on the channel of an instance, as of when, and what takes it there."""
    if row.newest is None:
        return "not known: ocm outdated asks npm's registry"
    said = f"{row.newest}, as npm's registry said at {moment(row.asked)}"
    return f"{said}: ocm upgrade {row.name}" if row.outdated else said


def upgrades_in_words(upgrades: Upgrades | None) -> str:
    """Return in words which upgrades come by themselves, and what became of the last one."""
    if upgrades is None:
        return "none scheduled"
    last = upgrades.last
    parts = (
        f"{upgrades.versions} at {upgrades.at}, next {moment(upgrades.next)}",
        "none tried yet"
        if last is None
        else f"last {moment(last.ended)}, {last.version or 'none was newer'}",
        upgrades.problem,
    )
    return printable("; ".join(filter(None, parts)))


def show_history(changes: Sequence[HistoryEntry]) -> None:
    """Print changes as a table, oldest first."""
    if not changes:
        click.echo("ocm: no changes yet", err=True)
        return
    rows = [
        (
            _when(change),
            _ended(change),
            ", ".join((change.instance, *change.others)),
            duration(change.seconds),
            change.command,
        )
        for change in changes
    ]
    show_table(("TIME", "ENDED", "INSTANCE", "TOOK", "COMMAND"), [tuple(map(printable, row)) for row in rows])


def change_in_words(change: HistoryEntry | None) -> str:
    """Return in words what was changed last, and how that ended."""
    if change is None:
        return "not as far as the history tells"
    return printable(f"{_when(change)}, {change.command}: {_ended(change)}")


def _ended(change: HistoryEntry) -> str:
    return change.ended if change.error is None else f"{change.ended} ({change.error})"


def _when(change: HistoryEntry) -> str:
    from datetime import datetime

    try:
        return moment(datetime.fromisoformat(change.when).timestamp())
    except (ValueError, OverflowError, OSError):
        return change.when
