"""What operations return: frozen, and rendered in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operation did to one instance, or with `dry_run` would do.

    `steps` are those of its plan, `changes` what they change of contents that no plan holds; `notes` are
    warnings.
    """

    name: str
    operation: str
    changed: bool
    message: str
    dry_run: bool = False
    steps: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
