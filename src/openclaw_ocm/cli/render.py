"""Results as text for a person or as one JSON envelope for a program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from openclaw_ocm.core.log import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from openclaw_ocm.core.needs import Finding
    from openclaw_ocm.errors import OcmError
    from openclaw_ocm.operations.backup import Backup
    from openclaw_ocm.operations.backups import Pruned, Stored, Verified
    from openclaw_ocm.operations.doctor import Diagnosis
    from openclaw_ocm.operations.edit import Edited
    from openclaw_ocm.operations.models import Updated
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.planning.timers import Backups
    from openclaw_ocm.operations.secret import Secret
    from openclaw_ocm.operations.setup import Setup
    from openclaw_ocm.operations.status import Row, Status

_COLOURS = {
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    "failed": "red",
    "have": "green",
    "missing": "red",
}
_FEW = 5
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def print_json(
    command: str,
    results: Sequence[Any],
    errors: Sequence[tuple[str | None, OcmError]] = (),
    *,
    ok: bool = True,
) -> None:
    """Print the envelope that every command answers with under --json."""
    envelope = {
        "ok": ok and not errors,
        "command": command,
        "results": results,
        "errors": [
            {
                "name": name,
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "details": error.details,
            }
            for name, error in errors
        ],
    }
    click.echo(msgspec.json.format(msgspec.json.encode(envelope), indent=2).decode())


def show_outcome(outcome: Outcome, *, said: Collection[str] = ()) -> None:
    """Print what became of one instance: the answer to stdout, warnings to stderr, unless already `said`."""
    click.echo(f"{outcome.name}: {outcome.message}")
    if outcome.dry_run:
        for step in outcome.steps:
            click.echo(f"  {printable(step)}")
    show_notes([note for note in outcome.notes if note not in said])


def show_notes(notes: Sequence[str]) -> None:
    """Print warnings."""
    for note in notes:
        click.echo(f"ocm: {printable(note)}", err=True)


def show_error(name: str, error: OcmError) -> None:
    """Print why an operation on one instance failed."""
    message = error.message if name in error.message else f"{name}: {error.message}"
    lines = [f"ocm: {printable(message)}", *(f"  {printable(line)}" for line in error.details)]
    click.echo("\n".join([*lines, *([f"ocm: {printable(error.hint)}"] if error.hint else [])]), err=True)


def show_rows(rows: Sequence[Row]) -> None:
    """Print instances as a table: plain columns that `awk` can read, coloured on a terminal."""
    if not rows:
        click.echo("no instances: ocm deploy worker1 makes one", err=True)
        return
    header = ("NAME", "STATE", "PORT", "VERSION", "UPTIME", "AUTOSTART", "ISOLATION", "REASON")
    _show_table(header, map(_cells, rows))


def _show_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print columns, the second of which is a state."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    for index, line in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        if index:
            padded[1] = click.style(padded[1], fg=_COLOURS.get(line[1]))
        click.echo("  ".join((*padded, line[-1])).rstrip(), color=_colour())


def _colour() -> bool | None:
    import os

    return False if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else None


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.state,
        str(row.port or "-"),
        row.version or "-",
        duration(row.uptime_seconds),
        "yes" if row.autostart else "no",
        row.isolation or "-",
        "; ".join(filter(None, (row.reason, row.backup))),
    )


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


def show_status(status: Status) -> None:
    """Print everything about one instance."""
    row = status.row
    memory = f"{status.memory_bytes / 2**20:.0f} MB" if status.memory_bytes is not None else "-"
    seconds = f"{status.cpu_seconds:.0f} s" if status.cpu_seconds is not None else "-"
    facts = (
        ("state", row.state + (f" ({row.reason})" if row.reason else "")),
        ("url", status.url),
        ("version", row.version or "-"),
        ("uptime", duration(row.uptime_seconds)),
        ("restarts", str(row.restarts)),
        ("memory", memory),
        ("cpu", seconds),
        ("limits", status.limits),
        ("exposed", ", ".join(status.expose) or "no"),
        ("firewall", status.firewall),
        ("backups", backups_in_words(status.backups)),
        ("autostart", "yes" if row.autostart else "no"),
        ("backend", row.backend or "-"),
        ("isolation", row.isolation or "-"),
        ("pid", str(row.pid or "-")),
        ("node", status.node),
        ("openclaw", status.openclaw),
        *status.paths.items(),
    )
    click.echo(row.name)
    for key, value in facts:
        click.echo(f"  {key + ':':<11}{value}")
    for title, lines in (("drift", status.drift), ("not enforced", status.gaps), ("notes", status.notes)):
        if lines:
            click.echo(f"  {title}:")
        for line in lines:
            click.echo(f"    {printable(line)}")


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


def moment(seconds: float | None) -> str:
    """Return a moment, in seconds since the epoch, as the machine's clock shows it."""
    from datetime import datetime

    from openclaw_ocm.system.host import local_zone

    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, local_zone()):%Y-%m-%d %H:%M}"


def show_edited(edited: Edited) -> None:
    """Print what an edit changed and when it takes effect."""
    if not edited.keys:
        click.echo(f"{edited.name}: nothing to change")
    else:
        keys = printable(", ".join(edited.keys))
        click.echo(
            f"{edited.name}: {'would change' if edited.dry_run else 'changed'} {keys}; {effect(edited)}"
        )
    show_notes(edited.notes)


def show_models(updated: Updated) -> None:
    """Print what a model list changed in a config."""
    for change in updated.providers:
        lists = {"added": change.added, "removed": change.removed, "changed": change.changed}
        counts = ", ".join(f"{len(found)} {word}" for word, found in lists.items() if found)
        has = "would have" if updated.dry_run else "has"
        models = "model" if change.total == 1 else "models"
        click.echo(
            f"{updated.name}: {change.provider} {has} {change.total} {models}: {counts or 'none changed'}"
        )
        for word, found in lists.items():
            if found:
                click.echo(f"  {word}: {_first(found)}")
    show_notes(updated.notes)


def _first(words: Sequence[str]) -> str:
    """Return the first few of many words, and how many more there are."""
    more = [f"and {len(words) - _FEW} more"] if len(words) > _FEW else []
    return ", ".join([*map(printable, words[:_FEW]), *more])


def effect(edited: Edited) -> str:
    """Return in words when a change takes effect."""
    if not edited.running:
        return "takes effect at the next start"
    if edited.restart_keys:
        return f"needs a restart, which the gateway does by itself; ocm restart {edited.name} also proves it"
    return "live"


def show_backup(backup: Backup) -> None:
    """Print where a backup is and what it holds, or would hold."""
    encrypted = ", encrypted" if backup.encrypted else ""
    size = "would be made" if backup.dry_run else f"{amount(backup.size_bytes)}{encrypted}"
    click.echo(f"{backup.name}: {backup.path} ({size})")
    files, databases = _counted(backup.files, "file"), _counted(backup.databases, "database")
    click.echo(f"  {files} and {databases}, {amount(backup.state_bytes)}")
    if backup.left_out:
        counts = ", ".join(f"{count} {reason}" for reason, count in backup.left_out.items())
        click.echo(f"  left out: {counts}")
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
    _show_table(header, rows)


def show_verified(verified: Verified) -> None:
    """Print what a backup that is whole holds."""
    files, databases = _counted(verified.files, "file"), _counted(verified.databases, "database")
    click.echo(
        f"{verified.path}: whole: {verified.name}, {files} and {databases}, {amount(verified.state_bytes)}"
    )
    if verified.drill is not None:
        click.echo(f"  drill: {verified.drill}, and deleted again")


def show_pruned(pruned: Pruned) -> None:
    """Print which backups of an instance went, or would go."""
    word = "would remove" if pruned.dry_run else "removed"
    click.echo(f"{pruned.name}: {word} {len(pruned.removed)}, {len(pruned.kept)} kept")
    for path in pruned.removed:
        click.echo(f"  {path}")


def amount(size: int) -> str:
    """Return a size in the unit that is read most easily."""
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= divisor:
            return f"{size / divisor:.1f} {unit}"
    return f"{size} bytes"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def show_secrets(secrets: Sequence[Secret]) -> None:
    """Print what may be told of secrets, one a line."""
    if not secrets:
        click.echo("no secrets: ocm secret set NAME KEY adds one", err=True)
        return
    widths = [
        max(len(text) for text in column) for column in zip(*((s.key, s.last) for s in secrets), strict=True)
    ]
    for secret in secrets:
        click.echo(f"{secret.key.ljust(widths[0])}  {secret.last.ljust(widths[1])}  {secret.source}")


def show_setup(setup: Setup, *, dry_run: bool) -> None:
    """Print what this machine has and lacks, why that matters, and what mends it.

    With `dry_run` the steps that would be run as well.
    """
    rows = [
        (found.what, found.state.value, found.why, _remedy(setup, found) if found.mend else found.detail)
        for found in setup.findings
    ]
    _show_table(("WHAT", "STATE", "WHY", "DETAIL, OR WHAT MENDS IT"), rows)
    if dry_run:
        click.echo("setup would do this:" if setup.steps else "setup would do nothing")
        for step in setup.describe():
            click.echo(f"  {step}")


def _remedy(setup: Setup, found: Finding) -> str:
    if not found.can_bring(root=setup.root):
        return f"{found.detail}: {found.mend}"
    return f"{found.detail}: setup can {found.steps[-1].describe().partition(' (')[0]}"


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Print what was mended, and on one line each what is wrong and what --fix or a person does about it."""
    for line in diagnosis.fixed:
        click.echo(f"fixed: {printable(line)}")
    show_notes([f"not fixed: {line}" for line in diagnosis.resisting])
    for problem in diagnosis.problems:
        mend = f"ocm doctor --fix: {problem.fix}" if problem.fix else problem.mend
        click.echo(printable(f"{problem.about}: {problem.what}{f'; {mend}' if mend else ''}"))
    if not diagnosis.problems:
        click.echo("nothing is wrong")
    show_notes(diagnosis.notes)
