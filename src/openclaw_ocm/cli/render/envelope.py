"""The answer in JSON: one object for each run of a command, whatever came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.errors import OcmError

# Counts up when a program that reads the answer would have to be changed; what is only added does not count.
VERSION = 1
# What a command is to tell besides its results, in the `meta` of its context.
WARNINGS = f"{__name__}.warnings"


def print_json(
    command: str,
    results: Sequence[Any],
    errors: Sequence[tuple[str | None, OcmError]] = (),
    *,
    ok: bool = True,
) -> None:
    """Print the envelope that every command answers with under --json."""
    ctx = click.get_current_context(silent=True)
    envelope = {
        "version": VERSION,
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
        "warnings": () if ctx is None else ctx.meta.get(WARNINGS, ()),
    }
    click.echo(msgspec.json.format(msgspec.json.encode(envelope), indent=2).decode())
