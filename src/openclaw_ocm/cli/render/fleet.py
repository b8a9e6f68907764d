"""What `ocm plan` and `ocm apply` print of each instance and of all; and the example of a fleet file."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.outcome import show_notes
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(kw_only=True)
class Told:
    """What was shown so far: of instances that are as they should be how many there are."""

    dry_run: bool
    same: int = 0
    others: int = 0
    said: set[str] = field(default_factory=set)

    def show(self, outcome: Outcome) -> None:
        """Print what became of an instance, or would; nothing yet of one that is as it should be."""
        if not outcome.changes:
            self.same += 1
            return
        self.others += 1
        click.echo(f"{outcome.name}: {printable(outcome.message)}")
        if outcome.dry_run:
            for change in outcome.changes:
                click.echo(f"  {printable(change)}")
            for step in outcome.steps:
                click.echo(f"    {printable(step)}")
        # What is so of the machine is told once.
        show_notes([note for note in outcome.notes if note not in self.said])
        self.said.update(outcome.notes)

    def end(self, told: Sequence[str], *, failed: bool) -> None:
        """Print of all what was not said of one, `told` are sentences; `failed` whether any was an error."""
        if self.same:
            are = "instance is" if self.same == 1 else "instances are"
            click.echo(f"{self.same} {are} as the file says")
        elif not self.others and self.dry_run and not failed:
            click.echo("nothing to change")
        for sentence in told:
            click.echo(f"ocm: {sentence}", err=True)


def example_text() -> str:
    """Return the example of a fleet file."""
    return Path(__file__).with_name("fleet_example.toml").read_text(encoding="utf-8")


def schema_text() -> str:
    """Return the JSON Schema of a fleet file."""
    import msgspec

    from openclaw_ocm.core.fleet.schema import schema

    return msgspec.json.format(msgspec.json.encode(schema(_fields())), indent=1).decode() + "\n"


def _fields() -> dict[str, dict[str, str]]:
    """Return what each field of a fleet file is for, by the names of its tables: the string below it."""
    import ast
    import inspect

    from openclaw_ocm.core import record
    from openclaw_ocm.core.fleet import file, schema

    found: dict[str, dict[str, str]] = {}
    for module in (file, record, schema):
        for table in ast.parse(inspect.getsource(module)).body:
            for line, below in itertools.pairwise(table.body if isinstance(table, ast.ClassDef) else ()):
                match line, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                        value=ast.Constant(value=str(text))
                    ):
                        found.setdefault(getattr(table, "name", ""), {})[name] = text
    return found
