"""What became of a change to an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from openclaw_ocm.errors import OcmError
    from openclaw_ocm.operations.edit import Edited
    from openclaw_ocm.operations.models import Updated
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.secret import Secret

_FEW = 5


def show_outcome(outcome: Outcome, *, said: Collection[str] = ()) -> None:
    """Print what became of one instance: the answer to stdout, warnings to stderr, unless already `said`."""
    click.echo(f"{outcome.name}: {outcome.message}")
    if outcome.dry_run:
        _show_lines((*outcome.changes, *outcome.steps))
    show_notes([note for note in outcome.notes if note not in said])


def _show_lines(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"  {printable(line)}")


def show_notes(notes: Sequence[str]) -> None:
    """Print warnings."""
    for note in notes:
        click.echo(f"ocm: {printable(note)}", err=True)


def show_error(name: str | None, error: OcmError) -> None:
    """Print why an operation failed, on the instance `name` where it is about one."""
    message = error.message if name is None or name in error.message else f"{name}: {error.message}"
    lines = [f"ocm: {printable(message)}", *(f"  {printable(line)}" for line in error.details)]
    click.echo("\n".join([*lines, *([f"ocm: {printable(error.hint)}"] if error.hint else [])]), err=True)


def show_edited(edited: Edited) -> None:
    """Print what an edit changed and when it takes effect."""
    if not edited.keys:
        click.echo(f"{edited.name}: nothing to change")
    else:
        keys = printable(", ".join(edited.keys))
        click.echo(
            f"{edited.name}: {'would change' if edited.dry_run else 'changed'} {keys}; {effect(edited)}"
        )
    if edited.dry_run:
        _show_lines(edited.steps)
    show_notes(edited.notes)


def effect(edited: Edited) -> str:
    """Return in words when a change takes effect."""
    if not edited.running:
        return "takes effect at the next start"
    if edited.restart_keys:
        return (
            "the gateway would be restarted" if edited.dry_run else "the gateway was restarted and is ready"
        )
    return "live"


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
    if updated.dry_run:
        _show_lines(updated.steps)
    show_notes(updated.notes)


def _first(words: Sequence[str]) -> str:
    """Return the first few of many words, and how many more there are."""
    more = [f"and {len(words) - _FEW} more"] if len(words) > _FEW else []
    return ", ".join([*map(printable, words[:_FEW]), *more])


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
