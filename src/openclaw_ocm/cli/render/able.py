"""What an instance's agent is given to answer with, and whether it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.render.outcome import show_notes
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.operations.channel import Channel
    from openclaw_ocm.operations.check import Checked
    from openclaw_ocm.operations.model import Chosen, Offers

_USABLE = {True: "has a key", False: "no usable key", None: ""}


def show_offers(offers: Offers) -> None:
    """Print the models that an instance can be given, one a line, and what it has."""
    width = max((len(one.reference) for one in offers.models), default=0)
    for one in offers.models:
        click.echo(f"{one.reference.ljust(width)}  {_USABLE[one.usable]}".rstrip())
    if not offers.models:
        click.echo(
            f"OpenClaw knows no model here until it has a key: ocm model {offers.name} PROVIDER/MODEL",
            err=True,
        )
    now = f"the model of {offers.name} is {printable(offers.model)}" if offers.model else "no model is set"
    click.echo(f"ocm: {now}; providers: {printable(', '.join(offers.providers), limit=2000)}", err=True)


def show_chosen(chosen: Chosen) -> None:
    """Print which model an instance has now, and when that takes effect."""
    if not chosen.changed and not chosen.dry_run:
        click.echo(f"{chosen.name}: {chosen.model} already is its model")
    else:
        verb = "would have" if chosen.dry_run else "has"
        key = f", its key in {chosen.key}" if chosen.key else ""
        click.echo(f"{chosen.name}: {verb} {chosen.model}{key}; {_effect(chosen)}")
    if chosen.dry_run:
        for line in chosen.steps:
            click.echo(f"  {printable(line)}")
    show_notes(chosen.notes)


def _effect(chosen: Chosen) -> str:
    if not chosen.running:
        return "takes effect at the next start"
    if chosen.restarted:
        return (
            "the gateway would be restarted" if chosen.dry_run else "the gateway was restarted and is ready"
        )
    return "live"


def show_checked(checked: Checked) -> None:
    """Print what came of each turn, and what to type about the first that failed."""
    for turn in checked.turns:
        where = " in a box" if turn.boxed else ""
        click.echo(f"{checked.name}: {turn.session}: {turn.message}{where} ({turn.seconds:g} s)")
        for said in (turn.answer, turn.words):
            if said:
                click.echo(f"  {printable(said)}")
    show_notes(checked.notes)
    mend = next((turn.mend for turn in checked.turns if turn.mend), None)
    if mend:
        click.echo(f"ocm: {mend}", err=True)


def in_words(checked: Checked) -> str:
    """Return in words that an instance answers."""
    took = ", ".join(f"{turn.session} in {turn.seconds:g} s" for turn in checked.turns)
    return f"{printable(checked.model or '')} answers: {took}"


def show_channels(channels: Sequence[Channel]) -> None:
    """Print the channels of an instance, one a line."""
    if not channels:
        click.echo("no channels: ocm channel add NAME telegram adds one", err=True)
    for one in channels:
        state = "on" if one.enabled else "off"
        click.echo(f"{one.channel}  {state}  {one.access}")
