"""The machine: what it has and lacks, and what is wrong with it and with all that OCM made on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.outcome import show_notes
from openclaw_ocm.cli.render.table import amount, show_table
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.core.needs import Finding
    from openclaw_ocm.operations.doctor import Diagnosis
    from openclaw_ocm.operations.outdated import Age
    from openclaw_ocm.operations.runtimes import OpenClaw, RuntimeChange
    from openclaw_ocm.operations.setup import Setup


def show_setup(setup: Setup, *, dry_run: bool) -> None:
    """Print what this machine has and lacks, why that matters, and what mends it.

    With `dry_run` the steps that would be run as well.
    """
    rows = [
        (found.what, found.state.value, found.why, _remedy(setup, found) if found.mend else found.detail)
        for found in setup.findings
    ]
    show_table(("WHAT", "STATE", "WHY", "DETAIL, OR WHAT MENDS IT"), rows)
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


def show_runtimes(rows: Sequence[OpenClaw]) -> None:
    """Print the OpenClaws of this machine as a table."""
    if not rows:
        click.echo("there is no OpenClaw: ocm runtime install latest brings one", err=True)
        return
    header = ("RUNTIME", "VERSION", "GOES WITH IT", "NODE", "RUN BY")
    show_table(
        header,
        (
            (
                row.name,
                row.version or "-",
                "-" if row.bytes is None else amount(row.bytes),
                row.node or "-",
                ", ".join(row.used_by) or "-",
            )
            for row in rows
        ),
    )
    for row in rows:
        if row.problem is not None:
            click.echo(f"{row.name}: {row.problem}", err=True)


def show_ages(found: Sequence[Age]) -> None:
    """Print what instances run beside what there is, and what to type."""
    rows = ((age.name, age.version, age.newest if age.outdated else "-", age.channel) for age in found)
    show_table(("NAME", "VERSION", "NEWER", "CHANNEL"), rows)
    if any(age.outdated for age in found):
        click.echo("ocm upgrade NAME takes an instance there", err=True)


def show_runtime_change(change: RuntimeChange) -> None:
    """Print what became of an OpenClaw that was to be brought or removed."""
    click.echo(f"OpenClaw {change.name}: {change.message}")
